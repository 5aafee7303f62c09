"""The task "normals": a unit surface normal a pixel."""

from __future__ import annotations

import numpy as np

from banana_cli.adapter import Look
from banana_cli.paint import paint
from banana_cli.types import F32, U8, ClassTable, Frame, Layer, LayerKind, Normals, RawMaps, ShapeError

_SHORTEST = np.float32(1e-6)


class NormalsTask:
    """Vectors of any length -> unit vectors."""

    name: str = "normals"
    layer: LayerKind = LayerKind.NORMALS

    def decode(self, raw: RawMaps, frame: Frame, table: ClassTable) -> Layer:
        """Directions; invalid outside ``frame.valid`` and where the vector has no length (the sky)."""
        if raw.normals is None or raw.normals.shape != (3, *frame.shape):
            raise ShapeError(f"normals need a map of (3, {frame.shape[0]}, {frame.shape[1]})")
        length = _length(raw.normals)
        finite = length < np.inf
        valid = frame.valid & finite & (length > _SHORTEST)
        np.copyto(length, np.inf, where=~valid)  # a finite number over it is 0
        with np.errstate(invalid="ignore"):
            unit = raw.normals / length
        if not finite.all():
            unit[:, ~finite] = 0
        return Normals(xyz=unit, valid=valid)

    def paint(self, layer: Layer, look: Look) -> U8:
        """The usual colours of normals."""
        return paint(layer, look)


def _length(xyz: F32) -> F32:
    """(H, W) of (3, H, W), in whole planes."""
    total = np.square(xyz[0])
    for plane in xyz[1:]:
        total += np.square(plane)
    length: F32 = np.sqrt(total, out=total)
    return length


NORMALS = NormalsTask()
