"""GeoTIFF, JPEG 2000 and local VRT scenes of any size, read by windows through GDAL."""

from .reader import SATELLITE, SatelliteAdapter

__all__ = ["SATELLITE", "SatelliteAdapter"]
