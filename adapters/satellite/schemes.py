"""Grids of map tiles: web mercator, or any OGC tile matrix set whose levels halve (``--tiling-scheme``)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from banana_cli.errors import OutputError

TILE_PX: Final = 256
RADIUS_M: Final = 6378137.0
HALF_M: Final = math.pi * RADIUS_M
WEB_NAME: Final = "WebMercatorQuad"
_SAME: Final = 1e-6


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


WEB: Final = Scheme(
    name=WEB_NAME,
    crs="EPSG:3857",
    left=-HALF_M,
    top=HALF_M,
    cells=tuple(2 * HALF_M / TILE_PX / (1 << zoom) for zoom in range(23)),
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
