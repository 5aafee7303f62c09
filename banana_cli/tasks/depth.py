"""The task "depth": a distance or a height a pixel."""

from __future__ import annotations

import numpy as np

from banana_cli.adapter import Look
from banana_cli.paint import paint
from banana_cli.types import U8, ClassTable, Depth, Frame, Layer, LayerKind, RawMaps, ShapeError


class DepthTask:
    """Depth in its unit -> depth where it is defined."""

    name: str = "depth"
    layer: LayerKind = LayerKind.DEPTH

    def decode(self, raw: RawMaps, frame: Frame, table: ClassTable) -> Layer:
        """The values; invalid outside ``frame.valid`` and where they are not finite (the sky)."""
        if raw.depth is None or raw.depth.shape != frame.shape:
            raise ShapeError(f"depth needs a map of {frame.shape}")
        valid = frame.valid & np.isfinite(raw.depth)
        values = np.where(valid, raw.depth, np.float32(np.nan)).astype(np.float32, copy=False)
        return Depth(values=values, valid=valid, depth_kind=raw.depth_kind, unit=raw.unit, note=raw.note)

    def paint(self, layer: Layer, look: Look) -> U8:
        """Rainbow over inverse distance, or purple to yellow over heights and millimetres."""
        return paint(layer, look)


DEPTH = DepthTask()
