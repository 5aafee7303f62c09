"""Video outputs: ``mp4`` (a view), ``mkv`` (exact), ``frames`` (a folder of pictures)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from banana_cli.adapter import ResumableSink, Sink, SinkJob, SourceInfo
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
from banana_cli.paint import over_cells
from banana_cli.types import U8, Depth, Domain, Frame, Json, Layer, LayerKind, Mask, Prediction

from .info import VideoInfo, View

if TYPE_CHECKING:
    from .mux import ClipWriter, Encoding

_DOMAINS = frozenset({Domain.DRIVING})
_LAYERS = frozenset(LayerKind)
Paint = Callable[[Frame, Prediction], U8 | None]


def video_info(info: SourceInfo, name: str) -> VideoInfo:
    """The clip that an output is made of. UsageError if the input is none."""
    if not isinstance(info, VideoInfo):
        raise UsageError(
            f"format {name} is for video, this is a {info.kind}",
            subject=info.item.subject,
            remedy="use --format png",
        )
    return info


def followed(info: SourceInfo, name: str) -> VideoInfo:
    """A clip whose things can be followed. UsageError if it is none, or its frames are to stand alone."""
    clip = video_info(info, name)
    if not clip.part.steady:
        raise UsageError(
            f"format {name} follows things from frame to frame, --no-steady takes each alone",
            subject=info.item.subject,
            remedy="leave one of them out",
        )
    return clip


class _Shown:
    """The picture of a layer; of the very last one again, as where nothing moved, the same again."""

    def __init__(self, paint: Callable[[Layer], U8]) -> None:
        self._paint = paint
        self._last: tuple[Layer, U8] | None = None

    def __call__(self, layer: Layer) -> U8:
        """(H, W, 3); nobody may write into it."""
        if self._last is None or self._last[0] is not layer:
            self._last = layer, self._paint(layer)
        return self._last[1]


class _ViewSink:
    """Paints layers as the task does, for people to look at."""

    def __init__(
        self, view: View, writer: ClipWriter, job: SinkJob, values: dict[str, Json] | None = None
    ) -> None:
        self._view, self._writer, self._job = view, writer, job
        self._values = values or {}
        self._colours = _Shown(lambda layer: job.tasks[job.layer].paint(layer, job.look))

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Add one frame; a prediction without the layer is passed over."""
        from .views import show

        layer = prediction.of(self._job.layer)
        if layer is None:
            return
        if isinstance(layer, Depth):
            look = self._job.look
            self._values = {"kind": layer.depth_kind.value, "unit": layer.unit.value}
            self._values["range"] = [look.depth_near, look.depth_far]
        self._writer.write(show(self._view, frame, layer, self._colours(layer)), frame)

    def checkpoint(self) -> dict[str, Json]:
        """End a segment."""
        return {**self._writer.checkpoint(), "values": self._values}

    def finish(self) -> dict[str, Json]:
        """Complete the clip."""
        return {"encoding": "view", "view": self._view.value, **self._writer.finish(), **self._values}


class _PaintedSink:
    """Writes pictures that ``paint`` makes of a frame and its answer; None is passed over."""

    def __init__(
        self, name: str, paint: Paint, writer: ClipWriter, job: SinkJob, values: dict[str, Json] | None = None
    ) -> None:
        self._name, self._paint, self._writer = name, paint, writer

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Add one frame."""
        picture = self._paint(frame, prediction)
        if picture is not None:
            self._writer.write(picture, frame)

    def checkpoint(self) -> dict[str, Json]:
        """End a segment."""
        return {**self._writer.checkpoint(), "values": {}}

    def finish(self) -> dict[str, Json]:
        """Complete the clip."""
        return {"encoding": "view", "view": self._name, **self._writer.finish()}


def _paint_cells(frame: Frame, prediction: Prediction) -> U8 | None:
    """Where the tokens went."""
    if prediction.attention is None:
        return None
    from .views import picture_of

    return over_cells(picture_of(frame), prediction.attention)


def _paint_tracks(frame: Frame, prediction: Prediction) -> U8 | None:
    """Things in the colours of their numbers."""
    if prediction.instances is None:
        return None
    from .views import over_tracks, picture_of

    return over_tracks(picture_of(frame), prediction.instances)


class _ExactSink:
    """Stores layers as pictures that decode to the layer again."""

    def __init__(self, writer: ClipWriter, job: SinkJob, values: dict[str, Json] | None = None) -> None:
        self._writer, self._job = writer, job
        self._code = values or {}
        self._coded = _Shown(self._encode)

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Add one frame; a prediction without the layer is passed over."""
        layer = prediction.of(self._job.layer)
        if layer is not None:
            self._writer.write(self._coded(layer), frame)

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

    def checkpoint(self) -> dict[str, Json]:
        """End a segment."""
        return {**self._writer.checkpoint(), "values": self._code}

    def finish(self) -> dict[str, Json]:
        """Complete the clip."""
        clip = self._writer.finish()
        return {**self._code, **clip}


