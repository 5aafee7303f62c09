"""The value at which a volume's surface lies: skin, bone, or a number."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from banana_cli.errors import InputError, UsageError
from banana_cli.types import Modality

from .surface import I16

SKIN, BONE = "skin", "bone"
_HU: Mapping[str, float] = {SKIN: -300.0, BONE: 250.0}
_BINS = 256


def level_of(surface: str, modality: Modality, subject: str) -> float | None:
    """The value that ``--surface`` means, in HU for a CT and else in the file's values; None: found by Otsu.

    UsageError for a word that is none; InputError for bone that is not CT's.
    """
    word = surface.strip().lower()
    if modality is Modality.CT and word in _HU:
        return _HU[word]
    if word == SKIN:
        return None
    if word == BONE:
        raise InputError(
            f"is {modality.value}: only in CT does bone have a value of its own",
            subject=subject,
            remedy="use --surface skin, or a value of this series as a number",
        )
    try:
        level = float(word)
    except ValueError:
        level = math.nan
    if not math.isfinite(level):
        raise UsageError(
            f"{surface!r} is no surface", subject="--surface", remedy="say skin, bone or a number (HU for CT)"
        )
    return level


def otsu(voxels: I16, zero: float) -> float:
    """The value that parts air from tissue: Otsu's threshold of the square root above ``zero``.

    The root keeps bright fat from pulling the threshold up into the muscles.
    """
    top = float(np.sqrt(max(float(voxels.max()) - zero, 1.0)))
    counts = np.zeros(_BINS)
    for plane in voxels:
        roots = np.sqrt(np.maximum(plane - np.float32(zero), 0))
        counts += np.histogram(roots, bins=_BINS, range=(0.0, top))[0]
    centres = (np.arange(_BINS) + 0.5) * top / _BINS
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    mass = np.cumsum(counts * centres)
    parted = (below > 0) & (above > 0)
    if not parted.any():
        return zero + top**2
    b, a, m = below[parted], above[parted], mass[:-1][parted]
    between = b * a * (m / b - (mass[-1] - m) / a) ** 2
    edges = (centres[1:] + centres[:-1])[parted] / 2
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))  # an empty gap is a plateau: its middle
    return zero + float(edges[best].mean()) ** 2
