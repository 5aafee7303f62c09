"""What stands beside the road: houses, walls, fences, trees, poles, lamps, lights, signs."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from banana_cli.worlds.street_ground import Road
from banana_cli.worlds.street_parts import Builder, Colour, Look, linear
from banana_cli.worlds.street_tiles import Tile, pick

BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, GREEN, TERRAIN = 2, 3, 4, 5, 6, 7, 8, 9

_FACADES = (
    (150, 82, 62), (128, 64, 52), (168, 110, 84), (196, 180, 150), (214, 205, 190), (165, 160, 152),
    (120, 118, 116), (92, 90, 92), (205, 188, 158), (228, 226, 220), (150, 140, 120), (110, 84, 66),
    (178, 150, 120), (86, 98, 110), (120, 140, 150), (190, 200, 205), (96, 60, 50), (222, 214, 170),
    (140, 160, 150),
)  # fmt: skip
_LEAVES = (
    (62, 84, 34),
    (78, 100, 42),
    (50, 70, 34),
    (96, 112, 46),
    (120, 124, 48),
    (38, 56, 30),
    (88, 96, 58),
)
_AUTUMN = ((176, 120, 40), (168, 84, 36), (150, 50, 34), (190, 150, 60), (120, 90, 50))


def _vary(rng: Generator, rgb: tuple[int, int, int], spread: float = 0.18) -> Colour:
    base = linear(*rgb)
    k = float(np.exp(rng.normal(0, spread)))
    tint = rng.normal(0, 0.06, 3)
    return (base[0] * k * (1 + tint[0]), base[1] * k * (1 + tint[1]), base[2] * k * (1 + tint[2]))


def _one(rng: Generator, palette: tuple[tuple[int, int, int], ...]) -> Colour:
    return _vary(rng, palette[int(rng.integers(len(palette)))])


def block(b: Builder, rng: Generator, s: float, l: float, side: int, width: float, tall: bool) -> None:  # noqa: E741
    """A building with its front at offset ``l``, ``width`` metres along the road from ``s``."""
    storey = rng.uniform(2.9, 4.0)
    floors = int(rng.integers(5, 28)) if tall else int(rng.integers(1, 6))
    depth, height = rng.uniform(10, 24), storey * floors + rng.uniform(0.3, 1.5)
    obj = b.place(s + width / 2, l + side * depth / 2, size=(depth, height + 4, width))
    colour = _one(rng, _FACADES)
    tile, bay = pick(rng, Tile.WINDOW), rng.uniform(1.8, 4.5)
    mirror = 0.4 if (tile - Tile.WINDOW) % 6 == 1 else 0.06
    wall = Look(cls=BUILDING, colour=colour, tile=tile, rough=rng.uniform(0.05, 0.28), gloss=mirror)
    blind = Look(cls=BUILDING, colour=colour, tile=pick(rng, Tile.SIDING), rough=0.2)
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
        door = Look(cls=BUILDING, colour=_vary(rng, (200, 195, 185)), tile=pick(rng, Tile.GARAGE))
        front = -side * (x + 0.04)
        a = rng.uniform(-z + 0.5, max(z - 4, -z + 0.6))
        b.polygon(obj, [(front, -2.3, a), (front, -2.3, a + 3.2), (front, 0, a + 3.2), (front, 0, a)], door)
    if rng.random() < 0.5:
        porch = Look(cls=BUILDING, colour=_vary(rng, (225, 222, 215)))
        at = (-side * (x + 1.0), -2.5, rng.uniform(-z / 2, z / 2))
        b.boxes(obj, at, (2.2, 0.3, width * 0.4), (porch,) * 6)


def tree(b: Builder, rng: Generator, s: float, l: float, kind: int, palette: Colour) -> None:  # noqa: E741
    """A tree: 0 broad, 1 narrow or conifer, 2 bare, 3 bush; ``palette`` is its leaves' colour."""
    bark = Look(cls=GREEN, colour=_vary(rng, (84, 70, 58)), rough=0.35)
    leaf = Look(cls=GREEN, colour=palette, rough=0.4)
    if kind == 3:
        w, h = rng.uniform(0.7, 2.2), rng.uniform(0.6, 1.8)
        obj = b.place(s, l, size=(w, h, w), ellipse=True)
        for _ in range(2):
            at = (rng.uniform(-w, w) * 0.4, -h * 0.45, rng.uniform(-w, w) * 0.4)
            b.quadric(obj, at, (w * 0.6, h * 0.55, w * 0.6), leaf, holes=0.3)
        return
    height = rng.uniform(4, 13) if kind else rng.uniform(5, 16)
    if kind == 2:
        _bare(b, rng, s, l, height, bark)
        return
    w = height * (rng.uniform(0.22, 0.4) if kind else rng.uniform(0.5, 0.85))
    obj = b.place(s, l, size=(w, height, w), ellipse=True)
    stem = rng.uniform(0.25, 0.42) if kind == 0 else 0.12
    r = height * rng.uniform(0.009, 0.022)
    b.quadric(obj, (0, -height * 0.3, 0), (r, height * 0.3, r), bark, kind="tube")
    if kind == 1 and rng.random() < 0.5:
        b.quadric(
            obj, (0, -height * 0.54, 0), (w * 0.5, height * 0.46, w * 0.5), leaf, kind="cone", holes=0.18
        )
        return
    crown, middle = (1 - stem) * height / 2, -height * (1 + stem) / 2
    gaps = rng.uniform(0.25, 0.62)
    b.quadric(obj, (0, middle, 0), (w * 0.4, crown * 0.85, w * 0.4), leaf, holes=gaps * 0.8)
    for _ in range(int(rng.integers(2, 5))):
        a = rng.uniform(0, 2 * np.pi)
        at = (np.cos(a) * w * 0.28, middle + rng.uniform(-0.45, 0.5) * crown, np.sin(a) * w * 0.28)
        k = rng.uniform(0.5, 0.8)
        red, green, blue = (c * rng.uniform(0.75, 1.25) for c in palette)
        lump = Look(cls=GREEN, colour=(red, green, blue), rough=0.4, reach=70)
        b.quadric(obj, at, (w * 0.4 * k, crown * 0.75 * k, w * 0.4 * k), lump, holes=gaps)


