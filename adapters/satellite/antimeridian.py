"""Polygons across the antimeridian, cut into one part a side as RFC 7946 (3.1.9) wants them."""

from __future__ import annotations

Ring = list[tuple[float, float]]
"""Closed: (longitude, latitude) in degrees, the first place again at the end."""


def cut(rings: list[Ring]) -> list[list[Ring]]:
    """A polygon (outer ring, then holes) as one or two polygons with longitudes in [-180, 180]."""
    start = rings[0][0][0]
    unrolled = [_unrolled(ring, start) for ring in rings]
    lons = [lon for lon, _ in unrolled[0]]
    seam = 180.0 if max(lons) > 180 else -180.0 if min(lons) < -180 else None
    if seam is None:
        return [unrolled]
    inside, outside = (_half(unrolled, seam, sign) for sign in (-1 if seam > 0 else 1, 1 if seam > 0 else -1))
    moved = [[(lon - 2 * seam, lat) for lon, lat in ring] for ring in outside]
    return [part for part in (inside, moved) if part]


def _unrolled(ring: Ring, near: float) -> Ring:
    """The same ring without jumps of 360 degrees, beginning near a longitude."""
    out: Ring = []
    for lon, lat in ring:
        near = near + (lon - near + 180) % 360 - 180
        # nothing is added where nothing jumps, so that no digit changes
        out.append((lon if abs(lon - near) < 1 else near, lat))
    return out


def _half(rings: list[Ring], seam: float, sign: int) -> list[Ring]:
    """What lies on one side of a meridian: east of it for sign 1, west for -1."""
    halves = [_clipped(ring, seam, sign) for ring in rings]
    return [ring for ring in halves if len(ring) > 3] if len(halves[0]) > 3 else []


def _clipped(ring: Ring, seam: float, sign: int) -> Ring:
    out: Ring = []
    for (lon0, lat0), (lon1, lat1) in zip(ring, ring[1:], strict=False):
        before, after = sign * (lon0 - seam), sign * (lon1 - seam)
        if before >= 0:
            out.append((lon0, lat0))
        if before * after < 0:
            out.append((seam, lat0 + (lat1 - lat0) * before / (before - after)))
    return [*out, out[0]] if out else []
