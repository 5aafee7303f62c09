"""Everything that stands in an aerial scene: houses on lots, big buildings, trees, vehicles, pools."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from banana_cli.types import F32, U16, Bool

from .aerial_ground import BUILDING, LAND, ROAD, VEGETATION, WATER, Canvas
from .aerial_noise import fbm
from .aerial_plan import TABLE, Place, Rgb, tinted
from .aerial_traffic import fill_bays

_ROOFS: tuple[Rgb, ...] = (
    (0.42, 0.20, 0.12),
    (0.50, 0.28, 0.18),
    (0.33, 0.32, 0.31),
    (0.18, 0.17, 0.17),
    (0.62, 0.60, 0.57),
    (0.78, 0.77, 0.74),
    (0.55, 0.47, 0.38),
    (0.30, 0.22, 0.17),
    (0.70, 0.64, 0.52),
    (0.25, 0.30, 0.36),
)
_FLASHY: tuple[Rgb, ...] = ((0.10, 0.22, 0.45), (0.12, 0.32, 0.22), (0.55, 0.08, 0.06), (0.85, 0.85, 0.85))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Houses:
    """Random tables (TABLE, TABLE) of the houses: half sizes, wing, place in the lot, roof."""

    half_u: F32
    half_v: F32
    wing_u: F32
    wing_v: F32
    eave: F32
    slope: F32
    hip: F32
    turn: F32
    colour: F32
    there: Bool
    drop: F32  # storeys that the wing is lower


def _draw_houses(c: Canvas, depth: float) -> _Houses:
    rng, s = c.rng, c.style
    shape = (TABLE, TABLE)
    room_u, room_v = (depth - 0.5 * s.street) / 2, s.lot / 2
    fill = rng.uniform(0.5, 0.97)
    if s.place in (Place.DESERT, Place.RURAL):
        room_u = min(room_u, 18.0)  # lots are fields there
    flat = s.place in (Place.CITY, Place.INDUSTRY, Place.DESERT) or rng.random() < 0.35
    even = rng.random() < 0.5  # whole estates of one design
    vary = 0.12 if even else 0.4
    palette = [tinted(rng, _ROOFS[int(rng.integers(len(_ROOFS)))]) for _ in range(1 if even else 4)]
    colours = np.array(palette, np.float32)[rng.integers(len(palette), size=shape)]
    storeys = float(rng.choice([1, 1, 2, 2, 3] if s.place is not Place.CITY else [2, 3, 4, 6, 9]))

    def draw(low: float, high: float) -> F32:
        return rng.uniform(low, high, shape).astype(np.float32)

    return _Houses(
        half_u=draw(1 - vary, 1) * np.float32(max(3.0, room_u * fill * 0.8)),
        half_v=draw(1 - vary, 1) * np.float32(max(2.5, room_v * fill)),
        wing_u=draw(0.25, 1.0),
        wing_v=draw(0.25, 1.0),
        eave=np.float32(3.1)
        * np.rint(np.maximum(1, storeys + rng.normal(0, 0.0 if even else 0.6, shape))).astype(np.float32),
        slope=np.where(rng.random(shape) < (0.9 if flat else 0.08), 0, draw(0.3, 0.85)).astype(np.float32),
        hip=(rng.random(shape) < rng.random()).astype(np.float32),
        turn=rng.normal(0, 0.0 if even else 0.05, shape).astype(np.float32),
        colour=(colours * draw(0.82, 1.18)[..., None]).clip(0.02, 0.95),
        there=rng.random(shape) < s.built,
        drop=rng.integers(0, 2, shape).astype(np.float32) * np.float32(rng.random() < 0.7),
    )


def houses(c: Canvas, fine: F32) -> None:
    """One house a lot, two rows of lots between streets: a shader over lot coordinates.

    A house is a rectangle and a wing (together L, T or U like); the roof is the height above the eaves
    ``slope * distance to the nearest eave`` (hipped) or to the nearer long eave (gabled).
    """
    if c.style.built < 0.01:
        return
    t, s = c.lattice, c.style
    depth = s.block / 2 - s.street / 2
    row = np.floor(t.u / np.float32(s.block / 2)).astype(np.int32)
    col = np.floor(t.v / np.float32(s.lot)).astype(np.int32)
    # centre of the lot: midway between the street's edge and the line behind the houses
    side = np.where(row % 2 == 0, np.float32(s.street / 4), np.float32(-s.street / 4))
    lu = t.u - (row + np.float32(0.5)) * np.float32(s.block / 2) - side
    lv = t.v - (col + np.float32(0.5)) * np.float32(s.lot)
    key = (row % TABLE) * TABLE + col % TABLE
    h = _draw_houses(c, depth)
    rise, inside, wing = _roofs(h, key, lu, lv)
    free = _whole_lots(c, row, col, inside)
    on = inside & free & h.there.ravel()[key]
    _raise(c, on, h, key, rise - np.float32(3.1) * wing, fine, lu)
    _clutter(c, on & (h.slope.ravel()[key] == 0), lu, lv)
    _walls(c, h.there.ravel()[key], lu, lv)
    c.instances[on] = _numbered(row[on], col[on], c.count)
    c.count = int(c.instances.max(initial=c.count))


def _numbered(row: NDArray[np.int32], col: NDArray[np.int32], start: int) -> U16:
    """Numbers start + 1, start + 2, ... of the different (row, col)."""
    if row.size == 0:
        return np.zeros(0, np.uint16)
    rows, cols = row - row.min(), col - col.min()
    code = rows * (int(cols.max()) + 1) + cols
    number = np.cumsum(np.bincount(code) > 0)[code]
    out: U16 = ((number + start - 1) % 65000 + 1).astype(np.uint16)
    return out


def _whole_lots(c: Canvas, row: NDArray[np.int32], col: NDArray[np.int32], inside: Bool) -> Bool:
    """Lots whose house would stand in water or on a road stay empty."""
    rows, cols = row - row.min(), col - col.min()
    size = (int(rows.max()) + 1) * (int(cols.max()) + 1)
    code = rows * (int(cols.max()) + 1) + cols
    blocked = np.bincount(code[inside & ((c.ids == WATER) | (c.ids == ROAD))], minlength=size) > 0
    free: Bool = ~blocked[code]
    return free


def _roofs(h: _Houses, key: NDArray[np.int32], lu: F32, lv: F32) -> tuple[F32, Bool, F32]:
    """Height above the eaves, the footprint, and how many storeys the roof lies lower there, (H, W)."""
    turn = h.turn.ravel()[key]
    u, v = lu + turn * lv, lv - turn * lu
    a, b = h.half_u.ravel()[key], h.half_v.ravel()[key]
    wing_u, wing_v = h.wing_u.ravel()[key] * a, h.wing_v.ravel()[key] * b
    hip, slope = h.hip.ravel()[key], h.slope.ravel()[key]
    main = _eave_distance(u - (a - wing_u), v, wing_u, b, hip)
    wing = _eave_distance(u, v - (b - wing_v), a, wing_v, hip)
    near = np.maximum(main, wing)
    lower = h.drop.ravel()[key] * (main <= 0) * (h.eave.ravel()[key] > 4)
    return np.minimum(near * slope, 5.0).clip(0, None), near > 0, lower.astype(np.float32)


def _eave_distance(u: F32, v: F32, a: F32, b: F32, hip: F32) -> F32:
    """Distance to the eaves that carry the roof; negative outside the rectangle of half sizes a, b."""
    du, dv = a - np.abs(u), b - np.abs(v)
    both = np.minimum(du, dv)
    long_eave = np.where(a < b, du, dv)
    out: F32 = np.where((both < 0) | (hip > 0.5), both, long_eave)
    return out


def _raise(c: Canvas, on: Bool, h: _Houses, key: NDArray[np.int32], rise: F32, fine: F32, run: F32) -> None:
    """Write heights, colours and class of houses."""
    at = key[on]
    c.height[on] = np.maximum(c.height[on], h.eave.ravel()[at] + rise[on])
    colour = h.colour.reshape(-1, 3)[at]
    grain = 1 + np.float32(0.08) * fine[on]
    if c.pitch < 1.0:
        grain *= 1 + np.float32(0.06) * np.sin(run[on] * np.float32(6.283 / max(0.5, 2.5 * c.pitch)))
    c.albedo[on] = (colour * grain[:, None]).clip(0.01, 0.97)
    c.ids[on] = BUILDING


def _clutter(c: Canvas, flat: Bool, lu: F32, lv: F32) -> None:
    """Machines, stairs and stains on flat roofs: cells of a random table, each a little box or a tone."""
    if c.pitch > 2 or not flat.any():
        return
    rng, size = c.rng, np.float32(c.rng.uniform(1.6, 3.5))
    share = float(rng.uniform(0.02, 0.25))
    a, b = np.floor(lu[flat] / size).astype(np.int32), np.floor(lv[flat] / size).astype(np.int32)
    cell = (a * 7 + c.lattice.row[flat]) % TABLE, (b * 5 + c.lattice.col[flat]) % TABLE
    draw = rng.random((TABLE, TABLE)).astype(np.float32)
    lift = np.where(draw < share, rng.uniform(0.5, 2.5, (TABLE, TABLE)), 0).astype(np.float32)
    tone = np.where(draw < 2 * share, rng.uniform(0.4, 1.6, (TABLE, TABLE)), 1).astype(np.float32)
    c.height[flat] += lift[cell]
    c.albedo[flat] = (c.albedo[flat] * tone[cell][:, None]).clip(0.01, 0.97)


def _walls(c: Canvas, there: Bool, lu: F32, lv: F32) -> None:
    """Walls round built lots: seen with their shadows, but ground for the truth (part of the relief)."""
    rng, s = c.rng, c.style
    if c.pitch > 2 or rng.random() > (0.75 if s.place in (Place.DESERT, Place.CITY) else 0.35):
        return
    thin = np.float32(max(0.25, 0.5 * c.pitch))
    side = np.abs(lv) > np.float32(s.lot / 2) - thin
    back = np.abs(np.abs(lu) - np.float32(s.block / 4 - s.street / 4 - 0.4)) < thin
    on = (side | back) & there & ((c.ids == LAND) | (c.ids == VEGETATION))
    on &= (np.abs(lu) < np.float32(s.block / 4 - s.street / 4)) & (c.height == 0)
    c.relief[on] += np.float32(rng.uniform(1.2, 2.4))
    c.albedo[on] = np.asarray(tinted(rng, c.style.bare), np.float32) * np.float32(rng.uniform(0.8, 1.4))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Box:
    """A turned rectangle's window: index slices and local coordinates in metres."""

    window: tuple[slice, slice]
    u: F32
    v: F32


