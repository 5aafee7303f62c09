"""Vehicles on four wheels and more: cars, pickups, vans, lorries, buses, diggers, trailers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from banana_cli.worlds.street_parts import Builder, Colour, Frame, Look, Point, linear
from banana_cli.worlds.street_shapes import PICKUPS, SHAPES, VANS, Shape
from banana_cli.worlds.street_tiles import Tile, pick

CAR, TRUCK, BUS = 13, 14, 15
PAINT = (
    (226, 227, 229), (232, 232, 230), (215, 214, 208), (24, 25, 27), (14, 14, 16), (36, 37, 40),
    (120, 123, 126), (160, 163, 166), (185, 187, 188), (78, 80, 84), (60, 62, 66), (130, 22, 24),
    (165, 26, 28), (24, 44, 88), (40, 70, 120), (90, 116, 140), (54, 62, 54), (104, 92, 76), (96, 26, 30),
)  # fmt: skip
_FLEET = (
    (232, 232, 230), (228, 228, 226), (215, 215, 212), (170, 30, 30), (40, 70, 130), (30, 32, 34),
    (200, 150, 30), (110, 112, 114), (50, 90, 60),
)  # fmt: skip
_LOAD = ((230, 230, 228), (200, 200, 195), (140, 112, 64), (90, 95, 100), (150, 50, 36), (120, 108, 92))
_WORK = ((222, 160, 20), (226, 150, 14), (214, 96, 22), (230, 176, 40), (190, 190, 186))
GLASS: Colour = (0.018, 0.022, 0.024)
_DARK: Colour = (0.012, 0.012, 0.013)


def one(rng: Generator, palette: tuple[tuple[int, int, int], ...], spread: float = 0.14) -> Colour:
    """A colour of the palette, a little brighter or darker."""
    base = linear(*palette[int(rng.integers(len(palette)))])
    k = float(np.exp(rng.normal(0, spread)))
    return (min(base[0] * k, 0.9), min(base[1] * k, 0.9), min(base[2] * k, 0.9))


def car(
    b: Builder,
    rng: Generator,
    s: float,
    l: float,  # noqa: E741
    *,
    yaw: float = 0.0,
    speed: float = 0.0,
    drift: float = 0.0,
    brake: bool = False,
    work: bool = False,
) -> None:
    """A car of a random shape; ``yaw`` pi comes towards us, ``speed`` is along the road."""
    draw = rng.random()
    kinds = (
        PICKUPS if draw < (0.6 if work else 0.15) else VANS if draw < (0.95 if work else 0.24) else range(7)
    )
    index = int(rng.choice(kinds))
    shape, k = SHAPES[index], rng.uniform(0.94, 1.06)
    size = (shape.width * rng.uniform(0.97, 1.03), shape.height * k, shape.length * k)
    obj = b.place(s, l, yaw=yaw, speed=speed, drift=drift, size=size, counted=True)
    fleet = work or index in VANS
    paint = Look(
        cls=CAR, colour=one(rng, _FLEET if fleet else PAINT), gloss=rng.uniform(0.12, 0.34), rough=0.03
    )
    hull(b, rng, obj, index, size, paint, brake=brake)
    if s < 70:
        foot = (shape.glass[3] - 0.13 * (shape.glass[3] - shape.glass[2]) - 0.5) * size[2] - 0.1
        _mirrors(b, obj, paint, size[0] / 2, 0.02 - size[1] * shape.belt, foot)
    r = 0.33 if shape.height < 1.6 else 0.385
    for z in (0.19, 0.81):
        wheels(b, rng, obj, size, (z - 0.5) * size[2], r, CAR)
    if index in PICKUPS:
        _bed(b, rng, obj, shape, size)
    elif index in VANS and rng.random() < 0.35:
        _ladders(b, obj, size)
    elif rng.random() < 0.05:
        _roof_sign(b, obj, size)


def tinted(paint: Look, tile: int, glow: float = 0.0) -> Look:
    """The same paint with a picture on it."""
    return replace(paint, tile=tile, gloss=paint.gloss * 0.7, rough=0.02, glow=glow)


def hull(b: Builder, rng: Generator, obj: int, index: int, size: Point, paint: Look, *, brake: bool) -> None:
    """Body with bevelled corners in plan, cabin, panes."""
    shape = SHAPES[index]
    w, h, n = size[0] / 2, size[1], size[2]
    low, belt, nose, tail = -0.24, -h * shape.belt, -h * shape.nose, -h * shape.tail
    back, front = -n / 2 + 0.07 * n * rng.uniform(0.6, 1.2), n / 2 - 0.09 * n * rng.uniform(0.7, 1.2)
    z = [(p - 0.5) * n for p in shape.glass]
    z[0], z[1] = max(z[0], -n / 2 + 0.03 * n), max(z[1], -n / 2 + 0.04 * n)
    deck, front = min(back, z[0]), min(max(front, z[3] + 0.01), n / 2 - 0.04)
    inside = (0.0, -h * 0.4, 0.0)
    side = tinted(
        paint, pick(rng, Tile.CAR_SIDE) if index in VANS else int(Tile.CAR_SIDE) + int(rng.integers(4))
    )
    inset = w * (0.92 if index in VANS else 0.78)
    hood = tinted(paint, int(Tile.CAR_TOP))
    for k in (-1, 1):
        body = [(k * w, low, front), (k * w, low, deck), (k * w, tail, deck), (k * w, belt, z[0]),
                (k * w, belt, z[3]), (k * w, nose, front)]  # fmt: skip
        b.polygon(obj, body, side, middle=inside, frame=_along(n, belt, low))
        pane = [(k * w, belt, z[0]), (k * inset, -h, z[1]), (k * inset, -h, z[2]), (k * w, belt, z[3])]
        look = Look(cls=CAR, colour=paint.colour, tile=int(Tile.CAR_GLASS) + index, gloss=0.3, rough=0.0)
        span, drop = z[3] - z[0], belt + h
        b.polygon(
            obj, pane, look, middle=inside, frame=((0, 0, 1 / span, -z[0] / span), (0, 1 / drop, 0, h / drop))
        )
    lamps = tinted(paint, pick(rng, Tile.CAR_REAR), 1.3 * brake)
    face = tinted(paint, pick(rng, Tile.CAR_FRONT), 0.9 * (rng.random() < 0.35))
    chin = nose + 0.1 * h
    _end(b, obj, lamps, (w, 0.84 * w), (tail, tail + 0.03 * h, low), (deck, -n / 2), inside)
    _end(b, obj, face, (w, 0.76 * w), (nose, chin, low), (front, n / 2), inside)
    screen = [
        Look(
            cls=CAR,
            colour=paint.colour,
            tile=int(Tile.CAR_SCREEN) + 2 * int(rng.integers(4)) + odd,
            gloss=0.35,
            rough=0.02,
        )
        for odd in (0, 1)
    ]
    roof = tinted(paint, int(Tile.CAR_TOP) + int(rng.random() < 0.2))
    strips = (
        ((w, tail, deck), (w, belt, z[0]), paint),
        ((w, belt, z[0]), (inset, -h, z[1]), paint if index == VANS[0] else screen[1]),
        ((inset, -h, z[1]), (inset, -h, z[2]), roof),
        ((inset, -h, z[2]), (w, belt, z[3]), screen[0]),
        ((w, belt, z[3]), (w, nose, front), hood),
    )
    for p, q, look in strips:
        _sheet(b, obj, p, q, look, inside)


def _mirrors(b: Builder, obj: int, paint: Look, w: float, y: float, z: float) -> None:
    look = replace(paint, reach=45.0)
    for k in (-1, 1):
        b.boxes(obj, (k * (w + 0.1), y, z), (0.2, 0.15, 0.12), (look,) * 4)


def _along(n: float, top: float, low: float) -> Frame:
    drop = 1 / (low - top)
    return ((0, 0, 1 / n, 0.5), (0, drop, 0, -top * drop))


def _sheet(b: Builder, obj: int, p: Point, q: Point, look: Look, inside: Point) -> None:
    """A strip across the car between two mirrored edges; the higher one is the tile's top."""
    upper, lower = (p, q) if p[1] <= q[1] else (q, p)
    (a, y, z), (c, y1, z1) = upper, lower
    b.polygon(obj, [(-a, y, z), (a, y, z), (c, y1, z1), (-c, y1, z1)], look, middle=inside)


