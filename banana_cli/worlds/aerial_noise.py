"""Smooth random fields for the aerial and medical worlds: cubic B-splines of random grids."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from banana_cli.types import F32


def _weights(size: int, cell: float, offset: float) -> F32:
    """(size, knots) matrix of cubic B-spline weights at ``size`` pixels, one knot every ``cell`` pixels."""
    t = (np.arange(size) + 0.5) / cell + offset
    first = t.astype(np.intp)
    f = t - first
    out = np.zeros((size, int(first[-1]) + 4), np.float32)
    rows = np.arange(size)
    g, f2 = 1 - f, f * f
    f3 = f2 * f
    taps = (g * g * g, 3 * f3 - 6 * f2 + 4, 3 * (f2 - f3 + f) + 1, f3)
    for k, tap in enumerate(taps):
        out[rows, first + k] = tap / 6
    return out


def smooth_noise(rng: Generator, height: int, width: int, cell: float, stretch: float = 1.0) -> F32:
    """(height, width) field of mean 0 and standard deviation about 1, smooth over ``cell`` pixels.

    Across a row it is smooth over ``cell * stretch`` pixels.
    """
    a = _weights(height, cell, float(rng.random()))
    b = _weights(width, cell * stretch, float(rng.random()))
    grid = rng.standard_normal((a.shape[1], b.shape[1]), np.float32)
    out = (a @ grid @ b.T) * np.float32(2.1)
    return out.astype(np.float32, copy=False)


def fbm(rng: Generator, height: int, width: int, cell: float, octaves: int = 4, gain: float = 0.5) -> F32:
    """Sum of ``octaves`` smooth fields, each half the size and ``gain`` the strength; deviation about 1."""
    total = np.zeros((height, width), np.float32)
    strength, power = 1.0, 0.0
    for _ in range(octaves):
        if cell < 1.5:
            break
        total += np.float32(strength) * smooth_noise(rng, height, width, cell)
        power += strength**2
        strength, cell = strength * gain, cell / 2
    out: F32 = total / np.float32(max(power, 1e-6) ** 0.5)
    return out
