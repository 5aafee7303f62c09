"""Mutated DICOM files from a seed: flipped bytes, cut ends, edited tags, lying frames."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np

Mutation = Callable[[bytearray, np.random.Generator], bytearray]

_NUMBERS = (0, 1, 2, 255, 32767, 65535)
_LENGTHS = (0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_TEXTS = (
    b"../../../../tmp/x",
    b"/etc/passwd",
    b"$(id)",
    b"%n%s%x",
    b"\0\0\0\0",
    b"nan",
    b"1e308",
    b"-1",
    b"9" * 16,
)
# (group, element) of what reading depends on
_TAGS = [
    *((0x0028, e) for e in (0x02, 0x04, 0x06, 0x08, 0x10, 0x11, 0x30, 0x100, 0x101, 0x102, 0x103)),
    *((0x0028, e) for e in (0x120, 0x1050, 0x1051, 0x1052, 0x1053, 0x1101, 0x1201, 0x3000)),
    *((0x0020, e) for e in (0x0D, 0x0E, 0x11, 0x13, 0x32, 0x37, 0x52)),
    (0x0008, 0x0005),
    (0x0008, 0x0008),
    (0x0008, 0x0016),
    (0x0008, 0x0060),
    (0x0002, 0x0010),
    (0x0018, 0x0050),
    (0x5200, 0x9229),
    (0x5200, 0x9230),
    (0x7FE0, 0x0010),
]


def flip_anywhere(data: bytearray, rng: np.random.Generator) -> bytearray:
    for _ in range(int(rng.integers(1, 20))):
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
    return data


def flip_header(data: bytearray, rng: np.random.Generator) -> bytearray:
    end = min(len(data), 3000)
    for _ in range(int(rng.integers(1, 8))):
        data[int(rng.integers(min(128, end - 1), end))] = int(rng.integers(256))
    return data


def truncate(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(0, len(data)))]


def cut_out(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(data)))
    del data[start : start + int(rng.integers(1, 200))]
    return data


def repeat(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(data)))
    piece = data[start : start + int(rng.integers(1, 400))]
    return data[:start] + piece * int(rng.integers(2, 6)) + data[start:]


def edit_tag(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Another value in an element that reading depends on, of the length that it has."""
    for _ in range(int(rng.integers(1, 4))):
        at, size = _element(data, rng)
        if at is None or not size:
            continue
        if size in (2, 4) and rng.random() < 0.7:
            value = struct.pack("<H", _NUMBERS[rng.integers(len(_NUMBERS))]) * (size // 2)
        else:
            value = (_TEXTS[rng.integers(len(_TEXTS))] * size)[:size]
        data[at : at + size] = value
    return data


def edit_length(data: bytearray, rng: np.random.Generator) -> bytearray:
    """An element that claims another length, or another VR."""
    at, _ = _element(data, rng)
    if at is not None and at >= 8:
        wide = data[at - 6 : at - 4] == b"\0\0" or rng.random() < 0.3
        claim = _LENGTHS[rng.integers(len(_LENGTHS))]
        if rng.random() < 0.25:
            data[at - 4 : at - 2] = [b"SQ", b"UN", b"OB", b"PN", b"DS"][rng.integers(5)]
        elif wide:
            data[at - 4 : at] = struct.pack("<I", claim)
        else:
            data[at - 2 : at] = struct.pack("<H", claim & 0xFFFF)
    return data


def flip_pixels(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Damage where compressed frames begin: markers, sizes, tables."""
    at = data.rfind(b"\xe0\x7f\x10\x00")
    start = max(at, 0)
    for _ in range(int(rng.integers(1, 12))):
        place = start + int(rng.integers(8, max(min(len(data) - start, 700), 9)))
        if place < len(data):
            data[place] = int(rng.integers(256))
    return data


MUTATIONS: Sequence[Mutation] = (
    flip_anywhere,
    flip_header,
    truncate,
    cut_out,
    repeat,
    edit_tag,
    edit_tag,
    edit_length,
    flip_pixels,
    flip_pixels,
)


def _element(data: bytearray, rng: np.random.Generator) -> tuple[int | None, int]:
    """Where the value of a random known element lies, and its length (explicit VR or implicit)."""
    for k in rng.permutation(len(_TAGS)):
        at = data.find(struct.pack("<HH", *_TAGS[k]), 128)
        if at < 0 or at + 12 > len(data):
            continue
        vr = bytes(data[at + 4 : at + 6])
        if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"OD"):
            return at + 12, 0
        if vr.isalpha() and vr.isupper():
            return at + 8, struct.unpack("<H", data[at + 6 : at + 8])[0]
        return at + 8, min(struct.unpack("<I", data[at + 4 : at + 8])[0], 64)
    return None, 0


def mutated(seeds: Sequence[bytes], number: int) -> bytes:
    """Mutation ``number``: always the same for the same seeds."""
    rng = np.random.default_rng((20261121, number))
    data = bytearray(seeds[int(rng.integers(len(seeds)))])
    for _ in range(int(rng.integers(1, 3))):
        if data:
            data = MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng)
    return bytes(data)