def _bare(b: Builder, rng: Generator, s: float, l: float, height: float, bark: Look) -> None:  # noqa: E741
    w = height * rng.uniform(0.6, 0.95)
    obj = b.place(s, l, yaw=rng.uniform(-0.6, 0.6), size=(w * 0.5, height, w * 0.5), ellipse=True)
    twig = Look(cls=GREEN, colour=bark.colour, tile=pick(rng, Tile.BRANCH), cut=2, rough=0.2)
    r = height * 0.012
    b.quadric(obj, (0, -height * 0.17, 0), (r, height * 0.17, r), bark, kind="tube")
    low = height * 0.3
    card = [(-w / 2, -height, 0), (w / 2, -height, 0), (w / 2, -low, 0), (-w / 2, -low, 0)]
    b.polygon(obj, card, twig)


def leaves(rng: Generator) -> Colour:
    """Colour of a scene's or a tree's leaves."""
    return _one(rng, _AUTUMN if rng.random() < 0.2 else _LEAVES)


def hedge(b: Builder, rng: Generator, s: float, l: float, length: float, colour: Colour) -> None:  # noqa: E741
    """A hedge of lumps over a box."""
    h, w = rng.uniform(0.7, 2.4), rng.uniform(0.6, 1.5)
    obj = b.place(s + length / 2, l, size=(w, h, length))
    leaf = Look(cls=GREEN, colour=colour, rough=0.5)
    b.boxes(obj, (0, 0, 0), (w * 0.8, h * 0.85, length), (leaf,) * 5)
    for k in range(int(length / 2)):
        at = (0, -h * 0.55, -length / 2 + 1 + 2 * k)
        b.quadric(obj, at, (w * 0.55, h * rng.uniform(0.45, 0.6), 1.3), leaf, holes=0.25)


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


