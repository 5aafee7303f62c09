"""What the model said of the parts of a scene, kept beside the outputs while they are made.

A run that was killed and is resumed reads the scene again, asks the model only for the parts that are not
here, and writes its outputs from the start: they come out alike, and formats need to know nothing of it.
The file is only appended to; a record that a kill cut short is dropped.
"""

from __future__ import annotations

import json
import struct
import threading
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from banana_cli import types
from banana_cli.classes import TABLE_OF
from banana_cli.types import ClassTable, Frame, Json, Prediction, Window

_MAGIC: Final = b"banana-answers-1\n"
_RECORD: Final = struct.Struct("<4sIIQI")  # mark, index, bytes of the head, bytes of the arrays, CRC-32
_MARK: Final = b"part"
_MOST_HEAD: Final = 16 << 20
_KNOWN: Final = ("Mask", "Depth", "Normals", "Instances")
_WORDS: Final = ("DepthKind", "Unit")


class Recall:
    """Predictions by the index of their frame. Never the reason why a run fails: it gives up instead."""

    def __init__(self, path: Path, about: Mapping[str, Json], *, resume: bool) -> None:
        self._path = path
        self._places: dict[int, int] = {}
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()  # one thread asks, another writes
        with suppress(OSError):
            self._open(json.dumps(about, sort_keys=True).encode(), resume=resume)

    def __len__(self) -> int:
        return len(self._places)

    def _open(self, about: bytes, *, resume: bool) -> None:
        start = _MAGIC + struct.pack("<I", len(about)) + about
        file = self._path.open("r+b" if resume and self._path.exists() else "w+b")
        self._file = file
        if file.read(len(start)) == start:
            self._places, end = _scan(file)
        else:
            file.seek(0)
            file.write(start)
            end = len(start)
        file.truncate(end)
        file.seek(end)

    def put(self, frame: Frame, prediction: Prediction) -> None:
        """Keep what was said of a frame's core; layers that the frame brought along are left out."""
        if self._file is None:
            return
        part = _core(frame)
        arrays: list[NDArray[np.generic]] = []
        layers = [layer for layer in prediction.layers if not any(layer is m for m in frame.measured)]
        head: dict[str, Json] = {
            "layers": [_packed(layer, part, frame.shape, arrays) for layer in layers],
            "tokens_kept": prediction.tokens_kept,
            "seconds": dict(prediction.seconds),
            "notes": dict(prediction.notes),
            "instances": _packed(prediction.instances, part, frame.shape, arrays),
        }
        try:
            self._append(frame.provenance.index, json.dumps(head).encode(), [_squeezed(a) for a in arrays])
        except OSError:  # a full disk: leave what room there is to the outputs
            self.close()
            with suppress(OSError):
                self._path.unlink()

    def _append(self, index: int, head: bytes, blobs: list[bytes]) -> None:
        if self._file is None:
            return
        body = b"".join(struct.pack("<Q", len(blob)) + blob for blob in blobs)
        check = _check(index, head, body)
        with self._lock:
            self._file.seek(0, 2)
            self._file.write(_RECORD.pack(_MARK, index, len(head), len(body), check) + head + body)
            self._file.flush()

    def get(self, frame: Frame, wanted: frozenset[types.LayerKind]) -> Prediction | None:
        """What was said of a frame; None if that is not known. Outside its core there is no answer."""
        place = self._places.get(frame.provenance.index)
        if place is None or self._file is None:
            return None
        try:
            with self._lock:
                head, blobs = _record(self._file, place)
            arrays = iter(_unsqueezed(blob) for blob in blobs)
            layers = [_unpacked(facts, _core(frame), frame.shape, arrays) for facts in head["layers"]]
            seconds = {str(k): float(v) for k, v in head["seconds"].items()}
            things = _unpacked(head["instances"], _core(frame), frame.shape, arrays)
            kept, notes = float(head["tokens_kept"]), dict(head["notes"])
        except (OSError, KeyError, TypeError, ValueError, AttributeError, StopIteration, zlib.error):
            return None
        given = tuple(layer for layer in frame.measured if layer.kind in wanted)
        return Prediction(
            layers=(*given, *layers), tokens_kept=kept, seconds=seconds, notes=notes, instances=things
        )

    def close(self) -> None:
        """Let the file go; it stays for a later run."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _core(frame: Frame) -> Window:
    """The core in the frame's own pixels."""
    rows, cols = frame.shape
    window = frame.provenance.window or Window(top=0, left=0, height=rows, width=cols)
    return (frame.provenance.core or window).within(window)


