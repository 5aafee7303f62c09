"""Which files are video or photographs, by their first bytes."""

from __future__ import annotations

from enum import Enum


class Content(Enum):
    """The two kinds of input of this adapter."""

    VIDEO = "video"
    PICTURE = "picture"


_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_VIDEOS = (
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG-1 or MPEG-2 video
    b"\x00\x00\x00\x01\x67",  # H.264: sequence parameters
    b"\x00\x00\x00\x01\x27",
    b"\x00\x00\x00\x01\x09",  # H.264: access unit delimiter
    b"\x00\x00\x00\x01\x40\x01",  # HEVC: video parameters
    b"FLV\x01",
    b"YUV4MPEG2 ",
    b"DKIF",
    b"0&\xb2u\x8ef\xcf\x11",  # ASF, WMV
    b"\x06\x0e+4\x02\x05\x01\x01",  # MXF
    b"nut/multimedia container\x00",
)
_FIRST_ATOMS = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
# Brands of files that are one picture or sound only, though they use the same boxes.
_OTHER_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}
    | {b"jp2 ", b"jpx ", b"jpm ", b"crx ", b"M4A ", b"M4B ", b"M4P ", b"aax "}
)


def content(head: bytes) -> Content | None:
    """What the first bytes of a file promise; None if it is not ours."""
    if head[128:132] == b"DICM":
        return None
    if head.startswith(_PICTURES) or _is_webp(head) or _is_bmp(head):
        return Content.PICTURE
    if head.startswith(_VIDEOS) or _is_container(head) or _is_transport_stream(head):
        return Content.VIDEO
    return None


def _is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_bmp(head: bytes) -> bool:
    # The header's own length, so that a text that begins with "BM" is none.
    return head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)


def _is_container(head: bytes) -> bool:
    kind = head[4:8]
    if kind == b"ftyp":
        return head[8:12] not in _OTHER_BRANDS
    if kind in _FIRST_ATOMS:
        return True
    if head[:4] == b"RIFF":
        return head[8:12] == b"AVI "
    if head[:4] == b"\x1aE\xdf\xa3":
        return b"matroska" in head[:64] or b"webm" in head[:64]
    return head[:4] == b"OggS" and b"theora" in head[:64]


def _is_transport_stream(head: bytes) -> bool:
    """Five packets of 188 bytes that all begin with 0x47 (or of 192, with a time stamp before each)."""
    plain = [head[i : i + 1] for i in range(0, 940, 188)]
    stamped = [head[i : i + 1] for i in range(4, 964, 192)]
    return all(b == b"G" for b in plain) or all(b == b"G" for b in stamped)
