"""The pictures of one open file, read and decoded one at a time; no more of them is in memory."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from banana_cli.errors import InputError

from . import codecs, codestream
from .archive import Member
from .codecs import Stored
from .elements import REMEDY, parsing, text, value, whole
from .fragments import Span, spans_of
from .header import Header, parsed

MAX_COMPRESSION = 20_000  # pixels a compressed byte; more is a header that lies
_NATIVE = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)
_KEYWORDS: Mapping[int, str] = {0x0010: "PixelData", 0x0008: "FloatPixelData", 0x0009: "DoubleFloatPixelData"}
_SHORT_LENGTH = frozenset({b"OB", b"OW", b"OF", b"OD", b"OV", b"OL", b"UN"})
_UNDEFINED = 0xFFFFFFFF
_MAX_COMPONENTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """Where the pixels of a file are: ``length`` bytes from ``start``, as far as the file goes."""

    keyword: str
    vr: str
    start: int
    length: int


@dataclass(slots=True, kw_only=True)
class OpenFile:
    """A file held open: its header's elements, and its pictures on demand."""

    header: Header
    ds: Dataset
    file: BinaryIO
    element: Element
    syntax: UID
    spans: list[list[Span]] | None = field(default=None)

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()

    def stored(self, index: int) -> Stored:
        """Stored values of one frame, (H, W) or (H, W, 3) RGB. InputError where they cannot be decoded."""
        with parsing(str(self.header.path), "cannot be decoded"):
            picture = self._native(index) if self.syntax in _NATIVE else self._compressed(index)
        if picture.shape[:2] != (self.header.rows, self.header.columns):
            raise self._other_size(picture.shape[0], picture.shape[1])
        return picture

    def _native(self, index: int) -> Stored:
        """What pydicom decodes, moved down where old files keep values in a pixel's upper bits (HighBit)."""
        self.file.seek(self.element.start)
        options = self._options(number_of_frames=self.header.frames)
        decoder = get_decoder(self.syntax)
        allocated, bits = self.header.bits
        high = whole(self.ds, "HighBit")
        below = 0 if high is None or not bits else high + 1 - bits
        if below <= 0 or high is None or high >= allocated:
            plain: Stored = decoder.as_array(self.file, index=index, **options)[0]
            return plain
        # pydicom ignores HighBit and would cut off the upper bits instead of the lower ones
        word = decoder.as_array(self.file, index=index, **{**options, "bits_stored": high + 1})[0]
        shifted: Stored = np.right_shift(word, below)
        return shifted

    def _options(self, **more: object) -> dict[str, object]:
        kind = {"pixel_keyword": self.element.keyword, "pixel_vr": self.element.vr}
        options: dict[str, object] = as_pixel_options(
            self.ds, transfer_syntax_uid=self.syntax, **kind, **more
        )
        return options

    def _compressed(self, index: int) -> Stored:
        data = self._frame_bytes(index)
        self._check_claim(data)
        data = codestream.plain(data, self.syntax)
        special = codecs.find(self.syntax)
        if special is not None:
            return special(data, self.header, self.syntax)
        options = self._options(number_of_frames=1)
        options.pop("extended_offsets", None)
        buffer = encapsulate([data], has_bot=False)
        plugin = codecs.PLUGINS.get(self.syntax, "")
        decoder = get_decoder(self.syntax)
        picture: Stored = decoder.as_array(buffer, index=0, decoding_plugin=plugin, **options)[0]
        return picture

    def _frame_bytes(self, index: int) -> bytes:
        if self.spans is None:
            table = (value(self.ds, "ExtendedOffsetTable"), value(self.ds, "ExtendedOffsetTableLengths"))
            end = self.element.start + self.element.length
            self.spans = spans_of(self.file, self.element.start, end, self.header.frames, table)
        if index >= len(self.spans):
            raise ValueError(f"there are compressed data of {len(self.spans)} frames only")
        pieces = []
        for span in self.spans[index]:
            self.file.seek(span.start)
            pieces.append(self.file.read(span.length))
            if len(pieces[-1]) < span.length:
                raise ValueError("the file ends inside the compressed data of this frame")
        return b"".join(pieces)

    def _check_claim(self, data: bytes) -> None:
        """Refuse what would decode to another picture than the header promises, before it takes memory."""
        h = self.header
        if (
            self.syntax == RLELossless
            and len(data) > 2 * h.rows * h.columns * h.samples * h.bits[0] // 8 + 1024
        ):
            raise ValueError("there are more run-length data than the picture can need")
        claim = codestream.claim(data, self.syntax)
        if claim is None:
            return
        if (claim.rows, claim.columns) != (h.rows, h.columns):
            raise self._other_size(claim.rows, claim.columns)
        if claim.components > _MAX_COMPONENTS:
            raise ValueError(f"the compressed picture has {claim.components} components")

    def _other_size(self, rows: int, columns: int) -> InputError:
        claimed = f"{self.header.rows} x {self.header.columns}"
        message = f"decodes to {rows} x {columns}, its header says {claimed}"
        return InputError(message, subject=str(self.header.path), remedy=REMEDY)


