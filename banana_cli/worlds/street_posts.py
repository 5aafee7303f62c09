"""Thin things beside a road: poles, lamps, signs on posts, traffic lights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from banana_cli.worlds.street_ground import Road
from banana_cli.worlds.street_parts import Builder, Colour, Look, linear, vary
from banana_cli.worlds.street_tiles import Tile, pick

POLE, LIGHT, SIGN = 5, 6, 7
_METAL = ((150, 150, 150), (60, 62, 60), (40, 60, 50), (190, 190, 190), (30, 30, 30), (120, 116, 108))


def _metal(rng: Generator) -> Look:
    return Look(cls=POLE, colour=vary(rng, linear(*_METAL[int(rng.integers(len(_METAL)))])))


def pole(b: Builder, rng: Generator, s: float, l: float, side: int) -> None:  # noqa: E741
    """A wooden pole with cross arms, a street lamp, or a plain post; some carry plates."""
    draw = rng.random()
    if draw < 0.45:
        obj = _wooden(b, rng, s, l)
    elif draw < 0.9:
        obj = _lamp(b, rng, s, l, side)
    else:
        h = rng.uniform(0.7, 3)
        obj = b.place(s, l, size=(0.15, h, 0.15))
        b.quadric(obj, (0, -h / 2, 0), (rng.uniform(0.05, 0.12), h / 2, 0.09), _metal(rng), kind="tube")
        return
    if rng.random() < 0.4:
        _plates(b, rng, obj, -rng.uniform(2.2, 3.6))


def _wooden(b: Builder, rng: Generator, s: float, l: float) -> int:  # noqa: E741
    h, r = rng.uniform(8, 12), rng.uniform(0.11, 0.2)
    wood = Look(cls=POLE, colour=vary(rng, linear(108, 90, 74)), rough=0.3)
    obj = b.place(s, l, yaw=rng.normal(0, 0.1), size=(0.3, h, 0.3))
    b.quadric(obj, (0, -h / 2, 0), (r, h / 2, r), wood, kind="tube")
    for k in range(int(rng.integers(0, 3))):
        b.boxes(obj, (0, -h + 0.7 + 0.9 * k, 0), (2.2, 0.14, 0.12), (wood,) * 6)
    if rng.random() < 0.4:
        can = Look(cls=POLE, colour=(0.3, 0.32, 0.33))
        b.quadric(obj, (0.35, -h + 2.4, 0), (0.22, 0.4, 0.22), can, kind="tube")
    return obj


def _lamp(b: Builder, rng: Generator, s: float, l: float, side: int) -> int:  # noqa: E741
    h, arm, r = rng.uniform(4, 10), rng.uniform(0.3, 3.0), rng.uniform(0.06, 0.13)
    metal = _metal(rng)
    obj = b.place(s, l, size=(0.2, h, 0.2))
    b.quadric(obj, (0, -h / 2, 0), (r, h / 2, r), metal, kind="tube")
    b.quadric(obj, (0, -0.35, 0), (r * 1.7, 0.35, r * 1.7), metal, kind="tube")
    if h < 5.5 and rng.random() < 0.5:
        globe = Look(cls=POLE, colour=(0.7, 0.7, 0.66))
        b.quadric(obj, (0, -h - 0.2, 0), (0.2, 0.28, 0.2), globe)
        return obj
    b.boxes(obj, (-side * arm / 2, -h, 0), (arm, 0.1, 0.1), (metal,) * 6)
    b.boxes(obj, (-side * arm, -h - 0.02, 0), (0.8, 0.16, 0.3), (metal,) * 6)
    return obj


def sign(b: Builder, rng: Generator, s: float, l: float) -> None:  # noqa: E741
    """A post with one to three traffic signs."""
    facing = 0.0 if rng.random() < 0.75 else float(rng.choice([np.pi, np.pi / 2]))
    obj = b.place(s, l, yaw=facing + rng.normal(0, 0.15), size=(0.6, 2.8, 0.1))
    h = rng.uniform(2.1, 3.3)
    r = rng.uniform(0.03, 0.06)
    b.quadric(obj, (0, -h / 2, 0.08), (r, h / 2, r), _metal(rng), kind="tube")
    _plates(b, rng, obj, -h)


def _plates(b: Builder, rng: Generator, obj: int, y: float) -> None:
    for _ in range(int(rng.choice([1, 1, 2, 2, 3]))):
        y = _board(b, rng, obj, y)


def _board(b: Builder, rng: Generator, obj: int, y: float) -> float:
    """One sign with its top at ``y``; gives the next one's top."""
    style, r = rng.random(), rng.uniform(0.3, 0.45)
    if style < 0.12:
        turns = np.arange(8) * np.pi / 4 - np.pi * 5 / 8
        corners = [(float(np.cos(a)) * r, y + r + float(np.sin(a)) * r) for a in turns]
        tile, size = int(Tile.STOP), 2 * r
    elif style < 0.3:
        tile, size = pick(rng, Tile.WARN), 2.3 * r
        m = y + size / 2
        corners = [(0, y), (size / 2, m), (0, m + size / 2), (-size / 2, m)]
    elif style < 0.36:
        tile, size = int(Tile.PLATE_SIGN) + 6, 1.8 * r  # give way
        corners = [(-r, y), (r, y), (0.05, y + size), (-0.05, y + size)]
    else:
        tile, w, size = _plate_size(rng, style, r)
        corners = [(-w, y), (w, y), (w, y + size), (-w, y + size)]
    frame = ((0.5 / r, 0, 0, 0.5), (0, 0.5 / r, 0, -y * 0.5 / r)) if style < 0.12 else None
    back = Look(cls=SIGN, colour=(0.35, 0.35, 0.35))
    middle = (0.0, y, 0.01)
    look = Look(cls=SIGN, tile=tile, rough=0.02)
    b.polygon(obj, [(p, q, -0.06) for p, q in corners], look, middle=middle, frame=frame)
    b.polygon(obj, [(p, q, 0.02) for p, q in corners], back, middle=(0.0, y, -0.01))
    return y + size + 0.06


