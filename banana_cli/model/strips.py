"""A large picture's convolutions, a strip of rows at a time: what they hold does not grow with the picture.

Every strip sees a halo of a cell above and below, wider than the convolutions reach, and keeps its own rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

CELL_PX: Final = 32
STRIP_PX: Final = 2**20
"""Pixels of a strip; smaller pictures are one."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows in cells of 32 px: ``start`` to ``stop`` are kept of ``top`` to ``bottom``, which are seen."""

    start: int
    stop: int
    top: int
    bottom: int

    def seen(self, t: Tensor, stride: int) -> Tensor:
        """The rows of (B, C, H / stride, W / stride) that the strip sees."""
        return t[..., self.top * CELL_PX // stride : self.bottom * CELL_PX // stride, :]

    def keep(self, found: Tensor, whole: Tensor, stride: int) -> None:
        """Put what was computed of the seen rows where it belongs."""
        step = CELL_PX // stride
        own = found[..., (self.start - self.top) * step : (self.stop - self.top) * step, :]
        whole[..., self.start * step : self.stop * step, :] = own


def strips(height: int, width: int) -> Iterator[Strip]:
    """Strips of a picture (multiples of 32) with a halo of one cell."""
    rows = height // CELL_PX
    at_once = max(2, STRIP_PX // (CELL_PX * width))
    for start in range(0, rows, at_once):
        stop = min(rows, start + at_once)
        yield Strip(start, stop, max(0, start - 1), min(rows, stop + 1))


def whole_like(part: Tensor, height: int) -> Tensor:
    """Empty (B, C, height, W), channels last as the parts of it are."""
    B, C, _, W = part.shape
    shape = (B, C, height, W)
    return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=torch.channels_last)
