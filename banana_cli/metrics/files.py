"""Files of predictions or of truth: what each is for, and its numbers in the units of the metrics."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from banana_cli import codec, sidecar
from banana_cli.adapter import SinkFormat, Stored, StoredFormat
from banana_cli.errors import InputError
from banana_cli.metrics.masks import I64
from banana_cli.metrics.naming import NUMBERINGS, Numbering, from_json
from banana_cli.types import F32, NO_CLASS, U8, Depth, DepthKind, Json, Layer, Mask, Normals, Unit

Formats = Mapping[str, SinkFormat]


class Kind(StrEnum):
    """What the numbers of a file are."""

    MASKS = "masks"
    DEPTH = "depth"
    HEIGHTS = "heights"
    NORMALS = "normals"
    INSTANCES = "instances"
    CONFIDENCE = "confidence"


LAYERS: Final = (Kind.MASKS, Kind.DEPTH, Kind.HEIGHTS, Kind.NORMALS)
_SUFFIXES: Final = {".png": "png", ".npy": "npy", ".tif": "tif", ".tiff": "tif"}
_VIEWS: Final = ("view", "overlay")
CITY_STEP: Final = 1000
"""Cityscapes' instance maps hold class * 1000 + number where members are told apart, else the class."""
_KITTI: Final = 256

