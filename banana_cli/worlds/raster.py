"""A small z-buffer: flat convex faces and upright quadrics (ellipsoids, cylinders, cones) by their ids.

Only ids and inverse depth are written here; colours are computed later for all pixels at once.
Cameras look along z, x right, y down. ``rays`` are pixel directions with z = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F32, U8, Bool
from banana_cli.worlds.noise import lookup, tile

NEAR = 0.25
I32 = NDArray[np.int32]
Table = NDArray[np.void]
Box = tuple[int, int, int, int]  # left, top, right, bottom
_SIGNS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)

_LOOK = [
    ("frame", "f4", (2, 4)),  # (u, v) of a point of the object: frame @ (x, y, z, 1)
    ("span", "f4", (2,)),  # how far u and v run
    ("metric", "f4", (2,)),  # metres of one unit of u and v
    ("colour", "f4", (3,)),
    ("tile", "i4"),
    ("rough", "f4"),
    ("gloss", "f4"),
    ("glow", "f4"),
    ("obj", "i4"),
    ("cls", "u1"),
    ("cut", "u1"),  # 0 solid, 1 cut out by the tile's alpha, 2 a veil: what lies behind shows through
    ("reach", "f4"),  # not drawn farther away than this, metres at a focal length of 256 pixels
]
FACE = np.dtype([*_LOOK, ("corners", "f4", (8, 3)), ("normal", "f4", (3,)), ("both", "?")])
QUADRIC = np.dtype(
    [
        *_LOOK,
        ("centre", "f4", (3,)),
        ("weight", "f4", (3,)),  # the surface is sum(weight * (p - centre)**2) = level
        ("level", "f4"),
        ("low", "f4"),  # y - centre lies in [low, high]
        ("high", "f4"),
        ("extent", "f4", (3,)),
        ("holes", "f4"),  # 0 solid .. 1 mostly gaps
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Pinhole:
    """Pixel rays of one picture: ``x`` (W,) and ``y`` (H,) of directions with z = 1."""

    focal: float
    centre: tuple[float, float]
    x: F32
    y: F32

    @staticmethod
    def make(focal: float, centre: tuple[float, float], height: int, width: int) -> Pinhole:
        """Rays through pixel centres; ``centre`` in pixels, (0, 0) is the first pixel's centre."""
        x = ((np.arange(width) - centre[0]) / focal).astype(np.float32)
        y = ((np.arange(height) - centre[1]) / focal).astype(np.float32)
        return Pinhole(focal, centre, x, y)


