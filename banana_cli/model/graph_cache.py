"""Graphs that were built once, kept in the user's cache folder. No torch here.

A file is the SHA-256 digest of a graph and the graph; one that does not fit its digest is as good as none.
A folder that cannot be written costs time, not answers.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from banana_cli.atomic import Staged, writing
from banana_cli.errors import OutputError

MOST: Final = 24
"""Files kept; those that were used longest ago go first."""
_DIGEST: Final = 32


def user_folder() -> Path:
    """``$XDG_CACHE_HOME/banana/graphs``, by default below ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "banana" / "graphs"


class GraphCache:
    """Graphs by the words that say all that they depend on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, *words: str) -> Path:
        """Where the graph of these words lies, or would."""
        key = hashlib.sha256("\n".join(words).encode()).hexdigest()[:40]
        return self._folder / f"{key}.graph"

    def get(self, path: Path) -> bytes | None:
        """A whole graph, or None."""
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        graph = data[_DIGEST:]
        return graph if hashlib.sha256(graph).digest() == data[:_DIGEST] else None

    def put(self, path: Path, graph: bytes) -> None:
        """Keep a graph, whole or not at all."""
        with suppress(OutputError), Staged(path, overwrite=True) as staged:
            with writing(path):
                staged.part.write_bytes(hashlib.sha256(graph).digest() + graph)
            staged.commit()
        self._prune()

    def _prune(self) -> None:
        with suppress(OSError):
            files = sorted(self._folder.glob("[!.]*.graph"), key=lambda p: p.stat().st_mtime)
            for old in files[:-MOST]:
                old.unlink()
