"""Height rasters: which they are, and the normals that they give exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from banana_cli.options import Sensor
from banana_cli.types import F32, F64, Bool, Normals, Pitch

from .bands import Channels, gdal_window, read_raw
from .gdal import Dataset
from .scaling import Range, probes
from .sensors import PRESETS

_DTYPES: Final = frozenset({"float32", "float64", "int16", "int32"})
_LOWEST_M: Final = -500.0
_HIGHEST_M: Final = 9000.0
_LEAST_RELIEF_M: Final = 1.5
# Measured as the median step between neighbours over the 2..98 % range: terrain and cities .003 to .02,
# photographs .01 to .05, backscatter .1 to .2.
_ROUGHEST: Final = 0.08
_SMOOTH: Final = 0.02
_STEEPEST: Final = 2.0
_BELOW_SEA_M: Final = 0.5
_METRES: Final = {
    "": 1.0, "m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0,
    "cm": 0.01, "ft": 0.3048, "foot": 0.3048, "feet": 0.3048, "us-ft": 1200 / 3937,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Metres:
    """Height in m = stored value * ``scale`` + ``offset``."""

    scale: float
    offset: float


def metres_of(
    dataset: Dataset, channels: Channels, found: Range | None, pitch_m: tuple[float, float]
) -> Metres | None:
    """How a band of heights (surface, terrain, above ground) counts; None if it holds something else.

    Heights are a single float or signed band with relief, within what the Earth offers. Where neither the
    unit, nor the band's name, nor the user says so, the numbers must also look like a surface: those of
    backscatter and reflectance are rougher, steeper or below the sea.
    """
    sure = channels.sensor is Sensor.HEIGHTS
    if PRESETS[channels.sensor].picture or found is None or len(channels.indexes) != 1:
        return None
    if not sure and (dataset.count != 1 or channels.dtype not in _DTYPES):
        return None
    index = channels.indexes[0] - 1
    named = str(dataset.units[index] or "").strip().lower()
    unit = _METRES.get(named)
    if unit is None or channels.palette is not None:
        return None
    metres = Metres(scale=float(dataset.scales[index]) * unit, offset=float(dataset.offsets[index]) * unit)
    least, most = (v * metres.scale + metres.offset for v in (found.least, found.most))
    plausible = _LOWEST_M <= least and most <= _HIGHEST_M and most - least >= _LEAST_RELIEF_M
    if not plausible or metres.scale <= 0:
        return None
    return metres if sure or named or _is_surface(dataset, channels, found, metres, pitch_m) else None


def _is_surface(
    dataset: Dataset, channels: Channels, found: Range, metres: Metres, pitch_m: tuple[float, float]
) -> bool:
    """Whether neighbours differ as they do on the ground, in windows spread over the scene."""
    steps = _steps(dataset, channels)
    if steps.size == 0:
        return True
    step = float(np.median(steps))
    rough = step / max(found.high - found.low, 1e-9)
    if found.high * metres.scale + metres.offset < _BELOW_SEA_M and rough > _SMOOTH:
        return False
    return rough <= _ROUGHEST and step * metres.scale <= _STEEPEST * pitch_m[1]


def _steps(dataset: Dataset, channels: Channels) -> F64:
    """Differences of valid neighbours along rows, as stored, without the ones that are 0."""
    parts: list[F64] = []
    for window in probes(dataset):
        raw, valid = read_raw(dataset, channels, gdal_window(window))
        both = valid[:, 1:] & valid[:, :-1]
        parts.append(np.abs(np.diff(raw[0].astype(np.float64), axis=1))[both])
    steps = np.concatenate(parts)
    return steps[steps > 0]


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
