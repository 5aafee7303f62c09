"""The pictures on surfaces of a street: windows, signs, lamps, stripes, branches; painted by code."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import cv2
import numpy as np
from numpy.random import Generator

from banana_cli.types import U8
from banana_cli.worlds import street_tiles_cars as cars
from banana_cli.worlds import street_tiles_plants as plants
from banana_cli.worlds.noise import tile as noise_tile
from banana_cli.worlds.street_brush import SIDE, Rgb, blank, glass, grey, rect, scribble
from banana_cli.worlds.street_shapes import SHAPES


class Tile(IntEnum):
    """First of the tiles of a kind; ``COUNT`` says how many variants follow it."""

    PLAIN = 0
    WINDOW = 1
    SHOP = WINDOW + 24
    SIDING = SHOP + 8
    GARAGE = SIDING + 4
    CAR_REAR = GARAGE + 2
    CAR_FRONT = CAR_REAR + 10
    CAR_SIDE = CAR_FRONT + 10
    CAR_GLASS = CAR_SIDE + 6
    CAR_SCREEN = CAR_GLASS + len(SHAPES)
    CAR_TOP = CAR_SCREEN + 8
    TRUCK_REAR = CAR_TOP + 2
    TRUCK_SIDE = TRUCK_REAR + 3
    CAB_SIDE = TRUCK_SIDE + 7
    CAB_FRONT = CAB_SIDE + 2
    MACHINE = CAB_FRONT + 2
    ARROWS = MACHINE + 2
    BUS_SIDE = ARROWS + 2
    BUS_END = BUS_SIDE + 3
    WHEEL = BUS_END + 2
    STOP = WHEEL + 3
    PLATE_SIGN = STOP + 1
    STREET_SIGN = PLATE_SIGN + 16
    WARN = STREET_SIGN + 6
    LIGHT = WARN + 8
    WALK = LIGHT + 4
    VEST = WALK + 1
    BARREL = VEST + 3
    CONE = BARREL + 5
    STRIPES = CONE + 6
    BRANCH = STRIPES + 4
    CHAIN = BRANCH + 8
    PICKET = CHAIN + 2
    RAIL = PICKET + 2
    SKYLINE = RAIL + 2
    RING = SKYLINE + 3
    POSTER = RING + 1
    CROWN = POSTER + 4
    END = CROWN + 8


COUNT = {a: int(b) - int(a) for a, b in zip(list(Tile), list(Tile)[1:], strict=False)}


def pick(rng: Generator, kind: Tile) -> int:
    """A random variant of a kind of tile."""
    return int(kind) + int(rng.integers(COUNT[kind]))


def _window(rng: Generator, index: int) -> U8:
    t = blank()
    w, h = rng.uniform(0.3, 0.75), rng.uniform(0.4, 0.72)
    style = index % 6
    if style == 0:
        w, h = 1.0, rng.uniform(0.4, 0.65)  # ribbon
    elif style == 1:
        w, h = rng.uniform(0.88, 0.96), rng.uniform(0.85, 0.95)  # curtain wall
    x0, y0 = (1 - w) / 2, rng.uniform(0.12, 0.2) if style > 1 else (1 - h) / 2
    x1, y1 = x0 + w, min(y0 + h, 0.97)
    frame = grey(rng, 30, 230)
    if style == 2:
        rect(t, max(x0 - 0.06, 0), y0 - 0.08, min(x1 + 0.06, 1), y0, grey(rng, 120, 220), 200)
    if style >= 2:
        rect(t, max(x0 - 0.05, 0), y1, min(x1 + 0.05, 1), min(y1 + 0.05, 1), grey(rng, 100, 220), 220)
    rect(t, x0, y0, x1, y1, frame)
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    bar = 0.025
    for i in range(columns):
        for j in range(rows):
            a, b = x0 + bar + i * w / columns, y0 + bar + j * (y1 - y0) / rows
            glass(t, rng, a, b, a + w / columns - 1.5 * bar, b + (y1 - y0) / rows - 1.5 * bar)
    if style == 3:
        rect(t, 0, 0.94, 1, 1, grey(rng, 90, 210), 180)
    return t


def _shop(rng: Generator, index: int) -> U8:
    t = blank()
    rect(t, 0.04, 0.25, 0.96, 0.92, grey(rng, 20, 90))
    for k in range(3):
        glass(t, rng, 0.07 + k * 0.3, 0.29, 0.07 + k * 0.3 + 0.26, 0.88 if k != index % 3 else 0.99)
    if index % 2:
        colour = tuple(int(c) for c in rng.integers(20, 230, 3))
        rect(t, 0, 0.05, 1, 0.2, (colour[0], colour[1], colour[2]))
        scribble(t, rng, 0.1, 0.08, 0.9, 0.17, grey(rng, 180, 250))
    elif index % 4 == 0:
        colour = tuple(int(c) for c in rng.integers(20, 180, 3))
        rect(t, 0, 0.12, 1, 0.34, (colour[0], colour[1], colour[2]))
    return t


def _siding(rng: Generator, index: int) -> U8:
    t = blank()
    rows = (10, 16, 24, 6)[index % 4]
    for k in range(rows):
        rect(t, 0, k / rows, 1, (k + 0.22) / rows, (0, 0, 0), 70)
        if index % 2:
            for j in range(4):
                x = (j + 0.5 * (k % 2)) / 4
                rect(t, x, k / rows, x + 0.02, (k + 1) / rows, (0, 0, 0), 60)
    return t


def _garage(rng: Generator, index: int) -> U8:
    t = blank()
    rect(t, 0, 0, 1, 1, grey(rng, 150, 240))
    for k in range(1, 5):
        rect(t, 0, k / 5, 1, k / 5 + 0.02, grey(rng, 60, 120))
    if index:
        for k in range(4):
            glass(t, rng, 0.06 + k * 0.23, 0.06, 0.24 + k * 0.23, 0.16)
    return t


def _stop(rng: Generator, index: int) -> U8:
    t = blank(255)
    t[..., :3] = (190, 20, 30)
    cv2.putText(t, "STOP", (14, 78), cv2.FONT_HERSHEY_DUPLEX, 1.3, (245, 245, 245, 255), 4)
    return t


def _plate(rng: Generator, index: int) -> U8:
    """Rectangular signs: limits, arrows, parking, guides, hospital blue, black one-way."""
    t = blank(255)
    white: Rgb = (240, 240, 238)
    backs: tuple[Rgb, ...] = (
        white,
        white,
        (20, 60, 160),
        white,
        (20, 110, 60),
        white,
        (200, 30, 30),
        (24, 24, 24),
    )
    back = backs[index % 8]
    inks: tuple[Rgb, ...] = ((20, 20, 20), (190, 25, 30), (20, 110, 60))
    ink = inks[(index // 2) % 3] if back == white else white
    t[..., :3] = back
    cv2.rectangle(t, (5, 5), (SIDE - 6, SIDE - 6), (*ink, 255), 2)
    if index % 4 == 0 or index == 11:
        scribble(t, rng, 0.12, 0.1, 0.9, 0.22, ink)
        scribble(t, rng, 0.12, 0.28, 0.9, 0.4, ink)
        cv2.putText(
            t, ("25", "35", "40", "45")[index // 4], (26, 112), cv2.FONT_HERSHEY_DUPLEX, 1.9, (*ink, 255), 5
        )
    elif index % 4 == 1 or index % 8 == 7:
        ends = ((20, 64), (110, 64)) if index % 8 == 7 else ((64, 114), (64, 14))
        cv2.arrowedLine(t, *ends, (*ink, 255), 12, tipLength=0.4)
    else:
        for k in range(3):
            scribble(t, rng, 0.12, 0.12 + 0.28 * k, 0.9, 0.3 + 0.28 * k, ink)
    if index % 8 == 5:
        cv2.circle(t, (64, 46), 32, (200, 20, 30, 255), 8)
        cv2.line(t, (42, 24), (86, 68), (200, 20, 30, 255), 8)
    return t


def _street_sign(rng: Generator, index: int) -> U8:
    """Names and guides: green, blue, brown, white."""
    t = blank(255)
    backs: tuple[Rgb, ...] = (
        (0, 95, 60),
        (0, 80, 50),
        (30, 70, 160),
        (90, 60, 40),
        (0, 100, 70),
        (235, 235, 232),
    )
    ink: Rgb = (245, 245, 245) if index < 5 else (20, 70, 40)
    t[..., :3] = backs[index]
    cv2.rectangle(t, (3, 3), (SIDE - 4, SIDE - 4), (*ink, 255), 3)
    n = 1 + index % 3
    for k in range(n):
        scribble(t, rng, 0.1, 0.14 + 0.8 * k / n, 0.92, 0.1 + 0.8 * (k + 0.8) / n, ink)
    return t


def _warn(rng: Generator, index: int) -> U8:
    """Diamonds: orange for works, yellow else; words, arrows, a person, two lamps."""
    t = blank(255)
    backs: tuple[Rgb, ...] = (
        (245, 120, 10), (250, 110, 20), (240, 190, 10), (235, 200, 20), (190, 235, 30), (250, 95, 15),
        (245, 180, 0), (250, 100, 25),
    )  # fmt: skip
    t[..., :3] = backs[index]
    c, ink = SIDE // 2, (15, 15, 15, 255)
    cv2.polylines(t, [np.array([(c, 6), (SIDE - 7, c), (c, SIDE - 7), (6, c)])], True, ink, 3)
    if index % 4 == 0:
        for k in range(3):
            scribble(t, rng, 0.26, 0.3 + 0.16 * k, 0.76, 0.42 + 0.16 * k, (15, 15, 15))
    elif index % 4 == 1:
        cv2.circle(t, (c, 38), 9, ink, -1)
        cv2.line(t, (c, 50), (c - 6, 82), ink, 12)
        cv2.line(t, (c - 4, 60), (c + 24, 72), ink, 7)
        cv2.line(t, (c - 6, 80), (c + 10, 100), ink, 8)
    elif index % 4 == 2:
        cv2.arrowedLine(t, (c, 98), (c + 10 * (index % 3 - 1), 30), ink, 11, tipLength=0.4)
    else:
        for k, rgb in enumerate(((200, 20, 20), (230, 160, 0), (20, 140, 60))):
            cv2.circle(t, (c, 40 + 24 * k), 10, (*rgb, 255), -1)
    return t


def _light(rng: Generator, index: int) -> U8:
    """Three lamps, one lit (or none)."""
    t = blank(255)
    t[..., :3] = (24, 24, 23) if index != 1 else (190, 140, 20)
    on: tuple[Rgb, ...] = ((255, 45, 30), (255, 190, 40), (50, 255, 170))
    lit = (0, 2, 2, 0)[index] if index < 3 else 1
    for k in range(3):
        c = on[k]
        rgb = c if k == lit else (int(c[0] * 0.16), int(c[1] * 0.16), int(c[2] * 0.16))
        cv2.circle(t, (64, 22 + 42 * k), 19, (10, 10, 10, 255), -1)
        cv2.circle(t, (64, 23 + 42 * k), 16, (*rgb, 255), -1)
        cv2.ellipse(t, (64, 20 + 42 * k), (20, 17), 0, 180, 360, (8, 8, 8, 255), 5)
    return t


def _walk(rng: Generator, index: int) -> U8:
    """The light for people on foot."""
    t = blank(255)
    t[..., :3] = (16, 16, 16)
    cv2.circle(t, (64, 40), 12, (255, 150, 60, 255), -1)
    cv2.line(t, (64, 50), (60, 90), (255, 150, 60, 255), 16)
    cv2.line(t, (60, 86), (76, 112), (255, 150, 60, 255), 9)
    return t


def _bands(colours: tuple[Rgb, ...], edges: tuple[float, ...]) -> U8:
    t = blank(255)
    for colour, a, b in zip(colours, (0.0, *edges), (*edges, 1.0), strict=True):
        rect(t, 0, a, 1, b, colour)
    return t


def _vest(rng: Generator, index: int) -> U8:
    """A safety vest: bands of silver across and over the shoulders."""
    t = blank(255)
    t[..., :3] = ((205, 240, 40), (255, 110, 20), (225, 235, 60))[index]
    for y in (0.5, 0.72):
        rect(t, 0, y, 1, y + 0.1, (215, 215, 208))
    for x in (0.22, 0.68):
        rect(t, x, 0, x + 0.1, 0.5, (215, 215, 208))
    return t


_ORANGE: tuple[Rgb, ...] = ((250, 85, 15), (235, 70, 20), (245, 105, 40))
_WHITE: Rgb = (236, 236, 230)


def _worn(t: U8, rng: Generator) -> U8:
    """Dirt and a round body's shade on an opaque tile."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    dirt = np.clip(
        1 + 0.1 * noise_tile(int(rng.integers(90, 93)), 8, 4)[:SIDE, :SIDE] - 0.15 * rows, 0.5, 1.15
    )
    shade = 1 - 0.35 * np.abs(columns - 0.5) ** 2 * 4
    t[..., :3] = np.clip(t[..., :3] * (dirt * shade)[..., None], 0, 255)
    return t


