"""A slice of a made-up body: tissues painted as warped ellipses in millimetres, and its exact geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from banana_cli.classes import MEDICAL
from banana_cli.types import F32, NO_CLASS, U8, Bool

from .aerial_noise import fbm, smooth_noise


class Tissue(IntEnum):
    """What a point of the body is made of; finer than the classes."""

    OUTSIDE = 0
    FOAM = 1
    TABLE = 2
    SKIN = 3
    FAT = 4
    FASCIA = 5
    MUSCLE = 6
    LIVER = 7
    SPLEEN = 8
    KIDNEY = 9
    BOWEL = 10
    FLUID = 11
    GAS = 12
    LUNG = 13
    BLOOD = 14
    CORTEX = 15
    SPONGIOSA = 16
    MARROW = 17
    GREY = 18
    WHITE = 19
    MYOCARD = 20
    POOL = 21
    PAPILLARY = 22
    RIGHT_POOL = 23
    TUMOUR = 24
    NECROSIS = 25


_CT_NAMES: dict[Tissue, str] = {
    **dict.fromkeys((Tissue.OUTSIDE, Tissue.FOAM, Tissue.GAS), "air"),
    **dict.fromkeys((Tissue.FAT, Tissue.FASCIA, Tissue.MARROW), "fat"),
    **dict.fromkeys((Tissue.CORTEX, Tissue.SPONGIOSA), "bone"),
    **dict.fromkeys((Tissue.TUMOUR, Tissue.NECROSIS), "tumour"),
    Tissue.LUNG: "lung",
}
_MR_NAMES: dict[Tissue, str] = {
    **dict.fromkeys(
        (Tissue.OUTSIDE, Tissue.FOAM, Tissue.TABLE, Tissue.GAS, Tissue.LUNG),
        "background",
    ),
    **dict.fromkeys((Tissue.FAT, Tissue.FASCIA), "fat"),
    **dict.fromkeys((Tissue.CORTEX, Tissue.SPONGIOSA, Tissue.MARROW), "bone"),
    **dict.fromkeys((Tissue.TUMOUR, Tissue.NECROSIS), "tumour"),
    **dict.fromkeys((Tissue.POOL, Tissue.PAPILLARY), "left ventricle"),
}


def _table(names: dict[Tissue, str]) -> U8:
    return np.array([MEDICAL.id_of(names.get(t, "soft tissue")) for t in Tissue], np.uint8)


CT_IDS = _table(_CT_NAMES)
CT_IDS[Tissue.TABLE] = NO_CLASS  # its density is that of fat or muscle: nothing to learn from
MR_IDS = _table(_MR_NAMES)
_HARD = (
    Tissue.OUTSIDE,
    Tissue.FOAM,
    Tissue.TABLE,
    Tissue.SKIN,
    Tissue.CORTEX,
    Tissue.SPONGIOSA,
    Tissue.MARROW,
)
_SOFT = tuple(t for t in Tissue if t not in _HARD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oval:
    """An ellipse (or, ``square``, a superellipse of power 4) in millimetres; ``turn`` radians."""

    x: float
    y: float
    a: float
    b: float
    turn: float = 0.0
    square: bool = False

    def grown(self, by: float) -> Oval:
        """The same shape with both half axes longer by ``by`` mm."""
        return Oval(
            x=self.x,
            y=self.y,
            a=max(0.3, self.a + by),
            b=max(0.3, self.b + by),
            turn=self.turn,
            square=self.square,
        )

    def at(self, u: float, v: float) -> tuple[float, float]:
        """Point at (u, v) of the half axes, in mm."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        return (self.x + u * self.a * cos - v * self.b * sin, self.y + u * self.a * sin + v * self.b * cos)


@dataclass(slots=True, kw_only=True, eq=False)
class Slice:
    """A slice while it is painted: ``x``, ``y`` (H, W) warped millimetres, ``tissue`` and ``body`` (H, W)."""

    rng: Generator
    pitch: float
    origin: tuple[float, float]
    turn: float
    slack: float
    x: F32
    y: F32
    tissue: U8
    body: Bool

    def window(self, shape: Oval) -> tuple[slice, slice]:
        """Rows and columns that can hold the shape."""
        h, w = self.tissue.shape
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        px, py = cos * shape.x - sin * shape.y, sin * shape.x + cos * shape.y
        reach = max(shape.a, shape.b) * (1.1 if not shape.square else 1.25) + self.slack
        left, top = (px - reach - self.origin[0]) / self.pitch, (py - reach - self.origin[1]) / self.pitch
        side = 2 * reach / self.pitch + 2
        rows = slice(min(h, max(0, int(top))), min(h, max(0, int(top + side))))
        return rows, slice(min(w, max(0, int(left))), min(w, max(0, int(left + side))))

    def level(self, shape: Oval, window: tuple[slice, slice]) -> F32:
        """1 at the centre, 0 on the outline, negative outside; of the window."""
        cos, sin = np.float32(math.cos(shape.turn)), np.float32(math.sin(shape.turn))
        dx, dy = self.x[window] - np.float32(shape.x), self.y[window] - np.float32(shape.y)
        u, v = (dx * cos + dy * sin) / np.float32(shape.a), (dy * cos - dx * sin) / np.float32(shape.b)
        u, v = u * u, v * v
        out = 1 - (u * u + v * v if shape.square else u + v)
        return out.astype(np.float32, copy=False)

    def paint(self, shape: Oval, tissue: Tissue, only: tuple[Tissue, ...] = ()) -> None:
        """Fill the shape with a tissue, where now one of ``only`` is (if empty: anything below the skin)."""
        window = self.window(shape)
        part = self.tissue[window]
        if part.size == 0:
            return
        on = self.level(shape, window) > 0
        if only:
            on &= np.isin(part, only)
        else:
            on &= self.body[window] & (part != Tissue.SKIN)
        part[on] = tissue

    def outline(self, shape: Oval, skin_mm: float) -> None:
        """A new part of the body: skin outside, fat inside."""
        window = self.window(shape)
        if self.tissue[window].size == 0:
            return
        on = self.level(shape, window) > 0
        self.body[window] |= on
        part = self.tissue[window]
        part[on & (part <= Tissue.TABLE)] = Tissue.SKIN
        inner = self.level(shape.grown(-skin_mm), window) > 0
        part[inner] = Tissue.FAT

    def bone(self, shape: Oval, wall: float, core: Tissue) -> None:
        """Cortical bone around ``core``."""
        self.paint(shape, Tissue.CORTEX)
        self.paint(shape.grown(-wall), core)

    def muscles(self, region: Oval, count: int, gap: float) -> None:
        """Fill a region with muscles parted by thin fat: cells of the nearest of ``count`` random centres."""
        window = self.window(region)
        if self.tissue[window].size == 0:
            return
        on = self.level(region, window) > 0
        first = np.full(on.shape, 1e9, np.float32)
        second = first.copy()
        for u, v in self.rng.uniform(-0.95, 0.95, (count, 2)):
            px, py = region.at(float(u), float(v))
            d = np.hypot(self.x[window] - np.float32(px), self.y[window] - np.float32(py))
            np.minimum(second, np.maximum(first, d), out=second)
            np.minimum(first, d, out=first)
        self.tissue[window][on] = Tissue.FASCIA
        self.tissue[window][on & (second - first > gap)] = Tissue.MUSCLE


