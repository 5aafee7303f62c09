"""A right-angled, evenly spaced grid for any stack of slices: what NIfTI can say without a shear."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from banana_cli.types import F64

from .geometry import Stack

MAX_GROWTH = 8  # times the voxels of the slices themselves
SMALL = 2**22  # voxels that are never too many
_EVEN = 0.1  # of a step: how far a slice may lie off the median step's grid before the finest is taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """The grid, and where each slice goes in it, moved by at most half a voxel along each axis.

    ``shape`` (slices, rows, columns); ``affine`` (column, row, slice, 1) -> patient mm, columns
    orthogonal; ``places`` the (slice, row, column) of each slice's first pixel, in the stack's order;
    ``moved_mm`` the largest displacement.
    """

    shape: tuple[int, int, int]
    affine: F64
    places: tuple[tuple[int, int, int], ...]
    moved_mm: float

    def spacious(self, matrix: tuple[int, int]) -> bool:
        """Whether the grid is mostly empty and too large for that: a few slices far apart at odd places."""
        return math.prod(self.shape) > MAX_GROWTH * math.prod(matrix) * len(self.places) + SMALL


def lattice(stack: Stack, matrix: tuple[int, int], thickness: float) -> Lattice:
    """The grid of slices of ``matrix`` (rows, columns) pixels; ``thickness`` in mm of a lone slice."""
    first = stack.planes[0]
    axes = np.array([first.normal, first.down, first.right])
    offsets = (np.array([p.position for p in stack.planes]) - first.position) @ axes.T
    size = np.array([_step(offsets[:, 0], thickness), *first.spacing])
    exact = offsets / size
    places = np.floor(exact + 0.5).astype(int)
    moved = float(np.linalg.norm((places - exact) * size, axis=1).max())
    start = places.min(axis=0)
    spread = np.ptp(places, axis=0)
    affine = np.eye(4)
    affine[:3, :3] = (axes * size[:, None])[::-1].T
    affine[:3, 3] = first.position + (start * size) @ axes
    return Lattice(
        shape=(int(spread[0]) + 1, matrix[0] + int(spread[1]), matrix[1] + int(spread[2])),
        affine=affine,
        places=tuple((int(k), int(r), int(c)) for k, r, c in places - start),
        moved_mm=moved,
    )


def _step(offsets: F64, thickness: float) -> float:
    """The grid's step along the normal: the slices' own if they are even but for gaps, else the finest."""
    if len(offsets) == 1:
        return thickness
    steps = np.diff(offsets)
    for step in (float(steps.mean()), float(np.median(steps))):
        exact = offsets / step
        if np.abs(exact - np.floor(exact + 0.5)).max() <= _EVEN and steps.min() > step / 2:
            return step
    return float(steps.min()) * (1 - 1e-9)  # so that no two slices share a place
