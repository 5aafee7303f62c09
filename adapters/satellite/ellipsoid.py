"""Areas on the WGS84 ellipsoid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_MAJOR_M: Final = 6378137.0
_FLATTENING: Final = 1 / 298.257223563
_E2: Final = _FLATTENING * (2 - _FLATTENING)
_E: Final = math.sqrt(_E2)


def ring_area_m2(ring: Sequence[Sequence[float]]) -> float:
    """Signed area of a closed ring of (longitude, latitude) in degrees; positive counter-clockwise.

    Exact for edges that are straight in (longitude, sine of the authalic latitude), which short edges
    are. A ring may cross the antimeridian.
    """
    zones = [_zone(lat) for _, lat, *_ in ring]
    turns = [math.radians((q[0] - p[0] + 180) % 360 - 180) for p, q in zip(ring, ring[1:], strict=False)]
    # measured from a place nearby (or from the pole that the ring goes around), or digits cancel out
    base = zones[0] if abs(sum(turns)) < math.pi else math.copysign(_zone(90.0), zones[0])
    means = ((a + b) / 2 - base for a, b in zip(zones, zones[1:], strict=False))
    return -sum(turn * mean for turn, mean in zip(turns, means, strict=True)) * _MAJOR_M**2 / 2


def polygon_area_m2(rings: Sequence[Sequence[Sequence[float]]]) -> float:
    """Area of an outer ring without its holes."""
    areas = [abs(ring_area_m2(ring)) for ring in rings]
    return areas[0] - sum(areas[1:])


def _zone(lat_deg: float) -> float:
    """Snyder's q: area between the equator and a latitude, in units of half a squared radius per radian."""
    sine = math.sin(math.radians(lat_deg))
    log = math.log((1 - _E * sine) / (1 + _E * sine))
    return (1 - _E2) * (sine / (1 - _E2 * sine**2) - log / (2 * _E))
