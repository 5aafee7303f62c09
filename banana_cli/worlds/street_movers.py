"""What moves or could: cars, trucks, buses, two-wheelers, people; and what closes roads: cones, drums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from banana_cli.worlds.street_parts import Builder, Colour, Look, linear
from banana_cli.worlds.street_tiles import Tile, pick

PERSON, RIDER, CAR, TRUCK, BUS, MOTORCYCLE, BICYCLE, WORKS = 11, 12, 13, 14, 15, 17, 18, 19
_PAINT = (
    (225, 226, 228), (225, 226, 228), (30, 31, 34), (18, 18, 20), (130, 133, 136), (170, 173, 176),
    (88, 90, 94), (140, 22, 26), (170, 28, 30), (26, 50, 96), (40, 70, 120), (60, 70, 62),
    (110, 98, 82), (120, 122, 126),
)  # fmt: skip
_CLOTH = (
    (30, 30, 36), (46, 52, 70), (70, 74, 80), (120, 30, 34), (170, 170, 168), (60, 80, 110), (88, 70, 54),
    (190, 180, 160), (40, 70, 50),
)  # fmt: skip
_SKIN = ((225, 180, 150), (190, 140, 110), (140, 95, 70), (90, 60, 45))
_GLASS: Colour = (0.018, 0.022, 0.024)


def _one(rng: Generator, palette: tuple[tuple[int, int, int], ...], spread: float = 0.12) -> Colour:
    base = linear(*palette[int(rng.integers(len(palette)))])
    k = float(np.exp(rng.normal(0, spread)))
    return (base[0] * k, base[1] * k, base[2] * k)


@dataclass(frozen=True, slots=True)
class Shape:
    """A body's side view in shares of length (z, 0 rear .. 1 front) and height: bonnet, cabin, tail."""

    length: float
    width: float
    height: float
    belt: float  # height of the window's lower edge
    nose: float  # height of the bonnet's front
    tail: float  # height of the tail's end
    glass: tuple[float, float, float, float]  # z: rear glass foot and top, windscreen top and foot


_SHAPES = (
    Shape(4.6, 1.82, 1.45, 0.64, 0.5, 0.62, (0.08, 0.24, 0.6, 0.78)),  # saloon
    Shape(4.8, 1.86, 1.46, 0.62, 0.5, 0.62, (0.12, 0.28, 0.58, 0.75)),
    Shape(4.2, 1.78, 1.5, 0.62, 0.52, 0.58, (0.0, 0.07, 0.6, 0.8)),  # hatch
    Shape(4.7, 1.9, 1.72, 0.6, 0.56, 0.58, (0.0, 0.05, 0.62, 0.78)),  # sport utility
    Shape(5.1, 2.0, 1.9, 0.58, 0.56, 0.56, (0.0, 0.03, 0.65, 0.77)),
    Shape(5.0, 1.98, 1.78, 0.55, 0.45, 0.54, (0.0, 0.06, 0.72, 0.92)),  # people carrier
    Shape(5.6, 2.0, 2.4, 0.5, 0.42, 0.5, (0.0, 0.02, 0.78, 0.92)),  # van
)
_PICKUP = Shape(5.7, 2.0, 1.88, 0.56, 0.54, 0.55, (0.4, 0.43, 0.62, 0.76))


def car(
    b: Builder,
    rng: Generator,
    s: float,
    l: float,  # noqa: E741
    *,
    yaw: float = 0.0,
    speed: float = 0.0,
    brake: bool = False,
) -> None:
    """A car of a random shape; ``yaw`` pi comes towards us, ``speed`` is along the road."""
    pickup = rng.random() < 0.16
    shape = _PICKUP if pickup else _SHAPES[int(rng.integers(len(_SHAPES)))]
    k = rng.uniform(0.93, 1.06)
    size = (shape.width, shape.height * k, shape.length * k)
    obj = b.place(s, l, yaw=yaw, speed=speed, size=size, counted=True)
    paint = Look(cls=CAR, colour=_one(rng, _PAINT), gloss=0.28, rough=0.02)
    _hull(b, rng, obj, shape, size, paint, brake)
    for z in (0.19, 0.81):
        _wheels(b, rng, obj, size, (z - 0.5) * size[2], 0.33 if shape.height < 1.7 else 0.38, CAR)
    if pickup:
        _bed(b, obj, shape, size, paint)


