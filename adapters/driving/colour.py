"""Decoded pictures as float RGB, by the colour range and matrix that the clip declares."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from banana_cli.types import F32

from .info import Colour, Matrix

# AVCOL_SPC numbers, as containers and codecs write them.
_DECLARED = {
    0: Matrix.RGB,
    1: Matrix.BT709,
    4: Matrix.BT601,
    5: Matrix.BT601,
    6: Matrix.BT601,
    7: Matrix.SMPTE240M,
    9: Matrix.BT2020,
    10: Matrix.BT2020,
}
_SWS = {
    Matrix.BT601: Colorspace.ITU601,
    Matrix.BT709: Colorspace.ITU709,
    Matrix.BT2020: Colorspace.BT2020,
    Matrix.SMPTE240M: Colorspace.SMPTE240M,
    Matrix.RGB: Colorspace.ITU709,
    Matrix.GREY: Colorspace.ITU709,
}
_FULL, _LIMITED = 2, 1
# Without these the scaler's fast paths are up to three levels of 255 wrong.
EXACT = int(
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
)


def read_colour(frame: av.VideoFrame) -> Colour:
    """How the samples of a decoded ``av.VideoFrame`` are to be read."""
    name = frame.format.name
    bits = max((c.bits for c in frame.format.components), default=8)
    if frame.format.is_rgb or name.startswith("pal"):
        # A palette or RGB has no matrix; range and matrix are known.
        return Colour(matrix=Matrix.RGB, full_range=True, bits=bits, pixel_format=name, assumed=False)
    grey = name.startswith(("gray", "mono", "ya"))
    declared = Matrix.GREY if grey else _DECLARED.get(int(frame.colorspace))
    if declared is Matrix.RGB:
        declared = None  # "RGB" on a YUV format is a lie of the header
    range_known = int(frame.color_range) in (_FULL, _LIMITED)
    full = int(frame.color_range) == _FULL or name.startswith("yuvj") or (grey and not range_known)
    return Colour(
        matrix=declared or _usual_matrix(frame.width, frame.height),
        full_range=full,
        bits=bits,
        pixel_format=name,
        assumed=declared is None or not (range_known or name.startswith("yuvj")),
    )


def _usual_matrix(width: int, height: int) -> Matrix:
    """What players take where a file does not say: BT.601 up to 1024 x 576, BT.709 above."""
    return Matrix.BT709 if width > 1024 or height > 576 else Matrix.BT601


class ToRgb:
    """Turns decoded frames of one clip into pixels; keeps the scaler's tables between frames."""

    def __init__(self, colour: Colour) -> None:
        self._colour = colour
        self._scaler = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> F32:
        """(3, H, W) float32 in 0..255, as stored (not yet turned)."""
        colour = self._colour
        deep = colour.bits > 8
        # Planes, as interleaved pixels cost the scaler three times as long and are no use here.
        planar = self._scaler.reformat(
            frame,
            format="gbrp16le" if deep else "gbrp",
            src_colorspace=_SWS[colour.matrix],
            dst_colorspace=_SWS[colour.matrix],
            src_color_range=ColorRange.JPEG if colour.full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=EXACT,
            threads=1,
        )
        pixels = np.empty((3, planar.height, planar.width), np.float32)
        for channel, plane in zip(_PLANES, planar.planes, strict=True):
            pixels[channel] = _samples(plane, np.dtype("<u2") if deep else np.dtype(np.uint8))
        if deep:
            # The scaler widens limited range by a shift (white is 255 * 256) but stretches full range.
            pixels /= np.float32(257 if colour.full_range else 256)
            np.clip(pixels, 0, 255, out=pixels)
        return pixels


_PLANES = (1, 2, 0)  # green, blue, red


def _samples(plane: av.video.plane.VideoPlane, dtype: np.dtype[np.unsignedinteger]) -> NDArray[np.generic]:
    """(H, W) of a plane whose lines are padded; a view of its memory."""
    lines = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
    return lines[:, : plane.width]
