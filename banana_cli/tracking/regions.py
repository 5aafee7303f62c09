"""Which numbered regions of two pictures lie over each other, and regions carried along a flow."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from banana_cli.types import F32, F64, U16, Bool

I64 = NDArray[np.int64]
MOST_PX: Final = 512
"""Longer side of the grid on which regions are compared where no flow says another."""
_MOST_SAMPLES, _LEAST_SAMPLES = 300, 12
_GOLDEN: Final = 0.618034
_HIDDEN_SHARE: Final = 0.3
_ALL, _FIRST, _LAST = slice(None), slice(None, -1), slice(1, None)
_NEIGHBOURS: Final = (
    ((_ALL, _LAST), (_ALL, _FIRST)),
    ((_LAST, _ALL), (_FIRST, _ALL)),
    ((_ALL, _FIRST), (_ALL, _LAST)),
    ((_FIRST, _ALL), (_LAST, _ALL)),
)
"""Pixels and those left of, above, right of and below them."""


def grid_of(shape: tuple[int, int], flow: F32 | None) -> tuple[int, int]:
    """(rows, columns) at which regions of a picture of ``shape`` are compared."""
    if flow is not None:
        return int(flow.shape[0]), int(flow.shape[1])
    shrink = min(1.0, MOST_PX / max(shape))
    return max(1, round(shape[0] * shrink)), max(1, round(shape[1] * shrink))


def places(shape: tuple[int, int], grid: tuple[int, int]) -> tuple[I64, I64]:
    """For each row and column of ``grid`` the nearest of a picture of ``shape`` (or the other way round)."""
    rows, cols = ((np.arange(g) * 2 + 1) * s // (2 * g) for s, g in zip(shape, grid, strict=True))
    return rows.astype(np.int64), cols.astype(np.int64)


def resampled(ids: U16, grid: tuple[int, int]) -> U16:
    """(H, W) numbers at another size, the nearest of each."""
    if ids.shape == grid:
        return ids
    rows, cols = places((ids.shape[0], ids.shape[1]), grid)
    return ids[rows[:, None], cols[None]]


def thinned(picture: F32, grid: tuple[int, int]) -> F32:
    """(C, H, W) -> (h, w, C), the nearest pixel of each."""
    rows, cols = places((picture.shape[1], picture.shape[2]), grid)
    return np.ascontiguousarray(np.moveaxis(picture[:, rows[:, None], cols[None]], 0, -1))


def carried(ids: U16, flow: F32, turn: int) -> U16:
    """(h, w) numbers of the frame before, where they are now by ``flow`` (h, w, 2); 0 where it is NaN.

    Parts of a pixel are rounded by another limit each ``turn``, so that slow things are not left behind.
    """
    rows, cols = ids.shape
    known = np.isfinite(flow[..., 0]) & np.isfinite(flow[..., 1])
    limit = np.float32((turn * _GOLDEN + 0.5) % 1)
    way = np.floor(np.where(known[..., None], flow, 0) + limit).astype(np.int32)
    x, y = np.arange(cols)[None] + way[..., 0], np.arange(rows)[:, None] + way[..., 1]
    known &= (x >= 0) & (x < cols) & (y >= 0) & (y < rows)
    moved = ids[np.clip(y, 0, rows - 1), np.clip(x, 0, cols - 1)]
    return np.where(known, moved, 0).astype(np.uint16)


def table(first: U16, second: U16, counts: tuple[int, int]) -> I64:
    """(n, m) pixels that region i+1 of ``first`` shares with region j+1 of ``second``."""
    n, m = counts
    both = np.flatnonzero((first.ravel() > 0) & (second.ravel() > 0))
    pairs = (first.ravel()[both].astype(np.int64) - 1) * m + second.ravel()[both] - 1
    return np.bincount(pairs, minlength=n * m).reshape(n, m)


def areas(ids: U16, count: int) -> I64:
    """(n,) pixels of regions 1..n."""
    return np.bincount(ids.ravel(), minlength=count + 1)[1 : count + 1]


def mean_colours(ids: U16, count: int, picture: F32) -> F64:
    """(n, C) mean of ``picture`` (h, w, C) over regions 1..n; 0 for one without a pixel."""
    where = np.flatnonzero(ids)
    numbers, seen = ids.ravel()[where], picture.reshape(-1, picture.shape[-1])[where]
    sums = [np.bincount(numbers, band, count + 1)[1:] for band in seen.T]
    return np.stack(sums, 1) / np.maximum(areas(ids, count), 1)[:, None]


def windows(ids: U16, count: int) -> list[tuple[slice, slice] | None]:
    """The rows and columns that hold each of the regions 1..n; None for one without a pixel."""
    found: list[tuple[slice, slice] | None] = ndimage.find_objects(ids, max_label=count) if count else []
    return found


def sides_of(ids: U16, count: int) -> F64:
    """(n, 4) left, top, right and bottom (the last two outside) of regions 1..n; NaN without a pixel."""
    found = np.full((count, 4), np.nan)
    for k, part in enumerate(windows(ids, count)):
        if part is not None:
            rows, cols = part
            found[k] = cols.start, rows.start, cols.stop, rows.stop
    return found


def side_ways(ids: U16, count: int, flow: F32) -> F64:
    """(n, 4) how far each side of regions 1..n came since the frame before: what the half next to it did.

    NaN for regions of too few pixels whose past is known.
    """
    ways = np.full((count, 4), np.nan)
    for k, part in enumerate(windows(ids, count)):
        if part is None:
            continue
        here = np.flatnonzero(ids[part] == k + 1)
        here = here[:: max(1, len(here) // _MOST_SAMPLES)]
        rows, cols = np.divmod(here, part[1].stop - part[1].start)
        moved = -flow[part][rows, cols].astype(np.float64)
        known = np.isfinite(moved[:, 0])
        if known.sum() < _LEAST_SAMPLES:
            continue
        for axis, place in enumerate((cols[known], rows[known])):
            far = place > np.median(place)
            ways[k, axis] = np.median(moved[known, axis][~far])
            ways[k, axis + 2] = np.median(moved[known, axis][far]) if far.any() else ways[k, axis]
    return ways


def hidden_sides(ids: U16, sides: F64) -> Bool:
    """(n, 4) which sides of regions 1..n are cut off by the picture's edge or by a region in front.

    What stands on the ground is in front of what ends higher up in the picture.
    """
    rows, cols = ids.shape
    count = len(sides)
    hidden = np.stack([sides[:, 0] <= 0, sides[:, 1] <= 0, sides[:, 2] >= cols, sides[:, 3] >= rows], 1)
    foot = np.concatenate([[-np.inf], np.nan_to_num(sides[:, 3])])
    for side, (mine, other) in enumerate(_NEIGHBOURS):
        a, b = ids[mine], ids[other]
        edge = np.flatnonzero((a > 0) & (a != b))
        near = a.ravel()[edge]
        behind = foot[b.ravel()[edge]] > foot[near] + 1
        touching = np.bincount(near, behind, count + 1)[1:]
        hidden[:, side] |= touching > _HIDDEN_SHARE * np.bincount(near, minlength=count + 1)[1:]
    return hidden


def nearest(seeds: U16, part: tuple[slice, slice]) -> U16:
    """In the window ``part`` of (h, w) the number of the nearest seed; 0 around it, or without a seed."""
    filled = np.zeros_like(seeds)
    window = seeds[part]
    if window.any():
        index = ndimage.distance_transform_edt(window == 0, return_distances=False, return_indices=True)
        filled[part] = window[tuple(index)]
    return filled
