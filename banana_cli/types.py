"""The values that travel: a Frame in, Layers out. NumPy only; no torch, no files, no terminal.

Shapes are (rows, columns). Arrays are never changed after they were handed on.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
Bool = NDArray[np.bool_]
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class ShapeError(ValueError):
    """A value was built from arrays that do not fit together: a bug of the caller."""


class Domain(StrEnum):
    """Who reads the file."""

    DRIVING = "driving"
    MEDICAL = "medical"
    SATELLITE = "satellite"


class Modality(StrEnum):
    """What kind of picture it is; the model is told this."""

    STREET = "street"
    CT = "ct"
    MR = "mr"
    XRAY = "xray"
    ULTRASOUND = "ultrasound"
    VISIBLE = "visible"  # endoscopy, fundus, dermoscopy: medical pictures in visible light
    AERIAL = "aerial"


class LayerKind(StrEnum):
    """The three kinds of output; the value is the word in the output's name."""

    MASKS = "masks"
    DEPTH = "depth"
    NORMALS = "normals"


class DepthKind(StrEnum):
    """Whether depth values have a unit of length."""

    METRIC = "metric"
    RELATIVE = "relative"


class Unit(StrEnum):
    """Units of length, UCUM spelling; ``ONE`` for none."""

    METRE = "m"
    MILLIMETRE = "mm"
    ONE = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A rectangle of pixels inside a picture."""

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.top, self.left) < 0 or min(self.height, self.width) < 1:
            raise ShapeError(f"Window {self} is not inside a picture")

    @property
    def bottom(self) -> int:
        """First row below the window."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """First column right of the window."""
        return self.left + self.width

    def slices(self) -> tuple[slice, slice]:
        """Index (rows, columns) of an array whose pixel (0, 0) is the picture's."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, outer: Window) -> Window:
        """The same rectangle in the coordinates of ``outer``."""
        return Window(
            top=self.top - outer.top,
            left=self.left - outer.left,
            height=self.height,
            width=self.width,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pitch:
    """Distance between pixel centres down a column and along a row, in ``unit``."""

    row: float
    col: float
    unit: Unit


class Geometry(Protocol):
    """Where pixels are in the world. Concrete kinds live in the adapters."""

    def focal_px(self) -> float | None:
        """Focal length in pixels of this frame, where there is a known pinhole camera."""

    def pitch(self) -> Pitch | None:
        """Size of a pixel, where all pixels have one (scans, orthographic scenes)."""

    def describe(self) -> dict[str, Json]:
        """Facts for the sidecar; never a patient's identity."""


@runtime_checkable
class Placed(Geometry, Protocol):
    """A geometry whose pixels differ in size from place to place, as those of a map do."""

    def crop(self, window: Window) -> Geometry:
        """That of a part of these pixels; the size of a pixel is that at its middle."""


@runtime_checkable
class Surveyed(Geometry, Protocol):
    """A geometry that knows the true area of pixels, which ``pitch`` gives for its middle only."""

    def areas(self, rows: Sequence[int], cols: Sequence[int]) -> F64 | None:
        """Area (rows - 1, cols - 1) in m2 of the rectangles between edges in pixels; None if unknown."""


@runtime_checkable
class Lens(Hashable, Protocol):
    """A geometry that knows the ray of every pixel: a camera's principal point and distortion."""

    def rays(self, x: F64, y: F64) -> tuple[F64, F64]:
        """(X / Z, Y / Z) of the rays through pixel positions; the middle of the first pixel is (0, 0)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How one model channel is cut from the physical values: ``band`` clipped to [low, high]."""

    band: int
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ShapeError(f"View range [{self.low}, {self.high}] is empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One band of a frame, with its unit ("HU", "1", "reflectance", "m", ...)."""

    name: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How the model looks at a scene: squares of ``tile`` working pixels, ``overlap`` of them shared.

    A working pixel is ``shrink`` pixels of the file. ``phase`` (rows, columns): how many of the file's
    pixels lie between a corner of the lattice of looks and the scene's first pixel.
    """

    tile: int = 512
    overlap: int = 64
    shrink: int = 1
    phase: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Which part of which input a frame is. ``source`` is a label for people, never an identity.

    ``clip``: the film whose next picture this is, for a model that keeps the last ones in mind; None: it
    stands alone. No two inputs of a run share one, and the frames of a clip come in the order of ``index``.
    ``window`` is where the frame's pixels lie in the whole scene (None: they are the whole), and
    ``core`` the part of that window which this frame answers for; the rest is halo. ``looks``: how the
    model is to look at the scene (None: as its own options say), one object for all frames of a scene.
    """

    source: str
    index: int
    clip: str | None = None
    window: Window | None = None
    core: Window | None = None
    scene_shape: tuple[int, int] | None = None
    looks: Looks | None = None
    time_s: float | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassInfo:
    """One class: its number, name and colour; ``snomed`` is (category, type) as code-meaning pairs."""

    id: int
    name: str
    rgb: tuple[int, int, int]
    snomed: tuple[tuple[str, str], tuple[str, str]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTable:
    """All classes of a domain, ids 0..n-1 in order. 255 is "no answer" (nodata, padding)."""

    name: str
    classes: tuple[ClassInfo, ...]

    def __post_init__(self) -> None:
        if [c.id for c in self.classes] != list(range(len(self.classes))):
            raise ShapeError(f"ClassTable {self.name}: ids must be 0..n-1 in order")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names by id."""
        return tuple(c.name for c in self.classes)

    def palette(self) -> U8:
        """(256, 3) colours by id; ids without a class are black."""
        colours = np.zeros((256, 3), np.uint8)
        for c in self.classes:
            colours[c.id] = c.rgb
        return colours

    def id_of(self, name: str) -> int:
        """Id of a class name; KeyError if the table lacks it."""
        return {c.name: c.id for c in self.classes}[name]


NO_CLASS = 255


def _check(name: str, array: NDArray[np.generic], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ShapeError(f"{name} is {array.dtype}{array.shape}, expected {np.dtype(dtype)}{shape}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mask:
    """Class ids (H, W) uint8, NO_CLASS where ``valid`` is False.

    ``confidence`` (H, W) uint8: the model's probability of the class, in 1/255; None where nobody asked.
    """

    ids: U8
    valid: Bool
    table: ClassTable
    confidence: U8 | None = None

    kind = LayerKind.MASKS

    def __post_init__(self) -> None:
        _check("Mask.ids", self.ids, np.uint8, self.valid.shape)
        _check("Mask.valid", self.valid, np.bool_, self.ids.shape)
        if self.confidence is not None:
            _check("Mask.confidence", self.confidence, np.uint8, self.ids.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Depth:
    """Depth values (H, W) float32 in ``unit``; NaN where ``valid`` is False."""

    values: F32
    valid: Bool
    depth_kind: DepthKind
    unit: Unit
    note: str = ""

    kind = LayerKind.DEPTH

    def __post_init__(self) -> None:
        _check("Depth.values", self.values, np.float32, self.valid.shape)
        _check("Depth.valid", self.valid, np.bool_, self.values.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Normals:
    """Unit normals (3, H, W) float32, axes x right, y down, z away from the viewer; 0 where invalid.

    A surface that faces the viewer has normal (0, 0, -1).
    """

    xyz: F32
    valid: Bool

    kind = LayerKind.NORMALS

    def __post_init__(self) -> None:
        _check("Normals.xyz", self.xyz, np.float32, (3, *self.valid.shape))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instances:
    """Which countable thing a pixel belongs to: ``ids`` (H, W) uint16, 0 = none, 1..n without gaps.

    ``classes`` and ``scores`` (0..1) are those of instances 1..n in order. ``tracks``: the numbers that they
    keep through a clip, from 1, each at most once; 0 for one that has none yet, () where nobody follows.
    """

    ids: U16
    classes: tuple[int, ...]
    scores: tuple[float, ...]
    tracks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check("Instances.ids", self.ids, np.uint16, self.ids.shape[:2])
        if len(self.classes) != len(self.scores) or int(self.ids.max(initial=0)) > len(self.classes):
            raise ShapeError("Instances needs a class and a score for each of its ids")
        if self.tracks and len(self.tracks) != len(self.classes):
            raise ShapeError("Instances needs a track for each of its ids, or none at all")

    def __len__(self) -> int:
        return len(self.classes)


Layer = Mask | Depth | Normals
LayerT = TypeVar("LayerT", Mask, Depth, Normals)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One picture in physical units that fits in memory; a huge raster is many frames.

    ``pixels`` (C, H, W) float32 in the units of ``bands``; ``valid`` (H, W) is False on nodata and
    padding; ``views`` (1 or 3) cut the model's channels out of the bands; ``measured`` holds layers
    that the data itself gives exactly (a volume's surface, a height raster's normals): they are
    passed on as they are and the model is not asked for them. ``beside``: the pictures next to it in a
    volume, on the same pixels, for a model that heeds them; they have none beside them themselves.
    ``shown`` (H, W): pixels without an answer that the model may look at all the same (the own car).
    """

    pixels: F32
    valid: Bool
    bands: tuple[Band, ...]
    views: tuple[View, ...]
    modality: Modality
    geometry: Geometry
    provenance: Provenance
    measured: tuple[Layer, ...] = ()
    beside: tuple[Frame, ...] = ()
    shown: Bool | None = None

    def __post_init__(self) -> None:
        _check("Frame.pixels", self.pixels, np.float32, (len(self.bands), *self.valid.shape))
        _check("Frame.valid", self.valid, np.bool_, self.pixels.shape[1:])
        if self.shown is not None:
            _check("Frame.shown", self.shown, np.bool_, self.valid.shape)
        if len(self.views) not in (1, 3) or any(v.band >= len(self.bands) for v in self.views):
            raise ShapeError(f"Frame.views must be 1 or 3 views of {len(self.bands)} bands")

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return (int(self.valid.shape[0]), int(self.valid.shape[1]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawMaps:
    """What the engine hands to ``Task.decode``, all float32 at the frame's size.

    ``logits`` (K, H, W), one a class of the table, -inf where the modality cannot hold the class; or, where
    only the class is asked for, ``ids`` (H, W) of the largest of them, NO_CLASS where none is finite.
    ``depth`` (H, W) already in ``unit``; ``normals`` (3, H, W), not yet unit length.
    """

    logits: F32 | None = None
    ids: U8 | None = None
    depth: F32 | None = None
    normals: F32 | None = None
    depth_kind: DepthKind = DepthKind.METRIC
    unit: Unit = Unit.METRE
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Which weights answered: for sidecars and file headers."""

    name: str
    weights_sha256: str
    budget: float
    precision: str
    device: str
    runtime: str = "torch"
    peels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attention:
    """Where the model's tokens went: ``side`` (H, W) uint8, the side (8, 16 or 32 network pixels) of the cell
    that shares a token with a pixel, 0 where the model did not look; ``edge`` (H, W) the ends of cells."""

    side: U8
    edge: Bool

    def __post_init__(self) -> None:
        _check("Attention.side", self.side, np.uint8, self.edge.shape)
        _check("Attention.edge", self.edge, np.bool_, self.side.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """The layers of one frame, each at the frame's size, and what they cost.

    ``attention``: where the tokens went, if the model was asked to tell. ``instances``: the things in it, if
    somebody counts them. ``flow`` (h, w, 2) of a clip's frame at any size: for each pixel the way (x, y) back
    to where it was one frame before, in its own pixels, NaN where it was not seen; None: not known.
    """

    layers: tuple[Layer, ...]
    tokens_kept: float
    seconds: Mapping[str, float]
    notes: Mapping[str, Json] = field(default_factory=dict)
    attention: Attention | None = None
    instances: Instances | None = None
    flow: F32 | None = None

    def get(self, kind: type[LayerT]) -> LayerT:
        """The layer of that type; KeyError if it was not asked for."""
        for layer in self.layers:
            if isinstance(layer, kind):
                return layer
        raise KeyError(kind.__name__)

    def of(self, kind: LayerKind) -> Layer | None:
        """The layer of that kind, or None (a frame may answer only some of the tasks)."""
        return next((layer for layer in self.layers if layer.kind is kind), None)
