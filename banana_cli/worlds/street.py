"""Dashcam scenes by a seed, with exact truth for every pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from banana_cli.types import F32, NO_CLASS, U8, U16, Bool, Modality
from banana_cli.worlds import street_ground as ground
from banana_cli.worlds import street_light as weather
from banana_cli.worlds import street_shade as shade
from banana_cli.worlds.raster import I32, Buffers, Cutouts, Pinhole, Raster, Table
from banana_cli.worlds.sample import Sample
from banana_cli.worlds.street_atlas import atlas
from banana_cli.worlds.street_plan import furnish
from banana_cli.worlds.street_sensor import Sensor, develop, make_sensor
from banana_cli.worlds.street_wires import draw_wires, make_wires

SKY, FAR = 10, 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A camera behind a windscreen; focal length and centre in picture widths, angles in radians."""

    focal: float
    centre: tuple[float, float]
    height: float
    yaw: float
    pitch: float
    roll: float
    speed: float  # of the ego car, m/s
    bonnet: float  # share of the picture's height, 0 = not seen
    bonnet_colour: tuple[float, float, float]
    bonnet_bulge: float
    bonnet_shine: float  # how much of a mirror it is
    shake: float  # radians of nodding while it drives


class _Layers(NamedTuple):
    """What geometry gives for one moment."""

    buffers: Buffers
    hit: ground.GroundHit
    table: shade.Surfaces
    turn: F32
    eye: F32
    rays: tuple[F32, F32, F32]
    camera: Pinhole
    depth: F32
    normal: F32
    world_pose: F32