def _plate_size(rng: Generator, style: float, r: float) -> tuple[int, float, float]:
    """(tile, half width, height) of a rectangular sign: parking plates, limits, street names, guides."""
    if style < 0.58:
        return pick(rng, Tile.PLATE_SIGN), rng.uniform(0.14, 0.2), rng.uniform(0.4, 0.5)
    if style < 0.82:
        return pick(rng, Tile.PLATE_SIGN), r * rng.uniform(0.75, 1.2), r * rng.uniform(1.2, 2.4)
    if style < 0.95:
        return pick(rng, Tile.STREET_SIGN), r * rng.uniform(1.2, 2.2), r * rng.uniform(0.45, 0.8)
    return pick(rng, Tile.STREET_SIGN), r * rng.uniform(2, 4), r * rng.uniform(2, 3.4)


def signals(b: Builder, rng: Generator, s: float, road: Road) -> None:
    """Traffic lights over and beside a crossing: on mast arms or hung from a wire, and on posts."""
    left, right = road.kerbs
    dark = rng.random() < 0.6
    case: Colour = (0.02, 0.02, 0.02) if dark else (0.6, 0.42, 0.05)
    kit = _Kit(_metal(rng), pick(rng, Tile.LIGHT), case, rng.random() < 0.3, int(rng.integers(1, 5)))
    h, style = rng.uniform(5.4, 7.0), rng.random()
    if style < 0.75:
        arm = rng.uniform(0.4, 0.95) * (right - left) if style < 0.5 else (right - left) * 0.5
        for side, kerb in ((1, right), (-1, left))[: 1 + (style < 0.25) + (style > 0.5)]:
            _mast(b, rng, (s, kerb + side * 0.9), -side * arm, h, kit)
    else:
        obj = b.place(s, 0.0)
        for k in range(kit.heads):
            x = left + (right - left) * (k + 0.7) / (kit.heads + 0.4)
            _head(b, obj, (x, -h + 0.8 + rng.uniform(0, 0.3)), kit)
    for at, edge in ((s, left - 0.8), (road.crossing[0] - 1.5, right + 0.8), (s, right + 1.1)):
        if rng.random() < 0.6 and at > 6:
            _post(b, rng, at, edge, kit)


