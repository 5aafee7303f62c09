"""The task "segment": one class a pixel."""

from __future__ import annotations

from typing import Final

import numpy as np

from banana_cli.adapter import Look
from banana_cli.layers import largest
from banana_cli.paint import paint
from banana_cli.types import (
    F32,
    NO_CLASS,
    U8,
    Bool,
    ClassTable,
    Frame,
    Layer,
    LayerKind,
    Mask,
    Modality,
    RawMaps,
    ShapeError,
)

MEASURED_BY_AREA: Final = frozenset({Modality.AERIAL})
"""Whose masks become outlines with a confidence; a video would pay for numbers that nobody reads."""


class Segment:
    """Logits, or what is known of them, -> class ids."""

    name: str = "segment"
    layer: LayerKind = LayerKind.MASKS

    def decode(self, raw: RawMaps, frame: Frame, table: ClassTable) -> Layer:
        """The class of the largest logit; no answer outside ``frame.valid`` and where none is finite."""
        if raw.ids is not None and raw.ids.shape == frame.shape:
            valid = frame.valid & (raw.ids != NO_CLASS)
            ids = np.where(valid, raw.ids, np.uint8(NO_CLASS))
            return Mask(ids=ids, valid=valid, table=table)
        if raw.logits is None or raw.logits.shape != (len(table), *frame.shape):
            raise ShapeError(f"segment needs logits of ({len(table)}, {frame.shape[0]}, {frame.shape[1]})")
        ids, best = largest(raw.logits)
        valid = frame.valid & np.isfinite(best)
        ids[~valid] = NO_CLASS
        confidence = _confidence(raw.logits, best, valid) if frame.modality in MEASURED_BY_AREA else None
        return Mask(ids=ids, valid=valid, table=table, confidence=confidence)

    def paint(self, layer: Layer, look: Look) -> U8:
        """Class colours."""
        return paint(layer, look)


def _confidence(logits: F32, best: F32, valid: Bool) -> U8:
    """Softmax of the largest of K planes (H, W), in 1/255; 0 where there is no answer."""
    total = np.zeros(best.shape, np.float32)
    for plane in logits:
        total += np.exp(np.subtract(plane, best, where=valid, out=np.full_like(best, -np.inf)))
    share = np.divide(np.float32(255.0), total, where=valid, out=np.zeros_like(best))
    levels: U8 = np.rint(share).astype(np.uint8)
    return levels


SEGMENT = Segment()
