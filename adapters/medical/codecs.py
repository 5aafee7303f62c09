"""Compressed syntaxes that pydicom's own decoders leave out, decoded with the libraries at hand."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from importlib import import_module

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame

from .elements import whole
from .header import Header

Stored = NDArray[np.generic]
Decoder = Callable[[bytes, Header, str], Stored]

_HTJ2K = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203))
_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_JPEG_RETIRED = frozenset({"1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"})
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"


def find(syntax: str, h: Header) -> Decoder | None:
    """The decoder for a syntax that pydicom does not decode here, or None."""
    if syntax in _HTJ2K:
        return _htj2k
    if syntax == _DEFLATED_FRAMES:
        return _deflated
    twelve_bit = syntax == _JPEG_EXTENDED and h.bits[1] > 8
    return _jpeg if twelve_bit or syntax in _JPEG_RETIRED else None


def frame_bytes(ds: Dataset, index: int) -> bytes:
    """The compressed bytes of one frame."""
    data: bytes = get_frame(ds.PixelData, index, number_of_frames=whole(ds, "NumberOfFrames") or 1)
    return data


def _htj2k(data: bytes, h: Header, syntax: str) -> Stored:
    decoded: Stored = import_module("openjpeg").decode(data)
    return decoded


def _deflated(data: bytes, h: Header, syntax: str) -> Stored:
    samples = h.samples * h.rows * h.columns
    raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, -(-h.bits[0] * samples // 8) + 1)
    if h.bits[0] == 1:
        flat: Stored = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")
    else:
        flat = np.frombuffer(raw[: samples * h.bits[0] // 8], _dtype(h))
    return flat[:samples].reshape(_shape(h))


def _jpeg(data: bytes, h: Header, syntax: str) -> Stored:
    """12 bit lossy JPEG, grey: GDCM's decoder, which pydicom does not trust with more than 8 bits."""
    gdcm = import_module("gdcm")
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(data)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((h.columns, h.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(h.photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    image.SetPixelFormat(gdcm.PixelFormat(h.samples, *h.bits, h.bits[1] - 1, int(h.signed)))
    text = image.GetBuffer()
    if text is None:
        raise ValueError("the JPEG data cannot be decoded")
    return np.frombuffer(text.encode("utf-8", "surrogateescape"), _dtype(h)).reshape(_shape(h))


def _dtype(h: Header) -> str:
    return f"<{'i' if h.signed else 'u'}{h.bits[0] // 8}"


def _shape(h: Header) -> tuple[int, ...]:
    return (h.rows, h.columns) if h.samples == 1 else (h.rows, h.columns, h.samples)
