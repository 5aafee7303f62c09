"""The output formats of scenes, as the entry points name them."""

from .cog import TIF
from .geopackage import GPKG
from .hillshade import HILLSHADE
from .page import HTML
from .polygons import GEOJSON
from .tileset import GEOTILES, TILES
from .webtiles import MBTILES, PMTILES, XYZ

__all__ = [
    "GEOJSON",
    "GEOTILES",
    "GPKG",
    "HILLSHADE",
    "HTML",
    "MBTILES",
    "PMTILES",
    "TIF",
    "TILES",
    "XYZ",
]
