"""``--format tiles`` and ``geotiles``: a folder of tiles named by their place, and an index.

Tiles are PNG with world files, or GeoTIFF with the values themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from banana_cli.adapter import SinkJob
from banana_cli.codec import depth_code, encode_depth_u16, encode_normals_u8, mask_facts, normals_facts
from banana_cli.errors import OutputError, translate
from banana_cli.types import NO_CLASS, ClassTable, Depth, Json, LayerKind, Mask, Normals, Window

from .bands import gdal_window
from .cog import encoding
from .gdal import WRITE_REMEDY, Dataset, writing
from .georef import IDENTITY, Georeference, crs_facts
from .mosaic import Mosaic, MosaicSink, SceneFormat, mosaic, restored
from .pam import keep_crs
from .scene import SceneInfo, bounds_of, lonlat_corners

TILE_PX: Final = 512


class Kind(StrEnum):
    """What a tile is; the value is its suffix."""

    PNG = ".png"
    TIF = ".tif"


@dataclass(frozen=True, slots=True, kw_only=True)
class TilesFormat(SceneFormat):
    """``r<row>_c<column>``, 512 x 512 or what is left at the edge; row and column of its first pixel."""

    name: str
    ending: str
    kind: Kind

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[TilesSink]:
        """Collect beside ``part``; ``finish`` fills the folder."""
        with mosaic(part, job) as made:
            yield TilesSink(made, part, self.kind)


TILES = TilesFormat(name="tiles", ending="", kind=Kind.PNG)
GEOTILES = TilesFormat(name="geotiles", ending=".geotiles", kind=Kind.TIF)


class TilesSink(MosaicSink):
    """One folder of tiles being written."""

    def __init__(self, made: Mosaic, part: Path, kind: Kind) -> None:
        super().__init__(made)
        self._part = part
        self._kind = kind
        info = made.job.info
        place = info.reference if isinstance(info, SceneInfo) else None
        self._reference = place or Georeference(crs=None, transform=IDENTITY)

    def finish(self) -> dict[str, Json]:
        """Write every tile that holds an answer, and ``index.json``."""
        import rasterio

        self.made.close()
        features: list[Json] = []
        with (
            writing(self.made.subject),
            translate(OSError, to=OutputError, subject=self.made.subject, remedy=WRITE_REMEDY),
        ):
            self._part.mkdir(exist_ok=True)
            with rasterio.open(self.made.path) as dataset:
                for window in tile_windows(self.made.job.info.shape):
                    if self._write_tile(dataset, window):
                        features.append(self._feature(window))
            self._write_index(features)
        return {
            **_encoding(self.made, self._kind),
            "tile": TILE_PX,
            "tiles": len(features),
            "index": "index.json",
        }

    def _write_tile(self, dataset: Dataset, window: Window) -> bool:
        data = dataset.read(window=gdal_window(window))
        if not restored(data, self.made.job, self.made.first).valid.any():
            return False
        path = self._part / tile_name(window, self._kind)
        if self._kind is Kind.TIF:
            _save_tif(path, dataset, self._reference, window)
            keep_crs(path, self._reference.crs, self.made.subject)
            return True
        _save_png(path, data, self.made)
        if self._reference.transform != IDENTITY:
            path.with_suffix(".pgw").write_text(world_file(self._reference, window), encoding="ascii")
        return True

    def _feature(self, window: Window) -> Json:
        """Where a tile lies: pixels, bounds in the CRS, and its outline in longitude and latitude."""
        box = (window.top, window.left, window.height, window.width)
        around = lonlat_corners(self._reference, *box)
        outline: Json = None
        if around is not None:
            outline = {"type": "Polygon", "coordinates": [[list(p) for p in (*around, around[0])]]}
        return {
            "type": "Feature",
            "geometry": outline,
            "properties": {
                "name": tile_name(window, self._kind),
                "row": window.top,
                "col": window.left,
                "height": window.height,
                "width": window.width,
                "bounds": bounds_of(
                    self._reference, window.height, window.width, top=window.top, left=window.left
                ),
            },
        }

    def _write_index(self, features: list[Json]) -> None:
        rows, cols = self.made.job.info.shape
        index: dict[str, Json] = {
            "type": "FeatureCollection",
            "scene": {
                "name": self.made.job.info.item.stem,
                "height": rows,
                "width": cols,
                **crs_facts(self._reference.crs),
                "transform": list(self._reference.transform),
                "tile": TILE_PX,
                "layer": self.made.job.layer.value,
                **_encoding(self.made, self._kind),
            },
            "features": features,
        }
        text = json.dumps(index, indent=1, allow_nan=False)
        (self._part / "index.json").write_text(text + "\n", encoding="utf-8")


def tile_windows(shape: tuple[int, int]) -> Iterator[Window]:
    """Tiles of a scene of (rows, columns), row by row, from its first pixel."""
    for top in range(0, shape[0], TILE_PX):
        for left in range(0, shape[1], TILE_PX):
            height, width = min(TILE_PX, shape[0] - top), min(TILE_PX, shape[1] - left)
            yield Window(top=top, left=left, height=height, width=width)


def tile_name(window: Window, kind: Kind) -> str:
    """The name says where the tile's first pixel lies in the scene."""
    return f"r{window.top:05d}_c{window.left:05d}{kind.value}"


def world_file(reference: Georeference, window: Window) -> str:
    """The six numbers of an ESRI world file: they place the centre of the first pixel."""
    a, b, _, d, e, _ = reference.transform
    x, y = reference.at(window.top + 0.5, window.left + 0.5)
    return "".join(f"{v!r}\n" for v in (a, d, b, e, x, y))


def _encoding(made: Mosaic, kind: Kind) -> dict[str, Json]:
    if kind is Kind.TIF:
        return encoding(made)
    if made.job.layer is LayerKind.MASKS:
        return mask_facts(made.job.table)
    if made.job.layer is LayerKind.NORMALS:
        return normals_facts()
    first = made.first
    return depth_code(first).facts() if isinstance(first, Depth) else {}


def _save_tif(path: Path, dataset: Dataset, reference: Georeference, window: Window) -> None:
    """A tile of the mosaic as it is: values, nodata, CRS, palette and names of bands."""
    import rasterio

    part = gdal_window(window)
    profile = dataset.profile | {"height": window.height, "width": window.width, "sparse_ok": False}
    if reference.transform != IDENTITY:
        profile["transform"] = rasterio.Affine(*reference.crop(window).transform)
    with rasterio.open(path, "w", **profile) as out:
        out.write(dataset.read(window=part))
        out.descriptions = dataset.descriptions
        out.units = dataset.units
        out.update_tags(**dataset.tags())
        if dataset.dtypes[0] == "uint8":
            out.write_colormap(1, dataset.colormap(1))


def _save_png(path: Path, data: NDArray[Any], made: Mosaic) -> None:
    from PIL import Image

    layer = restored(data, made.job, made.first)
    if isinstance(layer, Mask):
        picture = Image.fromarray(layer.ids)
        picture.putpalette(_palette(made.job.table))
        picture.save(path, transparency=NO_CLASS)
    elif isinstance(layer, Normals):
        Image.fromarray(encode_normals_u8(layer)).save(path)
    else:
        Image.fromarray(encode_depth_u16(layer)[0]).save(path)


def _palette(table: ClassTable) -> bytes:
    return table.palette().tobytes()
