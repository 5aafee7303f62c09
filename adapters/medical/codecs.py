"""Which library decodes which compressed syntax, and those that pydicom has no door to."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import UID

from .codestream import claim
from .header import Header

Stored = NDArray[np.generic]
Decoder = Callable[[bytes, Header, str], Stored]

_LOSSY_JPEG = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51))
_JPEG = _LOSSY_JPEG | frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (53, 55, 57, 70))
_EXACT = "pylibjpeg"  # pydicom's door to libjpeg, open where the extra `dicom-exact` (GPL) is installed
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_RGB_IDS = (b"RGB", b"rgb")
# Named, as pydicom would otherwise take GDCM where it is installed, which ends the process over damaged data.
PLUGINS: Mapping[str, str] = {
    **{f"1.2.840.10008.1.2.4.{n}": "pylibjpeg" for n in (90, 91, 201, 202, 203)},
    **{f"1.2.840.10008.1.2.4.{n}": "pyjpegls" for n in (80, 81)},
    "1.2.840.10008.1.2.5": "pydicom",
}


def find(syntax: str) -> Decoder | None:
    """Our decoder for a syntax, or None where pydicom's is used."""
    if syntax == _DEFLATED_FRAMES:
        return _deflated
    return _jpeg if syntax in _JPEG else None


def jpeg_decoder(syntax: str) -> str:
    """Who decodes lossy JPEG here, as no two round alike; "" for other syntaxes."""
    if syntax not in _LOSSY_JPEG:
        return ""
    return "libjpeg" if _EXACT in get_decoder(UID(syntax)).available_plugins else "libjpeg-turbo"


def _deflated(data: bytes, h: Header, syntax: str) -> Stored:
    samples = h.samples * h.rows * h.columns
    raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, -(-h.bits[0] * samples // 8) + 1)
    if h.bits[0] == 1:
        flat: Stored = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")
    else:
        flat = np.frombuffer(raw[: samples * h.bits[0] // 8], _dtype(h))
    return flat[:samples].reshape(_shape(h))


def _jpeg(data: bytes, h: Header, syntax: str) -> Stored:
    """Every process of JPEG, lossy and lossless, 8 to 16 bits."""
    if b"\xff\xd9" not in data[-16:]:
        raise ValueError("the JPEG picture has no end")  # its rest would come out grey
    picture = _by_libjpeg(data, h, syntax) if jpeg_decoder(syntax) == "libjpeg" else None
    if picture is None:
        picture = _by_turbo(data, h)
    return _rgb(picture, data, h, syntax) if h.samples == 3 else picture


def _by_libjpeg(data: bytes, h: Header, syntax: str) -> Stored | None:
    """Stored values; None where it refuses what others read."""
    try:
        decoded = get_decoder(UID(syntax)).as_array(
            encapsulate([data], has_bot=False),
            index=0,
            raw=True,
            decoding_plugin=_EXACT,
            rows=h.rows,
            columns=h.columns,
            number_of_frames=1,
            samples_per_pixel=h.samples,
            planar_configuration=0,
            photometric_interpretation=h.photometric,
            bits_allocated=h.bits[0],
            bits_stored=h.bits[1],
            pixel_representation=int(h.signed),
            pixel_keyword="PixelData",
        )
    except (RuntimeError, ValueError, AttributeError):
        return None
    picture: Stored = decoded[0]
    return picture


def _by_turbo(data: bytes, h: Header) -> Stored:
    """Stored values, colours as they are stored."""
    from imagecodecs import jpeg8_decode  # loads slowly, and few pictures need it

    colours = "YCBCR" if h.samples == 3 else None  # in and out alike: nothing is converted
    picture: Stored = jpeg8_decode(data, colorspace=colours, outcolorspace=colours)
    if picture.shape != _shape(h) or picture.dtype.itemsize * 8 > h.bits[0]:
        raise ValueError(f"the JPEG picture is {picture.dtype}{picture.shape}")
    return picture if h.samples == 3 else _bits_stored(picture.astype(f"<u{h.bits[0] // 8}"), h)


def _rgb(picture: Stored, data: bytes, h: Header, syntax: str) -> Stored:
    """Colours by the codestream where it names them, else by the header."""
    own = claim(data, syntax)
    ybr = "YBR" in h.photometric or (own is not None and own.jfif)
    if not ybr or (own is not None and own.ids in _RGB_IDS):
        return picture
    converted: Stored = convert_color_space(picture, "YBR_FULL", "RGB")
    return converted


def _bits_stored(picture: Stored, h: Header) -> Stored:
    """Unsigned words as the header's type; bits above those stored are the sign, or nothing."""
    unused = h.bits[0] - h.bits[1] if 0 < h.bits[1] <= h.bits[0] else 0
    words: Stored = np.right_shift(np.left_shift(picture, unused).view(_dtype(h)), unused)
    return words


def _dtype(h: Header) -> str:
    return f"<{'i' if h.signed else 'u'}{h.bits[0] // 8}"


def _shape(h: Header) -> tuple[int, ...]:
    return (h.rows, h.columns) if h.samples == 1 else (h.rows, h.columns, h.samples)
