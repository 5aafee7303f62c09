"""How a scene is cut into frames so that the answer does not depend on the cut.

The engine lays tiles on one grid over the whole scene: tile k starts at ``k * STRIDE`` and the last
one is pushed back to end at the scene's edge. A frame's core is a whole number of strides, and its
halo reaches just far enough to hold every tile that touches the core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from banana_cli.types import Window

_CORE_PX: Final = 1792
_REST_PX: Final = 448


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """The engine's tiles in pixels: their side and what neighbours share (at most half of it)."""

    tile: int = 512
    overlap: int = 64

    @property
    def stride(self) -> int:
        """Distance between the beginnings of neighbouring tiles."""
        return self.tile - self.overlap

    @property
    def core(self) -> int:
        """Side of a core: whole strides, 1792 px or one stride where that is more."""
        return max(1, _CORE_PX // self.stride) * self.stride

    def count(self, size: int) -> int:
        """Cores along an axis of ``size`` pixels; a small rest joins the core before it."""
        return max(1, -(-(size - min(self.stride, _REST_PX)) // self.core))

    def span(self, i: int, size: int) -> Span:
        """The i-th core of an axis and the stretch that holds all of its tiles."""
        first = i * self.core
        last = size if i == self.count(size) - 1 else first + self.core
        pushed_back = max(0, size - self.tile)
        first_tile = max(0, (first - self.tile) // self.stride + 1) * self.stride
        last_tile = pushed_back if pushed_back < last else (last - 1) // self.stride * self.stride
        return Span(
            core_start=first,
            core_stop=last,
            start=min(first_tile, pushed_back),
            stop=min(size, last_tile + self.tile),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A core and its frame along one axis."""

    core_start: int
    core_stop: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One frame of a scene: ``core`` is answered for, ``window`` is read; both in scene pixels."""

    index: int
    window: Window
    core: Window


def block_count(shape: tuple[int, int], tiling: Tiling) -> int:
    """How many blocks a scene of (rows, columns) has."""
    return tiling.count(shape[0]) * tiling.count(shape[1])


def blocks(shape: tuple[int, int], tiling: Tiling) -> Iterator[Block]:
    """All blocks in row-major order; the cores cover every pixel of (rows, columns) once."""
    index = 0
    for i in range(tiling.count(shape[0])):
        row = tiling.span(i, shape[0])
        for j in range(tiling.count(shape[1])):
            yield _block(index, row, tiling.span(j, shape[1]))
            index += 1


def _block(index: int, row: Span, col: Span) -> Block:
    window = Window(top=row.start, left=col.start, height=row.stop - row.start, width=col.stop - col.start)
    core = Window(
        top=row.core_start,
        left=col.core_start,
        height=row.core_stop - row.core_start,
        width=col.core_stop - col.core_start,
    )
    return Block(index=index, window=window, core=core)