class _Kit(NamedTuple):
    """What the lights of one crossing share."""

    metal: Look
    tile: int
    case: Colour
    plate: bool
    heads: int


def _mast(b: Builder, rng: Generator, at: tuple[float, float], arm: float, h: float, kit: _Kit) -> None:
    """A mast with an arm of ``arm`` metres to the right (negative: left) and the heads on it."""
    obj = b.place(*at, yaw=rng.normal(0, 0.05), size=(0.3, h, 0.3))
    b.quadric(obj, (0, -h / 2, 0), (0.14, h / 2, 0.14), kit.metal, kind="tube")
    way = 1 if arm > 0 else -1
    b.boxes(obj, (arm / 2 + 0.5 * way, -h + 0.3, 0), (abs(arm) + 1, 0.16, 0.16), (kit.metal,) * 6)
    for k in range(kit.heads):
        _head(b, obj, (arm - way * k * 3.4, -h + 1.0), kit)
    if rng.random() < 0.6:
        _name(b, rng, obj, (arm * rng.uniform(0.2, 0.7), -h + 0.15))


def _name(b: Builder, rng: Generator, obj: int, at: tuple[float, float]) -> None:
    """A street's name on a mast arm."""
    board = Look(cls=SIGN, tile=pick(rng, Tile.STREET_SIGN), rough=0)
    (x, y), w, h = at, rng.uniform(1.2, 2.4), rng.uniform(0.4, 0.7)
    b.polygon(obj, [(x, y, -0.12), (x + w, y, -0.12), (x + w, y + h, -0.12), (x, y + h, -0.12)], board)


def _post(b: Builder, rng: Generator, s: float, l: float, kit: _Kit) -> None:  # noqa: E741
    """Lights on a post, for cars and for people."""
    h = rng.uniform(3.2, 4.4)
    post = b.place(
        s, l, yaw=float(rng.choice([0, 0, 0, np.pi / 2, np.pi])) + rng.normal(0, 0.1), size=(0.2, h, 0.2)
    )
    b.quadric(post, (0, -h / 2, 0), (0.07, h / 2, 0.07), kit.metal, kind="tube")
    _head(b, post, (0.0, -h + 0.4), kit._replace(plate=False))
    if rng.random() < 0.6:
        face, shell = (
            Look(cls=LIGHT, tile=int(Tile.WALK), glow=1.2, rough=0),
            Look(cls=LIGHT, colour=kit.case),
        )
        b.boxes(post, (0.1, -2.4, -0.15), (0.42, 0.44, 0.24), (face, shell, shell, shell, shell, shell))


def _head(b: Builder, obj: int, at: tuple[float, float], kit: _Kit) -> None:
    x, y = at
    face = Look(cls=LIGHT, colour=kit.case, tile=kit.tile, glow=1.6, rough=0)
    shell = Look(cls=LIGHT, colour=kit.case)
    b.boxes(obj, (x, y + 0.3, -0.1), (0.38, 1.08, 0.28), (face, shell, shell, shell, shell, shell))
    if kit.plate:
        black = Look(cls=LIGHT, colour=(0.02, 0.02, 0.02))
        low, high, w = y + 0.42, y - 0.9, 0.36
        sheet = [(x - w, high, 0.02), (x + w, high, 0.02), (x + w, low, 0.02), (x - w, low, 0.02)]
        b.polygon(obj, sheet, black)