def _box(c: Canvas, x: float, y: float, reach: float, turn: float) -> _Box | None:
    """The window of ``reach`` metres around (x, y) metres, or None outside the picture."""
    h, w = c.ids.shape
    top, left = max(0, int((y - reach) / c.pitch)), max(0, int((x - reach) / c.pitch))
    bottom, right = min(h, int((y + reach) / c.pitch) + 2), min(w, int((x + reach) / c.pitch) + 2)
    if top >= bottom or left >= right:
        return None
    window = (slice(top, bottom), slice(left, right))
    dx, dy = c.x[window] - np.float32(x), c.y[window] - np.float32(y)
    cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    return _Box(window=window, u=dx * cos + dy * sin, v=dy * cos - dx * sin)


def blocks(c: Canvas, fine: F32) -> None:
    """Big buildings: halls, towers, slabs, with courts, parapets, plant on the roof, car parks around."""
    rng, s = c.rng, c.style
    h, w = c.ids.shape
    area = h * w * c.pitch**2
    most = {Place.CITY: 14, Place.INDUSTRY: 9, Place.SUBURB: 3, Place.COAST: 3}.get(s.place, 1)
    count = min(28, int(rng.poisson(most * min(2.5, max(0.3, area / 90_000)) * rng.uniform(0.1, 1.0))))
    turn = float(rng.uniform(0, math.pi))
    for _ in range(count):
        x, y = float(rng.uniform(0, w * c.pitch)), float(rng.uniform(0, h * c.pitch))
        if rng.random() < 0.15:
            turn = float(rng.uniform(0, math.pi))
        _block(c, x, y, turn, fine)


