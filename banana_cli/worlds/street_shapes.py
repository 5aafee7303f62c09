"""Side views of cars."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """A body in metres, and shares of its length (z, 0 rear .. 1 front) and height."""

    length: float
    width: float
    height: float
    belt: float  # height of the window's lower edge
    nose: float  # height of the bonnet's front
    tail: float  # height of the tail's end
    glass: tuple[float, float, float, float]  # z: rear glass foot and top, windscreen top and foot
    windows: tuple[tuple[float, float], ...] = (
        (0.06, 0.24),
        (0.28, 0.53),
        (0.57, 0.96),
    )  # shares of the glass


SHAPES = (
    Shape(4.7, 1.82, 1.45, 0.64, 0.5, 0.62, (0.07, 0.26, 0.58, 0.77), ((0.12, 0.48), (0.52, 0.95))),  # saloon
    Shape(4.9, 1.86, 1.46, 0.63, 0.48, 0.63, (0.1, 0.3, 0.56, 0.75), ((0.14, 0.46), (0.5, 0.95))),
    Shape(4.2, 1.78, 1.5, 0.62, 0.5, 0.58, (0.0, 0.09, 0.58, 0.8), ((0.06, 0.2), (0.24, 0.5), (0.54, 0.96))),
    Shape(4.6, 1.88, 1.68, 0.61, 0.56, 0.58, (0.01, 0.1, 0.6, 0.77)),  # crossover
    Shape(4.8, 1.92, 1.76, 0.6, 0.56, 0.58, (0.0, 0.05, 0.63, 0.76)),  # sport utility
    Shape(5.2, 2.03, 1.93, 0.58, 0.57, 0.57, (0.0, 0.03, 0.65, 0.76)),
    Shape(5.0, 1.98, 1.76, 0.55, 0.45, 0.54, (0.0, 0.06, 0.72, 0.92)),  # people carrier
    Shape(5.6, 2.02, 2.45, 0.52, 0.42, 0.5, (0.0, 0.015, 0.8, 0.93), ((0.78, 0.97),)),  # van
    Shape(
        5.8, 2.05, 2.05, 0.52, 0.46, 0.5, (0.0, 0.02, 0.72, 0.84), ((0.04, 0.3), (0.34, 0.62), (0.66, 0.97))
    ),
    Shape(5.7, 2.0, 1.88, 0.56, 0.54, 0.55, (0.4, 0.43, 0.62, 0.75), ((0.06, 0.4), (0.46, 0.94))),  # pickup
    Shape(5.9, 2.03, 1.95, 0.57, 0.56, 0.56, (0.38, 0.41, 0.64, 0.75), ((0.06, 0.42), (0.47, 0.94))),
)
PICKUPS, VANS = (9, 10), (7, 8)
