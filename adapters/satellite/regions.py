"""Connected regions of a class map as polygons in pixels that share every vertex with their neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F64, NO_CLASS, U8, Bool

F16 = NDArray[np.float16]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Shapes = NDArray[Any]
"""(N,) shapely polygons (shapely has no types)."""

TOLERANCE_PX: Final = 1.0
_BATCH: Final = 4096
_ROWS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regions:
    """N regions: ``shapes`` with (column, row) from the first pixel's outer corner, in the order of labels.

    ``class_ids`` uint8, ``pixels`` counts. Means over a region, None if unknown: ``confidence`` 0..1 and
    ``height_m``, NaN where no pixel has one.
    """

    shapes: Shapes
    class_ids: U8
    pixels: I64
    confidence: F64 | None = None
    height_m: F64 | None = None

    def __len__(self) -> int:
        return len(self.shapes)


def label(ids: U8, colour: U8 | None = None) -> tuple[I32, U8]:
    """Number of each pixel's region (H, W), 1..N and 0 for none, and the class of each number (N,).

    ``colour`` (H, W): pixels of one class but of different colours are of different regions.
    """
    import cv2

    labels = np.zeros(ids.shape, np.int32)
    classes: list[U8] = []
    done = 0
    for value in np.flatnonzero(np.bincount(ids.ravel(), minlength=256)[:NO_CLASS]):
        here = ids == value
        for part in [here] if colour is None else _by_colour(here, colour):
            count, found = cv2.connectedComponents(part.view(np.uint8), connectivity=4)
            np.add(found, done, out=labels, where=found > 0)
            done += count - 1
            classes.append(np.full(count - 1, value, np.uint8))
    return labels, np.concatenate(classes) if classes else np.zeros(0, np.uint8)


def _by_colour(here: Bool, colour: U8) -> Iterator[Bool]:
    present = np.bincount(colour[here], minlength=1)
    return (here & (colour == k) for k in np.flatnonzero(present))


def trace(labels: I32, count: int, *, above: bool = False, below: bool = False) -> Shapes:
    """The outline of each of the labels 1..``count``, with a vertex wherever three regions meet.

    ``above``, ``below``: more rows follow there; every corner of a pixel at that edge is a vertex.
    """
    from rasterio.features import shapes

    nodes = _nodes(labels)
    nodes[0] |= above
    nodes[-1] |= below
    out = np.empty(count, object)
    found = iter(shapes(labels, mask=labels > 0, connectivity=4))
    while batch := list(islice(found, _BATCH)):
        out[[int(value) - 1 for _, value in batch]] = _polygons([s["coordinates"] for s, _ in batch], nodes)
    return out


def _nodes(labels: I32) -> Bool:
    """(H+1, W+1) pixel corners where three or four borders meet."""
    nodes = np.zeros((labels.shape[0] + 1, labels.shape[1] + 1), np.bool_)
    for top, rows in _strips(labels):
        across, down = rows[:, 1:] != rows[:, :-1], rows[1:] != rows[:-1]
        borders = across[1:].astype(np.uint8) + across[:-1] + down[:, 1:] + down[:, :-1]
        nodes[top : top + len(borders)] = borders > 2
    return nodes


def _strips(labels: I32) -> Iterator[tuple[int, I32]]:
    """Rows of the labels with a rim of 0 around the whole, each strip overlapping the next by one row."""
    height = labels.shape[0]
    for top in range(0, height + 1, _ROWS):
        rows = labels[max(0, top - 1) : top + _ROWS]
        above, below = int(top == 0), int(top + _ROWS > height)
        yield top, np.pad(rows, ((above, below), (1, 1)))


def _polygons(polygons: list[list[list[tuple[float, float]]]], nodes: Bool) -> Shapes:
    """Rings with integer corners as shapely polygons, with the nodes that lie on their edges."""
    import shapely

    rings = [np.asarray(ring, np.int32) for rings in polygons for ring in rings]
    corners, starts = _with_nodes(rings, nodes)
    per_polygon = np.cumsum([0, *(len(rings) for rings in polygons)])
    return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, corners, (starts, per_polygon)))


def _with_nodes(rings: list[I32], nodes: Bool) -> tuple[F64, I64]:
    """All corners of all rings (M, 2) and where each ring starts (R+1,)."""
    points = np.concatenate(rings)
    ends = np.cumsum([len(ring) for ring in rings])
    step = np.diff(points, axis=0, append=points[-1:])
    step[ends - 1] = 0
    length = np.maximum(np.abs(step).sum(axis=1), 1)  # a ring's last corner counts itself
    first = np.cumsum(length) - length
    along = np.arange(int(length.sum())) - np.repeat(first, length)
    every = np.repeat(points, length, axis=0) + np.repeat(np.sign(step), length, axis=0) * along[:, None]
    kept = (along == 0) | nodes[every[:, 1], every[:, 0]]
    before = np.concatenate([[0], np.cumsum(kept)])
    return every[kept].astype(np.float64), before[np.concatenate([[0], np.cumsum(length)[ends - 1]])]


def counts(labels: I32, count: int) -> I64:
    """Pixels of each of the labels 1..``count``."""
    total = np.zeros(count + 1, np.int64)
    for top in range(0, labels.shape[0], _ROWS):
        total += np.bincount(labels[top : top + _ROWS].ravel(), minlength=count + 1)
    return total[1:]


def sums(labels: I32, values: U8 | F16, count: int) -> F64:
    """Sum of the finite values of each of the labels 1..``count``, and how many they are (2, N)."""
    total = np.zeros((2, count + 1), np.float64)
    for top in range(0, labels.shape[0], _ROWS):
        rows, some = labels[top : top + _ROWS], values[top : top + _ROWS]
        finite = np.isfinite(some)
        total[0] += np.bincount(rows[finite], some[finite], minlength=count + 1)
        total[1] += np.bincount(rows[finite], minlength=count + 1)
    return total[:, 1:]
