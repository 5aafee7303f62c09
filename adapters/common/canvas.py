"""What the common formats share: is it one picture or many, and putting blocks of a scene together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.adapter import SourceInfo
from banana_cli.errors import OutputError
from banana_cli.types import Domain, Frame, LayerKind, Window

MAX_PIXELS: Final = 80_000_000
"""Scenes up to this size are put together in memory (and open in Pillow without a warning)."""


class CommonFormat:
    """What formats for every domain and layer share: a name and an ending."""

    name: str
    ending: str
    domains: frozenset[Domain] = frozenset(Domain)
    layers: frozenset[LayerKind] = frozenset(LayerKind)

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """The same for every layer and input."""
        return self.ending


def is_scene(info: SourceInfo) -> bool:
    """Whether frames are blocks of one picture."""
    return info.domain is Domain.SATELLITE


def is_many(info: SourceInfo, layer: LayerKind) -> bool:
    """Whether a layer is several pictures: of a clip, of a series but for its one surface."""
    frames = info.facts.get("layer_frames")
    count = frames.get(layer.value, info.frames) if isinstance(frames, Mapping) else info.frames
    return not is_scene(info) and count != 1


def single_place(part: Path, frame: Frame, info: SourceInfo, *, count: int, many: bool) -> Path:
    """The file of a frame, the ``count``-th. OutputError if there is only room for one."""
    if count > 1 and not many:
        raise OutputError(
            "has more frames than it said", subject=info.item.subject, remedy="look at it with `banana info`"
        )
    return part / frame_name(frame) if many else part


def refuse_large(info: SourceInfo, part: Path) -> None:
    """OutputError for a scene that would not fit in memory."""
    rows, cols = info.shape
    if is_scene(info) and rows * cols > MAX_PIXELS:
        raise OutputError(
            f"a scene of {cols} x {rows} pixels is too large for this format",
            subject=info.item.subject,
            remedy="use --format tif or npy",
        )


def placed(frame: Frame) -> tuple[Window, tuple[slice, slice]]:
    """Where a frame's answers lie in the whole picture, and where they lie in the frame."""
    whole = Window(top=0, left=0, height=frame.shape[0], width=frame.shape[1])
    window = frame.provenance.window or whole
    core = frame.provenance.core or window
    return core, core.within(window).slices()


def frame_name(frame: Frame) -> str:
    """Name of one picture of many, numbered as in the source."""
    return f"{frame.provenance.index:06d}.png"


class Canvas:
    """One picture (rows, columns, ...) that blocks are pasted into."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[np.generic], fill: float) -> None:
        self.pixels: NDArray[np.generic] = np.full(shape, fill, dtype)

    def paste(self, frame: Frame, block: NDArray[np.generic]) -> None:
        """Take the core of one frame's picture (rows, columns, ...)."""
        core, inside = placed(frame)
        self.pixels[core.slices()] = block[inside]