def _scan(file: IO[bytes]) -> tuple[dict[int, int], int]:
    """Where the whole records begin, by index, and where the last of them ends."""
    places: dict[int, int] = {}
    while True:
        place = file.tell()
        try:
            index = _RECORD.unpack(file.read(_RECORD.size))[1]
            file.seek(place)
            _record(file, place)
        except (struct.error, ValueError):
            return places, place
        places[index] = place


def _record(file: IO[bytes], place: int) -> tuple[dict[str, Any], list[bytes]]:
    """Head and arrays of a record. ValueError or struct.error if it is not whole."""
    file.seek(place)
    mark, index, length, size, check = _RECORD.unpack(file.read(_RECORD.size))
    if mark != _MARK or length > _MOST_HEAD or size > file.seek(0, 2) - place:
        raise ValueError("no record")
    file.seek(place + _RECORD.size)
    head, body = file.read(length), file.read(size)
    if len(body) != size or _check(index, head, body) != check:
        raise ValueError("cut short")
    blobs, at = [], 0
    while at < size:
        (bytes_,) = struct.unpack_from("<Q", body, at)
        blobs.append(body[at + 8 : at + 8 + bytes_])
        at += 8 + bytes_
    facts: dict[str, Any] = json.loads(head)
    return facts, blobs


def _check(index: int, head: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(head, index))


def _squeezed(array: NDArray[np.generic]) -> bytes:
    head = json.dumps([array.dtype.str, list(array.shape)]).encode()
    return struct.pack("<I", len(head)) + head + zlib.compress(np.ascontiguousarray(array).tobytes(), 1)


def _unsqueezed(blob: bytes) -> NDArray[np.generic]:
    (length,) = struct.unpack_from("<I", blob)
    dtype, shape = json.loads(blob[4 : 4 + length])
    return np.frombuffer(zlib.decompress(blob[4 + length :]), np.dtype(dtype)).reshape(shape)


def _packed(value: object, part: Window, shape: tuple[int, int], arrays: list[NDArray[np.generic]]) -> Json:
    """A value of ours as JSON; arrays go to ``arrays``, those of the frame's size cut to the core."""
    if isinstance(value, np.ndarray):
        fits = value.shape[-2:] == shape
        arrays.append(value[..., *part.slices()] if fits else value)
        return {"array": fits}
    if isinstance(value, ClassTable):
        return {"table": value.name}
    name = type(value).__name__
    if name in _WORDS:
        return {"word": name, "value": str(value)}
    if name in _KNOWN:
        inside = {f.name: _packed(getattr(value, f.name), part, shape, arrays) for f in fields(value)}  # type: ignore[arg-type]
        return {"class": name, "fields": inside}
    if isinstance(value, tuple):
        return {"tuple": [_packed(v, part, shape, arrays) for v in value]}
    return value  # type: ignore[return-value]  # a number, a text or None


def _unpacked(facts: Any, part: Window, shape: tuple[int, int], arrays: Any) -> Any:  # noqa: ANN401
    """Inverse of ``_packed``; ValueError, KeyError or TypeError if it is none."""
    if not isinstance(facts, dict):
        return facts
    if "array" in facts:
        return _pasted(next(arrays), part, shape) if facts["array"] else next(arrays)
    if "table" in facts:
        return next(table for table in TABLE_OF.values() if table.name == facts["table"])
    if "word" in facts:
        return getattr(types, _one_of(facts["word"], _WORDS))(facts["value"])
    if "tuple" in facts:
        return tuple(_unpacked(v, part, shape, arrays) for v in facts["tuple"])
    kind = getattr(types, _one_of(facts["class"], _KNOWN))
    return kind(**{name: _unpacked(v, part, shape, arrays) for name, v in facts["fields"].items()})


def _one_of(name: str, names: tuple[str, ...]) -> str:
    if name not in names:
        raise ValueError(f"{name} is no value of ours")
    return name


def _pasted(small: NDArray[np.generic], part: Window, shape: tuple[int, int]) -> NDArray[np.generic]:
    whole = np.zeros((*small.shape[:-2], *shape), small.dtype)
    whole[..., *part.slices()] = small
    return whole