def _end(
    b: Builder,
    obj: int,
    look: Look,
    wide: tuple[float, float],
    y: tuple[float, float, float],
    z: tuple[float, float],
    inside: Point,
) -> None:
    """Nose or tail: a panel, two bevels, a lid; ``wide``, ``y`` and ``z`` run outwards, then down."""
    (w, c), (top, edge, low), (z0, z1) = wide, y, z
    drop = 1 / (low - top)
    frame = ((0.5 / w, 0, 0, 0.5), (0, drop, 0, -top * drop))
    b.polygon(
        obj, [(-c, edge, z1), (c, edge, z1), (c, low, z1), (-c, low, z1)], look, middle=inside, frame=frame
    )
    for k in (-1, 1):
        bevel = [(k * w, top, z0), (k * c, edge, z1), (k * c, low, z1), (k * w, low, z0)]
        b.polygon(obj, bevel, look, middle=inside, frame=frame)
    lid = replace(look, tile=0, glow=0)
    b.polygon(obj, [(-w, top, z0), (w, top, z0), (c, edge, z1), (-c, edge, z1)], lid, middle=inside)


def wheels(b: Builder, rng: Generator, obj: int, size: Point, z: float, r: float, cls: int) -> None:
    """Two wheels at ``z`` with dark tyres."""
    look = Look(cls=cls, tile=pick(rng, Tile.WHEEL), rough=0.05, reach=90)
    dark = Look(cls=cls, colour=_DARK, reach=90)
    turns = np.arange(8) * np.pi / 4 + np.pi / 8
    for k in (-1, 1):
        x = k * (size[0] / 2 + 0.015)
        ring = [(x, -r + float(np.sin(a)) * r * 1.03, z + float(np.cos(a)) * r * 1.03) for a in turns]
        frame = ((0, 0, 0.5 / r, 0.5 - 0.5 * z / r), (0, 0.5 / r, 0, 1.0))
        b.polygon(obj, ring, look, middle=(0.0, -r, z), frame=frame)
    b.boxes(obj, (0, 0, z), (size[0] * 0.98, r, 2 * r * 0.8), (dark, dark, None, None, None))


