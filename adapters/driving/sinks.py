"""Video outputs: ``mp4`` (a view), ``mkv`` (exact), ``frames`` (a folder of pictures)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from banana_cli.adapter import Sink, SinkJob, SourceInfo
from banana_cli.codec import (
    MASK_COLOURS,
    depth_facts,
    depth_to_rgb,
    encode_normals_u8,
    mask_facts,
    mask_to_rgb,
    normals_facts,
)
from banana_cli.errors import UsageError
from banana_cli.types import U8, Depth, Domain, Frame, Json, Layer, LayerKind, Mask, Prediction

from .info import VideoInfo

if TYPE_CHECKING:
    from .mux import ClipWriter

_DOMAINS = frozenset({Domain.DRIVING})
_LAYERS = frozenset(LayerKind)


def video_info(info: SourceInfo, name: str) -> VideoInfo:
    """The clip that an output is made of. UsageError if the input is none."""
    if not isinstance(info, VideoInfo):
        raise UsageError(
            f"format {name} is for video, this is a {info.kind}",
            subject=info.item.subject,
            remedy="use --format png",
        )
    return info


class _ViewSink:
    """Paints layers as the task does, for people to look at."""

    def __init__(self, writer: ClipWriter, job: SinkJob) -> None:
        self._writer, self._job = writer, job
        self._depth: Depth | None = None

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Add one frame; a prediction without the layer is passed over."""
        layer = prediction.of(self._job.layer)
        if layer is None:
            return
        if isinstance(layer, Depth):
            self._depth = layer
        self._writer.write(self._job.tasks[self._job.layer].paint(layer, self._job.look), frame)

    def finish(self) -> dict[str, Json]:
        """Complete the clip."""
        facts: dict[str, Json] = {"encoding": "view", **self._writer.finish()}
        if self._depth is not None:
            look = self._job.look
            facts |= {"kind": self._depth.depth_kind.value, "unit": self._depth.unit.value}
            facts["range"] = [look.depth_near, look.depth_far]
        return facts


class _ExactSink:
    """Stores layers as pictures that decode to the layer again."""

    def __init__(self, writer: ClipWriter, job: SinkJob) -> None:
        self._writer, self._job = writer, job
        self._code: dict[str, Json] = {}

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Add one frame; a prediction without the layer is passed over."""
        layer = prediction.of(self._job.layer)
        if layer is not None:
            self._writer.write(self._encode(layer), frame)

    def _encode(self, layer: Layer) -> U8:
        if isinstance(layer, Mask):
            self._code = mask_facts(layer.table) | {"encoding": MASK_COLOURS}
            return mask_to_rgb(layer)
        if isinstance(layer, Depth):
            rgb, code = depth_to_rgb(layer)
            self._code = depth_facts(layer, code)
            return rgb
        self._code = normals_facts()
        return encode_normals_u8(layer)

    def finish(self) -> dict[str, Json]:
        """Complete the clip."""
        clip = self._writer.finish()
        return {**self._code, **clip}


class Mp4Format:
    """H.264 in mp4: plays everywhere; the colours are a view, not the values."""

    name = "mp4"
    domains = _DOMAINS
    layers = _LAYERS

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """Always ``.mp4``. UsageError if the input is no clip."""
        video_info(info, self.name)
        return ".mp4"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """Write a clip to ``part``."""
        from .mux import ClipWriter, h264

        info = video_info(job.info, self.name)
        writer = ClipWriter(part, info, h264(info.shape))
        try:
            yield _ViewSink(writer, job)
        finally:
            writer.close()


class MkvFormat:
    """FFV1 in Matroska: the pictures decode bit for bit, and from them the layer's values."""

    name = "mkv"
    domains = _DOMAINS
    layers = _LAYERS

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """Always ``.mkv``. UsageError if the input is no clip."""
        video_info(info, self.name)
        return ".mkv"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """Write a clip to ``part``."""
        from .mux import ClipWriter, ffv1

        writer = ClipWriter(part, video_info(job.info, self.name), ffv1())
        try:
            yield _ExactSink(writer, job)
        finally:
            writer.close()


class FramesFormat:
    """A folder of PNG pictures numbered by the source's frames, and an index with their times."""

    name = "frames"
    domains = _DOMAINS
    layers = _LAYERS
    obeys = frozenset({"depth-encoding"})

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """None: the output is a folder. UsageError if the input is no clip."""
        video_info(info, self.name)
        return ""

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """Write pictures into the folder ``part``."""
        from .frames import FolderSink

        video_info(job.info, self.name)
        with FolderSink(part, job) as sink:
            yield sink


MP4 = Mp4Format()
MKV = MkvFormat()
FRAMES = FramesFormat()