@contextmanager
def _clip(
    part: Path,
    job: SinkJob,
    name: str,
    encoding: Encoding,
    sink: Callable[[ClipWriter, SinkJob, dict[str, Json] | None], ResumableSink],
    *,
    work: Path | None = None,
    state: Mapping[str, Json] | None = None,
) -> Iterator[ResumableSink]:
    """A clip being written, closed in every case."""
    from .journal import Journal
    from .mux import ClipWriter

    info = video_info(job.info, name)
    size, values = (state or {}).get("bytes"), (state or {}).get("values")
    journal = None if work is None else Journal(work / "packets", size if isinstance(size, int) else None)
    writer = ClipWriter(part, info, encoding, journal=journal, state=state)
    try:
        yield sink(writer, job, values if isinstance(values, dict) else None)
    finally:
        writer.close()


class ClipFormat(ABC):
    """What all formats of clips have in common."""

    domains = _DOMAINS

    def open(self, part: Path, job: SinkJob) -> AbstractContextManager[Sink]:
        """Write to ``part``."""
        return self._open(part, job, None, None)

    def resume(
        self, part: Path, job: SinkJob, work: Path, state: Mapping[str, Json] | None
    ) -> AbstractContextManager[ResumableSink]:
        """The same, with what was made so far in ``work`` until the end."""
        return self._open(part, job, work, state)

    @abstractmethod
    def _open(
        self, part: Path, job: SinkJob, work: Path | None, state: Mapping[str, Json] | None
    ) -> AbstractContextManager[ResumableSink]:
        """Both; ``work`` None: nothing needs to outlive a kill."""


class Mp4Format(ClipFormat):
    """H.264 in mp4: plays everywhere; the colours are a view, not the values."""

    layers = _LAYERS
    live = True

    def __init__(self, view: View) -> None:
        self._view = view
        self.name = "mp4" if view is View.ALONE else f"mp4-{view.value}"

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """``.mp4``, ``.overlay.mp4`` or ``.beside.mp4``. UsageError if the input is no clip."""
        video_info(info, self.name)
        return ".mp4" if self._view is View.ALONE else f".{self._view.value}.mp4"

    def _open(
        self, part: Path, job: SinkJob, work: Path | None, state: Mapping[str, Json] | None
    ) -> AbstractContextManager[ResumableSink]:
        from .mux import h264

        coding = h264(job.info.shape, live=job.live, wide=self._view.wide, drawn=self._view is View.ALONE)
        return _clip(part, job, self.name, coding, partial(_ViewSink, self._view), work=work, state=state)


class PaintedMp4Format(ClipFormat):
    """H.264 in mp4 of pictures that are painted of no single layer."""

    live = True

    def __init__(
        self, name: str, view: str, paint: Paint, *, things: bool, layers: Iterable[LayerKind]
    ) -> None:
        """``view``: the word before the ending or ""; without ``layers`` no --format can ask for it."""
        self.name, self._view, self._paint, self.things = name, view, paint, things
        self.layers = frozenset(layers)

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """``.mp4`` after the view's name. UsageError if the input is no clip."""
        if self.things:
            followed(info, self.name)
        else:
            video_info(info, self.name)
        return f".{self._view}.mp4" if self._view else ".mp4"

    def _open(
        self, part: Path, job: SinkJob, work: Path | None, state: Mapping[str, Json] | None
    ) -> AbstractContextManager[ResumableSink]:
        from .mux import h264

        sink = partial(_PaintedSink, self._view or self.name.split("-")[0], self._paint)
        return _clip(part, job, self.name, h264(job.info.shape, live=job.live), sink, work=work, state=state)


class MkvFormat(ClipFormat):
    """FFV1 in Matroska: the pictures decode bit for bit, and from them the layer's values."""

    name = "mkv"
    layers = _LAYERS

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """Always ``.mkv``. UsageError if the input is no clip."""
        video_info(info, self.name)
        return ".mkv"

    def _open(
        self, part: Path, job: SinkJob, work: Path | None, state: Mapping[str, Json] | None
    ) -> AbstractContextManager[ResumableSink]:
        from .mux import ffv1

        return _clip(part, job, self.name, ffv1(), _ExactSink, work=work, state=state)


class FramesFormat(ClipFormat):
    """A folder of PNG pictures numbered by the source's frames, and an index with their times."""

    name = "frames"
    layers = _LAYERS
    obeys = frozenset({"depth-encoding"})

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """None: the output is a folder. UsageError if the input is no clip."""
        video_info(info, self.name)
        return ""

    @contextmanager
    def _open(
        self, part: Path, job: SinkJob, work: Path | None, state: Mapping[str, Json] | None
    ) -> Iterator[ResumableSink]:
        from .frames import FolderSink

        video_info(job.info, self.name)
        with FolderSink(part, job, work=work, state=state) as sink:
            yield sink


MP4 = Mp4Format(View.ALONE)
MP4_OVERLAY = Mp4Format(View.OVERLAY)
MP4_BESIDE = Mp4Format(View.BESIDE)
MP4_TRACKS = PaintedMp4Format("mp4-tracks", "tracks", _paint_tracks, things=True, layers=(LayerKind.MASKS,))
ATTENTION_MP4 = PaintedMp4Format("attention-mp4", "", _paint_cells, things=False, layers=())
MKV = MkvFormat()
FRAMES = FramesFormat()
