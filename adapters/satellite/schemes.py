"""Grids of map tiles: web mercator, or any OGC tile matrix set whose levels halve (``--tiling-scheme``)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from banana_cli.errors import OutputError

from .georef import Georeference, projected

TILE_PX: Final = 256
GRID: Final = 33
WEB_NAME: Final = "WebMercatorQuad"
_RADIUS_M: Final = 6378137.0
_HALF_M: Final = math.pi * _RADIUS_M
_AROUND_180: Final = (
    f"+proj=merc +a={_RADIUS_M} +b={_RADIUS_M} +lat_ts=0 +lon_0=180 +units=m +nadgrids=@null +no_defs"
)
_MAX_LAT: Final = 85.0511287798066
_SAME: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """What a scene covers, in degrees; [west, east] may reach past 180."""

    west: float
    south: float
    east: float
    north: float

    @property
    def across(self) -> bool:
        """Whether it crosses the antimeridian."""
        return self.east > 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A scene on a map: the part of its ``area`` that the map shows, and the map's ``crs``.

    ``box`` (left, top, right, bottom) and ``pixel``, the side of one of its pixels, are in that CRS.
    """

    area: Area
    crs: str
    box: tuple[float, float, float, float]
    pixel: float


def grid_of(reference: Georeference, shape: tuple[int, int]) -> list[tuple[float, float]]:
    """(x, y) of 33 x 33 places of a scene (rows, columns), from corner to corner."""
    rows, cols = (np.linspace(0, n, GRID) for n in shape)
    return [reference.at(row, col) for row in rows for col in cols]


def off_the_map(message: str, subject: str) -> OutputError:
    """For a scene that no tile of a map can show."""
    return OutputError(message, subject=subject, remedy="choose --format tif")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """Tiles of 256 px from (``left``, ``top``) of ``crs``: ``columns`` and ``rows`` at level ``least``.

    Each level halves the one before. ``cells``: sides of a pixel from that level on.
    """

    name: str
    crs: str
    left: float
    top: float
    cells: tuple[float, ...]
    columns: int
    rows: int
    least: int = 0

    @property
    def most(self) -> int:
        """The finest level."""
        return self.least + len(self.cells) - 1

    @property
    def cell(self) -> float:
        """Side of a pixel at level 0, be it there or not."""
        return self.cells[0] * (1 << self.least)

    def pixel(self, zoom: int) -> float:
        """Side of a pixel in units of the CRS."""
        known = self.cells[min(max(zoom, self.least), self.most) - self.least]
        return known / (1 << max(zoom - self.most, 0))

    def spot_of(self, reference: Georeference, shape: tuple[int, int], area: Area, subject: str) -> Spot:
        """Where a scene (rows, columns) that covers ``area`` lies. OutputError if the map cannot show it."""
        if area.across:
            raise off_the_map(f"crosses 180 degrees, which {self.name} does not", subject)
        row, col = shape[0] / 2, shape[1] / 2
        around = [reference.at(row + down, col + right) for down, right in ((0, 0), (1, 0), (0, 1))]
        found = projected(reference.crs or "", [*grid_of(reference, shape), *around], self.crs)
        if found is None:
            raise off_the_map(f"parts of the scene have no place in {self.name}", subject)
        (x, y), *beside = found[-3:]
        xs, ys = zip(*found[:-3], strict=True)
        box = (min(xs), max(ys), max(xs), min(ys))
        if not self.holds(*box):
            raise off_the_map(f"has no place in {self.name}", subject)
        pixel = min(math.hypot(u - x, v - y) for u, v in beside)
        return Spot(area=area, crs=self.crs, box=box, pixel=max(pixel, self.pixel(self.most)))

    def holds(self, left: float, top: float, right: float, bottom: float) -> bool:
        """Whether any of a box lies on the grid."""
        side = self.cells[0] * TILE_PX
        far = (self.left + self.columns * side, self.top - self.rows * side)
        return left < far[0] and right > self.left and bottom < self.top and top > far[1]

    def tile_at(self, x: float, y: float, zoom: int) -> tuple[int, int]:
        """(column, row) of the tile that holds a place, the nearest one for places off the grid."""
        side, up = self.pixel(zoom) * TILE_PX, zoom - self.least
        column, row = math.floor((x - self.left) / side), math.floor((self.top - y) / side)
        return (
            min(max(column, 0), (self.columns << up) - 1),
            min(max(row, 0), (self.rows << up) - 1),
        )


