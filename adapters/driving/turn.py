"""The eight ways a camera can be held: quarter turns and mirrors, as EXIF numbers them."""

from __future__ import annotations

from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Scalar = TypeVar("_Scalar", bound=np.generic)


class Turn(IntEnum):
    """What must be done to stored pixels so that up is up (values are EXIF's orientations)."""

    NONE = 1
    MIRROR = 2
    HALF = 3
    FLIP = 4
    TRANSPOSE = 5
    RIGHT = 6  # a quarter turn clockwise
    TRANSVERSE = 7
    LEFT = 8  # a quarter turn counter-clockwise

    @property
    def swaps(self) -> bool:
        """Whether rows become columns."""
        return self >= Turn.TRANSPOSE

    def shape(self, stored: tuple[int, int]) -> tuple[int, int]:
        """(rows, columns) after the turn."""
        return (stored[1], stored[0]) if self.swaps else stored

    def apply(self, array: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """Turn the last two axes (rows, columns); a view of the same memory."""
        turned = array.swapaxes(-1, -2) if self.swaps else array
        rows, cols = _REVERSED[self]
        return turned[..., :: -1 if rows else 1, :: -1 if cols else 1]


# After the transposition: (rows reversed, columns reversed).
_REVERSED = {
    Turn.NONE: (False, False),
    Turn.MIRROR: (False, True),
    Turn.HALF: (True, True),
    Turn.FLIP: (True, False),
    Turn.TRANSPOSE: (False, False),
    Turn.RIGHT: (False, True),
    Turn.TRANSVERSE: (True, True),
    Turn.LEFT: (True, False),
}

# (a, b, c, d) of x' = a x + c y, y' = b x + d y, signs only.
_BY_MATRIX = {
    (1, 0, 0, 1): Turn.NONE,
    (-1, 0, 0, 1): Turn.MIRROR,
    (-1, 0, 0, -1): Turn.HALF,
    (1, 0, 0, -1): Turn.FLIP,
    (0, 1, 1, 0): Turn.TRANSPOSE,
    (0, 1, -1, 0): Turn.RIGHT,
    (0, -1, -1, 0): Turn.TRANSVERSE,
    (0, -1, 1, 0): Turn.LEFT,
}


def from_display_matrix(data: bytes) -> Turn | None:
    """The turn of a container's 3x3 display matrix (nine int32, little endian); None if none of the eight."""
    if len(data) != 36:
        return None
    matrix = np.frombuffer(data, "<i4").reshape(3, 3)
    signs = np.sign(matrix[:2, :2])
    a, b, c, d = (int(v) for v in signs.ravel())
    return _BY_MATRIX.get((a, b, c, d))


def from_exif(value: object) -> Turn:
    """The turn of EXIF tag 0x0112; anything unknown is upright."""
    return Turn(value) if isinstance(value, int) and 1 <= value <= 8 else Turn.NONE
