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


class Bonnet(StrEnum):
    """What becomes of the own car at the lower edge of a clip."""

    AUTO = "auto"
    FIND = "find"
    KEEP = "keep"


class Precision(StrEnum):
    """Number format of the network's inside; its answers are read in fp32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


class Runtime(StrEnum):
    """What computes the network's inside."""

    TORCH = "torch"
    ONNX = "onnx"


class ExportFormat(StrEnum):
    """What the model can be written as."""

    ONNX = "onnx"
    INT8 = "int8"
    INT4 = "int4"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoOptions:
    """Part of a clip: seconds from the first frame, a lower frame rate, every n-th frame.

    ``steady``: the model may keep earlier frames in mind, so that outputs do not flicker. ``bonnet``: the
    own car is looked for before the first frame, and its pixels have no answer.
    """

    start_s: float | None = None
    end_s: float | None = None
    fps: float | None = None
    vid_stride: int = 1
    audio: bool = True
    steady: bool = True
    bonnet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOptions:
    """A known camera: focal length in pixels of the input, or horizontal field of view in degrees."""

    focal_px: float | None = None
    fov_deg: float | None = None


class Sensor(StrEnum):
    """What took a scene: which bands are its picture, and how their numbers are scaled."""

    AUTO = "auto"
    RGB = "rgb"
    NIR = "nir"
    SENTINEL_2 = "sentinel-2"
    LANDSAT = "landsat"
    NAIP = "naip"
    PAN = "pan"
    SAR = "sar"
    HEIGHTS = "heights"


@dataclass(frozen=True, slots=True, kw_only=True)
class RasterOptions:
    """Bands (1-based, as in rio), nodata value and sensor of a raster.

    ``tile``: side of the part that is worked on at once; ``overlap``: of the model's looks. Both in pixels.
    """

    bidx: tuple[int, ...] = ()
    nodata: float | None = None
    sensor: Sensor = Sensor.AUTO
    tile: int | None = None
    overlap: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomOptions:
    """``window`` is a name ("lung") or "centre/width"; ``view`` and ``surface`` for volumes.

    ``surface`` is skin, bone or a value (HU for CT). ``anonymize``: outputs carry nobody's identity.
    """

    window: str | None = None
    view: ViewName = ViewName.ANTERIOR
    surface: str = "skin"
    skip_localizers: bool = False
    anonymize: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Frames up to number ``index`` were done by an earlier run; ``clean``: not one was unreadable."""

    index: int
    clean: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Everything a reader may be asked; ``layers`` are the outputs wanted of the run.

    ``done``: a reader need not give those frames again; the numbers of the others stay.
    """

    layers: frozenset[LayerKind]
    video: VideoOptions = field(default_factory=VideoOptions)
    camera: CameraOptions = field(default_factory=CameraOptions)
    raster: RasterOptions = field(default_factory=RasterOptions)
    dicom: DicomOptions = field(default_factory=DicomOptions)
    done: Done | None = None
