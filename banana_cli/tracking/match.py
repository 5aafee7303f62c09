"""Who is who: pairs of known things and regions that fit together best (Hungarian assignment)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from banana_cli.tracking.course import Course, size_of
from banana_cli.tracking.regions import I64, hidden_sides, mean_colours, sides_of
from banana_cli.types import F32, F64, U16, Bool

LEAST_IOU: Final = 0.15
_STRANGE: Final = 0.35
"""What an overlap of two kinds that are no kin counts for."""
_NEAR, _FAR = 0.4, 0.6
"""How far from where it should be a side may turn up, in sizes of the box, and what a second adds."""
_LEAST_SURE: Final = 0.3  # what a box is worth less of which no side is seen
_SLIVER: Final = 0.4  # what it is worth less if nearly all of it is hidden: a sliver fits many things
_OTHER_COLOUR, _MOST_COLOUR = 120.0, 0.6
"""The difference in levels of 255 that rules a thing out, and the most that one may count."""
_INSIDE: Final = 0.5  # what a side counts that lies within: something may still cover the rest
_OUTWARD: Final = np.array([-1.0, -1.0, 1.0, 1.0])
MOST_UNLIKE: Final = 0.3
"""A part of a region whose colour speaks against a thing by more is not of it."""
Pairs = list[tuple[int, int]]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Boxes: ``sides`` (m, 4) left, top, right, bottom, which of them are ``hidden`` (m, 4), mean colours."""

    sides: F64
    hidden: Bool
    colours: F64

    @classmethod
    def of(cls, ids: U16, count: int, picture: F32) -> Seen:
        """The regions 1..n of a ``picture`` (h, w, C); NaN without a pixel."""
        sides = sides_of(ids, count)
        return cls(sides, hidden_sides(ids, sides), mean_colours(ids, count, picture))

    def some(self, which: list[int]) -> Seen:
        """Those of these places."""
        return Seen(self.sides[which], self.hidden[which], self.colours[which])


def best_pairs(fit: F64, least: float) -> Pairs:
    """(row, column) pairs of the greatest sum of ``fit`` (n, m), each above ``least``."""
    if not fit.size:
        return []
    rows, cols = linear_sum_assignment(np.where(fit >= least, fit, 0.0), maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, cols, strict=True) if fit[r, c] >= least]


def by_overlap(shared: I64, before: I64, now: I64, kin: Bool) -> F64:
    """(n, m) IoU of things carried along and regions; less for those that are no kin."""
    union = before[:, None] + now[None] - shared
    fit: F64 = shared / np.maximum(union, 1) * np.where(kin, 1.0, _STRANGE)
    return fit


def other_colour(colours: Sequence[F64], seen: Seen) -> F64:
    """(n, m) how much the colours of things and regions speak against each other, 0 for not at all."""
    if not len(colours):
        return np.zeros((0, len(seen.sides)))
    return unlike(np.stack(colours)[:, None], seen.colours[None])


def unlike(ours: F64, theirs: F64) -> F64:
    """(...) how much mean colours (..., C) speak against being of one thing, from 0 to ``_MOST_COLOUR``."""
    against: F64 = np.minimum(np.linalg.norm(ours - theirs, axis=-1) / _OTHER_COLOUR, _MOST_COLOUR)
    return against


def by_course(
    courses: Sequence[Course], colours: Sequence[F64], unseen_s: Sequence[float], seen: Seen, kin: Bool
) -> F64:
    """(n, m) how well seen regions fit where things should be now: 1 exactly there and so coloured, 0 not.

    Sides that are hidden need only lie within the thing, and others had best not lie outside. What was not
    seen for long may be in many places, so that each of them fits less.
    """
    if not courses or not len(seen.sides):
        return np.zeros((len(courses), len(seen.sides)))
    there = np.stack([c.sides for c in courses])[:, None]
    size = np.array([size_of(c.sides) for c in courses])[:, None]
    off = seen.sides[None] - there
    outside = np.maximum(off * _OUTWARD, 0)
    inside = np.where(seen.hidden[None], 0.0, _INSIDE * np.maximum(-off * _OUTWARD, 0))
    off = np.maximum(outside, inside).max(-1) / size
    reach = _NEAR + _FAR * np.minimum(np.asarray(unseen_s), 1.0)[:, None]
    unsure = _LEAST_SURE * np.all(seen.hidden, axis=-1)[None] + _SLIVER * _hidden_share(there, seen)
    fit = np.where(kin, np.maximum(1 - off / reach - unsure - other_colour(colours, seen), 0.0), 0.0)
    likely: F64 = fit * _NEAR / reach
    return likely


def _hidden_share(there: F64, seen: Seen) -> F64:
    """(n, m) how much of the boxes (n, 1, 4) is hidden if they are those seen; 0 where no side is."""
    whole, part = (np.prod(np.maximum(s[..., 2:] - s[..., :2], 1), -1) for s in (there, seen.sides))
    share: F64 = np.maximum(1 - part / whole, 0) * seen.hidden.any(-1)
    return share
