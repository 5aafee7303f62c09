"""A scene's layer as square tiles of a map, from the finest zoom up to one that shows it whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import Layer, LayerKind

from .gdal import Dataset
from .georef import Georeference, lonlat
from .mosaic import Mosaic, restored
from .schemes import GRID, TILE_PX, WEB, Area, Scheme, Spot, grid_of, off_the_map

_FINER: Final = 0.25  # a zoom level up to 19 % coarser than the scene will do


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """A scene on a map, and the zoom levels that show it."""

    spot: Spot
    min_zoom: int
    max_zoom: int
    scheme: Scheme

    def bounds(self) -> list[float]:
        """[west, south, east, north] with longitudes within 180; west > east across the antimeridian."""
        area = self.spot.area
        return [area.west, area.south, area.east - 360 if area.across else area.east, area.north]

    def center(self) -> list[float]:
        """[longitude, latitude, zoom] to begin with."""
        area = self.spot.area
        middle = (area.west + area.east) / 2
        return [middle - 360 if middle > 180 else middle, (area.south + area.north) / 2, self.min_zoom]


@dataclass(frozen=True, slots=True, kw_only=True)
class Zooms:
    """The coarsest and the finest zoom level that were asked for; None where nobody did."""

    least: int | None = None
    most: int | None = None


def cover_of(
    reference: Georeference, shape: tuple[int, int], subject: str, asked: Zooms, scheme: Scheme = WEB
) -> Cover:
    """Bounds and zoom levels of a scene (rows, columns). OutputError if it has no place on the map.

    Levels that nobody asked for: the finest shows every pixel, the coarsest the whole on a few tiles.
    """
    places = lonlat(reference.crs or "", grid_of(reference, shape))
    if places is None or reference.pitch_m is None:
        raise off_the_map("parts of the scene have no place on a web map", subject)
    spot = scheme.spot_of(reference, shape, _area(places), subject)
    left, top, right, bottom = spot.box
    zoom = math.ceil(math.log2(scheme.cell / spot.pixel) - _FINER)
    first = max(int(spot.area.across), scheme.least)  # the map around 180 degrees has no level 0
    max_zoom = min(max(zoom, first), scheme.most) if asked.most is None else max(asked.most, first)
    widest = max(right - left, top - bottom, scheme.cell * 1e-9)
    fits = math.floor(math.log2(scheme.cell * TILE_PX / widest))
    min_zoom = min(max(fits if asked.least is None else asked.least, first), max_zoom)
    return Cover(spot=spot, min_zoom=min_zoom, max_zoom=max_zoom, scheme=scheme)


def _area(places: list[tuple[float, float]]) -> Area:
    lons, lats = np.array(places).T.reshape(2, GRID, GRID)
    west, east = _lon_range(lons)
    return Area(west=west, south=float(lats.min()), east=east, north=float(lats.max()))


def _lon_range(lons: NDArray[np.float64]) -> tuple[float, float]:
    """West and east of a grid of places; the whole world where it goes around a pole."""
    rim = np.concatenate([lons[0], lons[1:, -1], lons[-1, -2::-1], lons[-2:0:-1, 0]])
    turns = np.diff(rim, append=rim[:1])
    if abs(float((turns - 360 * np.rint(turns / 360)).sum())) > 180:
        return -180.0, 180.0
    if np.abs(turns).max() > 180:
        lons = np.where(lons < 0, lons + 360, lons)
    west, east = float(lons.min()), float(lons.max())
    return (west + 360, east + 360) if west < -180 else (west, east)


Put = Callable[[int, int, int, Layer], None]
"""Takes zoom, column, row (counted from the north-west) and the layer of one tile."""


class Pyramid:
    """Reads the finest tiles through a warp, and makes each other one of its four children."""

    def __init__(self, warped: Dataset, made: Mosaic, cover: Cover, put: Put) -> None:
        self._warped = warped
        self._made = made
        self._cover = cover
        self._put = put
        self._first, _ = _range(cover, cover.max_zoom)

    def run(self) -> None:
        """Hand on every tile that holds an answer, children before their parents; one if there is none."""
        zoom = self._cover.min_zoom
        (left, top), (right, bottom) = _range(self._cover, zoom)
        cells = [(x, y) for x in range(left, right + 1) for y in range(top, bottom + 1)]
        if all([self._build(zoom, x, y) is None for x, y in cells]):
            self._put(zoom, self._true_column(zoom, left), top, self._blank())

    def _blank(self) -> Layer:
        product = self._made.product
        data = np.full((product.count, TILE_PX, TILE_PX), product.nodata, product.dtype)
        return restored(data, self._made.job, self._made.first)

    def _build(self, zoom: int, x: int, y: int) -> NDArray[Any] | None:
        (left, top), (right, bottom) = _range(self._cover, zoom)
        if not (left <= x <= right and top <= y <= bottom):
            return None
        data = self._read(x, y) if zoom == self._cover.max_zoom else self._join(zoom, x, y)
        if data is None:
            return None
        layer = restored(data, self._made.job, self._made.first)
        if not layer.valid.any():
            return None
        self._put(zoom, self._true_column(zoom, x), y, layer)
        return data

    def _read(self, x: int, y: int) -> NDArray[Any]:
        from rasterio.windows import Window

        left, top = (x - self._first[0]) * TILE_PX, (y - self._first[1]) * TILE_PX
        data: NDArray[Any] = self._warped.read(window=Window(left, top, TILE_PX, TILE_PX))
        return data

    def _join(self, zoom: int, x: int, y: int) -> NDArray[Any] | None:
        product = self._made.product
        whole = np.full((product.count, 2 * TILE_PX, 2 * TILE_PX), product.nodata, product.dtype)
        found = False
        for down in (0, 1):
            for right in (0, 1):
                child = self._build(zoom + 1, 2 * x + right, 2 * y + down)
                if child is not None:
                    rows, cols = slice(down * TILE_PX, None), slice(right * TILE_PX, None)
                    whole[:, rows, cols][:, :TILE_PX, :TILE_PX] = child
                    found = True
        return halved(whole, self._made.job.layer) if found else None

    def _true_column(self, zoom: int, x: int) -> int:
        """The column on the usual map of one on the map around 180 degrees."""
        return (x + (1 << zoom >> 1)) % (1 << zoom) if self._cover.spot.area.across else x


def halved(data: NDArray[Any], layer: LayerKind) -> NDArray[Any]:
    """(C, 2n, 2n) at half the size: a class of each four, the mean of what is valid of all else."""
    if layer is LayerKind.MASKS:
        return data[:, ::2, ::2]
    blocks = data.reshape(data.shape[0], data.shape[1] // 2, 2, data.shape[2] // 2, 2)
    valid = np.isfinite(blocks)
    total = np.where(valid, blocks, 0).sum(axis=(2, 4))
    count = valid.sum(axis=(2, 4))
    mean: NDArray[Any] = np.full(total.shape, np.nan, data.dtype)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _range(cover: Cover, zoom: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Column and row of the first and the last tile, on the map around 180 degrees if it must be."""
    left, top, right, bottom = cover.spot.box
    return cover.scheme.tile_at(left, top, zoom), cover.scheme.tile_at(right, bottom, zoom)


