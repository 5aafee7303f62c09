"""Polygons across the antimeridian or around a pole, cut as RFC 7946 (3.1.9) wants them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from banana_cli.types import F64

DECIMALS: Final = 9
"""Of degrees, as outlines have them: 0.1 mm."""

_WORLD: Final = (-180.0, -90.0, 180.0, 90.0)


def cut(polygon: Any) -> list[Any]:  # noqa: ANN401 (shapely has no types)
    """A shapely polygon in (longitude, latitude) degrees as polygons with longitudes in [-180, 180]."""
    import shapely

    outer, *holes = (shapely.get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors))
    if not _jumps(outer) and np.abs(outer[:, 0]).max() <= 180:
        return [polygon]
    whole = shapely.difference(_wrapped(outer), shapely.union_all([_wrapped(hole) for hole in holes]))
    parts = shapely.transform(shapely.get_parts(whole), lambda xy: np.round(xy, DECIMALS))
    return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]


def _jumps(ring: F64) -> bool:
    return bool((np.abs(np.diff(ring[:, 0])) > 180).any())


def _wrapped(ring: F64) -> Any:  # noqa: ANN401
    """What a ring encloses, on the plane of longitudes from -180 to 180."""
    import shapely

    turns = np.diff(ring[:, 0])
    turns -= 360 * np.rint(turns / 360)
    # turns cost last digits, which holes and neighbours must share
    lons = np.round(ring[0, 0] + np.concatenate([[0.0], np.cumsum(turns)]), DECIMALS)
    corners = np.column_stack([lons, ring[:, 1]])
    if abs(turns.sum()) > 180:  # the ring goes around a pole, which becomes its far side
        pole = np.copysign(90.0, ring[:, 1].mean())
        corners = np.concatenate([corners, [(lons[-1], pole), (lons[0], pole)]])
    area = shapely.make_valid(shapely.polygons(corners))
    worlds = [shapely.intersection(_turned(area, turn), _world()) for turn in (-360.0, 0.0, 360.0)]
    return shapely.union_all(worlds)


def _turned(area: Any, turn: float) -> Any:  # noqa: ANN401
    import shapely

    return shapely.transform(area, lambda xy: np.round(xy + (turn, 0.0), DECIMALS))


def _world() -> Any:  # noqa: ANN401
    import shapely

    return shapely.box(*_WORLD)
