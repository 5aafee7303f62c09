"""One scaling for a whole scene, from a look at it whose cost does not grow with the scene."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F64, Json, View, Window

from .bands import Channels, gdal_window, read_raw
from .gdal import Dataset
from .sensors import limits_of

LOOK_PX: Final = 1024
_WHOLE_PX: Final = 4096 * 4096
_PROBE_PX: Final = 256
_PROBES: Final = 4
_HEAVY_BLOCK_PX: Final = 16 << 20
LOW_PERCENT: Final = 2.0
HIGH_PERCENT: Final = 98.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What a look at one band found: clipping limits and extremes of the valid values."""

    low: float
    high: float
    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """How a scene's values become the model's channels, and how that was found."""

    views: tuple[View, ...]
    ranges: tuple[Range | None, ...]
    method: str

    def linear(self, scale: float, offset: float) -> Scaling:
        """The same scaling for values that were multiplied by ``scale`` (> 0) and moved by ``offset``."""
        views = (
            View(band=v.band, low=v.low * scale + offset, high=v.high * scale + offset) for v in self.views
        )
        return replace(self, views=tuple(views))

    def describe(self) -> dict[str, Json]:
        """For ``facts``: the method and [low, high] of each channel."""
        return {"method": self.method, "low_high": [[v.low, v.high] for v in self.views]}


def scale_scene(dataset: Dataset, channels: Channels) -> Scaling:
    """8-bit data as it is; all else from the 2nd to the 98th percentile of each band of the scene."""
    if channels.full_scale is not None:
        views = tuple(View(band=i, low=0.0, high=channels.full_scale) for i in range(len(channels.names)))
        return Scaling(views=views, ranges=(None,) * len(views), method="none, 8 bit")
    samples = _look(dataset, channels)
    ranges = tuple(_range(s) for s in samples)
    known = _known(channels, ranges)
    if known is not None:
        return known
    views = tuple(_view(i, r) for i, r in enumerate(ranges))
    return Scaling(
        views=views, ranges=ranges, method=f"percentiles {LOW_PERCENT:g} to {HIGH_PERCENT:g} of the scene"
    )


def _known(channels: Channels, ranges: tuple[Range | None, ...]) -> Scaling | None:
    """The scaling that the sensor has, one for all bands; None where it has none."""
    found = [r for r in ranges if r is not None]
    if not found:
        return None
    low, high = min(r.low for r in found), max(r.high for r in found)
    limits = limits_of(channels.sensor, channels.dtype, low, high)
    if limits is None:
        return None
    views = tuple(View(band=i, low=limits[0], high=limits[1]) for i in range(len(ranges)))
    return Scaling(views=views, ranges=ranges, method=f"{channels.sensor.value}: {limits[2]}")


def _look(dataset: Dataset, channels: Channels) -> list[F64]:
    """Valid values of each band: of a decimated picture where that is cheap, else of spread windows."""
    small = dataset.width * dataset.height <= _WHOLE_PX
    if small or dataset.overviews(channels.indexes[0]):
        step = max(1.0, max(dataset.shape) / LOOK_PX)
        out = (max(1, round(dataset.height / step)), max(1, round(dataset.width / step)))
        parts = [read_raw(dataset, channels, None, out)]
    else:
        parts = [read_raw(dataset, channels, gdal_window(w)) for w in probes(dataset)]
    return [
        np.concatenate([np.asarray(raw[i][valid], np.float64) for raw, valid in parts])
        for i in range(len(channels.indexes))
    ]


def probes(dataset: Dataset) -> list[Window]:
    """Small windows spread over a scene; fewer where each costs a large block."""
    rows, cols = dataset.block_shapes[0]
    n = 2 if rows * cols > _HEAVY_BLOCK_PX else _PROBES
    return [
        Window(top=top, left=left, height=height, width=width)
        for top, height in _spread(dataset.height, n)
        for left, width in _spread(dataset.width, n)
    ]


def _spread(size: int, n: int) -> list[tuple[int, int]]:
    """``n`` stretches of ``_PROBE_PX`` at the centres of equal parts of ``size``."""
    length = min(_PROBE_PX, size)
    starts = (min(size - length, max(0, int(size * (k + 0.5) / n) - length // 2)) for k in range(n))
    return [(start, length) for start in sorted(set(starts))]


def _range(values: NDArray[np.float64]) -> Range | None:
    if values.size == 0:
        return None
    low, high = np.percentile(values, (LOW_PERCENT, HIGH_PERCENT))
    return Range(low=float(low), high=float(high), least=float(values.min()), most=float(values.max()))


def _view(band: int, found: Range | None) -> View:
    if found is None:
        return View(band=band, low=0.0, high=1.0)
    low, high = found.low, found.high
    if not high > low:  # the bulk is one value: the extremes, if they differ, else an empty picture
        low, high = found.least, found.most
    if not np.float32(high) > np.float32(low):
        high = low + max(1.0, abs(low) * 1e-3)
    return View(band=band, low=low, high=high)
