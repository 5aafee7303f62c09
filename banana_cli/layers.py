"""Cutting frames and layers into parts, and putting layers together again. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F32, NO_CLASS, U8, Bool, Depth, Frame, Layer, LayerKind, Mask, Normals, Window

NOTHING: Final[dict[LayerKind, float]] = {
    LayerKind.MASKS: NO_CLASS,
    LayerKind.DEPTH: float("nan"),
    LayerKind.NORMALS: 0.0,
}
"""The value of a pixel without an answer."""


def values_of(layer: Layer) -> NDArray[np.generic]:
    """The layer's numbers, (H, W) or (3, H, W)."""
    if isinstance(layer, Mask):
        return layer.ids
    return layer.values if isinstance(layer, Depth) else layer.xyz


def with_values(layer: Layer, values: NDArray[np.generic], valid: Bool) -> Layer:
    """A layer of the same meaning with other numbers, of the same type; a mask's confidence is dropped."""
    if isinstance(layer, Mask):
        return replace(layer, ids=values.astype(np.uint8, copy=False), valid=valid, confidence=None)
    wide = values.astype(np.float32, copy=False)
    if isinstance(layer, Normals):
        return replace(layer, xyz=wide, valid=valid)
    return replace(layer, values=wide, valid=valid)


def largest(planes: F32) -> tuple[U8, F32]:
    """Index and value (H, W) of the largest of K <= 255 planes (K, H, W), the first where equal.

    NaN where any is NaN. In whole planes, which is eight times as fast as ``argmax``; as k grows, the last
    that was larger than those before is the largest.
    """
    best = planes[0].copy()
    ids = np.zeros(best.shape, np.uint8)
    for k, plane in enumerate(planes[1:], start=1):
        np.maximum(ids, (plane > best) * np.uint8(k), out=ids)
        np.maximum(best, plane, out=best)
    return ids, best


def crop_frame(frame: Frame, part: Window) -> Frame:
    """The part of a frame (its own pixels, not the scene's) without copying; measured layers are dropped."""
    rows, cols = part.slices()
    return replace(
        frame, pixels=frame.pixels[:, rows, cols], valid=frame.valid[rows, cols], measured=(), shown=None
    )


def join_bands(bands: Sequence[Layer]) -> Layer:
    """Bands of rows, top to bottom, as one layer."""
    if len(bands) == 1:
        return bands[0]
    values = np.concatenate([values_of(band) for band in bands], axis=-2)
    joined = with_values(bands[0], values, np.concatenate([band.valid for band in bands]))
    known = [c for band in bands if (c := _confidence_of(band)) is not None]
    return _sure(joined, np.concatenate(known)) if len(known) == len(bands) else joined


def paste(layer: Layer, part: Window, shape: tuple[int, int]) -> Layer:
    """The layer as ``part`` of a picture of ``shape``; no answer around it."""
    if layer.valid.shape == shape:
        return layer
    small = values_of(layer)
    values = np.full((*small.shape[:-2], *shape), NOTHING[layer.kind], small.dtype)
    valid = np.zeros(shape, np.bool_)
    values[..., *part.slices()] = small
    valid[part.slices()] = layer.valid
    pasted = with_values(layer, values, valid)
    known = _confidence_of(layer)
    if known is None:
        return pasted
    confidence = np.zeros(shape, np.uint8)
    confidence[part.slices()] = known
    return _sure(pasted, confidence)


def _confidence_of(layer: Layer) -> U8 | None:
    return layer.confidence if isinstance(layer, Mask) else None


def _sure(layer: Layer, confidence: U8) -> Layer:
    return replace(layer, confidence=confidence) if isinstance(layer, Mask) else layer
