"""The pictures on surfaces of a street: windows, signs, lamps, stripes, branches; painted by code."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import cv2
import numpy as np
from numpy.random import Generator

from banana_cli.types import F32, U8
from banana_cli.worlds.noise import tile as noise_tile

SIDE = 128
Rgb = tuple[int, int, int]


class Tile(IntEnum):
    """First of the tiles of a kind; ``COUNT`` says how many variants follow it."""

    PLAIN = 0
    WINDOW = 1
    SHOP = WINDOW + 24
    SIDING = SHOP + 8
    GARAGE = SIDING + 4
    CAR_REAR = GARAGE + 2
    CAR_FRONT = CAR_REAR + 6
    CAR_SIDE = CAR_FRONT + 6
    TRUCK_REAR = CAR_SIDE + 3
    TRUCK_SIDE = TRUCK_REAR + 3
    BUS_SIDE = TRUCK_SIDE + 5
    BUS_END = BUS_SIDE + 2
    WHEEL = BUS_END + 2
    STOP = WHEEL + 3
    PLATE_SIGN = STOP + 1
    STREET_SIGN = PLATE_SIGN + 8
    WARN = STREET_SIGN + 4
    LIGHT = WARN + 6
    BARREL = LIGHT + 3
    CONE = BARREL + 2
    STRIPES = CONE + 3
    BRANCH = STRIPES + 3
    CHAIN = BRANCH + 6
    PICKET = CHAIN + 2
    RAIL = PICKET + 2
    SKYLINE = RAIL + 2
    RING = SKYLINE + 3
    POSTER = RING + 1
    LEAVES = POSTER + 4
    END = LEAVES + 3


COUNT = {a: int(b) - int(a) for a, b in zip(list(Tile), list(Tile)[1:], strict=False)}


def pick(rng: Generator, kind: Tile) -> int:
    """A random variant of a kind of tile."""
    return int(kind) + int(rng.integers(COUNT[kind]))


def blank(alpha: int = 0) -> U8:
    """An empty tile (SIDE, SIDE, 4)."""
    out = np.zeros((SIDE, SIDE, 4), np.uint8)
    out[..., 3] = alpha
    return out


def _rect(t: U8, x0: float, y0: float, x1: float, y1: float, rgb: Rgb, alpha: int = 255) -> None:
    a, b = (round(x0 * SIDE), round(y0 * SIDE)), (round(x1 * SIDE) - 1, round(y1 * SIDE) - 1)
    cv2.rectangle(t, a, b, (*rgb, alpha), -1)


def _grey(rng: Generator, low: int, high: int, tint: int = 12) -> Rgb:
    base = int(rng.integers(low, high))
    r, g, b = (int(np.clip(base + rng.integers(-tint, tint + 1), 0, 255)) for _ in range(3))
    return (r, g, b)


def _glass(t: U8, rng: Generator, x0: float, y0: float, x1: float, y1: float) -> None:
    top, low = _grey(rng, 45, 150), _grey(rng, 12, 70)
    rows = max(round((y1 - y0) * SIDE), 1)
    for k in range(rows):
        f = k / rows
        colour = tuple(int(a * (1 - f) + b * f) for a, b in zip(top, low, strict=True))
        y = y0 + k / SIDE
        _rect(t, x0, y, x1, y + 1.5 / SIDE, (colour[0], colour[1], min(colour[2] + 8, 255)))


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
    frame = _grey(rng, 30, 230)
    if style == 2:
        _rect(t, max(x0 - 0.06, 0), y0 - 0.08, min(x1 + 0.06, 1), y0, _grey(rng, 120, 220), 200)
    if style >= 2:
        _rect(t, max(x0 - 0.05, 0), y1, min(x1 + 0.05, 1), min(y1 + 0.05, 1), _grey(rng, 100, 220), 220)
    _rect(t, x0, y0, x1, y1, frame)
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    bar = 0.025
    for i in range(columns):
        for j in range(rows):
            a, b = x0 + bar + i * w / columns, y0 + bar + j * (y1 - y0) / rows
            _glass(t, rng, a, b, a + w / columns - 1.5 * bar, b + (y1 - y0) / rows - 1.5 * bar)
    if style == 3:
        _rect(t, 0, 0.94, 1, 1, _grey(rng, 90, 210), 180)
    return t


def _shop(rng: Generator, index: int) -> U8:
    t = blank()
    _rect(t, 0.04, 0.25, 0.96, 0.92, _grey(rng, 20, 90))
    for k in range(3):
        _glass(t, rng, 0.07 + k * 0.3, 0.29, 0.07 + k * 0.3 + 0.26, 0.88 if k != index % 3 else 0.99)
    if index % 2:
        colour = tuple(int(c) for c in rng.integers(20, 230, 3))
        _rect(t, 0, 0.05, 1, 0.2, (colour[0], colour[1], colour[2]))
        _scribble(t, rng, 0.1, 0.08, 0.9, 0.17, _grey(rng, 180, 250))
    elif index % 4 == 0:
        colour = tuple(int(c) for c in rng.integers(20, 180, 3))
        _rect(t, 0, 0.12, 1, 0.34, (colour[0], colour[1], colour[2]))
    return t


def _scribble(t: U8, rng: Generator, x0: float, y0: float, x1: float, y1: float, rgb: Rgb) -> None:
    """Unreadable letters."""
    x, size = x0, y1 - y0
    while x < x1 - size * 0.4:
        w = size * rng.uniform(0.3, 0.7)
        for _ in range(3):
            p = [
                (int((x + rng.random() * w) * SIDE), int((y0 + rng.random() * size) * SIDE)) for _ in range(2)
            ]
            cv2.line(t, p[0], p[1], (*rgb, 255), max(int(size * SIDE * 0.18), 1))
        x += w * 1.2


def _siding(rng: Generator, index: int) -> U8:
    t = blank()
    rows = (10, 16, 24, 6)[index % 4]
    for k in range(rows):
        _rect(t, 0, k / rows, 1, (k + 0.22) / rows, (0, 0, 0), 70)
        if index % 2:
            for j in range(4):
                x = (j + 0.5 * (k % 2)) / 4
                _rect(t, x, k / rows, x + 0.02, (k + 1) / rows, (0, 0, 0), 60)
    return t


def _garage(rng: Generator, index: int) -> U8:
    t = blank()
    _rect(t, 0, 0, 1, 1, _grey(rng, 150, 240))
    for k in range(1, 5):
        _rect(t, 0, k / 5, 1, k / 5 + 0.02, _grey(rng, 60, 120))
    if index:
        for k in range(4):
            _glass(t, rng, 0.06 + k * 0.23, 0.06, 0.24 + k * 0.23, 0.16)
    return t


def _lamp(t: U8, x: float, y: float, w: float, h: float, rgb: Rgb) -> None:
    for side in (x, 1 - x - w):
        _rect(t, side, y, side + w, y + h, rgb)


def _car_rear(rng: Generator, index: int) -> U8:
    t = blank()
    red: Rgb = (int(rng.integers(110, 235)), int(rng.integers(5, 40)), int(rng.integers(5, 30)))
    y = rng.uniform(0.08, 0.3)
    _lamp(t, 0.03, y, rng.uniform(0.12, 0.3), rng.uniform(0.16, 0.34), red)
    _lamp(t, 0.08, y + 0.05, 0.07, 0.08, (230, 170, 150))
    _rect(t, 0.0, 0.62, 1, 0.66, (20, 20, 20), 150)
    _rect(t, 0.36, 0.36, 0.64, 0.54, (225, 225, 215))
    _scribble(t, rng, 0.39, 0.4, 0.62, 0.5, (60, 60, 110))
    _rect(t, 0.05, 0.84, 0.95, 1, (22, 22, 24), 235)
    _rect(t, 0.3, 0.08, 0.7, 0.12, (210, 210, 210), 120 * (index % 2))
    return t


def _car_front(rng: Generator, index: int) -> U8:
    t = blank()
    y = rng.uniform(0.1, 0.3)
    _lamp(t, 0.03, y, rng.uniform(0.16, 0.26), rng.uniform(0.14, 0.24), (235, 235, 225))
    _rect(t, 0.28, y, 0.72, y + 0.22, (25, 25, 28))
    for k in range(3):
        _rect(t, 0.28, y + 0.03 + 0.07 * k, 0.72, y + 0.05 + 0.07 * k, (150, 150, 150), 160)
    _rect(t, 0.2, 0.66, 0.8, 0.86, (25, 25, 28), 240)
    _lamp(t, 0.07, 0.68, 0.1, 0.1, (200, 195, 170))
    _rect(t, 0.39, 0.58, 0.61, 0.68, (225, 225, 215), 255 * (index % 2))
    _rect(t, 0.0, 0.92, 1, 1, (25, 25, 28), 220)
    return t


def _car_side(rng: Generator, index: int) -> U8:
    t = blank()
    _rect(t, 0.0, 0.86, 1, 1, (22, 22, 24), 220)
    for x in (0.33, 0.55, 0.76)[: 2 + index % 2]:
        _rect(t, x, 0.05, x + 0.008, 0.85, (0, 0, 0), 150)
        _rect(t, x - 0.06, 0.2, x - 0.02, 0.26, (10, 10, 10), 150)
    _rect(t, 0, 0.42, 1, 0.45, (255, 255, 255), 50)
    return t


def _truck_rear(rng: Generator, index: int) -> U8:
    t = blank()
    _rect(t, 0.03, 0.03, 0.97, 0.9, _grey(rng, 120, 230), 160)
    _rect(t, 0.49, 0.03, 0.51, 0.9, (40, 40, 40), 200)
    for x in (0.2, 0.78):
        _rect(t, x, 0.03, x + 0.02, 0.9, (90, 90, 90), 200)
    _lamp(t, 0.04, 0.9, 0.12, 0.06, (190, 20, 15))
    if index == 1:
        _scribble(t, rng, 0.15, 0.2, 0.85, 0.4, (40, 60, 150))
    return t


def _truck_side(rng: Generator, index: int) -> U8:
    t = blank()
    ink = tuple(int(c) for c in rng.integers(10, 200, 3))
    if index < 3:
        _scribble(t, rng, 0.12, 0.2, 0.85, 0.45, (ink[0], ink[1], ink[2]))
        _scribble(t, rng, 0.25, 0.6, 0.7, 0.68, (60, 60, 60))
    else:
        for k in range(8):
            _rect(t, k / 8, 0, k / 8 + 0.02, 1, (0, 0, 0), 90)
        _rect(t, 0, 0, 1, 0.05, (0, 0, 0), 90)
    _rect(t, 0, 0.95, 1, 1, (30, 30, 30), 220)
    return t


def _bus_side(rng: Generator, index: int) -> U8:
    t = blank()
    for k in range(6):
        _glass(t, rng, 0.02 + k * 0.163, 0.14, 0.155 + k * 0.163, 0.5)
    _rect(t, 0, 0.6, 1, 0.68 + 0.1 * index, (int(rng.integers(20, 220)), 60, int(rng.integers(20, 200))))
    _rect(t, 0, 0.94, 1, 1, (25, 25, 25), 230)
    return t


def _bus_end(rng: Generator, index: int) -> U8:
    t = blank()
    _glass(t, rng, 0.06, 0.2 if index else 0.1, 0.94, 0.6 if index else 0.4)
    _rect(t, 0.2, 0.05, 0.8, 0.15, (20, 20, 20), 255)
    _scribble(t, rng, 0.25, 0.07, 0.75, 0.13, (250, 170, 40))
    _lamp(t, 0.05, 0.76, 0.12, 0.1, (235, 235, 220) if index else (200, 20, 20))
    _rect(t, 0, 0.92, 1, 1, (25, 25, 25), 230)
    return t


def _wheel(rng: Generator, index: int) -> U8:
    t = blank(255)
    t[..., :3] = 24
    c = SIDE // 2
    rim = _grey(rng, 90, 200)
    cv2.circle(t, (c, c), int(SIDE * 0.31), (*rim, 255), -1)
    for k in range(5 + index):
        a = 2 * np.pi * k / (5 + index)
        p = (int(c + np.cos(a) * SIDE * 0.2), int(c + np.sin(a) * SIDE * 0.2))
        cv2.circle(t, p, int(SIDE * 0.06), (30, 30, 30, 255), -1)
    return t


def _stop(rng: Generator, index: int) -> U8:
    t = blank(255)
    t[..., :3] = (190, 20, 30)
    cv2.putText(t, "STOP", (14, 78), cv2.FONT_HERSHEY_DUPLEX, 1.3, (245, 245, 245, 255), 4)
    return t


def _plate(rng: Generator, index: int) -> U8:
    t = blank(255)
    white = (240, 240, 238)
    back: Rgb = (white, white, (20, 60, 160), white, (20, 110, 60), white, (200, 30, 30), (30, 30, 30))[index]
    ink: Rgb = (20, 20, 20) if back == white else white
    t[..., :3] = back
    cv2.rectangle(t, (5, 5), (SIDE - 6, SIDE - 6), (*ink, 255), 2)
    if index in (0, 3):
        _scribble(t, rng, 0.12, 0.1, 0.9, 0.22, ink)
        _scribble(t, rng, 0.12, 0.28, 0.9, 0.4, ink)
        cv2.putText(t, "25" if index else "35", (26, 112), cv2.FONT_HERSHEY_DUPLEX, 1.9, (*ink, 255), 5)
    elif index == 1:
        cv2.arrowedLine(t, (20, 64), (110, 64), (*ink, 255), 12, tipLength=0.4)
    else:
        for k in range(3):
            _scribble(t, rng, 0.12, 0.12 + 0.28 * k, 0.9, 0.3 + 0.28 * k, ink)
    if index == 5:
        cv2.circle(t, (64, 46), 30, (200, 20, 30, 255), 6)
    return t


def _street_sign(rng: Generator, index: int) -> U8:
    t = blank(255)
    t[..., :3] = ((0, 95, 60), (0, 80, 50), (30, 70, 160), (90, 60, 40))[index]
    cv2.rectangle(t, (3, 3), (SIDE - 4, SIDE - 4), (235, 235, 235, 255), 3)
    for k in range(1 + index % 3):
        n = 1 + index % 3
        _scribble(t, rng, 0.1, 0.12 + 0.8 * k / n, 0.92, 0.12 + 0.8 * (k + 0.75) / n, (245, 245, 245))
    return t


def _warn(rng: Generator, index: int) -> U8:
    t = blank(255)
    t[..., :3] = (
        (245, 120, 10),
        (250, 110, 20),
        (240, 190, 10),
        (235, 200, 20),
        (190, 235, 30),
        (250, 95, 15),
    )[index]
    c = SIDE // 2
    for k in range(3):
        _scribble(t, rng, 0.28, 0.3 + 0.14 * k, 0.74, 0.41 + 0.14 * k, (15, 15, 15))
    if index % 2:
        cv2.circle(t, (c, c), 14, (15, 15, 15, 255), -1)
    return t


def _light(rng: Generator, index: int) -> U8:
    t = blank(255)
    t[..., :3] = (28, 28, 26)
    on: tuple[Rgb, ...] = ((255, 45, 30), (255, 190, 40), (50, 255, 170))
    for k in range(3):
        rgb = on[k] if k == index else tuple(int(c * 0.16) for c in on[k])
        cv2.circle(t, (64, 22 + 42 * k), 17, (rgb[0], rgb[1], rgb[2], 255), -1)
    return t


def _bands(colours: tuple[Rgb, ...], edges: tuple[float, ...]) -> U8:
    t = blank(255)
    for colour, a, b in zip(colours, (0.0, *edges), (*edges, 1.0), strict=True):
        _rect(t, 0, a, 1, b, colour)
    return t


def _barrel(rng: Generator, index: int) -> U8:
    o: Rgb = (250, 85, 15)
    w: Rgb = (240, 240, 235)
    black: Rgb = (20, 20, 20)
    return _bands((o, w, o, w, o, black), (0.2, 0.34, 0.5, 0.64, 0.92 - 0.04 * index))


def _cone(rng: Generator, index: int) -> U8:
    o: Rgb = (250, 80, 15)
    w: Rgb = (240, 240, 235)
    if index == 0:
        return _bands((o, w, o, w, o), (0.25, 0.45, 0.57, 0.72))
    if index == 1:
        return _bands((o, w, o), (0.3, 0.55))
    return _bands(((190, 240, 30), (235, 240, 225), (190, 240, 30)), (0.3, 0.5))


def _stripes(rng: Generator, index: int) -> U8:
    t = blank(255)
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    on = ((x + y * (1 if index else -1)) // 32) % 2 == 0
    t[..., :3] = np.where(on[..., None], (250, 90, 20), (240, 240, 235))
    if index == 2:
        t[..., :3] = (190, 188, 180)
    return t


def _grow(t: U8, rng: Generator, p: F32, angle: float, length: float, width: float) -> None:
    if length < 2.5:
        return
    q = p + length * np.array([np.cos(angle), -np.sin(angle)], np.float32)
    tone = int(rng.integers(150, 255))
    a, b = ((int(p[0] * 8), int(p[1] * 8)), (int(q[0] * 8), int(q[1] * 8)))
    cv2.line(t, a, b, (tone, tone, tone, 255), max(round(width), 1), cv2.LINE_AA, 3)
    for _ in range(int(rng.integers(2, 4))):
        turn = angle + rng.normal(0, 0.5)
        _grow(t, rng, q.astype(np.float32), turn, length * rng.uniform(0.62, 0.88), width * 0.6)


def _branch(rng: Generator, index: int) -> U8:
    t = blank()
    t[..., :3] = 190
    for turn in (1.57, 1.1, 2.0):
        _grow(t, rng, np.array([64, 127], np.float32), turn + rng.normal(0, 0.1), SIDE * 0.2, 3.2)
    hull = cv2.GaussianBlur(cv2.dilate(t[..., 3], np.ones((5, 5), np.uint8)), (0, 0), 3)
    t[..., 3] = np.maximum(t[..., 3], (hull * 0.34).astype(np.uint8))
    return t


def _chain(rng: Generator, index: int) -> U8:
    t = blank(70)
    t[..., :3] = 200
    for k in range(-8, 17):
        cv2.line(t, (k * 16, 0), (k * 16 + SIDE, SIDE), (210, 210, 210, 150), 1)
        cv2.line(t, (k * 16 + SIDE, 0), (k * 16, SIDE), (210, 210, 210, 150), 1)
    _rect(t, 0, 0, 1, 0.03, (210, 210, 210))
    _rect(t, 0, 0, 0.03, 1, (200, 200, 200))
    return t


def _bars(count: int, share: float, rails: tuple[float, ...], veil: int) -> U8:
    t = blank(veil)
    t[..., :3] = 230
    for k in range(count):
        _rect(t, k / count, 0.04, (k + share) / count, 1, (225, 225, 225))
    for y in rails:
        _rect(t, 0, y, 1, y + 0.06, (240, 240, 240))
    return t


def _picket(rng: Generator, index: int) -> U8:
    return _bars((8, 12)[index], (0.75, 0.94)[index], (0.2, 0.75), 0)


def _rail(rng: Generator, index: int) -> U8:
    return _bars((12, 2)[index], (0.2, 0.1)[index], ((0.02, 0.9), (0.05, 0.4, 0.75))[index], 60)


def _skyline(rng: Generator, index: int) -> U8:
    t = blank(255)
    x = np.arange(SIDE) * 2 * np.pi / SIDE
    edge = np.full(SIDE, 30.0) + sum(
        rng.uniform(4, 14) / k**0.6 * np.sin(k * x + rng.uniform(0, 6)) for k in (1, 2, 3, 5, 9, 17)
    )
    rows = np.arange(SIDE)[:, None]
    t[..., 3] = np.where(rows > edge[None], 255, 0)
    t[..., :3] = np.clip(205 + 45 * noise_tile(21 + index, 16, 3, 0.8)[:SIDE, :SIDE, None], 70, 255)
    return t


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
        _rect(
            t, x, y, x + rng.uniform(0.1, 0.4), y + rng.uniform(0.1, 0.4), (int(c[0]), int(c[1]), int(c[2]))
        )
    _scribble(t, rng, 0.1, 0.35, 0.9, 0.6, (245, 245, 245))
    return t


def _leaves(rng: Generator, index: int) -> U8:
    t = blank()
    t[..., :3] = 120
    for _ in range(420):
        angle, r = rng.uniform(0, 2 * np.pi), 52 * np.sqrt(rng.random()) * rng.uniform(0.7, 1.1)
        p = (int(64 + r * np.cos(angle)), int(64 + r * np.sin(angle)))
        tone = int(rng.integers(60, 255))
        cv2.ellipse(t, p, (5, 2), float(rng.uniform(0, 180)), 0, 360, (tone, tone, tone, 255), -1)
    return t


PAINTERS: dict[Tile, Callable[[Generator, int], U8]] = {
    Tile.PLAIN: lambda rng, index: blank(),
    Tile.WINDOW: _window,
    Tile.SHOP: _shop,
    Tile.SIDING: _siding,
    Tile.GARAGE: _garage,
    Tile.CAR_REAR: _car_rear,
    Tile.CAR_FRONT: _car_front,
    Tile.CAR_SIDE: _car_side,
    Tile.TRUCK_REAR: _truck_rear,
    Tile.TRUCK_SIDE: _truck_side,
    Tile.BUS_SIDE: _bus_side,
    Tile.BUS_END: _bus_end,
    Tile.WHEEL: _wheel,
    Tile.STOP: _stop,
    Tile.PLATE_SIGN: _plate,
    Tile.STREET_SIGN: _street_sign,
    Tile.WARN: _warn,
    Tile.LIGHT: _light,
    Tile.BARREL: _barrel,
    Tile.CONE: _cone,
    Tile.STRIPES: _stripes,
    Tile.BRANCH: _branch,
    Tile.CHAIN: _chain,
    Tile.PICKET: _picket,
    Tile.RAIL: _rail,
    Tile.SKYLINE: _skyline,
    Tile.RING: _ring,
    Tile.POSTER: _poster,
    Tile.LEAVES: _leaves,
}
