"""Height rasters: which they are, and the normals that they give exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from banana_cli.types import F32, Bool, Normals, Pitch

from .bands import Channels
from .gdal import Dataset
from .scaling import Range

_DTYPES: Final = frozenset({"float32", "float64", "int16", "int32"})
_LOWEST_M: Final = -500.0
_HIGHEST_M: Final = 9000.0
_LEAST_RELIEF_M: Final = 1.5
_METRES: Final = {
    "": 1.0, "m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0,
    "cm": 0.01, "ft": 0.3048, "foot": 0.3048, "feet": 0.3048, "us-ft": 1200 / 3937,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Metres:
    """Height in m = stored value * ``scale`` + ``offset``."""

    scale: float
    offset: float


def metres_of(dataset: Dataset, channels: Channels, found: Range | None) -> Metres | None:
    """How a band of heights (surface, terrain, above ground) counts; None if it holds something else.

    Heights are a single float or signed band with relief, within what the Earth offers; a ratio, an
    index or a reflectance (less than 1.5 m between its extremes) is a picture.
    """
    if dataset.count != 1 or channels.dtype not in _DTYPES or found is None:
        return None
    unit = _METRES.get(str(dataset.units[0] or "").strip().lower())
    if unit is None:
        return None
    metres = Metres(scale=float(dataset.scales[0]) * unit, offset=float(dataset.offsets[0]) * unit)
    least, most = (v * metres.scale + metres.offset for v in (found.least, found.most))
    plausible = _LOWEST_M <= least and most <= _HIGHEST_M and most - least >= _LEAST_RELIEF_M
    return metres if plausible and metres.scale > 0 else None


def normals_of(height_m: F32, valid: Bool, pitch: Pitch) -> Normals:
    """Unit normals of a height field (H, W) in m, seen from above: (-dh/dx, -dh/dy, -1), scaled.

    Derivatives are central, one-sided beside nodata and 0 where a pixel has no neighbour.
    """
    safe = np.where(valid, height_m, 0.0)
    down = _slope(safe, valid, pitch.row)
    along = _slope(safe.T, valid.T, pitch.col).T
    length = np.sqrt(along**2 + down**2 + 1.0)
    xyz = np.stack([-along / length, -down / length, -1.0 / length]).astype(np.float32)
    xyz[:, ~valid] = 0.0
    return Normals(xyz=xyz, valid=valid)


def _slope(height: F32, valid: Bool, step_m: float) -> F32:
    """Derivative down the columns from whichever neighbours hold data."""
    total = np.zeros_like(height)
    weight = np.zeros_like(height)
    both = valid[1:] & valid[:-1]
    rise = np.where(both, (height[1:] - height[:-1]) / np.float32(step_m), 0.0)
    total[:-1] += rise
    total[1:] += rise
    weight[:-1] += both
    weight[1:] += both
    return np.divide(total, np.maximum(weight, 1.0), dtype=np.float32)
