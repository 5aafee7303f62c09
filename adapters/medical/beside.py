"""Slices of a volume in company: each frame carries its neighbours, so that the model can heed them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

import numpy as np

from banana_cli.adapter import Unreadable
from banana_cli.types import Frame

from .geometry import PatientGeometry, Plane, same_grid

REACH_MM = 10.0  # farther apart, slices say little of each other (measured on cardiac MR 8 to 10 mm apart)
_SHIFT = 1.0  # pixels that a neighbour may be shifted by a tilted gantry


def with_neighbours(frames: Iterable[Frame | Unreadable]) -> Iterator[Frame | Unreadable]:
    """The same frames in the same order, read one ahead, each with those close before and after it."""
    before: Frame | None = None
    held: Frame | Unreadable | None = None
    for item in chain(frames, (None,)):
        after = item if isinstance(item, Frame) else None
        if isinstance(held, Frame):
            near = tuple(other for other in (before, after) if other is not None and _near(held, other))
            yield replace(held, beside=near)
            before = held
        elif held is not None:
            yield held
            before = None
        held = item


def _near(a: Frame, b: Frame) -> bool:
    first, second = _plane(a), _plane(b)
    if first is None or second is None or a.shape != b.shape or not same_grid(first, second):
        return False
    step = np.subtract(second.position, first.position)
    down, right = np.array((first.down, first.right)) @ step / first.spacing
    return bool(abs(step @ first.normal) <= REACH_MM and max(abs(down), abs(right)) < _SHIFT)


def _plane(frame: Frame) -> Plane | None:
    return frame.geometry.plane if isinstance(frame.geometry, PatientGeometry) else None
