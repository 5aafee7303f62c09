"""Weather of a street: sun, sky, clouds, haze, cast shadows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from banana_cli.types import F32, U8
from banana_cli.worlds.noise import lookup, tile
from banana_cli.worlds.raster import Table
from banana_cli.worlds.street_parts import Colour, linear

CELL, SPAN, BACK = 0.2, 60.0, 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """Linear colours; ``sun`` points at the sun in world axes (y down)."""

    sun: Colour
    sun_colour: Colour
    ambient: Colour
    zenith: Colour
    horizon: Colour
    cloud: float  # 0 clear .. 1 covered
    cloud_seed: int
    cloud_scale: float
    haze: float  # 1/m
    night: bool
    exposure: float
    warmth: float
    contrast: float


def make_light(rng: Generator) -> Light:
    """Random weather: mostly day, some overcast, a few dusks and nights."""
    kind = rng.random()
    night, dusk = kind < 0.05, 0.05 <= kind < 0.12
    cover = float(rng.choice([rng.uniform(0, 0.25), rng.uniform(0.25, 0.7), rng.uniform(0.85, 1.0)]))
    high = rng.uniform(0.05, 0.3) if dusk else rng.uniform(0.25, 1.25)
    turn = rng.uniform(0, 2 * np.pi)
    sun = (float(np.cos(high) * np.sin(turn)), float(-np.sin(high)), float(np.cos(high) * np.cos(turn)))
    strong = (1.0 - 0.93 * max(cover - 0.6, 0) / 0.4) * (0 if night else 1) * (0.6 if dusk else 1)
    warm = 1.0 if dusk else float(np.clip(0.7 - high, 0, 0.5))
    blue = rng.uniform(0.4, 1.1)
    zenith = np.array(linear(60, 110, 190)) * blue
    horizon = np.array(linear(180, 205, 232)) * rng.uniform(0.8, 1.3)
    grey = rng.uniform(0.35, 0.95)
    mix = max(cover - 0.5, 0) * 2
    zenith = zenith * (1 - mix) + grey * 0.85 * np.array((0.92, 0.97, 1.05)) * mix
    horizon = horizon * (1 - mix) + grey * 1.05 * mix
    if dusk:
        zenith, horizon = zenith * 0.45, horizon * np.array((1.1, 0.75, 0.55)) * 0.7
    if night:
        zenith, horizon = np.array((0.008, 0.01, 0.02)), np.array((0.04, 0.035, 0.035))
    sun_colour = np.array((1.0, 0.93 - 0.25 * warm, 0.82 - 0.45 * warm)) * rng.uniform(1.8, 3.4) * strong
    ambient = (0.4 * zenith + 0.6 * horizon) * np.array((1.1, 1.0, 0.84)) * rng.uniform(0.35, 0.85) + (
        0.01 if night else 0.06
    )
    haze = (
        float(10 ** rng.uniform(-4.2, -2.9)) if rng.random() < 0.9 else float(10 ** rng.uniform(-2.7, -1.9))
    )
    return Light(
        sun=sun,
        sun_colour=_triple(sun_colour),
        ambient=_triple(ambient),
        zenith=_triple(zenith),
        horizon=_triple(horizon),
        cloud=cover,
        cloud_seed=int(rng.integers(6)),
        cloud_scale=float(rng.uniform(0.02, 0.08)),
        haze=haze,
        night=night,
        exposure=float(rng.normal(0.0, 0.36)),
        warmth=float(rng.normal(0, 0.06)),
        contrast=float(rng.uniform(0.15, 1.0)),
    )


def _triple(a: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Colour:
    return (float(a[0]), float(a[1]), float(a[2]))


def ramp(light: Light, rise: F32) -> F32:
    """Clear sky (..., 3) at a sine of elevation ``rise``; below the horizon a dark ground."""
    part = np.sqrt(np.clip(rise, 0, 1))[..., None]
    sky = np.array(light.horizon, np.float32) * (1 - part) + np.array(light.zenith, np.float32) * part
    ground = np.array(light.ambient, np.float32) * 0.22
    return np.where(rise[..., None] < 0, ground, sky).astype(np.float32)


def sky(light: Light, x: F32, y: F32, z: F32) -> F32:
    """Linear colours (H, W, 3) of unit world directions, with clouds and the sun's glow."""
    out = ramp(light, np.maximum(-y, 0.0))
    flat = light.cloud_scale / (np.maximum(-y, 0.0) + 0.12)
    n = lookup(tile(30 + light.cloud_seed, 4, 7, 0.55), x * flat, z * flat)
    edge = 1.7 - 2.6 * light.cloud
    amount = np.clip((n - edge) / 0.9, 0, 1) * (0.9 if light.cloud < 0.85 else 0.45)
    shade = lookup(tile(40 + light.cloud_seed, 8, 5), x * flat * 1.3, z * flat * 1.3)
    white = (np.array(light.horizon, np.float32).mean() * 0.75 + 0.2 * sum(light.sun_colour) / 3) * (
        1 + 0.16 * shade
    )
    if light.night:
        white = white * 0.3
    white = np.clip(white, 0, 2)[..., None] * np.array((1.0, 1.0, 1.02), np.float32)
    mixed = out * (1 - amount[..., None]) + white * amount[..., None]
    near = np.clip(x * light.sun[0] + y * light.sun[1] + z * light.sun[2], 0, 1)
    disc = 40 * max(1 - 1.25 * light.cloud, 0) * (near > 0.9995)
    glow = (0.35 * near**12 + 1.2 * near**90 + disc) * (1 - 0.85 * max(light.cloud - 0.3, 0))
    shown: F32 = (mixed + glow[..., None] * np.array(light.sun_colour)).astype(np.float32)
    return shown