def _bed(b: Builder, rng: Generator, obj: int, shape: Shape, size: Point) -> None:
    dark = Look(cls=CAR, colour=(0.02, 0.02, 0.02))
    z0, z1 = -size[2] / 2 + 0.12, (shape.glass[0] - 0.5) * size[2]
    y, w = -size[1] * shape.tail - 0.012, size[0] / 2 - 0.12
    b.polygon(obj, [(-w, y, z1), (w, y, z1), (w, y, z0), (-w, y, z0)], dark)
    draw = rng.random()
    if draw < 0.2:  # a cover to the cabin's height
        cap = Look(cls=CAR, colour=one(rng, _FLEET), gloss=0.2)
        b.boxes(obj, (0, y, (z0 + z1) / 2), (2 * w, size[1] * 0.3, z1 - z0), (cap,) * 5)
    elif draw < 0.4:  # a load
        stuff = Look(cls=CAR, colour=one(rng, _LOAD), rough=0.4)
        b.boxes(obj, (0, y, z0 + 0.8), (1.4 * w, rng.uniform(0.15, 0.5), 1.1), (stuff,) * 5)


def _ladders(b: Builder, obj: int, size: Point) -> None:
    metal = Look(cls=CAR, colour=(0.4, 0.4, 0.4), reach=70)
    for x in (-0.5, -0.1, 0.4):
        b.boxes(obj, (x, -size[1] - 0.16, -0.3), (0.07, 0.08, size[2] * 0.72), (metal,) * 6)


