"""Colours of all pixels at once, from surface ids and depths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from banana_cli.types import F32, Bool
from banana_cli.worlds import street_ground as ground
from banana_cli.worlds.noise import Floats, lookup, tile
from banana_cli.worlds.raster import I32, Flat, Pinhole, Table, camera_frame
from banana_cli.worlds.street_atlas import atlas
from banana_cli.worlds.street_light import Light, Shadows, ramp

_LOOKS = ("colour", "tile", "rough", "gloss", "glow", "obj", "cls", "cut", "frame", "metric", "span")


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """Faces and then quadrics by id, in camera axes."""

    count: int
    flats: int
    normal: F32
    frame: F32
    looks: dict[str, F32]
    cls: np.ndarray[tuple[int], np.dtype[np.uint8]]
    obj: I32
    quadric: tuple[F32, F32, F32]


def surfaces(faces: Table, quadrics: Table, flat: Flat, pose: F32) -> Surfaces:
    """Everything that shading needs, gathered by surface id."""
    both = {name: np.concatenate([faces[name], quadrics[name]]) for name in _LOOKS}
    obj = both["obj"]
    q = pose[quadrics["obj"]]
    centre = np.einsum("nij,nj->ni", q[:, :, :3], quadrics["centre"]) + q[:, :, 3]
    normal = np.concatenate([flat.normal, np.zeros((len(quadrics), 3), np.float32)])
    looks = {
        k: both[k].astype(np.float32)
        for k in ("colour", "tile", "rough", "gloss", "glow", "cut", "metric", "span")
    }
    frame = camera_frame(both["frame"], pose[obj]).astype(np.float32)
    return Surfaces(
        len(obj),
        len(faces),
        normal,
        frame,
        looks,
        both["cls"],
        obj,
        (centre, quadrics["weight"], q[:, :, :3]),
    )


class Pixels(NamedTuple):
    """A list of pixels as (n, m) arrays: id, ray x and y, depth, normals (n, m, 3)."""

    ids: I32
    x: F32
    y: F32
    depth: F32
    normal: F32


def normals(table: Surfaces, ids: I32, x: F32, y: F32, depth: F32) -> F32:
    """(n, m, 3) unit normals in camera axes towards the camera; 0 for ids beyond the table."""
    known = ids < table.count
    out = np.where(known[..., None], table.normal[np.where(known, ids, 0)], 0).astype(np.float32)
    round_ = known & (ids >= table.flats)
    if round_.any():
        k = ids[round_] - table.flats
        centre, weight, turn = table.quadric
        p = (
            np.stack([x[round_], y[round_], np.ones(k.size, np.float32)], 1) * depth[round_][:, None]
            - centre[k]
        )
        local = np.einsum("nij,ni->nj", turn[k], p) * weight[k]
        n = np.einsum("nij,nj->ni", turn[k], local)
        out[round_] = n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-9)
    return out


class World(NamedTuple):
    """What light needs besides surfaces; ``turn`` (3, 3) is world to camera, ``eye`` lies in the world."""

    turn: F32
    eye: F32
    light: Light
    shadows: Shadows
    shade: F32  # sunlight that each object gets (O,)
    camera: Pinhole
    road: ground.Road


def albedo(table: Surfaces, pixels: Pixels, world: World) -> tuple[F32, F32]:
    """Linear albedo (n, m, 3) of table surfaces and what of it is a picture (0..1)."""
    ids = np.where(pixels.ids < table.count, pixels.ids, 0)
    looks = table.looks
    frame = table.frame[ids]
    z = pixels.depth
    point = (pixels.x * z, pixels.y * z, z)
    u, v = (
        frame[..., k, 0] * point[0]
        + frame[..., k, 1] * point[1]
        + frame[..., k, 2] * point[2]
        + frame[..., k, 3]
        for k in (0, 1)
    )
    metric, span = looks["metric"][ids], looks["span"][ids]
    u, v = np.clip(u, 1e-3, span[..., 0] - 1e-3), np.clip(v, 1e-3, span[..., 1] - 1e-3)
    facing = -(pixels.normal[..., 0] * pixels.x + pixels.normal[..., 1] * pixels.y + pixels.normal[..., 2])
    foot = z / world.camera.focal
    slant = foot / np.maximum(facing, 0.15)
    picture = atlas().sample(
        looks["tile"][ids], u, v, np.maximum(slant * 0.7, foot) / np.maximum(metric[..., 1], 0.05)
    )
    alpha = picture[..., 3]
    cut = looks["cut"][ids]
    base = looks["colour"][ids]
    grain = _grain(u * metric[..., 0] + ids * 0.37, v * metric[..., 1] + ids * 0.11, slant)
    base = base * np.clip(1 + looks["rough"][ids] * grain, 0.1, 3)[..., None]
    tint = 1 + 0.55 * _cell_hash(u, v, ids) * (picture[..., 2] < 0.3)
    inked = np.where((cut > 0)[..., None], base * picture[..., :3] * 1.2, 0)
    share = np.where(cut > 0, 0, alpha)[..., None]
    out = np.where(
        (cut > 0)[..., None], inked, base * (1 - share) + picture[..., :3] * tint[..., None] * share
    )
    return out.astype(np.float32), alpha


def _cell_hash(u: F32, v: F32, ids: I32) -> F32:
    """A number in -1..1 for every repeat of a tile."""
    k = np.floor(u) * 12.9898 + np.floor(v) * 78.233 + (ids % 1009) * 3.7
    h = np.sin(k) * 43.5453
    out: F32 = ((h - np.floor(h)) * 2 - 1).astype(np.float32)
    return out


def _grain(u: Floats, v: Floats, foot: Floats) -> F32:
    total = np.zeros_like(foot)
    for size, power in ((0.35, 1.1), (2.5, 0.8)):
        fade = np.clip(1.4 - foot * 7 / size, 0, 1)
        total += power * fade * lookup(tile(4, 32, 4, 0.8), u / (size * 3.1), v / (size * 3.1))
    return total


def lit(base: F32, normal: F32, pixels: Pixels, sun: F32, openness: F32, world: World) -> F32:
    """Light leaving matt surfaces: ambient by how far they look up, the sun, head lamps at night."""
    light = world.light
    to_sun = world.turn @ np.array(light.sun, np.float32)
    up = world.turn @ np.array([0, -1, 0], np.float32)
    facing = np.clip(normal @ to_sun, 0, 1) * sun
    open_ = (0.68 + 0.32 * (normal @ up)) * openness
    power = facing[..., None] * np.array(light.sun_colour, np.float32)
    power += open_[..., None] * np.array(light.ambient, np.float32)
    if light.night:
        front = np.clip(-normal[..., 2], 0.15, 1)
        beam = 0.9 / (1 + (pixels.depth / 11) ** 2) * np.clip(1 - np.abs(pixels.x), 0, 1) * front
        power += beam[..., None] * np.array((1.0, 0.93, 0.8), np.float32)
    out: F32 = (base * power).astype(np.float32)
    return out


def mirror(normal: F32, pixels: Pixels, world: World) -> F32:
    """Sky colour (n, m, 3) that a mirror there would show, with the sun's highlight."""
    length = np.sqrt(pixels.x**2 + pixels.y**2 + 1)
    ray = np.stack([pixels.x, pixels.y, np.ones_like(pixels.x)], -1) / length[..., None]
    bounce = ray - 2 * (ray * normal).sum(-1, keepdims=True) * normal
    to_sun = world.turn @ np.array(world.light.sun, np.float32)
    shine = np.clip(bounce @ to_sun, 0, 1) ** 60
    seen = bounce @ world.turn  # world axes
    rise = -seen[..., 1] + np.float32(0.06)
    line = lookup(tile(18, 16, 4, 0.8), np.arctan2(seen[..., 0], seen[..., 2]) / 3, rise * 0.4)
    # houses and trees round about, seen in it
    street = np.clip((0.18 + 0.12 * line - rise) / 0.07, 0, 1) * np.clip(rise / 0.05, 0, 1)
    dark = np.array(world.light.ambient, np.float32) * 0.3
    sky = ramp(world.light, rise) * (1 - street[..., None]) + dark * street[..., None]
    out: F32 = sky + 0.8 * shine[..., None] * np.array(world.light.sun_colour, np.float32)
    return out


