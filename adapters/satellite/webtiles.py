"""``--format xyz``, ``mbtiles``, ``pmtiles``: pictures of a layer for web maps, in tiles of 256 px.

A folder may follow another tiling scheme; the archives are defined for web mercator only.
"""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from banana_cli.adapter import SinkJob
from banana_cli.errors import OutputError, translate
from banana_cli.paint import paint
from banana_cli.types import NO_CLASS, Json, Layer, Mask

from .database import new_database
from .gdal import WRITE_REMEDY, writing
from .mosaic import Mosaic, MosaicSink, SceneFormat, mosaic
from .outlines import required_place
from .pyramid import Cover, Pyramid, Zooms, cover_of, warped
from .schemes import TILE_PX, WEB, scheme_of

_E7: Final = 10_000_000


class Archive(Protocol):
    """A collection of tiles being written."""

    def put(self, zoom: int, x: int, y: int, png: bytes) -> None:
        """Store one tile; ``y`` counts from the north."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an archive says of itself."""

    name: str
    description: str
    cover: Cover

    def tilejson(self) -> dict[str, Json]:
        """The same in the words of TileJSON 3.0."""
        return {
            "tilejson": "3.0.0",
            "name": self.name,
            "description": self.description,
            "tiles": ["{z}/{x}/{y}.png"],
            "scheme": "xyz",
            "tile_matrix_set": self.cover.scheme.name,
            "bounds": list(self.cover.bounds()),
            "center": list(self.cover.center()),
            "minzoom": self.cover.min_zoom,
            "maxzoom": self.cover.max_zoom,
        }


