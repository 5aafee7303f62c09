"""A DICOMDIR: a table of contents. What it lists is read if it lies in the DICOMDIR's own folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pydicom

from .elements import parsing, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The files that are there, and how many of those listed are not (or lie elsewhere)."""

    files: tuple[Path, ...]
    missing: int


def contents_of(path: Path) -> Contents:
    """What a DICOMDIR lists. InputError if it cannot be read."""
    with parsing(str(path), "cannot be read"):
        ds = pydicom.dcmread(path, force=True)
        listed = [texts(record, "ReferencedFileID") for record in ds.get("DirectoryRecordSequence") or ()]
    lookup = _Lookup(path.parent.resolve())
    found = [lookup.find(parts) for parts in listed if parts]
    files = dict.fromkeys(file for file in found if file is not None)
    return Contents(files=tuple(files), missing=found.count(None))


@dataclass(slots=True)
class _Lookup:
    """Finds listed files below a folder; media are often copied with their names in lower case."""

    root: Path
    names: dict[Path, Mapping[str, str]] = field(default_factory=dict)

    def find(self, parts: list[str]) -> Path | None:
        """The file, or None where there is none or it would lie outside of the folder."""
        here = self.root
        for part in parts:
            name = self._inside(here).get(part.rstrip(".").casefold())
            if name is None:
                return None
            here = here / name
        return here if here.is_file() and here.resolve().is_relative_to(self.root) else None

    def _inside(self, folder: Path) -> Mapping[str, str]:
        """Names in a folder by their folded form; only names that are there are ever joined to a path."""
        if folder not in self.names:
            inside = folder.resolve().is_relative_to(self.root) and folder.is_dir()
            names = (entry.name for entry in folder.iterdir()) if inside else ()
            self.names[folder] = {name.rstrip(".").casefold(): name for name in names}
        return self.names[folder]