@dataclass(frozen=True, slots=True, eq=False)
class Buffers:
    """(H, W): inverse depth and surface id, and the same of what lies behind a veil (id -1: no veil)."""

    near: F32
    ids: I32
    behind: I32
    behind_near: F32

    @staticmethod
    def make(near: F32, ids: I32) -> Buffers:
        """Start from a background of inverse depths and ids."""
        return Buffers(near, ids, np.full(ids.shape, -1, np.int32), np.zeros(ids.shape, np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Cutouts:
    """(T, S, S) alpha of tiles, for cut-out faces."""

    alpha: U8


def _clip_near(polygon: F32) -> F32:
    """The part of a convex polygon (n, 3) with z >= NEAR."""
    kept: list[F32] = []
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if a[2] >= NEAR:
            kept.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            kept.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
    return np.array(kept, np.float32).reshape(-1, 3)


@dataclass(frozen=True, slots=True, eq=False)
class Flat:
    """Faces in camera axes, ready to fill: plane (F, 3) with plane @ ray = 1 / z."""

    corners: F32
    normal: F32
    plane: F32
    nearest: F32
    limits: F32  # (F, 2) least and greatest inverse depth
    order: NDArray[np.intp]


def place_faces(faces: Table, pose: F32, focal: float) -> Flat:
    """Faces of objects with ``pose`` (O, 3, 4), object to camera; ``order`` names the ones to draw."""
    turn = pose[faces["obj"]]
    corners = np.matmul(faces["corners"], turn[:, :, :3].transpose(0, 2, 1)) + turn[:, None, :, 3]
    normal = np.matmul(turn[:, :, :3], faces["normal"][:, :, None])[:, :, 0]
    offset = np.einsum("ij,ij->i", normal, corners[:, 0])
    flip = np.where(faces["both"] & (offset > 0), -1.0, 1.0).astype(np.float32)
    normal *= flip[:, None]
    offset *= flip
    depth = corners[:, :, 2]
    nearest, farthest = depth.min(1), depth.max(1)
    seen = (offset < -1e-3) & (farthest > NEAR) & (nearest < faces["reach"] * (focal / 256))
    plane = normal / np.where(offset < -1e-6, offset, -1.0)[:, None]
    order = np.flatnonzero(seen)
    limits = 1 / np.maximum(np.stack([farthest, nearest], axis=1), NEAR)
    return Flat(corners, normal, plane, nearest, limits, order)


def _box(points: F32, height: int, width: int) -> Box:
    low, high = points.min(0), points.max(0)
    left, top = max(int(np.floor(low[0])), 0), max(int(np.floor(low[1])), 0)
    right, bottom = min(int(np.ceil(high[0])) + 1, width), min(int(np.ceil(high[1])) + 1, height)
    return left, top, right, bottom


class Raster:
    """Draws placed faces and quadrics into buffers, far ones first."""

    def __init__(self, camera: Pinhole, buffers: Buffers, cutouts: Cutouts) -> None:
        self.camera, self.buffers, self.cutouts = camera, buffers, cutouts
        self.shape = buffers.ids.shape
        self.scratch = np.zeros(self.shape, np.uint8)

    def draw(self, faces: Table, quadrics: Table, pose: F32) -> Flat:
        """Fill everything; a face's id is its row, a quadric's id is its row plus the number of faces."""
        flat = place_faces(faces, pose, self.camera.focal)
        points = self._pixels(flat.corners)
        boxes = self._boxes(flat.corners, points)
        fixed = np.clip((points - boxes[:, None, :2]) * 16, -400000, 400000).astype(np.int32)
        cut, count = faces["cut"], len(faces)
        middle, edges = self._round_boxes(quadrics, pose)
        limit = quadrics["reach"] * (self.camera.focal / 256)
        drawn = (middle > NEAR) & (middle < limit) & (edges[:, 2] > edges[:, 0]) & (edges[:, 3] > edges[:, 1])
        span = boxes[flat.order, 2:] - boxes[flat.order, :2]
        rows = flat.order[(boxes[flat.order, 0] < 0) | (span > 0).all(1)]
        todo = np.concatenate([rows, np.flatnonzero(drawn) + count])
        far = np.concatenate([flat.nearest[rows], middle[drawn]])
        veil = np.concatenate([cut[rows] == 2, np.zeros(int(drawn.sum()), np.bool_)])
        for index in todo[np.lexsort((-far, veil))].tolist():  # veils last: all that they show is there
            if index >= count:
                k = index - count
                self._quadric(quadrics[k], pose[quadrics["obj"][k]], index, tuple(edges[k].tolist()))
            elif cut[index] or boxes[index, 0] < 0:
                self._odd_face(faces[index], flat, index, pose)
            else:
                self._face(flat, fixed[index], tuple(boxes[index].tolist()), index)
        return flat

    def _round_boxes(self, quadrics: Table, pose: F32) -> tuple[F32, I32]:
        """Depth of each quadric's centre and the box of pixels round it (the whole picture if very near)."""
        turn = pose[quadrics["obj"]]
        local = quadrics["centre"][:, None] + _SIGNS * quadrics["extent"][:, None]
        corners = np.matmul(local, turn[:, :, :3].transpose(0, 2, 1)) + turn[:, None, :, 3]
        edges = self._boxes(corners, self._pixels(corners))
        height, width = self.shape
        edges[edges[:, 0] < 0] = (0, 0, width, height)
        middle: F32 = np.einsum("ij,ij->i", turn[:, 2, :3], quadrics["centre"]) + turn[:, 2, 3]
        return middle, edges

    def _pixels(self, corners: F32) -> F32:
        z = np.maximum(corners[..., 2:], np.float32(NEAR))
        out: F32 = (corners[..., :2] / z * np.float32(self.camera.focal)).astype(np.float32)
        out += np.array(self.camera.centre, np.float32)
        return out

    def _boxes(self, corners: F32, points: F32) -> I32:
        """(n, 4) left, top, right, bottom of pixels (n, k, 2); left is -1 where corners are too near."""
        height, width = self.shape
        low = np.clip(np.floor(points.min(1)), -1e6, 1e6).astype(np.int32)
        high = np.clip(np.ceil(points.max(1)), -1e6, 1e6).astype(np.int32) + 1
        boxes = np.concatenate([np.maximum(low, 0), np.minimum(high, [width, height])], axis=1).astype(
            np.int32
        )
        boxes[corners[:, :, 2].min(1) < NEAR, 0] = -1
        return boxes

    def _coverage(self, fixed: I32, box: Box) -> Bool:
        left, top, right, bottom = box
        mask = self.scratch[: bottom - top, : right - left]
        mask[:] = 0
        cv2.fillConvexPoly(mask, fixed, 1, cv2.LINE_8, 4)
        return mask.view(np.bool_)

    def _plane(self, flat: Flat, index: int, box: Box) -> F32:
        left, top, right, bottom = box
        a, b, c = flat.plane[index].tolist()
        near: F32 = (self.camera.x[left:right] * np.float32(a) + np.float32(c)) + (
            self.camera.y[top:bottom] * np.float32(b)
        )[:, None]
        low, high = flat.limits[index].tolist()
        np.maximum(near, low, out=near)
        np.minimum(near, high, out=near)
        return near

    def _face(self, flat: Flat, fixed: I32, box: Box, index: int) -> None:
        self._write(self._plane(flat, index, box), self._coverage(fixed, box), box, index)

    def _write(self, near: F32, mask: Bool, edges: Box, index: int) -> None:
        left, top, right, bottom = edges
        old = self.buffers.near[top:bottom, left:right]
        mask &= near > old
        np.copyto(old, near, where=mask)
        np.copyto(self.buffers.ids[top:bottom, left:right], index, where=mask)

    def _odd_face(self, row: np.void, flat: Flat, index: int, pose: F32) -> None:
        """A face that is cut out by its tile or reaches behind the camera."""
        points = self._pixels(_clip_near(flat.corners[index]))
        if len(points) < 3:
            return
        left, top, right, bottom = box = _box(points, *self.shape)
        if right <= left or bottom <= top:
            return
        fixed = np.clip((points - (left, top)) * 16, -400000, 400000).astype(np.int32)
        mask = self._coverage(fixed, box)
        near = self._plane(flat, index, box)
        if row["cut"]:
            mask &= self._matter(row, pose[row["obj"]], near, box)
            mask &= near > self.buffers.near[top:bottom, left:right]
        if row["cut"] == 2:
            behind = self.buffers.behind[top:bottom, left:right]
            first = mask & (behind < 0)
            np.copyto(behind, self.buffers.ids[top:bottom, left:right], where=first)
            far = self.buffers.near[top:bottom, left:right]
            np.copyto(self.buffers.behind_near[top:bottom, left:right], far, where=first)
        self._write(near, mask, box, index)

    def _matter(self, row: np.void, pose: F32, near: F32, box: Box) -> Bool:
        """Where the tile's alpha leaves something of a cut-out face."""
        local = camera_frame(row["frame"][None], pose[None])[0]
        rays = self._rays(box)
        side = self.cutouts.alpha.shape[1]
        u, v = ((local[k, :3] @ rays) / near.ravel() + local[k, 3] for k in (0, 1))
        u = np.clip(u, 0, row["span"][0] - 1e-3).reshape(near.shape)
        v = np.clip(v, 0, 1).reshape(near.shape)
        x = ((u - np.floor(u)) * side - 0.5).astype(np.float32)
        alpha = cv2.remap(
            self.cutouts.alpha[row["tile"]],
            x,
            (v * side - 0.5).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if row["cut"] == 2:
            return np.asarray(alpha > 40, np.bool_)
        fray = 50 * lookup(tile(11, 8, 5, 0.8), u * row["metric"][0] * 0.2, v * row["metric"][1] * 0.2)
        return np.asarray(alpha > np.clip(118 + fray, 30, 225), np.bool_)

    def _rays(self, box: Box) -> F32:
        left, top, right, bottom = box
        x, y = np.meshgrid(self.camera.x[left:right], self.camera.y[top:bottom])
        return np.stack([x.ravel(), y.ravel(), np.ones(x.size, np.float32)])

    def _quadric(self, row: np.void, pose: F32, index: int, box: Box) -> None:
        left, top, right, bottom = box
        back = pose[:, :3].T
        start = (-back @ pose[:, 3] - row["centre"]).tolist()
        x, y = self.camera.x[left:right], self.camera.y[top:bottom, None]
        d = [(x * back[k, 0] + back[k, 2]) + y * back[k, 1] for k in range(3)]
        p, q, r = self._widened(row, pose)
        a = p * d[0] * d[0] + r * d[2] * d[2]
        b = (p * start[0]) * d[0] + (r * start[2]) * d[2]
        if q:
            a += q * d[1] * d[1]
            b += (q * start[1]) * d[1]
        c = p * start[0] ** 2 + q * start[1] ** 2 + r * start[2] ** 2 - float(row["level"])
        inside = b * b - a * c
        mask = inside > 0
        if c <= 0 or not mask.any():
            return
        t = (-b - np.sqrt(np.maximum(inside, 0))) / np.where(np.abs(a) > 1e-12, a, 1)
        rise = start[1] + t * d[1]
        mask &= (t > NEAR) & (rise >= row["low"]) & (rise <= row["high"])
        if row["holes"] > 0:
            mask &= self._solid(row, start, d, t, rise)
        self._write((1 / np.where(mask, t, 1)).astype(np.float32), mask, box, index)

    def _widened(self, row: np.void, pose: F32) -> tuple[float, float, float]:
        """Weights of a cylinder that is never thinner than about a pixel."""
        p, q, r = row["weight"].tolist()
        if q == 0:
            depth = max(float(pose[2, :3] @ row["centre"] + pose[2, 3]), NEAR)
            most = 1 / (0.45 * depth / self.camera.focal) ** 2
            return min(p, most), q, min(r, most)
        return p, q, r

    @staticmethod
    def _solid(row: np.void, start: list[float], d: list[F32], t: F32, rise: F32) -> Bool:
        """Where a noise on the surface leaves matter; gaps grow towards the silhouette."""
        x, z = start[0] + t * d[0], start[2] + t * d[2]
        scale = np.float32(0.16)
        across, deep = (x + 3.1 * row["centre"][0] + row["obj"]) * scale, (z + 2.3 * row["centre"][2]) * scale
        v = (rise + 1.7 * row["centre"][1]) * scale
        field = tile(11, 8, 5, 0.8)
        noise = 0.7 * (lookup(field, across, v) + lookup(field, deep + 0.4, v + 0.5 * across + 0.3))
        a, b, c = row["weight"].tolist()
        facing = a * x * d[0] + b * rise * d[1] + c * z * d[2]
        size = (a * a + b * b + c * c) ** 0.25
        rim = np.clip(1 + facing / size * 0.9, 0, 1)
        return np.asarray(noise > (row["holes"] * 3.2 - 2.6 + 2.0 * rim), np.bool_)


def camera_frame(frame: F32, pose: F32) -> F32:
    """(n, 2, 4) frames of objects with poses (n, 3, 4), turned into frames of camera points."""
    direction = np.einsum("nkj,nij->nki", frame[:, :, :3], pose[:, :, :3])
    offset = frame[:, :, 3] - np.einsum("nki,ni->nk", direction, pose[:, :, 3])
    return np.concatenate([direction, offset[:, :, None]], axis=2)