def _block(c: Canvas, x: float, y: float, turn: float, fine: F32) -> None:
    rng, tall = c.rng, c.style.place is Place.CITY and c.rng.random() < 0.45
    a, b = (float(v) for v in (rng.uniform(8, 20, 2) if tall else rng.uniform(8, 45, 2)))
    box = _box(c, x, y, math.hypot(a, b) + 12, turn)
    if box is None:
        return
    ids = c.ids[box.window]
    on = _footprint(rng, box, a, b)
    if (np.isin(ids[on], (WATER, ROAD)).mean() if on.any() else 1.0) > 0.25:
        return
    yard = (
        (np.maximum(np.abs(box.u) - a, np.abs(box.v) - b) < rng.uniform(1, 12))
        & (ids != WATER)
        & (ids != ROAD)
    )
    park = rng.random() < 0.4
    tone = float(rng.uniform(0.1, 0.3)) if park else float(rng.uniform(0.3, 0.6))
    yard &= c.height[box.window] == 0
    c.albedo[box.window][yard] = np.float32(tone) * (1 + 0.06 * fine[box.window][yard, None])
    ids[yard] = ROAD if park and c.style.paved else LAND
    if park and c.style.paved:
        fill_bays(c, box.window, yard, box.u, box.v)
    top = float(rng.uniform(18, 90) if tall else rng.uniform(4, 14))
    slope = float(rng.uniform(0.05, 0.25)) if not tall and rng.random() < 0.4 else 0.0
    rise = np.float32(slope) * np.float32(b) - np.float32(slope) * np.abs(box.v)
    colour = tinted(
        rng, _FLASHY[int(rng.integers(4))] if rng.random() < 0.15 else _ROOFS[int(rng.integers(10))]
    )
    _cover(c, box, on, np.float32(top) + np.maximum(rise, 0), colour, fine)
    _plant(c, box, on, top, (a, b), slope == 0)


