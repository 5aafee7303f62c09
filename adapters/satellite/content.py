"""Which container a file is, by its first bytes, and which files only stand beside another."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from banana_cli.errors import InputError


class Container(StrEnum):
    """A container of ours; the value is the name of GDAL's driver."""

    TIFF = "GTiff"
    JP2 = "JP2OpenJPEG"
    VRT = "VRT"


_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JP2 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_SIDE_SUFFIXES = {".ovr": "holds the overviews", ".msk": "is the mask"}


def container_of(head: bytes) -> Container | None:
    """The container whose content begins with ``head``, or None if it is not ours."""
    if head.startswith(_TIFF):
        return Container.TIFF
    if head.startswith(_JP2):
        return Container.JP2
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<VRTDataset") or (text.startswith(b"<?xml") and b"<VRTDataset" in text):
        return Container.VRT
    return None


def owner_of(path: Path) -> Path | None:
    """The raster beside a file that is only its overviews or its mask; None for any other file."""
    if path.suffix.lower() not in _SIDE_SUFFIXES:
        return None
    bare = path.with_suffix("")
    owners = (bare, *(bare.with_suffix(s) for s in (".tif", ".tiff", ".TIF")))
    return next((owner for owner in owners if owner.is_file()), None)


def refuse_side_file(path: Path) -> None:
    """InputError where the file only belongs to the raster beside it."""
    owner = owner_of(path)
    if owner is not None:
        what = _SIDE_SUFFIXES[path.suffix.lower()]
        raise InputError(f"{what} of {owner.name}", subject=str(path), remedy=f"name {owner.name} instead")
