"""How much nearer what stands still has come since the frame before, told by the flow and the depths.

A point at depth Z that the camera drives towards by v moves away from the picture's middle by v / Z of its
place; the camera's turning moves all points alike, whatever their depth. Six numbers explain the flow of
everything that stands still (Longuet-Higgins and Prazdny 1980); what they do not explain moves by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from banana_cli.types import F32, F64

_STEP: Final = 2  # every second pixel is enough for six numbers
_ROUNDS: Final = 4
_SLACK_PX: Final = 0.5  # error of the flow
_LEAST_POINTS: Final = 100
_NEAREST: Final = 0.8  # nothing comes nearer than this share of its depth within a frame
_QUICK: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Approach:
    """What became of the depth of each pixel since the frame before, (h, w) each.

    ``change`` log of the factor on the depth of what stands still, 0 where something moves by itself;
    ``calm`` 1 where that changed little, towards 0 where it changed so fast that a guess of it is no help.
    """

    change: F32
    calm: F32


def approach(flow: F32, trust: F32, depth: F32) -> Approach | None:
    """Tell it from the way back to the frame before; None where too little of that is known.

    ``flow`` (h, w, 2) in pixels; ``trust`` (h, w) 0 to 1; ``depth`` (h, w) of each pixel in the frame
    before, > 0 in any unit.
    """
    rows, cols = depth.shape
    y, x = _places(rows, cols)
    inverse = (1 / depth).astype(np.float32)
    inverse /= np.float32(max(float(np.median(inverse)), 1e-9))
    thin = (slice(None, None, _STEP), slice(None, None, _STEP))
    numbers = _explain(flow[thin], trust[thin], (y[thin], x[thin]), inverse[thin])
    if numbers is None:
        return None
    across, down = _flow_of(numbers, y, x, inverse)
    odd = np.hypot(flow[..., 0] - across, flow[..., 1] - down) / (2 * _SLACK_PX)
    change = np.log(np.clip(1 - numbers[0] / cols * inverse, _NEAREST, 1 / _NEAREST))
    still, calm = np.exp(-np.square(odd)), np.exp(-np.square(change / _QUICK))
    return Approach((change * still).astype(np.float32), calm.astype(np.float32))


@lru_cache(maxsize=8)
def _places(rows: int, cols: int) -> tuple[F32, F32]:
    """(y, x) of all pixels from the middle, in units of the width."""
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    return (y - (rows - 1) / 2) / cols, (x - (cols - 1) / 2) / cols


def _columns(y: F32, x: F32, inverse: F32) -> tuple[tuple[F32, ...], tuple[F32, ...]]:
    """What each of the six numbers does to the flow across and down."""
    none, one = np.zeros_like(x), np.ones_like(x)
    return (-x * inverse, inverse, none, one, none, -y), (-y * inverse, none, inverse, none, one, x)


def _flow_of(numbers: F64, y: F32, x: F32, inverse: F32) -> tuple[F32, F32]:
    across, down = (
        np.asarray(sum(n * c for n, c in zip(numbers.astype(np.float32), part, strict=True)))
        for part in _columns(y, x, inverse)
    )
    return across, down


def _explain(flow: F32, trust: F32, place: tuple[F32, F32], inverse: F32) -> F64 | None:
    """The six numbers: forward, sideways, down, and three of turning; outliers lose their say."""
    across, down = _columns(*place, inverse)
    known = np.concatenate([np.stack([c.ravel() for c in part], 1) for part in (across, down)]).astype(
        np.float64
    )
    seen = np.concatenate([flow[..., 0].ravel(), flow[..., 1].ravel()]).astype(np.float64)
    if float(trust.sum()) < _LEAST_POINTS:
        return None
    base = np.concatenate([trust.ravel()] * 2).astype(np.float64)
    say = base
    for _ in range(_ROUNDS):
        weighted = known * say[:, None]
        # A little stiffness, so that a wall that fills the picture leaves nothing undetermined.
        found = np.linalg.solve(weighted.T @ known + 1e-3 * np.eye(6), weighted.T @ seen).astype(np.float64)
        say = base / (1 + np.square((seen - known @ found) / _SLACK_PX))
    return found
