"""How steady the masks of a clip are along the optical flow of its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from banana_cli.metrics.masks import Confusion
from banana_cli.types import F32, NO_CLASS, U8, Bool, ShapeError

_ALIKE_GREY = 20  # of 255: a pixel that changed more is another thing
_ROUND_TRIP_PX = 1.0
NumberT = TypeVar("NumberT", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoundTrip:
    """Flow by DIS (Kroeger et al. 2016) from each pixel of a picture to another picture, and back again.

    ``there`` and ``back`` (H, W, 2) are the two ways (x, y) in pixels, the second from where the first leads;
    ``place`` (H, W, 2) is where that is, and ``inside`` (H, W) whether it is in the other picture.
    """

    there: F32
    back: F32
    place: F32
    inside: Bool

    @classmethod
    def of(cls, now: U8, other: U8) -> RoundTrip:
        """Between two grey pictures (H, W) of one size."""
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        there, back = dis.calc(now, other, None), dis.calc(other, now, None)
        rows, cols = np.mgrid[: now.shape[0], : now.shape[1]].astype(np.float32)
        place = np.stack([cols, rows], -1) + there
        inside = ((place >= 0) & (place <= np.array(now.shape[::-1]) - 1)).all(-1)
        return cls(there=there, back=read_at(back, place), place=place, inside=inside)

    @property
    def gap(self) -> F32:
        """(H, W) pixels by which the way back misses."""
        gap: F32 = np.linalg.norm(self.there + self.back, axis=-1)
        return gap


def read_at(old: NDArray[NumberT], place: F32, how: int = cv2.INTER_LINEAR) -> NDArray[NumberT]:
    """(H, W) or (H, W, C) read at (H, W, 2) places (x, y) in pixels; 0 outside."""
    return cast(NDArray[NumberT], cv2.remap(old, place[..., 0], place[..., 1], how))


class Carried:
    """Where each pixel of a picture was one picture before, and where that is sure.

    It is ``sure`` where flow there and back agree within a pixel, and the two pictures look alike.
    """

    def __init__(self, now: U8, before: U8) -> None:
        """Grey pictures (H, W) of one size."""
        trip = RoundTrip.of(now, before)
        self._place = trip.place
        alike = np.abs(self.carried(before).astype(np.int16) - now) < _ALIKE_GREY
        self.sure: Bool = trip.inside & alike & (trip.gap < _ROUND_TRIP_PX)

    def carried(self, old: NDArray[NumberT], how: int = cv2.INTER_LINEAR) -> NDArray[NumberT]:
        """(H, W) or (H, W, C) of the picture before, where it is now."""
        return read_at(old, self._place, how)


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
