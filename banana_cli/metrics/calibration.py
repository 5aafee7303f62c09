"""Whether a model is right as often as it says it is."""

from __future__ import annotations

import math

import numpy as np

from banana_cli.types import F32, F64, Bool

BINS = 15


class Calibration:
    """Expected calibration error (Guo et al. 2017) over bins of equal width."""

    def __init__(self) -> None:
        self._sums: F64 = np.zeros((BINS, 3), np.float64)  # pixels, confidence, right

    def add(self, confidence: F32, right: Bool) -> None:
        """Confidence 0..1 and whether the answer was right, of any one shape."""
        sure = np.clip(confidence.astype(np.float64), 0, 1)
        bins = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)  # (low, high] as in the paper
        for column, weights in enumerate((None, sure, right)):
            self._sums[:, column] += np.bincount(bins.ravel(), _flat(weights), minlength=BINS)

    def merge(self, other: Calibration) -> None:
        """Count what ``other`` has counted too."""
        self._sums += other._sums

    def ece(self) -> float:
        """Mean of |share right - mean confidence| over the bins, weighted by pixels; NaN without any."""
        pixels, sure, right = self._sums.T
        return float(np.abs(right - sure).sum() / pixels.sum()) if pixels.sum() else math.nan


def _flat(values: F64 | Bool | None) -> F64 | Bool | None:
    return None if values is None else values.ravel()
