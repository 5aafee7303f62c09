"""Which weights are installed: ``index.toml`` of the package ``banana_weights``. No torch here.

[[weights]]
name = "nano"
file = "banana-nano.safetensors"
sha256 = "..."
bytes = 4194304
licence = "Apache-2.0"
"""

from __future__ import annotations

import hashlib
import importlib.util
import tomllib
from dataclasses import dataclass
from pathlib import Path

from banana_cli.errors import WeightsError
from banana_cli.types import Json

DEFAULT_MODEL = "nano"
PACKAGE = "banana_weights"
_REINSTALL = "install banana again, or name a file with --weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of weights and what it must be."""

    name: str
    path: Path
    sha256: str
    bytes: int
    licence: str

    def to_json(self) -> dict[str, Json]:
        """A line of ``banana models list --json``."""
        return {
            "name": self.name,
            "file": self.path.name,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "licence": self.licence,
        }


def installed_folder() -> Path:
    """Where the installed weights lie. WeightsError if their package is missing."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError("is not installed", subject=PACKAGE, remedy=_REINSTALL)
    return Path(next(iter(spec.submodule_search_locations)))


def read_index(folder: Path) -> list[Entry]:
    """All entries of a folder's index. WeightsError if there is none or it says something else."""
    path = folder / "index.toml"
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["weights"]
        return [_entry(folder, row) for row in rows]
    except OSError as exc:
        raise WeightsError(f"cannot be read ({exc.strerror})", subject=str(path), remedy=_REINSTALL) from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise WeightsError(f"is no index of weights ({exc})", subject=str(path), remedy=_REINSTALL) from exc


def _entry(folder: Path, row: dict[str, object]) -> Entry:
    file = str(row["file"])
    if Path(file).name != file:
        raise ValueError(f"{file!r} is no plain file name")
    return Entry(
        name=str(row["name"]),
        path=folder / file,
        sha256=str(row["sha256"]),
        bytes=int(str(row["bytes"])),
        licence=str(row["licence"]),
    )


def entry_of(name: str, folder: Path | None = None) -> Entry:
    """The entry of a model by name. WeightsError that lists the known ones."""
    entries = read_index(folder or installed_folder())
    for entry in entries:
        if entry.name == name:
            return entry
    known = ", ".join(e.name for e in entries) or "none"
    raise WeightsError(f"is not installed (installed: {known})", subject=f"model {name}", remedy=_REINSTALL)


def resolve(weights: Path | None, name: str = DEFAULT_MODEL) -> Path:
    """The file to load: the named one, else the installed one, which must be the one of the index.

    WeightsError if it is missing or altered.
    """
    if weights is None:
        entry = entry_of(name)
        verify(entry)
        return entry.path
    if not weights.is_file():
        raise WeightsError(
            "there are no weights here", subject=str(weights), remedy="see `banana models list`"
        )
    return weights


def sha256_of(path: Path) -> str:
    """Hex digest of a file. WeightsError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise WeightsError(f"cannot be read ({exc.strerror})", subject=str(path), remedy=_REINSTALL) from exc


def verify(entry: Entry) -> None:
    """WeightsError if a file is missing or is not the one of the index."""
    if not entry.path.is_file():
        raise WeightsError("is missing", subject=str(entry.path), remedy=_REINSTALL)
    found = sha256_of(entry.path)
    if found != entry.sha256:
        raise WeightsError(
            f"was altered (sha256 {found[:12]}, not {entry.sha256[:12]})",
            subject=str(entry.path),
            remedy=_REINSTALL,
        )
