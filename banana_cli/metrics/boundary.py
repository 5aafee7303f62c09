"""How well the outlines of classes agree, within a tolerance in pixels."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from banana_cli.metrics.masks import I64, divide, mean_known
from banana_cli.types import F64, NO_CLASS, U8, Bool, ShapeError


class BoundaryScore:
    """F-score of class boundaries within ``tolerance`` pixels; those beside ignored pixels are left out."""

    def __init__(self, classes: int, tolerance: int = 2) -> None:
        self._classes = classes
        along = np.arange(-tolerance, tolerance + 1)
        disk = along[:, None] ** 2 + along[None, :] ** 2 <= tolerance**2
        self._disk = disk.astype(np.uint8)
        self._counts: I64 = np.zeros((classes, 4), np.int64)  # near truth, predicted, near predicted, true

    def add(self, predicted: U8, truth: U8) -> None:
        """Class ids of one size; 255 in the truth is ignored. ShapeError if sizes differ."""
        if predicted.shape != truth.shape:
            raise ShapeError(f"prediction {predicted.shape} and truth {truth.shape} differ in size")
        ignored = cv2.dilate((truth == NO_CLASS).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        for c in np.union1d(np.unique(predicted), np.unique(truth)):
            if c < self._classes:
                ours, theirs = (_boundary(m == c) & ~ignored for m in (predicted, truth))
                near_ours, near_theirs = self._near(ours), self._near(theirs)
                found = ((ours & near_theirs).sum(), ours.sum(), (theirs & near_ours).sum(), theirs.sum())
                self._counts[int(c)] += found

    def merge(self, other: BoundaryScore) -> None:
        """Count what ``other``, of the same tolerance, has counted too."""
        self._counts += other._counts

    def _near(self, edge: Bool) -> Bool:
        return cast(Bool, cv2.dilate(edge.astype(np.uint8), self._disk) > 0)

    def scores(self) -> F64:
        """(classes,) F-score, NaN for classes without any boundary."""
        near_truth, ours, near_ours, theirs = self._counts.T
        precision, recall = divide(near_truth, ours), divide(near_ours, theirs)
        empty = (ours == 0) & (theirs == 0)
        precision, recall = np.nan_to_num(precision), np.nan_to_num(recall)
        score = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        return cast(F64, np.where(empty, np.nan, score))

    def mean(self) -> float:
        """Mean over the classes that have a boundary."""
        return mean_known(self.scores())


def _boundary(mask: Bool) -> Bool:
    """Pixels of the mask with a 4-neighbour outside it (the picture's edge is no boundary)."""
    inside = mask.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return cast(Bool, mask & (cv2.erode(inside, cross, borderType=cv2.BORDER_REPLICATE) == 0))
