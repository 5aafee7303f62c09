"""Scenes that only control points or RPCs place, brought onto the grid of a map while they are read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from banana_cli.errors import InputError
from banana_cli.types import Json

from .gdal import Dataset, library_errors
from .georef import lonlat

LEAST_POINTS: Final = 3
_A_PRODUCTS_GRID: Final = 50  # nobody picks as many by hand: a producer's grid, to be met at every point
_MOST_GROWTH: Final = 8
_SMALL_PX: Final = 1 << 24
_ZONE_DEG: Final = 6.0
_UTM_ENDS: Final = (-80.0, 84.0)
_REMEDY: Final = "warp it first: gdalwarp IN OUT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """How a scene without a transform is placed: ``method`` is GDAL's, ``crs`` the map's, ``words`` ours."""

    method: str
    crs: str
    words: str
    height_m: float | None = None

    def options(self) -> dict[str, str]:
        """What GDAL's transformer is told."""
        height = {} if self.height_m is None else {"RPC_HEIGHT": f"{self.height_m:g}"}
        return {"SRC_METHOD": self.method, **height}

    def describe(self) -> dict[str, Json]:
        """For the sidecar."""
        return {"by": self.words, "method": self.method}


def placing_of(dataset: Dataset) -> Placing | None:
    """How to warp a raster; None where its own transform places it, or nothing does."""
    affine = tuple(dataset.transform[:6])
    if dataset.crs is not None and affine != (1.0, 0.0, 0.0, 0.0, 1.0, 0.0):
        return None
    points, crs = dataset.gcps
    if len(points) >= LEAST_POINTS and crs is not None:
        method = "GCP_TPS" if len(points) >= _A_PRODUCTS_GRID else "GCP_POLYNOMIAL"
        words = f"{len(points)} ground control points"
        return Placing(method=method, crs=_map_of(points, crs), words=words)
    rpcs = dataset.rpcs
    if rpcs is None or 0 in (rpcs.line_scale, rpcs.samp_scale, rpcs.lat_scale, rpcs.long_scale):
        return None
    height = float(rpcs.height_off)
    return Placing(
        method="RPC",
        crs=_utm(float(rpcs.long_off), float(rpcs.lat_off)),
        words=f"RPCs, on level ground at {height:g} m",
        height_m=height,
    )


def upright(dataset: Dataset, subject: str, nodata: float | None) -> tuple[Dataset, Placing | None]:
    """The raster on a map's grid and how it came there; itself where its own transform places it.

    ``nodata`` is the user's own. InputError if what places it makes no map. The caller closes both.
    """
    placing = placing_of(dataset)
    return (dataset if placing is None else _warped(dataset, placing, subject, nodata)), placing


def _warped(dataset: Dataset, placing: Placing, subject: str, nodata: float | None) -> Dataset:
    from rasterio.crs import CRS
    from rasterio.vrt import WarpedVRT

    crs = dataset.gcps[1] or CRS.from_epsg(4326)
    try:
        made = WarpedVRT(
            dataset,
            src_crs=crs,
            crs=placing.crs,
            resampling=_resampling(dataset),
            **_holes(dataset, nodata),
            **placing.options(),
        )
    except library_errors() as exc:
        raise InputError(f"its {placing.words} make no map", subject=subject, remedy=_REMEDY) from exc
    if made.width * made.height > max(_SMALL_PX, _MOST_GROWTH * dataset.width * dataset.height):
        made.close()
        raise InputError(f"its {placing.words} make no map", subject=subject, remedy=_REMEDY)
    return made


def _resampling(dataset: Dataset) -> Any:  # noqa: ANN401 (rasterio has no types)
    """Between numbers there is a mean; between entries of a palette there is none."""
    from rasterio.enums import Resampling

    paletted = any(c.name == "palette" for c in dataset.colorinterp)
    return Resampling.nearest if paletted else Resampling.bilinear


def _holes(dataset: Dataset, nodata: float | None) -> dict[str, object]:
    """Pixels off the scene, and those without data, have none: by an alpha band, or 0 for complex values."""
    if any(str(dtype).startswith("complex") for dtype in dataset.dtypes):
        return {"src_nodata": 0, "nodata": 0}
    told = {} if nodata is None else {"src_nodata": nodata}
    meaning = [c.name for c in dataset.colorinterp]
    if "alpha" in meaning:
        return {"src_alpha": meaning.index("alpha") + 1, **told}
    return {"add_alpha": True, **told}


def _map_of(points: Any, crs: Any) -> str:  # noqa: ANN401
    """The CRS of a map for control points: their own, or UTM where they are in degrees of a small place."""
    wkt = str(crs.to_wkt())
    places = lonlat(wkt, [(float(p.x), float(p.y)) for p in points])
    if crs.is_projected or places is None:
        return wkt
    lons, lats = zip(*places, strict=True)
    if max(lons) - min(lons) > _ZONE_DEG:
        return wkt
    return _utm(sum(lons) / len(lons), sum(lats) / len(lats))


def _utm(lon: float, lat: float) -> str:
    """The UTM zone of a place, polar stereographic beyond its ends."""
    if not _UTM_ENDS[0] <= lat <= _UTM_ENDS[1]:
        return "EPSG:5041" if lat > 0 else "EPSG:5042"
    zone = math.floor((lon + 180) % 360 / _ZONE_DEG) + 1
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"
