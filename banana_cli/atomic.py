"""Outputs appear whole or not at all: written beside their final name, then renamed."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from banana_cli.errors import OutputError

_REMEDIES = {
    errno.ENOSPC: "free some space, or name another folder with -o",
    errno.EDQUOT: "free some space, or name another folder with -o",
    errno.ENAMETOOLONG: "give the output a shorter name with -o",
    errno.EROFS: "name a folder that can be written with -o",
}
_PART = re.compile(r"\.(.+)\.(\d+)\.part((?:\.[^.]*)?)", re.DOTALL)
_REMEDY = "check the folder and its permissions, or name another with -o"
_MARK = b'"schema": "banana-'
"""What the first bytes of every sidecar hold."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into an OutputError on ``path``, the final name and not the part's."""
    try:
        yield
    except OSError as exc:
        reason = f"cannot write ({exc.strerror or exc})"
        raise OutputError(reason, subject=str(path), remedy=_REMEDIES.get(exc.errno or 0, _REMEDY)) from exc


def part_name(final: Path, pid: int | None = None) -> Path:
    """The temporary name of an output: hidden, in the same folder, with the same suffix."""
    suffix = final.suffix
    stem = final.name[: len(final.name) - len(suffix)] if suffix else final.name
    return final.with_name(f".{stem}.{os.getpid() if pid is None else pid}.part{suffix}")


def final_name(part: Path) -> Path:
    """The output that ``part`` will be; a name that is no part's is the output's own."""
    match = _PART.fullmatch(part.name)
    return part.with_name(match[1] + match[3]) if match else part


def parts_of(final: Path) -> list[Path]:
    """Parts of an output that runs left, whatever their process number was."""
    with suppress(OSError):
        return sorted(p for p in final.parent.iterdir() if final_name(p) == final and p != final)
    return []


def refuse_existing(final: Path, *, overwrite: bool) -> None:
    """OutputError if something stands under this name that may not be replaced."""
    if not os.path.lexists(final):
        return
    if not overwrite:
        raise OutputError(
            "exists already", subject=str(final), remedy="add --overwrite to replace it, or name another -o"
        )
    if final.is_dir() and not _is_ours(final):
        raise OutputError(
            "is a folder that banana did not write",
            subject=str(final),
            remedy="move it away, or name another -o",
        )


def _is_ours(folder: Path) -> bool:
    """A folder that a run wrote has its sidecar beside it; an empty one is nobody's."""
    with suppress(OSError), folder.with_name(folder.name + ".json").open("rb") as sidecar:
        if _MARK in sidecar.read(64):
            return True
    return not any(folder.iterdir())


def refuse_unwritable(folder: Path) -> None:
    """OutputError if the folder cannot be made or written; makes nothing."""
    nearest = next((p for p in (folder, *folder.parents) if os.path.lexists(p)), Path("."))
    if not nearest.is_dir():
        raise OutputError(
            "is a file, not a folder", subject=str(nearest), remedy="name another folder with -o"
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError("no permission to write here", subject=str(nearest), remedy=_REMEDY)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; OutputError if that cannot be."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


class Staged:
    """One output on its way: write to ``part``, then ``commit()``; leaving without it removes the part.

    The writer decides whether ``part`` becomes a file or a folder. Files that a library puts beside it
    under the same name and a longer suffix (``x.tif.aux.xml``) go along.
    """

    def __init__(self, final: Path, *, overwrite: bool = False) -> None:
        refuse_existing(final, overwrite=overwrite)
        make_folder(final.parent)
        self.final = final
        self.part = part_name(final)
        self._overwrite = overwrite
        for part in _left(final):
            if not _is_alive(part):
                _remove(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def discard(self) -> None:
        """Remove what was written and not committed."""
        for path in (self.part, *self._companions()):
            with suppress(OSError):  # the error that brought us here is the one to tell
                _remove(path)

    def commit(self) -> None:
        """Put the part under its final name. OutputError if it cannot be, or if the name is taken by now."""
        refuse_existing(self.final, overwrite=self._overwrite)
        with writing(self.final):
            companions = self._companions()
            for path in (self.part, *companions):
                _sync(path)
            for path in companions:
                os.replace(path, self.final.with_name(self.final.name + path.name[len(self.part.name) :]))
            _replace(self.part, self.final)
            _sync_folder(self.final.parent)

    def _companions(self) -> list[Path]:
        prefix = self.part.name + "."
        with suppress(OSError):
            return [p for p in self.part.parent.iterdir() if p.name.startswith(prefix)]
        return []


def write_text(final: Path, text: str, *, overwrite: bool) -> None:
    """Write a small text file whole or not at all. OutputError as for any output."""
    with Staged(final, overwrite=overwrite) as staged:
        fill(staged, text)
        staged.commit()


def fill(staged: Staged, text: str) -> None:
    """Write a small text as the part of an output, ready to commit."""
    with writing(staged.final):
        staged.part.write_text(text, encoding="utf-8")


def _left(final: Path) -> list[Path]:
    """Parts of an output that killed runs left, and the files with longer suffixes beside them."""
    name = re.escape(final.name[: len(final.name) - len(final.suffix)])
    ours = re.compile(rf"\.{name}\.\d+\.part{re.escape(final.suffix)}(?:\..*)?", re.DOTALL)
    with suppress(OSError):
        return [p for p in final.parent.iterdir() if ours.fullmatch(p.name)]
    return []


def _is_alive(part: Path) -> bool:
    """Whether the process that writes a part may still be there; our own number is an earlier process's."""
    match = _PART.match(part.name)
    pid = int(match[2]) if match else 0
    if pid == os.getpid():
        return False
    if os.name != "posix":  # elsewhere the question would kill
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _replace(part: Path, final: Path) -> None:
    """Rename over whatever is there; a folder cannot be replaced in one step, so it steps aside first."""
    if not (final.is_dir() or part.is_dir()) or not os.path.lexists(final):
        os.replace(part, final)
        return
    aside = part.with_name(part.name + ".old")
    os.replace(final, aside)
    try:
        os.replace(part, final)
    except OSError:
        os.replace(aside, final)
        raise
    _remove(aside)


def _sync(path: Path) -> None:
    files = [path] if not path.is_dir() else [p for p in path.rglob("*") if p.is_file()]
    for file in files:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last; some file systems cannot, and that is no failure."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def bytes_of(path: Path) -> int:
    """Size of a file, or of all files below a folder; 0 if nothing is there."""
    with suppress(OSError):
        if path.is_dir():
            return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
        return path.stat().st_size
    return 0
