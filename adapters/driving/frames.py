"""A folder of exact PNG pictures, one a frame, with ``index.json`` telling each one's time."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from banana_cli.adapter import SinkJob
from banana_cli.codec import (
    depth_facts,
    depth_to_rgb,
    encode_depth_u16,
    encode_mask_u8,
    encode_normals_u8,
    mask_facts,
    normals_facts,
)
from banana_cli.errors import InputError
from banana_cli.types import Depth, Frame, Json, Layer, Mask, Prediction

from .mux import frame_ticks

INDEX_NAME = "index.json"
TEXT_KEY = "banana"


class FolderSink:
    """Writes each frame at once; nothing but the open index is kept."""

    def __init__(
        self,
        part: Path,
        job: SinkJob,
        *,
        work: Path | None = None,
        state: Mapping[str, Json] | None = None,
    ) -> None:
        self._part, self._folder, self._job = part, work or part, job
        values, count, size = ((state or {}).get(name) for name in ("values", "count", "bytes"))
        self._facts = dict(values) if isinstance(values, dict) else {}
        self._about: dict[str, Json] = {"software": job.software, "layer": job.layer.value}
        self._colours = job.options.get("depth_encoding") == "rgb"
        self._count = count if isinstance(count, int) else 0
        self._fresh: list[Path] = []
        self._stack = ExitStack()
        self._folder.mkdir(exist_ok=True)
        path = self._folder / INDEX_NAME
        if state and not (path.exists() and isinstance(size, int) and path.stat().st_size >= size):
            raise ValueError("the pictures of the earlier run are damaged")
        self._index: IO[bytes] = self._stack.enter_context(path.open("ab"))
        self._index.truncate(size if isinstance(size, int) else 0)

    def __enter__(self) -> FolderSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Add one picture; a prediction without the layer is passed over."""
        layer = prediction.of(self._job.layer)
        if layer is None:
            return
        name = f"{frame.provenance.index:06d}.png"
        picture, self._facts = encode(layer, colours=self._colours)
        text = PngInfo()
        text.add_text(TEXT_KEY, json.dumps(self._about | self._facts, ensure_ascii=True, allow_nan=False))
        path = self._folder / name
        picture.save(path, format="PNG", pnginfo=text, compress_level=4)
        if self._folder != self._part:
            self._fresh.append(path)
        self._note(name, frame)

    def checkpoint(self) -> dict[str, Json]:
        """Put the pictures so far safely on the disk."""
        for path in self._fresh:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        self._fresh.clear()
        self._index.flush()
        os.fsync(self._index.fileno())
        size = (self._folder / INDEX_NAME).stat().st_size
        return {"values": self._facts, "count": self._count, "bytes": size}

    def _note(self, name: str, frame: Frame) -> None:
        pts, duration = frame_ticks(frame)
        line = {
            "file": name,
            "index": frame.provenance.index,
            "time_s": frame.provenance.time_s,
            "pts": pts,
            "duration": duration,
            "time_base": frame.provenance.extra["time_base"],
        }
        opening = '{"frames": [\n' if self._count == 0 else ",\n"
        self._index.write((opening + json.dumps(line)).encode("ascii"))
        self._count += 1

    def finish(self) -> dict[str, Json]:
        """Close the index. InputError if no frame came."""
        if self._count == 0:
            raise InputError(
                "not one frame could be read, so there is no picture to write",
                subject=self._job.info.item.subject,
                remedy="look at the clip with `banana info`",
            )
        self._index.flush()
        if self._folder != self._part:
            self._gather()
        end = f'\n], "count": {self._count}, "values": {json.dumps(self._facts)}}}\n'
        with (self._part / INDEX_NAME).open("ab") as index:
            index.write(end.encode("ascii"))
        self._stack.close()
        return {
            **self._facts,
            "exact": True,
            "container": "png folder",
            "frames": self._count,
            "audio": "none",
        }

    def _gather(self) -> None:
        """Fill the part with what lies in the work folder, which stays whole until the part is renamed."""
        self._part.mkdir(exist_ok=True)
        for path in self._folder.glob("*.png"):
            try:
                os.link(path, self._part / path.name)
            except OSError:  # some file systems have no second names
                shutil.copyfile(path, self._part / path.name)
        shutil.copyfile(self._folder / INDEX_NAME, self._part / INDEX_NAME)


def encode(layer: Layer, *, colours: bool) -> tuple[Image.Image, dict[str, Json]]:
    """A layer as the picture that format ``png`` writes, and the facts to decode it.

    ``colours`` puts depth on the invertible colour path instead of 16 bits.
    """
    if isinstance(layer, Mask):
        ids, palette = encode_mask_u8(layer)
        picture = Image.fromarray(ids).convert("L")
        picture.putpalette(palette.tobytes())
        return picture, mask_facts(layer.table)
    if isinstance(layer, Depth):
        if colours:
            rgb, path = depth_to_rgb(layer)
            return Image.fromarray(rgb), depth_facts(layer, path)
        stored, code = encode_depth_u16(layer)
        return Image.fromarray(stored), depth_facts(layer, code)
    return Image.fromarray(encode_normals_u8(layer)), normals_facts()
