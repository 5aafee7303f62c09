"""Boxes that move over a floor, in front of each other: masks and the way back of every pixel, exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from banana_cli.types import F32, U16, Instances

SHAPE = (96, 160)
RATE = 30.0
CAR, TRUCK, PERSON = 13, 14, 11


@dataclass(frozen=True)
class Actor:
    """A box with its left upper corner at (x, y) at the start; ``speed`` (x, y) pixels a frame."""

    x: float
    y: float
    width: int
    height: int
    speed: tuple[float, float] = (0.0, 0.0)
    cls: int = CAR
    counted: bool = True

    def where(self, k: int) -> tuple[slice, slice]:
        left, top = round(self.x + self.speed[0] * k), round(self.y + self.speed[1] * k)
        rows = slice(max(0, top), max(0, top + self.height))
        return rows, slice(max(0, left), max(0, left + self.width))


@dataclass(frozen=True)
class Shot:
    truth: U16
    flow: F32
    time_s: float
    classes: tuple[int, ...]


def play(actors: Sequence[Actor], frames: int) -> Iterator[Shot]:
    """Later actors stand in front; number k + 1 is actor k, those not counted only hide others."""
    for k in range(frames):
        truth = np.zeros(SHAPE, np.uint16)
        flow = np.zeros((*SHAPE, 2), np.float32)
        for number, actor in enumerate(actors, start=1):
            truth[actor.where(k)] = number if actor.counted else 0
            flow[actor.where(k)] = -np.array(actor.speed)
        yield Shot(truth, flow, k / RATE, tuple(a.cls for a in actors))


def seen(shot: Shot, *, without: Sequence[int] = (), order: Sequence[int] | None = None) -> Instances:
    """What a mask tells: the things that are there, in any order."""
    numbers = [n for n in np.unique(shot.truth).tolist() if n and n not in without]
    if order is not None:
        numbers = [numbers[i % len(numbers)] for i in order if i < len(numbers)]
    ids = np.zeros_like(shot.truth)
    for k, number in enumerate(numbers, start=1):
        ids[shot.truth == number] = k
    classes = tuple(shot.classes[n - 1] for n in numbers)
    return Instances(ids=ids, classes=classes, scores=(0.9,) * len(numbers))


def joined(shot: Shot, numbers: Sequence[int]) -> Instances:
    """As ``seen``, but these are one region."""
    truth = shot.truth.copy()
    truth[np.isin(truth, numbers)] = numbers[0]
    return seen(Shot(truth, shot.flow, shot.time_s, shot.classes))