def blank(
    rng: Generator,
    shape: tuple[int, int],
    pitch: float,
    *,
    centre: tuple[float, float] = (0.0, 0.0),
    turn: float = 0.0,
    warp: bool = True,
) -> Slice:
    """An empty slice: (x, y) mm of the body's frame at each pixel, shifted, turned and gently warped."""
    height, width = shape
    origin = (centre[0] - (width - 1) / 2 * pitch, centre[1] - (height - 1) / 2 * pitch)
    px = (np.arange(width, dtype=np.float32) * np.float32(pitch) + np.float32(origin[0]))[None]
    py = (np.arange(height, dtype=np.float32) * np.float32(pitch) + np.float32(origin[1]))[:, None]
    cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    extent = max(height, width) * pitch
    amount = np.float32(extent * rng.uniform(0.004, 0.014) * warp)
    cell = float(rng.uniform(0.12, 0.3)) * max(height, width)
    x = cos * px + sin * py + amount * fbm(rng, height, width, cell, 3, 0.4)
    y = cos * py - sin * px + amount * fbm(rng, height, width, cell, 3, 0.4)
    return Slice(
        rng=rng,
        pitch=pitch,
        origin=origin,
        turn=turn,
        slack=float(amount) * 4,
        x=x,
        y=y,
        tissue=np.zeros((height, width), np.uint8),
        body=np.zeros((height, width), bool),
    )


def tumour(s: Slice, where: Oval) -> None:
    """A lobed mass, sometimes with a fluid core; displaces soft tissue, not bone."""
    s.paint(where, Tissue.TUMOUR, _SOFT)
    for _ in range(int(s.rng.integers(0, 4))):
        angle, share = float(s.rng.uniform(0, 6.283)), float(s.rng.uniform(0.35, 0.7))
        x, y = where.at(0.7 * math.cos(angle), 0.7 * math.sin(angle))
        s.paint(Oval(x=x, y=y, a=where.a * share, b=where.b * share, turn=angle), Tissue.TUMOUR, _SOFT)
    if s.rng.random() < 0.4:
        s.paint(where.grown(-0.5 * min(where.a, where.b)), Tissue.NECROSIS, (Tissue.TUMOUR,))


def septa(s: Slice) -> None:
    """Fine threads in fat and streaks of fat in muscle (thin level sets of noise)."""
    h, w = s.tissue.shape
    thread = np.abs(smooth_noise(s.rng, h, w, max(3.0, 9 / s.pitch)))
    if s.rng.random() < 0.6:
        s.tissue[(s.tissue == Tissue.FAT) & (thread < 0.03) & s.body] = Tissue.SKIN
    streak = np.abs(fbm(s.rng, h, w, max(4.0, 22 / s.pitch), 2))
    s.tissue[(s.tissue == Tissue.MUSCLE) & (streak < s.rng.uniform(0, 0.045))] = Tissue.FASCIA


def skin_depth(body: Bool, pitch: float) -> F32:
    """Depth below the skin in mm (H, W), NaN outside the body (or everywhere, if no skin is in sight).

    Exact Euclidean distance to the nearest pixel outside, less half a pixel: the skin lies between.
    """
    if body.all():
        return np.full(body.shape, np.nan, np.float32)
    distance: F32 = cv2.distanceTransform(body.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # squares are whole numbers: rounding them makes the result the same on every run of OpenCV's threads
    distance = np.sqrt(np.rint(distance * distance))
    out = np.where(body, (distance - np.float32(0.5)) * np.float32(pitch), np.float32(np.nan))
    return out.astype(np.float32)


def grown_mask(mask: Bool, size: int) -> Bool:
    """The mask grown by ``size`` pixels."""
    kernel = np.ones((2 * size + 1, 2 * size + 1), np.uint8)
    out: NDArray[np.uint8] = cv2.dilate(mask.astype(np.uint8), kernel)
    return out.astype(bool)
