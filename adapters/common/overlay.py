"""Pictures for people: masks over the picture with their edges, depth and normals beside it, attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from banana_cli.adapter import Sink, SinkJob, SourceInfo
from banana_cli.errors import UsageError
from banana_cli.paint import over, over_cells, paint_frame
from banana_cli.types import U8, Domain, Frame, Json, Layer, LayerKind, Mask, Prediction

from .canvas import MAX_PIXELS, Canvas, is_many, is_scene, placed, refuse_large, single_place


def compose(frame: Frame, layer: Layer, colours: U8) -> U8:
    """(H, W, 3) for masks, (H, 2 W, 3) for depth and normals."""
    picture = paint_frame(frame)
    if isinstance(layer, Mask):
        return over(picture, colours, layer, placed(frame)[1])  # a halo has no answers: draw no edge there
    return np.concatenate([picture, colours], axis=1)


Show = Callable[[SinkJob, Frame, Prediction], U8 | None]
"""A prediction as a picture; None if it has nothing to show."""


def _overlay(job: SinkJob, frame: Frame, prediction: Prediction) -> U8 | None:
    layer = prediction.of(job.layer)
    return None if layer is None else compose(frame, layer, job.tasks[job.layer].paint(layer, job.look))


def _attention(job: SinkJob, frame: Frame, prediction: Prediction) -> U8 | None:
    told = prediction.attention
    return None if told is None else over_cells(paint_frame(frame), told)


class _OverlaySink:
    """Pictures, each written as it comes; blocks of a scene are gathered first."""

    def __init__(self, part: Path, job: SinkJob, show: Show) -> None:
        self._part, self._job, self._show = part, job, show
        self._many = is_many(job.info, job.layer)
        self._halves: list[Canvas] = []
        self._count = 0
        if self._many:
            part.mkdir()

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Take one frame; OutputError if there is only room for one."""
        picture = self._show(self._job, frame, prediction)
        if picture is None:
            return
        self._count += 1
        if is_scene(self._job.info):
            self._gather(frame, picture)
            return
        place = single_place(self._part, frame, self._job.info, count=self._count, many=self._many)
        _save(place, picture)

    def _gather(self, frame: Frame, picture: U8) -> None:
        halves = np.split(picture, picture.shape[1] // frame.shape[1], axis=1)
        if not self._halves:
            shape = (*self._job.info.shape, 3)
            self._halves = [Canvas(shape, np.dtype(np.uint8), 0) for _ in halves]
        for canvas, half in zip(self._halves, halves, strict=True):
            canvas.paste(frame, half)

    def finish(self) -> dict[str, Json]:
        """Write what was gathered."""
        if self._halves:
            _save(self._part, np.concatenate([h.pixels for h in self._halves], axis=1).astype(np.uint8))
        return {"encoding": "view", "pictures": self._count if self._many else 1}


def _save(path: Path, picture: U8) -> None:
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(picture)).save(path, format="PNG", compress_level=4)


class OverlayFormat:
    """The format "overlay"."""

    name: str = "overlay"
    domains: frozenset[Domain] = frozenset(Domain)
    layers: frozenset[LayerKind] = frozenset(LayerKind)

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """ ".overlay.png", or ".overlay" for the folder of a clip or a series."""
        return ".overlay" if is_many(info, layer) else ".overlay.png"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """Write a file or a folder; OutputError for a scene that is too large."""
        refuse_large(job.info, part)
        yield _OverlaySink(part, job, _overlay)


class AttentionFormat:
    """What ``--attention`` writes: no layer, so ``--format`` cannot ask for it."""

    name: str = "attention"
    domains: frozenset[Domain] = frozenset(Domain)
    layers: frozenset[LayerKind] = frozenset()

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """ ".png", or "" for the folder of a series. UsageError for a scene that is too large."""
        if is_scene(info) and info.shape[0] * info.shape[1] > MAX_PIXELS:
            raise UsageError(
                "is too large a scene for one picture",
                subject=info.item.subject,
                remedy="leave --attention out",
            )
        return "" if is_many(info, layer) else ".png"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """Write a file or a folder."""
        yield _OverlaySink(part, job, _attention)


ATTENTION = AttentionFormat()
OVERLAY = OverlayFormat()