def _footprint(rng: Generator, box: _Box, a: float, b: float) -> Bool:
    """A rectangle, sometimes with a corner or a court cut out, or a disc."""
    u, v = box.u, box.v
    kind = rng.random()
    if kind < 0.08:
        round_: Bool = u * u + v * v < min(a, b) ** 2
        return round_
    on: Bool = (np.abs(u) < a) & (np.abs(v) < b)
    if kind < 0.4:
        on &= ~((u > a * rng.uniform(-0.3, 0.6)) & (v > b * rng.uniform(-0.3, 0.6)))
    elif kind < 0.55 and min(a, b) > 9:
        on &= ~((np.abs(u) < a * 0.5) & (np.abs(v) < b * rng.uniform(0.3, 0.5)))
    elif kind < 0.7:
        on &= ~((np.abs(u) < a * rng.uniform(0.2, 0.6)) & (v > b * rng.uniform(-0.4, 0.4)))
    return on


def _cover(c: Canvas, box: _Box, on: Bool, height: F32, colour: Rgb, fine: F32) -> None:
    """Put a building on its footprint (windows are views into the canvas)."""
    c.count += 1
    c.height[box.window][on] = height[on]
    c.ids[box.window][on] = BUILDING
    c.instances[box.window][on] = c.count
    stripe = 1 + np.float32(0.05) * np.sin(box.u[on] * np.float32(6.283 / max(2.0, 2.5 * c.pitch)))
    c.albedo[box.window][on] = (
        np.asarray(colour, np.float32) * (stripe * (1 + 0.06 * fine[box.window][on]))[:, None]
    )


def _plant(c: Canvas, box: _Box, on: Bool, top: float, half: tuple[float, float], flat: bool) -> None:
    """Parapet and machines on a flat roof."""
    if not flat:
        return
    rng, (a, b) = c.rng, half
    edge = on & (np.minimum(a - np.abs(box.u), b - np.abs(box.v)) < max(0.4, c.pitch))
    c.height[box.window][edge] = top + 0.8
    c.albedo[box.window][edge] *= np.float32(rng.uniform(0.7, 1.3))
    for _ in range(int(rng.integers(0, 7))):
        u, v, size = rng.uniform(-a, a) * 0.8, rng.uniform(-b, b) * 0.8, float(rng.uniform(0.8, 3.5))
        unit = on & (np.abs(box.u - u) < size) & (np.abs(box.v - v) < size * rng.uniform(0.4, 1))
        c.height[box.window][unit] = top + rng.uniform(1, 3)
        c.albedo[box.window][unit] = np.float32(rng.uniform(0.15, 0.8))


