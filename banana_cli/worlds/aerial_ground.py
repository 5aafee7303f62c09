"""Everything flat in an aerial scene: bare ground, grass, fields, water, streets, car parks."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from banana_cli.classes import AERIAL
from banana_cli.types import F32, U8, U16, Bool

from .aerial_geometry import coloured
from .aerial_noise import fbm, smooth_noise
from .aerial_plan import TABLE, Lattice, Place, Rgb, Style, tinted

BUILDING, LAND, ROAD, VEGETATION, WATER, VEHICLE = (
    AERIAL.id_of(n) for n in ("building", "land", "road", "vegetation", "water", "vehicle")
)
_WATER: tuple[Rgb, ...] = (
    (0.015, 0.02, 0.03),
    (0.01, 0.06, 0.035),
    (0.02, 0.02, 0.015),
    (0.06, 0.05, 0.02),
    (0.03, 0.07, 0.10),
    (0.05, 0.16, 0.18),
    (0.10, 0.11, 0.08),
    (0.03, 0.05, 0.03),
)
_KINDS = 6  # of crops, and as many of soils, in one scene
_CROPS: tuple[Rgb, ...] = (
    (0.17, 0.22, 0.08),
    (0.12, 0.17, 0.09),
    (0.03, 0.10, 0.05),
    (0.03, 0.09, 0.07),
    (0.07, 0.17, 0.06),
    (0.15, 0.30, 0.08),
    (0.30, 0.33, 0.13),
    (0.46, 0.41, 0.10),
    (0.22, 0.25, 0.16),
)
_SOILS: tuple[Rgb, ...] = (
    (0.70, 0.66, 0.56),
    (0.58, 0.50, 0.36),
    (0.45, 0.36, 0.26),
    (0.30, 0.23, 0.17),
    (0.20, 0.16, 0.13),
    (0.50, 0.45, 0.33),
    (0.60, 0.46, 0.36),
)


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """A region where vehicles may be: metres along and across their way, (h, w) in ``window``."""

    window: tuple[slice, slice]
    along: F32
    across: F32
    slot: float  # metres from one vehicle to the next
    share: float  # of slots with a vehicle
    key: NDArray[np.int32]  # tells lanes apart
    lorries: float


@dataclass(slots=True, kw_only=True, eq=False)
class Canvas:
    """The scene while it is built, all (H, W): colours are linear reflectance (H, W, 3)."""

    rng: Generator
    pitch: float
    style: Style
    x: F32
    y: F32
    lattice: Lattice
    ids: U8
    albedo: F32
    height: F32
    instances: U16
    relief: F32
    count: int = field(default=0)
    parked: list[Lane] = field(default_factory=list)

    def paint(self, where: Bool, colour: Rgb | F32, class_id: int | None) -> None:
        """Set colour and class of a region on the ground."""
        value = np.asarray(colour, np.float32)
        if value.ndim == 1:
            for k in range(3):  # a channel at a time: several times faster than rows of three
                np.copyto(self.albedo[..., k], value[k], where=where)
        else:
            cv2.copyTo(value, where.view(np.uint8), self.albedo)
        if class_id is not None:
            np.copyto(self.ids, np.uint8(class_id), where=where)


def textured(c: Canvas, colour: Rgb, cell_m: float, strength: float) -> F32:
    """(H, W, 3) colour with fBm brightness of ``cell_m`` metres."""
    h, w = c.ids.shape
    shade = fbm(c.rng, h, w, max(2.0, cell_m / c.pitch), 3, 0.65)
    return coloured(colour, (1 + np.float32(strength) * shade).clip(0.2, 2.0))


def base(c: Canvas, fine: F32) -> None:
    """Bare ground with patches, tracks of vehicles and dunes."""
    rng, (h, w) = c.rng, c.ids.shape
    c.albedo[:] = textured(c, c.style.bare, float(rng.uniform(8, 60)), float(rng.uniform(0.03, 0.16)))
    other = np.asarray(tinted(rng, c.style.bare, 0.06), np.float32) * np.float32(rng.uniform(0.6, 1.25))
    patch = _step(fbm(rng, h, w, float(rng.uniform(30, 150)) / c.pitch, 4, 0.6) - 0.4, 0.15)[..., None]
    c.albedo += patch * (other - c.albedo)
    c.albedo *= (1 + fine * np.float32(rng.uniform(0.02, 0.14)))[..., None]
    c.ids[:] = LAND


def _step(value: F32, soft: float) -> F32:
    out: F32 = (value / np.float32(2 * soft) + np.float32(0.5)).clip(0, 1)
    return out


def grass(c: Canvas, fine: F32) -> None:
    """Green ground: patches of noise, and whole lots."""
    rng, (h, w) = c.rng, c.ids.shape
    share = c.style.green
    cover = fbm(rng, h, w, float(rng.uniform(20, 120)) / c.pitch, 4, 0.6)
    green = cover > _quantile(cover, 1 - share * float(rng.uniform(0.2, 1.0)))
    if c.style.place is not Place.DESERT and rng.random() < 0.6:
        lot = (np.abs(c.lattice.u) // (c.style.block / 2)).astype(np.int32)
        table = rng.random((TABLE, TABLE)) < share
        green |= table[lot % TABLE, (np.abs(c.lattice.v) // c.style.lot).astype(np.int32) % TABLE]
    colour = textured(c, c.style.grass, float(rng.uniform(3, 25)), float(rng.uniform(0.08, 0.25)))
    dry = _step(smooth_noise(rng, h, w, 40 / c.pitch) - 0.8, 0.5)[..., None]
    colour += dry * (np.asarray((0.3, 0.27, 0.16), np.float32) - colour) * np.float32(rng.uniform(0, 0.9))
    colour *= (1 + fine * np.float32(rng.uniform(0.05, 0.22)))[..., None]
    c.paint(green, colour, VEGETATION)


def _quantile(values: F32, share: float) -> float:
    return float(np.quantile(values[::4, ::4], min(1.0, max(0.0, share))))


def fields(c: Canvas, fine: F32) -> None:
    """Farm land: cells of the street lattice, each with its crop and its furrows."""
    rng, style = c.rng, c.style
    row = np.floor(c.lattice.u / np.float32(style.block)).astype(np.int32) % TABLE
    col = np.floor(c.lattice.v / np.float32(style.length)).astype(np.int32) % TABLE
    crops = np.array([tinted(rng, _CROPS[i], 0.1) for i in rng.integers(0, len(_CROPS), _KINDS)], np.float32)
    soils = np.array([tinted(rng, _SOILS[i], 0.1) for i in rng.integers(0, len(_SOILS), _KINDS)], np.float32)
    table = rng.integers(0, _KINDS, (TABLE, TABLE)) + _KINDS * (rng.random((TABLE, TABLE)) > style.green)
    kind = table[row, col]
    colour = np.concatenate((crops, soils))[kind]
    wave = np.sin(c.lattice.u * np.float32(6.283 / rng.uniform(3 * c.pitch, 8 + 3 * c.pitch)))
    colour *= (1 + np.float32(rng.uniform(0, 0.12)) * wave + np.float32(0.06) * fine)[..., None]
    colour *= (
        1 + np.float32(rng.uniform(0.02, 0.15)) * fbm(rng, c.ids.shape[0], c.ids.shape[1], 60 / c.pitch, 4)
    )[..., None]
    fallow = rng.random((TABLE, TABLE))[row, col] > rng.uniform(0.5, 1.0)
    c.paint(~fallow, colour, LAND)
    c.ids[(kind < _KINDS) & ~fallow] = VEGETATION


def water(c: Canvas, fine: F32) -> Bool:
    """Lakes and sea (a level set of noise), a river (a band of noise); their shores. Returns the water."""
    rng, (h, w) = c.rng, c.ids.shape
    ponds = c.style.place is Place.RURAL and rng.random() < 0.5
    reach = float(rng.uniform(60, 150) if ponds else rng.uniform(80, 300))
    level = fbm(rng, h, w, reach / c.pitch, 5, 0.45)
    if c.style.place is Place.COAST:
        angle = rng.uniform(0, 6.283)
        level += (c.x * np.cos(angle) + c.y * np.sin(angle)).astype(np.float32) * np.float32(
            3.5 / (w * c.pitch)
        )
    depth = level - np.float32(_quantile(level, 1 - c.style.lake)) if c.style.lake > 0.01 else level - 99
    if rng.random() < 0.12:
        bend = smooth_noise(rng, h, w, float(rng.uniform(100, 250)) / c.pitch)
        depth = np.maximum(
            depth, np.float32(rng.uniform(0.02, 0.09)) - np.abs(bend + level * np.float32(0.03))
        )
    wet: Bool = depth > 0
    if not wet.any():
        return wet
    shore = (depth > -rng.uniform(0.02, 0.12)) & ~wet
    if rng.random() < 0.5:
        c.paint(shore, tinted(rng, c.style.grass), VEGETATION)
        c.albedo[shore] *= (1 + 0.35 * fine[shore])[:, None]
    else:
        c.paint(shore, tinted(rng, (0.72, 0.68, 0.6)), LAND)
    colour = textured(c, tinted(rng, _WATER[int(rng.integers(len(_WATER)))], 0.02), 80, 0.08)
    shallow = (1 - depth / np.float32(rng.uniform(0.05, 0.5))).clip(0, 1)[..., None]
    colour += shallow * np.float32(rng.uniform(0, 0.5)) * (c.albedo * np.float32(0.35) - colour)
    colour += (np.float32(rng.uniform(0, 0.012)) * fine)[..., None]
    c.paint(wet, colour.clip(0.002, 1), WATER)
    return wet


def _band(c: Canvas, distance: F32, half: float | F32, colour: F32, wet: Bool | None) -> Bool:
    where: Bool = np.abs(distance) < half
    if wet is not None:
        where &= ~wet
    c.paint(where, colour, ROAD if c.style.paved else LAND)
    return where


def streets(c: Canvas, fine: F32, wet: Bool) -> Bool:
    """Streets and cross streets with pavements and marks; every few streets a wide one. Returns them."""
    rng, style, t = c.rng, c.style, c.lattice
    widths = style.street * rng.uniform(0.8, 1.3, TABLE)
    widths[:: int(rng.integers(3, 9))] *= rng.uniform(1.3, 2.6)
    kept = (rng.random((2, TABLE)) < (0.9 if style.place in (Place.SUBURB, Place.CITY) else 0.7)).astype(
        np.float32
    )
    half_row = (widths * kept[0] / 2).astype(np.float32)[t.row % TABLE]
    half_col = (widths * kept[1] / 2).astype(np.float32)[t.col % TABLE]
    if style.paved and rng.random() < 0.6:
        side = np.float32(rng.uniform(1.2, 3.5))
        near = (np.abs(t.across) < half_row + side * (half_row > 0)) | (
            np.abs(t.along) < half_col + side * (half_col > 0)
        )
        c.paint(near & ~wet, tinted(rng, (0.5, 0.48, 0.45)), LAND)
    tone = (style.asphalt,) * 3 if style.paved else tinted(rng, style.bare, 0.15)
    colour = (
        textured(c, tinted(rng, (tone[0], tone[1], tone[2]), 0.03), 25, 0.10) * (1 + 0.05 * fine)[..., None]
    )
    one = _band(c, t.along, half_col, colour, wet) | _band(c, t.across, half_row, colour, wet)
    if style.paved and c.pitch < 1.2:
        _marks(c, t.across, half_row, np.abs(t.along) > half_col + 2, one, t.v)
    return one


def _marks(c: Canvas, distance: F32, half: F32, free: Bool, on: Bool, run: F32) -> None:
    """A broken centre line; on wide streets a raised strip of grass or stone instead."""
    width = np.float32(max(0.12, 0.35 * c.pitch))
    dashed = (np.abs(distance) < width) & ((run % 9) < 5) & free & on & (half < 7)
    c.albedo[dashed] = c.albedo[dashed] * 0.4 + np.float32(0.6 * 0.7)
    strip = (np.abs(distance) < 1.3) & free & on & (half >= 7)
    if c.rng.random() < 0.5:
        c.paint(strip, c.style.grass, VEGETATION)
    else:
        c.paint(strip, (0.5, 0.47, 0.42), LAND)


def highway(c: Canvas, fine: F32) -> Bool:
    """A wide curved road through the scene (two carriageways with lanes), or a small lane."""
    rng, (h, w) = c.rng, c.ids.shape
    angle = rng.uniform(0, 6.283)
    away = (c.x * np.cos(angle) + c.y * np.sin(angle)).astype(np.float32)
    away -= away[int(rng.integers(h)), int(rng.integers(w))]
    away += np.float32(rng.uniform(0, 25)) * smooth_noise(rng, h, w, float(rng.uniform(120, 400)) / c.pitch)
    half = float(rng.choice([3.5, 7.0, 12.0, 18.0]) * rng.uniform(0.8, 1.2))
    verge = np.abs(away) < half + rng.uniform(2, 12)
    green = rng.random() < 0.4
    c.paint(verge, tinted(rng, c.style.grass if green else c.style.bare), VEGETATION if green else LAND)
    tone = float(rng.choice([0.08, 0.13, 0.2, 0.28]))
    colour = (
        textured(c, tinted(rng, (tone, tone, tone * 1.03), 0.02), 40, 0.08) * (1 + 0.05 * fine)[..., None]
    )
    on: Bool = np.abs(away) < half
    c.paint(on, colour, ROAD)
    _lanes(c, away, angle, half)
    if half > 6:
        c.paint(np.abs(away) < rng.uniform(0.8, 3.5), tinted(rng, c.style.bare), LAND)
    if c.pitch < 1.6:
        line = np.abs(np.abs(away) % 3.6 - 1.8) < max(0.1, 0.3 * c.pitch)
        line &= on & ((np.abs(away) > half - 3.6) | ((c.x + c.y) % 12 < 5)) & (c.ids == ROAD)
        c.albedo[line] = c.albedo[line] * 0.5 + np.float32(0.3)
    return on


def _lanes(c: Canvas, away: F32, angle: float, half: float) -> None:
    """Traffic of a wide road: lanes of 3.6 m."""
    rng, (h, w) = c.rng, c.ids.shape
    along = (c.y * np.cos(angle) - c.x * np.sin(angle)).astype(np.float32)
    lane = np.floor(away / np.float32(3.6))
    across = away - (lane + np.float32(0.5)) * np.float32(3.6)
    key = lane.astype(np.int32) % TABLE
    everywhere = (slice(0, h), slice(0, w))
    share = float(rng.uniform(0.05, 0.6)) if half > 3 else 0.05
    c.parked.append(Lane(everywhere, along, across, float(rng.uniform(11, 30)), share, key, 0.15))


def litter(c: Canvas) -> None:
    """What lies about on bare ground: tracks of wheels, walls around lots, debris. Colour only."""
    rng, (h, w) = c.rng, c.ids.shape
    shade = np.ones((h, w), np.float32)
    if rng.random() < 0.5:
        path = np.abs(smooth_noise(rng, h, w, float(rng.uniform(40, 160)) / c.pitch))
        shade[path < rng.uniform(0.004, 0.03)] = np.float32(rng.uniform(0.8, 1.25))
    if rng.random() < 0.6:
        spots = smooth_noise(rng, h, w, max(2.0, float(rng.uniform(0.8, 2.5)) / c.pitch))
        where = smooth_noise(rng, h, w, 50 / c.pitch) > rng.uniform(-1, 1.2)
        shade[(spots > 1.9) & where] = np.float32(rng.uniform(1.05, 1.7))
        shade[(spots < -1.9) & where] = np.float32(rng.uniform(0.25, 0.9))
    if c.pitch < 1.5 and rng.random() < 0.5:
        t, s = c.lattice, c.style
        thin = max(0.25, 0.6 * c.pitch)
        edge = (t.v % np.float32(s.lot) < thin) | (t.u % np.float32(s.block / 2) < thin)
        shade[edge & (c.style.built > 0.3)] = np.float32(rng.uniform(0.35, 1.5))
    shade[(c.ids != LAND) & (c.ids != VEGETATION)] = 1
    c.albedo *= shade[..., None]


def disc(c: Canvas, cx: float, cy: float, radius_m: float) -> Bool:
    """A filled disc as a mask; centre in pixels."""
    out = np.zeros(c.ids.shape, np.uint8)
    cv2.circle(out, (round(cx), round(cy)), max(1, round(radius_m / c.pitch)), 1, thickness=-1)
    return out.astype(bool)


def roundabout(c: Canvas) -> None:
    """A ring road with a green or bare island."""
    h, w = c.ids.shape
    cx, cy = float(c.rng.uniform(0, w)), float(c.rng.uniform(0, h))
    inner = float(c.rng.uniform(8, 35))
    tone = c.style.asphalt
    c.paint(disc(c, cx, cy, inner + c.rng.uniform(6, 12)), tinted(c.rng, (tone, tone, tone), 0.02), ROAD)
    green = c.rng.random() < 0.6
    c.paint(disc(c, cx, cy, inner), c.style.grass if green else c.style.bare, VEGETATION if green else LAND)
