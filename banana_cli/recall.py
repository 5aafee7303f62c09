"""What the model said of the parts of a scene, kept beside the outputs while they are made.

A run that was killed and is resumed reads the scene again, asks the model only for the parts that are not
here, and writes its outputs from the start: they come out alike, and formats need to know nothing of it.
Each part is a file of its own (NumPy's npz, whose arrays carry check sums) and appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.classes import TABLE_OF
from banana_cli.types import (
    Depth,
    DepthKind,
    Frame,
    Instances,
    Json,
    Layer,
    LayerKind,
    Mask,
    Normals,
    Prediction,
    Unit,
    Window,
)

Array = NDArray[Any]
_ABOUT: Final = "about.json"
_HEAD: Final = "head"
_KINDS: Final[dict[str, Any]] = {kind.__name__: kind for kind in (Mask, Depth, Normals, Instances)}
_REVIVED: Final[dict[str, Callable[[Any], object]]] = {
    "table": {table.name: table for table in TABLE_OF.values()}.__getitem__,
    "depth_kind": DepthKind,
    "unit": Unit,
    "classes": tuple,
    "scores": tuple,
    "tracks": tuple,
}
_DAMAGED: Final = (
    *(OSError, EOFError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError),
    *(struct.error, zlib.error, zipfile.BadZipFile),
)


class Recall:
    """Predictions by the index of their frame. Never the reason why a run fails: it gives up instead."""

    def __init__(self, folder: Path, about: Mapping[str, Json], *, resume: bool) -> None:
        self._folder: Path | None = folder
        try:
            _begin(folder, json.dumps(about, sort_keys=True), resume=resume)
        except OSError:
            self._folder = None

    def __len__(self) -> int:
        return 0 if self._folder is None else sum(1 for _ in self._folder.glob("*.npz"))

    def put(self, frame: Frame, prediction: Prediction) -> None:
        """Keep what was said of a frame's core; layers that the frame brought along are left out."""
        if self._folder is None:
            return
        layers = [layer for layer in prediction.layers if not any(layer is m for m in frame.measured)]
        things = layers if prediction.instances is None else [*layers, prediction.instances]
        arrays: dict[str, Array] = {}
        head: dict[str, Json] = {
            "things": [_packed(thing, i, _core(frame), arrays) for i, thing in enumerate(things)],
            "tokens_kept": prediction.tokens_kept,
            "seconds": dict(prediction.seconds),
            "notes": dict(prediction.notes),
        }
        arrays[_HEAD] = np.frombuffer(json.dumps(head).encode(), np.uint8)
        try:
            _save(_path(self._folder, frame), arrays)
        except OSError:  # a full disk: leave what room there is to the outputs
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def get(self, frame: Frame, wanted: frozenset[LayerKind]) -> Prediction | None:
        """What was said of a frame; None if that is not known. Outside its core there is no answer."""
        if self._folder is None:
            return None
        try:
            path = _path(self._folder, frame)
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                head = json.loads(arrays[_HEAD].tobytes())
                things = [_unpacked(told, i, frame, arrays) for i, told in enumerate(head["things"])]
            kept, notes = float(head["tokens_kept"]), dict(head["notes"])
            seconds = {str(k): float(v) for k, v in head["seconds"].items()}
        except _DAMAGED:  # or not there
            return None
        layers = [layer for layer in frame.measured if layer.kind in wanted]
        layers += [thing for thing in things if not isinstance(thing, Instances)]
        counted = next((thing for thing in things if isinstance(thing, Instances)), None)
        return Prediction(
            layers=tuple(layers), tokens_kept=kept, seconds=seconds, notes=notes, instances=counted
        )


def _begin(folder: Path, about: str, *, resume: bool) -> None:
    """Make the folder, empty unless it holds answers ``about`` the same."""
    told = folder / _ABOUT
    if resume and told.is_file() and told.read_text(encoding="utf-8", errors="replace") == about:
        return
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
    folder.mkdir()
    told.write_text(about, encoding="utf-8")


def _path(folder: Path, frame: Frame) -> Path:
    return folder / f"{frame.provenance.index}.npz"


def _core(frame: Frame) -> Window:
    """The core in the frame's own pixels."""
    rows, cols = frame.shape
    window = frame.provenance.window or Window(top=0, left=0, height=rows, width=cols)
    return (frame.provenance.core or window).within(window)


def _save(path: Path, arrays: Mapping[str, Array]) -> None:
    """As ``numpy.savez_compressed``, but at the fastest level and in one step."""
    part = path.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    os.replace(part, path)


def _packed(thing: Layer | Instances, number: int, core: Window, arrays: dict[str, Array]) -> Json:
    """A layer or its instances as JSON; arrays go to ``arrays``, cut to the core."""
    values = {field.name: getattr(thing, field.name) for field in fields(thing)}
    found = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    arrays |= {f"{number}.{name}": value[..., *core.slices()] for name, value in found.items()}
    words = {name: value for name, value in values.items() if name not in found}
    if isinstance(thing, Mask):
        words["table"] = thing.table.name
    return {"type": type(thing).__name__, "arrays": list(found), "words": words}


def _unpacked(told: Any, number: int, frame: Frame, arrays: Mapping[str, Array]) -> Any:  # noqa: ANN401
    """Inverse of ``_packed``; any of ``_DAMAGED`` if it is none."""
    words = {name: _REVIVED[name](v) if name in _REVIVED else v for name, v in told["words"].items()}
    found = {name: _pasted(arrays[f"{number}.{name}"], frame) for name in told["arrays"]}
    return _KINDS[told["type"]](**words, **found)


def _pasted(small: Array, frame: Frame) -> Array:
    whole = np.zeros((*small.shape[:-2], *frame.shape), small.dtype)
    whole[..., *_core(frame).slices()] = small
    return whole
