"""``--format gpkg``: the outlines of classes as an OGC GeoPackage in the scene's own CRS."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from banana_cli.adapter import SinkJob
from banana_cli.atomic import final_name
from banana_cli.types import Json, LayerKind

from .database import new_database
from .gdal import writing
from .georef import IDENTITY, Georeference, crs_name
from .mosaic import SceneFormat
from .outlines import ABOUT, Collected, Outline, in_crs, reference_of
from .scene import SceneInfo, bounds_of

_APPLICATION_ID: Final = 0x47504B47  # "GPKG"
_VERSION: Final = 10300
_OWN_SRS: Final = 100_000
_UNDEFINED_CARTESIAN: Final = -1
_WGS84: Final = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4326"]]'
)
_SCHEMA: Final = """
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY,
  organization TEXT NOT NULL, organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL,
  description TEXT);
CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL,
  identifier TEXT UNIQUE, description TEXT DEFAULT '', last_change DATETIME NOT NULL,
  min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
  CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL,
  geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL, z TINYINT NOT NULL, m TINYINT NOT NULL,
  CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name),
  CONSTRAINT uk_gc_table_name UNIQUE (table_name),
  CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
  CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id));
CREATE TABLE masks (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom POLYGON, class TEXT,
  class_id INTEGER, area_m2 REAL, pixels INTEGER, confidence REAL, height_m REAL);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Srs:
    """A row of gpkg_spatial_ref_sys."""

    id: int
    name: str
    organization: str
    code: int
    definition: str


_ALWAYS: Final = (
    Srs(id=4326, name="WGS 84", organization="EPSG", code=4326, definition=_WGS84),
    Srs(id=-1, name="Undefined Cartesian", organization="NONE", code=-1, definition="undefined"),
    Srs(id=0, name="Undefined geographic", organization="NONE", code=0, definition="undefined"),
)


class GeoPackageFormat(SceneFormat):
    """One row a connected region of one class; pixels with y upwards for a scene without a CRS."""

    name = "gpkg"
    ending = ".gpkg"
    layers = frozenset({LayerKind.MASKS})
    things = True

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[GeoPackageSink]:
        """Collect beside ``part``."""
        with ExitStack() as stack:
            yield GeoPackageSink(part, job, stack)


GPKG = GeoPackageFormat()


class GeoPackageSink(Collected):
    """One GeoPackage being written."""

    def finish(self) -> dict[str, Json]:
        """Outline all regions and write them as rows of the table "masks"."""
        known = reference_of(self.job)
        reference = known or _plane(self.job)
        srs = _srs_of(reference)
        with writing(str(final_name(self._part))), new_database(self._part) as database:
            _begin(database, srs)
            rows = _rows(self.outlines(known), reference, srs.id, self.job.table.names)
            database.executemany(
                "INSERT INTO masks (geom, class, class_id, area_m2, pixels, confidence, height_m)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            count = int(database.execute("SELECT COUNT(*) FROM masks").fetchone()[0])
            _describe(database, self.job, reference, srs)
        return {
            "encoding": "GeoPackage",
            "table": "masks",
            "crs": srs.name,
            "features": count,
            **ABOUT,
        }


def _plane(job: SinkJob) -> Georeference:
    """Where there is no place: the scene's transform if it has one, else pixels with y upwards."""
    own = job.info.reference if isinstance(job.info, SceneInfo) else None
    if own is not None and own.transform != IDENTITY:
        return own
    return Georeference(crs=None, transform=(1.0, 0.0, 0.0, 0.0, -1.0, 0.0))


def _srs_of(reference: Georeference) -> Srs:
    name = crs_name(reference.crs)
    if name is None or reference.crs is None:
        return _ALWAYS[1]
    authority, _, code = name.partition(":")
    if authority == "EPSG" and code.isdecimal():
        return Srs(id=int(code), name=name, organization="EPSG", code=int(code), definition=reference.crs)
    return Srs(id=_OWN_SRS, name=name, organization="NONE", code=_OWN_SRS, definition=reference.crs)


def _begin(database: sqlite3.Connection, srs: Srs) -> None:
    database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {_VERSION}")
    database.executescript(_SCHEMA)
    for row in {s.id: s for s in (*_ALWAYS, srs)}.values():
        database.execute(
            "INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, NULL)",
            (row.name, row.id, row.organization, row.code, row.definition),
        )


def _rows(
    outlines: Iterator[Outline], reference: Georeference, srs_id: int, names: tuple[str, ...]
) -> Iterator[tuple[Any, ...]]:
    for outline in outlines:
        yield (_blob(in_crs(outline.pixels, reference), srs_id), *outline.properties(names).values())


def _blob(polygon: Any, srs_id: int) -> bytes:  # noqa: ANN401 (shapely has no types)
    """A geometry as GeoPackage stores it: magic, version 0, flags (little endian, envelope), WKB."""
    import shapely

    west, south, east, north = polygon.bounds
    head = struct.pack("<2sBBi4d", b"GP", 0, 0b011, srs_id, west, east, south, north)
    return head + bytes(shapely.to_wkb(shapely.orient_polygons(polygon), byte_order=1))


def _describe(database: sqlite3.Connection, job: SinkJob, reference: Georeference, srs: Srs) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    bounds = bounds_of(reference, *job.info.shape)
    identifier = f"{job.info.item.stem} masks"
    database.execute(
        "INSERT INTO gpkg_contents VALUES ('masks', 'features', ?, ?, ?, ?, ?, ?, ?, ?)",
        (identifier, f"classes by {job.model.name}", now, *bounds, srs.id),
    )
    database.execute(
        "INSERT INTO gpkg_geometry_columns VALUES ('masks', 'geom', 'POLYGON', ?, 0, 0)", (srs.id,)
    )