def bodies(table: Surfaces, pixels: Pixels, world: World) -> F32:
    """Linear colour of surfaces of the table."""
    ids = np.where(pixels.ids < table.count, pixels.ids, 0)
    base, picture = albedo(table, pixels, world)
    height = _height(pixels, world)
    openness = np.clip(0.55 + height * 0.5, 0.55, 1)
    glossy = table.looks["gloss"][ids]
    normal = pixels.normal
    round_ = table.cls[ids] == 8
    sun = world.shade[table.obj[ids]]
    if round_.any():
        base, openness = _crown(base, openness, pixels, round_, world)
    out = lit(base, normal, pixels, sun, openness, world)
    if glossy.any():
        facing = np.clip(-(normal[..., 0] * pixels.x + normal[..., 1] * pixels.y + normal[..., 2]), 0, 1)
        share = glossy * (0.14 + 0.86 * (1 - facing) ** 3)
        out = out * (1 - share[..., None]) + mirror(normal, pixels, world) * share[..., None]
    glow = table.looks["glow"][ids]
    bright = np.clip(base.max(-1) * 2, 0.05, 1) * (table.looks["tile"][ids] > 0) + (
        table.looks["tile"][ids] == 0
    )
    shown: F32 = (out + (glow * bright)[..., None] * base).astype(np.float32)
    return shown


