"""Fills a street with what belongs there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from banana_cli.worlds import street_build as build
from banana_cli.worlds import street_movers as movers
from banana_cli.worlds.raster import Table
from banana_cli.worlds.street_ground import Road
from banana_cli.worlds.street_parts import Builder


@dataclass(frozen=True, slots=True)
class Mood:
    """What kind of place it is; chances 0..1 unless said otherwise."""

    density: float  # of buildings
    tall: float
    homes: float
    trees: float
    traffic: float
    parked: float
    people: float
    works: float
    bare: float


def _mood(rng: Generator) -> Mood:
    kind = rng.random()
    u = rng.uniform
    works = u(0.3, 1) if rng.random() < 0.45 else 0.0
    if kind < 0.38:  # city
        return Mood(
            u(0.6, 1), u(0.1, 0.8), 0.05, u(0.1, 0.9), u(0.2, 1), u(0, 1), u(0.2, 1), works, _bare(rng)
        )
    if kind < 0.7:  # homes
        return Mood(
            u(0.3, 0.9), 0.0, u(0.6, 1), u(0.3, 1), u(0, 0.5), u(0, 0.8), u(0, 0.5), works, _bare(rng)
        )
    if kind < 0.87:  # open road
        return Mood(u(0, 0.35), 0.1, 0.3, u(0.2, 1), u(0.1, 1), 0.02, 0.05, works, _bare(rng))
    return Mood(u(0, 0.2), 0.0, 0.5, u(0.7, 1.5), u(0, 0.6), 0.1, 0.1, works, _bare(rng))


def _bare(rng: Generator) -> float:
    return float(rng.choice([0.0, 0.0, 0.1, 0.6, 0.95]))


def furnish(rng: Generator, road: Road) -> tuple[Table, Table, Table]:
    """(objects, faces, quadrics) of a street."""
    b = Builder()
    b.place(0, 0)  # object 0 is the ground
    mood = _mood(rng)
    green = build.leaves(rng)
    build.horizon(b, rng, green)
    for side in (-1, 1):
        _plots(b, rng, road, mood, side)
        _trees(b, rng, road, mood, side)
        _posts(b, rng, road, side)
        _parked(b, rng, road, mood, side)
        _people(b, rng, road, mood, side)
    if road.crossing[0] < 500:
        build.signals(b, rng, road.crossing[1] + 1.5, road)
    _traffic(b, rng, road, mood)
    _works(b, rng, road, mood)
    return b.tables()


def _free(road: Road, s: float, length: float = 0.0) -> bool:
    """Whether a stretch keeps clear of the crossing street."""
    a, b = road.crossing
    return s + length < a - 1 or s > b + 1


def _plots(b: Builder, rng: Generator, road: Road, mood: Mood, side: int) -> None:
    edge = road.lots[(side + 1) // 2]
    setback = rng.uniform(0, 3) if mood.homes < 0.5 and rng.random() < 0.7 else rng.uniform(4, 14)
    s = rng.uniform(-22, -4)
    while s < 190:
        homely = rng.random() < mood.homes
        width = rng.uniform(7, 14) if homely else rng.uniform(10, 38)
        if rng.random() < mood.density and _free(road, s, width):
            l = edge + side * (setback + rng.uniform(0, 1.5))  # noqa: E741
            if homely:
                build.house(b, rng, s, l, side, width)
            else:
                build.block(b, rng, s, l, side, width, rng.random() < mood.tall)
        elif rng.random() < 0.5 and _free(road, s, width):
            _gap(b, rng, s, edge + side * rng.uniform(0.2, 3), width)
        s += width + (rng.uniform(2, 9) if homely else rng.choice([0.05, 0.05, 4, 12]))
    if rng.random() < 0.3:
        l = edge + side * rng.uniform(0, setback)  # noqa: E741
        for k in range(int(rng.integers(2, 7))):
            if _free(road, 12.0 * k, 12):
                build.barrier(b, rng, 12.0 * k, l, 12) if rng.random() < 0.7 else None


def _gap(b: Builder, rng: Generator, s: float, l: float, length: float) -> None:  # noqa: E741
    if rng.random() < 0.5:
        build.barrier(b, rng, s, l, length)
    else:
        build.hedge(b, rng, s, l, min(length, 14.0), build.leaves(rng))


def _trees(b: Builder, rng: Generator, road: Road, mood: Mood, side: int) -> None:
    kerb, lot = road.kerbs[(side + 1) // 2], road.lots[(side + 1) // 2]
    row = abs(lot - kerb) > 3 and rng.random() < mood.trees
    step, s = rng.uniform(7, 16), rng.uniform(0, 10)
    shared, kind = build.leaves(rng), int(rng.random() < 0.3)
    while row and s < 110:
        if rng.random() < 0.8 and _free(road, s):
            k = 2 if rng.random() < mood.bare else kind
            build.tree(b, rng, s, kerb + side * rng.uniform(0.9, 1.3), k, shared)
        s += step
    for _ in range(int(rng.poisson(9 * mood.trees))):
        s, l = rng.uniform(4, 130), lot + side * (rng.exponential(7) + 0.5)  # noqa: E741
        k = 2 if rng.random() < mood.bare else int(rng.choice([0, 0, 0, 1, 3, 3]))
        if _free(road, s):
            build.tree(b, rng, s, l, k, shared if rng.random() < 0.5 else build.leaves(rng))


def _posts(b: Builder, rng: Generator, road: Road, side: int) -> None:
    kerb = road.kerbs[(side + 1) // 2]
    l = kerb + side * rng.uniform(0.4, 1.0)  # noqa: E741
    s, step = rng.uniform(0, 30), rng.uniform(22, 45)
    while rng.random() < 0.9 and s < 160:
        build.pole(b, rng, s, l, side)
        s += step
    for _ in range(int(rng.poisson(2.6))):
        build.sign(b, rng, float(rng.uniform(5, 90)), kerb + side * rng.uniform(0.4, 1.2))


def _parked(b: Builder, rng: Generator, road: Road, mood: Mood, side: int) -> None:
    kerb = road.kerbs[(side + 1) // 2]
    outer = max(side * a for a, _ in road.lanes) + 1.7
    if side * kerb - outer < 1.4:
        _yard(b, rng, road, mood, side)
        return
    s = rng.uniform(3, 12)
    while s < 110:
        if rng.random() < mood.parked and _free(road, s, 4):
            draw = rng.random()
            l = kerb - side * 1.15  # noqa: E741
            yaw = (np.pi if rng.random() < 0.15 or side < 0 else 0.0) + rng.normal(0, 0.03)
            if draw < 0.93:
                movers.car(b, rng, s, l, yaw=yaw)
            else:
                movers.truck(b, rng, s + 3, l, yaw=yaw)
                s += 5
        s += rng.uniform(5.6, 7.5)


def _yard(b: Builder, rng: Generator, road: Road, mood: Mood, side: int) -> None:
    """Cars on plots, at any angle."""
    lot = road.lots[(side + 1) // 2]
    for _ in range(int(rng.poisson(4 * mood.parked))):
        yaw = rng.choice([0, np.pi / 2, np.pi, -np.pi / 2]) + rng.normal(0, 0.1)
        movers.car(b, rng, rng.uniform(8, 80), lot + side * rng.uniform(1.5, 4), yaw=float(yaw))


def _people(b: Builder, rng: Generator, road: Road, mood: Mood, side: int) -> None:
    low, high = road.walks[(side + 1) // 2]
    for _ in range(int(rng.poisson(4.5 * mood.people))):
        yaw = rng.choice([0.0, np.pi]) + rng.normal(0, 0.5)
        movers.person(b, rng, rng.uniform(5, 60), rng.uniform(min(low, high), max(low, high)), yaw=float(yaw))
    if rng.random() < 0.25 * mood.people:
        s = road.crossing[0] - 1.5 if road.crossing[0] < 60 else rng.uniform(12, 40)
        for _ in range(int(rng.integers(1, 4))):
            l = rng.uniform(*road.kerbs)  # noqa: E741
            movers.person(b, rng, s + rng.normal(0, 0.7), l, yaw=side * np.pi / 2, drift=side * 1.3)
    for _ in range(int(rng.random() < 0.22 * mood.people + 0.05) * int(rng.integers(1, 3))):
        l = road.kerbs[(side + 1) // 2] - side * rng.uniform(0.5, 1.4)  # noqa: E741
        movers.rider(
            b, rng, rng.uniform(7, 40), l, yaw=0.0 if side > 0 else np.pi, speed=side * rng.uniform(3, 6)
        )


def _traffic(b: Builder, rng: Generator, road: Road, mood: Mood) -> None:
    for middle, way in road.lanes:
        own = abs(middle) < 1
        s = rng.uniform(7, 30) if own else rng.uniform(-2, 25)
        speed = way * (0.0 if rng.random() < 0.3 else rng.uniform(4, 15))
        while s < 170:
            if rng.random() < mood.traffic:
                yaw = (0.0 if way > 0 else np.pi) + rng.normal(0, 0.015)
                l, draw = middle + rng.normal(0, 0.2), rng.random()  # noqa: E741
                pace = speed + (rng.normal(0, 0.5) if speed else 0)
                if draw < 0.86:
                    movers.car(b, rng, s, l, yaw=yaw, speed=pace, brake=speed == 0 or rng.random() < 0.2)
                elif draw < 0.94:
                    movers.truck(b, rng, s + 5, l, yaw=yaw, speed=pace)
                    s += 7
                elif draw < 0.98:
                    movers.bus(b, rng, s + 5, l, yaw=yaw, speed=pace)
                    s += 7
                else:
                    movers.rider(b, rng, s, l, yaw=yaw, speed=pace)
            s += 6 + rng.exponential(6 + abs(speed) * 1.5)


def _works(b: Builder, rng: Generator, road: Road, mood: Mood) -> None:
    if rng.random() > mood.works * 1.5:
        return
    kind, side = int(rng.choice([0, 0, 1, 1, 2])), int(rng.choice([-1, 1]))
    edge = road.kerbs[(side + 1) // 2]
    start, step = rng.uniform(5, 30), rng.uniform(2, 7)
    inner = side * rng.uniform(1.6, 2.6)
    for k in range(int(rng.integers(3, 16))):
        s = start + k * step
        l = edge + (inner - edge) * min(k / 3, 1)  # noqa: E741
        movers.cone(b, rng, s, l + rng.normal(0, 0.12), kind if rng.random() < 0.85 else int(rng.integers(3)))
    for _ in range(int(rng.poisson(2.5))):
        s, l = start + rng.uniform(2, 25), rng.uniform(min(inner, edge), max(inner, edge) + 1)  # noqa: E741
        movers.barricade(b, rng, s, l, float(rng.normal(0, 0.3)))
    for _ in range(int(rng.poisson(1.5))):
        s, l = start + rng.uniform(5, 30), rng.uniform(min(inner, edge), max(inner, edge))  # noqa: E741
        movers.person(b, rng, s, l, yaw=float(rng.uniform(0, 6)), worker=True)
    if rng.random() < 0.4:
        movers.truck(b, rng, start + rng.uniform(18, 40), (edge + inner) / 2)