def pole(b: Builder, rng: Generator, s: float, l: float, side: int) -> None:  # noqa: E741
    """A wooden pole with cross arms, or a street lamp."""
    if rng.random() < 0.5:
        h, r = rng.uniform(8, 12), rng.uniform(0.11, 0.2)
        wood = Look(cls=POLE, colour=_vary(rng, (108, 90, 74)), rough=0.25)
        obj = b.place(s, l, size=(0.3, h, 0.3))
        b.quadric(obj, (0, -h / 2, 0), (r, h / 2, r), wood, kind="tube")
        for k in range(int(rng.integers(0, 3))):
            b.boxes(obj, (0, -h + 0.7 + 0.9 * k, 0), (2.2, 0.14, 0.12), (wood,) * 6)
        if rng.random() < 0.4:
            can = Look(cls=POLE, colour=(0.3, 0.32, 0.33))
            b.quadric(obj, (0.35, -h + 2.4, 0), (0.22, 0.4, 0.22), can, kind="tube")
        return
    h, arm = rng.uniform(4, 10), rng.uniform(0.3, 3.0)
    metal = Look(cls=POLE, colour=_one(rng, ((150, 150, 150), (60, 62, 60), (40, 60, 50), (190, 190, 190))))
    obj = b.place(s, l, size=(0.2, h, 0.2))
    b.quadric(obj, (0, -h / 2, 0), (0.09, h / 2, 0.09), metal, kind="tube")
    b.boxes(obj, (-side * arm / 2, -h, 0), (arm, 0.1, 0.1), (metal,) * 6)
    b.boxes(obj, (-side * arm, -h - 0.02, 0), (0.8, 0.16, 0.3), (metal,) * 6)


def sign(b: Builder, rng: Generator, s: float, l: float) -> None:  # noqa: E741
    """A post with one to three traffic signs."""
    facing = 0.0 if rng.random() < 0.8 else float(rng.choice([np.pi, np.pi / 2]))
    obj = b.place(s, l, yaw=facing + rng.normal(0, 0.12), size=(0.6, 2.8, 0.1))
    h = rng.uniform(2.1, 3.2)
    metal = Look(cls=POLE, colour=_vary(rng, (140, 140, 138)))
    b.quadric(obj, (0, -h / 2, 0.05), (0.04, h / 2, 0.04), metal, kind="tube")
    y = -h
    for _ in range(int(rng.integers(1, 3))):
        y = _board(b, rng, obj, y)


def _board(b: Builder, rng: Generator, obj: int, y: float) -> float:
    """One sign with its top at ``y``; gives the next one's top."""
    style, r = rng.random(), rng.uniform(0.3, 0.45)
    back = Look(cls=SIGN, colour=(0.35, 0.35, 0.35))
    if style < 0.2:
        turns = np.arange(8) * np.pi / 4 - np.pi * 5 / 8
        ring = [(float(np.cos(a)) * r, y + r + float(np.sin(a)) * r, 0.0) for a in turns]
        look, size = Look(cls=SIGN, tile=Tile.STOP, rough=0), 2 * r
        corners = ring
    elif style < 0.45:
        look, size = Look(cls=SIGN, tile=pick(rng, Tile.WARN), rough=0), 2.3 * r
        m = y + size / 2
        corners = [(0, y, 0), (size / 2, m, 0), (0, m + size / 2, 0), (-size / 2, m, 0)]
    else:
        kind = Tile.PLATE_SIGN if style < 0.8 else Tile.STREET_SIGN
        look, size = Look(cls=SIGN, tile=pick(rng, kind), rough=0), r * rng.uniform(0.8, 2.4)
        w = r * (rng.uniform(1.5, 3) if kind is Tile.STREET_SIGN else rng.uniform(0.7, 1.1))
        corners = [(-w, y, 0), (w, y, 0), (w, y + size, 0), (-w, y + size, 0)]
    frame = ((0.5 / r, 0, 0, 0.5), (0, 0.5 / r, 0, -y * 0.5 / r)) if style < 0.2 else None
    middle = (0.0, y, 0.01)
    b.polygon(obj, corners, look, middle=middle, frame=frame)
    b.polygon(obj, [(p[0], p[1], 0.02) for p in corners], back, middle=middle)
    return y + size + 0.08