@dataclass(frozen=True, slots=True, eq=False)
class Shadows:
    """Maps of the ground round the camera: what is dark by hard bodies, by crowns, and by closeness."""

    corner: tuple[float, float]
    hard: U8
    crowns: U8
    close: U8

    def at(self, x: F32, z: F32, soft: float) -> tuple[F32, F32]:
        """(sunlight left, openness to the sky), both 0..1, at world points (n, m)."""
        u, v = (
            ((x - self.corner[0]) / CELL).astype(np.float32),
            ((z - self.corner[1]) / CELL).astype(np.float32),
        )
        hard, crowns, close = (
            cv2.remap(m, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT).astype(np.float32) / 255
            for m in (self.hard, self.crowns, self.close)
        )
        leaves = np.clip(1.1 + 0.9 * lookup(tile(8, 16, 4, 0.7), x / 11, z / 11), 0.15 * soft, 1)
        return (1 - np.maximum(hard, crowns * leaves)).astype(np.float32), (1 - 0.75 * close).astype(
            np.float32
        )


def cast(light: Light, objects: Table, pose: F32, eye: F32) -> Shadows:
    """Shadows of objects with world ``pose`` (O, 3, 4) around the eye, on the ground."""
    corner = (float(eye[0]) - SPAN, float(eye[2]) - BACK)
    shape = (int((2 * SPAN + BACK) / CELL), int(2 * SPAN / CELL))
    hard, crowns, close = (np.zeros(shape, np.uint8) for _ in range(3))
    high = max(-light.sun[1], 0.12)
    throw = np.array([-light.sun[0] / high, -light.sun[2] / high], np.float32)
    near = (np.abs(pose[:, 2, 3] - eye[2] - SPAN / 2) < 1.6 * SPAN) & (objects["size"][:, 1] > 0)
    for k in np.flatnonzero(near):
        w, h, d = (float(v) for v in objects["size"][k])
        if objects["ellipse"][k]:
            ring = np.linspace(0, 2 * np.pi, 10)[:-1]
            foot = _ground(pose[k], np.stack([np.cos(ring) * w / 2, np.sin(ring) * d / 2], 1))
            lean = np.concatenate([foot + throw * h * 0.45, foot + throw * h * 0.85])
            _fill(crowns, lean, corner, 235)
            continue
        foot = _ground(pose[k], np.array([[-w, -d], [w, -d], [w, d], [-w, d]]) / 2)
        _fill(hard, np.concatenate([foot, foot + throw * h]), corner, 255)
        if h < 5:
            _fill(close, foot, corner, 255)
    return Shadows(corner, cv2.blur(hard, (3, 3)), cv2.blur(crowns, (5, 5)), cv2.blur(close, (5, 5)))


def _ground(pose: F32, points: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> F32:
    out: F32 = (points @ pose[np.ix_([0, 2], [0, 2])].T + pose[[0, 2], 3]).astype(np.float32)
    return out


def _fill(target: U8, points: F32, corner: tuple[float, float], value: int) -> None:
    pixels = np.clip((points - np.array(corner, np.float32)) / CELL * 8, -90000, 90000).astype(np.int32)
    cv2.fillConvexPoly(target, cv2.convexHull(pixels), value, cv2.LINE_8, 3)
