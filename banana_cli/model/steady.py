"""Steady maps of a clip: what the network says of a frame, held together with what it said before.

Optical flow (DIS, Kroeger et al. 2016) tells where each pixel was one frame ago. Where the two pictures
agree there, the answer of then is carried along and the new one moves it by a share; where they do not
(something came into view, the picture was cut), the new answer stands alone. Class scores are carried at
half the resolution and put back as a correction, so that edges stay the frame's own; depth and normals
are carried as they are, depth nearer by what the car has driven. The class that a pixel had keeps a small
advantage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Final, cast

import cv2
import numpy as np
import torch

from banana_cli.layers import largest
from banana_cli.model.approach import Approach, approach
from banana_cli.types import F32, U8, Window

NEW_SHARE: Final = 0.2
"""How much of the new answer enters where the old one is trusted fully: a memory of about five frames."""
ADVANTAGE: Final = 0.5
"""What the class of the frame before is given, in units of the scores (logits)."""
AGREE_GREY: Final = 12.0
"""Difference of grey levels (of 255) at which trust in the old answer has fallen to 1/e."""
CUT_BELOW: Final = 0.25
"""Mean trust below which the picture was cut: nothing is carried over."""
LEAST_PX: Final = 64
"""Pictures with a shorter side are left as they are: flow has nothing to hold on to."""

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32) * 255


@dataclass(slots=True, eq=False)
class Held:
    """What is carried from frame to frame, of a picture (h, w) with K classes and G other channels.

    ``grey`` (h/2, w/2); ``scores`` (K, h/2, w/2); ``rest`` (G, h, w); ``ids`` (h, w) class ids.
    """

    grey: U8
    scores: F32
    rest: F32
    ids: U8

    @classmethod
    def first(cls, maps: F32, grey: U8, classes: int) -> Held:
        """What is known after one frame; copies, so that ``maps`` may change."""
        scores = np.empty((classes, *grey.shape), np.float32)
        for plane, half in zip(maps, scores, strict=False):
            half[:] = _halved(plane)
        return cls(grey, scores, maps[classes:].copy(), _ids(maps[:classes]))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name; no copies."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Held:
        """Inverse of ``to_arrays``; KeyError if one is missing."""
        return cls(**{f.name: arrays[f.name].copy() for f in fields(cls)})


@dataclass(frozen=True, eq=False)
class Motion:
    """For each pixel of a window at half resolution: the way back to the frame before, and trust in it.

    ``flow`` (h, w, 2) (x, y) in pixels of that resolution; ``trust`` (h, w) from 0 to 1.
    """

    flow: F32
    trust: F32

    @property
    def is_cut(self) -> bool:
        """Whether the two pictures have nothing in common."""
        return float(self.trust.mean()) < CUT_BELOW

    def way(self) -> F32:
        """The flow, NaN where it leads out of the picture, and everywhere after a cut."""
        outside = (self.trust == 0) | self.is_cut
        return np.where(outside[..., None], np.float32(np.nan), self.flow)

    def thinned(self) -> Motion:
        """The same at half the resolution."""
        thin = (slice(None, None, 2), slice(None, None, 2))
        return Motion(self.flow[thin] * np.float32(0.5), self.trust[thin])

    def doubled(self) -> Motion:
        """The same at twice the resolution."""
        size = (2 * self.flow.shape[1], 2 * self.flow.shape[0])
        flow, trust = (
            cast(F32, cv2.resize(a, size, interpolation=cv2.INTER_LINEAR)) for a in (self.flow, self.trust)
        )
        return Motion(flow * np.float32(2), trust)

    def carried(self, old: F32) -> Sequence[F32]:
        """(C, h, w) of the frame before, where it is now, plane by plane."""
        if len(old) == 1:
            return [cast(F32, self._moved(old[0], cv2.INTER_LINEAR))]
        # All channels of a pixel at once are three times as fast.
        return cast(Sequence[F32], cv2.split(self._moved(cv2.merge(list(old)), cv2.INTER_LINEAR)))

    def carried_ids(self, old: U8) -> U8:
        """(h, w) whole numbers of the frame before, where they are now."""
        return cast(U8, self._moved(old, cv2.INTER_NEAREST))

    def _moved(self, old: np.ndarray, how: int) -> np.ndarray:
        return cast(np.ndarray, cv2.remap(old, self._was, None, how, borderMode=cv2.BORDER_REPLICATE))

    @cached_property
    def _was(self) -> F32:
        """(h, w, 2) the (x, y) where each pixel was."""
        places: F32 = self.flow + _places(*self.trust.shape)
        return places


class Steady:
    """The filter of one clip; all windows in network pixels, their sides multiples of 32."""

    def __init__(self, classes: int, *, depth: bool = False, held: Held | None = None) -> None:
        """``classes`` channels of scores come first in all maps, then any others.

        ``depth``: the first of those is the log of a distance, which shrinks as the car drives on.
        """
        self._classes, self._depth = classes, depth
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self.held = held
        self.way: F32 | None = None
        """(h/2, w/2, 2) of the last step's window: the flow back, NaN where the pixel was not seen before."""

    def step(self, maps: F32, grey: U8, at: Window) -> bool:
        """Steady the maps (C, h, w) of the picture's window ``at`` in place; False after a cut.

        ``grey`` (h/2, w/2), see ``grey_of``. The first call must be for the whole picture and changes
        nothing. Outside a smaller window everything stays as it was.
        """
        if self.held is None:
            self.held, self.way = Held.first(maps, grey, self._classes), None
            return True
        motion = self._motion(grey, self.held.grey[_half(at)])
        self.way = motion.way()
        if motion.is_cut:
            self._replace(maps, grey, at)
            return False
        self._scores(maps, motion, at)
        full = motion.doubled()
        self._rest(maps, full, self._approach(motion.thinned(), at), at)
        self._ids(maps, full, at)
        self.held.grey[_half(at)] = grey
        return True

    def _motion(self, now: U8, before: U8) -> Motion:
        rows, cols = now.shape
        if min(rows, cols) < LEAST_PX // 2:
            return Motion(np.zeros((rows, cols, 2), np.float32), np.zeros((rows, cols), np.float32))
        flow = self._flow.calc(now, np.ascontiguousarray(before), None)
        to = flow + _places(rows, cols)
        seen = cv2.remap(before, to[..., 0], to[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        wrong = cv2.blur(cv2.absdiff(seen, now).astype(np.float32), (3, 3))
        inside = (to >= 0).all(-1) & (to[..., 0] <= cols - 1) & (to[..., 1] <= rows - 1)
        trust = np.exp(-np.square(wrong / np.float32(AGREE_GREY))) * inside
        return Motion(flow, trust.astype(np.float32))

    def _scores(self, maps: F32, motion: Motion, at: Window) -> None:
        if not self._classes:
            return
        known = self._of_held().scores[:, *_half(at)]
        share = (1 - NEW_SHARE) * motion.trust
        # Plane by plane, so that all that is at work stays in the processor's cache.
        for plane, kept, correction in zip(maps, known, motion.carried(known), strict=False):
            new = _halved(plane)
            correction -= new
            correction *= share
            np.add(new, correction, out=kept)
            plane += _enlarged(correction, plane)

    def _approach(self, motion: Motion, at: Window) -> Approach | None:
        """From a quarter of the resolution; None for a part of the picture, which has no middle."""
        known = self._of_held().rest
        if not self._depth or known.shape[1:] != (at.height, at.width):
            return None
        (code,) = motion.carried(np.ascontiguousarray(known[:1, ::4, ::4]))
        return approach(motion.flow, motion.trust, np.exp(np.clip(code, -20, 20)))

    def _rest(self, maps: F32, motion: Motion, told: Approach | None, at: Window) -> None:
        """Depth and normals."""
        rest, known = maps[self._classes :], self._of_held().rest[:, *at.slices()]
        if not len(rest):
            return
        carried, share = motion.carried(known), (1 - NEW_SHARE) * motion.trust
        if told is not None:
            np.add(carried[0], _enlarged(told.change, rest[0]), out=carried[0])
            share *= _enlarged(told.calm, rest[0])
        for plane, kept, old in zip(rest, known, carried, strict=True):
            old -= plane
            old *= share
            plane += old
            kept[:] = plane

    def _ids(self, maps: F32, motion: Motion, at: Window) -> None:
        """The class that was keeps an advantage."""
        if not self._classes:
            return
        ids = self._of_held().ids[at.slices()]
        before = torch.from_numpy(motion.carried_ids(ids)).long()[None]
        more = torch.from_numpy(motion.trust)[None] * ADVANTAGE
        torch.from_numpy(maps).scatter_add_(0, before, more)
        ids[:] = _ids(maps[: self._classes])

    def _replace(self, maps: F32, grey: U8, at: Window) -> None:
        held, new = self._of_held(), Held.first(maps, grey, self._classes)
        held.grey[_half(at)], held.scores[:, *_half(at)] = new.grey, new.scores
        held.rest[:, *at.slices()], held.ids[at.slices()] = new.rest, new.ids

    def _of_held(self) -> Held:
        if self.held is None:
            raise ValueError("nothing is held before the first step")
        return self.held


def grey_of(image: F32) -> U8:
    """(3, h, w) in [0, 1] -> (h/2, w/2) grey levels."""
    red, green, blue = (_halved(plane) * weight for plane, weight in zip(image, _LUMA, strict=True))
    return cast(U8, np.rint(red + green + blue).astype(np.uint8))


def _halved(plane: F32) -> F32:
    """(h, w) with even sides -> (h/2, w/2), the mean of each four."""
    rows, cols = plane.shape
    return cast(F32, cv2.resize(plane, (cols // 2, rows // 2), interpolation=cv2.INTER_AREA))


def _enlarged(small: F32, like: F32) -> F32:
    """A plane at the size of another."""
    rows, cols = like.shape
    return cast(F32, cv2.resize(small, (cols, rows), interpolation=cv2.INTER_LINEAR))


def _ids(scores: F32) -> U8:
    return largest(scores)[0] if len(scores) else np.zeros(scores.shape[1:], np.uint8)


def _half(at: Window) -> tuple[slice, slice]:
    return slice(at.top // 2, at.bottom // 2), slice(at.left // 2, at.right // 2)


@lru_cache(maxsize=8)
def _places(rows: int, cols: int) -> F32:
    """(rows, cols, 2) the (x, y) of every pixel."""
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    places: F32 = np.stack([x, y], -1)
    places.setflags(write=False)
    return places
