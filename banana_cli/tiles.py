"""The global grid of tiles of a scene, and how tiles blend back into it. NumPy only.

Along each axis of length L, tile k = 0..n-1 answers for [k S, k S + T) where S = T - O is the stride,
and fades in and out over the O pixels that it shares with its neighbours; the fades add up to one.
Tiles lie where they answer, except the last: it is moved back to be full-size, for context, but
answers only for its own part. The grid hangs on the scene alone, so a block of the scene gives the
same values as the whole, as long as its window reaches one stride S around its core and its core
begins and ends at multiples of S (or at the scene's end).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F32, ShapeError, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One tile along one axis: it sees [start, stop) and answers for [first, last) of that."""

    start: int
    stop: int
    first: int
    last: int
    fade_in: int
    fade_out: int

    def weights(self) -> F32:
        """One number a pixel of [first, last), above 0: raised cosines at shared ends, 1 elsewhere."""
        ramp = np.ones(self.last - self.first, np.float64)
        if self.fade_in:
            ramp[: self.fade_in] *= _rise(self.fade_in)
        if self.fade_out:
            ramp[-self.fade_out :] *= _rise(self.fade_out)[::-1]
        return ramp.astype(np.float32)


def _rise(length: int) -> NDArray[np.float64]:
    """Half a raised cosine from near 0 to near 1; with its mirror image it adds up to 1."""
    return np.asarray(np.sin(np.pi / 2 * (np.arange(length) + 0.5) / length) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One tile of a scene, in the scene's pixels: it looks at ``seen`` and answers for ``answers``."""

    seen: Window
    answers: Window
    rows: Span
    cols: Span

    def weights(self) -> F32:
        """Blending weights of ``answers``, all above 0."""
        return np.outer(self.rows.weights(), self.cols.weights()).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """All tiles of a scene of ``shape`` (rows, columns); ``overlap`` is at most half a ``tile``."""

    shape: tuple[int, int]
    tile: int = 512
    overlap: int = 64

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or self.tile < 1 or not 0 <= 2 * self.overlap <= self.tile:
            raise ShapeError(f"{self}: a scene needs pixels, and an overlap is at most half a tile")

    @property
    def stride(self) -> int:
        """Distance between the beginnings of neighbouring tiles."""
        return self.tile - self.overlap

    def tiles(self, part: Window | None = None) -> Iterator[Tile]:
        """The tiles that answer for some pixel of ``part`` (None: of the scene), row by row."""
        part = part or Window(top=0, left=0, height=self.shape[0], width=self.shape[1])
        across = list(self._spans(self.shape[1], part.left, part.right))
        for rows in self._spans(self.shape[0], part.top, part.bottom):
            for cols in across:
                yield _tile(rows, cols)

    def _spans(self, length: int, low: int, high: int) -> Iterator[Span]:
        """The spans that answer for some pixel of [low, high)."""
        count = 1 + max(0, -(-(length - self.tile) // self.stride))
        first = max(0, -(-(low - self.tile + 1) // self.stride))
        for k in range(first, min(count, -(-high // self.stride))):
            yield self._span(length, k, last=k == count - 1)

    def _span(self, length: int, k: int, *, last: bool) -> Span:
        nominal = k * self.stride
        stop = length if last else nominal + self.tile
        # A block whose core begins at nominal + stride sees nothing left of nominal: stay there.
        back = nominal if stop > nominal + self.stride else max(0, stop - self.tile)
        return Span(
            start=back if last else nominal,
            stop=stop,
            first=nominal,
            last=stop,
            fade_in=self.overlap if k else 0,
            fade_out=0 if last else self.overlap,
        )


def _tile(rows: Span, cols: Span) -> Tile:
    return Tile(
        seen=_window(rows.start, rows.stop, cols.start, cols.stop),
        answers=_window(rows.first, rows.last, cols.first, cols.last),
        rows=rows,
        cols=cols,
    )


def _window(top: int, bottom: int, left: int, right: int) -> Window:
    return Window(top=top, left=left, height=bottom - top, width=right - left)


def overlap_of(a: Window, b: Window) -> Window | None:
    """The rectangle that two windows share, or None."""
    top, bottom = max(a.top, b.top), min(a.bottom, b.bottom)
    left, right = max(a.left, b.left), min(a.right, b.right)
    return _window(top, bottom, left, right) if top < bottom and left < right else None


class Mosaic:
    """Adds weighted tiles up over one part of a scene; holds channels + 1 floats a pixel of the part."""

    def __init__(self, part: Window, channels: int) -> None:
        self.part = part
        self._sum = np.zeros((channels, part.height, part.width), np.float32)
        self._weight = np.zeros((part.height, part.width), np.float32)

    def add(self, tile: Tile, values: F32) -> None:
        """Blend in ``values`` (C, rows, columns), which cover ``tile.seen``; what is outside is dropped."""
        shared = overlap_of(tile.answers, self.part)
        if shared is None:
            return
        here = shared.within(self.part).slices()
        weight = tile.weights()[shared.within(tile.answers).slices()]
        self._sum[:, *here] += values[:, *shared.within(tile.seen).slices()] * weight
        self._weight[here] += weight

    def covered(self) -> NDArray[np.bool_]:
        """Pixels that at least one tile answered for."""
        return self._weight > 0

    def result(self) -> F32:
        """The weighted mean (C, rows, columns), 0 where nothing was added; ends the adding."""
        np.divide(self._sum, self._weight, out=self._sum, where=self._weight > 0)
        self._weight = self.covered().astype(np.float32)
        return self._sum
