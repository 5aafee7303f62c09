"""What a killed run leaves for ``--resume``: whole segments in a hidden folder, and where to go on.

The folder lies beside the outputs, ``.<stem>.banana-work``, and goes when they stand. Formats put their
segments in it, each below the name of its output; ``checkpoint.json`` is replaced in one step when all of
them are safe on the disk, so that it never promises what is not there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from banana_cli.atomic import writing
from banana_cli.errors import OutputError
from banana_cli.recall import Recall
from banana_cli.types import Json

SEGMENT_FRAMES = 250
SCHEMA = "banana-work-1"
_CHECKPOINT, _ANSWERS, _LOCK = "checkpoint.json", "answers", "lock"
_MOST_BYTES = 64 << 20
Memory = Mapping[str, NDArray[np.generic]]


class Work:
    """The work folder of one job; ``hold`` it before use. Closed, it stays only if it is of use."""

    def __init__(self, folder: Path, fingerprint: Mapping[str, Json], *, usable: bool = True) -> None:
        self.folder, self.usable = folder, usable
        self._fingerprint = dict(fingerprint)
        self._lock: IO[bytes] | None = None

    @classmethod
    def beside(cls, output: Path, stem: str, fingerprint: Mapping[str, Json], *, usable: bool = True) -> Work:
        """The folder for the job of input ``stem`` whose first output is ``output``."""
        return cls(output.with_name(f".{stem}.banana-work"), fingerprint, usable=usable)

    def hold(self) -> None:
        """Make the folder and keep others out. OutputError if another run holds it or it is not ours."""
        if self._lock is not None:
            return
        if self.folder.is_symlink() or (self.folder.exists() and not self._is_ours()):
            raise OutputError(
                "is no work folder of banana's", subject=str(self.folder), remedy="move it away"
            )
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / _LOCK).open("ab")
        if not _lock(self._lock):
            self._let_go()
            raise OutputError(
                "another run is at work on this input",
                subject=str(self.folder),
                remedy="wait for it to end, or name another folder with -o",
            )

    def _is_ours(self) -> bool:
        return self.folder.is_dir() and ((self.folder / _LOCK).exists() or not any(self.folder.iterdir()))

    def last(self) -> dict[str, Json] | None:
        """Hold the folder; its checkpoint, None if there is none of these inputs, options and software."""
        if not self.usable or not self.folder.exists():
            return None
        self.hold()
        with suppress(OSError, ValueError, RecursionError):
            path = self.folder / _CHECKPOINT
            if path.stat().st_size > _MOST_BYTES:
                return None
            facts = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(facts, dict) and facts.get("fingerprint") == _plain(self._fingerprint):
                return facts
        return None

    def save(self, facts: Mapping[str, Json], memory: Memory | None) -> None:
        """Replace the checkpoint. OutputError if it cannot be written."""
        name = f"memory.{facts.get('index')}.npz" if memory else None
        with writing(self.folder):
            if memory and name:
                np.savez(self.folder / name, **memory)  # type: ignore[arg-type]
            whole = {"schema": SCHEMA, "fingerprint": self._fingerprint, **facts, "memory": name}
            part = self.folder / f"{_CHECKPOINT}.part"
            with part.open("w", encoding="utf-8") as file:
                json.dump(whole, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.folder / _CHECKPOINT)
            for old in self.folder.glob("memory.*.npz"):
                if old.name != name:
                    old.unlink()

    def memory(self, facts: Mapping[str, Json]) -> Memory | None:
        """What the predictor kept in mind at a checkpoint; None if nothing, or if it is damaged."""
        name = facts.get("memory")
        if not isinstance(name, str) or Path(name).name != name:
            return None
        try:
            with np.load(self.folder / name, allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except (OSError, ValueError):
            return None

    def recall(self, about: Mapping[str, Json], *, resume: bool) -> Recall | None:
        """Answers for the parts of a scene, also those of an earlier run ``about`` the same; None if held."""
        with suppress(OutputError):
            self.hold()
            whole = {**self._fingerprint, **about}
            return Recall(self.folder / _ANSWERS, whole, resume=resume)
        return None

    def empty(self) -> None:
        """Remove what an earlier run left; the folder stays held."""
        for path in self.folder.iterdir():
            if path.name != _LOCK:
                _remove(path)

    def clear(self) -> None:
        """Remove the folder: the outputs stand, or there is nothing worth keeping."""
        if self._lock is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._let_go()

    def close(self) -> None:
        """Leave the folder for a later ``--resume``, if it is of use for that."""
        if self._lock is not None and not any((self.folder / n).exists() for n in (_CHECKPOINT, _ANSWERS)):
            self.clear()
        self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _plain(value: Mapping[str, Json]) -> Json:
    plain: Json = json.loads(json.dumps(value))
    return plain


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _lock(file: IO[bytes]) -> bool:
    """Take the lock, which the system lets go when the process ends; True where there are none."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems know no locks
        return True
    return True
