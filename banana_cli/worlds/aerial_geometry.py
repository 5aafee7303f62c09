"""What light and the camera do to a height field seen from above: normals, shadows, lean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F32, Bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sun:
    """Direction to the sun, radians: ``azimuth`` in the picture (0 right, pi/2 down), ``elevation``."""

    azimuth: float
    elevation: float

    def vector(self) -> tuple[float, float, float]:
        """Unit vector towards the sun: x right, y down, z away from the viewer (negative: up)."""
        flat = math.cos(self.elevation)
        return (
            flat * math.cos(self.azimuth),
            flat * math.sin(self.azimuth),
            -math.sin(self.elevation),
        )


def slopes(field: F32, pitch: float) -> tuple[F32, F32]:
    """(∂f/∂x, ∂f/∂y) of (H, W): central differences, one-sided at the edges."""
    fx, fy = np.empty_like(field), np.empty_like(field)
    np.subtract(field[:, 2:], field[:, :-2], out=fx[:, 1:-1])
    fx[:, 1:-1] *= 0.5
    fx[:, 0], fx[:, -1] = field[:, 1] - field[:, 0], field[:, -1] - field[:, -2]
    np.subtract(field[2:], field[:-2], out=fy[1:-1])
    fy[1:-1] *= 0.5
    fy[0], fy[-1] = field[1] - field[0], field[-1] - field[-2]
    fx /= pitch
    fy /= pitch
    return fx, fy


def normals_of(field: F32, pitch: float, *, towards: bool) -> F32:
    """Unit normals (3, H, W) of a surface given as ``field`` in the unit of ``pitch``.

    ``towards``: the field grows towards the viewer (height): n ∝ (-∂f/∂x, -∂f/∂y, -1); else it grows
    away from the viewer (depth): n ∝ (∂f/∂x, ∂f/∂y, -1). Where the field is NaN, it counts as 0 for
    its neighbours and has no normal (0).
    """
    hole = np.isnan(field)
    fx, fy = slopes(np.where(hole, np.float32(0), field), pitch)
    scale = 1.0 / np.sqrt(fx * fx + fy * fy + np.float32(1))
    sign = np.float32(-1 if towards else 1)
    xyz: F32 = np.stack((sign * fx * scale, sign * fy * scale, -scale))
    xyz[:, hole] = 0
    return xyz


def coloured(colour: tuple[float, float, float], brightness: F32) -> F32:
    """(H, W, 3) of one colour and a brightness (H, W); a channel at a time, which is fastest."""
    out = np.empty((*brightness.shape, 3), np.float32)
    for k in range(3):
        np.multiply(brightness, np.float32(colour[k]), out=out[..., k])
    return out


def shifted(field: F32, rows: int, cols: int, fill: float) -> F32:
    """``out[y, x] = field[y + rows, x + cols]``, ``fill`` outside."""
    h, w = field.shape
    out = np.full_like(field, fill)
    if abs(rows) >= h or abs(cols) >= w:
        return out
    top, left = max(0, -rows), max(0, -cols)
    bottom, right = h - max(0, rows), w - max(0, cols)
    out[top:bottom, left:right] = field[top + rows : bottom + rows, left + cols : right + cols]
    return out


def sun_blocker(height: F32, pitch: float, sun: Sun) -> F32:
    """Height (H, W) below which a point lies in shadow: running maximum along the sun direction.

    max over t >= 0 of h(p + t s) - t tan(elevation), by doubling the reach: log2 passes.
    """
    drop = pitch * math.tan(sun.elevation)
    longest = (float(height.max()) - float(height.min())) / drop + 1
    reach, blocker = 1, height
    while reach <= min(longest, max(height.shape)):
        rows = round(reach * math.sin(sun.azimuth))
        cols = round(reach * math.cos(sun.azimuth))
        moved = shifted(blocker, rows, cols, -1e9) - np.float32(math.hypot(rows, cols) * drop)
        blocker = np.maximum(blocker, moved)
        reach *= 2
    return blocker


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Leaned:
    """An off-nadir view: which ground point each pixel shows, and how high the visible point is."""

    rows: NDArray[np.intp]
    cols: NDArray[np.intp]
    height: F32
    wall: Bool


def lean(height: F32, pitch: float, tangent: float, azimuth: float) -> Leaned:
    """View the height field (H, W) from an angle: a point of height h moves by h*tangent towards azimuth.

    The ray of each pixel is walked from the top down, a pixel a step; the first column that reaches
    the ray is seen, at the height where the ray meets it (a wall, if the column goes on above it).
    """
    h, w = height.shape
    steps = min(24, int(float(height.max()) * tangent / pitch + 0.999))
    rise = pitch / max(tangent, 1e-6)
    seen = np.minimum(height, np.float32(rise))
    offset = np.zeros((h, w), np.int32)
    for k in range(1, steps + 1):  # low to high: the highest hit is written last
        rows, cols = -round(k * math.sin(azimuth)), -round(k * math.cos(azimuth))
        column = shifted(height, rows, cols, -1.0)
        hit = column >= k * rise
        seen[hit] = np.minimum(column[hit], (k + 1) * rise)
        offset[hit] = k
    shift_rows = np.array([round(k * math.sin(azimuth)) for k in range(steps + 1)])
    shift_cols = np.array([round(k * math.cos(azimuth)) for k in range(steps + 1)])
    rows_at = np.clip(np.arange(h)[:, None] - shift_rows[offset], 0, h - 1)
    cols_at = np.clip(np.arange(w)[None] - shift_cols[offset], 0, w - 1)
    wall: Bool = height[rows_at, cols_at] > seen + 0.5 * rise
    return Leaned(rows=rows_at, cols=cols_at, height=seen, wall=wall)
