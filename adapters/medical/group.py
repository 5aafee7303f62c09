"""Which files belong together, and what their outputs are called."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path, PurePosixPath

from banana_cli.adapter import InputItem, read_head
from banana_cli.errors import InputError

from .archive import MAGIC, Member, StudyItem, members
from .directory import contents_of
from .geometry import MIN_STEP_MM
from .header import ContentsError, Header, read_header

_UID = re.compile(r"\d+(?:\.\d+){4,}")
_SUFFIXES = frozenset({".dcm", ".dicom", ".dic", ".ima", ".img"})


def group(paths: Sequence[Path], *, root: Path | None) -> list[InputItem]:
    """One job for each series and each lone file, of files found below ``root`` or named one by one (None).

    A series is what shares a folder, a SeriesInstanceUID, orientation, pixel size and matrix; its
    files are in order of position along the normal. Files at one and the same place (echoes, phases)
    are further series. Files that cannot be read are jobs too: opening them says why. What a folder
    holds besides pictures (reports, plans, segmentations, a DICOMDIR) is in no job; named itself it is
    one. A named DICOMDIR stands for the files that it lists, an archive for those in it.
    """
    folders: dict[Path, list[Path]] = defaultdict(list)
    items: list[InputItem] = []
    for path in paths:
        if _is_archive(path):
            items += _group_archive(path, _below(path.parent, root))
        else:
            folders[path.parent].append(path)
    for parent in sorted(folders):
        items += _group_folder(folders[parent], _below(parent, root), named=root is None)
    return items


def _is_archive(path: Path) -> bool:
    try:
        return read_head(path).startswith(MAGIC)
    except InputError:
        return False  # reading it as DICOM tells why


def _below(folder: Path, root: Path | None) -> Path:
    return folder.relative_to(root) if root is not None and folder.is_relative_to(root) else Path()


def _group_folder(paths: list[Path], folder: Path, *, named: bool) -> list[InputItem]:
    items: list[InputItem] = []
    headers: list[Header] = []
    lone: list[Path] = []
    for path in sorted(paths):
        try:
            header = read_header(path)
        except ContentsError:
            if named:
                items += _listed(path)
        except InputError:
            lone.append(path)
        else:
            if header.pictures or named:
                headers.append(header)
    series, single = _series(headers)
    return items + _named(series, _paths(single) + lone, folder)


def _paths(headers: list[Header]) -> list[Path]:
    return [h.path for h in headers if isinstance(h.path, Path)]


def _listed(contents: Path) -> list[InputItem]:
    """The jobs of a DICOMDIR's files; it is one itself, to say so, where some of them are not there."""
    try:
        found = contents_of(contents)
    except InputError:
        return [InputItem(paths=(contents,), stem=_stem(contents))]
    items = group(found.files, root=contents.parent.resolve())
    if found.missing or not items:
        items.append(InputItem(paths=(contents,), stem=_stem(contents)))
    return items


def _group_archive(path: Path, folder: Path) -> list[InputItem]:
    """The jobs of a zip, numbered; names inside it are the sender's and name nothing of ours."""
    stem = _safe(path.stem)
    try:
        with members(path) as found:
            parts = _parts(found)
    except InputError:
        parts = []
    if len(parts) < 2:
        return [StudyItem(paths=(path,), stem=stem, folder=folder, members=parts[0] if parts else ())]
    return [
        StudyItem(paths=(path,), stem=f"{stem}_{k:0{len(str(len(parts)))}d}", folder=folder, members=part)
        for k, part in enumerate(parts, start=1)
    ]


def _parts(found: Sequence[Member]) -> list[tuple[int, ...]]:
    """Members by series, folder by folder of the archive; damaged ones alone, so that they are told."""
    folders: dict[str, list[Header]] = defaultdict(list)
    damaged: list[tuple[int, ...]] = []
    for member in found:
        try:
            header = read_header(member)
        except ContentsError:
            continue
        except InputError:
            damaged.append((member.number,))
            continue
        if header.pictures:
            folders[PurePosixPath(member.info.filename).parent.as_posix()].append(header)
    parts = [part for name in sorted(folders) for part in _together(folders[name])]
    return [tuple(h.path.number for h in part if isinstance(h.path, Member)) for part in parts] + damaged


