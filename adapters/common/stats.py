"""Statistics as CSV or JSON: one row a class and frame for masks, one a frame for depth and normals.

The blocks of a scene count together as frame 0; slices of a volume count once more together, as frame
"all". Masks of scans also give volumes in ml and the mean of the picture's own values (HU in CT).
Medians and percentiles come from a histogram of the 16-bit depth code, so they are exact to half a step
of it however large the scene.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TextIO

import numpy as np

from banana_cli import codec
from banana_cli.adapter import Sink, SinkJob
from banana_cli.types import (
    F64,
    ClassTable,
    Depth,
    Domain,
    Frame,
    Geometry,
    Json,
    Layer,
    LayerKind,
    Mask,
    Normals,
    Prediction,
    Surveyed,
    Unit,
)

from .canvas import CommonFormat, is_scene, placed

Cell = str | int | float
_WHERE: Final = ("frame", "time_s")
_COLUMNS: Final[dict[LayerKind, tuple[str, ...]]] = {
    LayerKind.MASKS: ("class_id", "class", "pixels", "share", "area", "area_unit"),
    LayerKind.DEPTH: (
        "pixels", "valid_share", "min", "p05", "median", "mean", "p95", "max", "unit", "kind",
    ),
    LayerKind.NORMALS: ("pixels", "valid_share", "mean_x", "mean_y", "mean_z", "median_tilt_deg"),
}  # fmt: skip
_OF_SCANS: Final = ("volume_ml", "mean", "mean_unit")
_ALL: Final = "all"
_CELL_PX: Final = 256
_CODES: Final = 65536
_TILTS: Final = 3600  # twentieths of a degree from the viewer


def number(value: Cell) -> Cell:
    """A cell of CSV: numbers with up to seven digits, empty for none."""
    if not isinstance(value, float):
        return value
    return f"{value:.7g}" if math.isfinite(value) else ""


def _json(value: Cell) -> Json:
    """A cell of JSON: the same digits, null for none."""
    text = number(value)
    return float(text) if isinstance(value, float) and text != "" else (None if text == "" else text)


class _Count(Protocol):
    """What is counted of one layer."""

    def take(self, layer: Layer, frame: Frame, part: tuple[slice, slice]) -> None:
        """Count the part of a frame that it answers for."""

    def rows(self) -> Iterator[Sequence[Cell]]:
        """The cells after frame and time; NaN and "" for what is not known."""


class MaskCount:
    """Pixels and area of each class; shares are of all pixels with data, whichever classes are kept.

    ``scan``: also volume, where slices say how thick they are, and the mean of the values of one band.
    """

    def __init__(self, table: ClassTable, *, scan: bool = False) -> None:
        self._table, self._scan = table, scan
        self._pixels = np.zeros(len(table), np.int64)
        self._area = np.zeros(len(table), np.float64)
        self._volume = np.zeros(len(table), np.float64)
        self._sum = np.zeros(len(table), np.float64)
        self._seen = self._frames = 0
        self._unit = self._value_unit = ""

    def take(self, layer: Layer, frame: Frame, part: tuple[slice, slice]) -> None:
        """Count the ids of a part."""
        if not isinstance(layer, Mask):
            raise TypeError(f"{layer.kind} are no masks")
        valid = layer.valid[part]
        ids = layer.ids[part][valid]
        found = np.bincount(ids, minlength=256)[: len(self._table)]
        self._pixels += found
        self._frames += 1
        self._seen += int(np.count_nonzero(frame.valid[part]))
        surveyed = self._surveyed(layer, frame.geometry, part)
        pitch = frame.geometry.pitch()
        if surveyed is not None:
            self._area += surveyed
            self._unit = f"{Unit.METRE.value}2"
        elif pitch is not None:
            self._area += found * abs(pitch.row * pitch.col)
            self._unit = f"{pitch.unit.value}2"
            thick = frame.provenance.extra.get("extent_mm")
            self._volume += found * abs(pitch.row * pitch.col) * _millilitres(thick)
        if self._scan and len(frame.bands) == 1:
            values = frame.pixels[0][part][valid]
            self._sum += np.bincount(ids, weights=values, minlength=256)[: len(self._table)]
            self._value_unit = frame.bands[0].unit

    def _surveyed(self, mask: Mask, geometry: Geometry, part: tuple[slice, slice]) -> F64 | None:
        """True areas of the classes in a part, in m2; None where pixels are of one size, or of none."""
        edges = [[*range(s.start, s.stop, _CELL_PX), s.stop] for s in part]
        areas = geometry.areas(*edges) if isinstance(geometry, Surveyed) else None
        if areas is None:
            return None
        total = np.zeros(len(self._table), np.float64)
        for (i, j), area in np.ndenumerate(areas):
            cell = tuple(slice(axis[k], axis[k + 1]) for axis, k in zip(edges, (i, j), strict=True))
            ids, valid = mask.ids[cell], mask.valid[cell]
            total += np.bincount(ids[valid], minlength=256)[: len(total)] * (area / ids.size)
        return total

    @property
    def _many_slices(self) -> bool:
        """Whether areas would add up to none: those of a scene's blocks do, those of slices do not."""
        return self._scan and self._frames > 1

    @property
    def is_volume(self) -> bool:
        """Whether several slices have been counted, each of a known thickness."""
        return self._many_slices and bool(np.isfinite(self._volume).all()) and bool(self._unit)

    def rows(self) -> Iterator[Sequence[Cell]]:
        """One row a class, absent classes included."""
        total = max(self._seen, 1)
        for c in self._table.classes:
            count = int(self._pixels[c.id])
            area = float(self._area[c.id]) if self._unit and not self._many_slices else math.nan
            cells = (c.id, c.name, count, count / total, area, self._unit)
            yield (*cells, *self._of_scan(c.id, count)) if self._scan else cells

    def _of_scan(self, k: int, count: int) -> tuple[Cell, ...]:
        mean = float(self._sum[k]) / count if count and self._value_unit else math.nan
        return (float(self._volume[k]) if self._unit else math.nan, mean, self._value_unit)


