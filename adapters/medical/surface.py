"""The first surface of a volume as seen from one side: depth and normals by casting parallel rays.

Everything is in patient coordinates (mm), so tilted and oblique stacks need no special case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from banana_cli.options import ViewName
from banana_cli.types import F32, F64, Bool

from .geometry import Plane, Stack

I16 = NDArray[np.int16]
Ints = NDArray[np.int64]
MAX_PICTURE = 4096  # rows or columns of a view; a finer pitch is coarsened to fit
_REFINEMENTS = 6  # halvings of the last step: 1/64 of a voxel
_SMOOTH_VOXELS = 1.0  # of the coarsest spacing; measured on spheres: less than 3 degrees of error
_CUBE = 8  # voxels along the side of a block that is skipped at once
_BLOCK = 2**18  # rays cast at once, so that memory does not grow with the picture

# (right, away from the viewer) of each view in patient axes; the head is up, or the face for top and bottom
_VIEWS: Mapping[ViewName, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    ViewName.ANTERIOR: ((1, 0, 0), (0, 1, 0)),
    ViewName.POSTERIOR: ((-1, 0, 0), (0, -1, 0)),
    ViewName.LEFT: ((0, 1, 0), (-1, 0, 0)),
    ViewName.RIGHT: ((0, -1, 0), (1, 0, 0)),
    ViewName.SUPERIOR: ((-1, 0, 0), (0, 0, -1)),
    ViewName.INFERIOR: ((1, 0, 0), (0, 0, 1)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewGrid:
    """The viewing plane's pixels: it touches the volume's outer faces on the viewer's side.

    ``plane`` has square pixels; ``away`` is the unit vector of the rays; ``reach_mm`` the distance to
    the volume's far side; ``step_mm`` one voxel along the ray; ``rows_resampled`` and
    ``cols_resampled`` say along which side of the picture the volume is coarser than the pitch;
    ``level`` is the surface's value in physical units, None: to be found in the voxels.
    """

    shape: tuple[int, int]
    plane: Plane
    away: tuple[float, float, float]
    reach_mm: float
    step_mm: float
    rows_resampled: bool
    cols_resampled: bool
    level: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """Voxels int16 (slices, rows, columns) with value = ``scale`` * voxel + ``offset``, and their places."""

    voxels: I16
    stack: Stack
    scale: float
    offset: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """Depth (H, W) float32 mm from the viewing plane, NaN where no surface; normals (3, H, W); hit (H, W).

    ``cut`` (H, W) marks rays that start inside: the surface there is the volume's own end.
    """

    depth_mm: F32
    normals: F32
    hit: Bool
    cut: Bool


def view_grid(stack: Stack, matrix: tuple[int, int], view: ViewName, level: float | None = None) -> ViewGrid:
    """The viewing plane of a stack of slices of ``matrix`` (rows, columns) pixels."""
    right, away = (np.array(v, float) for v in _VIEWS[view])
    down = np.cross(away, right)
    inverse = np.linalg.inv(stack.affine()[:3, :3])
    corners = _corners(stack, matrix)
    low = [float((corners @ axis).min()) for axis in (right, down, away)]
    high = [float((corners @ axis).max()) for axis in (right, down, away)]
    spacing = stack.planes[0].spacing
    extent = (high[1] - low[1], high[0] - low[0])
    pitch = max(min(spacing), max(extent) / MAX_PICTURE)
    shape = (max(1, round(extent[0] / pitch)), max(1, round(extent[1] / pitch)))
    corner = low[0] * right + low[1] * down + low[2] * away + (right + down) * pitch / 2
    steps = [1 / float(np.abs(inverse @ axis).max()) for axis in (right, down, away)]
    return ViewGrid(
        shape=shape,
        plane=Plane(
            position=_triple(corner), right=_triple(right), down=_triple(down), spacing=(pitch, pitch)
        ),
        away=_triple(away),
        reach_mm=high[2] - low[2],
        step_mm=steps[2],
        rows_resampled=abs(steps[1] - pitch) > 1e-3 * pitch,
        cols_resampled=abs(steps[0] - pitch) > 1e-3 * pitch,
        level=level,
    )


def _corners(stack: Stack, matrix: tuple[int, int]) -> F64:
    """(8, 3) outer corners of the corner voxels in mm."""
    affine = stack.affine()
    places = np.array([plane.position for plane in stack.planes])
    ends = (places[0] - (places[1] - places[0]) / 2, places[-1] + (places[-1] - places[-2]) / 2)
    across = [affine[:3, 0] * col for col in (-0.5, matrix[1] - 0.5)]
    along = [affine[:3, 1] * row for row in (-0.5, matrix[0] - 0.5)]
    return np.array([end + c + r for end in ends for c in across for r in along])


def _triple(v: F64) -> tuple[float, float, float]:
    return (float(v[0]), float(v[1]), float(v[2]))


def render(volume: Volume, grid: ViewGrid, threshold: float) -> Surface:
    """Cast one ray a pixel; the surface is where the value first reaches ``threshold`` (physical units)."""
    level = (threshold - volume.offset) / volume.scale
    sampler = _Sampler(volume.stack, volume.voxels, level)
    smooth = _Sampler(volume.stack, _smoothed(volume), level)
    h, w = grid.shape
    depth = np.full(h * w, np.nan, np.float32)
    normals = np.zeros((3, h * w), np.float32)
    cut = np.zeros(h * w, bool)
    for start in range(0, h * w, _BLOCK):
        pixels = np.arange(start, min(start + _BLOCK, h * w))
        origins = _origins(grid, pixels)
        along, inside = _first_crossing(sampler, origins, grid, level)
        hits = np.flatnonzero(np.isfinite(along))
        depth[pixels[hits]] = along[hits]
        cut[pixels[hits]] = inside[hits]
        points = origins[hits] + along[hits, None] * np.array(grid.away)
        normals[:, pixels[hits]] = _normals(smooth, points, grid, inside[hits])
    hit = np.isfinite(depth)
    return Surface(
        depth_mm=depth.reshape(h, w),
        normals=normals.reshape(3, h, w),
        hit=hit.reshape(h, w),
        cut=cut.reshape(h, w),
    )


def _origins(grid: ViewGrid, pixels: Ints) -> F64:
    row, col = np.divmod(pixels, grid.shape[1])
    pitch = grid.plane.spacing[0]
    position = np.array(grid.plane.position)
    right, down = np.array(grid.plane.right), np.array(grid.plane.down)
    origins: F64 = position + pitch * (col[:, None] * right + row[:, None] * down)
    return origins


def _first_crossing(sampler: _Sampler, origins: F64, grid: ViewGrid, level: float) -> tuple[F64, Bool]:
    """(N,) distance in mm to the first value >= level, NaN without one; and whether the ray starts in it."""
    away = np.array(grid.away)
    along = np.full(len(origins), np.nan)
    inside = np.zeros(len(origins), bool)
    active = np.arange(len(origins))
    line = sampler.line(origins, away)
    steps = int(np.ceil(grid.reach_mm / grid.step_mm)) + 1
    for k in range(steps):
        distance = (k + 0.5) * grid.step_mm
        index = line(active, distance)
        maybe = np.flatnonzero(sampler.may_reach(index))
        reached = maybe[sampler.at(index[maybe]) >= level]
        if not len(reached):
            continue
        found = active[reached]
        before = sampler.within(line(found, distance - grid.step_mm))
        along[found[~before]], inside[found[~before]] = distance, True
        rest = found[before]
        along[rest] = _refine(sampler, origins[rest], away, (distance - grid.step_mm, distance), level)
        active = np.delete(active, reached)
    return along, inside


def _refine(sampler: _Sampler, origins: F64, away: F64, ends: tuple[float, float], level: float) -> F64:
    """Where between ``ends`` the value reaches the level: halving, then a straight line."""
    low, high = np.full(len(origins), ends[0]), np.full(len(origins), ends[1])
    for _ in range(_REFINEMENTS):
        middle = (low + high) / 2
        above = sampler.at(sampler.index(origins + middle[:, None] * away)) >= level
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    found: F64 = (low + high) / 2
    return found


def _normals(smooth: _Sampler, points: F64, grid: ViewGrid, cut: Bool) -> F32:
    """(3, N) unit normals in the view's axes: down the gradient of the smoothed volume."""
    gradient = smooth.gradient(points)
    axes = np.array([grid.plane.right, grid.plane.down, grid.away])
    seen = -(gradient @ axes.T)
    length = np.linalg.norm(seen, axis=1)
    flat = cut | (length <= 0)
    seen[flat] = (0.0, 0.0, -1.0)
    length[flat] = 1.0
    return np.ascontiguousarray((seen / length[:, None]).T, np.float32)


