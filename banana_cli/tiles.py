"""The lattice of looks of a scene, and how looks blend back into it. NumPy only.

Along each axis of length L, look k answers for [k S - P, k S - P + T), cut to the scene, where S = T - O is
the stride and P the phase: how far into the lattice the scene begins. It fades in and out over the O pixels
that it shares with its neighbours; the fades add up to one. Looks see what they answer for, except at the
scene's ends, where they are moved back inside to be full-size, for context.

The lattice hangs on the ground, not on the part of a scene that is worked on at once: any part gives the
values that the whole would, as long as the reader brings everything that its looks see (``Lattice.window``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F32, Looks, ShapeError, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One look along one axis: it sees [start, stop) and answers for [first, last) of that."""

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
            ramp[: self.fade_in] *= _rise(self.fade_in)[: len(ramp)]
        if self.fade_out:
            ramp[-self.fade_out :] *= _rise(self.fade_out)[::-1][-len(ramp) :]
        return ramp.astype(np.float32)


def _rise(length: int) -> NDArray[np.float64]:
    """Half a raised cosine from near 0 to near 1; with its mirror image it adds up to 1."""
    return np.asarray(np.sin(np.pi / 2 * (np.arange(length) + 0.5) / length) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One look at a scene, in working pixels: it looks at ``seen`` and answers for ``answers``."""

    seen: Window
    answers: Window
    rows: Span
    cols: Span

    def weights(self) -> F32:
        """Blending weights of ``answers``, all above 0."""
        return np.outer(self.rows.weights(), self.cols.weights()).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """All looks at a picture of ``shape`` (rows, columns); ``overlap`` is at most half a ``tile``.

    ``phase``: how far into the lattice the first pixel lies; a side that one look sees whole has none.
    """

    shape: tuple[int, int]
    tile: int = 512
    overlap: int = 64
    phase: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or self.tile < 1 or not 0 <= 2 * self.overlap <= self.tile:
            raise ShapeError(f"{self}: a scene needs pixels, and an overlap is at most half a tile")
        if any(not 0 <= phase < self.stride for phase in self.phase):
            raise ShapeError(f"{self}: a phase is less than a stride")

    @property
    def stride(self) -> int:
        """Distance between the beginnings of neighbouring looks."""
        return self.tile - self.overlap

    def tiles(self, part: Window | None = None) -> Iterator[Tile]:
        """The looks that answer for some pixel of ``part`` (None: of the scene), row by row."""
        part = part or Window(top=0, left=0, height=self.shape[0], width=self.shape[1])
        across = list(self._spans(1, part.left, part.right))
        for rows in self._spans(0, part.top, part.bottom):
            for cols in across:
                yield _tile(rows, cols)

    def seen(self, part: Window) -> Window:
        """Everything that the looks of ``part`` see."""
        rows, cols = (
            list(self._spans(axis, low, high))
            for axis, low, high in ((0, part.top, part.bottom), (1, part.left, part.right))
        )
        return _window(
            min(s.start for s in rows),
            max(s.stop for s in rows),
            min(s.start for s in cols),
            max(s.stop for s in cols),
        )

    def _spans(self, axis: int, low: int, high: int) -> Iterator[Span]:
        """The spans that answer for some pixel of [low, high)."""
        length = self.shape[axis]
        phase = self.phase[axis] if length > self.tile else 0
        count = 1 + max(0, -(-(length + phase - self.tile) // self.stride))
        first = max(0, -(-(low + phase - self.tile + 1) // self.stride))
        for k in range(first, min(count, -(-(high + phase) // self.stride))):
            yield self._span(length, k * self.stride - phase, last=k == count - 1)

    def _span(self, length: int, nominal: int, *, last: bool) -> Span:
        first = max(0, nominal)
        start = max(0, min(first, length - self.tile))
        return Span(
            start=start,
            stop=min(length, start + self.tile),
            first=first,
            last=length if last else nominal + self.tile,
            fade_in=self.overlap if nominal > 0 else 0,
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


def holds(outer: Window, inner: Window) -> bool:
    """Whether ``inner`` lies inside ``outer``."""
    return overlap_of(outer, inner) == inner


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """A scene's pixels and the model's: a working pixel is ``looks.shrink`` pixels of the file.

    The first working pixel begins ``lead`` (rows, columns) file pixels before the scene does.
    """

    shape: tuple[int, int]
    looks: Looks

    @cached_property
    def lead(self) -> tuple[int, int]:
        """File pixels of the first working pixel that lie before the scene."""
        return self.looks.phase[0] % self.looks.shrink, self.looks.phase[1] % self.looks.shrink

    @cached_property
    def grid(self) -> Grid:
        """The looks, in working pixels."""
        f, (top, left) = self.looks.shrink, self.lead
        stride = self.looks.tile - self.looks.overlap
        return Grid(
            shape=(-(-(self.shape[0] + top) // f), -(-(self.shape[1] + left) // f)),
            tile=self.looks.tile,
            overlap=self.looks.overlap,
            phase=(self.looks.phase[0] // f % stride, self.looks.phase[1] // f % stride),
        )

    def part(self, core: Window) -> Window:
        """Working pixels that the values of ``core`` (file pixels) are made of."""
        f, (top, left) = self.looks.shrink, self.lead
        more = 1 if f > 1 else 0  # between two working pixels both are needed
        rows, cols = self.grid.shape
        return _window(
            max(0, (core.top + top) // f - more),
            min(rows, -(-(core.bottom + top) // f) + more),
            max(0, (core.left + left) // f - more),
            min(cols, -(-(core.right + left) // f) + more),
        )

    def window(self, core: Window) -> Window:
        """File pixels that a frame must hold to answer for ``core``."""
        return self.file(self.grid.seen(self.part(core)))

    def under(self, window: Window) -> Window:
        """Working pixels that lie inside the scene's pixels of ``window``, whole or up to the scene's end."""
        f, (top, left) = self.looks.shrink, self.lead
        ends = (window.bottom == self.shape[0], window.right == self.shape[1])
        rows, cols = self.grid.shape
        return _window(
            0 if window.top == 0 else -(-(window.top + top) // f),
            rows if ends[0] else (window.bottom + top) // f,
            0 if window.left == 0 else -(-(window.left + left) // f),
            cols if ends[1] else (window.right + left) // f,
        )

    def place(self, core: Window) -> Window:
        """Where ``core`` lies in the enlarged working pixels of its ``part``."""
        f, (top, left), part = self.looks.shrink, self.lead, self.part(core)
        return _window(
            core.top + top - part.top * f,
            core.bottom + top - part.top * f,
            core.left + left - part.left * f,
            core.right + left - part.left * f,
        )

    def file(self, working: Window) -> Window:
        """The scene's own pixels under a rectangle of working pixels."""
        f, (top, left) = self.looks.shrink, self.lead
        return _window(
            max(0, working.top * f - top),
            min(self.shape[0], working.bottom * f - top),
            max(0, working.left * f - left),
            min(self.shape[1], working.right * f - left),
        )


class Mosaic:
    """Adds weighted looks up over one part of a scene; holds channels + 1 floats a pixel of the part."""

    def __init__(self, part: Window, channels: int) -> None:
        self.part = part
        self._sum = np.zeros((channels, part.height, part.width), np.float32)
        self._weight = np.zeros((part.height, part.width), np.float32)

    def add(self, tile: Tile, values: F32, at: Window | None = None) -> None:
        """Blend in ``values`` (C, rows, columns), which cover ``at`` (None: ``tile.seen``).

        What is outside the part, or what the look does not answer for, is dropped.
        """
        at = at or tile.seen
        shared = overlap_of(tile.answers, self.part)
        shared = None if shared is None else overlap_of(shared, at)
        if shared is None:
            return
        here = shared.within(self.part).slices()
        weight = tile.weights()[shared.within(tile.answers).slices()]
        self._sum[:, *here] += values[:, *shared.within(at).slices()] * weight
        self._weight[here] += weight

    def covered(self) -> NDArray[np.bool_]:
        """Pixels that at least one look answered for."""
        return self._weight > 0

    def result(self) -> F32:
        """The weighted mean (C, rows, columns), 0 where nothing was added; ends the adding."""
        np.divide(self._sum, self._weight, out=self._sum, where=self._weight > 0)
        self._weight = self.covered().astype(np.float32)
        return self._sum


_MAX_CARRY_BYTES = 256 << 20
_SHARED_PX = 2
"""Rows and columns that the parts of neighbouring cores share where working pixels are shrunk ones."""


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    at: Window
    values: F32


class Carry:
    """What looks said of the parts that follow, so that no look is made twice.

    It saves work and never changes a value: what is missing is looked at again. Parts of a scene come row
    by row; other looks (compared by identity: a scene has its own) or other channels begin anew.
    """

    def __init__(self) -> None:
        self._scene: tuple[Looks | None, object] = (None, None)
        self._pieces: dict[Window, list[_Piece]] = {}
        self._bytes = 0

    def enter(self, looks: Looks | None, channels: object, part: Window) -> None:
        """Begin a part: forget what is of another scene, above the part or left of it."""
        same = looks is not None and looks is self._scene[0] and channels == self._scene[1]
        old = self._pieces if same else {}
        self._scene, self._pieces, self._bytes = (looks, channels), {}, 0
        for key, pieces in old.items():
            for piece in pieces:
                if not _passed(piece.at, part):
                    self._keep(key, piece)

    def find(self, tile: Tile, part: Window) -> tuple[Window, F32] | None:
        """Where and what a look said of all that it has to say of ``part``; None if that is not known."""
        wanted = overlap_of(tile.answers, part)
        for piece in self._pieces.get(tile.answers, ()):
            if wanted is not None and holds(piece.at, wanted):
                return piece.at, piece.values
        return None

    def put(self, tile: Tile, part: Window, values: F32) -> None:
        """Keep what ``values`` (C, rows, columns over ``tile.seen``) say right of and below ``part``."""
        if self._scene[0] is None:
            return
        a = tile.answers
        top, left = max(a.top, part.bottom - _SHARED_PX), max(a.left, part.right - _SHARED_PX)
        if a.bottom > part.bottom:
            self._cut(tile, _window(top, a.bottom, a.left, a.right), values)
        if a.right > part.right:
            above = max(a.top, part.top)
            self._cut(tile, _window(above, min(a.bottom, part.bottom), left, a.right), values)

    def _cut(self, tile: Tile, at: Window, values: F32) -> None:
        self._keep(tile.answers, _Piece(at, values[:, *at.within(tile.seen).slices()].copy()))

    def _keep(self, key: Window, piece: _Piece) -> None:
        if self._bytes + piece.values.nbytes <= _MAX_CARRY_BYTES:
            self._bytes += piece.values.nbytes
            self._pieces.setdefault(key, []).append(piece)


def _passed(at: Window, part: Window) -> bool:
    """Whether parts in rows, from ``part`` on, have nothing of ``at`` any more."""
    return at.bottom <= part.top or (at.bottom <= part.bottom and at.right <= part.left)