def _roof_sign(b: Builder, obj: int, size: Point) -> None:
    lamp = Look(cls=CAR, colour=(0.6, 0.5, 0.2), glow=0.4)
    b.boxes(obj, (0, -size[1], 0.1), (0.7, 0.2, 0.25), (lamp,) * 5)


def truck(
    b: Builder,
    rng: Generator,
    s: float,
    l: float,  # noqa: E741
    *,
    yaw: float = 0.0,
    speed: float = 0.0,
    drift: float = 0.0,
) -> None:
    """A lorry: box, tipper, flat bed or long trailer behind a cab with or without a bonnet; a step van."""
    style = int(rng.choice([0, 0, 1, 1, 2, 3, 4]))
    n, w = (rng.uniform(12, 16) if style == 3 else rng.uniform(6, 9.5)), rng.uniform(2.2, 2.55)
    h = rng.uniform(2.9, 3.9)
    obj = b.place(s, l, yaw=yaw, speed=speed, drift=drift, size=(w, h, n), counted=True)
    paint = Look(cls=TRUCK, colour=one(rng, _FLEET), gloss=0.15, rough=0.05)
    load = Look(cls=TRUCK, colour=one(rng, _LOAD), rough=0.1)
    if style == 4:
        load = paint
    cab = _cab(b, rng, obj, (w, h, n), paint, nosed=style != 4 and rng.random() < 0.6)
    _load(b, rng, obj, (w, h, n), n - cab, load, style)
    frame = Look(cls=TRUCK, colour=(0.03, 0.03, 0.03))
    b.boxes(obj, (0, -0.5, 0), (w * 0.6, 0.45, n * 0.98), (frame,) * 6)
    tank = Look(cls=TRUCK, colour=(0.35, 0.35, 0.36) if rng.random() < 0.4 else (0.03, 0.03, 0.03))
    b.boxes(obj, (0, -0.35, n * 0.12), (w * 0.96, 0.5, n * 0.14), (tank,) * 5)
    for at in (0.13, 0.13 + 1.15 / n, 0.86):
        wheels(b, rng, obj, (w, h, n), (at - 0.5) * n, 0.5, TRUCK)


def _cab(b: Builder, rng: Generator, obj: int, size: Point, paint: Look, *, nosed: bool) -> float:
    """Cab at the front; gives its length with the gap behind it."""
    w, _, n = size
    long, high = rng.uniform(1.6, 2.1), rng.uniform(1.9, 2.3)
    hood = rng.uniform(0.9, 1.5) if nosed else 0.0
    glass = replace(paint, tile=int(Tile.CAR_SCREEN) + 2 * int(rng.integers(4)), gloss=0.3)
    side = tinted(paint, pick(rng, Tile.CAB_SIDE))
    face = tinted(paint, pick(rng, Tile.CAB_FRONT), 0.4)
    z = n / 2 - hood - long / 2
    split = 0.95 if nosed else 1.0
    b.boxes(obj, (0, -0.45, z), (w * 0.94, high, long), (paint, None, side, side, paint))
    b.boxes(obj, (0, -0.45 - split, z), (w * 0.94, high - split, long), (None, glass, None, None, None))
    if nosed:
        shell = (w * 0.8, 1.05, hood)
        b.boxes(obj, (0, -0.45, n / 2 - hood / 2), shell, (None, face, paint, paint, paint))
        wing = replace(paint, tile=0)
        b.boxes(obj, (0, -0.6, n / 2 - hood / 2 - 0.1), (w * 0.98, 0.4, hood * 0.8), (wing,) * 5)
    else:
        b.boxes(obj, (0, -0.45, z), (w * 0.94, split, long), (None, face, None, None, None))
    if rng.random() < 0.4:
        chrome = Look(cls=TRUCK, colour=(0.5, 0.5, 0.5), gloss=0.3)
        for k in (-1, 1):
            b.quadric(obj, (k * w * 0.42, -1.9, z - long / 2 - 0.12), (0.07, 1.4, 0.07), chrome, kind="tube")
    dark = Look(cls=TRUCK, colour=_DARK, reach=60)
    for k in (-1, 1):
        b.boxes(obj, (k * (w / 2 + 0.12), -1.5, z + long * 0.45), (0.2, 0.55, 0.1), (dark,) * 4)
    return long + hood + 0.25


