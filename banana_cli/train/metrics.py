"""Streaming metrics: add pictures one by one, read the numbers at the end. NaN means nothing to measure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from banana_cli.train.packs import Sets
from banana_cli.types import F32, F64, NO_CLASS, U8, Bool, ShapeError

I64 = NDArray[np.int64]
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


def _divide(part: NDArray[np.generic], whole: NDArray[np.generic]) -> F64:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole == 0, np.nan, np.true_divide(part, whole)).astype(np.float64)


def _mean(values: F64) -> float:
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

    def _parts(self) -> tuple[I64, I64, I64]:
        right = np.where(self._inside, self.counts, 0)
        wrong = self.counts - right
        hits = right.sum(axis=1)
        alarms = np.array([wrong[:, self._inside[i]].sum() for i in range(len(self.sets))], np.int64)
        return hits, self.counts.sum(axis=1) - hits, alarms

    def iou(self) -> F64:
        """(labels,) intersection over union, NaN where a label is neither there nor predicted."""
        hits, misses, alarms = self._parts()
        return _divide(hits, hits + misses + alarms)

    def dice(self) -> F64:
        """(labels,) Dice coefficient over all pixels added, NaN as in ``iou``."""
        hits, misses, alarms = self._parts()
        return _divide(2 * hits, 2 * hits + misses + alarms)

    def mean_iou(self) -> float:
        """Mean over the labels that are there or were predicted."""
        return _mean(self.iou())

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


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthScores:
    """``delta1`` share within a factor 1.25; ``abs_rel`` mean |error| / truth; ``rmse``, ``mae`` in units."""

    delta1: float
    abs_rel: float
    rmse: float
    mae: float
    pixels: int


class DepthErrors:
    """Depth against truth, over the pixels whose truth lies in (low, high].

    For heights, where 0 is a true value, give ``low=-math.inf``: ``rmse`` and ``mae`` are then the numbers.
    """

    def __init__(self, low: float = 1e-3, high: float = math.inf) -> None:
        self._low, self._high = low, high
        self._sums = np.zeros(4, np.float64)
        self._pixels = 0

    def add(self, predicted: F32, truth: F32) -> None:
        """Two maps of one size in one unit; NaN truth is left out, a NaN prediction is as wrong as 0.

        Pixels whose truth is out of range are not judged; predictions are not clipped.
        """
        if predicted.shape != truth.shape:
            raise ShapeError(f"prediction {predicted.shape} and truth {truth.shape} differ in size")
        kept = (truth > self._low) & (truth <= self._high)
        true = truth[kept].astype(np.float64)
        answer = np.nan_to_num(predicted[kept].astype(np.float64), nan=0.0)
        ratio = np.maximum(_divide(answer, true), _divide(true, np.maximum(answer, 1e-9)))
        error = np.abs(answer - true)
        relative = _divide(error, true)
        self._sums += [(ratio < 1.25).sum(), relative.sum(), (error**2).sum(), error.sum()]
        self._pixels += true.size

    def scores(self) -> DepthScores:
        """The numbers over everything added, each pixel with one vote."""
        if not self._pixels:
            return DepthScores(delta1=math.nan, abs_rel=math.nan, rmse=math.nan, mae=math.nan, pixels=0)
        delta1, relative, square, absolute = (self._sums / self._pixels).tolist()
        return DepthScores(
            delta1=delta1, abs_rel=relative, rmse=math.sqrt(square), mae=absolute, pixels=self._pixels
        )


class NormalErrors:
    """Angles between predicted and true normals, in degrees; the median to a tenth of a degree."""

    _BINS = 1800

    def __init__(self) -> None:
        self._histogram: I64 = np.zeros(self._BINS, np.int64)
        self._sum = 0.0

    def add(self, predicted: F32, truth: F32) -> None:
        """(3, H, W) each, of any length above 0; where the truth is 0 nothing is judged."""
        if predicted.shape != truth.shape or truth.shape[0] != 3:
            raise ShapeError(f"normals {predicted.shape} and {truth.shape} must both be (3, H, W)")
        kept = np.any(truth != 0, axis=0)
        a, b = (v[:, kept].astype(np.float64) for v in (predicted, truth))
        cross = np.linalg.norm(np.cross(a, b, axis=0), axis=0)
        # A prediction of length 0 is no answer: 90 degrees, as wrong as chance.
        angle = np.degrees(
            np.where(np.any(a != 0, axis=0), np.arctan2(cross, (a * b).sum(axis=0)), np.pi / 2)
        )
        bins = np.minimum((angle * (self._BINS / 180)).astype(np.int64), self._BINS - 1)
        self._histogram += np.bincount(bins, minlength=self._BINS)
        self._sum += float(angle.sum())

    @property
    def pixels(self) -> int:
        """How many pixels were judged."""
        return int(self._histogram.sum())

    def mean_deg(self) -> float:
        """Mean angle."""
        return self._sum / self.pixels if self.pixels else math.nan

    def median_deg(self) -> float:
        """Median angle: the middle of its tenth of a degree."""
        if not self.pixels:
            return math.nan
        place = int(np.searchsorted(np.cumsum(self._histogram), (self.pixels + 1) // 2))
        return (place + 0.5) * 180 / self._BINS


class BoundaryScore:
    """F-score of class boundaries within ``tolerance`` pixels; those beside ignored pixels are left out."""

    def __init__(self, classes: int, tolerance: int = 2) -> None:
        self._classes = classes
        along = np.arange(-tolerance, tolerance + 1)
        disk = along[:, None] ** 2 + along[None, :] ** 2 <= tolerance**2
        self._disk = disk.astype(np.uint8)
        self._counts: I64 = np.zeros((classes, 4), np.int64)  # near truth, predicted, near predicted, true

    def add(self, predicted: U8, truth: U8) -> None:
        """Class ids of one size; 255 in the truth is ignored."""
        ignored = cv2.dilate((truth == NO_CLASS).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        for c in np.union1d(np.unique(predicted), np.unique(truth)):
            if c < self._classes:
                ours, theirs = (_boundary(m == c) & ~ignored for m in (predicted, truth))
                near_ours, near_theirs = self._near(ours), self._near(theirs)
                found = ((ours & near_theirs).sum(), ours.sum(), (theirs & near_ours).sum(), theirs.sum())
                self._counts[int(c)] += found

    def _near(self, edge: Bool) -> Bool:
        return cast(Bool, cv2.dilate(edge.astype(np.uint8), self._disk) > 0)

    def scores(self) -> F64:
        """(classes,) F-score, NaN for classes without any boundary."""
        near_truth, ours, near_ours, theirs = self._counts.T
        precision, recall = _divide(near_truth, ours), _divide(near_ours, theirs)
        empty = (ours == 0) & (theirs == 0)
        precision, recall = np.nan_to_num(precision), np.nan_to_num(recall)
        score = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        return cast(F64, np.where(empty, np.nan, score))

    def mean(self) -> float:
        """Mean over the classes that have a boundary."""
        return _mean(self.scores())


def _boundary(mask: Bool) -> Bool:
    """Pixels of the mask with a 4-neighbour outside it (the picture's edge is no boundary)."""
    inside = mask.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return cast(Bool, mask & (cv2.erode(inside, cross, borderType=cv2.BORDER_REPLICATE) == 0))