def open_file(header: Header) -> OpenFile:
    """Open a file for its pictures. InputError where it holds none, or fewer bytes than it claims."""
    place = header.path
    with parsing(str(place), "cannot be read"):
        file = place.whole() if isinstance(place, Member) else place.open("rb")
        try:
            return _opened(file, header)
        except BaseException:
            file.close()
            raise


def _opened(file: BinaryIO, header: Header) -> OpenFile:
    ds = parsed(file, header.path)
    syntax = transfer_syntax(ds)
    if syntax == DeflatedExplicitVRLittleEndian:
        element, data = _inflated(ds, header)
        file.close()
        file = data
    else:
        element = _element(file, header)
    _check_length(element, header, syntax, ds)
    return OpenFile(header=header, ds=ds, file=file, element=element, syntax=syntax)


def transfer_syntax(ds: Dataset) -> UID:
    """The transfer syntax; where the file does not say, what its encoding shows."""
    given = text(ds.get("file_meta") or Dataset(), "TransferSyntaxUID")
    if given:
        return UID(given)
    implicit, little = ds.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little or little is None else ExplicitVRBigEndian


def _inflated(ds: Dataset, header: Header) -> tuple[Element, BytesIO]:
    for keyword in _KEYWORDS.values():
        if keyword in ds:
            found = ds[keyword]
            data = BytesIO(found.value or b"")
            del ds[keyword]
            size = data.seek(0, os.SEEK_END)
            return Element(keyword=keyword, vr=str(found.VR), start=0, length=size), data
    raise _no_pixels(header)


def _element(file: BinaryIO, header: Header) -> Element:
    """The element where pydicom stopped: that of the pixels, or the end of the file."""
    head = file.read(8)
    if len(head) < 8:
        raise _no_pixels(header)
    order = ">" if head[:2] == b"\x7f\xe0" else "<"
    group, number = struct.unpack(order + "HH", head[:4])
    keyword = _KEYWORDS.get(number) if group == 0x7FE0 else None
    if keyword is None:
        raise _no_pixels(header)
    explicit = head[4:6] in _SHORT_LENGTH
    vr = head[4:6].decode() if explicit else "OW"
    (length,) = struct.unpack(order + "I", file.read(4) if explicit else head[4:8])
    start = file.tell()
    left = file.seek(0, os.SEEK_END) - start
    return Element(keyword=keyword, vr=vr, start=start, length=min(length, left))


def _no_pixels(header: Header) -> InputError:
    return InputError("holds no pixels", subject=str(header.path), remedy="leave it out: it is no picture")


def _check_length(element: Element, h: Header, syntax: UID, ds: Dataset) -> None:
    """InputError where there are fewer bytes than the header claims."""
    total = h.rows * h.columns * h.frames
    native = syntax in _NATIVE
    full = total * h.bits[0] * h.samples // 8
    need = full if native else total // MAX_COMPRESSION
    if h.photometric.startswith("YBR_FULL_422"):
        need = need * 2 // 3
        if native and element.length >= full:
            raise ValueError("its pixels are not subsampled, though PhotometricInterpretation says so")
    if element.length < max(need, 1):
        raise InputError(
            f"is truncated: {element.length} bytes of pixel data, its header asks for {need}",
            subject=str(h.path),
            remedy="fetch the file again",
        )
