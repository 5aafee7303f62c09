"""Things told apart by votes: each pixel says the way to the middle of its own thing.

A network tells ways too short and with doubt. So a picture is cut into more pieces than it has things, by
where the ways lead, and pieces are put together while their votes lie no further apart than those of the
halves of one thing do: both the distance and the spread of votes shrink alike with the ways.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F32, F64, U8, Bool

_STEPS: Final = 3  # where a way leads, it goes on: ways are too short
_BLUR: Final = 1.5  # pixels that votes for one middle miss each other by
_NEAR: Final = 5  # pixels across in which there is one peak of votes
_HALVES: Final = math.sqrt(12)
"""Distance between the votes of the halves of an even thing, in their spreads, however short the ways are.

A part without a waist stays whole where nothing is known. To ask also that votes differ better than places
do would keep every part whole there, but waists help: fewer things were found (0.22 of quality for 0.24)."""
_DOUBT_PX: Final = 0.5  # spread of the votes of a piece, at the least
_BACK: Final = 0.7  # share of their distance that votes of parts which do not touch may lie apart by
_BESIDE: Final = ((0, 1), (1, 0), (1, 1), (1, -1))
Index = NDArray[np.intp]
I32 = NDArray[np.int32]


def told_apart(kinds: U8, parts: I32, inside: Index, ways: F32) -> Index:
    """(n,) The number of the thing, from 0, of each of the flat pixels ``inside`` of thing classes.

    ``kinds`` (h, w) classes; ``parts`` (h, w) numbers its connected parts of one class from 1; ``ways``
    (2, h, w) are (down, right) in pixels.
    """
    peak = _peaks(_ends(kinds, inside, ways), kinds.shape)
    code = peak * (int(parts.max()) + 1) + parts.reshape(-1)[inside]
    _, first, piece = np.unique(code, return_index=True, return_inverse=True)
    pieces = _Pieces.of(piece, inside, ways)
    labels = np.full(kinds.shape, -1, np.intp)
    labels.reshape(-1)[inside] = piece
    pieces.touch(labels, parts.reshape(-1)[inside[first]])
    pieces.meet(peak[first], kinds.reshape(-1)[inside[first]])
    _, number = np.unique(pieces.joined(), return_inverse=True)
    thing: Index = number[piece]
    return thing


def _ends(kinds: U8, inside: Index, ways: F32) -> Index:
    """Flat pixels that the ways from those ``inside`` lead to, on and on inside of their own class."""
    height, width = kinds.shape
    kind, (down, right) = kinds.reshape(-1), ways.reshape(2, -1)
    mine, at = kind[inside], inside
    row, col = (place.astype(np.float32) for place in np.divmod(inside, width))
    for step in range(_STEPS):
        below, beside = row + down[at], col + right[at]
        to = np.rint(below).astype(np.intp).clip(0, height - 1) * width
        to += np.rint(beside).astype(np.intp).clip(0, width - 1)
        # The middle may be hidden, but what hides it does not know the way on.
        goes = (kind[to] == mine) & (kind[at] == mine) if step else np.ones(len(at), np.bool_)
        row, col, at = np.where(goes, below, row), np.where(goes, beside, col), np.where(goes, to, at)
    return at


def _peaks(ends: Index, shape: tuple[int, ...]) -> Index:
    """The number of the peak of votes that each end is nearest to."""
    height, width = shape
    votes = np.bincount(ends, minlength=height * width).reshape(height, width).astype(np.float32)
    smooth = cv2.GaussianBlur(votes, (0, 0), _BLUR)
    highest = cv2.dilate(smooth, np.ones((_NEAR, _NEAR), np.uint8))
    lower = ((smooth < highest) | (smooth <= 0)).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        lower, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_CCOMP
    )
    peak: Index = nearest.reshape(-1)[ends].astype(np.intp)
    return peak


@dataclass(slots=True, eq=False)
class _Pieces:
    """Pieces of things: pixels (n,), and sums (n, 7) of places (2), votes (2), and votes' second moments.

    ``pairs`` (2, m), the smaller number first, may be one; ``apart`` (m,) tells those that do not touch.
    """

    count: F64
    sums: F64
    pairs: Index
    apart: Bool

    @classmethod
    def of(cls, piece: Index, inside: Index, ways: F32) -> _Pieces:
        row, col = (place.astype(np.float64) for place in np.divmod(inside, ways.shape[-1]))
        down, right = (
            place + way[inside] for place, way in zip((row, col), ways.reshape(2, -1), strict=True)
        )
        facts = (row, col, down, right, down * down, right * right, down * right)
        sums = np.stack([np.bincount(piece, fact) for fact in facts], 1).astype(np.float64)
        none = np.zeros((2, 0), np.intp)
        return cls(np.bincount(piece).astype(np.float64), sums, none, np.zeros(0, np.bool_))

    def touch(self, labels: Index, part: I32) -> None:
        """Pieces of one part that are neighbours in (h, w) ``labels``, -1 where there is none."""
        for down, right in _BESIDE:
            one = labels[: len(labels) - down, max(0, -right) : labels.shape[1] - max(0, right)]
            two = labels[down:, max(0, right) : labels.shape[1] - max(0, -right)]
            differ = (one != two) & (one >= 0) & (two >= 0)
            pairs = np.stack([one[differ], two[differ]])
            self._add(pairs[:, part[pairs[0]] == part[pairs[1]]], apart=False)

    def meet(self, peak: Index, kind: U8) -> None:
        """Pieces of one class that vote for one peak."""
        order = np.lexsort((kind, peak))
        one, two = order[:-1], order[1:]
        alike = (peak[one] == peak[two]) & (kind[one] == kind[two])
        self._add(np.stack([one[alike], two[alike]]), apart=True)

    def _add(self, pairs: Index, *, apart: bool) -> None:
        self.pairs = np.concatenate([self.pairs, pairs], 1)
        self.apart = np.append(self.apart, np.full(pairs.shape[1], apart))
        self._tidy()

    def _tidy(self) -> None:
        """Each pair once; it touches if it does anywhere."""
        low, high = self.pairs.min(0), self.pairs.max(0)
        code, place = np.unique(low * len(self.count) + high, return_inverse=True)
        self.pairs = np.stack(np.divmod(code, len(self.count)))
        self.apart = np.bincount(place, ~self.apart, len(code)) == 0

    def _distance(self) -> F64:
        """(m,) How far apart a pair votes, in spreads of its votes along the line between the two."""
        one, two = self.pairs
        mean = self.sums / self.count[:, None]
        gap = mean[one] - mean[two]
        far = np.hypot(gap[:, 0], gap[:, 1]).clip(1e-6)
        down, right = gap[:, 0] / far, gap[:, 1] / far
        voted = (down * gap[:, 2] + right * gap[:, 3]).clip(0)
        squares = self.sums[:, 4:] - self.count[:, None] * mean[:, [2, 3, 2]] * mean[:, [2, 3, 3]]
        along = np.stack([down * down, right * right, 2 * down * right], 1)
        spread = ((squares[one] + squares[two]) * along).sum(1) / (self.count[one] + self.count[two])
        distance: F64 = voted / np.sqrt(spread.clip(0) + _DOUBT_PX**2)
        distance[self.apart & (voted > _BACK * far)] = np.inf
        return distance

    def joined(self) -> Index:
        """(n,) For each piece the number of the one that it has become, the most alike ones first."""
        name = np.arange(len(self.count))
        while self.pairs.size:
            near = self._distance()
            best = np.full(len(name), _HALVES)
            for side in self.pairs:
                np.minimum.at(best, side, near)
            one, two = self.pairs
            keep, gone = _one_each(
                self.pairs[:, (near < _HALVES) & (near <= best[one]) & (near <= best[two])]
            )
            if not gone.size:
                break
            self.count[keep] += self.count[gone]
            self.sums[keep] += self.sums[gone]
            to = np.arange(len(name))
            to[gone] = keep
            name, self.pairs = to[name], to[self.pairs]
            differ = self.pairs[0] != self.pairs[1]
            self.pairs, self.apart = self.pairs[:, differ], self.apart[differ]
            self._tidy()
        return name


def _one_each(pairs: Index) -> Index:
    """Those of (2, m) sorted pairs in which nobody takes in two, is taken in twice, or does both."""
    for side in (0, 1):
        pairs = pairs[:, np.unique(pairs[side], return_index=True)[1]]
    kept: Index = pairs[:, ~np.isin(pairs[1], pairs[0])]
    return kept
