"""A study in a zip, read where it lies: nothing is unpacked under a name that the archive gives."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from banana_cli.adapter import InputItem
from banana_cli.errors import InputError

from .sniff import is_dicom

MAGIC = b"PK\x03\x04"
MAX_MEMBERS = 50_000
MAX_BYTES = 2**36  # unpacked, all members together
MAX_RATIO = 200  # unpacked bytes a packed byte, all members together; scans reach 2 to 20
MAX_IN_MEMORY = 2**25  # larger members wait in a nameless temporary file while they are decoded
_PROBED = 2_000  # members whose content is looked at to tell whose archive it is
_HEAD = 4096
_SMALLEST = 16  # bytes of a member that can be DICOM
_REMEDY = "unpack it yourself and name the folder"
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside an open archive. Its own name may be a person's, so it is called by its number."""

    archive: zipfile.ZipFile
    number: int

    @property
    def info(self) -> zipfile.ZipInfo:
        """Its entry in the archive's table."""
        return self.archive.infolist()[self.number]

    def __str__(self) -> str:
        return f"{self.archive.filename} (file {self.number + 1} in it)"

    def open(self, mode: str = "rb") -> BinaryIO:
        """Its bytes from the start; seeking back is slow. ``mode`` is for likeness with Path."""
        return cast(BinaryIO, self.archive.open(self.info))

    def whole(self) -> BinaryIO:
        """Its bytes, all unpacked, with quick seeking; no more of them than the archive's table says."""
        copy = SpooledTemporaryFile(max_size=MAX_IN_MEMORY)  # noqa: SIM115 - closed with the picture
        with self.open() as source:
            shutil.copyfileobj(source, copy, 2**20)
        copy.seek(0)
        return cast(BinaryIO, copy)


Place = Path | Member


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyItem(InputItem):
    """One job out of an archive: numbers of its members in order; none where the archive is of no use."""

    members: tuple[int, ...]

    @property
    def subject(self) -> str:
        """The archive, and which series of it."""
        return f"{self.paths[0]} ({self.stem})" if self.members else str(self.paths[0])


def is_study(path: Path) -> bool:
    """Whether a file is a zip that holds DICOM among its first members."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(_holds_dicom(archive, info) for info in archive.infolist()[:_PROBED])
    except _BROKEN:
        return False


def _holds_dicom(archive: zipfile.ZipFile, info: zipfile.ZipInfo, *, unreadable: bool = False) -> bool:
    """Whether a member is DICOM by its first bytes; ``unreadable`` where they cannot be had."""
    if info.is_dir() or info.file_size < _SMALLEST:
        return False
    try:
        with archive.open(info) as file:
            return is_dicom(file.read(_HEAD))
    except _BROKEN:
        return unreadable


@contextmanager
def opened(item: InputItem) -> Iterator[tuple[Place, ...]]:
    """Where the files of a job are, while the context lasts. InputError for an archive of no use."""
    if not isinstance(item, StudyItem):
        yield item.paths
        return
    with members(item.paths[0]) as found:
        if not item.members:
            raise InputError("holds no DICOM picture", subject=str(item.paths[0]), remedy=_REMEDY)
        yield tuple(Member(found[0].archive, number) for number in item.members)


@contextmanager
def members(path: Path) -> Iterator[list[Member]]:
    """The DICOM files of an archive while it is open. InputError if it is broken or asks for too much."""
    try:
        archive = zipfile.ZipFile(path)
    except _BROKEN as exc:
        raise InputError(f"cannot be opened: {exc}", subject=str(path), remedy=_REMEDY) from exc
    with archive:
        _refuse_bomb(archive, path)
        found = [
            Member(archive, k)
            for k, info in enumerate(archive.infolist())
            if _holds_dicom(archive, info, unreadable=True)
        ]
        if not found:
            raise InputError("holds no DICOM that can be read", subject=str(path), remedy=_REMEDY)
        yield found


def _refuse_bomb(archive: zipfile.ZipFile, path: Path) -> None:
    infos = archive.infolist()
    size = sum(i.file_size for i in infos)
    packed = max(path.stat().st_size, 1)
    if len(infos) > MAX_MEMBERS:
        problem = f"holds {len(infos)} files, more than {MAX_MEMBERS}"
    elif size > MAX_BYTES:
        problem = f"unpacks to {size >> 30} GiB, more than {MAX_BYTES >> 30}"
    elif size > packed * MAX_RATIO:
        problem = f"unpacks to {size // packed} times its size, more than {MAX_RATIO}"
    else:
        return
    raise InputError(problem, subject=str(path), remedy=_REMEDY)
