"""``--format tif``: a cloud-optimised GeoTIFF at the scene's own size, CRS and transform."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from banana_cli.adapter import SinkJob, Stored
from banana_cli.atomic import final_name
from banana_cli.codec import mask_facts
from banana_cli.errors import InputError
from banana_cli.types import NO_CLASS, ClassTable, Depth, Json, LayerKind

from .content import Container
from .gdal import open_raster, reading, writing
from .mosaic import Mosaic, MosaicSink, Product, SceneFormat, mosaic
from .pam import keep_crs, notes_of, notes_path, write_notes
from .scene import json_number
from .stac import write_item

_BLOCK_PX: Final = 512
MAX_STORED_PIXELS: Final = 1 << 28
"""Rasters up to this size can be read back whole."""
_INTEGER, _STRING = "0", "2"
_NAME, _MIN_MAX, _RED, _GREEN, _BLUE = "2", "5", "6", "7", "8"


class GeoTiffFormat(SceneFormat):
    """Classes: paletted uint8, 255 = nodata. Heights: float32, NaN = nodata. Normals: 3 x float32, NaN."""

    name = "tif"
    ending = ".tif"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[GeoTiffSink]:
        """Collect beside ``part``; ``finish`` writes it. OutputError where the disk refuses."""
        with mosaic(part, job) as made:
            yield GeoTiffSink(made, part)

    def stored(self, path: Path) -> Stored:
        """The values of any GeoTIFF of one or three bands; nodata becomes NaN, or 255 in 8 bits.

        InputError if it is none, or too large to be held.
        """
        subject = str(path)
        with reading(subject), open_raster(path, Container.TIFF, subject) as raster:
            if raster.count not in (1, 3) or raster.width * raster.height > MAX_STORED_PIXELS:
                raise InputError(
                    f"holds {raster.count} bands of {raster.width} x {raster.height} pixels",
                    subject=subject,
                    remedy="name a file of one or three bands, or cut it into tiles",
                )
            numbers = raster.read(1) if raster.count == 1 else raster.read()
            return Stored(numbers=_without_nodata(numbers, raster.nodata))


TIF = GeoTiffFormat()


def _without_nodata(numbers: NDArray[np.generic], nodata: float | None) -> NDArray[np.generic]:
    if nodata is None or np.isnan(nodata):
        return numbers
    if numbers.dtype == np.uint8:
        return np.where(numbers == nodata, np.uint8(NO_CLASS), numbers)
    if numbers.dtype.kind == "f":
        return np.where(numbers == numbers.dtype.type(nodata), numbers.dtype.type(np.nan), numbers)
    return numbers


class GeoTiffSink(MosaicSink):
    """One GeoTIFF being written."""

    def __init__(self, made: Mosaic, part: Path) -> None:
        super().__init__(made)
        self._part = part

    def finish(self) -> dict[str, Json]:
        """Turn the mosaic into a COG with overviews; for classes also GDAL's file of their names."""
        self.made.close()
        overviews = to_cog(self.made.path, self._part, self.made, self.made.product)
        job = self.made.job
        if job.layer is LayerKind.MASKS:
            _write_categories(self._part, job.table, self.made.subject)
        write_item(self._part, self.made)
        return {
            **encoding(self.made),
            "container": "COG",
            "compression": "deflate",
            "nodata": json_number(self.made.product.nodata),
            "overviews": list(overviews),
            "overview_resampling": self.made.product.resampling.lower(),
        }


def to_cog(source: Path, part: Path, made: Mosaic, product: Product) -> list[int]:
    """Turn a tiled file of a mosaic's size into a COG; returns its overviews.

    OutputError where the disk refuses.
    """
    import rasterio
    import rasterio.shutil

    # a COG is made by way of a file of overviews, and both are gone when GDAL has failed
    with writing(str(final_name(part)), needs=2 * source.stat().st_size):
        notes_path(part).unlink(missing_ok=True)
        rasterio.shutil.copy(
            source,
            part,
            driver="COG",
            COMPRESS="DEFLATE",
            PREDICTOR={1: "NO", 2: "STANDARD", 3: "FLOATING_POINT"}[product.predictor],
            BLOCKSIZE=str(_BLOCK_PX),
            RESAMPLING=product.resampling,
            OVERVIEW_RESAMPLING=product.resampling,
            SPARSE_OK="TRUE",
            BIGTIFF="IF_SAFER",
            NUM_THREADS="ALL_CPUS",
        )
        keep_crs(part, made.crs, made.subject)
        with rasterio.open(part) as written:
            return list(written.overviews(1))


def encoding(made: Mosaic) -> dict[str, Json]:
    """What a sidecar says of values that are stored as they are."""
    if made.job.layer is LayerKind.MASKS:
        return mask_facts(made.job.table)
    if made.job.layer is LayerKind.NORMALS:
        return {
            "encoding": "float32",
            "kind": "unit normals",
            "frame": "x right, y down, z away from the viewer",
            "step": 1 / 4096,
        }
    kind: Json = made.first.depth_kind.value if isinstance(made.first, Depth) else None
    note: Json = made.first.note if isinstance(made.first, Depth) else None
    return {"encoding": "float32", "kind": kind, "unit": made.unit(), "note": note}


def _write_categories(part: Path, table: ClassTable, subject: str) -> None:
    """Names and colours of the classes where GDAL and QGIS look for them: TIFF has no place for them."""
    root = notes_of(part)
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    names = ElementTree.SubElement(band, "CategoryNames")
    for info in table.classes:
        ElementTree.SubElement(names, "Category").text = info.name
    band.append(_attribute_table(table))
    write_notes(part, root, subject)


def _attribute_table(table: ClassTable) -> ElementTree.Element:
    root = ElementTree.Element("GDALRasterAttributeTable", tableType="thematic")
    columns = (
        ("Value", _INTEGER, _MIN_MAX),
        ("Class", _STRING, _NAME),
        ("Red", _INTEGER, _RED),
        ("Green", _INTEGER, _GREEN),
        ("Blue", _INTEGER, _BLUE),
    )
    for i, texts in enumerate(columns):
        column = ElementTree.SubElement(root, "FieldDefn", index=str(i))
        for tag, text in zip(("Name", "Type", "Usage"), texts, strict=True):
            ElementTree.SubElement(column, tag).text = text
    for info in table.classes:
        row = ElementTree.SubElement(root, "Row", index=str(info.id))
        for value in (info.id, info.name, *info.rgb):
            ElementTree.SubElement(row, "F").text = str(value)
    return root
