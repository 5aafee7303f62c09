"""Fills a street with what belongs there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from banana_cli.worlds import street_build as build
from banana_cli.worlds import street_cars as cars
from banana_cli.worlds import street_movers as movers
from banana_cli.worlds import street_plants as plants
from banana_cli.worlds import street_posts as posts
from banana_cli.worlds import street_works as works
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
    works = u(0.4, 1) if rng.random() < 0.68 else 0.0
    if kind < 0.5:  # city
        return Mood(
            u(0.75, 1), u(0.1, 0.8), 0.05, u(0.1, 0.9), u(0.2, 1), u(0.2, 1), u(0.2, 1), works, _bare(rng)
        )
    if kind < 0.75:  # homes
        return Mood(
            u(0.5, 0.95), 0.0, u(0.6, 1), u(0.3, 1), u(0, 0.5), u(0.1, 0.9), u(0, 0.5), works, _bare(rng)
        )
    if kind < 0.88:  # open road
        return Mood(u(0, 0.35), 0.1, 0.3, u(0.2, 1), u(0.1, 1), 0.02, 0.05, works, _bare(rng))
    return Mood(u(0, 0.3), 0.0, 0.5, u(0.7, 1.5), u(0, 0.6), 0.1, 0.1, works, _bare(rng))


def _bare(rng: Generator) -> float:
    return float(rng.choice([0.0, 0.0, 0.1, 0.6, 0.95]))


def furnish(rng: Generator, road: Road) -> tuple[Table, Table, Table]:
    """(objects, faces, quadrics) of a street."""
    b = Builder()
    b.place(0, 0)  # object 0 is the ground
    mood = _mood(rng)
    green = plants.leaves(rng)
    build.horizon(b, rng, green, road)
    for side in (-1, 1):
        _plots(b, rng, road, mood, side)
        _woods(b, rng, road, mood, side)
        _trees(b, rng, road, mood, side)
        _posts(b, rng, road, side)
        _parked(b, rng, road, mood, side)
        _people(b, rng, road, mood, side)
    if road.crossing[0] < 500:
        posts.signals(b, rng, road.crossing[1] + 1.5, road)
        _cross_traffic(b, rng, road, mood)
    if road.end < 500:
        _far_side(b, rng, road, mood)
    _traffic(b, rng, road, mood)
    works.zone(b, rng, road, mood.works)
    return b.tables()


def _free(road: Road, s: float, length: float = 0.0) -> bool:
    """Whether a stretch keeps clear of the crossing street and of the road's end."""
    a, b = road.crossing
    return s + length < a - 1 or (s > b + 1 and s < road.end)


