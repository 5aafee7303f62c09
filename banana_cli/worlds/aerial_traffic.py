"""Vehicles from above: in lanes, along kerbs, in the bays of car parks; each whole, numbered, on the road."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F32, Bool

from .aerial_ground import ROAD, VEHICLE, Canvas, Lane
from .aerial_plan import TABLE, Rgb

_CARS: tuple[Rgb, ...] = (
    (0.8, 0.8, 0.8),
    (0.62, 0.62, 0.62),
    (0.02, 0.02, 0.02),
    (0.1, 0.1, 0.11),
    (0.35, 0.36, 0.38),
    (0.42, 0.04, 0.04),
    (0.05, 0.09, 0.26),
    (0.3, 0.26, 0.2),
    (0.65, 0.5, 0.08),
)
_ODDS = (0.26, 0.14, 0.15, 0.12, 0.15, 0.07, 0.06, 0.04, 0.01)


def fill_bays(c: Canvas, window: tuple[slice, slice], yard: Bool, u: F32, v: F32) -> None:
    """Rows of bays of 2.6 m, two rows and an aisle every 16.5 m; their lines; cars come with the traffic."""
    if c.pitch > 2:
        return
    rng = c.rng
    row = np.floor(v / np.float32(8.25)).astype(np.int32)
    along = v - (row.astype(np.float32) + np.float32(0.5)) * np.float32(8.25)
    along += np.where(row % 2 == 0, np.float32(-1.3), np.float32(1.3))
    if c.pitch < 0.6:
        line = yard & (np.abs(u % np.float32(2.6)) < max(0.1, 0.5 * c.pitch)) & (np.abs(along) < 2.5)
        c.albedo[window][line] = c.albedo[window][line] * 0.5 + np.float32(0.3)
    bay = np.floor(u / np.float32(2.6)).astype(np.int32)
    across = u - (bay.astype(np.float32) + np.float32(0.5)) * np.float32(2.6)
    inside = np.where(yard, along, np.float32(99))
    key = (bay % TABLE) * TABLE + row % TABLE
    c.parked.append(Lane(window, inside, across, 0.0, float(rng.uniform(0.1, 0.95)), key, 0.0))


def vehicles(c: Canvas) -> None:
    """Draw the vehicles of car parks and wide roads, then of streets: along both kerbs and in both lanes."""
    if c.pitch > 2 or not (c.ids == ROAD).any():
        return
    for lane in c.parked:
        _drive(c, lane)
    rng, s, t = c.rng, c.style, c.lattice
    h, w = c.ids.shape
    everywhere = (slice(0, h), slice(0, w))
    for across, along, key in ((t.across, t.v, t.row), (t.along, t.u, t.col)):
        name = ((key % 31) * 2 + (across > 0)).astype(np.int32)
        for offset, slot, most in ((s.street / 2 - 1.15, 6.0, 0.9), (s.street / 4 - 0.2, 15.0, 0.35)):
            if offset > 1.1 and rng.random() < 0.8:
                off = np.abs(across) - np.float32(offset)
                share = float(rng.uniform(0, most))
                _drive(c, Lane(everywhere, along, off, slot, share, name, 0.06))


def _drive(c: Canvas, lane: Lane) -> None:
    """Stamp one lane's vehicles where the whole vehicle is on road."""
    rng = c.rng
    along, key = lane.along, lane.key.astype(np.int64)
    if lane.slot:
        number = np.floor(along / np.float32(lane.slot))
        along = along - (number + np.float32(0.5)) * np.float32(lane.slot)
        key = key * 100_003 + number.astype(np.int64)
    table = (key * 2_654_435_761 >> 7) % (TABLE * TABLE)
    there = (rng.random(TABLE * TABLE) < lane.share)[table]
    lorry = (rng.random(TABLE * TABLE) < lane.lorries)[table]
    room = max(lane.slot / 2 - 3.2, 0.0)
    jitter = rng.uniform(-0.3 - 0.5 * room, 0.3 + 0.5 * room, TABLE * TABLE).astype(np.float32)[table]
    along = along + jitter
    half = np.where(lorry, np.float32(4.2 if lane.slot > 9 else 2.9), np.float32(2.25))
    # at least about a pixel wide, or thin cars vanish
    wide = np.maximum(np.where(lorry, np.float32(1.22), np.float32(0.92)), 0.6 * c.pitch)
    on = there & (np.abs(along) < np.maximum(half, c.pitch)) & (np.abs(lane.across) < wide)
    _stamp(c, lane.window, on, (along, half, lorry), key)


def _stamp(
    c: Canvas,
    window: tuple[slice, slice],
    on: Bool,
    body: tuple[F32, F32, Bool],
    key: NDArray[np.int64],
) -> None:
    if not on.any():
        return
    ids = c.ids[window]
    _, number = np.unique(key[on], return_inverse=True)
    whole = np.bincount(number, weights=ids[on] != ROAD) == 0
    kept = whole[number]
    at = tuple(axis[kept] for axis in np.nonzero(on))
    order = np.cumsum(whole)[number[kept]]
    if not order.size:
        return
    along, half, lorry = (a[at] for a in body)
    ids[at] = VEHICLE
    c.instances[window][at] = (order + c.count - 1) % 65000 + 1
    c.count += int(order.max())
    c.height[window][at] = _profile(along / half, lorry)
    palette = np.array(_CARS, np.float32)[c.rng.choice(len(_CARS), size=int(order.max()) + 1, p=_ODDS)]
    palette *= c.rng.uniform(0.8, 1.2, (len(palette), 1)).astype(np.float32)
    colour = palette[order]
    front = along / half
    glass = ((np.abs(front - 0.28) < 0.13) | (np.abs(front + 0.62) < 0.1)) & ~lorry
    if c.pitch < 1:
        colour = np.where(glass[:, None], np.float32(0.03), colour)
        colour = np.where((lorry & (np.abs(front - 0.55) < 0.05))[:, None], np.float32(0.05), colour)
    c.albedo[window][at] = colour.clip(0.01, 0.95)


def _profile(front: F32, lorry: Bool) -> F32:
    """Height of a car's or lorry's top at ``front``: -1 tail .. 1 nose."""
    cabin = (front > -0.75) & (front < 0.35)
    car = np.where(cabin, np.float32(1.5), np.float32(0.95))
    load = np.where(front < 0.5, np.float32(3.3), np.float32(2.6))
    return np.where(lorry, load, car).astype(np.float32)
