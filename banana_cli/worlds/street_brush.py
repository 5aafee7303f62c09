"""Brushes for the pictures on surfaces: rectangles, glass, lamps, unreadable letters."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from banana_cli.types import U8

SIDE = 128
Rgb = tuple[int, int, int]
_LETTERS = "ABCDEFGHIKLMNOPRSTUVWY0123456789"


def blank(alpha: int = 0) -> U8:
    """An empty tile (SIDE, SIDE, 4)."""
    out = np.zeros((SIDE, SIDE, 4), np.uint8)
    out[..., 3] = alpha
    return out


def rect(t: U8, x0: float, y0: float, x1: float, y1: float, rgb: Rgb, alpha: int = 255) -> None:
    """A filled rectangle, corners in shares of the tile."""
    a, b = (round(x0 * SIDE), round(y0 * SIDE)), (round(x1 * SIDE) - 1, round(y1 * SIDE) - 1)
    cv2.rectangle(t, a, b, (*rgb, alpha), -1)


def grey(rng: Generator, low: int, high: int, tint: int = 12) -> Rgb:
    """A random grey with a tint."""
    base = int(rng.integers(low, high))
    r, g, b = (int(np.clip(base + rng.integers(-tint, tint + 1), 0, 255)) for _ in range(3))
    return (r, g, b)


def glass(t: U8, rng: Generator, x0: float, y0: float, x1: float, y1: float) -> None:
    """A pane, brighter at its top."""
    top, low = grey(rng, 45, 150), grey(rng, 12, 70)
    rows = max(round((y1 - y0) * SIDE), 1)
    for k in range(rows):
        f = k / rows
        colour = tuple(int(a * (1 - f) + b * f) for a, b in zip(top, low, strict=True))
        y = y0 + k / SIDE
        rect(t, x0, y, x1, y + 1.5 / SIDE, (colour[0], colour[1], min(colour[2] + 8, 255)))


def scribble(t: U8, rng: Generator, x0: float, y0: float, x1: float, y1: float, rgb: Rgb) -> None:
    """Words that mean nothing, filling a box as well as letters can."""
    tall, wide = (y1 - y0) * SIDE, (x1 - x0) * SIDE
    scale = min(tall / 22, wide / 50)
    count = max(int(wide / (scale * 20)), 1)
    word = "".join(_LETTERS[int(k)] for k in rng.integers(len(_LETTERS), size=count))
    at = (round(x0 * SIDE), round(y1 * SIDE))
    cv2.putText(t, word, at, cv2.FONT_HERSHEY_DUPLEX, scale, (*rgb, 255), max(round(scale * 2.2), 1))


def fade(t: U8, y0: float, y1: float, rgb: Rgb, a0: float, a1: float) -> None:
    """A band across the tile whose alpha runs from ``a0`` to ``a1`` (0..1), laid over what is there."""
    rows = slice(round(y0 * SIDE), round(y1 * SIDE))
    count = rows.stop - rows.start
    over = np.linspace(a0, a1, count, dtype=np.float32)[:, None, None]
    part = t[rows].astype(np.float32)
    under = part[..., 3:] / 255
    alpha = over + under * (1 - over)
    mixed = (np.array(rgb, np.float32) * over + part[..., :3] * under * (1 - over)) / np.maximum(alpha, 1e-3)
    t[rows] = np.concatenate([mixed, alpha * 255], axis=2).astype(np.uint8)


def area(t: U8, points: list[tuple[float, float]], rgb: Rgb, alpha: int = 255) -> None:
    """A filled polygon, corners in shares of the tile."""
    fixed = (np.array(points) * SIDE * 16).astype(np.int32)
    cv2.fillPoly(t, [fixed], (*rgb, alpha), cv2.LINE_8, 4)


def lamp(t: U8, x: float, y: float, w: float, h: float, rgb: Rgb) -> None:
    """The same lamp left and right."""
    for side in (x, 1 - x - w):
        rect(t, side, y, side + w, y + h, rgb)