def _crown(base: F32, openness: F32, pixels: Pixels, where: Bool, world: World) -> tuple[F32, F32]:
    """Leaves: dark gaps inside and light tips."""
    point = np.stack([pixels.x, pixels.y, np.ones_like(pixels.x)], -1) * pixels.depth[..., None]
    x, y, z = np.moveaxis((point @ world.turn + world.eye) * np.float32(0.3), -1, 0)
    field = tile(12, 16, 5, 0.85)
    fine = 0.7 * (lookup(field, x, y) + lookup(field, z + 0.4, y + 0.5 * x))
    k = np.clip(1 + 0.6 * fine, 0.12, 2.6)
    return (
        np.where(where[..., None], base * k[..., None], base),
        np.where(where, np.clip(0.75 + 0.3 * fine, 0.2, 1), openness),
    )


def _height(pixels: Pixels, world: World) -> F32:
    down = world.turn[:, 1]
    fall = (down[0] * pixels.x + down[1] * pixels.y + down[2]) * pixels.depth
    ahead = (world.turn[0, 2] * pixels.x + world.turn[1, 2] * pixels.y + world.turn[2, 2]) * pixels.depth
    bottom = world.road.height((world.eye[2] + ahead).astype(np.float64))
    out: F32 = (bottom - world.eye[1] - fall).astype(np.float32)
    return out


def earth(hit: ground.GroundHit, pixels: Pixels, world: World, points: tuple[F32, F32]) -> F32:
    """Linear colour of ground pixels; ``points`` are their world x and z."""
    foot = pixels.depth / world.camera.focal
    facing = np.maximum(
        -(pixels.normal[..., 0] * pixels.x + pixels.normal[..., 1] * pixels.y + pixels.normal[..., 2]), 0.004
    )
    base, share = ground.paint(world.road, hit, foot, (foot / facing).astype(np.float32))
    sun, openness = world.shadows.at(points[0], points[1], 1.0)
    out = lit(base, pixels.normal, pixels, sun, openness, world)
    if world.road.wet:
        puddle = np.clip(0.6 + 0.5 * lookup(tile(9, 8, 4), points[0] / 40, points[1] / 40), 0, 1)
        shine = (puddle * 0.75 * (1 - np.clip(facing, 0, 1)) ** 4)[..., None]
        out = out * (0.75 - 0.6 * shine) + mirror(pixels.normal, pixels, world) * shine
    return out.astype(np.float32)
