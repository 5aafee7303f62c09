"""The plan of an aerial scene: what kind of place it is, and the lattice of streets and lots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from banana_cli.types import F32

from .aerial_noise import fbm

TABLE = 64  # random tables repeat after this many cells
Rgb = tuple[float, float, float]


class Place(Enum):
    """What kind of place a scene shows."""

    SUBURB = "suburb"
    CITY = "city"
    DESERT = "desert"
    RURAL = "rural"
    COAST = "coast"
    INDUSTRY = "industry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Everything that is drawn once a scene. Lengths in metres, shares in [0, 1]."""

    place: Place
    block: float  # between neighbouring streets across the lots
    length: float  # between cross streets
    lot: float  # width of a lot along the street
    street: float  # width of a street
    built: float  # share of lots with a house
    green: float  # share of green ground
    trees: float  # share of tree cells
    lake: float  # share of open water
    paved: bool
    bare: Rgb  # colour of bare ground
    grass: Rgb
    asphalt: float


_PLACES = (Place.SUBURB, Place.CITY, Place.DESERT, Place.RURAL, Place.COAST, Place.INDUSTRY)
_ODDS = (0.29, 0.17, 0.13, 0.2, 0.1, 0.11)
_BARE: tuple[Rgb, ...] = (
    (0.62, 0.53, 0.42),
    (0.70, 0.68, 0.66),
    (0.60, 0.46, 0.36),
    (0.45, 0.36, 0.26),
    (0.66, 0.62, 0.57),
    (0.52, 0.47, 0.40),
    (0.36, 0.29, 0.22),
)
_GRASS: tuple[Rgb, ...] = (
    (0.17, 0.22, 0.08),
    (0.22, 0.25, 0.12),
    (0.12, 0.17, 0.09),
    (0.30, 0.29, 0.15),
    (0.20, 0.19, 0.12),
    (0.13, 0.21, 0.07),
)
# built, green, trees, lake of each place, as ranges
_SHARES: dict[Place, tuple[tuple[float, float], ...]] = {
    Place.SUBURB: ((0.6, 0.97), (0.05, 0.8), (0.02, 0.3), (0.0, 0.15)),
    Place.CITY: ((0.75, 1.0), (0.05, 0.35), (0.02, 0.2), (0.0, 0.08)),
    Place.DESERT: ((0.0, 0.35), (0.0, 0.25), (0.0, 0.08), (0.0, 0.25)),
    Place.RURAL: ((0.0, 0.12), (0.35, 0.9), (0.01, 0.2), (0.0, 0.25)),
    Place.COAST: ((0.1, 0.8), (0.05, 0.5), (0.0, 0.2), (0.25, 0.7)),
    Place.INDUSTRY: ((0.2, 0.7), (0.0, 0.3), (0.0, 0.08), (0.0, 0.1)),
}


def tinted(rng: Generator, colour: Rgb, spread: float = 0.06) -> Rgb:
    """A colour near ``colour``: brightness and channels vary."""
    r, g, b = (
        np.asarray(colour) * (rng.uniform(0.82, 1.18) + rng.normal(0, spread) * np.array((1, 0, -1.0)))
        + rng.normal(0, spread * 0.12, 3)
    ).clip(0.01, 0.95)
    return (float(r), float(g), float(b))


def _farm(rng: Generator) -> float:
    """Side of a field: from strips of gardens to a quarter of a square mile."""
    return math.exp(rng.uniform(math.log(90), math.log(820)))


def draw_style(rng: Generator) -> Style:
    """One random place."""
    place = _PLACES[int(rng.choice(len(_PLACES), p=_ODDS))]
    built, green, trees, lake = (float(rng.uniform(*r)) for r in _SHARES[place])
    big = 1.8 if place is Place.INDUSTRY else 1.0
    wild = place in (Place.DESERT, Place.RURAL)
    bare = _BARE[int(rng.integers(len(_BARE)))]
    if place is Place.DESERT:
        bare = _BARE[int(rng.choice([0, 1, 1, 1, 2, 4]))]
    return Style(
        place=place,
        block=float(_farm(rng) if wild else rng.uniform(44, 90) * big),
        length=float(_farm(rng) if wild else rng.uniform(80, 260)),
        lot=float(rng.uniform(11, 30) * big),
        street=float(rng.uniform(4, 12)),
        built=built,
        green=green,
        trees=trees,
        lake=lake * float(rng.random() < 0.6),
        paved=bool(rng.random() < (0.45 if wild else 0.93)),
        bare=tinted(rng, bare),
        grass=tinted(rng, _GRASS[int(rng.integers(len(_GRASS)))]),
        asphalt=float(rng.choice([0.06, 0.09, 0.14, 0.2, 0.3]) * rng.uniform(0.8, 1.25)),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lattice:
    """Street coordinates of every pixel, all (H, W).

    ``across`` and ``along`` metres from the nearest street and cross street (centre lines, signed);
    ``row`` and ``col`` numbers of the nearest ones; ``u``, ``v`` the running coordinates in metres.
    """

    u: F32
    v: F32
    across: F32
    along: F32
    row: NDArray[np.int32]
    col: NDArray[np.int32]


def _nearest(coordinate: F32, spacing: float) -> tuple[F32, NDArray[np.int32]]:
    number = np.rint(coordinate / np.float32(spacing))
    return coordinate - number * np.float32(spacing), number.astype(np.int32)


def draw_lattice(rng: Generator, x: F32, y: F32, pitch: float, style: Style) -> Lattice:
    """Streets as a turned grid, a bent grid or rings around a centre; x, y (H, W) metres."""
    h, w = x.shape
    turn = float(rng.uniform(0, math.pi))
    if rng.random() < 0.18:
        u, v = _rings(rng, x, y)
    else:
        u = x * np.float32(math.cos(turn)) + y * np.float32(math.sin(turn))
        v = y * np.float32(math.cos(turn)) - x * np.float32(math.sin(turn))
    if rng.random() < 0.65:
        bend = float(rng.uniform(0.02, 0.16) * style.block)
        cell = float(rng.uniform(2.0, 5.0) * style.block) / pitch
        u = u + np.float32(bend) * fbm(rng, h, w, cell, 2)
        v = v + np.float32(bend) * fbm(rng, h, w, cell, 2)
    u, v = u + np.float32(rng.uniform(0, 5000)), v + np.float32(rng.uniform(0, 5000))
    across, row = _nearest(u, style.block)
    along, col = _nearest(v, style.length)
    return Lattice(u=u, v=v, across=across, along=along, row=row, col=col)


def _rings(rng: Generator, x: F32, y: F32) -> tuple[F32, F32]:
    """Rings: u is the distance to a centre, v the angle times a mean radius."""
    extent = float(max(x[0, -1], y[-1, 0]))
    cx, cy = rng.uniform(-0.5, 1.5, 2) * extent
    radius = np.hypot(x - np.float32(cx), y - np.float32(cy))
    mean = float(radius.mean())
    return radius, np.arctan2(y - np.float32(cy), x - np.float32(cx)) * np.float32(mean)
