"""Pictures for people: masks over the picture with their edges, depth and normals beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from banana_cli.adapter import Sink, SinkJob, SourceInfo
from banana_cli.errors import OutputError
from banana_cli.paint import over, paint_frame
from banana_cli.types import U8, Domain, Frame, Json, Layer, LayerKind, Mask, Prediction

from .canvas import Canvas, frame_name, is_many, is_scene, placed, refuse_large


def compose(frame: Frame, layer: Layer, colours: U8) -> U8:
    """(H, W, 3) for masks, (H, 2 W, 3) for depth and normals."""
    picture = paint_frame(frame)
    if isinstance(layer, Mask):
        return over(picture, colours, layer, placed(frame)[1])  # a halo has no answers: draw no edge there
    return np.concatenate([picture, colours], axis=1)


class _OverlaySink:
    """Pictures, each written as it comes; blocks of a scene are gathered first."""

    def __init__(self, part: Path, job: SinkJob) -> None:
        self._part, self._job = part, job
        self._many = is_many(job.info, job.layer)
        self._halves: list[Canvas] = []
        self._count = 0
        if self._many:
            part.mkdir()

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Take one frame; OutputError if there is only room for one."""
        layer = prediction.of(self._job.layer)
        if layer is None:
            return
        picture = compose(frame, layer, self._job.tasks[self._job.layer].paint(layer, self._job.look))
        self._count += 1
        if is_scene(self._job.info):
            self._gather(frame, picture)
            return
        if self._count > 1 and not self._many:
            raise OutputError(
                "has more frames than it said",
                subject=self._job.info.item.subject,
                remedy="look at it with `banana info`",
            )
        _save(self._part / frame_name(frame) if self._many else self._part, picture)

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
        yield _OverlaySink(part, job)


OVERLAY = OverlayFormat()
