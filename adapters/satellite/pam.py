"""GDAL's notes beside a raster (``x.tif.aux.xml``): what a TIFF has no place for, and GIS look up."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from banana_cli.errors import OutputError, translate

from .gdal import WRITE_REMEDY, writing


def notes_path(raster: Path) -> Path:
    """Where the notes of a raster lie."""
    return raster.with_name(raster.name + ".aux.xml")


def notes_of(raster: Path) -> ElementTree.Element:
    """The notes that lie there, GDAL's own among them; empty ones if there are none."""
    side = notes_path(raster)
    return ElementTree.parse(side).getroot() if side.is_file() else ElementTree.Element("PAMDataset")


def write_notes(raster: Path, notes: ElementTree.Element, subject: str) -> None:
    """Put notes beside a raster. OutputError if the disk refuses."""
    ElementTree.indent(notes)
    with translate(OSError, to=OutputError, subject=subject, remedy=WRITE_REMEDY):
        notes_path(raster).write_bytes(ElementTree.tostring(notes, encoding="utf-8"))


def keep_crs(raster: Path, wkt: str | None, subject: str) -> None:
    """Note the CRS of a written TIFF where its keys tell another, or none at all.

    They hold neither any order of axes nor all parameters, and a datum known by its name goes by its code.
    """
    import rasterio
    from rasterio.crs import CRS

    if wkt is None:
        return
    with writing(subject), rasterio.open(raster) as written:
        if written.crs == CRS.from_wkt(wkt):
            return
    notes = notes_of(raster)
    for told in notes.findall("SRS"):
        notes.remove(told)
    ElementTree.SubElement(notes, "SRS").text = wkt
    write_notes(raster, notes, subject)
