"""Panoptic quality (Kirillov et al. 2019) as panopticapi and cityscapesScripts define it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banana_cli.metrics.masks import I64, divide
from banana_cli.types import F64, Bool, ShapeError

MATCH_ABOVE = 0.5
"""Segments with a larger IoU than this match: at most one can, so that no assignment is needed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segments:
    """A picture cut into segments: ``ids`` (H, W) 1..n, 0 = void; ``classes`` and ``crowd`` are (n,).

    A crowd is a region of a class whose members nobody has told apart; it is never missed.
    """

    ids: I64
    classes: I64
    crowd: Bool

    @classmethod
    def of(
        cls,
        classes: NDArray[np.integer],
        instances: NDArray[np.integer],
        things: Collection[int],
        count: int,
        *,
        crowds: bool,
    ) -> Segments:
        """From class indices 0..count-1 and numbers of instances, both (H, W).

        A class that is no thing is one segment. In a truth (``crowds``) pixels of a thing without a number
        (0) are a crowd, and ``count`` is a segment of no class: whoever finds one there is wrong. In a
        prediction both are void, as all other indices are in both. ShapeError if sizes differ.
        """
        if classes.shape != instances.shape:
            raise ShapeError(f"classes {classes.shape} and instances {instances.shape} differ in size")
        is_thing = np.isin(classes, list(things))
        void = classes > count if crowds else (classes >= count) | (is_thing & (instances == 0))
        number = np.where(is_thing, instances, 0).astype(np.int64)
        code = np.where(void, -1, classes.astype(np.int64) << 32 | number)
        found, ids = np.unique(code, return_inverse=True)
        ids = ids.reshape(code.shape) + (0 if found.size and found[0] < 0 else 1)
        found = found[found >= 0]
        of_class = found >> 32
        return cls(
            ids=ids.astype(np.int64),
            classes=of_class,
            crowd=np.isin(of_class, list(things)) & (found & 0xFFFFFFFF == 0),
        )


class PanopticQuality:
    """Matches segments picture by picture; void and crowds of the truth are nobody's mistake."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._sums: F64 = np.zeros((classes, 4), np.float64)  # IoU of matches, matches, false, missed

    def add(self, predicted: Segments, truth: Segments) -> None:
        """Segments of one picture. ShapeError if sizes differ."""
        if predicted.ids.shape != truth.ids.shape:
            raise ShapeError(f"prediction {predicted.ids.shape} and truth {truth.ids.shape} differ in size")
        width = len(predicted.classes) + 1
        pairs, shared = np.unique(truth.ids * width + predicted.ids, return_counts=True)
        theirs, ours = pairs // width, pairs % width
        void = np.zeros(width, np.int64)
        void[ours[theirs == 0]] = shared[theirs == 0]
        area = np.bincount(ours, shared, minlength=width)
        true_area = np.bincount(theirs, shared, minlength=len(truth.classes) + 1)

        both = (theirs > 0) & (ours > 0)
        theirs, ours, shared = theirs[both], ours[both], shared[both]
        alike = truth.classes[theirs - 1] == predicted.classes[ours - 1]
        crowd = truth.crowd[theirs - 1]
        iou = shared / (area[ours] + true_area[theirs] - shared - void[ours])
        hit = alike & ~crowd & (iou > MATCH_ABOVE)
        excused = void.astype(np.float64)
        np.add.at(excused, ours[alike & crowd], shared[alike & crowd])

        missed = ~truth.crowd & (truth.classes < self._classes)
        missed[theirs[hit] - 1] = False
        false = excused[1:] <= 0.5 * area[1:]
        false[ours[hit] - 1] = False
        classes = truth.classes[theirs[hit] - 1]
        np.add.at(self._sums[:, 0], classes, iou[hit])
        np.add.at(self._sums[:, 1], classes, 1)
        np.add.at(self._sums[:, 2], predicted.classes[false], 1)
        np.add.at(self._sums[:, 3], truth.classes[missed], 1)

    def merge(self, other: PanopticQuality) -> None:
        """Count what ``other`` has counted too."""
        self._sums += other._sums

    def pq(self) -> F64:
        """(classes,) panoptic quality, NaN for classes without any segment."""
        return divide(self._sums[:, 0], self._weight())

    def sq(self) -> F64:
        """(classes,) mean IoU of the matches, 0 without a match, NaN as in ``pq``."""
        mean = np.nan_to_num(divide(self._sums[:, 0], self._sums[:, 1]))
        return np.where(self._weight() > 0, mean, np.nan)

    def rq(self) -> F64:
        """(classes,) F-score of the matches, NaN as in ``pq``."""
        return divide(self._sums[:, 1], self._weight())

    def _weight(self) -> F64:
        weight: F64 = self._sums[:, 1] + (self._sums[:, 2] + self._sums[:, 3]) / 2
        return weight
