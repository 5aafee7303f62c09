"""Where the tokens of a picture went: from the levels of 8-px cells to the frame's own pixels. NumPy only."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.fit import Fit
from banana_cli.tiles import Lattice, Span, Tile
from banana_cli.types import U8, Attention, Bool, Looks, Window

CELL_PX: Final = 8
_CELLS: Final = (1, 2, 4)  # 8-px cells along the side of a token, by level
_Index = NDArray[np.int64]


def of_picture(levels: U8, fit: Fit) -> Attention:
    """``levels`` (h, w) 0, 1, 2 of the 8-px cells of a fitted picture -> at the size of its source."""
    rows, cols = (
        np.floor((np.arange(n + 1) + 0.5) * scale / CELL_PX).astype(np.int64)
        for n, scale in zip(fit.source, (fit.scale_y, fit.scale_x), strict=True)
    )
    side, edge = _spread(levels, rows, cols)
    return Attention(side=side, edge=edge)


def _spread(levels: U8, rows: _Index, cols: _Index) -> tuple[U8, Bool]:
    """Side and ends (n, m) of cells; ``rows`` (n + 1) and ``cols`` (m + 1): the 8-px cell of each pixel."""
    level = levels[rows[:-1]][:, cols[:-1]]
    edge = np.zeros(level.shape, np.bool_)
    for i, k in enumerate(_CELLS):
        down, right = (np.diff(at // k) > 0 for at in (rows, cols))
        edge |= (level == i) & (down[:, None] | right[None, :])
    side: U8 = np.left_shift(np.uint8(CELL_PX), level)
    return side, edge


class SceneCells:
    """Remembers the levels of a scene's looks, for as long as its parts come."""

    def __init__(self) -> None:
        self._looks: Looks | None = None
        self._levels: dict[Window, tuple[Tile, U8]] = {}

    def enter(self, looks: Looks | None) -> None:
        """Begin a part; other looks (compared by identity, None is always another) begin anew."""
        if looks is None or looks is not self._looks:
            self._levels.clear()
        self._looks = looks

    def put(self, tile: Tile, levels: U8) -> None:
        """Take the levels (h, w) of one look, whose first cell begins where the look does."""
        self._levels[tile.answers] = (tile, levels)

    def of_part(self, lattice: Lattice, core: Window) -> Attention:
        """That of a part, in pixels of the file; a look counts up to the middle of where it fades."""
        shape = core.height, core.width
        side, edge = np.zeros(shape, np.uint8), np.zeros(shape, np.bool_)
        part, place = lattice.part(core), lattice.place(core)
        rows, cols = (
            begin + np.arange(first, last + 1) // lattice.looks.shrink
            for begin, first, last in (
                (part.top, place.top, place.bottom),
                (part.left, place.left, place.right),
            )
        )
        for tile, levels in self._levels.values():
            here = _between(rows, tile.rows), _between(cols, tile.cols)
            if any(at.stop <= at.start for at in here):
                continue
            at_rows, at_cols = (
                (index[at.start : at.stop + 1] - span.start) // CELL_PX
                for index, at, span in zip((rows, cols), here, (tile.rows, tile.cols), strict=True)
            )
            side[here], edge[here] = _spread(levels, at_rows, at_cols)
        return Attention(side=side, edge=edge)


def _between(index: _Index, span: Span) -> slice:
    """The pixels for which a look counts: from the middle of its fading in to that of its fading out."""
    low, high = span.first + span.fade_in // 2, span.last - span.fade_out // 2
    start, stop = np.searchsorted(index[:-1], (low, high))
    return slice(int(start), int(stop))


def pasted(part: Attention, at: Window, shape: tuple[int, int]) -> Attention:
    """The same as ``at`` of a frame of ``shape``; nothing was looked at around it."""
    if part.side.shape == shape:
        return part
    side, edge = np.zeros(shape, np.uint8), np.zeros(shape, np.bool_)
    side[at.slices()], edge[at.slices()] = part.side, part.edge
    return Attention(side=side, edge=edge)