class WebMercator(Scheme):
    """The map of the web: it ends at 85 degrees, and goes on across the antimeridian."""

    __slots__ = ()

    def spot_of(self, reference: Georeference, shape: tuple[int, int], area: Area, subject: str) -> Spot:
        """From the degrees alone; the map has 180 in its middle where a scene crosses that."""
        shown = replace(area, south=max(area.south, -_MAX_LAT), north=min(area.north, _MAX_LAT))
        if shown.south >= shown.north:
            raise off_the_map("lies beyond 85 degrees, where web maps end", subject)
        middle = 180.0 if shown.across else 0.0
        left, right = (math.radians(lon - middle) * _RADIUS_M for lon in (shown.west, shown.east))
        top, bottom = (_RADIUS_M * math.asinh(math.tan(math.radians(y))) for y in (shown.north, shown.south))
        shrunk = max(math.cos(math.radians((shown.south + shown.north) / 2)), 0.05)
        return Spot(
            area=shown,
            crs=_AROUND_180 if shown.across else self.crs,
            box=(left, top, right, bottom),
            pixel=min(reference.pitch_m or (1.0,)) / shrunk,
        )


WEB: Final = WebMercator(
    name=WEB_NAME,
    crs="EPSG:3857",
    left=-_HALF_M,
    top=_HALF_M,
    cells=tuple(2 * _HALF_M / TILE_PX / (1 << zoom) for zoom in range(23)),
    columns=1,
    rows=1,
)


def scheme_of(name: str | None, subject: str) -> Scheme:
    """The grid of that name, None: web mercator. OutputError if there is none, or its levels do not halve."""
    if name is None or name == WEB_NAME:
        return WEB
    try:
        from morecantile import tms
        from morecantile.errors import InvalidIdentifier
    except ImportError as exc:
        raise OutputError(
            f"the tiling scheme {name} needs the library morecantile",
            subject=subject,
            remedy="pip install 'banana-vision[schemes]'",
        ) from exc
    try:
        found = tms.get(name)
    except InvalidIdentifier as exc:
        known = ", ".join(sorted(tms.list()))
        raise OutputError(
            f"there is no tiling scheme {name}", subject=subject, remedy=f"one of: {known}"
        ) from exc
    scheme = _halving(name, found)
    if scheme is None:
        raise OutputError(
            f"levels of the tiling scheme {name} do not halve from one to the next",
            subject=subject,
            remedy="choose one that ends in Quad",
        )
    return scheme


def _halving(name: str, found: Any) -> Scheme | None:  # noqa: ANN401 (morecantile is optional)
    """A tile matrix set as a scheme; None where a tile is not four of the next level."""
    levels = [found.matrix(zoom) for zoom in range(found.minzoom, found.maxzoom + 1)]
    first = levels[0]
    if found.minzoom < 0:
        return None
    for up, level in enumerate(levels):
        same = abs(level.cellSize * (1 << up) / first.cellSize - 1) < _SAME
        grid = (level.matrixWidth, level.matrixHeight) == (first.matrixWidth << up, first.matrixHeight << up)
        square = level.tileWidth == level.tileHeight == TILE_PX and not level.variableMatrixWidths
        if not (same and grid and square and level.pointOfOrigin == first.pointOfOrigin):
            return None
    box = found.xy_bounds(0, 0, found.minzoom)
    return Scheme(
        name=name,
        crs=str(found.crs.to_wkt()),
        left=float(box.left),
        top=float(box.top),
        cells=tuple(float(level.cellSize) for level in levels),
        columns=first.matrixWidth,
        rows=first.matrixHeight,
        least=found.minzoom,
    )