def _tinted(paint: Look, tile: int, glow: float = 0.0) -> Look:
    return Look(cls=paint.cls, colour=paint.colour, tile=tile, gloss=paint.gloss * 0.6, rough=0.02, glow=glow)


def _hull(
    b: Builder,
    rng: Generator,
    obj: int,
    shape: Shape,
    size: tuple[float, float, float],
    paint: Look,
    brake: bool,
) -> None:
    w, h, n = size[0] / 2, size[1], size[2]
    low, belt, nose, tail = -0.24, -h * shape.belt, -h * shape.nose, -h * shape.tail
    z = [(p - 0.5) * n for p in shape.glass]
    back, front = -n / 2, n / 2
    inside = (0.0, -h * 0.4, 0.0)
    glass = Look(cls=paint.cls, colour=_GLASS, gloss=0.55, rough=0)
    side, rear = (
        _tinted(paint, pick(rng, Tile.CAR_SIDE)),
        _tinted(paint, pick(rng, Tile.CAR_REAR), 1.2 * brake),
    )
    face = _tinted(paint, pick(rng, Tile.CAR_FRONT), 0.8 * (rng.random() < 0.3))
    inset = w * 0.8
    for k in (-1, 1):
        body = [
            (k * w, tail, back),
            (k * w, belt, z[0]),
            (k * w, belt, z[3]),
            (k * w, nose, front),
            (k * w, low, front),
            (k * w, low, back),
        ]
        drop = 1 / (low - belt)
        b.polygon(obj, body, side, middle=inside, frame=((0, 0, 1 / n, 0.5), (0, drop, 0, -belt * drop)))
        pane = [(k * w, belt, z[0]), (k * inset, -h, z[1]), (k * inset, -h, z[2]), (k * w, belt, z[3])]
        b.polygon(obj, pane, paint, middle=inside)
        _panes(b, obj, glass, k, (w, inset), (belt, -h), z)
    strips = (
        ((w, low, back), (w, tail, back), rear),
        ((w, tail, back), (w, belt, z[0]), paint),
        ((w, belt, z[0]), (inset, -h, z[1]), glass if shape is not _PICKUP else glass),
        ((inset, -h, z[1]), (inset, -h, z[2]), paint),
        ((inset, -h, z[2]), (w, belt, z[3]), glass),
        ((w, belt, z[3]), (w, nose, front), paint),
        ((w, nose, front), (w, low, front), face),
    )
    for p, q, look in strips:
        upper, lower = (p, q) if p[1] <= q[1] else (q, p)
        sheet = [
            (-upper[0], *upper[1:]),
            (upper[0], *upper[1:]),
            (lower[0], *lower[1:]),
            (-lower[0], *lower[1:]),
        ]
        b.polygon(obj, sheet, look, middle=inside)


def _panes(
    b: Builder, obj: int, glass: Look, k: int, x: tuple[float, float], y: tuple[float, float], z: list[float]
) -> None:
    """Side windows, a little proud of the cabin's side, with a pillar between."""

    def at(u: float, v: float) -> tuple[float, float, float]:
        low, top = z[0] + u * (z[3] - z[0]), z[1] + u * (z[2] - z[1])
        return (k * (x[0] + v * (x[1] - x[0]) + 0.012), y[0] + v * (y[1] - y[0]), low + v * (top - low))

    inside = (0.0, (y[0] + y[1]) / 2, 0.0)
    for a, c in ((0.07, 0.47), (0.52, 0.93)):
        b.polygon(obj, [at(a, 0.86), at(c, 0.86), at(c, 0.08), at(a, 0.08)], glass, middle=inside)


