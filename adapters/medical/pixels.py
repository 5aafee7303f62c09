"""Stored values to physical ones: decode, modality LUT or rescale, colour, padding, inversion last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut

from banana_cli.errors import InputError
from banana_cli.types import F32, Bool

from .codecs import Stored
from .elements import REMEDY, first_item, number, numbers, parsing, text, whole
from .frames import OpenFile
from .geometry import functional_group
from .header import Header

MAX_PIXELS = 4 * 2**30  # rows x columns x frames of one file
MAX_FRAME_PIXELS = 2**28  # one decoded picture must fit in memory several times
MAX_FRAMES = 2**18  # pictures of one file; each is planned for before any of them is read


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Physical:
    """One decoded picture: values float32 (C, H, W), C 1 or 3 (RGB 0..255); ``valid`` False on padding.

    ``flip`` is the sum low + high of the stored range in physical units where the picture was
    inverted (MONOCHROME1): a value v of the file became flip - v. None where it was not.
    """

    values: F32
    valid: Bool
    flip: float | None = None


def check_claims(h: Header) -> None:
    """InputError where the header is not that of a picture, or claims more than can be read."""
    subject = str(h.path)
    if h.mosaic:
        raise InputError(
            "is a mosaic: the slices of a volume, tiled in one picture",
            subject=subject,
            remedy="convert it into slices first, with dcm2niix or the scanner's enhanced export",
        )
    if min(h.rows, h.columns) < 1:
        raise InputError("holds no pixels", subject=subject, remedy="leave it out: it is no picture")
    if h.samples not in (1, 3):
        raise InputError(f"claims {h.samples} samples a pixel", subject=subject, remedy=REMEDY)
    frame = h.rows * h.columns
    if frame * h.frames > MAX_PIXELS or frame > MAX_FRAME_PIXELS or h.frames > MAX_FRAMES:
        raise InputError(
            f"claims {h.rows} x {h.columns} x {h.frames} pixels, too many to be read",
            subject=subject,
            remedy="split it, or check Rows, Columns and NumberOfFrames",
        )


def physical(file: OpenFile, index: int, *, invert: bool = True) -> Physical:
    """One frame in physical units. InputError where the data set does not allow it."""
    stored = file.stored(index)
    with parsing(str(file.header.path), "cannot be brought to physical values"):
        if file.header.colour:
            return _colour(file.ds, file.header, stored)
        return _grey(file.ds, file.header, stored, index, invert)


def _colour(ds: Dataset, h: Header, stored: Stored) -> Physical:
    if h.photometric == "PALETTE COLOR":
        stored = apply_color_lut(stored, ds)
        top = 255.0 if stored.dtype == np.uint8 else 65535.0
    else:
        top = 2.0 ** (h.bits[1] or h.bits[0]) - 1
    if stored.ndim != 3:
        raise ValueError(f"{h.photometric} pixels decode to one sample")
    values = np.moveaxis(stored, -1, 0).astype(np.float32)
    values = np.clip(values * np.float32(255 / top), 0, 255) if top != 255 else values
    return Physical(values=np.ascontiguousarray(values), valid=np.ones(stored.shape[:2], bool))


def _grey(ds: Dataset, h: Header, stored: Stored, index: int, invert: bool) -> Physical:
    if stored.ndim != 2:
        raise ValueError(f"{h.photometric} pixels decode to {stored.shape[2]} samples")
    valid = _not_padding(ds, h, stored)
    values = rescaled(ds, stored, index)
    finite = np.isfinite(values)
    values = values if finite.all() else np.where(finite, values, np.float32(0))
    if not invert or h.photometric != "MONOCHROME1":
        return Physical(values=values[None], valid=valid & finite)
    low, high = stored_range(h)
    ends = rescaled(ds, np.array([[low, high]]), index)
    flip = float(ends.sum()) if low < high else float(values.min() + values.max())
    return Physical(values=(np.float32(flip) - values)[None], valid=valid & finite, flip=flip)


def stored_range(h: Header) -> tuple[int, int]:
    """Smallest and largest value that BitsStored can hold; (0, 0) for float pixels."""
    bits = h.bits[1] or h.bits[0]
    if h.bits[0] > 32 or bits < 1:
        return 0, 0
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if h.signed else (0, 2**bits - 1)


def rescaled(ds: Dataset, stored: Stored, index: int) -> F32:
    """Modality LUT, or slope and intercept of the frame or of the file, float32."""
    group = functional_group(ds, index, "PixelValueTransformationSequence")
    source = group if group is not None else ds
    table = first_item(ds, "ModalityLUTSequence")
    if table is not None and numbers(table, "LUTDescriptor") and "LUTData" in table:
        lut: F32 = np.asarray(apply_modality_lut(stored.astype(np.int64), ds), np.float32)
        return lut
    slope, intercept = number(source, "RescaleSlope"), number(source, "RescaleIntercept")
    if not slope:  # absent, or 0, which would wipe the picture out
        slope = 1.0
    if slope == 1.0 and not intercept:
        return stored.astype(np.float32)
    return (stored.astype(np.float64) * slope + (intercept or 0.0)).astype(np.float32)


def _not_padding(ds: Dataset, h: Header, stored: Stored) -> Bool:
    padding = whole(ds, "PixelPaddingValue")
    if padding is None or stored.dtype.kind == "f":
        return np.ones(stored.shape, bool)
    limit = whole(ds, "PixelPaddingRangeLimit")
    ends = sorted(_as_stored(v, h) for v in (padding, padding if limit is None else limit))
    low, high = np.asarray(ends)
    inside = np.greater_equal(stored, low) & np.less_equal(stored, high)
    return np.asarray(~inside, bool)


def _as_stored(v: int, h: Header) -> int:
    """A value whose VR (US or SS) the writer got wrong, read as the pixels are."""
    span = 1 << (h.bits[0] or 16)
    return (v + span // 2) % span - span // 2 if h.signed else v % span


def voi_window(ds: Dataset, index: int) -> tuple[float, float] | None:
    """(centre, width) that the file gives for a frame, the first of several; None if there is none."""
    group = functional_group(ds, index, "FrameVOILUTSequence")
    source = group if group is not None else ds
    centre, width = numbers(source, "WindowCenter"), numbers(source, "WindowWidth")
    return (centre[0], width[0]) if centre and width and width[0] > 0 else None


def rescale_type(ds: Dataset) -> str:
    """The unit that rescaled values are in, upper case, "" where the file does not say."""
    group = functional_group(ds, 0, "PixelValueTransformationSequence")
    return text(group if group is not None else ds, "RescaleType").upper()