Opener = Callable[[Path, About], AbstractContextManager[Archive]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebTilesFormat(SceneFormat):
    """Classes in their colours, heights and normals as they are painted; transparent where no answer is."""

    name: str
    ending: str
    archive: Opener
    any_scheme: bool = False
    obeys = frozenset({"min-zoom", "max-zoom", "tiling-scheme"})

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[WebTilesSink]:
        """Collect beside ``part``. OutputError if the scene has no place on a web map."""
        reference = required_place(job, "web maps need", "tif or tiles")
        asked = job.options.get("tiling_scheme")
        scheme = scheme_of(asked if isinstance(asked, str) else None, job.info.item.subject)
        if scheme is not WEB and not self.any_scheme:
            raise OutputError(
                f"{self.name} is defined for web mercator, not for {scheme.name}",
                subject=job.info.item.subject,
                remedy="choose --format xyz, or leave --tiling-scheme out",
            )
        zooms = Zooms(least=_whole(job, "min_zoom"), most=_whole(job, "max_zoom"))
        cover = cover_of(reference, job.info.shape, job.info.item.subject, zooms, scheme)
        with mosaic(part, job) as made:
            yield WebTilesSink(made, part, self.archive, cover)


class WebTilesSink(MosaicSink):
    """One archive being written."""

    def __init__(self, made: Mosaic, part: Path, archive: Opener, cover: Cover) -> None:
        super().__init__(made)
        self._part = part
        self._archive = archive
        self._cover = cover
        self._count = 0

    def finish(self) -> dict[str, Json]:
        """Warp the mosaic and store its tiles, from the finest to the coarsest."""
        import rasterio

        self.made.close()
        job = self.made.job
        about = About(
            name=f"{job.info.item.stem} {job.layer.value}",
            description=f"{job.layer.value} by {job.model.name}",
            cover=self._cover,
        )
        with (
            writing(self.made.subject),
            translate(OSError, to=OutputError, subject=self.made.subject, remedy=WRITE_REMEDY),
            rasterio.open(self.made.path) as source,
            warped(source, self.made, self._cover) as dataset,
            self._archive(self._part, about) as archive,
        ):
            self._fill(dataset, archive)
        return {
            "encoding": "png",
            "scheme": f"{self._cover.scheme.name}, z/x/y, row 0 in the north",
            "tile": TILE_PX,
            "tiles": self._count,
            "min_zoom": self._cover.min_zoom,
            "max_zoom": self._cover.max_zoom,
            "bounds": list(self._cover.bounds()),
            "values": "a picture of them: write tif too for the values themselves",
        }

    def _fill(self, dataset: object, archive: Archive) -> None:
        def put(zoom: int, x: int, y: int, layer: Layer) -> None:
            self._count += 1
            archive.put(zoom, x, y, _png(layer, self.made.job))

        Pyramid(dataset, self.made, self._cover, put).run()


def _whole(job: SinkJob, name: str) -> int | None:
    value = job.options.get(name)
    return value if isinstance(value, int) else None


def _png(layer: Layer, job: SinkJob) -> bytes:
    """A tile as a picture: indexed for classes, else RGB and alpha."""
    import numpy as np
    from PIL import Image

    out = io.BytesIO()
    if isinstance(layer, Mask):
        picture = Image.fromarray(layer.ids)
        picture.putpalette(layer.table.palette().tobytes())
        picture.save(out, "PNG", transparency=NO_CLASS)
    else:
        alpha = np.where(layer.valid, np.uint8(255), np.uint8(0))
        Image.fromarray(np.dstack([paint(layer, job.look), alpha])).save(out, "PNG")
    return out.getvalue()


class _Folder:
    """``z/x/y.png``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, zoom: int, x: int, y: int, png: bytes) -> None:
        """One file a tile."""
        folder = self._root / str(zoom) / str(x)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{y}.png").write_bytes(png)


@contextmanager
def _folder(part: Path, about: About) -> Iterator[Archive]:
    part.mkdir(exist_ok=True)
    yield _Folder(part)
    text = json.dumps(about.tilejson(), indent=1, allow_nan=False)
    (part / "tilejson.json").write_text(text + "\n", encoding="utf-8")


class _MBTiles:
    """Rows of the table "tiles", which counts its rows from the south."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def put(self, zoom: int, x: int, y: int, png: bytes) -> None:
        """One row a tile."""
        south = (1 << zoom) - 1 - y
        self._database.execute("INSERT INTO tiles VALUES (?, ?, ?, ?)", (zoom, x, south, png))


@contextmanager
def _mbtiles(part: Path, about: About) -> Iterator[Archive]:
    cover = about.cover
    facts = {
        "name": about.name,
        "format": "png",
        "bounds": ",".join(f"{v:.7f}" for v in cover.bounds()),
        "center": ",".join(f"{v:.7g}" for v in cover.center()),
        "minzoom": str(cover.min_zoom),
        "maxzoom": str(cover.max_zoom),
        "description": about.description,
        "type": "overlay",
        "version": "1",
    }
    with new_database(part) as database:
        database.execute("PRAGMA application_id = 0x4d504258")  # "MPBX"
        database.execute("CREATE TABLE metadata (name TEXT, value TEXT)")
        database.execute(
            "CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB)"
        )
        database.executemany("INSERT INTO metadata VALUES (?, ?)", facts.items())
        yield _MBTiles(database)
        database.execute("CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, tile_row)")


class _PMTiles:
    """Tiles by their number on the Hilbert curve; the library sorts its directory."""

    def __init__(self, writer: Any) -> None:  # noqa: ANN401 (pmtiles has no types)
        self._writer = writer

    def put(self, zoom: int, x: int, y: int, png: bytes) -> None:
        """One entry a tile."""
        from pmtiles.tile import zxy_to_tileid

        self._writer.write_tile(zxy_to_tileid(zoom, x, y), png)


@contextmanager
def _pmtiles(part: Path, about: About) -> Iterator[Archive]:
    from pmtiles.tile import Compression, TileType
    from pmtiles.writer import write

    west, south, east, north = about.cover.bounds()
    lon, lat, zoom = about.cover.center()
    header = {
        "tile_type": TileType.PNG,
        "tile_compression": Compression.NONE,
        "min_lon_e7": round(west * _E7),
        "min_lat_e7": round(south * _E7),
        "max_lon_e7": round(east * _E7),
        "max_lat_e7": round(north * _E7),
        "center_zoom": int(zoom),
        "center_lon_e7": round(lon * _E7),
        "center_lat_e7": round(lat * _E7),
    }
    metadata = {"name": about.name, "description": about.description, "type": "overlay", "format": "png"}
    with write(str(part)) as writer:
        yield _PMTiles(writer)
        writer.finalize(header, metadata)


XYZ = WebTilesFormat(name="xyz", ending=".xyz", archive=_folder, any_scheme=True)
MBTILES = WebTilesFormat(name="mbtiles", ending=".mbtiles", archive=_mbtiles)
PMTILES = WebTilesFormat(name="pmtiles", ending=".pmtiles", archive=_pmtiles)
