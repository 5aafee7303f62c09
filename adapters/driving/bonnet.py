"""The own car at the lower edge of a clip: an edge that stays where it is while the world goes by.

A bonnet mirrors the world, so it does not hold still itself; its outline does. Of pictures between which
the scene has moved, the gradients at each place are averaged: what goes by cancels out, the outline stays.
The best line from side to side is the outline, if it is seen along most of its way. From a car that stands
everything stays, and nothing is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F32, U8, Bool, Json

WIDTH: Final = 360
"""Columns of the pictures that are compared."""
ENOUGH: Final = 120
"""Pictures between which the scene has moved; more tell nothing new."""
LEAST: Final = 48
"""With fewer of them an edge may stay in its place by chance."""

_ZONE: Final = 0.75  # a bonnet begins below this share of the height
_SCENE: Final = (0.3, 0.65)  # rows in which the world goes by, shares of the height
_SAME: Final = 0.5  # two scenes whose gradients are more alike than this are the same one
_SOFT_GREY: Final = 4.0  # gradients much above it all count alike, or a few strong reflections would win
_FLOOR: Final = 0.25  # keeps flat places from being steady
_STEADY, _STILL = 0.45, 0.16
"""Steadiness of a place on an outline; share of the scene's places as steady from which nothing is told."""
_WORTH: Final = 0.3  # steadiness that pays for a step of the line
_STEP: Final = 3  # columns from step to step, in which the line may go up or down by a row
_BEND: Final = 0.02  # what that costs
_ABOVE: Final = 0.12  # what steady places above the line cost: below a bonnet's outline there are more edges
_SEEN: Final = 0.5  # share of the line that must be steady
_WIDE: Final = 0.5  # share of the width that it must take
_CLEAR_GREY: Final = 1.5  # usual gradient along it, grey levels a row
_STEEP: Final = 0.15  # mean rows a column; kerbs that run to the horizon are steeper
_BELOW: Final = 8  # rows from the zone's upper end to the line
_RIM: Final = 0.5  # rows that a bright rim lies above the steepest place


@dataclass(frozen=True, slots=True, eq=False)
class Bonnet:
    """``cover`` (H, W): pixels of the own car."""

    cover: Bool

    @property
    def share(self) -> float:
        """Of the picture's pixels."""
        return float(self.cover.mean())

    def describe(self) -> dict[str, Json]:
        """Facts for the sidecar."""
        first = int(self.cover.any(1).argmax())
        return {"share": round(self.share, 4), "rows": [first, self.cover.shape[0]]}


class Search:
    """Takes pictures of one clip, in order; memory does not grow with them."""

    def __init__(self) -> None:
        self._last: F32 | None = None
        self._sums: F32 | None = None
        self.moved = 0
        """Pictures so far between which the scene has moved."""

    @property
    def is_full(self) -> bool:
        """Whether more pictures tell nothing new."""
        return self.moved >= ENOUGH

    def add(self, grey: U8) -> None:
        """The next picture (h, ``WIDTH``), all of one size."""
        down, across = (cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=1 / 8) for dx in (0, 1))
        scene = np.concatenate([g[_rows(g, _SCENE)].ravel() for g in (down, across)])
        norm = float(np.linalg.norm(scene))
        if norm == 0:
            return
        scene = (scene / norm).astype(np.float32)
        if self._last is not None and float(scene @ self._last) > _SAME:
            return
        self._last = scene
        down = cv2.blur(down, (7, 1))
        soft = down / np.sqrt(np.square(down) + np.float32(_SOFT_GREY**2))
        new = np.stack([soft, np.abs(soft), down])
        self._sums = new if self._sums is None else self._sums + new
        self.moved += 1

    def found(self, shape: tuple[int, int]) -> Bonnet | None:
        """The bonnet in pictures (rows, columns) of the clip; None if there is none, or nobody can tell."""
        if self._sums is None or self.moved < LEAST:
            return None
        soft, strength, raw = self._sums / np.float32(self.moved)
        steady = np.abs(soft) / (strength + np.float32(_FLOOR))
        if float((steady[_rows(steady, _SCENE)] > _STEADY).mean()) > _STILL:
            return None
        zone = _rows(steady, (_ZONE, 1.0))
        line = _line(steady[zone])
        if not _is_outline(line, steady[zone], np.abs(raw[zone])):
            return None
        return Bonnet(_below(line + zone.start, steady.shape, shape))


def _rows(array: NDArray[np.generic], part: tuple[float, float]) -> slice:
    return slice(*(round(p * array.shape[0]) for p in part))


def _line(steady: F32) -> NDArray[np.intp]:
    """The row (h: below the picture) of the best line at each step through (h, w) places."""
    rows, steps = steady.shape[0], steady.shape[1] // _STEP
    mean = steady[:, : steps * _STEP].reshape(rows, steps, _STEP).mean(-1)
    over = np.maximum(mean - _STEADY, 0).cumsum(0) - np.maximum(mean - _STEADY, 0)
    worth = mean - _WORTH - _ABOVE * np.concatenate([np.zeros((2, steps), np.float32), over[:-2]])
    outside = -_ABOVE * over[-1:]
    return _best_way(np.concatenate([worth, outside]))


def _best_way(worth: F32) -> NDArray[np.intp]:
    """(n,) rows of the way through (h, n) from left to right whose sum is greatest (Viterbi)."""
    total, came = worth[:, 0], np.zeros(worth.shape, np.int8)
    for k in range(1, worth.shape[1]):
        from_above, from_below = np.full_like(total, -np.inf), np.full_like(total, -np.inf)
        from_above[1:], from_below[:-1] = total[:-1] - _BEND, total[1:] - _BEND
        ways = np.stack([from_above, total, from_below])
        came[:, k] = ways.argmax(0) - 1
        total = ways.max(0) + worth[:, k]
    line = np.zeros(worth.shape[1], np.intp)
    line[-1] = total.argmax()
    for k in range(worth.shape[1] - 1, 0, -1):
        line[k - 1] = line[k] + came[line[k], k]
    return line


def _is_outline(line: NDArray[np.intp], steady: F32, grey: F32) -> bool:
    """Whether the line is wide and flat, seen along most of its way, and no trace of a faint seam."""
    steps = np.flatnonzero(line < steady.shape[0])
    if len(steps) < _WIDE * len(line) or line.min() < _BELOW:
        return False
    along, clear = (
        np.array([a[line[k], k * _STEP : (k + 1) * _STEP].mean() for k in steps]) for a in (steady, grey)
    )
    steep = float(np.abs(np.diff(line[steps])).mean()) / _STEP
    return (
        float((along > _STEADY).mean()) >= _SEEN
        and float(np.median(clear)) >= _CLEAR_GREY
        and steep <= _STEEP
    )


def _below(line: NDArray[np.intp], small: tuple[int, ...], shape: tuple[int, int]) -> Bool:
    """(H, W) what lies below a line of small pictures: between two places by straight lines."""
    rows, cols = shape
    at = (np.arange(len(line)) * _STEP + _STEP / 2) * cols / small[1]
    edge = np.interp(np.arange(cols) + 0.5, at, (line - _RIM) * rows / small[0])
    edge[edge >= rows * (1 - _RIM / small[0])] = rows
    return cast(Bool, np.arange(rows)[:, None] + 0.5 >= edge[None])
