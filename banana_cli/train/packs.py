"""Loaders of the real labelled packs: files below ``shared/data`` -> records in one form.

Pictures are kept as uint8, since all packs together must stay in memory while a training run draws
crops; scans are windowed (CT) or scaled per volume (MR) before that. Label ids are checked on reading.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from banana_cli.classes import AERIAL, MEDICAL, STREET, possible_ids
from banana_cli.errors import InputError
from banana_cli.metrics.masks import Sets
from banana_cli.train.splits import Pack, group_of
from banana_cli.types import F32, NO_CLASS, U8, U16, Bool, Modality, ShapeError

I8 = NDArray[np.int8]
F16 = NDArray[np.float16]
NAN = math.nan

CT_WINDOWS = ((40.0, 400.0), (-600.0, 1500.0), (300.0, 1500.0))  # (centre, width) in HU, one a channel
_CT_OFFSET = 1024
_BODY_ABOVE = -300.0  # HU: everything denser than this belongs to the body
_MR_RANGE = (1.0, 99.5)  # percentiles of a volume that become 0 and 1
_EMPTY_BELOW = 2.0  # standard deviation of 255: a slice beside the body, noise at most
_DUBAI_PITCH = 1.0  # metres, "about 1 m" by its pack.json


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """One labelled picture at its own size, real or rendered.

    ``pixels`` (H, W, 3) uint8 (RGB or three views, 255 = 1.0); ``label`` (H, W) uint8 indexes
    ``sets``, 255 = ignore; ``depth`` (H, W) float16 or float32 in m or mm, NaN where undefined, None =
    no depth at all; ``normals`` (H, W, 3) int8, 127 = 1.0, (0, 0, 0) undefined, None = none at all;
    ``valid`` (H, W) False on nodata, None = all valid; ``instances`` (H, W) uint16 numbers the countable
    things, 0 elsewhere, None = nobody has counted. ``focal_px`` and ``pitch`` (m or mm per pixel)
    NaN where unknown; ``centre`` (x, y) principal point, None = the middle.
    """

    name: str
    pack: str
    group: str
    modality: Modality
    pixels: U8
    label: U8
    sets: Sets
    depth: F32 | F16 | None = None
    normals: I8 | None = None
    valid: Bool | None = None
    focal_px: float = NAN
    pitch: float = NAN
    centre: tuple[float, float] | None = None
    instances: U16 | None = None

    def __post_init__(self) -> None:
        shape = self.label.shape
        fits = (
            self.pixels.shape == (*shape, 3)
            and (self.depth is None or self.depth.shape == shape)
            and (self.normals is None or self.normals.shape == (*shape, 3))
            and (self.valid is None or self.valid.shape == shape)
            and (self.instances is None or self.instances.shape == shape)
        )
        if not fits or self.pixels.dtype != np.uint8 or self.label.dtype != np.uint8:
            raise ShapeError(f"Record {self.name}: arrays do not fit a label of {shape}")

    @property
    def image(self) -> F32:
        """(3, H, W) float32 in [0, 1]."""
        return np.ascontiguousarray(self.pixels.transpose(2, 0, 1), np.float32) / np.float32(255)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return (int(self.label.shape[0]), int(self.label.shape[1]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthFrame:
    """A real frame with sparse metric depth, for evaluation only.

    ``image`` (3, H, W) float32 in [0, 1]; ``depth`` (H, W) metres, NaN where not measured;
    ``focal_px`` horizontal focal length; ``centre`` (x, y).
    """

    name: str
    image: F32
    depth: F32
    focal_px: float
    centre: tuple[float, float]


def _others(modality: Modality, *names: str) -> tuple[int, ...]:
    """All classes the modality can hold but these: what a pack's "other" may mean."""
    excluded = {MEDICAL.id_of(n) for n in names}
    return tuple(i for i in possible_ids(modality) if i not in excluded)


def _medical(*names: str) -> tuple[int, ...]:
    return tuple(MEDICAL.id_of(n) for n in names)


def _aerial(*names: str) -> tuple[int, ...]:
    return tuple(AERIAL.id_of(n) for n in names)


