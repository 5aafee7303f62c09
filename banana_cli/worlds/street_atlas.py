"""All tiles of the street in one picture with its mip levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from banana_cli.types import F32, U8
from banana_cli.worlds.street_brush import SIDE, blank
from banana_cli.worlds.street_tiles import COUNT, PAINTERS, Tile

COLUMNS, LEVELS = 16, 5


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """All tiles: ``picture`` (rows, columns, 4) linear-light float32 RGB and alpha, ``alpha`` (T, S, S)."""

    picture: F32
    alpha: U8

    def sample(self, tile: F32, u: F32, v: F32, footprint: F32) -> F32:
        """(..., 4) at fractional (u, v), from the mip level whose texels match ``footprint`` (in tiles)."""
        level = np.clip(np.log2(np.maximum(footprint * SIDE, 1)), 0, LEVELS - 1).astype(np.intp)
        size = (SIDE >> level).astype(np.float32)
        offsets = np.cumsum([0] + [(SIDE >> k) * _rows() for k in range(LEVELS - 1)]).astype(np.float32)
        u, v = u - np.floor(u), v - np.floor(v)
        column, row = tile % COLUMNS, tile // COLUMNS
        x = column * size + np.clip(u * size - 0.5, 0, size - 1)
        y = offsets[level] + row * size + np.clip(v * size - 0.5, 0, size - 1)
        out: F32 = cv2.remap(
            self.picture,
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return out


def _rows() -> int:
    return -(-int(Tile.END) // COLUMNS)


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """Paints all tiles (always the same ones); about half a second, once a process."""
    rng = np.random.default_rng(20260729)
    tiles = [PAINTERS[kind](rng, k) for kind, n in COUNT.items() for k in range(n)]
    tiles += [blank()] * (_rows() * COLUMNS - len(tiles))
    levels = [np.zeros(((SIDE >> k) * _rows(), SIDE * COLUMNS, 4), np.float32) for k in range(LEVELS)]
    for index, t in enumerate(tiles):
        full = t.astype(np.float32) / 255
        full[..., :3] = full[..., :3] ** 2.2
        for k in range(LEVELS):
            n = SIDE >> k
            r, c = divmod(index, COLUMNS)
            small = cv2.resize(full, (n, n), interpolation=cv2.INTER_AREA)
            levels[k][r * n : (r + 1) * n, c * n : (c + 1) * n] = small
    return Atlas(np.concatenate(levels), np.stack([t[..., 3] for t in tiles]))