def _together(headers: list[Header]) -> list[list[Header]]:
    series, single = _series(headers)
    return [*series, *([h] for h in single)]


def _series(headers: list[Header]) -> tuple[list[list[Header]], list[Header]]:
    """Files that make a series, each in order of place; and those that stand alone."""
    buckets: dict[Hashable, list[Header]] = defaultdict(list)
    for header in headers:
        buckets[_key(header)].append(header)
    parts = [part for bucket in buckets.values() for part in _phases(bucket)]
    return [p for p in parts if len(p) > 1], [p[0] for p in parts if len(p) == 1]


def _key(h: Header) -> Hashable:
    if h.plane is None or h.frames > 1 or not h.rows:
        return h.path
    orientation = tuple(round(v, 3) + 0.0 for v in h.plane.orientation)
    spacing = tuple(round(v, 3) for v in h.plane.spacing)
    number = None if h.series_uid else h.series_number
    return (h.series_uid, number, h.for_uid, h.localizer, orientation, spacing, h.rows, h.columns, h.colour)


def _phases(bucket: list[Header]) -> list[list[Header]]:
    """Split files that lie at the same place; copies of one and the same picture stay alone."""
    copies = len({h.sop_uid or h.path for h in bucket}) < len(bucket)
    if copies or any(h.plane is None for h in bucket):
        return [[h] for h in bucket]
    ordered = sorted(bucket, key=lambda h: h.plane.offset if h.plane else 0.0)
    places: list[list[Header]] = []
    last = -float("inf")
    for h in ordered:
        offset = h.plane.offset if h.plane else 0.0
        if offset - last >= MIN_STEP_MM:
            places.append([])
            last = offset
        places[-1].append(h)
    for place in places:
        place.sort(key=lambda h: (h.acquisition, h.instance or 0))
    depth = max(map(len, places))
    return _by_acquisition(places, depth) or [
        [place[k] for place in places if k < len(place)] for k in range(depth)
    ]


def _by_acquisition(places: list[list[Header]], depth: int) -> list[list[Header]] | None:
    """Phases by the numbers of their acquisition; None where these do not tell ``depth`` phases apart.

    Where a picture is missing, its rank at a place would put another echo's in its stead.
    """
    phases: dict[tuple[float, ...], list[Header]] = defaultdict(list)
    for place in places:
        if len({h.acquisition for h in place}) < len(place):
            return None
        for h in place:
            phases[h.acquisition].append(h)
    return [phases[key] for key in sorted(phases)] if len(phases) == depth else None


def _named(series: list[list[Header]], lone: list[Path], folder: Path) -> list[InputItem]:
    items: list[InputItem] = []
    for k, headers in enumerate(series, start=1):
        paths = _paths(headers)
        base = _safe(paths[0].parent.resolve().name or "series")
        stem = f"{base}_s{headers[0].series_number or 0}_{k}" if len(series) > 1 or lone else base
        items.append(InputItem(paths=tuple(paths), stem=stem, folder=folder))
    plain = [_stem(path) for path in lone]
    for path, stem in zip(lone, plain, strict=True):
        stem = stem if plain.count(stem) == 1 else _safe(path.name.replace(".", "_"))
        items.append(InputItem(paths=(path,), stem=stem, folder=folder))
    return items


def _stem(path: Path) -> str:
    return _safe(path.stem if path.suffix.lower() in _SUFFIXES else path.name)


def _safe(name: str) -> str:
    """A file name without UIDs: each becomes eight digits of its hash."""
    return _UID.sub(lambda m: hashlib.sha256(m[0].encode()).hexdigest()[:8], name)
