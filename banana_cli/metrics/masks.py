"""Counts of classes: add pictures one by one, read the numbers at the end. NaN: nothing to measure."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F64, NO_CLASS, U8, Bool, ShapeError

I64 = NDArray[np.int64]
Sets = tuple[tuple[int, ...], ...]
Groups = tuple[tuple[str, tuple[int, ...]], ...]

# The ten groups of the street bar, as class ids of the street table.
STREET_GROUPS: Groups = (
    ("road", (0,)),
    ("sidewalk and terrain", (1, 9)),
    ("building, wall and fence", (2, 3, 4)),
    ("vegetation", (8,)),
    ("sky", (10,)),
    ("vehicles", (13, 14, 15, 16, 17, 18)),
    ("pole", (5,)),
    ("traffic sign and light", (6, 7)),
    ("person and rider", (11, 12)),
    ("cone or barrier", (19,)),
)


def divide(part: NDArray[np.generic], whole: NDArray[np.generic]) -> F64:
    """part / whole, NaN where the whole is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole == 0, np.nan, np.true_divide(part, whole)).astype(np.float64)


def mean_known(values: F64) -> float:
    """Mean of those that are no NaN."""
    found = values[np.isfinite(values)]
    return float(found.mean()) if found.size else math.nan


class Confusion:
    """Counts of (label, predicted class), where a label is a set of classes that are all right.

    A prediction inside the label's set is right. A wrong one is a miss of the label, and a false alarm
    for every label whose set holds the predicted class. With one class a set this is the usual matrix.
    """

    def __init__(self, sets: Sets, classes: int) -> None:
        """``sets`` by label index; ``classes`` ids 0..classes-1, anything else predicted is wrong."""
        self.sets = sets
        self.classes = classes
        self.counts: I64 = np.zeros((len(sets), classes + 1), np.int64)
        self._inside: Bool = np.zeros((len(sets), classes + 1), np.bool_)
        for index, ids in enumerate(sets):
            self._inside[index, list(ids)] = True

    def add(self, predicted: U8, label: U8) -> None:
        """Class ids and label indices of one size; label 255 is left out. ShapeError if sizes differ."""
        if predicted.shape != label.shape:
            raise ShapeError(f"prediction {predicted.shape} and label {label.shape} differ in size")
        kept = label != NO_CLASS
        truth = label[kept].astype(np.int64)
        answer = np.minimum(predicted[kept], self.classes).astype(np.int64)
        size = self.counts.size
        flat = np.bincount(truth * (self.classes + 1) + answer, minlength=size)
        if flat.size > size:
            raise ShapeError(f"a label is outside 0..{len(self.sets) - 1}")
        self.counts += flat.reshape(self.counts.shape)

    def merge(self, other: Confusion) -> None:
        """Count what ``other``, of the same sets, has counted too."""
        self.counts += other.counts

    def _parts(self) -> tuple[I64, I64, I64]:
        right = np.where(self._inside, self.counts, 0)
        wrong = self.counts - right
        hits = right.sum(axis=1)
        alarms = np.array([wrong[:, self._inside[i]].sum() for i in range(len(self.sets))], np.int64)
        return hits, self.counts.sum(axis=1) - hits, alarms

    def iou(self) -> F64:
        """(labels,) intersection over union, NaN where a label is neither there nor predicted."""
        hits, misses, alarms = self._parts()
        return divide(hits, hits + misses + alarms)

    def dice(self) -> F64:
        """(labels,) Dice coefficient over all pixels added, NaN as in ``iou``."""
        hits, misses, alarms = self._parts()
        return divide(2 * hits, 2 * hits + misses + alarms)

    def mean_iou(self) -> float:
        """Mean over the labels that are there or were predicted."""
        return mean_known(self.iou())

    def accuracy(self) -> float:
        """Share of labelled pixels answered right."""
        hits, misses, _ = self._parts()
        total = int(hits.sum() + misses.sum())
        return float(hits.sum()) / total if total else math.nan

    def best_constant(self) -> int:
        """The one class that would be right most often: the answer of a model that sees nothing."""
        return int(np.argmax(np.where(self._inside, self.counts.sum(axis=1)[:, None], 0).sum(axis=0)))

    def grouped(self, groups: Groups) -> Confusion:
        """The same counts over groups of classes; labels in no group are left out.

        ShapeError if a label's set reaches into more than one group.
        """
        group_of = np.full(self.classes + 1, len(groups), np.int64)
        for place, (_, ids) in enumerate(groups):
            group_of[list(ids)] = place
        merged = Confusion(tuple((i,) for i in range(len(groups))), len(groups))
        for row, ids in zip(self.counts, self.sets, strict=True):
            places = {int(group_of[i]) for i in ids}
            if len(places) > 1:
                raise ShapeError(f"label set {ids} is not inside one group")
            place = places.pop()
            if place < len(groups):
                np.add.at(merged.counts[place], group_of, row)
        return merged