def _barrel(rng: Generator, index: int) -> U8:
    """A drum: orange with white bands, the top at v = 0."""
    o = _ORANGE[index % 3]
    if index == 0:
        return _bands((o,), ())
    if index % 2:
        return _worn(_bands((o, _WHITE, o, _WHITE, o), (0.14, 0.29, 0.45, 0.6)), rng)
    return _worn(_bands((o, _WHITE, o, _WHITE, o), (0.2, 0.36, 0.52, 0.68)), rng)


def _cone(rng: Generator, index: int) -> U8:
    """Cones and tubes: orange with one or two collars, or lime, or dirty."""
    o = _ORANGE[index % 3]
    if index % 4 == 0:
        return _worn(_bands((o, _WHITE, o, _WHITE, o), (0.25, 0.45, 0.57, 0.72)), rng)
    if index % 4 == 1:
        return _worn(_bands((o, _WHITE, o), (0.3, 0.55)), rng)
    if index == 2:
        return _worn(_bands(((190, 240, 30), (235, 240, 225), (190, 240, 30)), (0.3, 0.5)), rng)
    return _worn(_bands((o, _WHITE, o, _WHITE, o), (0.12, 0.3, 0.4, 0.5)), rng)


def _stripes(rng: Generator, index: int) -> U8:
    """Slanted orange and white."""
    t = blank(255)
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    on = ((x + y * (1 if index % 2 else -1)) // 32) % 2 == 0
    t[..., :3] = np.where(on[..., None], _ORANGE[index % 3], _WHITE)
    return t


def _chain(rng: Generator, index: int) -> U8:
    t = blank(70)
    t[..., :3] = 200
    for k in range(-8, 17):
        cv2.line(t, (k * 16, 0), (k * 16 + SIDE, SIDE), (210, 210, 210, 150), 1)
        cv2.line(t, (k * 16 + SIDE, 0), (k * 16, SIDE), (210, 210, 210, 150), 1)
    rect(t, 0, 0, 1, 0.03, (210, 210, 210))
    rect(t, 0, 0, 0.03, 1, (200, 200, 200))
    return t


def _bars(count: int, share: float, rails: tuple[float, ...], veil: int) -> U8:
    t = blank(veil)
    t[..., :3] = 230
    for k in range(count):
        rect(t, k / count, 0.04, (k + share) / count, 1, (225, 225, 225))
    for y in rails:
        rect(t, 0, y, 1, y + 0.06, (240, 240, 240))
    return t


def _picket(rng: Generator, index: int) -> U8:
    return _bars((8, 12)[index], (0.75, 0.94)[index], (0.2, 0.75), 0)


def _rail(rng: Generator, index: int) -> U8:
    return _bars((12, 2)[index], (0.2, 0.1)[index], ((0.02, 0.9), (0.05, 0.4, 0.75))[index], 60)


def _ring(rng: Generator, index: int) -> U8:
    t = blank(50)
    t[..., :3] = 120
    cv2.circle(t, (64, 64), 56, (110, 110, 110, 255), 9)
    for k in range(8):
        a = np.pi * k / 8
        d = np.array([np.cos(a), np.sin(a)]) * 54
        cv2.line(t, tuple((64 - d).astype(int)), tuple((64 + d).astype(int)), (200, 200, 200, 200), 2)
    return t


def _poster(rng: Generator, index: int) -> U8:
    t = blank(255)
    t[..., :3] = rng.integers(20, 240, 3)
    for _ in range(4):
        x, y = rng.uniform(0, 0.7, 2)
        c = rng.integers(0, 255, 3)
        rect(t, x, y, x + rng.uniform(0.1, 0.4), y + rng.uniform(0.1, 0.4), (int(c[0]), int(c[1]), int(c[2])))
    scribble(t, rng, 0.1, 0.35, 0.9, 0.6, (245, 245, 245))
    return t


PAINTERS: dict[Tile, Callable[[Generator, int], U8]] = {
    Tile.PLAIN: lambda rng, index: blank(),
    Tile.WINDOW: _window,
    Tile.SHOP: _shop,
    Tile.SIDING: _siding,
    Tile.GARAGE: _garage,
    Tile.CAR_REAR: cars.rear,
    Tile.CAR_FRONT: cars.front,
    Tile.CAR_SIDE: cars.side,
    Tile.CAR_GLASS: cars.side_glass,
    Tile.CAR_SCREEN: cars.end_glass,
    Tile.CAR_TOP: cars.top,
    Tile.TRUCK_REAR: cars.truck_rear,
    Tile.TRUCK_SIDE: cars.truck_side,
    Tile.CAB_SIDE: cars.cab_side,
    Tile.CAB_FRONT: cars.cab_front,
    Tile.MACHINE: cars.machine_cab,
    Tile.ARROWS: cars.arrows,
    Tile.BUS_SIDE: cars.bus_side,
    Tile.BUS_END: cars.bus_end,
    Tile.WHEEL: cars.wheel,
    Tile.STOP: _stop,
    Tile.PLATE_SIGN: _plate,
    Tile.STREET_SIGN: _street_sign,
    Tile.WARN: _warn,
    Tile.LIGHT: _light,
    Tile.WALK: _walk,
    Tile.VEST: _vest,
    Tile.BARREL: _barrel,
    Tile.CONE: _cone,
    Tile.STRIPES: _stripes,
    Tile.BRANCH: plants.branch,
    Tile.CHAIN: _chain,
    Tile.PICKET: _picket,
    Tile.RAIL: _rail,
    Tile.SKYLINE: plants.skyline,
    Tile.RING: _ring,
    Tile.POSTER: _poster,
    Tile.CROWN: plants.crown,
}