STREET_SETS: Sets = tuple((c.id,) for c in STREET.classes)
CARDIAC_SETS: Sets = (_others(Modality.MR, "left ventricle"), _medical("left ventricle"))
MR_TUMOUR_SETS: Sets = (_others(Modality.MR, "tumour"), _medical("tumour"))
CT_SETS: Sets = (
    _medical("air", "lung"),
    _medical("fat"),
    _medical("soft tissue"),
    _medical("bone"),
    _medical("tumour"),
)
CHEST_SETS: Sets = (_medical("background"), _medical("lung"))
ULTRASOUND_SETS: Sets = (_medical("background"), _medical("nerve"), _medical("vessel"))
FUNDUS_SETS: Sets = (_medical("background"), _medical("vessel"))
# The pack draws no vehicles: those on a road lie inside its road label.
AERIAL_SETS: Sets = (
    _aerial("building"),
    _aerial("land"),
    _aerial("road", "vehicle"),
    _aerial("vegetation"),
    _aerial("water"),
)


def _read(path: Path, flags: int) -> NDArray[np.generic]:
    try:
        array = cv2.imread(str(path), flags)
    except cv2.error:
        array = None
    if array is None:
        raise InputError("not a readable picture", subject=str(path), remedy="restore the pack")
    return cast(NDArray[np.generic], array)


