"""Layers as pictures and back: 16-bit depth, invertible depth colours, normals, masks. NumPy only.

Every code is fixed (nothing is measured from the frame), so a picture decodes without its neighbours
and a video does not flicker. Each picture code keeps one value for "no answer":

=========  ================================  =====================================================
layer      code                              exactness
=========  ================================  =====================================================
masks      class id, ``NO_CLASS`` (255)      bit for bit
depth      16 bit, 0 = invalid               half a step of ``DepthCode.scale``; clipped outside
depth      RGB-cube path, black = invalid    half a step of 1784 (see ``DepthColours``)
normals    8 bit a channel, black = invalid  0.4 degrees
=========  ================================  =====================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import (
    F32,
    F64,
    NO_CLASS,
    U8,
    U16,
    Bool,
    ClassInfo,
    ClassTable,
    Depth,
    DepthKind,
    Json,
    Layer,
    Mask,
    Normals,
    Unit,
)

HEIGHT_NOTE: Final = "height above ground"
"""``Depth.note`` of heights; it chooses the codes that can hold a valid zero of metres."""

_U16_MAX: Final = 65535


# --- depth, 16 bit ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthCode:
    """value = stored * scale + offset in ``unit``; ``invalid`` (0) is never a value."""

    name: str
    scale: float
    offset: float
    unit: Unit
    invalid: int = 0

    @property
    def low(self) -> float:
        """Smallest value with a code; smaller ones are clipped to it."""
        return self.scale + self.offset

    @property
    def high(self) -> float:
        """Largest value with a code; larger ones are clipped to it."""
        return _U16_MAX * self.scale + self.offset

    def facts(self) -> dict[str, Json]:
        """What a sidecar or a text chunk must hold so that anybody can decode."""
        return {
            "encoding": self.name,
            "scale": self.scale,
            "offset": self.offset,
            "unit": self.unit.value,
            "invalid": self.invalid,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Json]) -> DepthCode:
        """Inverse of ``facts``; ValueError where something is missing or is no code."""
        return cls(
            name=str(facts.get("encoding")),
            scale=_positive(facts, "scale"),
            offset=_number(facts, "offset"),
            unit=Unit(str(facts.get("unit"))),
            invalid=int(_number(facts, "invalid")),
        )


KITTI16: Final = DepthCode(name="kitti16", scale=1 / 256, offset=0.0, unit=Unit.METRE)
"""The KITTI convention: metres = stored / 256. Zero metres has no code (it becomes 1/256 m)."""
HEIGHT16: Final = DepthCode(name="height16", scale=1 / 256, offset=-1 / 256, unit=Unit.METRE)
"""Metres = (stored - 1) / 256, so that the ground, 0 m, is a value."""
MM16: Final = DepthCode(name="mm16", scale=1 / 64, offset=-1 / 64, unit=Unit.MILLIMETRE)
"""Millimetres = (stored - 1) / 64, up to 1023.9 mm."""
RELATIVE16: Final = DepthCode(name="relative16", scale=1 / 65534, offset=-1 / 65534, unit=Unit.ONE)
"""[0, 1] = (stored - 1) / 65534."""


def depth_code(depth: Depth) -> DepthCode:
    """The 16-bit code of a layer, by its kind, unit and note, never by its values."""
    if depth.depth_kind is DepthKind.RELATIVE or depth.unit is Unit.ONE:
        return RELATIVE16
    if depth.unit is Unit.MILLIMETRE:
        return MM16
    return HEIGHT16 if is_height(depth) else KITTI16


def is_height(depth: Depth) -> bool:
    """Whether the values are heights (a valid zero) rather than distances from a camera."""
    return depth.note.startswith("height")


def encode_depth_u16(depth: Depth, code: DepthCode | None = None) -> tuple[U16, DepthCode]:
    """(H, W) uint16 and its code: 0 where invalid, the nearest code of 1..65535 elsewhere."""
    code = code or depth_code(depth)
    values = np.where(depth.valid, depth.values, code.low).astype(np.float64)
    steps = np.rint((values - code.offset) / code.scale)
    stored = np.clip(steps, 1, _U16_MAX).astype(np.uint16)
    stored[~depth.valid] = code.invalid
    return stored, code


def decode_depth_u16(stored: NDArray[np.generic], code: DepthCode) -> tuple[F32, Bool]:
    """(H, W) stored numbers -> (values float32, NaN where invalid; valid)."""
    valid = stored != code.invalid
    values = stored.astype(np.float64) * code.scale + code.offset
    return np.where(valid, values, np.nan).astype(np.float32), valid


# --- depth, invertible colours ------------------------------------------------------------------

RGB_CODE: Final = "banana-rgb"
_EDGE: Final = 255
_EDGES: Final = 7
_TOP: Final = _EDGE * _EDGES
_STEPS: Final = _TOP - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthColours:
    """Depth as a walk along seven edges of the RGB cube, 1786 exact colours.

    The corners are black, red, yellow, green, cyan, blue, magenta, white. Black (level 0) is kept for
    invalid pixels; the valid levels 1..1785 stand for f = (level - 1) / 1784 with

        f = 1 - (1 + d / d0) ** (power + 1),   power = -3      ("linear": f = d)

    White is f = 1: infinitely far, which no finite depth gets. Finite values beyond the last level
    are clipped to it. ``d0`` is in ``unit``; the best relative precision is at d = d0 / 2.
    """

    name: str
    d0: float
    unit: Unit
    power: float = -3.0
    linear: bool = False

    def facts(self) -> dict[str, Json]:
        """What a sidecar or a text chunk must hold so that anybody can decode."""
        return {
            "encoding": self.name,
            "d0": self.d0,
            "lambda": self.power,
            "linear": self.linear,
            "unit": self.unit.value,
            "levels": _STEPS,
            "invalid": [0, 0, 0],
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Json]) -> DepthColours:
        """Inverse of ``facts``; ValueError where something is missing or is no code."""
        power = _number(facts, "lambda")
        if power >= -1:
            raise ValueError(f"lambda {power} is not below -1")
        return cls(
            name=str(facts.get("encoding")),
            d0=_positive(facts, "d0"),
            unit=Unit(str(facts.get("unit"))),
            power=power,
            linear=bool(facts.get("linear")),
        )

    def share(self, values: NDArray[np.floating]) -> F64:
        """Depth -> f in [0, 1]; negative depth counts as 0."""
        wide = np.maximum(values.astype(np.float64), 0.0)
        if self.linear:
            return np.minimum(wide / self.d0, 1.0)
        return np.asarray(1.0 - (1.0 + wide / self.d0) ** (self.power + 1.0))

    def value(self, share: F64) -> F64:
        """f in [0, 1] -> depth; 1 is infinity (linear: ``d0``)."""
        if self.linear:
            return share * self.d0
        with np.errstate(divide="ignore"):
            return np.asarray(self.d0 * ((1.0 - share) ** (1.0 / (self.power + 1.0)) - 1.0))


STREET_RGB: Final = DepthColours(name=RGB_CODE, d0=30.0, unit=Unit.METRE)
HEIGHT_RGB: Final = DepthColours(name=RGB_CODE, d0=20.0, unit=Unit.METRE)
MM_RGB: Final = DepthColours(name=RGB_CODE, d0=100.0, unit=Unit.MILLIMETRE)
RELATIVE_RGB: Final = DepthColours(name=RGB_CODE, d0=1.0, unit=Unit.ONE, linear=True)


def depth_colours(depth: Depth) -> DepthColours:
    """The colour code of a layer, by its kind, unit and note, never by its values."""
    if depth.depth_kind is DepthKind.RELATIVE or depth.unit is Unit.ONE:
        return RELATIVE_RGB
    if depth.unit is Unit.MILLIMETRE:
        return MM_RGB
    return HEIGHT_RGB if is_height(depth) else STREET_RGB


def _path() -> U8:
    """(1786, 3) colours by level."""
    corners = np.array(
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 1, 1]], np.int64
    )
    level = np.arange(_TOP + 1)
    edge = np.minimum(level // _EDGE, _EDGES - 1)
    step = (level - edge * _EDGE)[:, None]
    rgb: U8 = (corners[edge] * _EDGE + step * (corners[edge + 1] - corners[edge])).astype(np.uint8)
    return rgb


PATH: Final[U8] = _path()
PATH.setflags(write=False)


def depth_to_rgb(depth: Depth, code: DepthColours | None = None) -> tuple[U8, DepthColours]:
    """(H, W, 3) uint8 and its code; black where invalid."""
    code = code or depth_colours(depth)
    share = code.share(np.where(depth.valid, depth.values, 0.0))
    last = _STEPS if code.linear else _STEPS - 1
    level = 1 + np.minimum(np.rint(share * _STEPS), last).astype(np.int64)
    level[~depth.valid] = 0
    return np.take(PATH, level, axis=0), code


def rgb_to_depth(rgb: U8, code: DepthColours) -> tuple[F32, Bool]:
    """(H, W, 3) -> (values float32, NaN where invalid; valid).

    A colour beside the path (lossy video) goes to the path's nearest point.
    """
    level = _nearest_level(rgb)
    valid = level > 0
    values = code.value(np.maximum(level - 1, 0) / _STEPS)
    return np.where(valid, values, np.nan).astype(np.float32), valid


def _nearest_level(rgb: U8) -> NDArray[np.int64]:
    """Level of the nearest point of the path; the darker one where two are equally near."""
    point = rgb.astype(np.int32)
    best = np.full(rgb.shape[:-1], np.iinfo(np.int32).max, np.int32)
    level = np.zeros(rgb.shape[:-1], np.int64)
    for edge in range(_EDGES):
        start = PATH[edge * _EDGE].astype(np.int32)
        axis = int(np.argmax(PATH[edge * _EDGE] != PATH[(edge + 1) * _EDGE]))
        step = np.abs(point[..., axis] - start[axis])
        off = [c for c in range(3) if c != axis]
        distance = ((point[..., off] - start[off]) ** 2).sum(axis=-1, dtype=np.int32)
        nearer = distance < best
        best = np.where(nearer, distance, best)
        level = np.where(nearer, edge * _EDGE + step, level)
    return level


# --- normals ------------------------------------------------------------------------------------

NORMALS_CODE: Final = "normals-rgb8"
"""rgb = n * [0.5, -0.5, -0.5] + 0.5 for n in axes x right, y down, z away; times 255, rounded."""
_NORMAL_SIGN: Final = np.array([1.0, -1.0, -1.0], np.float32)


def encode_normals_u8(normals: Normals) -> U8:
    """(H, W, 3) uint8: a wall that faces the viewer is (128, 128, 255); (0, 0, 0) is invalid."""
    rgb = np.empty((*normals.valid.shape, 3), np.uint8)
    for channel, (plane, sign) in enumerate(zip(normals.xyz, _NORMAL_SIGN, strict=True)):
        code = plane * (sign * np.float32(127.5))
        code += np.float32(127.5)
        np.clip(np.rint(code, out=code), 0, 255, out=code)
        rgb[..., channel] = code.astype(np.uint8) * normals.valid
    return rgb


def decode_normals_u8(rgb: U8) -> Normals:
    """(H, W, 3) uint8 -> unit normals; invalid where the picture is black."""
    valid = (rgb != 0).any(axis=-1)
    xyz = (rgb.astype(np.float32) / np.float32(127.5) - np.float32(1.0)) * _NORMAL_SIGN
    length = np.linalg.norm(xyz, axis=-1, keepdims=True)
    unit = np.where(valid[..., None], xyz / np.maximum(length, np.float32(1e-6)), np.float32(0.0))
    return Normals(xyz=np.ascontiguousarray(np.moveaxis(unit, -1, 0), np.float32), valid=valid)


# --- masks --------------------------------------------------------------------------------------

_DARK: Final = (1, 1, 1)


def encode_mask_u8(mask: Mask) -> tuple[U8, U8]:
    """(H, W) indices, ``NO_CLASS`` where invalid, and the (256, 3) palette."""
    return np.where(mask.valid, mask.ids, np.uint8(NO_CLASS)).astype(np.uint8), mask.table.palette()


def decode_mask_u8(ids: U8, table: ClassTable) -> Mask:
    """(H, W) indices -> mask; ValueError where an index is no class of the table."""
    valid = ids != NO_CLASS
    if (ids[valid] >= len(table)).any():
        raise ValueError(f"class {int(ids[valid].max())} is not in table {table.name} of {len(table)}")
    return Mask(ids=ids.astype(np.uint8, copy=True), valid=valid, table=table)


def no_class_rgb(table: ClassTable) -> tuple[int, int, int]:
    """Colour of pixels without an answer: black, or almost black where black is a class."""
    return _DARK if any(c.rgb == (0, 0, 0) for c in table.classes) else (0, 0, 0)


def mask_to_rgb(mask: Mask) -> U8:
    """(H, W, 3) class colours; ``no_class_rgb`` where invalid."""
    palette = mask.table.palette()
    palette[NO_CLASS] = no_class_rgb(mask.table)
    return np.take(palette, encode_mask_u8(mask)[0], axis=0)  # five times as fast as an index


def rgb_to_mask(rgb: U8, table: ClassTable) -> Mask:
    """(H, W, 3) -> mask by the nearest colour of the table, "no answer" included."""
    colours = np.array([c.rgb for c in table.classes] + [no_class_rgb(table)], np.int32)
    packed = rgb.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    used, inverse = np.unique(packed, return_inverse=True)
    flat = np.stack([used >> 16, used >> 8 & 255, used & 255], axis=-1)
    nearest = np.empty(len(used), np.uint8)
    for i in range(0, len(used), 65536):
        distance = ((flat[i : i + 65536, None, :] - colours) ** 2).sum(axis=-1)
        nearest[i : i + 65536] = distance.argmin(axis=-1)
    nearest[nearest == len(table)] = NO_CLASS
    return decode_mask_u8(nearest[inverse.reshape(-1)].reshape(rgb.shape[:-1]), table)


# --- facts: what a sidecar or a text chunk must hold so that anybody can decode --------------------

MASK_CODE: Final = "class-ids"
MASK_COLOURS: Final = "class-colours"
"""Masks as ``mask_to_rgb`` paints them, for pictures without a palette (lossless video)."""


def mask_facts(table: ClassTable) -> dict[str, Json]:
    """Facts of class ids: the whole table."""
    classes: list[Json] = [{"id": c.id, "name": c.name, "rgb": list(c.rgb)} for c in table.classes]
    return {
        "encoding": MASK_CODE,
        "kind": "classes",
        "table": table.name,
        "classes": classes,
        "invalid": NO_CLASS,
    }


def depth_facts(depth: Depth, code: DepthCode | DepthColours) -> dict[str, Json]:
    """Facts of depth in a code."""
    return {**code.facts(), "kind": depth.depth_kind.value, "note": depth.note}


def normals_facts() -> dict[str, Json]:
    """Facts of normals."""
    frame = "x right, y down, z away from the viewer"
    return {"encoding": NORMALS_CODE, "kind": "unit normals", "frame": frame, "invalid": [0, 0, 0]}


def table_from_facts(facts: Mapping[str, Json]) -> ClassTable:
    """The table of ``mask_facts``; ValueError where it is none."""
    rows = facts.get("classes")
    if not isinstance(rows, list) or not 0 < len(rows) < NO_CLASS:
        raise ValueError("the facts hold no class table")
    return ClassTable(name=str(facts.get("table")), classes=tuple(_class(row) for row in rows))


def decode_picture(pixels: NDArray[np.generic], facts: Mapping[str, Json]) -> Layer:
    """The layer that a picture of ours holds: (H, W) or (H, W, 3), with the facts written beside it.

    ValueError where picture and facts are not of one kind.
    """
    encoding = facts.get("encoding")
    if encoding == MASK_CODE:
        return decode_mask_u8(_checked(pixels, np.uint8, 2), table_from_facts(facts))
    if encoding == MASK_COLOURS:
        return rgb_to_mask(_checked(pixels, np.uint8, 3), table_from_facts(facts))
    if encoding == NORMALS_CODE:
        return decode_normals_u8(_checked(pixels, np.uint8, 3))
    if encoding == RGB_CODE:
        colours = DepthColours.from_facts(facts)
        values, valid = rgb_to_depth(_checked(pixels, np.uint8, 3), colours)
        return _depth(values, valid, colours.unit, facts)
    code = DepthCode.from_facts(facts)
    values, valid = decode_depth_u16(_checked(pixels, np.uint16, 2), code)
    return _depth(values, valid, code.unit, facts)


def _depth(values: F32, valid: Bool, unit: Unit, facts: Mapping[str, Json]) -> Depth:
    kind = DepthKind(str(facts.get("kind")))
    return Depth(values=values, valid=valid, depth_kind=kind, unit=unit, note=str(facts.get("note") or ""))


def _checked(pixels: NDArray[np.generic], dtype: type[np.unsignedinteger], dims: int) -> NDArray[Any]:
    """The pixels, if they are of that type and (H, W) or (H, W, 3)."""
    channels = pixels.shape[2:] == (3,) if dims == 3 else pixels.ndim == 2
    if pixels.dtype != dtype or not channels:
        raise ValueError(f"a picture of {pixels.dtype}{pixels.shape} does not fit its facts")
    return pixels


# --- reading facts that a stranger may have written -----------------------------------------------


def _number(facts: Mapping[str, Json], key: str) -> float:
    value = facts.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"{key} is {value!r}, not a number")
    return float(value)


def _positive(facts: Mapping[str, Json], key: str) -> float:
    value = _number(facts, key)
    if value <= 0:
        raise ValueError(f"{key} is {value}, not positive")
    return value


def _class(row: Json) -> ClassInfo:
    if not isinstance(row, dict) or not isinstance(row.get("rgb"), list):
        raise ValueError(f"{row!r} is no class")
    red, green, blue = (int(_number({"rgb": c}, "rgb")) for c in cast(list[Json], row["rgb"]))
    if not all(0 <= c <= 255 for c in (red, green, blue)):
        raise ValueError(f"{row!r} has no colour")
    return ClassInfo(id=int(_number(row, "id")), name=str(row.get("name")), rgb=(red, green, blue))