def trees(
    c: Canvas, spacing_m: float, radius_m: tuple[float, float], share: float, tall: float, fine: F32
) -> None:
    """Crowns on a jittered grid, one chance a cell; groves where noise is high, rows along streets."""
    rng, (h, w) = c.rng, c.ids.shape
    cell = max(spacing_m, 1.6 * c.pitch)
    rows, cols = int(h * c.pitch / cell) + 3, int(w * c.pitch / cell) + 3
    clump = _clumps(rng, rows, cols)
    radius = rng.uniform(*radius_m, (rows, cols)) * (rng.random((rows, cols)) < (share * clump).clip(0, 1))
    cx = (np.arange(cols)[None] - 1 + rng.uniform(0.15, 0.85, (rows, cols))) * cell
    cy = (np.arange(rows)[:, None] - 1 + rng.uniform(0.15, 0.85, (rows, cols))) * cell
    iy = (cy / c.pitch).astype(np.intp).clip(0, h - 1)
    ix = (cx / c.pitch).astype(np.intp).clip(0, w - 1)
    growing = (c.ids[iy, ix] == VEGETATION) | (rng.random((rows, cols)) < 0.5)
    radius *= growing & np.isin(c.ids[iy, ix], (LAND, VEGETATION))
    live = np.flatnonzero(radius.ravel() > 0)
    if live.size == 0:
        return
    dome, tone = _domes(c, cell, radius.astype(np.float32), cx, cy, rng.uniform(0.7, 1.3, (rows, cols)))
    dome -= np.float32(0.13) * np.abs(fine)
    on = (dome > 0) & (c.ids != BUILDING) & (c.ids != WATER)
    c.height[on] = (np.float32(tall) * (np.float32(0.35) + np.float32(0.65) * np.sqrt(dome[on]))).astype(
        np.float32
    )
    leaf = np.asarray(tinted(rng, (0.10, 0.13, 0.06), 0.04), np.float32)
    shade = tone[on] * (1 + np.float32(0.25) * fine[on])
    c.albedo[on] = (leaf * shade[:, None]).clip(0.008, 1)
    c.ids[on] = VEGETATION
    c.instances[on] = 0


def _clumps(rng: Generator, rows: int, cols: int) -> F32:
    """Chance multiplier of each tree cell: groves and clearings of about five cells."""
    wide = 0.5 + 0.3 * fbm(rng, rows, cols, float(rng.uniform(3, 9)), 2)
    out = np.where(wide > rng.uniform(0.25, 0.85), rng.uniform(1, 4), rng.uniform(0, 0.4)).astype(np.float32)
    return out


def _domes(
    c: Canvas,
    cell: float,
    radius: F32,
    cx: NDArray[np.float64],
    cy: NDArray[np.float64],
    tone: NDArray[np.float64],
) -> tuple[F32, F32]:
    """(1 - ρ²) of the nearest crown and its tone, from the 3x3 cells around each pixel."""
    rows, cols = radius.shape
    gy = (c.y[:, 0] / np.float32(cell)).astype(np.intp) + 1
    gx = (c.x[0] / np.float32(cell)).astype(np.intp) + 1
    best = np.full(c.ids.shape, -1, np.float32)
    shade = np.ones(c.ids.shape, np.float32)
    inverse = np.where(radius > 0, 1 / np.maximum(radius, 1e-3) ** 2, 1e6).astype(np.float32)
    x32, y32, t32 = cx.astype(np.float32), cy.astype(np.float32), tone.astype(np.float32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            rows_at, cols_at = (gy + dy).clip(0, rows - 1), (gx + dx).clip(0, cols - 1)
            near = inverse[rows_at][:, cols_at]
            off_x = c.x - x32[rows_at][:, cols_at]
            off_y = c.y - y32[rows_at][:, cols_at]
            off_x *= off_x
            off_y *= off_y
            off_x += off_y
            off_x *= near
            value = 1 - off_x
            np.copyto(shade, t32[rows_at][:, cols_at], where=value > best)
            np.maximum(best, value, out=best)
    return best, shade


def pools(c: Canvas) -> None:
    """Small blue pools in gardens."""
    rng, (h, w) = c.rng, c.ids.shape
    if c.style.place not in (Place.SUBURB, Place.COAST) or rng.random() < 0.5:
        return
    for _ in range(min(12, int(rng.poisson(h * w * c.pitch**2 / 6000)))):
        x, y = float(rng.uniform(0, w * c.pitch)), float(rng.uniform(0, h * c.pitch))
        box = _box(c, x, y, 9, float(rng.uniform(0, math.pi)))
        if box is None:
            continue
        a, b = rng.uniform(2, 6), rng.uniform(1.5, 4)
        on = (
            (box.u / a) ** 2 + (box.v / b) ** 2 < 1
            if rng.random() < 0.3
            else (np.abs(box.u) < a) & (np.abs(box.v) < b)
        )
        if (
            on.any()
            and np.isin(c.ids[box.window][on], (LAND, VEGETATION)).all()
            and not c.height[box.window][on].any()
        ):
            c.albedo[box.window][on] = tinted(rng, (0.08, 0.38, 0.48), 0.05)
            c.ids[box.window][on] = WATER