@contextmanager
def warped(source: Dataset, made: Mosaic, cover: Cover) -> Iterator[Dataset]:
    """The mosaic on the pixel grid of the finest zoom level, from the first tile to the last."""
    from rasterio import Affine
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    (left, top), (right, bottom) = _range(cover, cover.max_zoom)
    scheme, pixel = cover.scheme, cover.scheme.pixel(cover.max_zoom)
    side = pixel * TILE_PX
    nearest = made.job.layer is LayerKind.MASKS
    with WarpedVRT(
        source,
        **_wrapped(source),
        crs=cover.spot.crs,
        transform=Affine(pixel, 0, scheme.left + left * side, 0, -pixel, scheme.top - top * side),
        width=(right - left + 1) * TILE_PX,
        height=(bottom - top + 1) * TILE_PX,
        resampling=Resampling.nearest if nearest else Resampling.bilinear,
        src_nodata=made.product.nodata,
        nodata=made.product.nodata,
    ) as dataset:
        yield dataset


def _wrapped(source: Dataset) -> dict[str, Any]:
    """A source in degrees that reach past 180 keeps its own count of them."""
    from rasterio.crs import CRS

    west, _, east, _ = source.bounds
    if not source.crs.is_geographic or (west >= -180 and east <= 180):
        return {}
    return {"src_crs": CRS.from_string(f"{source.crs.to_proj4()} +lon_wrap={(west + east) / 2:.0f}")}
