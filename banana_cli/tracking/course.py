"""Where a thing is and where it will be: the sides of its box, filtered over time.

A box is (left, top, right, bottom) in pixels. Each side is a Kalman filter of its own with a steady rate,
so a gap in time of any length is no special case. A side that something hides is not looked at: it stays
as far from the opposite one as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F64, Bool

_WRONG: Final = 0.05
"""How far a measured side is off, in sizes of the box."""
_RESTLESS: Final = 1.5
"""How much the rate of a side changes in a second, in the same unit."""
_FIRST_RATE: Final = 1.5
"""What is to be expected of the rate of a thing that was seen once."""
_WRONG_WAY: Final = 0.03
"""How far the flow is off, in sizes of the box a frame."""
_LEAST_SEEN: Final = 0.05
_NARROW_PX: Final = 16.0  # the flow of a thing that is not so wide is half that of what is around it
_MOST_WRONG: Final = 3.0  # standard deviations beyond which the flow is that of something else
_COVERED, _COVERED_PX = 0.06, 1.5
"""How far inside of where it must be a side may lie before something covers it: in sizes, in pixels."""
_SWELL_S: Final = 0.4
"""A thing that is not seen keeps its way, but stops growing or shrinking after about so long."""


_INWARD: Final = np.array([1.0, 1.0, -1.0, -1.0])


@dataclass(slots=True, eq=False)
class Course:
    """``sides`` (4,) and their ``rate`` (4,) a second; ``spread`` (3, 4): variances, covariance between."""

    sides: F64
    rate: F64
    spread: F64

    @classmethod
    def first(cls, sides: F64) -> Course:
        """After one look."""
        size = size_of(sides)
        spread = np.array([[(_WRONG * size) ** 2] * 4, [0.0] * 4, [(_FIRST_RATE * size) ** 2] * 4])
        return cls(sides.copy(), np.zeros(4), spread)

    def to_array(self) -> F64:
        """(5, 4) all of it."""
        return np.concatenate([self.sides[None], self.rate[None], self.spread])

    @classmethod
    def from_array(cls, rows: NDArray[np.generic]) -> Course:
        """Inverse of ``to_array``."""
        whole = np.array(rows, np.float64)
        return cls(whole[0], whole[1], whole[2:])

    def ahead(self, seconds: float) -> None:
        """Let time go by."""
        self.sides = self.sides + self.rate * seconds
        noise = (_RESTLESS * size_of(self.sides)) ** 2
        place, both, rate = self.spread
        self.spread = np.stack(
            [
                place + 2 * seconds * both + seconds**2 * rate + noise * seconds**3 / 3,
                both + seconds * rate + noise * seconds**2 / 2,
                rate + noise * seconds,
            ]
        )

    def unseen(self, seconds: float, hidden: Bool | None = None) -> None:
        """Nothing was seen of ``hidden`` sides (None: of all): they come to move as those opposite."""
        way = np.tile((self.rate[:2] + self.rate[2:]) / 2, 2)
        alike = way + (self.rate - way) * np.exp(-seconds / _SWELL_S)
        self.rate = alike if hidden is None else np.where(hidden | np.roll(hidden, 2), alike, self.rate)

    def carry(self, way: F64, seconds: float, seen: float = 1.0) -> None:
        """Take in how far the flow moved each side (4,) in the last ``seconds``; NaN: it does not tell.

        ``seen``: the share of the thing that is not covered; of the rest the flow tells nothing.
        """
        if seconds <= 0 or not np.isfinite(way).all():
            return
        narrow = min(self.sides[2] - self.sides[0], self.sides[3] - self.sides[1]) / _NARROW_PX
        clear = max(min(1.0, seen) * min(1.0, narrow) ** 2, _LEAST_SEEN)
        off = (_WRONG_WAY * size_of(self.sides) / (seconds * clear)) ** 2
        place, both, rate = self.spread
        missed = way / seconds - self.rate
        believed = np.square(missed) <= _MOST_WRONG**2 * (rate + off)
        share, pull = (np.where(believed, v / (rate + off), 0.0) for v in (rate, both))
        self.sides = self.sides + pull * missed
        self.rate = self.rate + share * missed
        self.spread = np.stack([place - pull * both, (1 - share) * both, (1 - share) * rate])

    def covered(self, sides: F64) -> NDArray[np.bool_]:
        """Which measured sides (4,) lie so far inside that something must cover them."""
        inside = (sides - self.sides) * _INWARD
        far: NDArray[np.bool_] = inside > max(_COVERED_PX, _COVERED * size_of(self.sides))
        return far

    def look(self, sides: F64, hidden: NDArray[np.bool_]) -> None:
        """Take in measured sides, of which some (4,) are ``hidden``."""
        missed = completed(self.sides, sides, hidden) - self.sides
        off = (_WRONG * size_of(self.sides)) ** 2
        place, both, rate = self.spread
        share, pull = place / (place + off), both / (place + off)
        self.sides = self.sides + share * missed
        self.rate = self.rate + pull * missed
        self.spread = np.stack([(1 - share) * place, (1 - share) * both, rate - pull * both])


def size_of(sides: F64) -> float:
    """The side of a square as large as the box, in pixels, 2 at least."""
    width, height = max(2.0, float(sides[2] - sides[0])), max(2.0, float(sides[3] - sides[1]))
    return float(np.sqrt(width * height))


def completed(known: F64, seen: F64, hidden: Bool) -> F64:
    """Measured sides with the hidden ones put where the ``known`` box says, never inside of what is seen."""
    full = seen.copy()
    for low, high in ((0, 2), (1, 3)):
        length = known[high] - known[low]
        if hidden[low] and hidden[high]:
            full[low], full[high] = min(known[low], seen[low]), max(known[high], seen[high])
        elif hidden[low]:
            full[low] = min(seen[high] - length, seen[low])
        elif hidden[high]:
            full[high] = max(seen[low] + length, seen[high])
    return full