def _smoothed(volume: Volume) -> I16:
    """The volume blurred alike in all directions in mm; an axis coarser than the blur stays as it is."""
    import cv2

    stack = volume.stack
    sigma_mm = _SMOOTH_VOXELS * max(*stack.planes[0].spacing, float(np.linalg.norm(stack.step)))
    rows, cols = (sigma_mm / s for s in stack.planes[0].spacing)
    along = sigma_mm / float(np.linalg.norm(stack.step))
    out = np.empty_like(volume.voxels)
    for k, plane in enumerate(volume.voxels):
        out[k] = cv2.GaussianBlur(
            plane, ksize=(0, 0), sigmaX=cols, sigmaY=rows, borderType=cv2.BORDER_REPLICATE
        )
    if along < 0.3:
        return out
    radius = max(1, round(3 * along))
    size = (1, 2 * radius + 1)
    for r in range(out.shape[1]):
        out[:, r] = cv2.GaussianBlur(
            out[:, r], ksize=size, sigmaX=1.0, sigmaY=along, borderType=cv2.BORDER_REPLICATE
        )
    return out


def _block_any(flags: Bool, axis: int) -> Bool:
    """Reduce an axis to blocks; a block also counts the first of the next, which interpolation reaches."""
    starts = np.arange(0, flags.shape[axis], _CUBE)
    blocks = np.logical_or.reduceat(flags, starts, axis=axis)
    following = np.take(flags, np.minimum(starts + _CUBE, flags.shape[axis] - 1), axis=axis)
    return np.asarray(blocks | following, bool)


