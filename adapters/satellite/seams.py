"""Regions of a class map that comes strip by strip, each region whole: what meets at a seam is joined there.

Along a seam every pixel's corner is a vertex on both sides and stays one, so that joined outlines fit to the
last digit; all other borders are simplified within their strip. What reaches the lowest row waits for the
next strip, all else is handed on at once: memory is that of a strip and of the outlines that are still open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from banana_cli.types import F64, NO_CLASS, U8

from .regions import F16, I32, I64, TOLERANCE_PX, Regions, counts, label, sums, trace
from .things import colours

MAX_OPEN_CORNERS: Final = 20_000_000
LEAST_BENT_PX: Final = 16
"""The borders of smaller regions are not simplified: some would be slivers of an eighth of their area."""


class TooManyCornersError(ValueError):
    """The outlines that no strip has closed yet would not fit in memory."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strip:
    """Rows of a scene from ``top`` on: class ids (h, W), confidence in 1/255 and height in m where known.

    ``things`` (h, W): the number of the countable thing that a pixel belongs to, the same in all strips.
    """

    top: int
    last: bool
    ids: U8
    confidence: U8 | None = None
    height_m: F16 | None = None
    things: I64 | None = None


@dataclass(slots=True, eq=False)
class _Region:
    """A region so far: its pieces, and sums (confidence, pixels with one, height, pixels with one)."""

    class_id: int
    thing: int
    count: int
    sums: F64
    pieces: list[Any] = field(default_factory=list)

    def absorb(self, other: _Region) -> None:
        self.count += other.count
        self.sums = self.sums + other.sums
        self.pieces += other.pieces


def joined(strips: Iterable[Strip], tolerance_px: float = TOLERANCE_PX) -> Iterator[Regions]:
    """All regions of a scene, some a strip. TooManyCornersError if too many stay open."""
    open_: list[_Region] = []
    lowest: I32 | None = None
    for strip in strips:
        labels, regions = _regions(strip, tolerance_px)
        belongs = list(range(len(regions)))
        if lowest is not None:
            belongs = _join(open_, lowest, regions, labels[0])
        waiting = set() if strip.last else {belongs[i - 1] for i in np.unique(labels[-1]) if i}
        closed = [r for k, r in enumerate(regions) if belongs[k] == k and k not in waiting]
        ended = [r for r in open_ if r.pieces]  # what has been absorbed has none left
        yield _packed([*ended, *closed], strip)
        slots = {k: n for n, k in enumerate(sorted(waiting), start=1)}
        open_ = [regions[k] for k in slots]
        lowest = np.array([0, *(slots.get(k, 0) for k in belongs)], np.int32)[labels[-1]]
        _refuse_too_many(open_)


def _regions(strip: Strip, tolerance_px: float) -> tuple[I32, list[_Region]]:
    """Labels of a strip and its regions in their order."""
    import shapely

    labels, class_ids = label(strip.ids, None if strip.things is None else colours(strip.things))
    thing = np.zeros(len(class_ids) + 1, np.int64)
    if strip.things is not None:
        thing[labels] = strip.things  # one for all pixels of a label
    shown, count = _with_nodata(labels, strip.ids, len(class_ids))
    shapes = trace(shown, count, above=strip.top > 0, below=not strip.last)
    pixels = counts(labels, len(class_ids))
    bent = np.append(pixels >= LEAST_BENT_PX, np.ones(count - len(pixels), np.bool_))
    if tolerance_px and bent.any():  # where one is left out its neighbours have a boundary, which stays
        shapes[bent] = shapely.coverage_simplify(shapes[bent], tolerance_px, simplify_boundary=False)
    if strip.top:
        shapes = shapely.transform(shapes, lambda xy: xy + (0, strip.top))
    known = [
        np.zeros((2, len(class_ids))) if values is None else sums(labels, values, len(class_ids))
        for values in (strip.confidence, strip.height_m)
    ]
    table = np.concatenate(known).T
    return labels, [
        _Region(int(class_ids[i]), int(thing[i + 1]), int(pixels[i]), table[i], [shapes[i]])
        for i in range(len(class_ids))
    ]


def _with_nodata(labels: I32, ids: U8, count: int) -> tuple[I32, int]:
    """Labels with further numbers where there is no data: those borders bend like all others then."""
    import cv2

    more, empty = cv2.connectedComponents((ids == NO_CLASS).view(np.uint8), connectivity=4)
    return np.where(empty > 0, empty + count, labels).astype(np.int32, copy=False), count + more - 1


def _join(open_: list[_Region], lowest: I32, regions: list[_Region], highest: I32) -> list[int]:
    """Let regions of one class that meet at a seam become one; which region (index) each went into."""
    both = (lowest > 0) & (highest > 0)
    pairs = np.unique(np.stack([lowest[both], highest[both]]), axis=1).T - 1
    into = list(range(len(regions)))
    taken: dict[int, int] = {}  # open region -> new region

    def root(k: int) -> int:
        while into[k] != k:
            k = into[k]
        return k

    for above, below in pairs.tolist():
        if open_[above].class_id != regions[below].class_id or open_[above].thing != regions[below].thing:
            continue
        here = root(below)
        there = root(taken[above]) if above in taken else None
        if there is None:
            taken[above] = here
            regions[here].absorb(open_[above])
            open_[above].pieces = []
        elif there != here:
            into[here] = there
            regions[there].absorb(regions[here])
            regions[here].pieces = []
    return [root(k) for k in range(len(regions))]


def _packed(found: list[_Region], strip: Strip) -> Regions:
    import shapely

    shapes = np.empty(len(found), object)
    shapes[:] = [r.pieces[0] if len(r.pieces) == 1 else shapely.coverage_union_all(r.pieces) for r in found]
    table = np.array([r.sums for r in found], np.float64).reshape(-1, 4).T
    with np.errstate(invalid="ignore", divide="ignore"):
        sure, height = table[0] / table[1] / 255, table[2] / table[3]
    return Regions(
        shapes=_single(shapes),
        class_ids=np.array([r.class_id for r in found], np.uint8),
        pixels=np.array([r.count for r in found], np.int64),
        confidence=None if strip.confidence is None else sure,
        height_m=None if strip.height_m is None else height,
    )


def _single(shapes: Any) -> Any:  # noqa: ANN401 (shapely has no types)
    """Polygons, not collections of one."""
    import shapely

    return np.where(shapely.get_num_geometries(shapes) == 1, shapely.get_geometry(shapes, 0), shapes)


def _refuse_too_many(open_: list[_Region]) -> None:
    import shapely

    if sum(int(shapely.get_num_coordinates(r.pieces).sum()) for r in open_) > MAX_OPEN_CORNERS:
        raise TooManyCornersError("outlines that reach through the whole scene have too many corners")
