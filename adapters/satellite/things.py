"""Colours for countable things (buildings) that touch, so that each can be followed round by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import U8

I64 = NDArray[np.int64]


def colours(things: I64) -> U8:
    """A colour (h, w) from 1 on for each thing, 0 for none; things that touch have different ones."""
    touching: set[tuple[int, int]] = set()
    for one, two in ((things[:, 1:], things[:, :-1]), (things[1:], things[:-1])):
        border = (one != two) & (one > 0) & (two > 0)
        pairs = np.unique(np.stack([one[border], two[border]]), axis=1)
        touching.update(zip(*np.sort(pairs, axis=0).tolist(), strict=True))
    numbers = np.unique(things[things > 0])
    colour = dict.fromkeys(numbers.tolist(), 1)
    beside: dict[int, list[int]] = {}
    for low, high in touching:
        beside.setdefault(high, []).append(low)
    for k in sorted(beside):
        taken = {colour[j] for j in beside[k]}
        colour[k] = next(c for c in range(1, 256) if c not in taken)
    table = np.array([0, *(colour[k] for k in numbers.tolist())], np.uint8)
    return table[np.where(things > 0, np.searchsorted(numbers, things) + 1, 0)]
