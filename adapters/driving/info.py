"""What is known of a clip or a photograph before its first frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from banana_cli.adapter import SourceInfo
from banana_cli.options import VideoOptions
from banana_cli.types import Band, Json
from banana_cli.types import View as Cut

from .geometry import PinholeCamera
from .turn import Turn

if TYPE_CHECKING:
    from .bonnet import Bonnet  # OpenCV loads slowly

# 8 bits everywhere: pixels are float 0..255 whatever the file's depth is.
BANDS = tuple(Band(name=name, unit="1") for name in ("red", "green", "blue"))
VIEWS = tuple(Cut(band=band, low=0.0, high=255.0) for band in range(3))

# Bound on one picture's pixels, checked before anything is decoded.
MAX_PIXELS = 178_956_970


class View(StrEnum):
    """How a layer is shown."""

    ALONE = "alone"
    OVERLAY = "overlay"
    BESIDE = "beside"

    @property
    def wide(self) -> int:
        """Pictures side by side."""
        return 2 if self is View.BESIDE else 1


class Matrix(StrEnum):
    """How luma and chroma are mixed from red, green and blue."""

    BT601 = "bt601"
    BT709 = "bt709"
    BT2020 = "bt2020"
    SMPTE240M = "smpte240m"
    RGB = "rgb"
    GREY = "grey"


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """How a clip's samples are to be read; ``assumed`` if the file does not say."""

    matrix: Matrix
    full_range: bool
    bits: int
    pixel_format: str
    assumed: bool

    def describe(self) -> dict[str, Json]:
        """Facts for the sidecar."""
        return {
            "pixel_format": self.pixel_format,
            "bits": self.bits,
            "range": "full" if self.full_range else "limited",
            "matrix": self.matrix.value,
            "assumed": self.assumed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioTrack:
    """One sound stream of a clip."""

    index: int
    codec: str
    rate_hz: int
    channels: int

    def describe(self) -> dict[str, Json]:
        """Facts for the sidecar."""
        return {"codec": self.codec, "rate_hz": self.rate_hz, "channels": self.channels}


@dataclass(frozen=True, kw_only=True)
class VideoInfo(SourceInfo):
    """A clip. ``shape`` is upright; ``stored_shape`` as the file has it, before ``turn``.

    ``start_pts`` is the first frame's time in ``time_base`` where the header says it;
    ``header_frames`` counts the whole clip, as the header claims.
    """

    path: Path
    stream_index: int
    time_base: Fraction
    start_pts: int | None
    average_rate: Fraction | None
    header_frames: int | None
    stored_shape: tuple[int, int]
    turn: Turn
    sample_aspect: Fraction
    colour: Colour
    audio: tuple[AudioTrack, ...]
    camera: PinholeCamera
    part: VideoOptions

    @property
    def trimmed(self) -> bool:
        """Whether only a part of the clip was asked for."""
        return self.part.start_s is not None or self.part.end_s is not None


def with_bonnet(info: VideoInfo, bonnet: Bonnet | None) -> VideoInfo:
    """What is known after the own car was looked for."""
    if bonnet is None:
        return replace(info, facts={**info.facts, "bonnet": None})
    facts = bonnet.describe()
    told = f"the own car, {bonnet.share:.0%} of the picture, has no answer; --bonnet keep changes that"
    return replace(info, facts={**info.facts, "bonnet": facts}, notices=(*info.notices, told))


@dataclass(frozen=True, kw_only=True)
class PictureInfo(SourceInfo):
    """A photograph; ``shape`` is upright, ``turn`` is what EXIF asks for."""

    path: Path
    turn: Turn
    bits: int
    camera: PinholeCamera
