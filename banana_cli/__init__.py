"""banana: masks, depth and normals of dashcam video, DICOM scans and GeoTIFF scenes."""

__version__ = "0.1.0"
