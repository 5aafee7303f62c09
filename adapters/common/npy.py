"""NumPy arrays: exact numbers, written as they come, so that memory stays flat.

One picture: masks (H, W) uint8, depth (H, W) float32, normals (3, H, W) float32. A clip or a series
has one more axis in front, in the order in which its frames came; a scene is filled block by block.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from banana_cli.adapter import Sink, SinkJob, Stored
from banana_cli.errors import InputError, OutputError, translate
from banana_cli.types import (
    NO_CLASS,
    Depth,
    Frame,
    Json,
    Layer,
    LayerKind,
    Mask,
    Prediction,
)

from .canvas import CommonFormat, is_many, is_scene, placed

_FILL: Final[dict[LayerKind, float]] = {
    LayerKind.MASKS: NO_CLASS,
    LayerKind.DEPTH: math.nan,
    LayerKind.NORMALS: 0.0,
}
_FILL_BYTES: Final = 8 << 20


def numbers(layer: Layer) -> NDArray[np.generic]:
    """The layer's array, little-endian."""
    if isinstance(layer, Mask):
        return layer.ids
    return (layer.values if isinstance(layer, Depth) else layer.xyz).astype("<f4", copy=False)


def facts_of(layer: Layer) -> dict[str, Json]:
    """What the sidecar says of the numbers."""
    if isinstance(layer, Mask):
        return {"encoding": "npy", "kind": "classes", "table": layer.table.name, "invalid": NO_CLASS}
    if isinstance(layer, Depth):
        kind, unit = layer.depth_kind.value, layer.unit.value
        return {"encoding": "npy", "kind": kind, "unit": unit, "invalid": "NaN", "note": layer.note}
    frame = "x right, y down, z away from the viewer"
    return {"encoding": "npy", "kind": "unit normals", "frame": frame, "invalid": [0, 0, 0]}


class _Array(Protocol):
    """An array that is being written."""

    def take(self, frame: Frame, values: NDArray[np.generic]) -> None:
        """One frame's numbers."""

    def close(self) -> tuple[int, ...]:
        """Complete the file; the array's shape."""


class _Stack:
    """Pictures one after the other; the header's count is set right at the end."""

    def __init__(self, file: BinaryIO, *, many: bool, subject: str) -> None:
        self._file, self._many, self._subject = file, many, subject
        self._count = 0
        self._one: tuple[int, ...] = ()
        self._dtype: np.dtype[np.generic] = np.dtype(np.uint8)
        self._start = 0

    def take(self, frame: Frame, values: NDArray[np.generic]) -> None:
        """Append one picture; OutputError if it is of another size than the first."""
        if not self._count:
            self._one, self._dtype = values.shape, values.dtype
            self._start = self._header()
        if values.shape != self._one or (self._count and not self._many):
            raise OutputError(
                f"frame {frame.provenance.index} of shape {values.shape} does not fit {self._one}",
                subject=self._subject,
                remedy="use --format png",
            )
        self._file.write(np.ascontiguousarray(values).tobytes())
        self._count += 1

    def _header(self) -> int:
        """Write the header for the count so far; its length, which does not change with the count."""
        self._file.seek(0)
        shape = (self._count, *self._one) if self._many else self._one
        _write_header(self._file, shape, self._dtype)
        return self._file.tell()

    def close(self) -> tuple[int, ...]:
        """Set the count right."""
        if self._count and self._header() != self._start:
            raise OutputError(
                f"{self._count} frames are too many", subject=self._subject, remedy="use --format png"
            )
        return (self._count, *self._one) if self._many else self._one


class _Scene:
    """One picture filled block by block, by seeking: nothing of it is kept in memory."""

    def __init__(self, file: BinaryIO, shape: tuple[int, int], fill: float) -> None:
        self._file, self._shape, self._fill = file, shape, fill
        self._start = -1
        self._planes: tuple[int, ...] = ()

    def take(self, frame: Frame, values: NDArray[np.generic]) -> None:
        """Write the core of one block."""
        if self._start < 0:
            self._begin(values)
        core, inside = placed(frame)
        block = values[..., *inside]
        rows, cols = self._shape
        for plane, part in enumerate(block.reshape(-1, core.height, core.width)):
            for row, line in enumerate(np.ascontiguousarray(part), start=plane * rows + core.top):
                self._file.seek(self._start + (row * cols + core.left) * values.itemsize)
                self._file.write(line.tobytes())

    def _begin(self, values: NDArray[np.generic]) -> None:
        self._planes = values.shape[:-2]
        _write_header(self._file, (*self._planes, *self._shape), values.dtype)
        self._start = self._file.tell()
        left = math.prod((*self._planes, *self._shape))
        _refuse_full(Path(self._file.name).parent, left * values.itemsize)
        if not self._fill:
            self._file.truncate(self._start + left * values.itemsize)
            return
        piece = np.full(min(left, _FILL_BYTES // values.itemsize), self._fill, values.dtype).tobytes()
        while left > 0:
            self._file.write(piece[: left * values.itemsize])
            left -= len(piece) // values.itemsize

    def close(self) -> tuple[int, ...]:
        """Nothing is left to do."""
        return (*self._planes, *self._shape)


def _refuse_full(folder: Path, size: int) -> None:
    """OSError where an array will not fit on the disk: before hours of work, not after."""
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    header = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy_format.write_array_header_1_0(file, header)


class _NpySink:
    """One array file."""

    def __init__(self, file: BinaryIO, job: SinkJob) -> None:
        self._job = job
        self._facts: dict[str, Json] = {}
        self._array: _Array = (
            _Scene(file, job.info.shape, _FILL[job.layer])
            if is_scene(job.info)
            else _Stack(file, many=is_many(job.info, job.layer), subject=job.info.item.subject)
        )

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Take one frame; OutputError if it does not fit the array."""
        layer = prediction.of(self._job.layer)
        if layer is None:
            return
        self._facts = self._facts or facts_of(layer)
        self._array.take(frame, numbers(layer))

    def finish(self) -> dict[str, Json]:
        """Complete the file; kind, unit and shape of the numbers."""
        shape: list[Json] = list(self._array.close())
        return {**self._facts, "shape": shape}


class NpyFormat(CommonFormat):
    """The format "npy"."""

    name = "npy"
    ending = ".npy"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """Write one array file."""
        with part.open("wb") as file:
            yield _NpySink(cast(BinaryIO, file), job)

    def stored(self, path: Path) -> Stored:
        """The array, not yet in memory. InputError if it is none of numbers."""
        remedy = "save it with numpy.save, as numbers"
        with translate(OSError, ValueError, EOFError, to=InputError, subject=str(path), remedy=remedy):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
                raise ValueError("holds no array of numbers")
            return Stored(numbers=array)


NPY = NpyFormat()