def _load(b: Builder, rng: Generator, obj: int, size: Point, room: float, load: Look, style: int) -> None:
    """What the lorry carries on the ``room`` metres that the cab leaves."""
    w, h, n = size
    z, y = -n / 2 + room / 2, -0.95
    rear = tinted(load, pick(rng, Tile.TRUCK_REAR), 0.4)
    ribs, words = int(Tile.TRUCK_SIDE) + 4 + int(rng.integers(3)), int(Tile.TRUCK_SIDE) + int(rng.integers(4))
    if style == 1:
        side = tinted(load, ribs)
        high = rng.uniform(1.2, 1.8)
        b.boxes(obj, (0, y, z), (w, high, room), (rear, load, side, side, Look(cls=TRUCK, colour=_DARK)))
        b.boxes(obj, (0, y - high, z + room / 2 - 0.4), (w * 0.95, 0.25, 1.6), (load,) * 6)
        return
    if style == 2:
        dark = replace(load, colour=(0.05, 0.045, 0.04))
        b.boxes(obj, (0, y, z), (w, 0.2, room), (dark,) * 6)
        stuff = Look(cls=TRUCK, colour=one(rng, _LOAD), rough=0.4)
        if rng.random() < 0.7:
            b.boxes(obj, (0, y - 0.2, z), (w * 0.8, rng.uniform(0.4, 1.4), room * 0.6), (stuff,) * 5)
        return
    side = tinted(load, words)
    b.boxes(obj, (0, y, z), (w, h - 0.95, room), (rear, load, side, side, load))


def bus(b: Builder, rng: Generator, s: float, l: float, *, yaw: float = 0.0, speed: float = 0.0) -> None:  # noqa: E741
    """A city bus or a yellow school bus."""
    n, w, h = rng.uniform(9, 13), 2.55, rng.uniform(2.9, 3.3)
    obj = b.place(s, l, yaw=yaw, speed=speed, size=(w, h, n), counted=True)
    hue = one(
        rng, ((225, 225, 225), (230, 160, 20), (40, 70, 140), (60, 120, 70), (200, 200, 205), (180, 40, 40))
    )
    paint = Look(cls=BUS, colour=hue, gloss=0.15, rough=0.04)
    side = tinted(paint, pick(rng, Tile.BUS_SIDE))
    rear, face = tinted(paint, Tile.BUS_END, 0.6), tinted(paint, Tile.BUS_END + 1, 0.6)
    b.boxes(obj, (0, -0.3, 0), (w, h - 0.3, n), (rear, face, side, side, paint, paint), (1, 1, 2))
    for at in (0.22, 0.8):
        wheels(b, rng, obj, (w, h, n), (at - 0.5) * n, 0.48, BUS)


