"""The task "normals": a unit surface normal a pixel."""

from __future__ import annotations

import numpy as np

from banana_cli.adapter import Look
from banana_cli.paint import paint
from banana_cli.types import U8, ClassTable, Frame, Layer, LayerKind, Normals, RawMaps, ShapeError

_SHORTEST = np.float32(1e-6)


class NormalsTask:
    """Vectors of any length -> unit vectors."""

    name: str = "normals"
    layer: LayerKind = LayerKind.NORMALS

    def decode(self, raw: RawMaps, frame: Frame, table: ClassTable) -> Layer:
        """Directions; invalid outside ``frame.valid`` and where the vector has no length (the sky)."""
        if raw.normals is None or raw.normals.shape != (3, *frame.shape):
            raise ShapeError(f"normals need a map of (3, {frame.shape[0]}, {frame.shape[1]})")
        length = np.sqrt(np.einsum("chw,chw->hw", raw.normals, raw.normals))
        valid = frame.valid & np.isfinite(length) & (length > _SHORTEST)
        unit = np.where(valid, raw.normals / np.where(valid, length, np.float32(1.0)), np.float32(0.0))
        return Normals(xyz=unit.astype(np.float32), valid=valid)

    def paint(self, layer: Layer, look: Look) -> U8:
        """The usual colours of normals."""
        return paint(layer, look)


NORMALS = NormalsTask()