class _Some(NamedTuple):
    """Some pixels by flat index: surface ids (n,), depth (n,), normals (n, 3), the sky's colour (n, 3)."""

    at: NDArray[np.intp]
    ids: I32
    depth: F32
    normal: F32
    backdrop: F32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreetScene:
    """One street and everything in it; ``render`` takes pictures of it at any size and time."""

    seed: int
    camera: Camera
    road: ground.Road
    light: weather.Light
    sensor: Sensor
    objects: Table
    faces: Table
    quadrics: Table
    wires: tuple[F32, ...]

    @staticmethod
    def make(seed: int) -> StreetScene:
        """The scene of a seed, always the same."""
        rng = np.random.default_rng([seed, 77])
        road = ground.make_road(rng)
        light = weather.make_light(rng)
        camera = _make_camera(rng)
        sensor = make_sensor(rng)
        objects, faces, quadrics = furnish(rng, road)
        return StreetScene(
            seed=seed,
            camera=camera,
            road=road,
            light=light,
            sensor=sensor,
            objects=objects,
            faces=faces,
            quadrics=quadrics,
            wires=make_wires(np.random.default_rng([seed, 78]), road),
        )

    def render(self, height: int, width: int, time_s: float = 0.0, next_s: float | None = None) -> Sample:
        """A frame at ``time_s`` with its truth; flow to ``next_s`` where that is given."""
        layers = self._layers(height, width, time_s)
        ids, instances, hidden = self._labels(layers)
        light = self._colours(layers)
        if self.wires:
            draw_wires(light, self.wires, layers.camera, layers.turn, layers.eye, layers.depth)
        self._bonnet(light, hidden)
        views = develop(self.sensor, self.light, light, [self.seed, round(time_s * 1000)])
        depth = np.where(hidden | (layers.buffers.near <= 0), np.nan, layers.depth).astype(np.float32)
        normal = np.where(hidden | np.isnan(depth), 0, layers.normal.transpose(2, 0, 1)).astype(np.float32)
        flow = None if next_s is None else self._flow(layers, depth, height, width, next_s)
        return Sample(
            views=views,
            ids=ids,
            instances=instances,
            depth=depth,
            normals=normal,
            modality=Modality.STREET,
            focal_px=layers.camera.focal,
            centre=layers.camera.centre,
            flow=flow,
        )

    def eye_height(self) -> float:
        """Metres from the road up to the camera."""
        return self.camera.height

    def _pinhole(self, height: int, width: int) -> Pinhole:
        c = self.camera
        centre = ((width - 1) / 2 + c.centre[0] * width, (height - 1) / 2 + c.centre[1] * width)
        return Pinhole.make(c.focal * width, centre, height, width)

    def _eye(self, time_s: float) -> tuple[F32, F32]:
        """(turn world to camera (3, 3), eye in the world (3,))."""
        c, s = self.camera, self.camera.speed * time_s
        yaw = float(self.road.heading(s)) + c.yaw
        slope = np.arctan(self.road.hill * s)
        nod = min(c.speed / 8, 1) * c.shake * (np.sin(8 * time_s) + 0.5 * np.sin(19.3 * time_s))
        roll, pitch = c.roll + 0.4 * nod, c.pitch + float(slope) + nod
        turn = _turn_z(roll) @ _turn_x(pitch) @ _turn_y(yaw)
        x = self.road.ego + float(self.road.centre(s))
        y = float(self.road.height(s)) - c.height
        return turn.astype(np.float32), np.array([x, y, float(s)], np.float64).astype(np.float32)

    def _world_poses(self, time_s: float) -> F32:
        """(O, 3, 4) object to world."""
        o = self.objects
        s, l = o["s"] + o["speed"] * time_s, o["l"] + o["drift"] * time_s  # noqa: E741
        yaw = self.road.heading(s) + o["yaw"]
        strips = self.road.strips
        index = np.searchsorted(strips.edges, o["l"])
        crossing = (o["s"] > self.road.crossing[0]) & (o["s"] < self.road.crossing[1])
        lift = np.where(strips.raised[index] & ~crossing & (o["drift"] == 0), ground.KERB, 0)
        pose = np.zeros((len(o), 3, 4), np.float32)
        pose[:, 0, 0], pose[:, 0, 2] = np.cos(yaw), np.sin(yaw)
        pose[:, 2, 0], pose[:, 2, 2] = -np.sin(yaw), np.cos(yaw)
        pose[:, 1, 1] = 1
        pose[:, 0, 3], pose[:, 1, 3], pose[:, 2, 3] = l + self.road.centre(s), self.road.height(s) - lift, s
        pose[0] = np.eye(3, 4)
        return pose

    def _poses(self, time_s: float) -> tuple[F32, F32, F32, F32]:
        """(object to camera, object to world, turn, eye)."""
        turn, eye = self._eye(time_s)
        world = self._world_poses(time_s)
        pose = np.einsum("ij,njk->nik", turn, world)
        pose[:, :, 3] -= turn @ eye
        return pose.astype(np.float32), world, turn, eye

    def _layers(self, height: int, width: int, time_s: float) -> _Layers:
        camera = self._pinhole(height, width)
        pose, world, turn, eye = self._poses(time_s)
        x, y = np.meshgrid(camera.x, camera.y)
        rays = tuple(turn[0, k] * x + turn[1, k] * y + turn[2, k] for k in range(3))
        hit = ground.meet(self.road, eye, (rays[0], rays[1], rays[2]))
        count = len(self.faces) + len(self.quadrics)
        near = np.where(hit.depth < FAR, 1 / np.maximum(hit.depth, 1e-3), 0).astype(np.float32)
        buffers = Buffers.make(near, np.where(near > 0, count, count + 1).astype(np.int32))
        raster = Raster(camera, buffers, Cutouts(atlas().alpha))
        flat = raster.draw(self.faces, self.quadrics, pose)
        table = shade.surfaces(self.faces, self.quadrics, flat, pose)
        depth: F32 = (1 / np.maximum(buffers.near, 1e-3)).astype(np.float32)
        normal = shade.normals(table, buffers.ids, x, y, depth)
        on_ground = buffers.ids == count
        normal[on_ground] = self._ground_normals(hit, turn, np.flatnonzero(on_ground))
        return _Layers(
            buffers, hit, table, turn, eye, (rays[0], rays[1], rays[2]), camera, depth, normal, world
        )

    def _ground_normals(self, hit: ground.GroundHit, turn: F32, at: NDArray[np.intp]) -> F32:
        """(n, 3) in camera axes, of pixels by their flat index."""
        s = hit.s.ravel()[at]
        slope = self.road.hill * s
        scale = 1 / np.sqrt(1 + slope * slope)
        n = np.stack([np.zeros_like(slope), -scale, -slope * scale], 1)
        kerb = hit.kerb.ravel()[at]
        if kerb.any():
            heading = self.road.heading(s)
            side = np.stack([np.cos(heading), np.zeros_like(heading), -np.sin(heading)], 1)
            sign = hit.kerb_sign.ravel()[at][:, None]
            side = np.where(sign == 0, np.array([0.0, 0.0, -1.0]), side * sign)
            n = np.where(kerb[:, None], side, n)
        out: F32 = (n @ turn.T).astype(np.float32)
        return out

    def _labels(self, layers: _Layers) -> tuple[U8, U16, Bool]:
        ids, table = layers.buffers.ids, layers.table
        cls = np.append(table.cls, [0, SKY]).astype(np.uint8)[ids]
        on_ground = ids == table.count
        cls[on_ground] = self.road.strips.cls[layers.hit.strip[on_ground]]
        cls[on_ground & layers.hit.kerb] = ground.WALK
        inst = np.append(self.objects["inst"][table.obj], [0, 0]).astype(np.uint16)[ids]
        hidden = _bonnet_mask(self.camera, *ids.shape)
        cls[hidden], inst[hidden] = NO_CLASS, 0
        return cls, inst, hidden

    def _colours(self, layers: _Layers) -> F32:
        """Linear light (H, W, 3) of the whole picture before the sensor."""
        world = self._world(layers)
        rays = layers.rays
        backdrop = np.zeros((*layers.depth.shape, 3), np.float32)
        open_ = (layers.buffers.ids > layers.table.count) | (layers.buffers.behind > layers.table.count)
        if open_.any():
            x, y, z = (_pack(r[open_]) for r in rays)
            length = np.sqrt(x * x + y * y + z * z)
            seen = weather.sky(self.light, x / length, y / length, z / length)
            backdrop[open_] = seen.reshape(-1, 3)[: int(open_.sum())]
        flat = backdrop.reshape(-1, 3)
        every = np.arange(len(flat))
        now = _Some(
            every, layers.buffers.ids.ravel(), layers.depth.ravel(), layers.normal.reshape(-1, 3), flat
        )
        out = self._shaded(layers, world, now)
        self._veil(out, layers, world, flat)
        return out.reshape(backdrop.shape)

    def _world(self, layers: _Layers) -> shade.World:
        shadows = weather.cast(self.light, self.objects, layers.world_pose, layers.eye)
        p, size = layers.world_pose[:, :, 3], self.objects["size"]
        reach = 0.75 * np.hypot(size[:, 0], size[:, 2]) + 0.3
        sun, _ = shadows.at(
            (p[:, 0] + reach * self.light.sun[0])[None],
            (p[:, 2] + reach * self.light.sun[2])[None],
            0.0,
        )
        lit = np.where(size[:, 1] < 6, sun[0], 1).astype(np.float32)
        return shade.World(layers.turn, layers.eye, self.light, shadows, lit, layers.camera, self.road)

    def _shaded(self, layers: _Layers, world: shade.World, some: _Some) -> F32:
        """Linear colours (n, 3) of a list of pixels."""
        count = layers.table.count
        out = some.backdrop.copy()
        for where, kind in ((some.ids < count, 0), (some.ids == count, 1)):
            pick = np.flatnonzero(where)
            if not pick.size:
                continue
            at = some.at[pick]
            ids, depth, normal = _pack(some.ids[pick]), _pack(some.depth[pick]), _pack(some.normal[pick])
            width = layers.depth.shape[1]
            x, y = _pack(layers.camera.x[at % width]), _pack(layers.camera.y[at // width])
            part = shade.Pixels(ids, x, y, depth, normal)
            if kind == 0:
                colour = shade.bodies(layers.table, part, world)
            else:
                hit = ground.GroundHit(*(_pack(a.ravel()[at]) for a in _fields(layers.hit)))
                points = [layers.eye[k] + _pack(layers.rays[k].ravel()[at]) * depth for k in (0, 2)]
                colour = shade.earth(hit, part, world, (points[0], points[1]))
            left = np.exp(-self.light.haze * depth)[..., None]
            colour = colour * left + np.array(self.light.horizon, np.float32) * (1 - left)
            out[pick] = colour.reshape(-1, 3)[: pick.size]
        return out

    def _veil(self, out: F32, layers: _Layers, world: shade.World, backdrop: F32) -> None:
        """Mix what is behind branches and wire into the picture (flat list of pixels)."""
        table, count = layers.table, layers.table.count
        front = layers.buffers.ids.ravel()
        cut = np.append(table.looks["cut"], [0, 0])[front]
        at = np.flatnonzero((layers.buffers.behind.ravel() >= 0) & (cut == 2))
        if not at.size:
            return
        width = layers.depth.shape[1]
        x, y = layers.camera.x[at % width], layers.camera.y[at // width]
        ids = layers.buffers.behind.ravel()[at]
        on_ground = ids == count
        depth = (1 / np.maximum(layers.buffers.behind_near.ravel()[at], 1 / FAR)).astype(np.float32)
        normal = shade.normals(table, ids, x, y, depth)
        normal[on_ground] = self._ground_normals(layers.hit, layers.turn, at[on_ground])
        behind = self._shaded(layers, world, _Some(at, ids, depth, normal, backdrop[at]))
        near = (front[at], x, y, layers.depth.ravel()[at], layers.normal.reshape(-1, 3)[at])
        _, alpha = shade.albedo(table, shade.Pixels(*(_pack(a) for a in near)), world)
        share = np.clip(alpha.ravel()[: at.size] * 1.6 - 0.5, 0, 1)[:, None]
        out[at] = out[at] * share + behind * (1 - share)

    def _bonnet(self, light: F32, hidden: Bool) -> None:
        if not hidden.any():
            return
        height, width = hidden.shape
        top = hidden.argmax(0)
        down = np.arange(height)[:, None] - top[None]
        rows, columns = np.nonzero(hidden)
        deep = down[hidden] / max(height - int(top.min()), 1)
        wave = 0.02 * height * np.sin(columns / width * 9 + self.seed)
        source = np.clip(top[columns] - 2 - down[hidden] * 2.4 - wave * deep, 0, height - 1).astype(np.intp)
        soft = cv2.blur(light, (9, 3))
        shine = np.minimum(soft[source, columns], 3)
        up = weather.ramp(self.light, np.full((1, 1), 0.5, np.float32))[0, 0]
        paint = np.array(self.camera.bonnet_colour, np.float32) * (
            np.array(self.light.ambient, np.float32) * 0.9
        )
        share = (self.camera.bonnet_shine * (0.35 + 0.65 * np.exp(-deep * 2.5)))[:, None]
        edge = (1 + 0.8 * self.camera.bonnet_shine * np.exp(-down[hidden] / (0.006 * height)))[:, None]
        light[hidden] = (paint * (1 - 0.3 * deep[:, None]) + share * (0.75 * shine + 0.1 * up)) * edge

    def _flow(self, layers: _Layers, depth: F32, height: int, width: int, next_s: float) -> F32:
        then = self._layers(height, width, next_s)
        ids = layers.buffers.ids
        known = ids < layers.table.count
        obj = np.where(known, layers.table.obj[np.where(known, ids, 0)], 0)
        move = self._moves(layers, then)[obj]
        x, y = np.meshgrid(layers.camera.x, layers.camera.y)
        p = np.stack([x * depth, y * depth, depth], -1)
        q = np.einsum("hwij,hwj->hwi", move[..., :3], p) + move[..., 3]
        z = np.where(q[..., 2] > 0.1, q[..., 2], np.nan)
        u = q[..., 0] / z * then.camera.focal + then.camera.centre[0]
        v = q[..., 1] / z * then.camera.focal + then.camera.centre[1]
        seen = _seen(u, v, z, obj, then, self.camera)
        columns, rows = np.meshgrid(np.arange(width), np.arange(height))
        flow = np.stack([u - columns, v - rows])
        return np.where(seen, flow, np.nan).astype(np.float32)

    def _moves(self, now: _Layers, then: _Layers) -> F32:
        """(O, 3, 4): camera point now to camera point then, for points that ride on each object."""
        a, b = now.world_pose.astype(np.float64), then.world_pose.astype(np.float64)
        turn = np.einsum("ij,njk,nlk,ml->nim", then.turn, b[:, :, :3], a[:, :, :3], now.turn)
        carry = (
            np.einsum("nij,nkj,nk->ni", b[:, :, :3], a[:, :, :3], now.eye - a[:, :, 3])
            + b[:, :, 3]
            - then.eye
        )
        shift = np.einsum("ij,nj->ni", then.turn, carry)
        out: F32 = np.concatenate([turn, shift[:, :, None]], axis=2)
        return out


def _seen(u: F32, v: F32, z: F32, obj: I32, then: _Layers, camera: Camera) -> Bool:
    """Whether the moved point is the nearest one where it lands, inside of the picture."""
    height, width = u.shape
    column, row = np.rint(np.nan_to_num(u, nan=-9)), np.rint(np.nan_to_num(v, nan=-9))
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    k, j = np.where(inside, row, 0).astype(np.intp), np.where(inside, column, 0).astype(np.intp)
    there = then.depth[k, j]
    ids = then.buffers.ids[k, j]
    other = np.append(then.table.obj, [0, 0])[ids]
    close = np.abs(there - z) < 0.03 * z + 0.05
    out: Bool = inside & close & (other == obj) & ~_bonnet_mask(camera, height, width)[k, j]
    return out


def _fields(hit: ground.GroundHit) -> tuple[NDArray[Any], ...]:
    return (hit.depth, hit.strip, hit.l, hit.s, hit.kerb, hit.kerb_sign)


def _pack(values: NDArray[Any]) -> NDArray[Any]:
    """A list of pixels as rows of 256, the last one repeated to fill (table look-ups want two axes)."""
    fill = -len(values) % 256
    padded = np.concatenate([values, np.repeat(values[-1:], fill, axis=0)]) if fill else values
    return padded.reshape(-1, 256, *values.shape[1:])


def _make_camera(rng: Generator) -> Camera:
    shows, turning = rng.random() < 0.6, rng.random() < 0.08
    tone = float(rng.choice([0.02, 0.03, 0.05, 0.2, 0.45, 0.7]))
    return Camera(
        focal=float(rng.uniform(0.5, 1.25)),
        centre=(float(rng.normal(0, 0.015)), float(rng.normal(0, 0.02))),
        height=float(rng.uniform(1.05, 2.2) if rng.random() < 0.35 else rng.uniform(1.2, 1.65)),
        yaw=float(rng.normal(0, 0.05) + turning * rng.uniform(-0.5, 0.5)),
        pitch=float(rng.normal(0.0, 0.045)),
        roll=float(rng.normal(0, 0.015)),
        speed=float(rng.uniform(2, 15)) if rng.random() < 0.85 else 0.0,
        bonnet=float(rng.uniform(0.03, 0.17)) if shows else 0.0,
        bonnet_colour=(tone, tone, tone * float(rng.uniform(0.9, 1.2))),
        bonnet_bulge=float(rng.uniform(0.02, 0.3)),
        bonnet_shine=float(rng.uniform(0.05, 0.5)),
        shake=float(rng.exponential(0.0025)) if rng.random() < 0.6 else 0.0,
    )


def _bonnet_mask(camera: Camera, height: int, width: int) -> Bool:
    if camera.bonnet == 0:
        return np.zeros((height, width), np.bool_)
    x = (np.arange(width) + 0.5) / width * 2 - 1
    top = height * (1 - camera.bonnet * (1 - camera.bonnet_bulge * 2 * x**2))
    out: Bool = np.arange(height)[:, None] >= top[None]
    return out


def _turn_y(a: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """World to a camera that looks ``a`` to the right."""
    return np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])


def _turn_x(a: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """... and looks ``a`` up."""
    return np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])


def _turn_z(a: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])


def sample(seed: int, height: int, width: int) -> Sample:
    """One random frame of a random street."""
    return StreetScene.make(seed).render(height, width)


__all__ = ["Camera", "StreetScene", "sample"]