def _wheels(
    b: Builder, rng: Generator, obj: int, size: tuple[float, float, float], z: float, r: float, cls: int
) -> None:
    look = Look(cls=cls, tile=pick(rng, Tile.WHEEL), rough=0.05, reach=90)
    dark = Look(cls=cls, colour=(0.012, 0.012, 0.012), reach=90)
    turns = np.arange(8) * np.pi / 4 + np.pi / 8
    for k in (-1, 1):
        x = k * (size[0] / 2 + 0.015)
        ring = [(x, -r + float(np.sin(a)) * r * 1.03, z + float(np.cos(a)) * r * 1.03) for a in turns]
        frame = ((0, 0, 0.5 / r, 0.5 - 0.5 * z / r), (0, 0.5 / r, 0, 1.0))
        b.polygon(obj, ring, look, middle=(0.0, -r, z), frame=frame)
    b.boxes(obj, (0, 0, z), (size[0] * 0.98, r, 2 * r * 0.8), (dark, dark, None, None, None))


def _bed(b: Builder, obj: int, shape: Shape, size: tuple[float, float, float], paint: Look) -> None:
    dark = Look(cls=CAR, colour=(0.02, 0.02, 0.02))
    z0, z1 = -size[2] / 2 + 0.1, (shape.glass[0] - 0.5) * size[2]
    y, w = -size[1] * shape.tail - 0.012, size[0] / 2 - 0.12
    b.polygon(obj, [(-w, y, z1), (w, y, z1), (w, y, z0), (-w, y, z0)], dark)


def truck(b: Builder, rng: Generator, s: float, l: float, *, yaw: float = 0.0, speed: float = 0.0) -> None:  # noqa: E741
    """A lorry: cab and box, tipper or flat bed."""
    n, w, h = rng.uniform(6, 12), rng.uniform(2.2, 2.55), rng.uniform(2.7, 3.9)
    obj = b.place(s, l, yaw=yaw, speed=speed, size=(w, h, n), counted=True)
    cab_n, cab_h = rng.uniform(1.7, 2.4), rng.uniform(2.1, 2.7)
    paint = Look(cls=TRUCK, colour=_one(rng, _PAINT), gloss=0.12, rough=0.05)
    load = Look(
        cls=TRUCK,
        colour=_one(rng, ((230, 230, 228), (200, 200, 195), (150, 120, 60), (90, 95, 100), (180, 60, 40))),
        rough=0.1,
    )
    side, rear = _tinted(load, pick(rng, Tile.TRUCK_SIDE)), _tinted(load, pick(rng, Tile.TRUCK_REAR), 0.5)
    box_n = n - cab_n - 0.3
    box_h = (h - 0.95) * (1 if rng.random() < 0.7 else rng.uniform(0.3, 0.6))
    b.boxes(obj, (0, -0.95, -n / 2 + box_n / 2), (w, box_h, box_n), (rear, load, side, side, load, load))
    z = n / 2 - cab_n / 2
    face = _tinted(paint, pick(rng, Tile.CAR_FRONT))
    b.boxes(obj, (0, -0.4, z), (w * 0.95, cab_h * 0.45, cab_n), (paint, face, paint, paint, paint))
    glass = Look(cls=TRUCK, colour=_GLASS, gloss=0.5, rough=0)
    y = -0.4 - cab_h * 0.45
    b.boxes(obj, (0, y, z - 0.05), (w * 0.92, cab_h * 0.42, cab_n - 0.1), (paint, glass, glass, glass, paint))
    frame = Look(cls=TRUCK, colour=(0.03, 0.03, 0.03))
    b.boxes(obj, (0, -0.5, 0), (w * 0.6, 0.45, n * 0.98), (frame,) * 6)
    for at in (0.16, 0.27, 0.85):
        _wheels(b, rng, obj, (w, h, n), (at - 0.5) * n, 0.5, TRUCK)


def bus(b: Builder, rng: Generator, s: float, l: float, *, yaw: float = 0.0, speed: float = 0.0) -> None:  # noqa: E741
    """A city bus or a yellow school bus."""
    n, w, h = rng.uniform(9, 13), 2.55, rng.uniform(2.9, 3.3)
    obj = b.place(s, l, yaw=yaw, speed=speed, size=(w, h, n), counted=True)
    hue = _one(
        rng, ((225, 225, 225), (230, 160, 20), (40, 70, 140), (60, 120, 70), (200, 200, 205), (180, 40, 40))
    )
    paint = Look(cls=BUS, colour=hue, gloss=0.15, rough=0.04)
    side = _tinted(paint, pick(rng, Tile.BUS_SIDE))
    rear, face = _tinted(paint, Tile.BUS_END, 0.6), _tinted(paint, Tile.BUS_END + 1, 0.6)
    b.boxes(obj, (0, -0.3, 0), (w, h - 0.3, n), (rear, face, side, side, paint, paint), (1, 1, 2))
    for at in (0.22, 0.8):
        _wheels(b, rng, obj, (w, h, n), (at - 0.5) * n, 0.48, BUS)


