"""Countable things of a scene whose parts each number their own: one number a thing for all. NumPy only.

A thing that the border of two parts cuts is one where the two pieces meet along at least half of what each
of them has on that border.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import U8, Instances, Window

I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
_MEET: Final = 0.5


class Pieces:
    """Numbers for a scene of so many columns; parts come in rows, from the left to the right."""

    def __init__(self, cols: int) -> None:
        self._parent: list[int] = [0]
        self._class: list[int] = [0]
        self._above = np.zeros(cols, np.int64)
        self._depth = np.zeros(cols, np.int64)
        self._left: tuple[Window, I64] | None = None

    def number(self, core: Window, found: Instances, part: tuple[slice, slice]) -> U32:
        """The numbers (h, w) of the things in a core, 0 for none, and what they are pieces of is noted."""
        here: I64 = found.ids[part].astype(np.int64)
        here[here > 0] += len(self._parent) - 1
        self._parent += range(len(self._parent), len(self._parent) + len(found))
        self._class += found.classes
        across = slice(core.left, core.right)
        if (self._depth[across] == core.top).all():  # else the part above was not read
            self._meet(self._above[across], here[0])
        if self._left is not None and (self._left[0].top, self._left[0].right) == (core.top, core.left):
            self._meet(self._left[1], here[:, 0])
        self._left = core, here[:, -1].copy()
        self._above[across], self._depth[across] = here[-1], core.bottom
        return here.astype(np.uint32)

    def _meet(self, one: I64, two: I64) -> None:
        """Things on both sides of a border (their numbers along it) that are one."""
        both = (one > 0) & (two > 0)
        if not both.any():
            return
        pairs, contact = np.unique(np.stack([one[both], two[both]]), axis=1, return_counts=True)
        for a, b, n in zip(*pairs.tolist(), contact.tolist(), strict=True):
            reach = max(np.count_nonzero(one == a), np.count_nonzero(two == b))
            if self._class[a] == self._class[b] and n >= _MEET * reach:
                self._unite(a, b)

    def _unite(self, a: int, b: int) -> None:
        a, b = self._root(a), self._root(b)
        self._parent[max(a, b)] = min(a, b)

    def _root(self, k: int) -> int:
        while self._parent[k] != k:
            self._parent[k] = self._parent[self._parent[k]]
            k = self._parent[k]
        return k

    @property
    def classes(self) -> tuple[int, ...]:
        """Of each piece by its number; the first is nobody."""
        return tuple(self._class)

    def names(self) -> I64:
        """(n,) For each piece the least number of those that are one thing with it."""
        return np.array([self._root(k) for k in range(len(self._parent))], np.int64)

    def whole(self, numbers: U32, ids: U8) -> I64:
        """One number (h, w) a thing, whichever part saw it; 0 where the class is another by now."""
        roots = self.names()
        classes = np.array(self._class, np.uint8)
        kept = (numbers > 0) & (classes[numbers] == ids)
        return np.where(kept, roots[numbers], 0)
