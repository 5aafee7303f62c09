"""Overhead wires: seen in the picture, but no class of their own, as in the road data sets."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from banana_cli.types import F32
from banana_cli.worlds.raster import Pinhole
from banana_cli.worlds.street_ground import Road


def make_wires(rng: Generator, road: Road) -> tuple[F32, ...]:
    """World polylines (n, 3), sagging between masts along the road, and a few across it."""
    if rng.random() < 0.45:
        return ()
    wires = []
    side = int(rng.integers(2))
    l, step = road.kerbs[side] + (2 * side - 1) * rng.uniform(0.3, 2), rng.uniform(28, 45)  # noqa: E741
    s = np.arange(-10, 140, 4.0)
    for _ in range(int(rng.integers(1, 6))):
        part = (s / step) % 1
        y = -rng.uniform(6, 10) + 4 * rng.uniform(0.2, 0.8) * part * (1 - part) + road.height(s)
        wires.append(np.stack([road.centre(s) + l + rng.normal(0, 0.5), y, s], 1).astype(np.float32))
    for _ in range(int(rng.integers(0, 5))):
        t = np.linspace(0, 1, 12)
        at, far = rng.uniform(8, 60), rng.normal(0, 6)
        x = road.kerbs[0] - 4 + t * (road.kerbs[1] - road.kerbs[0] + 8) + road.centre(at)
        y = -rng.uniform(5.5, 8) + 2 * t * (1 - t) + road.height(at)
        wires.append(np.stack([x, y, at + far * t], 1).astype(np.float32))
    return tuple(wires)


def draw_wires(light: F32, wires: tuple[F32, ...], camera: Pinhole, turn: F32, eye: F32, depth: F32) -> None:
    """Darken ``light`` (H, W, 3) along the wires, before things farther than 45 m (``depth`` (H, W))."""
    ink = np.zeros(depth.shape, np.uint8)
    for wire in wires:
        p = (wire - eye) @ turn.T
        p = p[p[:, 2] > 1.5]
        if len(p) > 1:
            pixels = p[:, :2] / p[:, 2:] * camera.focal + np.array(camera.centre, np.float32)
            fixed = np.clip(pixels * 16, -3e5, 3e5).astype(np.int32)
            cv2.polylines(ink, [fixed], False, 190, 1, cv2.LINE_AA, 4)
    where = (ink > 0) & (depth > 45)
    share = ink[where].astype(np.float32)[:, None] / 255 * min(camera.focal / 400, 1)
    light[where] *= 1 - share
