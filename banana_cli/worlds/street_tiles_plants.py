"""The pictures of plants: bare branches, crowns with ragged edges, far tree lines."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from banana_cli.types import F32, U8
from banana_cli.worlds.noise import tile as noise_tile
from banana_cli.worlds.street_brush import SIDE, blank


def _grow(t: U8, rng: Generator, p: F32, angle: float, length: float, width: float) -> None:
    if (
        length < 2.5
        or np.hypot(p[0] - SIDE / 2, 0.9 * (p[1] - SIDE / 2)) > SIDE * 0.47
        and length < SIDE * 0.12
    ):
        return
    q = np.clip(p + length * np.array([np.cos(angle), -np.sin(angle)], np.float32), 2, SIDE - 3)
    tone = int(rng.integers(130, 255))
    a, b = ((int(p[0] * 8), int(p[1] * 8)), (int(q[0] * 8), int(q[1] * 8)))
    cv2.line(t, a, b, (tone, tone, tone, 255), max(round(width), 1), cv2.LINE_AA, 3)
    for _ in range(int(rng.integers(2, 4))):
        turn = angle + rng.normal(0, 0.5)
        _grow(t, rng, q.astype(np.float32), turn, length * rng.uniform(0.6, 0.84), width * 0.6)


def branch(rng: Generator, index: int) -> U8:
    """A bare crown; the soft veil round its twigs counts as tree too."""
    t = blank()
    t[..., :3] = 190
    for turn in (1.57, 1.0, 2.1):
        _grow(t, rng, np.array([64, 127], np.float32), turn + rng.normal(0, 0.15), SIDE * 0.19, 3.0)
    hull = cv2.GaussianBlur(cv2.dilate(t[..., 3], np.ones((5, 5), np.uint8)), (0, 0), 3)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] - (SIDE - 1) / 2
    ragged = 0.94 + 0.05 * noise_tile(51 + index, 16, 3)[:SIDE, :SIDE]
    inside = np.hypot(columns, rows * (rows < 0)) < SIDE / 2 * ragged
    veil = np.where(inside, hull * 0.34, 0)
    t[..., 3] = np.where(inside, np.maximum(t[..., 3], veil), 0).astype(np.uint8)
    return t


def crown(rng: Generator, index: int) -> U8:
    """A leafy crown of lobes: light tops, dark undersides, gaps of sky, a ragged edge."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1)
    solid, tone = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    slim = (1.0, 1.0, 0.75, 1.0, 0.55, 1.0, 0.85, 1.0)[index % 8]
    for _ in range(70):
        a, r = rng.uniform(0, 2 * np.pi), 0.33 * np.sqrt(rng.random())
        x, y, size = 0.5 + slim * r * np.cos(a), 0.5 + r * np.sin(a), rng.uniform(0.05, 0.115)
        near = 1.2 - np.hypot(columns - x, (rows - y) * 1.15) / size
        own = 1.0 - 0.9 * np.clip((rows - y) / size, -1, 1) + 0.35 * (0.5 - y) + rng.normal(0, 0.12)
        tone = np.where(near > solid, own, tone)
        solid = np.maximum(solid, near)
    fine = noise_tile(61 + index, 64, 2, 0.9)[:SIDE, :SIDE]
    coarse = noise_tile(71 + index, 16, 2, 0.8)[:SIDE, :SIDE]
    matter = solid * 2.2 + 0.55 * fine + 0.3 * coarse > 0.25 + 0.22 * (index % 3)
    t = blank()
    shade = np.clip(150 * (0.55 + 0.42 * tone) * (1 + 0.3 * fine), 25, 255)
    t[..., :3] = shade[..., None].astype(np.uint8)
    round_ = np.hypot(columns - 0.5, rows - 0.5) < 0.46 + 0.02 * coarse
    t[..., 3] = np.where(matter & round_, 255, 0)
    return t


def skyline(rng: Generator, index: int) -> U8:
    """A tree line: round tops of different heights, dark between them."""
    t = blank(255)
    columns = np.arange(SIDE)
    edge, tone = np.full(SIDE, 60.0), np.zeros((SIDE, SIDE))
    rows = np.arange(SIDE)[:, None]
    for _ in range(16):
        x, y, r = rng.uniform(0, SIDE), rng.uniform(18, 60), rng.uniform(8, 24)
        gap = (columns - x + SIDE / 2) % SIDE - SIDE / 2
        arch = y - np.sqrt(np.maximum(r * r - gap * gap, 0)) * 1.1 + 40 * (np.abs(gap) > r)
        tone = np.where((np.abs(gap) < r) & (rows > arch), 1 - (rows - arch) / 50, tone)
        edge = np.minimum(edge, np.maximum(arch, 3))
    ragged = 3 * noise_tile(81 + index, 32, 2)[:SIDE, :SIDE]
    t[..., 3] = np.where(rows > edge[None] + ragged, 255, 0)
    fine = noise_tile(21 + index, 16, 4, 0.9)[:SIDE, :SIDE]
    t[..., :3] = np.clip(170 * (0.75 + 0.4 * np.clip(tone, -1, 1)) * (1 + 0.25 * fine), 40, 255)[..., None]
    return t
