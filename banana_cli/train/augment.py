"""One labelled picture -> one crop at network resolution, picture and truth moved by one and the same map.

The whole geometry of a crop is a similarity (scale, turn, mirror, shift): a pinhole camera seen through
it is again a pinhole camera, so focal length, principal point and normals follow exactly, and depth
along the axis does not change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import EllipsisType
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from banana_cli.train.example import UNCOUNTED, Example
from banana_cli.train.packs import Record
from banana_cli.train.photometric import Random, change_photometry
from banana_cli.types import F32, F64, NO_CLASS, U8, U16, Bool, Modality

NETWORK_LONG = 512  # a frame's long side at network resolution, in pixels
_NAN = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a modality's pictures may be moved.

    ``scale`` bounds the log-uniform jitter; where ``long_side`` is set the picture's long side is first
    brought to that many pixels. ``turn_deg`` bounds a small turn, taken with chance ``turn_chance``;
    ``square`` allows all eight mirrors and quarter turns, else only the left-right mirror.
    """

    scale: tuple[float, float]
    long_side: int | None
    turn_deg: float
    turn_chance: float
    square: bool


_STREET = Recipe(scale=(0.6, 1.5), long_side=NETWORK_LONG, turn_deg=3.0, turn_chance=0.25, square=False)
_SCAN = Recipe(scale=(0.6, 1.05), long_side=NETWORK_LONG, turn_deg=20.0, turn_chance=0.4, square=True)
_UPRIGHT = Recipe(scale=(0.6, 1.05), long_side=NETWORK_LONG, turn_deg=8.0, turn_chance=0.4, square=False)
RECIPES: dict[Modality, Recipe] = {
    Modality.STREET: _STREET,
    Modality.AERIAL: Recipe(scale=(0.5, 2.0), long_side=None, turn_deg=45.0, turn_chance=0.3, square=True),
    Modality.CT: _SCAN,
    Modality.MR: _SCAN,
    Modality.VISIBLE: _SCAN,
    Modality.XRAY: _UPRIGHT,
    Modality.ULTRASOUND: _UPRIGHT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentOptions:
    """What a crop may go through; the defaults are those of training."""

    size: int = 256
    photometric: bool = True
    geometric: bool = True
    hide_focal: float = 0.3
    hide_pitch: float = 0.2
    seek_label: float = 0.5  # chance that the crop is centred on a class drawn evenly from those present
    strong: bool = False  # harder changes of colour, and parts of another crop, for labels of a teacher


PLAIN = AugmentOptions(photometric=False, hide_focal=0.0, hide_pitch=0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Similarity:
    """out = ``linear`` @ (x, y) + ``shift``; ``linear`` (2, 2) is ``scale`` times a turn or mirror."""

    linear: F64
    shift: F64

    @property
    def scale(self) -> float:
        """Output pixels per source pixel."""
        return math.sqrt(abs(float(np.linalg.det(self.linear))))

    @property
    def turn(self) -> F64:
        """The (2, 2) orthogonal part."""
        return self.linear / self.scale

    def apply(self, points: F64) -> F64:
        """(..., 2) source points (x, y) -> output points."""
        return points @ self.linear.T + self.shift

    def source_box(self, size: int, shape: tuple[int, int]) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the source pixels that the output square needs, inside ``shape``."""
        corners = np.array([[0, 0], [0, size], [size, 0], [size, size]], np.float64) - 0.5
        back = (corners - self.shift) @ np.linalg.inv(self.linear).T
        low = np.floor(back.min(axis=0)).astype(int) - 2
        high = np.ceil(back.max(axis=0)).astype(int) + 3
        left, top = (int(np.clip(v, 0, n - 1)) for v, n in zip(low, shape[::-1], strict=True))
        right, bottom = (int(np.clip(v, 1, n)) for v, n in zip(high, shape[::-1], strict=True))
        return left, top, max(right, left + 1), max(bottom, top + 1)


def _choose_linear(recipe: Recipe, shape: tuple[int, int], rng: Random) -> F64:
    base = recipe.long_side / max(shape) if recipe.long_side else 1.0
    scale = base * math.exp(rng.uniform(math.log(recipe.scale[0]), math.log(recipe.scale[1])))
    angle = 0.0
    if rng.random() < recipe.turn_chance:
        angle = math.radians(rng.uniform(-recipe.turn_deg, recipe.turn_deg))
    linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    mirror_x, mirror_y, swap = (rng.random(3) < 0.5).tolist()
    linear = np.diag([-1.0 if mirror_x else 1.0, -1.0 if mirror_y and recipe.square else 1.0]) @ linear
    return linear[::-1].copy() if swap and recipe.square else linear


def _sought_point(label: U8, rng: Random) -> F64 | None:
    """A pixel (x, y) of a class drawn evenly from those in a coarse look at the label."""
    step = 4
    coarse = label[step // 2 :: step, step // 2 :: step]
    present = np.flatnonzero(np.bincount(coarse.ravel(), minlength=256)[:NO_CLASS])
    if present.size == 0:
        return None
    where = np.flatnonzero(coarse.ravel() == rng.choice(present))
    row, col = divmod(int(rng.choice(where)), coarse.shape[1])
    return np.array([col, row], np.float64) * step + step // 2


def _choose_shift(linear: F64, record: Record, size: int, seek: bool, rng: Random) -> F64:
    """A shift that keeps the (unturned) square inside the picture, or the picture inside the square.

    A sought pixel comes to lie in the middle half of the square as far as that allows.
    """
    extent = np.array(record.shape[::-1], np.float64)
    half = size / 2 / math.sqrt(abs(float(np.linalg.det(linear))))
    bounds = np.sort(np.stack([half - 0.5 + 0 * extent, extent - half - 0.5]), axis=0)
    centre = bounds[0] + rng.random(2) * (bounds[1] - bounds[0])
    point = _sought_point(record.label, rng) if seek else None
    if point is not None:
        sought = np.clip(point + rng.uniform(-0.5, 0.5, 2) * half, *bounds)
        centre = np.where(extent > 2 * half, sought, centre)
    return cast(F64, (size - 1) / 2 - linear @ centre)


def choose_similarity(record: Record, options: AugmentOptions, rng: Random) -> Similarity:
    """Draw the map of one crop."""
    if not options.geometric:
        return fit_similarity(record.shape, options.size)
    linear = _choose_linear(RECIPES[record.modality], record.shape, rng)
    seek = rng.random() < options.seek_label
    return Similarity(linear=linear, shift=_choose_shift(linear, record, options.size, seek, rng))


def fit_similarity(shape: tuple[int, int], size: int) -> Similarity:
    """The whole picture, scaled to fit, in the middle of the square."""
    scale = size / max(shape)
    middle = (np.array(shape[::-1], np.float64) - 1) / 2
    return Similarity(linear=np.eye(2) * scale, shift=(size - 1) / 2 - scale * middle)


def warp_pixels(pixels: U8, move: Similarity, size: int) -> U8:
    """(size, size, 3): averaged over areas where it shrinks, bilinear where it grows, 0 outside."""
    left, top, right, bottom = move.source_box(size, pixels.shape[:2])
    part = pixels[top:bottom, left:right]
    linear, corner = move.linear, np.array([left, top], np.float64)
    shift = move.shift + linear @ corner
    if move.scale < 0.99:
        wide, high = (max(1, round(n * move.scale)) for n in part.shape[1::-1])
        ratio = np.array([part.shape[1] / wide, part.shape[0] / high])
        part = cv2.resize(part, (wide, high), interpolation=cv2.INTER_AREA)
        shift = shift + linear @ ((ratio - 1) / 2)  # pixel centres of the shrunken part
        linear = linear * ratio
    matrix = np.column_stack([linear, shift])
    flags = cv2.INTER_LINEAR
    border = cv2.BORDER_REPLICATE  # no dark fringe at the picture's edge; ``valid`` cuts it after
    return cast(U8, cv2.warpAffine(part, matrix, (size, size), flags=flags, borderMode=border))


@dataclass(frozen=True, slots=True, eq=False)
class NearestIndex:
    """For each output pixel the one source pixel whose truth it takes: truth is never mixed."""

    flat: NDArray[np.int64]
    inside: Bool

    def take(self, array: NDArray[np.generic], fill: float) -> NDArray[np.generic]:
        """(H, W, ...) -> (size, size, ...), ``fill`` outside the picture."""
        found = np.take(array.reshape(array.shape[0] * array.shape[1], *array.shape[2:]), self.flat, axis=0)
        found[~self.inside] = fill
        return found


def nearest_index(move: Similarity, size: int, shape: tuple[int, int]) -> NearestIndex:
    """Where each output pixel comes from."""
    back = np.linalg.inv(move.linear)
    along = np.arange(size, dtype=np.float64)
    start = -back @ move.shift
    x = np.floor(start[0] + back[0, 0] * along[None, :] + back[0, 1] * along[:, None] + 0.5)
    y = np.floor(start[1] + back[1, 0] * along[None, :] + back[1, 1] * along[:, None] + 0.5)
    inside = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
    flat = np.where(inside, y * shape[1] + x, 0).astype(np.int64)
    return NearestIndex(flat, inside)


def _normals(record: Record, move: Similarity, index: NearestIndex) -> F32:
    size = index.flat.shape
    if record.normals is None:
        return np.zeros((3, *size), np.float32)
    turned = np.eye(3, dtype=np.float32)
    turned[:2, :2] = move.turn
    # In OpenCV: plain products of (pixels, 3) and (3, 3) take ten times as long.
    taken = cv2.transform(index.take(record.normals, 0).astype(np.float32), turned)
    length = np.sqrt(cv2.transform(taken * taken, np.ones((1, 3), np.float32)))
    out = taken / np.maximum(length, 1)[..., None]
    return np.ascontiguousarray(out.transpose(2, 0, 1))


def rays_of(size: int, focal: float, centre: F64) -> F32:
    """(2, size, size) float32: ((x - cx) / f, (y - cy) / f)."""
    along = np.arange(size, dtype=np.float64)
    rays = np.empty((2, size, size), np.float32)
    rays[0] = ((along - centre[0]) / focal)[None, :]
    rays[1] = ((along - centre[1]) / focal)[:, None]
    return rays


def _centre(record: Record) -> F64:
    height, width = record.shape
    return np.array(record.centre or ((width - 1) / 2, (height - 1) / 2), np.float64)


def crop(record: Record, move: Similarity, options: AugmentOptions, rng: Random) -> Example:
    """The crop that ``move`` gives, with the photometry and the hidden facts drawn from ``rng``."""
    size = options.size
    index = nearest_index(move, size, record.shape)
    valid = index.inside
    if record.valid is not None:
        valid = index.take(record.valid, 0).astype(np.bool_)
    pixels = warp_pixels(record.pixels, move, size)
    if options.photometric:
        pixels = change_photometry(pixels, record.modality, rng, strong=options.strong)
    focal, pitch = record.focal_px * move.scale, record.pitch / move.scale
    hide_focal, hide_pitch = rng.random() < options.hide_focal, rng.random() < options.hide_pitch
    blind = hide_focal or not math.isfinite(focal)
    depth = np.full((size, size), np.nan, np.float32)
    if record.depth is not None:
        depth = index.take(record.depth, _NAN).astype(np.float32)
    image = np.divide(pixels.transpose(2, 0, 1), np.float32(255), dtype=np.float32, order="C")
    return Example(
        image=image * valid,
        valid=valid,
        rays=np.zeros((2, size, size), np.float32)
        if blind
        else rays_of(size, focal, move.apply(_centre(record))),
        label=np.where(valid, index.take(record.label, NO_CLASS), np.uint8(NO_CLASS)).astype(np.uint8),
        sets=record.sets,
        depth=np.where(valid, depth, np.float32(_NAN)),
        normals=_normals(record, move, index) * valid,
        modality=record.modality,
        focal_px=_NAN if blind else focal,
        true_focal_px=focal,
        pitch=_NAN if hide_pitch else pitch,
        source=f"{record.pack}/{record.name}",
        instances=_instances(record, index, valid),
    )


def _instances(record: Record, index: NearestIndex, valid: Bool) -> U16 | None:
    if record.instances is None:
        return None
    taken = index.take(record.instances, UNCOUNTED)
    taken[~valid] = UNCOUNTED
    return cast(U16, taken)


def augment(record: Record, rng: Random, options: AugmentOptions | None = None) -> Example:
    """One random crop of a record; the same ``rng`` state gives the same crop."""
    chosen = options or AugmentOptions()
    return crop(record, choose_similarity(record, chosen, rng), chosen, rng)


def cut_mix(example: Example, other: Example, rng: Random) -> Example:
    """A box of a fifth to a half of the picture is taken from ``other``, truth and all (French et al. 2020).

    Both must be crops of one size, one list of sets and an unseen camera; camera and ``source`` stay the
    first's, so the other's depth becomes what it would be through the first's lens.
    """
    other = replace(other, depth=other.depth * np.float32(example.true_focal_px / other.true_focal_px))
    size = np.array(example.label.shape)
    sides = np.sqrt(rng.uniform(0.2, 0.5) * np.exp(rng.uniform(-0.5, 0.5) * np.array([1, -1])))
    box = np.minimum(size, np.rint(sides * size)).astype(int)
    top, left = (rng.random(2) * (size - box + 1)).astype(int)
    here = (..., slice(top, top + box[0]), slice(left, left + box[1]))
    mixed = {name: getattr(example, name).copy() for name in _MAPS}
    for name, values in mixed.items():
        values[here] = getattr(other, name)[here]
    return replace(example, **mixed, instances=_mixed_instances(example, other, here))


def _mixed_instances(example: Example, other: Example, here: tuple[EllipsisType, slice, slice]) -> U16 | None:
    """The other's things get numbers that the first has not."""
    if example.instances is None and other.instances is None:
        return None
    nobody = np.full(example.label.shape, UNCOUNTED, np.uint16)
    first, second = (nobody if e.instances is None else e.instances for e in (example, other))
    used = int(first[first < UNCOUNTED].max(initial=0))
    moved = np.where((second > 0) & (second < UNCOUNTED - used), second + np.uint16(used), second)
    out = first.copy()
    out[here] = moved[here]
    return out


_MAPS = ("image", "valid", "label", "depth", "normals")


def whole(record: Record, size: int = NETWORK_LONG) -> Example:
    """The whole picture fitted into a square, nothing changed and nothing hidden: for validation."""
    options = AugmentOptions(size=size, photometric=False, geometric=False, hide_focal=0.0, hide_pitch=0.0)
    return augment(record, np.random.default_rng(0), options)
