"""A folder of exact PNG pictures, one a frame, with ``index.json`` telling each one's time."""

from __future__ import annotations

import json
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

    def __init__(self, part: Path, job: SinkJob) -> None:
        self._part, self._job = part, job
        self._facts: dict[str, Json] = {}
        self._about: dict[str, Json] = {"software": job.software, "layer": job.layer.value}
        self._colours = job.options.get("depth_encoding") == "rgb"
        self._count = 0
        self._stack = ExitStack()
        part.mkdir(exist_ok=True)
        self._index: IO[str] = self._stack.enter_context((part / INDEX_NAME).open("w", encoding="utf-8"))

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
        picture.save(self._part / name, format="PNG", pnginfo=text, compress_level=4)
        self._note(name, frame)

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
        self._index.write('{"frames": [\n' if self._count == 0 else ",\n")
        self._index.write(json.dumps(line))
        self._count += 1

    def finish(self) -> dict[str, Json]:
        """Close the index. InputError if no frame came."""
        if self._count == 0:
            raise InputError(
                "not one frame could be read, so there is no picture to write",
                subject=self._job.info.item.subject,
                remedy="look at the clip with `banana info`",
            )
        self._index.write(f'\n], "count": {self._count}, "values": {json.dumps(self._facts)}}}\n')
        self._stack.close()
        return {
            **self._facts,
            "exact": True,
            "container": "png folder",
            "frames": self._count,
            "audio": "none",
        }


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