def person(
    b: Builder,
    rng: Generator,
    s: float,
    l: float,  # noqa: E741
    *,
    yaw: float = 0.0,
    drift: float = 0.0,
    worker: bool = False,
) -> None:
    """Somebody on foot, standing or in mid step."""
    h = rng.uniform(1.5, 1.92)
    obj = b.place(s, l, yaw=yaw, drift=drift, size=(0.5, h, 0.35), counted=True)
    _figure(b, rng, obj, PERSON, h, 0.0, worker)


def _figure(b: Builder, rng: Generator, obj: int, cls: int, h: float, lift: float, worker: bool) -> None:
    cloth = (0.75, 0.16, 0.01) if rng.random() < 0.6 else (0.55, 0.8, 0.03)
    top = Look(cls=cls, colour=cloth if worker else _one(rng, _CLOTH), rough=0.25)
    legs = Look(cls=cls, colour=_one(rng, _CLOTH[:6]), rough=0.25)
    skin = Look(cls=cls, colour=_one(rng, _SKIN), rough=0.05)
    hair = Look(
        cls=cls,
        colour=(0.6, 0.5, 0.05) if worker else _one(rng, ((20, 16, 14), (70, 50, 36), (150, 130, 100))),
    )
    wide, step = rng.uniform(0.17, 0.24), rng.uniform(0, 0.28)
    b.quadric(obj, (0, -h * 0.64 - lift, 0), (wide, h * 0.2, 0.15), top)
    b.quadric(obj, (0, -h * 0.92 - lift, 0), (0.085, h * 0.075, 0.1), skin)
    b.quadric(obj, (0, -h * 0.955 - lift, -0.01), (0.092, h * 0.05, 0.11), hair)
    for k in (-1, 1):
        b.quadric(
            obj, (k * 0.09, -h * 0.25 - lift, k * step * 0.5), (0.085, h * 0.25, 0.1), legs, kind="tube"
        )
        arm = Look(cls=cls, colour=top.colour, rough=0.2, reach=45)
        b.quadric(obj, (k * (wide + 0.03), -h * 0.62 - lift, -k * step * 0.3), (0.06, h * 0.19, 0.08), arm)


def rider(b: Builder, rng: Generator, s: float, l: float, *, yaw: float = 0.0, speed: float = 0.0) -> None:  # noqa: E741
    """A bicycle or motorcycle, mostly with somebody on it."""
    motor = rng.random() < 0.4
    cls, r = (MOTORCYCLE, 0.3) if motor else (BICYCLE, 0.34)
    obj = b.place(s, l, yaw=yaw, speed=speed, size=(0.4, 1.0, 1.7), counted=True)
    ring = Look(cls=cls, colour=(0.05, 0.05, 0.05), tile=Tile.RING, cut=1, rough=0)
    frame = Look(cls=cls, colour=_one(rng, _PAINT), gloss=0.1)
    for z in (-0.53, 0.53):
        wheel = [(0, -2 * r, z - r), (0, -2 * r, z + r), (0, 0, z + r), (0, 0, z - r)]
        b.polygon(obj, wheel, ring)
        thick = 0.12 if motor else 0.05
        b.boxes(obj, (0, -0.02, z), (thick, 2 * r, 0.2), (ring_dark(cls),) * 6)
    if motor:
        b.boxes(obj, (0, -0.3, 0), (0.34, 0.5, 1.0), (frame,) * 6)
        b.boxes(obj, (0, -0.85, 0.45), (0.7, 0.08, 0.1), (frame,) * 6)
    else:
        b.boxes(obj, (0, -0.45, 0), (0.05, 0.07, 0.9), (frame,) * 6)
        b.boxes(obj, (0, -0.3, -0.15), (0.05, 0.65, 0.06), (frame,) * 6)
        b.boxes(obj, (0, -0.95, 0.4), (0.5, 0.05, 0.05), (frame,) * 6)
    if rng.random() < 0.85:
        again = b.place(s - 0.1, l, yaw=yaw, speed=speed, counted=True)
        _figure(b, rng, again, RIDER, 1.45, 0.42, False)