def signals(b: Builder, rng: Generator, s: float, road: Road) -> None:
    """Traffic lights over and beside a crossing, on mast arms or a span wire."""
    metal = Look(cls=POLE, colour=_one(rng, ((70, 72, 70), (160, 160, 160), (40, 40, 40))))
    left, right = road.kerbs
    colour, dark = pick(rng, Tile.LIGHT), rng.random() < 0.6
    case: Colour = (0.02, 0.02, 0.02) if dark else (0.6, 0.42, 0.05)
    h = rng.uniform(5.2, 6.5)
    arm = rng.uniform(0.4, 0.95) * (right - left)
    obj = b.place(s, right + 0.9, size=(0.3, h, 0.3))
    b.quadric(obj, (0, -h / 2, 0), (0.14, h / 2, 0.14), metal, kind="tube")
    b.boxes(obj, (-arm / 2 - 0.5, -h + 0.3, 0), (arm + 1, 0.16, 0.16), (metal,) * 6)
    for k in range(int(rng.integers(1, 4))):
        _head(b, obj, (-arm + k * 3.4, -h + 1.0), colour, case)
    if rng.random() < 0.5:
        board = Look(cls=SIGN, tile=pick(rng, Tile.STREET_SIGN), rough=0)
        x, y = -arm * 0.4, -h - 0.1
        b.polygon(
            obj, [(x, y, -0.12), (x + 2.0, y, -0.12), (x + 2.0, y + 0.6, -0.12), (x, y + 0.6, -0.12)], board
        )
    post = b.place(s, left - 0.8, size=(0.2, 3.4, 0.2))
    b.quadric(post, (0, -1.7, 0), (0.07, 1.7, 0.07), metal, kind="tube")
    _head(b, post, (0.0, -3.0), colour, case)


def _head(b: Builder, obj: int, at: tuple[float, float], tile: int, case: Colour) -> None:
    x, y = at
    face = Look(cls=LIGHT, colour=case, tile=tile, glow=1.6, rough=0)
    shell = Look(cls=LIGHT, colour=case)
    b.boxes(obj, (x, y + 0.3, -0.1), (0.36, 1.05, 0.28), (face, shell, shell, shell, shell, shell))


def horizon(b: Builder, rng: Generator, colour: Colour) -> None:
    """Tree lines and far towers behind everything."""
    for k in range(int(rng.integers(1, 4))):
        s, h = 170 + 60 * k + rng.uniform(0, 30), rng.uniform(6, 22)
        obj = b.place(s, rng.normal(0, 30), yaw=rng.normal(0, 0.1))
        look = Look(cls=GREEN, colour=colour, tile=pick(rng, Tile.SKYLINE), cut=1, rough=0.5)
        card = [(-330, -h, 0), (330, -h, 0), (330, 1, 0), (-330, 1, 0)]
        b.polygon(obj, card, look, rep=(660 / (h * 3.5), 1))
    most = rng.choice([14, 30, 110])
    for _ in range(max(int(rng.integers(-3, 6)), 0)):
        w, h = rng.uniform(15, 45), rng.uniform(8, most)
        obj = b.place(rng.uniform(130, 290), rng.normal(0, 70))
        look = Look(cls=BUILDING, colour=_one(rng, _FACADES), tile=pick(rng, Tile.WINDOW), gloss=0.1)
        b.boxes(obj, (0, 2, 0), (w, h, w), (look,) * 5, (w / 3, h / 3.4, w / 3))
