"""How a scene is cut into frames so that the answer does not depend on the cut.

The model's looks hang on a lattice that is fixed to the ground (``banana_cli.tiles``). A frame's core is a
whole number of the lattice's strides, and its window holds everything that the looks of the core see.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final

from banana_cli.tiles import Lattice
from banana_cli.types import Looks, Window

WORK_PX: Final = 1792
_LEAST_REST_PX: Final = 448
_MOST_PX: Final = 3072
"""Cores are not made larger than this: two frames wait, one is read, one is answered."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The frames of a scene of ``shape`` (rows, columns); ``work`` is the wanted side of a core in pixels."""

    shape: tuple[int, int]
    looks: Looks
    work: int = WORK_PX

    @cached_property
    def lattice(self) -> Lattice:
        """The model's looks at the scene."""
        return Lattice(shape=self.shape, looks=self.looks)

    @property
    def step(self) -> int:
        """Side of a core that lies inside the scene: a whole number of strides."""
        stride = (self.looks.tile - self.looks.overlap) * self.looks.shrink
        return max(1, min(self.work, _MOST_PX) // stride) * stride

    def __len__(self) -> int:
        return len(self._cuts(0)) * len(self._cuts(1))

    def __iter__(self) -> Iterator[Block]:
        """All blocks in row-major order; the cores cover every pixel once."""
        for index, ((top, bottom), (left, right)) in enumerate(product(self._cuts(0), self._cuts(1))):
            core = Window(top=top, left=left, height=bottom - top, width=right - left)
            yield Block(index=index, window=self.lattice.window(core), core=core)

    def _cuts(self, axis: int) -> list[tuple[int, int]]:
        """Beginnings and ends of the cores along an axis; a small rest joins its neighbour."""
        length, step = self.shape[axis], self.step
        least = min(_LEAST_REST_PX, step // 2)
        first = step - self.looks.phase[axis] % step
        inner = [at for at in range(first, length, step) if least <= at <= length - least]
        return list(zip([0, *inner], [*inner, length], strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One frame of a scene: ``core`` is answered for, ``window`` is read; both in scene pixels."""

    index: int
    window: Window
    core: Window