def digger(b: Builder, rng: Generator, s: float, l: float, *, yaw: float = 0.0) -> None:  # noqa: E741
    """A loader or excavator: body, cab, arm of two beams, tracks or large wheels."""
    k = rng.uniform(0.7, 1.15)
    obj = b.place(s, l, yaw=yaw, size=(2.1 * k, 2.4 * k, 3.6 * k), counted=True)
    paint = Look(cls=TRUCK, colour=one(rng, _WORK), rough=0.12, gloss=0.06)
    dark = Look(cls=TRUCK, colour=(0.025, 0.025, 0.025), rough=0.3)
    glass = tinted(paint, pick(rng, Tile.MACHINE))
    b.boxes(obj, (0, -0.8 * k, -0.5 * k), (1.9 * k, 1.0 * k, 2.2 * k), (paint,) * 5)
    b.boxes(obj, (0.1 * k, -1.4 * k, 0.3 * k), (1.1 * k, 1.3 * k, 1.2 * k), (glass,) * 4 + (paint,))
    if rng.random() < 0.5:
        for x in (-0.85, 0.85):
            b.boxes(obj, (x * k, 0, 0), (0.45 * k, 0.8 * k, 3.2 * k), (dark,) * 5)
    else:
        for z in (-1.1, 1.1):
            wheels(b, rng, obj, (2.1 * k, 0, 0), z * k, 0.6 * k, TRUCK)
    lift, reach = rng.uniform(0.4, 1.3), rng.uniform(1.6, 2.6)
    elbow = (0.0, (-1.2 - reach * np.sin(lift)) * k, (0.9 + reach * np.cos(lift)) * k)
    _beam(b, obj, (0.0, -1.2 * k, 0.9 * k), elbow, 0.32 * k, paint)
    drop = rng.uniform(0.2, 1.3)
    hand = (0.0, min(elbow[1] + 2.0 * k * np.sin(drop), -0.4 * k), elbow[2] + 2.0 * k * np.cos(drop))
    _beam(b, obj, elbow, hand, 0.24 * k, paint)
    b.boxes(obj, (0, hand[1] + 0.35 * k, hand[2]), (1.1 * k, 0.6 * k, 0.6 * k), (dark,) * 6)


def _beam(b: Builder, obj: int, a: Point, c: Point, thick: float, look: Look) -> None:
    """A square beam from ``a`` to ``c`` in the plane x = const."""
    d = np.array([c[1] - a[1], c[2] - a[2]])
    d /= max(float(np.hypot(*d)), 1e-6)
    up = np.array([-d[1], d[0]]) * thick / 2
    middle = ((a[0] + c[0]) / 2, (a[1] + c[1]) / 2, (a[2] + c[2]) / 2)
    x, t = a[0], thick / 2

    def at(p: Point, side: float, k: float) -> Point:
        return (x + side * t, float(p[1] + k * up[0]), float(p[2] + k * up[1]))

    for k in (-1, 1):
        b.polygon(obj, [at(a, -1, k), at(a, 1, k), at(c, 1, k), at(c, -1, k)], look, middle=middle)
        b.polygon(obj, [at(a, k, -1), at(a, k, 1), at(c, k, 1), at(c, k, -1)], look, middle=middle)


def arrow_board(b: Builder, rng: Generator, s: float, l: float) -> None:  # noqa: E741
    """A trailer with amber arrows, or a generator."""
    obj = b.place(s, l, yaw=rng.normal(0, 0.1), size=(2.2, 2.6, 2.2), counted=True)
    paint = Look(cls=TRUCK, colour=one(rng, _WORK), rough=0.1)
    b.boxes(obj, (0, -0.45, 0), (1.5, 0.8, 1.9), (paint,) * 6)
    wheels(b, rng, obj, (1.9, 0, 0), 0.0, 0.34, TRUCK)
    if rng.random() < 0.7:
        b.boxes(obj, (0, -1.25, 0), (0.1, 0.9, 0.1), (paint,) * 4)
        lamps = Look(cls=TRUCK, tile=pick(rng, Tile.ARROWS), glow=2.0)
        dark = Look(cls=TRUCK, colour=_DARK)
        b.boxes(obj, (0, -1.7, -0.1), (2.3, 1.15, 0.1), (lamps, dark, dark, dark, dark, dark))
