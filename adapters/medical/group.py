"""Which files belong together, and what their outputs are called."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

from banana_cli.adapter import InputItem
from banana_cli.errors import InputError

from .geometry import MIN_STEP_MM
from .header import ContentsError, Header, read_header

_UID = re.compile(r"\d+(?:\.\d+){4,}")
_SUFFIXES = frozenset({".dcm", ".dicom", ".dic", ".ima", ".img"})


def group(paths: Sequence[Path], *, root: Path | None) -> list[InputItem]:
    """One job for each file that was named itself; below a folder, one for each series and lone file.

    A series is what shares a folder, a SeriesInstanceUID, orientation, pixel size and matrix; its
    files are in order of position along the normal. Files at one and the same place (echoes, phases)
    are further series. Files that cannot be read are jobs too: opening them says why. What a folder
    holds besides pictures (reports, plans, segmentations, a DICOMDIR) is in no job.
    """
    if root is None:
        return _named([[p] for p in paths], Path(), {})
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        folders[path.parent].append(path)
    items: list[InputItem] = []
    for parent in sorted(folders):
        items += _group_folder(folders[parent], parent, root)
    return items


def _group_folder(paths: list[Path], parent: Path, root: Path) -> list[InputItem]:
    headers: dict[Path, Header] = {}
    lone: list[list[Path]] = []
    for path in sorted(paths):
        try:
            header = read_header(path)
        except ContentsError:
            continue
        except InputError:
            lone.append([path])
            continue
        if header.pictures:
            headers[path] = header
    buckets: dict[Hashable, list[Header]] = defaultdict(list)
    for header in headers.values():
        buckets[_key(header)].append(header)
    series: list[list[Path]] = []
    for bucket in buckets.values():
        for part in _phases(bucket):
            (series if len(part) > 1 else lone).append([h.path for h in part])
    folder = parent.relative_to(root) if parent.is_relative_to(root) else Path()
    numbers = {h.path: h.series_number for h in headers.values()}
    return _named(series + lone, folder, numbers)


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
        place.sort(key=lambda h: (h.acquisition, h.instance or 0, h.path.name))
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


def _named(groups: list[list[Path]], folder: Path, numbers: dict[Path, int | None]) -> list[InputItem]:
    several = sum(len(g) > 1 for g in groups) > 1 or any(len(g) == 1 for g in groups)
    plain = [_stem(g[0]) for g in groups if len(g) == 1]
    items: list[InputItem] = []
    for k, paths in enumerate(groups, start=1):
        if len(paths) == 1:
            stem = _stem(paths[0])
            stem = stem if plain.count(stem) == 1 else _safe(paths[0].name.replace(".", "_"))
        else:
            base = _safe(paths[0].parent.resolve().name or "series")
            number = numbers.get(paths[0])
            stem = f"{base}_s{number if number is not None else 0}_{k}" if several else base
        items.append(InputItem(paths=tuple(paths), stem=stem, folder=folder))
    return items


def _stem(path: Path) -> str:
    return _safe(path.stem if path.suffix.lower() in _SUFFIXES else path.name)


def _safe(name: str) -> str:
    """A file name without UIDs: each becomes eight digits of its hash."""
    return _UID.sub(lambda m: hashlib.sha256(m[0].encode()).hexdigest()[:8], name)
