"""Time stamps in Matroska finer than the muxer's fixed millisecond.

FFmpeg's muxer always counts in milliseconds, in which most clips' ticks cannot be said. The format
itself lets a file choose its unit (TimestampScale, in nanoseconds). So the muxer is given time stamps
counted in a finer unit, and afterwards the one number in the header is set to that unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

MILLISECOND_NS = 1_000_000
_UNITS_NS = (MILLISECOND_NS, 100_000, 10_000, 1_000)
_SEGMENT, _INFO, _SCALE = 0x18538067, 0x1549A966, 0x2AD7B1
_TAGS = 0x1254C367
_HEADER_BYTES = 1 << 16
# Of each stream, as a text behind its name (identifier 0x4487 and a length between them).
_DURATION = re.compile(rb"DURATION\x44\x87[\x80-\xff](\d+:\d\d:\d\d\.\d+)")


def timestamp_scale_ns(time_base: Fraction) -> int:
    """The coarsest unit in which ticks of ``time_base`` are exact, or else recovered by rounding."""
    tick_ns = time_base * 1_000_000_000
    for unit in _UNITS_NS:
        if (tick_ns / unit).denominator == 1 or unit * 4 <= tick_ns:
            return unit
    return _UNITS_NS[-1]


def set_timestamp_scale(path: Path, unit_ns: int) -> None:
    """Set a finished file's unit of time. ValueError if it is no Matroska file of the usual form."""
    if unit_ns == MILLISECOND_NS:
        return
    with path.open("r+b") as file:
        head = file.read(_HEADER_BYTES)
        start, size = _find(head, (_SEGMENT, _INFO, _SCALE))
        file.seek(start)
        file.write(unit_ns.to_bytes(size, "big"))
        start, size = _find(head, (_SEGMENT, _TAGS))
        for found in _DURATION.finditer(head, start, start + size):
            file.seek(found.start(1))
            file.write(_shorter(found[1], Fraction(unit_ns, MILLISECOND_NS)))


def _shorter(duration: bytes, factor: Fraction) -> bytes:
    """The text of a duration (hh:mm:ss.fraction) times ``factor``, in as many bytes."""
    hours, minutes, seconds = duration.decode("ascii").split(":")
    total = (int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)) * factor
    nanos = round(total * 1_000_000_000)
    whole, rest = divmod(nanos, 1_000_000_000)
    text = f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{rest:09d}"
    return text.encode("ascii")[: len(duration)].ljust(len(duration), b"\0")


def _find(data: bytes, names: tuple[int, ...]) -> tuple[int, int]:
    """(offset, size) of the content of a nested element."""
    start, size = 0, len(data)
    for name in names:
        for found, at, length in _elements(data, start, start + size):
            if found == name:
                start, size = at, length
                break
        else:
            raise ValueError(f"no element {name:X} in the file's header")
    return start, size


def _elements(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(identifier, offset of the content, its size) of the elements side by side in data[start:end]."""
    while start < min(end, len(data)):
        name, start = _number(data, start, keep_marker=True)
        size, start = _number(data, start, keep_marker=False)
        yield name, start, size
        start += size


def _number(data: bytes, at: int, *, keep_marker: bool) -> tuple[int, int]:
    """(value, offset behind it) of a number whose leading zero bits tell its length."""
    if at >= len(data) or not data[at]:
        raise ValueError("not an element's number")
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    if not keep_marker:
        value &= (1 << 7 * length) - 1
    return value, at + length
