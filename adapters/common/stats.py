"""Statistics as CSV: one row a class and frame for masks, one row a frame for depth and normals.

The blocks of a scene count together as frame 0. Medians and percentiles come from a histogram of the
16-bit depth code, so they are exact to half a step of it however large the scene.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TextIO

import numpy as np

from banana_cli import codec
from banana_cli.adapter import Sink, SinkJob, SourceInfo
from banana_cli.types import (
    ClassTable,
    Depth,
    Domain,
    Frame,
    Json,
    Layer,
    LayerKind,
    Mask,
    Normals,
    Prediction,
)

from .canvas import is_scene, placed

Cell = str | int | float
_WHERE: Final = ("frame", "time_s")
_COLUMNS: Final[dict[LayerKind, tuple[str, ...]]] = {
    LayerKind.MASKS: ("class_id", "class", "pixels", "share", "area", "area_unit"),
    LayerKind.DEPTH: (
        "pixels", "valid_share", "min", "p05", "median", "mean", "p95", "max", "unit", "kind",
    ),
    LayerKind.NORMALS: ("pixels", "valid_share", "mean_x", "mean_y", "mean_z", "median_tilt_deg"),
}  # fmt: skip
_CODES: Final = 65536
_TILTS: Final = 3600  # twentieths of a degree from the viewer


def number(value: float) -> Cell:
    """A number for a cell: up to seven digits, empty for none."""
    return f"{value:.7g}" if math.isfinite(value) else ""


class _Count(Protocol):
    """What is counted of one layer."""

    def take(self, layer: Layer, frame: Frame, part: tuple[slice, slice]) -> None:
        """Count the part of a frame that it answers for."""

    def rows(self) -> Iterator[Sequence[Cell]]:
        """The cells after frame and time."""


class MaskCount:
    """Pixels and area of each class; shares are of all pixels with data, whichever classes are kept."""

    def __init__(self, table: ClassTable) -> None:
        self._table = table
        self._pixels = np.zeros(len(table), np.int64)
        self._area = np.zeros(len(table), np.float64)
        self._seen = 0
        self._unit = ""

    def take(self, layer: Layer, frame: Frame, part: tuple[slice, slice]) -> None:
        """Count the ids of a part."""
        if not isinstance(layer, Mask):
            raise TypeError(f"{layer.kind} are no masks")
        found = np.bincount(layer.ids[part][layer.valid[part]], minlength=256)[: len(self._table)]
        self._pixels += found
        self._seen += int(np.count_nonzero(frame.valid[part]))
        pitch = frame.geometry.pitch()
        if pitch is not None:
            self._area += found * abs(pitch.row * pitch.col)
            self._unit = f"{pitch.unit.value}2"

    def rows(self) -> Iterator[Sequence[Cell]]:
        """One row a class, absent classes included."""
        total = max(self._seen, 1)
        for c in self._table.classes:
            count = int(self._pixels[c.id])
            area = number(float(self._area[c.id])) if self._unit else ""
            yield (c.id, c.name, count, number(count / total), area, self._unit)


class DepthCount:
    """Order statistics of depth by its 16-bit code; minimum, mean and maximum of the numbers themselves."""

    def __init__(self) -> None:
        self._codes = np.zeros(_CODES, np.int64)
        self._code = codec.KITTI16
        self._kind = ""
        self._seen = 0
        self._sum = 0.0
        self._low, self._high = math.inf, -math.inf

    def take(self, layer: Layer, frame: Frame, part: tuple[slice, slice]) -> None:
        """Count the values of a part."""
        if not isinstance(layer, Depth):
            raise TypeError(f"{layer.kind} are no depth")
        stored, self._code = codec.encode_depth_u16(layer)
        self._kind = layer.depth_kind.value
        values = layer.values[part][layer.valid[part]]
        self._codes += np.bincount(stored[part].ravel(), minlength=_CODES)
        self._seen += stored[part].size
        self._sum += float(values.sum(dtype=np.float64))
        self._low = min(self._low, float(values.min(initial=np.inf)))
        self._high = max(self._high, float(values.max(initial=-np.inf)))

    def rows(self) -> Iterator[Sequence[Cell]]:
        """One row."""
        counts = self._codes[1:]
        total = int(counts.sum())
        p05, median, p95 = (self._value(quantile(counts, q)) for q in (0.05, 0.5, 0.95))
        mean = self._sum / total if total else math.nan
        cells = (self._low, p05, median, mean, p95, self._high)
        yield (
            total,
            number(total / max(self._seen, 1)),
            *map(number, cells),
            self._code.unit.value,
            self._kind,
        )

    def _value(self, index: int | None) -> float:
        if index is None:
            return math.nan
        value = (index + 1) * self._code.scale + self._code.offset
        return min(max(value, self._low), self._high)


class NormalsCount:
    """Mean direction, and how far surfaces lean away from the viewer."""

    def __init__(self) -> None:
        self._sum = np.zeros(3)
        self._tilts = np.zeros(_TILTS + 1, np.int64)
        self._seen = 0

    def take(self, layer: Layer, frame: Frame, part: tuple[slice, slice]) -> None:
        """Count the directions of a part."""
        if not isinstance(layer, Normals):
            raise TypeError(f"{layer.kind} are no normals")
        valid = layer.valid[part]
        xyz = layer.xyz[(slice(None), *part)][:, valid]
        self._sum += xyz.sum(axis=1, dtype=np.float64)
        tilt = np.degrees(np.arccos(np.clip(-xyz[2].astype(np.float64), -1, 1)))
        self._tilts += np.bincount(np.rint(tilt * (_TILTS / 180)).astype(np.int64), minlength=_TILTS + 1)
        self._seen += valid.size

    def rows(self) -> Iterator[Sequence[Cell]]:
        """One row."""
        total = int(self._tilts.sum())
        mean = self._sum / total if total else np.full(3, np.nan)
        middle = quantile(self._tilts, 0.5)
        tilt = math.nan if middle is None else middle * (180 / _TILTS)
        yield (total, number(total / max(self._seen, 1)), *(number(float(m)) for m in mean), number(tilt))


def quantile(counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]], share: float) -> int | None:
    """Index of the bin that holds the quantile; None if nothing was counted."""
    total = int(counts.sum())
    if not total:
        return None
    rank = min(int(share * total), total - 1)
    return int(np.searchsorted(np.cumsum(counts), rank, side="right"))


class _CsvSink:
    """One CSV file."""

    def __init__(self, file: TextIO, job: SinkJob) -> None:
        self._job = job
        self._out = csv.writer(file, lineterminator="\n")
        self._out.writerow(_WHERE + _COLUMNS[job.layer])
        self._scene = self._fresh() if is_scene(job.info) else None

    def _fresh(self) -> _Count:
        if self._job.layer is LayerKind.MASKS:
            return MaskCount(self._job.table)
        return DepthCount() if self._job.layer is LayerKind.DEPTH else NormalsCount()

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Count one frame."""
        layer = prediction.of(self._job.layer)
        if layer is None:
            return
        count = self._scene or self._fresh()
        count.take(layer, frame, placed(frame)[1])
        if self._scene is None:
            time_s = frame.provenance.time_s
            self._put(count, frame.provenance.index, "" if time_s is None else f"{time_s:.6f}")

    def _put(self, count: _Count, index: int, time: str) -> None:
        self._out.writerows((index, time, *row) for row in count.rows())

    def finish(self) -> dict[str, Json]:
        """Write the counts of a scene."""
        if self._scene is not None:
            self._put(self._scene, 0, "")
        columns: list[Json] = list(_WHERE + _COLUMNS[self._job.layer])
        return {"encoding": "csv", "kind": "statistics", "columns": columns}


class CsvFormat:
    """The format "csv"."""

    name: str = "csv"
    domains: frozenset[Domain] = frozenset(Domain)
    layers: frozenset[LayerKind] = frozenset(LayerKind)

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """Always ".csv"."""
        return ".csv"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """Write one table."""
        with part.open("w", encoding="utf-8", newline="") as file:
            yield _CsvSink(file, job)


CSV = CsvFormat()
