"""How steady the masks of a clip are along the optical flow of its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from banana_cli.metrics.masks import Confusion
from banana_cli.types import F32, NO_CLASS, U8, Bool, ShapeError

_ALIKE_GREY = 20  # of 255: a pixel that changed more is another thing
_ROUND_TRIP_PX = 1.0


class Carried:
    """Where each pixel of a picture was one picture before, and where that is sure.

    Flow by DIS (Kroeger et al. 2016), there and back: it is ``sure`` where both agree within a pixel, and
    the two pictures look alike.
    """

    def __init__(self, now: U8, before: U8) -> None:
        """Grey pictures (H, W) of one size."""
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        back, there = dis.calc(now, before, None), dis.calc(before, now, None)
        rows, cols = now.shape
        y, x = np.mgrid[:rows, :cols].astype(np.float32)
        self._x, self._y = x + back[..., 0], y + back[..., 1]
        round_trip = np.hypot(*(self.carried(there) + back).transpose(2, 0, 1))
        inside = (self._x >= 0) & (self._x <= cols - 1) & (self._y >= 0) & (self._y <= rows - 1)
        alike = np.abs(self.carried(before).astype(np.int16) - now) < _ALIKE_GREY
        self.sure: Bool = inside & alike & (round_trip < _ROUND_TRIP_PX)

    def carried(self, old: NDArray[np.generic], how: int = cv2.INTER_LINEAR) -> NDArray[np.generic]:
        """(H, W) or (H, W, C) of the picture before, where it is now."""
        return cast(NDArray[np.generic], cv2.remap(old, self._x, self._y, how))


def grey_of(pixels: F32) -> U8:
    """(3, H, W) of 0..255 -> (H, W) grey levels."""
    rgb = np.ascontiguousarray(pixels.transpose(1, 2, 0)).clip(0, 255).astype(np.uint8)
    return cast(U8, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporalScores:
    """``consistency``: mean IoU with the masks before, carried along; ``flips``: share that changed."""

    consistency: float
    flips: float
    pairs: int


class TemporalConsistency:
    """Mean IoU of each mask with the one before carried along the flow, over pixels whose way is sure."""

    def __init__(self, classes: int) -> None:
        self._confusion = Confusion(tuple((i,) for i in range(classes)), classes)
        self._pairs = 0
        self._before: tuple[U8, U8] | None = None

    def add(self, grey: U8, ids: U8) -> None:
        """The next picture and its class ids, (H, W) each. ShapeError if sizes differ."""
        if grey.shape != ids.shape:
            raise ShapeError(f"prediction {ids.shape} and picture {grey.shape} differ in size")
        if self._before is not None and self._before[0].shape == grey.shape:
            way = Carried(grey, self._before[0])
            old = way.carried(self._before[1], cv2.INTER_NEAREST)
            self._confusion.add(ids, np.where(way.sure, old, NO_CLASS).astype(np.uint8))
            self._pairs += 1
        self._before = (grey, ids)

    def cut(self) -> None:
        """The next picture does not follow the last one."""
        self._before = None

    def scores(self) -> TemporalScores:
        """The numbers over everything added; NaN without any pair of pictures."""
        return TemporalScores(
            consistency=self._confusion.mean_iou(), flips=1 - self._confusion.accuracy(), pairs=self._pairs
        )