def _woods(b: Builder, rng: Generator, road: Road, mood: Mood, side: int) -> None:
    """A wall of trees behind the plots or, where there are none, near the road."""
    if rng.random() < 0.35 + 0.4 * (mood.density < 0.4):
        edge = road.lots[(side + 1) // 2]
        near = rng.uniform(2, 14) if mood.density < 0.4 else rng.uniform(14, 40)
        a = rng.uniform(-20, 60)
        length = min(rng.uniform(40, 160), max(road.crossing[0] - 4 - a, 12) if a < road.crossing[0] else 160)
        if _free(road, a, length):
            shade = plants.leaves(rng)
            plants.wood(b, rng, a + length / 2, edge + side * near, length, shade, across=False)


def _far_side(b: Builder, rng: Generator, road: Road, mood: Mood) -> None:
    """What faces us where the road ends."""
    s = road.end + rng.uniform(4, 12)
    if rng.random() < 0.35 + 0.4 * (mood.density < 0.4):
        plants.wood(b, rng, s, 0.0, 160, plants.leaves(rng), across=True)
    else:
        l = -70.0  # noqa: E741
        while l < 70:
            width = rng.uniform(10, 30)
            build.facing(b, rng, s + rng.uniform(0, 1), l + width / 2, width)
            l += width + rng.choice([0.05, 0.05, 3, 9])  # noqa: E741
    for _ in range(int(rng.poisson(4 * mood.trees))):
        plants.tree(b, rng, road.end + rng.uniform(1.5, 4), rng.uniform(-30, 30), 0, plants.leaves(rng))
    for _ in range(int(rng.poisson(1.5))):
        posts.sign(b, rng, road.end + 1.2, rng.uniform(-12, 12))


def _cross_traffic(b: Builder, rng: Generator, road: Road, mood: Mood) -> None:
    """Vehicles seen from the side: on the crossing street, waiting beside ours or passing."""
    a, c = road.crossing
    for k, s in enumerate((a + 0.3 * (c - a), a + 0.7 * (c - a))):
        way = 1 if k == 0 else -1
        l, stop = rng.uniform(-40, -12), rng.random() < 0.5  # noqa: E741
        while l < 40:
            clear = not stop or road.kerbs[0] - 1 > l or l > road.kerbs[1] + 4
            if clear and rng.random() < 0.55 * mood.traffic + 0.1:
                drift, yaw = (0.0 if stop else way * 9.0), way * np.pi / 2 + rng.normal(0, 0.02)
                if rng.random() < 0.88:
                    cars.car(b, rng, s, l, yaw=yaw, drift=drift)
                else:
                    cars.truck(b, rng, s, l, yaw=yaw, drift=drift)
                    l += 5  # noqa: E741
            l += 6.5 + rng.exponential(6)  # noqa: E741


def _plots(b: Builder, rng: Generator, road: Road, mood: Mood, side: int) -> None:
    edge = road.lots[(side + 1) // 2]
    setback = rng.uniform(0, 3) if mood.homes < 0.5 and rng.random() < 0.7 else rng.uniform(4, 14)
    s = rng.uniform(-22, -4)
    while s < min(190, road.end):
        homely = rng.random() < mood.homes
        width = rng.uniform(7, 14) if homely else rng.uniform(10, 38)
        if _free(road, s, width):
            _plot(b, rng, mood, side, (s, edge, setback, width), homely=homely)
        s += width + (rng.uniform(2, 9) if homely else rng.choice([0.05, 0.05, 4, 12]))
    if rng.random() < 0.3:
        l = edge + side * rng.uniform(0, setback)  # noqa: E741
        for k in range(int(rng.integers(2, 7))):
            if _free(road, 12.0 * k, 12) and rng.random() < 0.7:
                build.barrier(b, rng, 12.0 * k, l, 12)


def _plot(
    b: Builder,
    rng: Generator,
    mood: Mood,
    side: int,
    lot: tuple[float, float, float, float],
    *,
    homely: bool,
) -> None:
    """A building, or a car park, fence or hedge in its place; lot: start, edge, setback, width."""
    s, edge, setback, width = lot
    if rng.random() < mood.density:
        l = edge + side * (setback + rng.uniform(0, 1.5))  # noqa: E741
        if homely:
            build.house(b, rng, s, l, side, width)
        else:
            build.block(b, rng, s, l, side, width, rng.random() < mood.tall)
    elif rng.random() < 0.2 * (mood.density > 0.4):
        _car_park(b, rng, s, edge + side * rng.uniform(3, 6), width, side)
    elif rng.random() < 0.5:
        _gap(b, rng, s, edge + side * rng.uniform(0.2, 3), width)


def _gap(b: Builder, rng: Generator, s: float, l: float, length: float) -> None:  # noqa: E741
    if rng.random() < 0.5:
        build.barrier(b, rng, s, l, length)
    else:
        plants.hedge(b, rng, s, l, min(length, 14.0), plants.leaves(rng))


def _car_park(b: Builder, rng: Generator, s: float, l: float, length: float, side: int) -> None:  # noqa: E741
    """Rows of parked cars beside the road."""
    yaw = rng.choice([np.pi / 2, -np.pi / 2])
    for row in range(int(rng.integers(1, 3))):
        at = s + 1.5
        while at < s + length:
            if rng.random() < 0.75:
                turn = yaw + np.pi * (rng.random() < 0.2) + rng.normal(0, 0.05)
                cars.car(b, rng, at, l + side * 9 * row, yaw=float(turn))
            at += 2.8


def _trees(b: Builder, rng: Generator, road: Road, mood: Mood, side: int) -> None:
    kerb, lot = road.kerbs[(side + 1) // 2], road.lots[(side + 1) // 2]
    row = abs(lot - kerb) > 3 and rng.random() < mood.trees
    step, s = rng.uniform(7, 16), rng.uniform(0, 10)
    shared, kind = plants.leaves(rng), int(rng.random() < 0.3)
    while row and s < 110:
        if rng.random() < 0.8 and _free(road, s):
            k = 2 if rng.random() < mood.bare else kind
            plants.tree(b, rng, s, kerb + side * rng.uniform(0.9, 1.3), k, shared)
        s += step
    for _ in range(int(rng.poisson(9 * mood.trees))):
        s, l = rng.uniform(4, 130), lot + side * (rng.exponential(7) + 0.5)  # noqa: E741
        k = 2 if rng.random() < mood.bare else int(rng.choice([0, 0, 0, 1, 3, 3]))
        if _free(road, s):
            plants.tree(b, rng, s, l, k, shared if rng.random() < 0.5 else plants.leaves(rng))


def _posts(b: Builder, rng: Generator, road: Road, side: int) -> None:
    kerb = road.kerbs[(side + 1) // 2]
    l = kerb + side * rng.uniform(0.4, 1.2)  # noqa: E741
    s, step = rng.uniform(2, 25), rng.uniform(18, 42)
    while rng.random() < 0.92 and s < min(160, road.end):
        if _free(road, s):
            posts.pole(b, rng, s, l + rng.normal(0, 0.1), side)
        s += step * rng.uniform(0.8, 1.2)
    for _ in range(int(rng.poisson(4.0))):
        s = rng.uniform(4, 30) if rng.random() < 0.5 else rng.uniform(30, 90)
        if s < road.end:
            posts.sign(b, rng, float(s), kerb + side * rng.uniform(0.4, 1.6))


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
                cars.car(b, rng, s, l, yaw=yaw)
            else:
                cars.truck(b, rng, s + 3, l, yaw=yaw)
                s += 5
        s += rng.uniform(5.6, 7.2)


def _yard(b: Builder, rng: Generator, road: Road, mood: Mood, side: int) -> None:
    """Cars on plots, at any angle."""
    lot = road.lots[(side + 1) // 2]
    for _ in range(int(rng.poisson(4 * mood.parked))):
        yaw = rng.choice([0, np.pi / 2, np.pi, -np.pi / 2]) + rng.normal(0, 0.1)
        cars.car(b, rng, rng.uniform(8, 80), lot + side * rng.uniform(1.5, 4), yaw=float(yaw))


def _people(b: Builder, rng: Generator, road: Road, mood: Mood, side: int) -> None:
    low, high = road.walks[(side + 1) // 2]
    for _ in range(int(rng.poisson(5.5 * mood.people))):
        yaw = rng.choice([0.0, np.pi]) + rng.normal(0, 0.5)
        movers.person(b, rng, _ahead(rng), rng.uniform(min(low, high), max(low, high)), yaw=float(yaw))
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


def _ahead(rng: Generator) -> float:
    """Metres ahead, the near ones more often."""
    return float(5 + min(rng.exponential(18), 70))


def _traffic(b: Builder, rng: Generator, road: Road, mood: Mood) -> None:
    for middle, way in road.lanes:
        own = abs(middle) < 1
        s = (
            (rng.uniform(6.5, 14) if rng.random() < 0.4 else rng.uniform(14, 40))
            if own
            else rng.uniform(-2, 25)
        )
        speed = way * (0.0 if rng.random() < 0.3 else rng.uniform(4, 15))
        while s < min(170, road.end - 14):
            if rng.random() < mood.traffic:
                yaw = (0.0 if way > 0 else np.pi) + rng.normal(0, 0.015)
                l, draw = middle + rng.normal(0, 0.2), rng.random()  # noqa: E741
                pace = speed + (rng.normal(0, 0.5) if speed else 0)
                if draw < 0.86:
                    cars.car(b, rng, s, l, yaw=yaw, speed=pace, brake=speed == 0 or rng.random() < 0.2)
                elif draw < 0.94:
                    cars.truck(b, rng, s + 5, l, yaw=yaw, speed=pace)
                    s += 7
                elif draw < 0.98:
                    cars.bus(b, rng, s + 5, l, yaw=yaw, speed=pace)
                    s += 7
                else:
                    movers.rider(b, rng, s, l, yaw=yaw, speed=pace)
            s += 6 + rng.exponential(6 + abs(speed) * 1.5)
