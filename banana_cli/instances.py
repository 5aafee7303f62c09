"""Countable things told apart: by their middles where a network says them, else as connected parts.

NumPy and OpenCV; no torch, no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from banana_cli.types import F32, U8, U16, Bool, Instances

MOST: Final = 65_535  # numbers that an id has room for
_SURE: Final = 0.1  # a lower peak is no middle (Panoptic-DeepLab)
_NEAR: Final = 7  # pixels across in which there is one peak
_REACH: Final = 16.0  # pixels that a way may miss its middle by, and beside these half of its own length
Index = NDArray[np.intp]


def components(
    mask_ids: U8, thing_classes: Sequence[int], least_px: int, confidence: U8 | None = None
) -> Instances:
    """Connected parts (8 neighbours) of each thing class of (H, W) ``mask_ids``, of at least ``least_px``.

    Numbered class by class, the largest of each first; what has no number left (65535) is left out.
    ``confidence`` (H, W) in 1/255 gives the scores, the mean over a part; they are 1 without it.
    """
    ids = np.zeros(mask_ids.shape, np.uint16)
    classes: list[int] = []
    scores: list[float] = []
    present = np.bincount(mask_ids.reshape(-1), minlength=256)
    for c in thing_classes:
        if present[c] >= max(1, least_px):
            found = _number(mask_ids == c, ids, len(classes), least_px, confidence)
            classes += [int(c)] * len(found)
            scores += found
    return Instances(ids=ids, classes=tuple(classes), scores=tuple(scores))


def _number(here: Bool, ids: U16, taken: int, least_px: int, confidence: U8 | None) -> list[float]:
    """Write the numbers after ``taken`` into ``ids``; the score of each."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(here.astype(np.uint8), connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    order = np.argsort(-area, kind="stable")
    order = order[area[order] >= max(1, least_px)][: MOST - taken]
    number = np.zeros(count, np.uint16)
    number[order] = np.arange(taken + 1, taken + 1 + len(order))
    np.copyto(ids, number[labels], where=here)
    if confidence is None:
        return [1.0] * len(order)
    sure = np.bincount(labels[here], confidence[here] / 255, count)
    return [float(v) for v in sure[order] / area[order]]


def grouped(
    mask_ids: U8,
    things: F32,
    thing_classes: Sequence[int],
    least_px: int,
    confidence: U8 | None = None,
) -> Instances:
    """Each pixel of a thing class of (H, W) ``mask_ids`` goes to the middle that it points at.

    ``things`` (3, h, w), of the same picture: how much a pixel is a middle, and the way (down, right) to
    its own in pixels of (h, w). A thing is of the class that most of its pixels have; its score is the peak
    of its middle, times the mean ``confidence`` (1/255) where that is known. Pixels that point at no middle
    are told apart as connected parts. Numbered by size, the largest first; none is below ``least_px``.
    """
    here = np.zeros(256, np.bool_)
    here[list(thing_classes)] = True
    inside = np.flatnonzero(here[mask_ids])
    middles = _Middles.of(things[0])
    place = middles.named(*_pointed(inside, mask_ids.shape, things[1:]))
    rest = np.zeros_like(mask_ids) + np.uint8(255)
    lone = inside[place < 0]
    rest.reshape(-1)[lone] = mask_ids.reshape(-1)[lone]
    kinds = [c for c in thing_classes if c != 255]
    parts = components(rest, kinds, least_px).ids.reshape(-1)[inside].astype(np.intp)
    group = np.where(place >= 0, place, len(middles.peak) - 1 + parts)
    group[(place < 0) & (parts == 0)] = -1
    peak = np.concatenate([middles.peak, np.ones(int(parts.max(initial=0)), np.float32)])
    return _told(mask_ids, inside, group, peak, least_px, confidence)


def _pointed(inside: Index, shape: tuple[int, ...], ways: F32) -> tuple[F32, F32, F32]:
    """Where (row, column of ``ways``) each of the pixels ``inside`` a picture points, and how far that is."""
    height, width = ways.shape[1:]
    rows = inside // shape[1]
    tall, wide = height / shape[0], width / shape[1]
    down, right = (rows + 0.5) * tall - 0.5, (inside - rows * shape[1] + 0.5) * wide - 0.5
    at = np.rint(down).astype(np.intp).clip(0, height - 1), np.rint(right).astype(np.intp).clip(0, width - 1)
    far = np.hypot(ways[0][at], ways[1][at])
    return (down + ways[0][at]).astype(np.float32), (right + ways[1][at]).astype(np.float32), far


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Middles:
    """Peaks, and for each pixel (h, w) the number of the nearest (from 0) and the way there."""

    peak: F32
    nearest: NDArray[np.int32]
    far: F32

    @classmethod
    def of(cls, heat: F32) -> _Middles:
        """The peaks of (h, w) ``heat``; one of equals that touch."""
        highest = cv2.dilate(heat, np.ones((_NEAR, _NEAR), np.uint8))
        tops = ((heat == highest) & (heat > _SURE)).astype(np.uint8)
        count, labels = cv2.connectedComponents(tops, connectivity=8)
        flat = np.flatnonzero(labels)
        _, first = np.unique(labels.reshape(-1)[flat], return_index=True)
        flat = flat[first]
        away = np.ones(heat.shape, np.uint8)
        away.reshape(-1)[flat] = 0
        if count < 2:
            none = np.full(heat.shape, np.inf, np.float32)
            return cls(peak=np.zeros(0, np.float32), nearest=np.zeros(heat.shape, np.int32), far=none)
        far, near = cv2.distanceTransformWithLabels(
            away, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        number = np.zeros(count, np.int32)  # of the library's own labels of the peaks
        number[near.reshape(-1)[flat]] = np.arange(len(flat))
        return cls(peak=heat.reshape(-1)[flat].clip(0, 1), nearest=number[near], far=far)

    def named(self, down: F32, right: F32, far: F32) -> Index:
        """The number of the middle that each point is near to, -1 where it is near to none."""
        height, width = self.nearest.shape
        row, col = (np.rint(at).astype(np.intp) for at in (down, right))
        at = row.clip(0, height - 1), col.clip(0, width - 1)
        outside = np.hypot(row - at[0], col - at[1])
        near = self.far[at] + outside <= _REACH + far / 2
        return np.where(near, self.nearest[at], -1).astype(np.intp)


def _told(
    mask_ids: U8, inside: Index, group: Index, peak: F32, least_px: int, confidence: U8 | None
) -> Instances:
    """Groups of pixels (-1 = none) as instances."""
    kept = group >= 0
    inside, group = inside[kept], group[kept]
    size = np.bincount(group, minlength=len(peak))
    order = np.argsort(-size, kind="stable")
    order = order[size[order] >= max(1, least_px)][:MOST]
    votes = np.bincount(group * 256 + mask_ids.reshape(-1)[inside], minlength=len(peak) * 256)
    kind = votes.reshape(-1, 256).argmax(1)
    score = peak.astype(np.float64)
    if confidence is not None:
        sure = np.bincount(group, confidence.reshape(-1)[inside] / 255, len(peak))
        score = score * sure / np.maximum(size, 1)
    number = np.zeros(len(peak), np.uint16)
    number[order] = np.arange(1, len(order) + 1)
    ids = np.zeros(mask_ids.shape, np.uint16)
    ids.reshape(-1)[inside] = number[group]
    return Instances(
        ids=ids, classes=tuple(int(k) for k in kind[order]), scores=tuple(float(s) for s in score[order])
    )
