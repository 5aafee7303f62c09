"""Which part of a picture must be looked at again: from a car that stands, most of it looks as it did."""

from __future__ import annotations

from typing import Final, cast

import cv2
import numpy as np

from banana_cli.types import F32, U8, Window

CELL_PX: Final = 32
BLOCK_PX: Final = 8
CHANGED_GREY: Final = 3.0
"""A block of 8x8 pixels whose mean differs by more grey levels (of 255) has changed; noise of a camera
differs by less than one."""
TREMBLE: Final = 0.25
"""What is allowed beside that, in units of the contrast with the blocks around: an engine shakes the car,
and edges move by parts of a pixel."""
CONTEXT_PX: Final = 64
"""How much is looked at around what changed, and then thrown away."""
WORTH_IT: Final = 0.5
"""A part larger than this share of the picture is no cheaper than the whole."""
OFTEN: Final = 60
"""The whole picture is looked at again after so many frames, whatever happens."""


class Reuse:
    """Compares each picture of a clip with what was last looked at; all windows in network pixels."""

    def __init__(self, seen: F32 | None = None, age: int = 0) -> None:
        """``seen`` and ``age`` of an earlier instance, to go on."""
        self.seen, self.age = seen, age

    def stale(self, grey: U8) -> Window | None:
        """What changed, with a cell of 32 px around it; the whole picture at first; None for nothing.

        ``grey`` (h/2, w/2) of a picture whose sides are multiples of 32.
        """
        now = _blocks(grey)
        whole = Window(top=0, left=0, height=2 * grey.shape[0], width=2 * grey.shape[1])
        if self.seen is None or self.seen.shape != now.shape or self.age >= OFTEN:
            return whole
        side = CELL_PX // BLOCK_PX
        cells = (now.shape[0] // side, side, now.shape[1] // side, side)
        part = _around((np.abs(now - self.seen) > _allowed(self.seen)).reshape(cells).any((1, 3)))
        if part is not None:
            context = with_context(part, whole)
            if context.height * context.width > WORTH_IT * whole.height * whole.width:
                return whole
        return part

    def looked(self, grey: U8, part: Window | None) -> None:
        """Remember that ``part`` was looked at (None: nothing was)."""
        self.age += 1
        if part is None:
            return
        now = _blocks(grey)
        if (
            self.seen is None
            or self.seen.shape != now.shape
            or now.size * BLOCK_PX**2 == part.height * part.width
        ):
            self.seen, self.age = now, 0
            return
        rows, cols = (slice(s.start // BLOCK_PX, s.stop // BLOCK_PX) for s in part.slices())
        self.seen[rows, cols] = now[rows, cols]


def with_context(part: Window, whole: Window) -> Window:
    """The part and ``CONTEXT_PX`` around it, as far as the picture goes."""
    top, left = max(0, part.top - CONTEXT_PX), max(0, part.left - CONTEXT_PX)
    bottom, right = min(whole.height, part.bottom + CONTEXT_PX), min(whole.width, part.right + CONTEXT_PX)
    return Window(top=top, left=left, height=bottom - top, width=right - left)


def _blocks(grey: U8) -> F32:
    """(h/2, w/2) -> (h/8, w/8) means, in grey levels."""
    step = BLOCK_PX // 2
    size = (grey.shape[1] // step, grey.shape[0] // step)
    return cast(F32, cv2.resize(grey.astype(np.float32), size, interpolation=cv2.INTER_AREA))


def _allowed(seen: F32) -> F32:
    near = np.ones((3, 3), np.uint8)
    contrast = cv2.dilate(seen, near) - cv2.erode(seen, near)
    return cast(F32, CHANGED_GREY + TREMBLE * contrast)


def _around(cells: np.ndarray) -> Window | None:
    """The smallest window of cells that holds all marked ones and their neighbours."""
    ys, xs = np.nonzero(cells)
    if not len(ys):
        return None
    top, left = max(0, int(ys.min()) - 1), max(0, int(xs.min()) - 1)
    bottom, right = min(cells.shape[0], int(ys.max()) + 2), min(cells.shape[1], int(xs.max()) + 2)
    return Window(
        top=top * CELL_PX,
        left=left * CELL_PX,
        height=(bottom - top) * CELL_PX,
        width=(right - left) * CELL_PX,
    )
