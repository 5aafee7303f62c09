"""What a user may ask of a reader, grouped by the kind of input that can obey.

Each field's metadata is nowhere: the command line maps option names to these fields, and an adapter
lists in ``accepts`` the option names it obeys, so that an option that cannot act is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from banana_cli.types import LayerKind


class ViewName(StrEnum):
    """Side of the patient from which a volume's surface is seen."""

    ANTERIOR = "anterior"
    POSTERIOR = "posterior"
    LEFT = "left"
    RIGHT = "right"
    SUPERIOR = "superior"
    INFERIOR = "inferior"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoOptions:
    """Part of a clip: seconds from the first frame, a lower frame rate, every n-th frame."""

    start_s: float | None = None
    end_s: float | None = None
    fps: float | None = None
    vid_stride: int = 1
    audio: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOptions:
    """A known camera: focal length in pixels of the input, or horizontal field of view in degrees."""

    focal_px: float | None = None
    fov_deg: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RasterOptions:
    """Bands (1-based, as in rio) and nodata value of a raster; the engine's tiles, which frames must hold."""

    bidx: tuple[int, ...] = ()
    nodata: float | None = None
    tile: int | None = None
    overlap: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomOptions:
    """``window`` is a name ("lung") or "centre/width"; ``view`` for surfaces of volumes."""

    window: str | None = None
    view: ViewName = ViewName.ANTERIOR
    skip_localizers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Everything a reader may be asked; ``layers`` are the outputs wanted of the run."""

    layers: frozenset[LayerKind]
    video: VideoOptions = field(default_factory=VideoOptions)
    camera: CameraOptions = field(default_factory=CameraOptions)
    raster: RasterOptions = field(default_factory=RasterOptions)
    dicom: DicomOptions = field(default_factory=DicomOptions)
