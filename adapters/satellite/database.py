"""SQLite files that are written once: GeoPackage and MBTiles are such."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from banana_cli.atomic import final_name
from banana_cli.errors import OutputError, translate

from .gdal import WRITE_REMEDY


@contextmanager
def new_database(part: Path) -> Iterator[sqlite3.Connection]:
    """A new file, committed at the end. OutputError where the disk refuses.

    Without a journal: nobody reads the file before it has its final name, and a broken one goes.
    """
    part.unlink(missing_ok=True)
    with (
        translate(sqlite3.Error, OSError, to=OutputError, subject=str(final_name(part)), remedy=WRITE_REMEDY),
        closing(sqlite3.connect(part)) as database,
    ):
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        yield database
        database.commit()
