"""What a VRT or a side file may refer to: rasters of ours, in the same folder or below. Nothing else.

GDAL would follow any name in them, over the network too, so they are read here before GDAL sees them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from banana_cli.adapter import read_head
from banana_cli.errors import InputError

from .content import Container, container_of
from .gdal import open_raster

_MAX_VRT_BYTES: Final = 32 << 20
_MAX_SOURCES: Final = 10_000
_MAX_OPENED: Final = 500
_MAX_NESTING: Final = 3
_MAX_SIDE_BYTES: Final = 8 << 20
_SOURCE_TAGS: Final = frozenset({"SourceFilename", "SourceDataset"})
_FREE_TEXT: Final = frozenset({"SRS", "MDI", "Description", "GCPList", "Category", "GeoTransform"})
_FORBIDDEN: Final = ("/vsi", "://", "<VRT", "<GDAL_WMS", "<WMT_")
_FORBIDDEN_TAGS: Final = re.compile(
    r"PixelFunction(Type|Language|Code)|DEMPath|.*Raw.*|Cutline.*|.*GeoLoc.*|ImageOffset|Group|ProcessingSteps?"
)
_BASE: Final = ":::BASE:::"
_REMEDY: Final = "name the rasters themselves, or keep the VRT beside local TIFF files"


def check_vrt(path: Path, subject: str) -> None:
    """InputError unless all sources of a VRT are local rasters of ours, at or below its folder."""
    opened = 0
    pending = [(path.resolve(), 0)]
    seen: set[Path] = set()
    while pending:
        vrt, nesting = pending.pop()
        if nesting > _MAX_NESTING:
            raise _refused(f"nests VRT files deeper than {_MAX_NESTING}", subject)
        for source in _sources(vrt, path.resolve().parent, subject):
            if source in seen:
                continue
            seen.add(source)
            if len(seen) > _MAX_SOURCES:
                raise _refused(f"names more than {_MAX_SOURCES} sources", subject)
            container = _container(source, subject)
            if container is Container.VRT:
                pending.append((source, nesting + 1))
            elif opened < _MAX_OPENED:
                opened += 1
                check_side_files(source, subject)
                open_raster(source, container, f"{subject} (source {source.name})").close()


def check_side_files(path: Path, subject: str) -> None:
    """InputError if a file beside a raster, which GDAL reads by itself, is not what its name says."""
    for suffix in (".ovr", ".msk"):
        side = path.with_name(path.name + suffix)
        if side.is_file() and container_of(read_head(side)) is not Container.TIFF:
            raise _bad_side(side, subject)
    notes = path.with_name(path.name + ".aux.xml")
    if not notes.is_file():
        return
    if notes.stat().st_size > _MAX_SIDE_BYTES:
        raise _bad_side(notes, subject)
    if any(not _beside(name) for name in _overview_names(notes, subject)):
        raise _bad_side(notes, subject)


def _overview_names(notes: Path, subject: str) -> list[str]:
    """Files of overviews that GDAL's notes name; a search of the text would miss quoted or escaped ones."""
    data = notes.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise _bad_side(notes, subject)
    try:
        items = list(ElementTree.fromstring(data).iter())
    except (ElementTree.ParseError, ValueError, LookupError) as exc:
        raise _bad_side(notes, subject) from exc
    return ["".join(e.itertext()).strip() for e in items if (e.get("key") or "").upper() == "OVERVIEW_FILE"]


def _beside(name: str) -> bool:
    """Whether a name can only be that of a file in the same folder."""
    return not any(mark in name.removeprefix(_BASE) for mark in ("/", "\\", "<", ":"))


def _bad_side(side: Path, subject: str) -> InputError:
    return InputError(
        f"the file {side.name} beside it is not a plain side file",
        subject=subject,
        remedy=f"move {side.name} away",
    )


def _refused(message: str, subject: str) -> InputError:
    return InputError(message, subject=subject, remedy=_REMEDY)


def _container(source: Path, subject: str) -> Container:
    if not source.is_file():
        raise _refused(f"its source {source.name} is missing", subject)
    container = container_of(read_head(source))
    if container is None:
        raise _refused(f"its source {source.name} is no TIFF or JPEG 2000 file", subject)
    return container


def _sources(vrt: Path, top: Path, subject: str) -> Iterator[Path]:
    """Files that a VRT document names; everything that is more than a name is refused."""
    for element in _parse(vrt, subject).iter():
        if _FORBIDDEN_TAGS.fullmatch(element.tag):
            raise _refused(f"uses <{element.tag}>, which banana does not follow", subject)
        if element.get("subClass") not in (
            None,
            "VRTSourcedRasterBand",
            "VRTWarpedDataset",
            "VRTWarpedRasterBand",
        ):
            raise _refused(f"uses {element.get('subClass')}, which banana does not follow", subject)
        words = [*element.attrib.values(), element.text or ""] if element.tag not in _FREE_TEXT else []
        if any(bad in word for word in words for bad in _FORBIDDEN):
            raise _refused("refers to something that is not a local file", subject)
        if element.tag in _SOURCE_TAGS:
            yield _resolve((element.text or "").strip(), element, vrt, top, subject)


def _parse(vrt: Path, subject: str) -> ElementTree.Element:
    if vrt.stat().st_size > _MAX_VRT_BYTES:
        raise _refused("is larger than any VRT that banana follows", subject)
    data = vrt.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise _refused("declares XML entities", subject)
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as exc:
        raise _refused(f"is no well-formed VRT ({exc})", subject) from exc


def _resolve(name: str, element: ElementTree.Element, vrt: Path, top: Path, subject: str) -> Path:
    if ":" in name:  # GDAL's "DRIVER:..." names
        raise _refused(f"its source {name[:80]!r} is not the name of a local file", subject)
    relative = element.get("relativeToVRT") == "1"
    # GDAL takes other names from the working folder, which is not the file's to choose
    source = (vrt.parent / name).resolve() if relative or Path(name).is_absolute() else None
    if source is None or not source.is_relative_to(top):
        raise _refused(f"its source {name[:80]!r} lies outside its own folder", subject)
    return source
