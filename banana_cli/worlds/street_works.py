"""Works on a road: cones, drums, boards, barriers, signs on stands, machines and the people at them."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from banana_cli.worlds import street_cars as cars
from banana_cli.worlds import street_movers as movers
from banana_cli.worlds.street_cars import one
from banana_cli.worlds.street_ground import Road
from banana_cli.worlds.street_parts import Builder, Look, linear
from banana_cli.worlds.street_tiles import Tile, pick

WORKS, SIGN, POLE, FENCE = 19, 7, 5, 4


def zone(b: Builder, rng: Generator, road: Road, strength: float) -> None:
    """A closed stretch on one side of the road; ``strength`` 0 (none) .. 1."""
    if rng.random() > strength * 1.5:
        if rng.random() < 0.12:
            _strays(b, rng, road)
        return
    side = int(rng.choice([-1, 1]))
    edge = road.kerbs[(side + 1) // 2]
    start, inner = rng.uniform(4, 26), side * rng.uniform(1.7, 2.6)
    _row(b, rng, start, (edge, inner))
    low, high = min(inner, edge), max(inner, edge) + 1.5
    for _ in range(int(rng.poisson(3))):
        barricade(b, rng, start + rng.uniform(2, 25), rng.uniform(low, high), float(rng.normal(0, 0.35)))
    for _ in range(int(rng.poisson(2.5))):
        at = start + rng.uniform(2, 24), rng.uniform(low, high)
        movers.person(b, rng, *at, yaw=float(rng.uniform(0, 6)), worker=True)
    for _ in range(int(rng.poisson(1.0))):
        stand(b, rng, max(start - rng.uniform(-6, 12), 5), edge + side * rng.uniform(-0.6, 1.5))
    _machines(b, rng, start + rng.uniform(12, 34), (edge + inner) / 2)
    if rng.random() < 0.25:
        _mesh(b, rng, start, edge + side * rng.uniform(0, 2), rng.uniform(10, 40))


def _machines(b: Builder, rng: Generator, s: float, l: float) -> None:  # noqa: E741
    draw = rng.random()
    if draw < 0.3:
        cars.truck(b, rng, s, l, yaw=float(rng.choice([0, np.pi])))
    elif draw < 0.6:
        cars.digger(b, rng, s, l, yaw=float(rng.uniform(0, 6)))
    elif draw < 0.75:
        cars.arrow_board(b, rng, s, l)
    if rng.random() < 0.5:
        cars.car(b, rng, s + 11, l, work=True)


def _row(b: Builder, rng: Generator, start: float, between: tuple[float, float]) -> None:
    """Markers that narrow the road, then run along it."""
    edge, inner = between
    kind, step = int(rng.choice([0, 0, 1, 1, 1, 2])), rng.uniform(1.5, 6)
    taper = int(rng.integers(2, 7))
    for k in range(int(rng.integers(4, 20))):
        l = edge + (inner - edge) * min(k / taper, 1) + rng.normal(0, 0.12)  # noqa: E741
        cone(b, rng, start + k * step, l, kind if rng.random() < 0.85 else int(rng.integers(3)))


def _strays(b: Builder, rng: Generator, road: Road) -> None:
    kind = int(rng.integers(3))
    for _ in range(int(rng.integers(1, 5))):
        l = road.kerbs[int(rng.integers(2))] + rng.normal(0, 1.0)  # noqa: E741
        cone(b, rng, rng.uniform(6, 45), l, kind)


def _mesh(b: Builder, rng: Generator, s: float, l: float, length: float) -> None:  # noqa: E741
    """Wire panels on feet, or an orange net."""
    look = Look(cls=FENCE, colour=(0.4, 0.4, 0.4), tile=pick(rng, Tile.CHAIN), cut=2, rough=0.08)
    h = 1.9
    obj = b.place(s + length / 2, l, size=(0.1, h * 0.5, length))
    z = length / 2
    b.polygon(obj, [(0, -h, -z), (0, -h, z), (0, 0, z), (0, 0, -z)], look, rep=(length / 2.4, 1))


def cone(b: Builder, rng: Generator, s: float, l: float, kind: int) -> None:  # noqa: E741
    """0 cone, 1 drum, 2 tall thin marker."""
    if kind == 1:
        _drum(b, rng, s, l)
        return
    h = rng.uniform(0.5, 1.0) if kind == 0 else rng.uniform(1.0, 1.2)
    r = h * rng.uniform(0.17, 0.2) if kind == 0 else 0.1
    obj = b.place(s, l, size=(2 * r, h, 2 * r))
    skin = Look(cls=WORKS, tile=pick(rng, Tile.CONE), rough=0.08)
    shape = "cone" if kind == 0 else "tube"
    b.quadric(obj, (0, -h / 2, 0), (r, h / 2, r), skin, kind=shape)
    dark = Look(cls=WORKS, colour=(0.02, 0.02, 0.02) if rng.random() < 0.6 else linear(230, 80, 20))
    b.boxes(obj, (0, 0, 0), (r * 2.6, 0.05, r * 2.6), (dark,) * 5)


def _drum(b: Builder, rng: Generator, s: float, l: float) -> None:  # noqa: E741
    """Two stacked tubes, the upper one thinner, on a rubber ring."""
    h, r = rng.uniform(0.95, 1.1), 0.29
    obj = b.place(s, l, yaw=rng.normal(0, 0.1), size=(2 * r, h, 2 * r))
    drum = Look(cls=WORKS, tile=int(Tile.BARREL) + 1 + int(rng.integers(4)), rough=0.1)
    b.quadric(obj, (0, -h / 2, 0), (r * 0.93, h / 2, r * 0.93), drum, kind="tube")
    b.quadric(
        obj,
        (0, -h * 0.2, 0),
        (r, h * 0.2, r),
        Look(cls=WORKS, colour=linear(238, 84, 24), tile=int(Tile.BARREL), rough=0.1),
        kind="tube",
    )
    dark = Look(cls=WORKS, colour=(0.015, 0.015, 0.015))
    b.quadric(obj, (0, -0.05, 0), (r * 1.2, 0.05, r * 1.2), dark, kind="tube")
    ring = np.linspace(0, 2 * np.pi, 9)[:-1]
    lid = [(float(np.cos(a)) * r * 0.93, -h, float(np.sin(a)) * r * 0.93) for a in ring]
    b.polygon(obj, lid, Look(cls=WORKS, colour=linear(240, 85, 20)))


def barricade(b: Builder, rng: Generator, s: float, l: float, yaw: float) -> None:  # noqa: E741
    """Striped boards on feet, or a concrete or plastic barrier."""
    obj = b.place(s, l, yaw=yaw, size=(1.6, 1.0, 0.4))
    if rng.random() < 0.65:
        board = Look(cls=WORKS, tile=pick(rng, Tile.STRIPES), rough=0.06)
        w, leg = (
            rng.uniform(0.8, 2.4),
            Look(cls=WORKS, colour=one(rng, ((190, 190, 186), (235, 235, 230), (60, 60, 60)))),
        )
        for k in range(int(rng.choice([1, 2, 3, 3]))):
            b.boxes(obj, (0, -0.3 - 0.42 * k, 0), (w, 0.24, 0.05), (board,) * 6, (w / 0.9, 0.4, 1))
        for x in (-0.4, 0.4):
            b.boxes(obj, (x * w, 0, 0), (0.07, 1.35, 0.07), (leg,) * 6)
            b.boxes(obj, (x * w, 0, 0), (0.07, 0.07, 0.9), (leg,) * 6)
        if rng.random() < 0.3:
            lamp = Look(cls=WORKS, colour=linear(255, 150, 20), glow=0.7)
            b.boxes(obj, (0.4 * w, -1.35, 0), (0.16, 0.2, 0.08), (lamp,) * 6)
        return
    hues = ((180, 176, 168), (150, 146, 140), (232, 90, 30), (225, 225, 222), (232, 84, 26))
    look = Look(cls=WORKS, colour=one(rng, hues), rough=0.2)
    n = rng.uniform(1.5, 4)
    b.boxes(obj, (0, 0, 0), (n, 0.35, 0.6), (look,) * 5)
    b.boxes(obj, (0, -0.35, 0), (n, 0.5, 0.28), (look,) * 5)


def stand(b: Builder, rng: Generator, s: float, l: float) -> None:  # noqa: E741
    """An orange sign on a light stand."""
    obj = b.place(s, l, yaw=rng.normal(0, 0.15), size=(1.2, 1.6, 0.2))
    look = Look(cls=SIGN, tile=int(Tile.WARN) + int(rng.choice([0, 1, 5])), rough=0.03)
    r, leg = rng.uniform(0.5, 0.75), Look(cls=POLE, colour=(0.3, 0.3, 0.3))
    y = rng.uniform(0.3, 1.1)
    b.polygon(obj, [(0, -y - 2 * r, 0), (r, -y - r, 0), (0, -y, 0), (-r, -y - r, 0)], look)
    b.boxes(obj, (0, 0, 0.05), (0.06, y + 0.4, 0.06), (leg,) * 6)
    for k in (-1, 1):
        b.boxes(obj, (k * 0.3, 0, 0), (0.6, 0.06, 0.06), (leg,) * 6)
