"""Which container a file is, by its first bytes, and which files only stand beside another."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path


class Container(StrEnum):
    """A container of ours; the value is the name of GDAL's driver."""

    TIFF = "GTiff"
    JP2 = "JP2OpenJPEG"
    VRT = "VRT"


_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JP2 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_SIDE_SUFFIXES = (".ovr", ".msk")


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


def is_side_file(path: Path) -> bool:
    """Whether the file is only an overview or a mask of the raster beside it."""
    if path.suffix.lower() not in _SIDE_SUFFIXES:
        return False
    owner = path.with_suffix("")
    return owner.is_file() or any(owner.with_suffix(s).is_file() for s in (".tif", ".tiff", ".TIF"))
