"""Errors of depth, height and normals, added up picture by picture. NaN: nothing to measure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from banana_cli.metrics.masks import I64, divide
from banana_cli.types import F32, ShapeError


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthScores:
    """``delta1`` share within a factor 1.25, ``delta2`` and ``delta3`` within its square and its cube.

    ``abs_rel`` mean |error| / truth; ``rmse`` and ``mae`` in units.
    """

    delta1: float
    delta2: float
    delta3: float
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
        self._sums = np.zeros(6, np.float64)
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
        ratio = np.maximum(divide(answer, true), divide(true, np.maximum(answer, 1e-9)))
        error = np.abs(answer - true)
        relative = divide(error, true)
        within = [(ratio < 1.25**power).sum() for power in (1, 2, 3)]
        self._sums += [*within, relative.sum(), (error**2).sum(), error.sum()]
        self._pixels += true.size

    def scores(self) -> DepthScores:
        """The numbers over everything added, each pixel with one vote."""
        sums = self._sums / self._pixels if self._pixels else np.full(6, math.nan)
        delta1, delta2, delta3, relative, square, absolute = sums.tolist()
        return DepthScores(
            delta1=delta1,
            delta2=delta2,
            delta3=delta3,
            abs_rel=relative,
            rmse=math.sqrt(square),
            mae=absolute,
            pixels=self._pixels,
        )

    def merge(self, other: DepthErrors) -> None:
        """Count what ``other``, of the same range, has counted too."""
        self._sums += other._sums
        self._pixels += other._pixels


def aligned(values: F32, truth: F32) -> F32:
    """(H, W) values scaled so that their median is the truth's, over pixels where both are known."""
    both = np.isfinite(values) & np.isfinite(truth)
    middle = float(np.median(values[both])) if both.any() else 0.0
    return values * np.float32(np.median(truth[both]) / middle) if middle > 0 else values


class NormalErrors:
    """Angles between predicted and true normals, in degrees; the median to a twentieth of a degree."""

    _BINS = 3600

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
        """Median angle: the middle of its twentieth of a degree."""
        if not self.pixels:
            return math.nan
        place = int(np.searchsorted(np.cumsum(self._histogram), (self.pixels + 1) // 2))
        return (place + 0.5) * 180 / self._BINS

    def share_below(self, degrees: float) -> float:
        """Share of the angles below ``degrees``, a multiple of 0.05 such as 11.25; NaN without any pixel."""
        edge = round(degrees * self._BINS / 180)
        return int(self._histogram[:edge].sum()) / self.pixels if self.pixels else math.nan

    def merge(self, other: NormalErrors) -> None:
        """Count what ``other`` has counted too."""
        self._histogram += other._histogram
        self._sum += other._sum
