"""Which bytes of compressed pixel data are which frame."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

MAX_FRAGMENTS = 2**20
_ITEM, _END = 0xE000FFFE, 0xE0DDFFFE  # tags as little-endian words
_PICTURE_END = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000 alike
_LAST_BYTES = 10  # where that marker may stand, padding after it


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a file."""

    start: int
    length: int


def spans_of(
    file: BinaryIO, start: int, end: int, frames: int, extended: tuple[object, object]
) -> list[list[Span]]:
    """The fragments of each frame, by the offset tables where they are right, else by count or end markers.

    ``extended`` are the values of the extended offset table. ValueError where the data are no fragments.
    """
    table, *fragments = _items(file, start, end)
    first = fragments[0].start - 8 if fragments else end
    spans = _extended(extended, first, end, frames)
    if spans is None:
        file.seek(table.start)
        offsets = _words(file.read(min(table.length, 4 * MAX_FRAGMENTS)))
        spans = _by_offsets(fragments, [first + o for o in offsets], frames)
    if spans is not None:
        return spans
    if len(fragments) == frames:
        return [[fragment] for fragment in fragments]
    return [fragments] if frames == 1 else _by_markers(file, fragments)


def _items(file: BinaryIO, start: int, end: int) -> list[Span]:
    """All items, the first of which is the basic offset table."""
    items: list[Span] = []
    while start + 8 <= end:
        file.seek(start)
        tag, length = struct.unpack("<II", file.read(8))
        if tag == _END:
            break
        if tag != _ITEM or len(items) > MAX_FRAGMENTS:
            if items:
                break
            raise ValueError("the compressed pixel data do not begin with an item")
        items.append(Span(start + 8, length))
        start += 8 + length
    if not items:
        raise ValueError("there are no compressed pixel data")
    return items


def _extended(extended: tuple[object, object], first: int, end: int, frames: int) -> list[list[Span]] | None:
    offsets, lengths = (_longs(table) for table in extended)
    if len(offsets) != frames or len(lengths) != frames or not frames:
        return None
    spans = [Span(first + 8 + o, n) for o, n in zip(offsets, lengths, strict=True)]
    return [[s] for s in spans] if all(s.start + s.length <= end for s in spans) else None


def _words(table: bytes) -> Sequence[int]:
    return struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4])


def _longs(table: object) -> Sequence[int]:
    if not isinstance(table, bytes) or len(table) // 8 > MAX_FRAGMENTS:
        return ()
    return struct.unpack(f"<{len(table) // 8}Q", table[: len(table) // 8 * 8])


def _by_offsets(fragments: list[Span], heads: list[int], frames: int) -> list[list[Span]] | None:
    """Fragments from each head to the next; None where the heads are not those of fragments, ascending."""
    starts = [f.start - 8 for f in fragments]
    cuts = [bisect_left(starts, head) for head in heads[:frames]]
    known = all(c < len(starts) and starts[c] == h for c, h in zip(cuts, heads, strict=False))
    if len(cuts) < frames or not known or sorted(set(cuts)) != cuts:
        return None
    return [fragments[a:b] for a, b in zip(cuts, [*cuts[1:], len(fragments)], strict=True)]


def _by_markers(file: BinaryIO, fragments: list[Span]) -> list[list[Span]]:
    frames: list[list[Span]] = [[]]
    for fragment in fragments:
        frames[-1].append(fragment)
        tail = min(_LAST_BYTES, fragment.length)
        file.seek(fragment.start + fragment.length - tail)
        if _PICTURE_END in file.read(tail):
            frames.append([])
    return frames if frames[-1] else frames[:-1]
