"""Tileable random fields, made once and looked up often."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F32

SIDE = 512
Floats = NDArray[np.floating[Any]]


@lru_cache(maxsize=64)
def tile(seed: int, cells: int, octaves: int = 4, gain: float = 0.5, side: int = SIDE) -> F32:
    """(side, side) read-only fBm field that tiles, mean 0, deviation 1; ``cells`` (a power of two) bumps
    a side at the coarsest.

    Octaves whose bumps would be smaller than two pixels are left out.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros((side, side), np.float32)
    strength = 1.0
    for octave in range(octaves):
        count = cells << octave
        if count * 2 > side:
            break
        grid = rng.standard_normal((count, count), np.float32)
        wrapped = np.pad(grid, 2, mode="wrap")
        scale = side / count
        big = cv2.resize(wrapped, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        start = round(2 * scale)
        total += np.float32(strength) * big[start : start + side, start : start + side]
        strength *= gain
    out: F32 = ((total - total.mean()) / max(float(total.std()), 1e-6)).astype(np.float32)
    out.setflags(write=False)
    return out


def lookup(field: F32, u: Floats, v: Floats) -> F32:
    """Bilinear values of a tileable square ``field`` at (u, v), in tiles; u, v of one 2-D shape."""
    side = np.float32(field.shape[0])
    x = ((u - np.floor(u)) * side).astype(np.float32)
    y = ((v - np.floor(v)) * side).astype(np.float32)
    out: F32 = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return out