def read_rgb(path: Path) -> U8:
    """(H, W, 3) uint8 RGB; InputError if it is not a picture."""
    return cast(U8, cv2.cvtColor(_read(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def _label(path: Path, classes: int, *, ignore: int | None = None) -> U8:
    raw = _read(path, cv2.IMREAD_UNCHANGED)
    if raw.ndim != 2 or raw.dtype != np.uint8:
        raise InputError("labels must be one band of 8 bit", subject=str(path), remedy="restore the pack")
    label = cast(U8, raw)
    foreign = (label >= classes) & (label != NO_CLASS)
    if foreign.any():
        raise InputError(
            f"label {int(label[foreign][0])} is outside 0..{classes - 1}",
            subject=str(path),
            remedy="restore the pack",
        )
    return label if ignore is None else np.where(label == ignore, np.uint8(NO_CLASS), label)


def _pairs(folder: Path) -> list[tuple[str, Path, Path]]:
    """(stem, picture, label) of every label, sorted; InputError where a picture is missing."""
    images = {p.stem: p for p in (folder / "images").iterdir() if p.suffix in (".jpg", ".png")}
    labels = sorted((folder / "labels").glob("*.png"))
    missing = [p.stem for p in labels if p.stem not in images]
    if missing or not labels:
        raise InputError(
            f"no picture for label {missing[0]}" if missing else "no labels here",
            subject=str(folder),
            remedy="restore the pack",
        )
    return [(p.stem, images[p.stem], p) for p in labels]


def _colour(
    data: Path, pack: Pack, modality: Modality, sets: Sets, *, zero_ignored: bool = False, pitch: float = NAN
) -> tuple[Record, ...]:
    records = []
    for stem, picture, label_path in _pairs(data / pack.value):
        label = _label(label_path, len(sets) + zero_ignored, ignore=0 if zero_ignored else None)
        if zero_ignored:
            label = np.where(label == NO_CLASS, label, label - np.uint8(1)).astype(np.uint8)
        record = Record(
            name=stem,
            pack=pack.value,
            group=group_of(pack, stem),
            modality=modality,
            pixels=read_rgb(picture),
            label=label,
            sets=sets,
            pitch=pitch,
        )
        records.append(record)
    return tuple(records)


def load_street(data: Path) -> tuple[Record, ...]:
    """roadwork_labels: dashcam frames, 20 classes, focal length unknown; group = city."""
    return _colour(data, Pack.STREET, Modality.STREET, STREET_SETS)


def load_chest(data: Path) -> tuple[Record, ...]:
    """chest_xray: lung or background; group = patient."""
    return _colour(data, Pack.CHEST, Modality.XRAY, CHEST_SETS)


def load_ultrasound(data: Path) -> tuple[Record, ...]:
    """ultrasound: background, nerve, vessel; group = block of names (see ``splits``)."""
    return _colour(data, Pack.ULTRASOUND, Modality.ULTRASOUND, ULTRASOUND_SETS)


def load_fundus(data: Path) -> tuple[Record, ...]:
    """fundus: vessel or background; group = child."""
    return _colour(data, Pack.FUNDUS, Modality.VISIBLE, FUNDUS_SETS)


def load_aerial(data: Path) -> tuple[Record, ...]:
    """aerial_dubai: five classes, 0 ignored, about 1 m per pixel; group = overlap group."""
    return _colour(data, Pack.AERIAL, Modality.AERIAL, AERIAL_SETS, zero_ignored=True, pitch=_DUBAI_PITCH)


def scale_mr(values: NDArray[np.generic], low: float, high: float) -> U8:
    """Three equal views (H, W, 3) of MR values; ``low`` becomes 0 and ``high`` 255."""
    unit = (values.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1e-6))
    grey = np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _mr_range(slices: list[NDArray[np.generic]]) -> tuple[float, float]:
    values = np.concatenate([s[::2, ::2].ravel() for s in slices])
    low, high = np.percentile(values, _MR_RANGE)
    return float(low), float(high)


def _read_grey(path: Path) -> NDArray[np.generic]:
    """(H, W) of any depth of bits; InputError if it has more bands."""
    values = _read(path, cv2.IMREAD_UNCHANGED)
    if values.ndim != 2:
        raise InputError("a scan must be one band", subject=str(path), remedy="restore the pack")
    return values


def load_cardiac(data: Path) -> tuple[Record, ...]:
    """cardiac_mr: left ventricle or any other MR class; scaled per patient; group = patient."""
    return _mr(data, Pack.CARDIAC, CARDIAC_SETS, {})


def _mr(
    data: Path, pack: Pack, sets: Sets, spacing: Mapping[str, float], only: str = ""
) -> tuple[Record, ...]:
    volumes: dict[str, list[tuple[str, NDArray[np.generic], U8]]] = defaultdict(list)
    for stem, picture, label_path in _pairs(data / pack.value):
        if only in stem:
            slice_ = (stem, _read_grey(picture), _label(label_path, len(sets)))
            volumes[group_of(pack, stem)].append(slice_)
    records = []
    for group, slices in volumes.items():
        low, high = _mr_range([values for _, values, _ in slices])
        for stem, values, label in slices:
            pixels = scale_mr(values, low, high)
            if pixels.std() < _EMPTY_BELOW:
                continue
            record = Record(
                name=stem,
                pack=pack.value,
                group=group,
                modality=Modality.MR,
                pixels=pixels,
                label=label,
                sets=sets,
                pitch=spacing.get(stem, NAN),
            )
            records.append(record)
    return tuple(records)


def window_ct(hu: F32) -> U8:
    """(H, W, 3) uint8: the three windows of ``CT_WINDOWS``."""
    views = [np.clip((hu - (c - w / 2)) / w, 0, 1) for c, w in CT_WINDOWS]
    return cast(U8, np.rint(np.stack(views, axis=-1) * 255).astype(np.uint8))


def ct_label(hu: F32, tumour: Bool) -> U8:
    """Index into ``CT_SETS``: tissues by their HU, the outline over them, 255 between the ranges."""
    label = np.full(hu.shape, NO_CLASS, np.uint8)
    label[hu < -500] = 0
    label[(hu >= -190) & (hu <= -30)] = 1
    label[(hu >= -29) & (hu <= 150)] = 2
    label[hu > 200] = 3
    label[tumour] = 4
    return label


def body_mask(hu: F32) -> Bool:
    """The body: largest connected part above -300 HU with its holes filled; all False if none."""
    dense = (hu > _BODY_ABOVE).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(dense, connectivity=4)
    if count < 2:
        return np.zeros(hu.shape, np.bool_)
    body = (parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    outside = 1 - np.pad(body, 1)  # the frame joins all outer air, so that only holes are other parts
    _, air = cv2.connectedComponents(outside, connectivity=4)
    return cast(Bool, (air != air[0, 0])[1:-1, 1:-1])


def _distance(inside: U8, pitch: float) -> F32:
    found = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return cast(F32, found * np.float32(pitch))


def depth_below_skin(hu: F32, pitch: float) -> F32:
    """(H, W) mm from each body pixel to the nearest one outside, NaN elsewhere.

    Where the picture cuts the body, the skin may lie beyond the edge: a depth greater than the way to
    the cut edge is not known, hence NaN.
    """
    body = body_mask(hu)
    if body.all() or not body.any():
        return np.full(hu.shape, np.nan, np.float32)
    depth = _distance(body.astype(np.uint8), pitch)
    cut = np.ones_like(body)
    cut[0], cut[-1], cut[:, 0], cut[:, -1] = ~body[0], ~body[-1], ~body[:, 0], ~body[:, -1]
    to_cut = _distance(cut.astype(np.uint8), pitch) if not cut.all() else np.float32(np.inf)
    return np.where(body & (depth <= to_cut), depth, np.float32(np.nan)).astype(np.float32)


def _spacing(folder: Path) -> dict[str, float]:
    raw = json.loads((folder / "slices.json").read_text(encoding="utf-8"))
    return {stem: float(facts["spacing_mm"][0]) for stem, facts in raw.items()}


def _ct_record(stem: str, picture: Path, label_path: Path, pitch: float) -> Record:
    hu = _read_grey(picture).astype(np.float32) - _CT_OFFSET
    tumour = _label(label_path, 2) == 1
    return Record(
        name=stem,
        pack=Pack.BODY.value,
        group=group_of(Pack.BODY, stem),
        modality=Modality.CT,
        pixels=window_ct(hu),
        label=ct_label(hu, tumour),
        sets=CT_SETS,
        depth=depth_below_skin(hu, pitch),
        pitch=pitch,
    )


def load_body(data: Path) -> tuple[Record, ...]:
    """body_ct_mr: CT slices with tissues by HU, tumour and depth below the skin; MR with tumour."""
    spacing = _spacing(data / Pack.BODY.value)
    pairs = [p for p in _pairs(data / Pack.BODY.value) if "_ct_" in p[0]]
    scans = tuple(_ct_record(stem, picture, label, spacing[stem]) for stem, picture, label in pairs)
    return scans + _mr(data, Pack.BODY, MR_TUMOUR_SETS, spacing, only="_mr_")


LOADERS: dict[Pack, Callable[[Path], tuple[Record, ...]]] = {
    Pack.STREET: load_street,
    Pack.CARDIAC: load_cardiac,
    Pack.BODY: load_body,
    Pack.CHEST: load_chest,
    Pack.ULTRASOUND: load_ultrasound,
    Pack.FUNDUS: load_fundus,
    Pack.AERIAL: load_aerial,
}


def load_all(data: Path) -> dict[Pack, tuple[Record, ...]]:
    """Every pack below ``data`` (the folder ``shared/data``), unsplit; about 0.7 GB."""
    return {pack: load(data) for pack, load in LOADERS.items()}


def load_depth_check(data: Path) -> tuple[DepthFrame, ...]:
    """The six LiDAR frames: for evaluation only, never for training."""
    folder = data / "driving" / "depth_check"
    intrinsics = json.loads((folder / "intrinsics.json").read_text(encoding="utf-8"))
    return tuple(_depth_frame(folder, stem, camera) for stem, camera in sorted(intrinsics.items()))


def _depth_frame(folder: Path, stem: str, camera: Mapping[str, float]) -> DepthFrame:
    raw = _read(folder / "depth" / f"{stem}.png", cv2.IMREAD_UNCHANGED)
    metres = raw.astype(np.float32) / np.float32(camera["depth_scale"])
    rgb = read_rgb(folder / "images" / f"{stem}.jpg")
    return DepthFrame(
        name=stem,
        image=np.ascontiguousarray(rgb.transpose(2, 0, 1), np.float32) / np.float32(255),
        depth=np.where(raw == 0, np.float32(np.nan), metres).astype(np.float32),
        focal_px=float(camera["fx"]),
        centre=(float(camera["cx"]), float(camera["cy"])),
    )
