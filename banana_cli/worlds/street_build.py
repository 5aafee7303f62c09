"""What is built beside the road: houses, walls, fences, and the far horizon."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from banana_cli.worlds.street_ground import Road
from banana_cli.worlds.street_parts import Builder, Colour, Look, linear, vary
from banana_cli.worlds.street_tiles import Tile, pick

BUILDING, WALL, FENCE, GREEN = 2, 3, 4, 8

_FACADES = (
    (150, 82, 62), (128, 64, 52), (168, 110, 84), (196, 180, 150), (214, 205, 190), (165, 160, 152),
    (120, 118, 116), (92, 90, 92), (205, 188, 158), (228, 226, 220), (150, 140, 120), (110, 84, 66),
    (178, 150, 120), (86, 98, 110), (120, 140, 150), (190, 200, 205), (96, 60, 50), (222, 214, 170),
    (140, 160, 150),
)  # fmt: skip


def _one(rng: Generator, palette: tuple[tuple[int, int, int], ...]) -> Colour:
    return vary(rng, linear(*palette[int(rng.integers(len(palette)))]))


def block(b: Builder, rng: Generator, s: float, l: float, side: int, width: float, tall: bool) -> None:  # noqa: E741
    """A building with its front at offset ``l``, ``width`` metres along the road from ``s``."""
    depth, obj = rng.uniform(10, 24), len(b.objects)
    b.place(s + width / 2, l + side * depth / 2, size=(depth, 0, width))
    _storeys(b, rng, obj, depth, width, tall=tall)


def facing(b: Builder, rng: Generator, s: float, l: float, width: float) -> None:  # noqa: E741
    """A building across our way: its front at ``s``, its middle at ``l``."""
    depth, obj = rng.uniform(10, 20), len(b.objects)
    b.place(s + depth / 2, l, yaw=np.pi / 2, size=(depth, 0, width))
    _storeys(b, rng, obj, depth, width, tall=rng.random() < 0.3)


def _storeys(b: Builder, rng: Generator, obj: int, depth: float, width: float, *, tall: bool) -> None:
    """Walls with windows, a ground floor of shops, a roof's edge."""
    storey = rng.uniform(2.9, 4.0)
    floors = int(rng.integers(5, 28)) if tall else int(rng.integers(1, 7))
    height = storey * floors + rng.uniform(0.3, 1.5)
    b.resize(obj, (depth, height + 4, width))
    colour = _one(rng, _FACADES)
    tile, bay = pick(rng, Tile.WINDOW), rng.uniform(1.8, 4.5)
    mirror = 0.4 if (tile - Tile.WINDOW) % 6 == 1 else 0.06
    wall = Look(cls=BUILDING, colour=colour, tile=tile, rough=rng.uniform(0.02, 0.13), gloss=mirror)
    blind = Look(cls=BUILDING, colour=colour, tile=pick(rng, Tile.SIDING), rough=0.1)
    ends = wall if rng.random() < 0.6 else blind
    ground_h = rng.uniform(3.2, 4.8) if floors > 1 and rng.random() < 0.65 else 0.0
    rep = (
        max(round(depth / bay), 1),
        max(round((height - ground_h) / storey), 1),
        max(round(width / bay), 1),
    )
    roof = Look(cls=BUILDING, colour=(0.12, 0.12, 0.12))
    end_rep = rep if ends is wall else (depth / 3, height / 3, rep[2])
    body = (depth, height - ground_h, width)
    b.boxes(obj, (0, -ground_h, 0), body, (ends, ends, None, None, roof), end_rep)
    b.boxes(obj, (0, -ground_h, 0), body, (None, None, wall, wall, None), rep)
    if ground_h:
        base = Look(
            cls=BUILDING, colour=_one(rng, _FACADES), tile=pick(rng, Tile.SHOP), gloss=0.08, rough=0.15
        )
        b.boxes(
            obj, (0, 0, 0), (depth, ground_h, width), (base,) * 4, (max(depth // 6, 1), 1, max(width // 5, 1))
        )
    _trim(b, rng, obj, depth, height, width, colour)


def _trim(b: Builder, rng: Generator, obj: int, d: float, h: float, w: float, colour: Colour) -> None:
    """A cornice, roof boxes, balconies."""
    pale = Look(cls=BUILDING, colour=tuple(min(c * rng.uniform(0.6, 1.6), 0.9) for c in colour))  # type: ignore[arg-type]
    if rng.random() < 0.6:
        b.boxes(obj, (0, -h + 0.5, 0), (d + 0.7, 0.7, w + 0.3), (pale,) * 6)
    if rng.random() < 0.4:
        grey = Look(cls=BUILDING, colour=(0.3, 0.3, 0.3))
        at = (rng.uniform(-d / 4, d / 4), -h, rng.uniform(-w / 4, w / 4))
        b.boxes(obj, at, (d / 3, rng.uniform(1.5, 3.5), w / 4), (grey,) * 5)
    if rng.random() < 0.3:
        for k in range(int(rng.integers(1, 4))):
            at = (rng.choice([-1, 1]) * d / 2, -3.2 - 3.2 * k, rng.uniform(-w / 3, w / 3))
            b.boxes(obj, at, (2.2, 1.0, rng.uniform(2, 4)), (pale,) * 6)


def house(b: Builder, rng: Generator, s: float, l: float, side: int, width: float) -> None:  # noqa: E741
    """A gabled house with the front at offset ``l``."""
    depth, height, peak = rng.uniform(7, 12), rng.uniform(2.7, 6.5), rng.uniform(1.5, 3.8)
    obj = b.place(s + width / 2, l + side * depth / 2, size=(depth, height + peak * 0.6, width))
    wall = Look(cls=BUILDING, colour=_one(rng, _FACADES), tile=pick(rng, Tile.WINDOW), rough=0.12)
    plain = Look(cls=BUILDING, colour=wall.colour, tile=pick(rng, Tile.SIDING), rough=0.1)
    rep = (max(round(depth / 3.5), 1), max(round(height / 3), 1), max(round(width / 3.5), 1))
    b.boxes(obj, (0, 0, 0), (depth, height, width), (wall, wall, wall, wall, None), rep)
    roof = Look(
        cls=BUILDING, colour=_one(rng, ((70, 66, 64), (96, 84, 76), (110, 70, 58), (60, 64, 70))), rough=0.3
    )
    x, y, z, e = depth / 2, -height, width / 2, 0.4
    inside = (0.0, -height - peak / 3, 0.0)
    if rng.random() < 0.5:  # ridge along the road
        for k in (-1, 1):
            sheet = [
                (k * (x + e), y + 0.25, -z - e),
                (k * (x + e), y + 0.25, z + e),
                (0, y - peak, z + e),
                (0, y - peak, -z - e),
            ]
            b.polygon(obj, sheet, roof)
            b.polygon(obj, [(-x, y, k * z), (x, y, k * z), (0, y - peak, k * z)], plain, middle=inside)
    else:
        for k in (-1, 1):
            sheet = [
                (-x - e, y + 0.25, k * (z + e)),
                (x + e, y + 0.25, k * (z + e)),
                (x + e, y - peak, 0),
                (-x - e, y - peak, 0),
            ]
            b.polygon(obj, sheet, roof)
            b.polygon(obj, [(k * x, y, -z), (k * x, y, z), (k * x, y - peak, 0)], plain, middle=inside)
    if rng.random() < 0.6:
        door = Look(cls=BUILDING, colour=vary(rng, linear(200, 195, 185)), tile=pick(rng, Tile.GARAGE))
        front = -side * (x + 0.04)
        a = rng.uniform(-z + 0.5, max(z - 4, -z + 0.6))
        b.polygon(obj, [(front, -2.3, a), (front, -2.3, a + 3.2), (front, 0, a + 3.2), (front, 0, a)], door)
    if rng.random() < 0.5:
        porch = Look(cls=BUILDING, colour=vary(rng, linear(225, 222, 215)))
        at = (-side * (x + 1.0), -2.5, rng.uniform(-z / 2, z / 2))
        b.boxes(obj, at, (2.2, 0.3, width * 0.4), (porch,) * 6)


def barrier(b: Builder, rng: Generator, s: float, l: float, length: float) -> None:  # noqa: E741
    """A wall, or one of several fences, along the road."""
    style = rng.random()
    if style < 0.35:
        look = Look(cls=WALL, colour=_one(rng, _FACADES), tile=pick(rng, Tile.SIDING), rough=0.22)
        h = rng.uniform(0.6, 3.2)
        obj = b.place(s + length / 2, l, size=(0.3, h, length))
        b.boxes(obj, (0, 0, 0), (0.3, h, length), (look,) * 5, (1, max(h / 1.5, 1), max(length / 1.5, 1)))
        return
    kind = Tile.CHAIN if style < 0.6 else Tile.PICKET if style < 0.75 else Tile.RAIL
    cut = 1 if kind is Tile.PICKET else 2
    shades = ((190, 190, 188), (60, 60, 60), (130, 100, 74), (235, 235, 230))
    look = Look(cls=FENCE, colour=_one(rng, shades), tile=pick(rng, kind), cut=cut, rough=0.08)
    h = rng.uniform(0.9, 2.2)
    obj = b.place(s + length / 2, l, size=(0.1, h * 0.5, length))
    z = length / 2
    b.polygon(obj, [(0, -h, -z), (0, -h, z), (0, 0, z), (0, 0, -z)], look, rep=(length / (1.6 * h), 1))


def horizon(b: Builder, rng: Generator, colour: Colour, road: Road) -> None:
    """Tree lines and far towers behind everything."""
    for k in range(int(rng.integers(0, 4))):
        s, h = 120 + 60 * k + rng.uniform(0, 30), rng.uniform(6, 22)
        obj = b.place(s, rng.normal(0, 30), yaw=rng.normal(0, 0.03) - float(road.heading(s)))  # square to us
        look = Look(cls=GREEN, colour=colour, tile=pick(rng, Tile.SKYLINE), cut=1, rough=0.5)
        card = [(-330, -h, 0), (330, -h, 0), (330, 1, 0), (-330, 1, 0)]
        b.polygon(obj, card, look, rep=(660 / (h * 3.5), 1))
    most = rng.choice([14, 30, 110])
    for _ in range(max(int(rng.integers(-3, 6)), 0)):
        w, h = rng.uniform(15, 45), rng.uniform(8, most)
        obj = b.place(rng.uniform(130, 290), rng.normal(0, 70))
        look = Look(cls=BUILDING, colour=_one(rng, _FACADES), tile=pick(rng, Tile.WINDOW), gloss=0.1)
        b.boxes(obj, (0, 2, 0), (w, h, w), (look,) * 5, (w / 3, h / 3.4, w / 3))
