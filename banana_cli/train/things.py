"""What the network is to say of countable things: where their middles are, and the way to one's own.

By middle and way (Panoptic-DeepLab, Cheng et al. 2020): a bell around the centre of mass of a thing's
visible pixels, and from each of its pixels the offset to that centre.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.model.net import THING_PX
from banana_cli.train.example import UNCOUNTED
from banana_cli.types import F32, F64, U16

BELLS: Final = ((0.0, 1.5), (8.0, 2.5), (16.0, 4.0), (32.0, 7.0), (64.0, 11.0), (128.0, 18.0))
"""(square root of the area from which on, standard deviation), network pixels: cars of a lot stay apart.

About a sixth of the side: nobody knows the middle of a large thing to some pixels, and the squared error of
a bell narrower than that doubt is least where nearly nothing is said."""
LEAST_PX: Final = 6  # what is smaller is neither asked for nor denied


def things_truth(instances: U16) -> F32:
    """(3, H, W) of numbered things (H, W): the bell (1 at the middle), and the way (down, right) / THING_PX.

    NaN where unknown: everything where ``instances`` is UNCOUNTED or a thing of fewer than LEAST_PX pixels,
    and the way wherever there is no thing.
    """
    height, width = instances.shape
    flat = instances.reshape(-1)
    inside = np.flatnonzero((flat - np.uint16(1)) < UNCOUNTED - 1)  # 0 wraps around
    number = flat[inside]
    rows = inside // width
    cols = inside - rows * width
    size = np.bincount(number)
    known = size >= LEAST_PX
    down, right = ((np.bincount(number, at) / np.maximum(size, 1)).astype(np.float32) for at in (rows, cols))
    truth = np.full((3, height, width), np.nan, np.float32)
    truth[0] = _bells(down[known], right[known], np.sqrt(size[known]), (height, width))
    ways = truth.reshape(3, -1)
    ways[1, inside] = (down[number] - rows) * np.float32(1 / THING_PX)
    ways[2, inside] = (right[number] - cols) * np.float32(1 / THING_PX)
    ways[:, inside[~known[number]]] = np.nan
    ways[:, np.flatnonzero(flat == UNCOUNTED)] = np.nan
    return truth


def _bells(down: F32, right: F32, side: F64, shape: tuple[int, int]) -> F32:
    """(H, W) the highest of the bells around the pixels nearest to the middles."""
    edge = _bell(BELLS[-1][1])[0].max()
    canvas = np.zeros((shape[0] + 2 * edge, shape[1] + 2 * edge), np.float32)
    row, col = (np.rint(at).astype(np.intp) + edge for at in (down, right))
    level = np.searchsorted([least for least, _ in BELLS], side, side="right") - 1
    for number in np.unique(level):
        rows, cols, height = _bell(BELLS[number][1])
        here = np.flatnonzero(level == number)
        at = (row[here] * canvas.shape[1] + col[here]) + (rows * canvas.shape[1] + cols)[:, None]
        drawn = np.zeros(canvas.size, np.float32)
        drawn[at] = height[:, None]  # far from the middle first, so that the higher bell stays
        np.maximum(canvas, drawn.reshape(canvas.shape), out=canvas)
    return canvas[edge:-edge, edge:-edge]


@lru_cache(maxsize=len(BELLS))
def _bell(spread: float) -> tuple[NDArray[np.intp], NDArray[np.intp], F32]:
    """Rows, columns and heights of a bell's pixels out to three deviations, the lowest first."""
    reach = math.ceil(3 * spread)
    rows, cols = (at.ravel() for at in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    far = rows**2 + cols**2
    order = np.argsort(-far, kind="stable")
    order = order[far[order] <= reach**2]
    return rows[order], cols[order], np.exp(far[order] * (-0.5 / spread**2)).astype(np.float32)