# Endings of names, their kind and what the class ids below them mean; None: nothing to be judged.
_ENDINGS: Final[tuple[tuple[str, Kind | None, str], ...]] = (
    (r"_gt(?:Fine|Coarse)_labelIds", Kind.MASKS, "cityscapes"),
    (r"_gt(?:Fine|Coarse)_labelTrainIds", Kind.MASKS, "street"),
    (r"_gt(?:Fine|Coarse)_instanceIds", Kind.INSTANCES, "cityscapes"),
    (r"_gt(?:Fine|Coarse)_\w+", None, ""),
    (r"\.(?:overlay|attention|view)", None, ""),
    *((rf"\.{kind}", kind, "") for kind in Kind),
)
# Words that layouts of data sets add to names and folders, and which tell no picture from another.
_NOISE: Final = re.compile(r"_leftImg8bit$|_groundtruth_depth(?=_\d)|(?<=_sync)_image(?=_\d)")
_NOISY_FOLDERS: Final = frozenset({"proj_depth", "groundtruth", "data", "gtFine", "leftImg8bit"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file. ``key``: folders and name without what layouts add; ``kind`` None where no name tells it.

    ``draw`` gives the numbers where they are not those of a picture's file.
    """

    path: Path
    key: tuple[str, ...]
    kind: Kind | None
    facts: Mapping[str, Json] = field(default_factory=dict)
    numbers: str = ""
    draw: Callable[[], Sheet] | None = None

    @property
    def numbering(self) -> Numbering | None:
        """What its class ids mean, if that is told."""
        if self.numbers:
            return NUMBERINGS[self.numbers]
        return _numbering_of(self.facts.get("classes"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sheet:
    """The numbers of one picture. ``values`` by kind:

    class ids (H, W) uint8, 255 none; depth or heights (H, W) float32 in ``unit`` (None: nobody tells), NaN
    unknown; normals (3, H, W) float32, 0 unknown; instances (H, W) int64, 0 none; confidence (H, W)
    float32 0..1. ``names``: those of the class ids, None where the file does not tell. ``classed``:
    instances that hold their class, as Cityscapes' do.
    """

    kind: Kind
    values: NDArray[np.generic]
    numbering: Numbering | None = None
    unit: Unit | None = None
    relative: bool = False
    classed: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, cols = self.values.shape[-2:]
        return rows, cols


def find(root: Path, forced: Kind | None = None) -> list[Item]:
    """All files below a folder, or one file, that may hold numbers. InputError if there is no such path."""
    if root.is_file():
        sides = [sidecar.sidecar_path(p) for p in (root.absolute(), root.absolute().parent) if p.name]
        facts = next((f for p in sides if (f := sidecar.read(p)) is not None), {})
        return _items(root, (), facts, forced)
    if not root.is_dir():
        raise InputError("No such file or directory", subject=str(root), remedy="check the path")
    found: list[Item] = []
    own = sidecar.read(sidecar.sidecar_path(root.absolute())) or {}
    above: dict[Path, Mapping[str, Json]] = {root: own}
    for place, folders, names in os.walk(root):
        here = Path(place)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in folders:
            above[here / name] = sidecar.read(here / f"{name}.json") or above[here]
        for name in sorted(n for n in names if not n.startswith(".")):
            beside = sidecar.read(here / f"{name}.json") or above[here]
            found += _items(here / name, here.relative_to(root).parts, beside, forced)
    return found


def _items(path: Path, folders: Sequence[str], facts: Mapping[str, Json], forced: Kind | None) -> list[Item]:
    encoding = facts.get("encoding")
    if path.suffix.lower() not in _SUFFIXES or (
        isinstance(encoding, dict) and encoding.get("encoding") in _VIEWS
    ):
        return []
    _, kind, numbers = _plain(path.stem)
    if kind is None and numbers is None:
        return []
    told = facts.get("layer")
    if kind is None and told in tuple(Kind):
        kind = Kind(str(told))
    if kind is Kind.DEPTH and _is_height(encoding):
        kind = Kind.HEIGHTS
    key = plain_key(PurePath(*folders, path.name))
    return [Item(path=path, key=key, kind=kind or forced, facts=facts, numbers=numbers or "")]


def plain_key(path: PurePath) -> tuple[str, ...]:
    """Folders and name of a file without what layouts add."""
    folders = [_plain(f)[0] for f in path.parent.parts if f not in _NOISY_FOLDERS]
    return (*folders, _plain(path.stem)[0])


def _plain(stem: str) -> tuple[str, Kind | None, str | None]:
    """A name without what layouts add, its kind and numbering; (name, None, None): nothing to be judged."""
    for ending, kind, numbers in _ENDINGS:
        if match := re.search(rf"{ending}$", stem):
            return _NOISE.sub("", stem[: match.start()]), kind, numbers if kind else None
    return _NOISE.sub("", stem), None, ""


def _is_height(encoding: Json) -> bool:
    return isinstance(encoding, dict) and str(encoding.get("note") or "").startswith("height")


def _numbering_of(classes: Json) -> Numbering | None:
    try:
        return from_json(classes)
    except ValueError:
        return None


def guess(item: Item, formats: Formats) -> Kind:
    """What a file without a telling name holds, by its numbers. InputError if they could be anything."""
    stored = _stored(item, formats)
    shape, kind = stored.numbers.shape, stored.numbers.dtype.kind
    if stored.facts.get("layer") in tuple(Kind):
        return Kind.HEIGHTS if _is_height(dict(stored.facts)) else Kind(str(stored.facts["layer"]))
    if kind == "f":
        return Kind.NORMALS if 3 in (shape[0], shape[-1]) and len(shape) > 2 else Kind.DEPTH
    if len(shape) == 2 or (item.path.suffix == ".npy" and shape[-1] > 4):
        return Kind.DEPTH if stored.numbers.dtype == np.uint16 else Kind.MASKS
    raise InputError(
        f"its numbers, {stored.numbers.dtype}{shape}, could be anything",
        subject=str(item.path),
        remedy=f"say --layer with one of: {', '.join(LAYERS)}",
    )


def sheets(item: Item, kind: Kind, formats: Formats) -> Iterator[Sheet]:
    """The pictures of a file, one after the other (an array may hold many). InputError if they are not
    of that kind.
    """
    if item.draw is not None:
        yield item.draw()
        return
    stored = _stored(item, formats)
    try:
        layer = _decoded(item, stored)
        if layer is not None:
            yield _of_layer(layer, kind)
            return
        plain = Sheet(
            kind=kind, values=stored.numbers, numbering=item.numbering, classed=item.numbers == "cityscapes"
        )
        many = 4 if kind is Kind.NORMALS else 3
        is_stack = item.path.suffix.lower() == ".npy" and stored.numbers.ndim == many
        for numbers in stored.numbers if is_stack else (stored.numbers,):
            yield _read(replace(plain, values=numbers), item)
    except ValueError as exc:
        raise InputError(
            str(exc), subject=str(item.path), remedy=f"check that it holds {kind}; see banana eval --help"
        ) from exc


def _stored(item: Item, formats: Formats) -> Stored:
    """The numbers of a file, by the format that its suffix names."""
    found = formats.get(_SUFFIXES[item.path.suffix.lower()])
    if found is None or not isinstance(found, StoredFormat):
        raise InputError(
            f"no reader for {item.path.suffix} is installed",
            subject=str(item.path),
            remedy="install banana whole",
        )
    return found.stored(item.path)


def _decoded(item: Item, stored: Stored) -> Layer | None:
    """The layer, if a picture of ours tells its code."""
    told = item.facts.get("encoding")
    facts = stored.facts or (told if isinstance(told, dict) and item.path.suffix.lower() == ".png" else {})
    return codec.decode_picture(stored.numbers, facts) if "encoding" in facts else None


def _of_layer(layer: Layer, kind: Kind) -> Sheet:
    if isinstance(layer, Mask) and kind is Kind.MASKS:
        ids = np.where(layer.valid, layer.ids, np.uint8(NO_CLASS))
        return Sheet(kind=kind, values=ids, numbering=Numbering.of(layer.table))
    if isinstance(layer, Depth) and kind in (Kind.DEPTH, Kind.HEIGHTS):
        relative = layer.depth_kind is DepthKind.RELATIVE or layer.unit is Unit.ONE
        return Sheet(kind=kind, values=layer.values, unit=layer.unit, relative=relative)
    if isinstance(layer, Normals) and kind is Kind.NORMALS:
        return Sheet(kind=kind, values=layer.xyz)
    raise ValueError(f"holds {layer.kind}, not {kind}")


def _read(sheet: Sheet, item: Item) -> Sheet:
    """A sheet of plain numbers in the form that its kind promises. ValueError if it cannot be."""
    match sheet.kind:
        case Kind.MASKS:
            return replace(sheet, values=_class_ids(sheet.values))
        case Kind.INSTANCES:
            return replace(sheet, values=_whole(sheet.values))
        case Kind.NORMALS:
            return replace(sheet, values=_normals(sheet.values))
        case Kind.CONFIDENCE:
            return replace(sheet, values=_share(sheet.values))
        case Kind.DEPTH | Kind.HEIGHTS:
            told = item.facts.get("encoding")
            facts = told if isinstance(told, dict) else {}
            unit = Unit(str(facts["unit"])) if facts.get("unit") else None
            is_kitti = sheet.values.dtype == np.uint16
            return replace(
                sheet,
                values=_lengths(sheet.values),
                unit=unit or (Unit.METRE if is_kitti else None),
                relative=facts.get("kind") == DepthKind.RELATIVE or unit is Unit.ONE,
            )


def _flat(numbers: NDArray[np.generic]) -> NDArray[np.generic]:
    if numbers.ndim != 2:
        raise ValueError(f"is an array of shape {numbers.shape}, not of one band")
    return numbers


def _whole(numbers: NDArray[np.generic]) -> I64:
    flat = _flat(numbers)
    if flat.dtype.kind not in "bui":
        raise ValueError(f"holds {flat.dtype}, not whole numbers")
    return flat.astype(np.int64)


def _class_ids(numbers: NDArray[np.generic]) -> U8:
    if numbers.dtype == np.uint8:
        return np.array(_flat(numbers), np.uint8)
    whole = _whole(numbers)
    ids = np.where(whole < 0, NO_CLASS, whole)
    if ids.max(initial=0) > NO_CLASS:
        raise ValueError(f"holds {int(ids.max())}, which is no class id (0..{NO_CLASS})")
    return ids.astype(np.uint8)


def _lengths(numbers: NDArray[np.generic]) -> F32:
    """Floats as they are, infinities unknown; 16 bits as KITTI has them, 1/256 m and 0 for unknown."""
    flat = _flat(numbers)
    if flat.dtype == np.uint16:
        return np.where(flat == 0, np.nan, flat.astype(np.float32) / _KITTI).astype(np.float32)
    if flat.dtype.kind != "f":
        raise ValueError(f"holds {flat.dtype}; depth is float, or 16 bit as metres * {_KITTI}")
    values = flat.astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    return values


def _normals(numbers: NDArray[np.generic]) -> F32:
    if numbers.dtype == np.uint8 and numbers.ndim == 3 and numbers.shape[-1] == 3:
        return codec.decode_normals_u8(numbers.astype(np.uint8)).xyz
    if numbers.ndim != 3 or numbers.dtype.kind != "f" or 3 not in (numbers.shape[0], numbers.shape[-1]):
        raise ValueError(f"is an array {numbers.dtype}{numbers.shape}, not of three floats a pixel")
    planes = numbers if numbers.shape[0] == 3 else np.moveaxis(numbers, -1, 0)
    return np.nan_to_num(planes.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def _share(numbers: NDArray[np.generic]) -> F32:
    flat = _flat(numbers)
    most = 2 ** (8 * flat.dtype.itemsize) - 1 if flat.dtype.kind == "u" else 1
    values: F32 = np.nan_to_num(flat.astype(np.float32) / np.float32(most))
    if values.min(initial=0) < 0 or values.max(initial=0) > 1:
        raise ValueError("holds confidences outside 0..1")
    return values