class _Sampler:
    """Trilinear values of a stack at points in mm."""

    def __init__(self, stack: Stack, voxels: I16, level: float) -> None:
        self.voxels, self.flat = voxels, voxels.reshape(-1)
        self.shape = voxels.shape
        self.stack, self.level = stack, level
        affine = stack.affine()
        self.inverse = np.linalg.inv(affine[:3, :3])
        self.origin = affine[:3, 3]
        self.uneven = stack.uneven
        self.offsets = np.array([p.offset for p in stack.planes])
        self.positions = np.array([p.position for p in stack.planes])

    @cached_property
    def blocks(self) -> Bool:
        """Which blocks of voxels hold a value that interpolation could bring to the level."""
        layers = []
        for k in range(0, self.shape[0], _CUBE):
            flags = np.asarray((self.voxels[k : k + _CUBE + 1] >= self.level).any(axis=0), bool)
            layers.append(_block_any(_block_any(flags, 0), 1))
        return np.stack(layers)

    def may_reach(self, index: F64) -> Bool:
        """Which of (N, 3) indices are inside, in a block that could reach the level."""
        ends = np.array(self.shape[::-1]) - 1
        block = np.clip(index, 0, ends).astype(np.int32) // _CUBE
        return np.asarray(self.blocks[block[:, 2], block[:, 1], block[:, 0]] & self.within(index), bool)

    def line(self, origins: F64, away: F64) -> Callable[[Ints, float], F64]:
        """A function (rays, distance in mm) -> (N, 3) index; straight in the index too if slices are even."""
        if self.uneven:
            return lambda rays, distance: self.index(origins[rays] + distance * away)
        start, direction = self.index(origins), self.inverse @ away
        return lambda rays, distance: start[rays] + distance * direction

    def within(self, index: F64) -> Bool:
        """Which indices are in the volume, its outer half voxels included."""
        size = np.array(self.shape[::-1])
        return np.asarray(((index >= -0.5 - 1e-6) & (index <= size - 0.5 + 1e-6)).all(axis=1), bool)

    def index(self, points: F64) -> F64:
        """(N, 3) fractional (column, row, slice)."""
        if not self.uneven:
            return (points - self.origin) @ self.inverse.T
        first = self.stack.planes[0]
        places = np.arange(len(self.offsets), dtype=float)
        offset = points @ first.normal
        place = np.interp(offset, self.offsets, places)
        for end, side in ((0, -1), (len(places) - 1, 1)):  # half a slice beyond the ends
            gap = abs(self.offsets[end] - self.offsets[end - side])
            beyond = side * (offset - self.offsets[end])
            place = np.where(beyond > 0, end + side * beyond / gap, place)
        origin = np.stack([np.interp(place, places, self.positions[:, k]) for k in range(3)], axis=1)
        rest = points - origin
        col = rest @ np.array(first.right) / first.spacing[1]
        row = rest @ np.array(first.down) / first.spacing[0]
        return np.stack([col, row, place], axis=1)

    def at(self, index: F64) -> F64:
        """(N,) values at fractional (column, row, slice), clamped to the volume."""
        ends = np.array(self.shape[::-1]) - 1
        index = np.clip(index, 0, ends)
        base = np.minimum(index.astype(np.int64), np.maximum(ends - 1, 0))
        x, y, z = (index - base).T
        strides = np.array([1, self.shape[2], self.shape[1] * self.shape[2]])
        start = base @ strides
        dx, dy, dz = strides * (ends > 0)

        def row(at: Ints) -> F64:
            left = self.flat[at].astype(float)
            value: F64 = left + x * (self.flat[at + dx] - left)
            return value

        def plane(at: Ints) -> F64:
            upper = row(at)
            value: F64 = upper + y * (row(at + dy) - upper)
            return value

        near = plane(start)
        value: F64 = near + z * (plane(start + dz) - near)
        return value

    def gradient(self, points: F64) -> F64:
        """(N, 3) gradient per mm along the patient's axes, from differences one voxel to each side."""
        index = self.index(points)
        slopes = np.stack([self._slope(index, axis) for axis in range(3)], axis=1)
        gradient: F64 = slopes @ self.inverse
        return gradient

    def _slope(self, index: F64, axis: int) -> F64:
        shift = np.eye(3)[axis]
        end = self.shape[2 - axis] - 1
        low, high = np.clip(index[:, axis] - 1, 0, end), np.clip(index[:, axis] + 1, 0, end)
        difference = self.at(index + shift) - self.at(index - shift)
        span = high - low
        return np.where(span > 0, difference / np.where(span > 0, span, 1), 0.0)
