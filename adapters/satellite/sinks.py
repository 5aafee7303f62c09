"""The output formats of scenes, as the entry points name them."""

from .cog import TIF
from .polygons import GEOJSON
from .tileset import TILES

__all__ = ["GEOJSON", "TIF", "TILES"]