def ring_dark(cls: int) -> Look:
    """Rubber."""
    return Look(cls=cls, colour=(0.02, 0.02, 0.02))


def cone(b: Builder, rng: Generator, s: float, l: float, kind: int) -> None:  # noqa: E741
    """0 cone, 1 drum, 2 tall thin marker."""
    if kind == 1:
        h, r = 1.0, 0.29
        obj = b.place(s, l, size=(2 * r, h, 2 * r))
        drum = Look(cls=WORKS, tile=pick(rng, Tile.BARREL), rough=0.1)
        b.quadric(obj, (0, -h / 2, 0), (r, h / 2, r), drum, kind="tube")
        ring = np.linspace(0, 2 * np.pi, 9)[:-1]
        lid = [(float(np.cos(a)) * r, -h, float(np.sin(a)) * r) for a in ring]
        b.polygon(obj, lid, Look(cls=WORKS, colour=linear(240, 85, 20)))
        return
    h = rng.uniform(0.45, 0.95) if kind == 0 else rng.uniform(1.0, 1.2)
    r = h * 0.2 if kind == 0 else 0.09
    obj = b.place(s, l, size=(2 * r, h, 2 * r))
    skin = Look(cls=WORKS, tile=pick(rng, Tile.CONE), rough=0.08)
    shape = "cone" if kind == 0 else "tube"
    b.quadric(obj, (0, -h / 2, 0), (r, h / 2, r), skin, kind=shape)
    dark = Look(cls=WORKS, colour=(0.02, 0.02, 0.02) if rng.random() < 0.6 else linear(230, 80, 20))
    b.boxes(obj, (0, 0, 0), (r * 2.6, 0.05, r * 2.6), (dark,) * 5)


def barricade(b: Builder, rng: Generator, s: float, l: float, yaw: float) -> None:  # noqa: E741
    """A striped board on feet, a concrete or plastic barrier, or a sign for road works."""
    style = rng.random()
    obj = b.place(s, l, yaw=yaw, size=(1.6, 1.0, 0.4))
    if style < 0.5:
        board = Look(cls=WORKS, tile=pick(rng, Tile.STRIPES), rough=0.06)
        w, leg = rng.uniform(0.9, 2.4), Look(cls=WORKS, colour=(0.5, 0.5, 0.48))
        for k in range(int(rng.integers(1, 4))):
            b.boxes(obj, (0, -0.35 - 0.38 * k, 0), (w, 0.25, 0.05), (board,) * 6, (w / 0.9, 0.4, 1))
        for x in (-0.4, 0.4):
            b.boxes(obj, (x * w, 0, 0), (0.07, 1.25, 0.07), (leg,) * 6)
    elif style < 0.8:
        hues = ((180, 176, 168), (150, 146, 140), (230, 90, 30), (225, 225, 222))
        look = Look(cls=WORKS, colour=_one(rng, hues), rough=0.25)
        n = rng.uniform(1.5, 4)
        b.boxes(obj, (0, 0, 0), (n, 0.35, 0.6), (look,) * 5)
        b.boxes(obj, (0, -0.35, 0), (n, 0.5, 0.28), (look,) * 5)
    else:
        look = Look(cls=7, tile=pick(rng, Tile.WARN), rough=0)
        r, leg = 0.62, Look(cls=5, colour=(0.3, 0.3, 0.3))
        b.polygon(obj, [(0, -0.5 - 2 * r, 0), (r, -0.5 - r, 0), (0, -0.5, 0), (-r, -0.5 - r, 0)], look)
        b.boxes(obj, (0, 0, 0.05), (0.06, 0.8, 0.06), (leg,) * 6)
