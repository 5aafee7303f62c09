"""How the model looks at a scene: at which resolution, and where its lattice of looks is fixed.

The lattice is fixed to the ground, so that a scene, a part cut out of it and its neighbour in the same
grid are looked at alike: away from the edges they get the same answers.
"""

from __future__ import annotations

import math
from typing import Final

from banana_cli.errors import UsageError
from banana_cli.types import Looks

from .georef import Georeference

WORKING_M: Final = 0.3
"""The finest ground sampling distance that the model was trained on; finer scenes are shrunk to it."""
COARSEST_M: Final = 5.0
_MOST_SHRUNK: Final = 6
_SMALL_LOOKS_FROM: Final = 3
_OVERLAP: Final = {512: 64, 256: 32}


def looks_of(reference: Georeference, overlap: int | None) -> Looks:
    """The looks at a scene; ``overlap`` in working pixels, None for the usual. UsageError if too large."""
    shrink = shrink_of(reference)
    tile = 256 if shrink >= _SMALL_LOOKS_FROM else 512  # a frame holds three of them a side
    overlap = _OVERLAP[tile] if overlap is None else overlap
    if not 0 <= 2 * overlap <= tile:
        raise UsageError(
            f"{overlap} does not fit the model's looks of {tile} pixels",
            subject="--overlap",
            remedy=f"use 0 to {tile // 2}",
        )
    return Looks(
        tile=tile, overlap=overlap, shrink=shrink, phase=_phase(reference, (tile - overlap) * shrink)
    )


def shrink_of(reference: Georeference) -> int:
    """Pixels of the file a working pixel: more than 1 for drones, 1 where the pixel size is not known."""
    if reference.pitch_m is None:
        return 1
    gsd = math.sqrt(reference.pitch_m[0] * reference.pitch_m[1])
    return max(1, min(_MOST_SHRUNK, int(WORKING_M / gsd + 0.5)))


def far_from_training(reference: Georeference) -> str | None:
    """What to tell of a scene whose pixels are of another size than those that the model learned from."""
    if reference.pitch_m is None:
        return None
    gsd = math.sqrt(reference.pitch_m[0] * reference.pitch_m[1])
    at_work = gsd * shrink_of(reference)
    if WORKING_M / 2 <= at_work <= COARSEST_M:
        return None
    side = "finer" if at_work < WORKING_M else "coarser"
    return f"pixels of {at_work:.3g} m are {side} than those the model learned from (0.3 to 3 m): expect less"


def _phase(reference: Georeference, period: int) -> tuple[int, int]:
    """(rows, columns) from the lattice's corner to the scene; none where axes are not those of the CRS."""
    a, b, c, d, e, f = reference.transform
    if not reference.placed or b or d:
        return 0, 0
    return _pixels(f / e, period), _pixels(c / a, period)


def _pixels(start: float, period: int) -> int:
    """Whole pixels, cut where no usual grid lies (those lie on whole or half pixels)."""
    return math.floor(start + 0.3) % period if math.isfinite(start) else 0
