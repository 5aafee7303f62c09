"""What a compressed picture says of its own size, read before any decoder takes memory for it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SOC, _SIZ = b"\xff\x4f", b"\xff\x51"
_JP2 = b"\x00\x00\x00\x0cjP  "
_NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})  # markers that stand alone
_SOF = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # 0xF7: JPEG-LS
_SOS, _EOI = 0xDA, 0xD9
_JPEG = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 53, 55, 57, 70, 80, 81))
_J2K = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 92, 93, 201, 202, 203))


@dataclass(frozen=True, slots=True)
class Claim:
    """Rows, columns and components of a picture as its own header gives them.

    Of JPEG also the components' numbers, and whether it calls itself JFIF, whose colours are YCbCr.
    """

    rows: int
    columns: int
    components: int
    ids: bytes = b""
    jfif: bool = False


def claim(data: bytes, syntax: str) -> Claim | None:
    """What a frame claims; None for a syntax without a header of its own. ValueError where it is broken."""
    try:
        if syntax in _JPEG:
            return _jpeg(data)
        return _j2k(data) if syntax in _J2K else None
    except (struct.error, IndexError):
        raise ValueError("the compressed picture ends in its header") from None


def plain(data: bytes, syntax: str) -> bytes:
    """A frame without the JP2 boxes around it, which DICOM does not allow: their palettes mean nothing."""
    return data[_codestream(data) :] if syntax in _J2K and data.startswith(_JP2) else data


def _codestream(data: bytes) -> int:
    """Where the JPEG 2000 codestream begins."""
    if not data.startswith(_JP2):
        return 0
    at = 12
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"jp2c":
            return at + (16 if length == 1 else 8)
        if length == 1:
            length = struct.unpack_from(">Q", data, at + 8)[0]
        if length < 8:
            break
        at += length
    raise ValueError("the JP2 file holds no codestream")


def _j2k(data: bytes) -> Claim:
    start = _codestream(data)
    if data[start : start + 4] != _SOC + _SIZ:
        raise ValueError("the data is no JPEG 2000 codestream")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    return Claim(bottom - top, right - left, components)


def _jpeg(data: bytes) -> Claim:
    at = data.find(b"\xff\xd8") + 2
    if at < 2:
        raise ValueError("the data is no JPEG picture")
    while True:
        while data[at] != 0xFF:  # decoders skip what stands between two segments
            at += 1
        while data[at] == 0xFF:
            at += 1
        marker, at = data[at], at + 1
        if marker in (_SOS, _EOI):
            raise ValueError("the JPEG picture has no size")
        if marker in _SOF:
            rows, columns, components = struct.unpack_from(">HHB", data, at + 3)
            ids = data[at + 8 : at + 8 + 3 * components : 3]
            return Claim(rows, columns, components, ids, b"JFIF\0" in data[:at])
        if marker not in _NO_LENGTH and marker != 0:
            at += max(struct.unpack_from(">H", data, at)[0], 2)
