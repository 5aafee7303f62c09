"""The one invertible fit of a picture to the network: scale down, pad, and back. NumPy only.

Pixel centres lie at half-integers of the plane (``align_corners=False``): row y of the fitted picture
looks at row (y + 0.5) * source / inner - 0.5 of the source. Nothing is scaled up on the way in unless
``least`` asks for it; padding lies below and to the right only, so pixel (0, 0) stays pixel (0, 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F32, Modality, ShapeError

MULTIPLE = 32
"""Both sides of a network picture are multiples of this."""
_LEAST_PX: Final = dict.fromkeys(
    (Modality.CT, Modality.MR, Modality.XRAY, Modality.ULTRASOUND, Modality.VISIBLE), 448
)
_SHARE: Final = {Modality.XRAY: 13 / 16, Modality.ULTRASOUND: 13 / 16}
"""Of the side of a look. Both chosen on training groups (weights/LOG.md): as scans were seen in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """(rows, columns) of the source, of the scaled picture, and of that picture with its padding."""

    source: tuple[int, int]
    inner: tuple[int, int]
    padded: tuple[int, int]

    def __post_init__(self) -> None:
        if any(not 1 <= i <= p for i, p in zip(self.inner, self.padded, strict=True)):
            raise ShapeError(f"{self} cuts off")

    @property
    def scale_y(self) -> float:
        """Network rows a source row."""
        return self.inner[0] / self.source[0]

    @property
    def scale_x(self) -> float:
        """Network columns a source column."""
        return self.inner[1] / self.source[1]

    @property
    def scale(self) -> float:
        """Network pixels a source pixel, for lengths that have no direction (focal length, pitch)."""
        return float(np.sqrt(self.scale_y * self.scale_x))

    @property
    def scaled(self) -> bool:
        """Whether pixels change at all; otherwise the fit only pads."""
        return self.inner != self.source


def plan_fit(
    shape: tuple[int, int], *, side: int | None = None, least: int = 1, multiple: int = MULTIPLE
) -> Fit:
    """The fit of a picture (rows, columns): long side at most ``side`` pixels, padded to ``multiple``.

    A picture whose long side is below ``least`` pixels is enlarged to that.
    """
    if min(shape) < 1:
        raise ShapeError(f"a picture of {shape} has no pixels")
    long = max(shape)
    wanted = max(long, least)
    ratio = (wanted if side is None else min(wanted, side)) / long
    inner = (max(1, round(shape[0] * ratio)), max(1, round(shape[1] * ratio)))
    padded = (-(-inner[0] // multiple) * multiple, -(-inner[1] // multiple) * multiple)
    return Fit(source=shape, inner=inner, padded=padded)


def look_fit(shape: tuple[int, int], modality: Modality, side: int) -> Fit:
    """The fit of a picture that is looked at whole; of a street the long side is at most ``side`` pixels.

    Scans are often smaller than anything that the network was trained on, and are enlarged.
    """
    most = round(side * _SHARE.get(modality, 1.0))
    return plan_fit(shape, side=most, least=_LEAST_PX.get(modality, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """Linear interpolation along one axis: value i = (1 - weight) * x[low] + weight * x[high]."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    weight: F32

    def at(self, index: NDArray[np.int64]) -> Taps:
        """Those of some values only."""
        return Taps(self.low[index], self.high[index], self.weight[index])


def taps(*, inner: int, source: int, start: int = 0, stop: int | None = None) -> Taps:
    """Where pixels start..stop of a source axis look in the fitted axis, clamped at its ends."""
    at = (np.arange(start, source if stop is None else stop) + 0.5) * (inner / source) - 0.5
    at = np.clip(at, 0, inner - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, inner - 1)
    return Taps(low, high, (at - low).astype(np.float32))