def _millilitres(thickness_mm: Json) -> float:
    """The volume below a square millimetre; NaN where it is not known how thick it is."""
    return thickness_mm / 1000 if isinstance(thickness_mm, float) else math.nan


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
            total / max(self._seen, 1),
            *cells,
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
        yield (total, total / max(self._seen, 1), *(float(m) for m in mean), float(tilt))


def quantile(counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]], share: float) -> int | None:
    """Index of the bin that holds the quantile; None if nothing was counted."""
    total = int(counts.sum())
    if not total:
        return None
    rank = min(int(share * total), total - 1)
    return int(np.searchsorted(np.cumsum(counts), rank, side="right"))


class _TableSink:
    """Counts frame by frame; what becomes of a row is the format's own."""

    def __init__(self, job: SinkJob, put: Callable[[Sequence[Cell]], None]) -> None:
        self._job, self._put = job, put
        self._scan = job.layer is LayerKind.MASKS and job.info.domain is Domain.MEDICAL
        self._scene = self._fresh() if is_scene(job.info) else None
        self._volume = MaskCount(job.table, scan=True) if self._scan else None

    def _fresh(self) -> _Count:
        if self._job.layer is LayerKind.MASKS:
            return MaskCount(self._job.table, scan=self._scan)
        return DepthCount() if self._job.layer is LayerKind.DEPTH else NormalsCount()

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Count one frame."""
        layer = prediction.of(self._job.layer)
        if layer is None:
            return
        count, part = self._scene or self._fresh(), placed(frame)[1]
        count.take(layer, frame, part)
        if self._volume is not None:
            self._volume.take(layer, frame, part)
        if self._scene is None:
            time_s = frame.provenance.time_s
            self._rows(count, frame.provenance.index, "" if time_s is None else f"{time_s:.6f}")

    def _rows(self, count: _Count, index: Cell, time: str) -> None:
        for row in count.rows():
            self._put((index, time, *row))

    def finish(self) -> dict[str, Json]:
        """Write the counts of a scene or of a volume."""
        if self._scene is not None:
            self._rows(self._scene, 0, "")
        if self._volume is not None and self._volume.is_volume:
            self._rows(self._volume, _ALL, "")
        return {"encoding": "csv", "kind": "statistics", "columns": list(columns(self._job))}


def columns(job: SinkJob) -> tuple[str, ...]:
    """The names of a row's cells."""
    scan = job.layer is LayerKind.MASKS and job.info.domain is Domain.MEDICAL
    return _WHERE + _COLUMNS[job.layer] + (_OF_SCANS if scan else ())


class CsvFormat(CommonFormat):
    """The format "csv"."""

    name = "csv"
    ending = ".csv"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """Write one table."""
        with part.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(columns(job))
            yield _TableSink(job, lambda row: out.writerow(map(number, row)))


class JsonFormat(CommonFormat):
    """The format "json": the same table as a list of objects."""

    name = "json"
    ending = ".stats.json"  # ".json" alone is a sidecar's

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """Write one table, row by row."""
        names = columns(job)
        with part.open("w", encoding="utf-8") as file:
            yield _JsonSink(file, names, job)


class _JsonSink(_TableSink):
    """A JSON object with the rows in a list, one a line."""

    def __init__(self, file: TextIO, names: Sequence[str], job: SinkJob) -> None:
        super().__init__(job, self._line)
        self._file, self._names, self._between = file, names, "\n"
        file.write('{"schema": "banana-statistics-1", "rows": [')

    def _line(self, row: Sequence[Cell]) -> None:
        cells = dict(zip(self._names, map(_json, row), strict=True))
        self._file.write(self._between + json.dumps(cells, ensure_ascii=False, allow_nan=False))
        self._between = ",\n"

    def finish(self) -> dict[str, Json]:
        """Write the counts of a scene or of a volume, and close the list."""
        facts = super().finish()
        self._file.write("\n]}\n")
        return facts | {"encoding": "json"}


CSV = CsvFormat()
JSON = JsonFormat()
