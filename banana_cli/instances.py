"""Countable things told apart: by votes for their middles where these are told, else as connected parts.

NumPy and OpenCV; no torch, no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from banana_cli.classes import thing_ids
from banana_cli.types import F32, F64, U8, U16, Bool, Instances, Mask, Modality, Prediction
from banana_cli.votes import told_apart

MOST: Final = 65_535  # numbers that an id has room for
LEAST_PX: Final = 6
"""Of the network: it was not asked for smaller things."""
LEAST_SURE: Final = 0.5
"""Mean probability of its class below which a part of a mask is rather something else than a thing."""
_AROUND: Final = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)
Index = NDArray[np.intp]
I32 = NDArray[np.int32]
NumberT = TypeVar("NumberT", bound=np.generic)


def counted(prediction: Prediction, mask: Mask, modality: Modality) -> Instances:
    """The things that come with a mask: those that somebody has told apart, else its connected parts."""
    if prediction.instances is not None:
        return prediction.instances
    return components(mask.ids, thing_ids(modality), LEAST_PX, mask.confidence)


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


def sampled(ids: NDArray[NumberT], shape: tuple[int, ...]) -> NDArray[NumberT]:
    """(H, W) -> (h, w) ``shape``: what lies in the middle of each pixel."""
    if ids.shape == shape:
        return ids
    rows, cols = (_nearest(n, size) for n, size in zip(shape, ids.shape, strict=True))
    return ids.take(rows, 0).take(cols, 1)


def _nearest(count: int, size: int) -> Index:
    """Which of ``size`` pixels the middle of each of ``count`` lies in."""
    at: Index = ((2 * np.arange(count) + 1) * size) // (2 * count)
    return at


def grouped(
    mask_ids: U8, ways: F32 | None, thing_classes: Sequence[int], least_px: int, sure: F32
) -> Instances:
    """The things of (H, W) ``mask_ids``: pixels that vote for one middle, or connected parts without votes.

    ``ways`` (2, h, w), of the same picture: the way (down, right) to the middle of one's own thing in pixels
    of (h, w); a pixel votes where it leads, see ``votes``. ``sure`` (h, w), 0..1, is how probable the class
    of each pixel is. The mean of it is the score of a thing; what has less than LEAST_SURE is none. All of a
    thing is of one class. Numbered by size, the largest first; none is below ``least_px`` pixels of the mask.
    """
    kinds = sampled(mask_ids, sure.shape)
    parts, inside = _parts(kinds, thing_classes)
    if not inside.size:
        return Instances(ids=np.zeros(mask_ids.shape, np.uint16), classes=(), scores=())
    if ways is None:
        thing = parts.reshape(-1)[inside].astype(np.intp) - 1
    else:
        thing = told_apart(kinds, parts, inside, ways)
    score = np.bincount(thing, sure.reshape(-1)[inside]) / np.bincount(thing)
    number = np.full(kinds.shape, -1, np.int32)
    number.reshape(-1)[inside] = np.where(score[thing] >= LEAST_SURE, thing, -1)
    return _numbered(mask_ids, _enlarged(number, kinds, mask_ids), score, least_px)


def _parts(kinds: U8, thing_classes: Sequence[int]) -> tuple[I32, Index]:
    """Connected parts of each thing class, numbered from 1, and the flat pixels that are in one."""
    parts = np.zeros(kinds.shape, np.int32)
    present = np.bincount(kinds.reshape(-1), minlength=256)
    taken = 0
    for c in thing_classes:
        if present[c]:
            here = kinds == c
            count, labels = cv2.connectedComponents(here.astype(np.uint8), connectivity=8)
            np.copyto(parts, labels + np.int32(taken), where=here)
            taken += count - 1
    return parts, np.flatnonzero(parts)


def _enlarged(number: I32, kinds: U8, mask_ids: U8) -> I32:
    """(H, W) The number (h, w) of the nearest pixel of the same class, -1 where none is beside."""
    if kinds.shape == mask_ids.shape:
        return number
    height, width = kinds.shape
    rows, cols = (_nearest(n, size) for n, size in zip(mask_ids.shape, kinds.shape, strict=True))
    large = sampled(number, mask_ids.shape)
    other = np.flatnonzero(sampled(kinds, mask_ids.shape) != mask_ids)
    large.reshape(-1)[other] = -1
    row, col = np.divmod(other, mask_ids.shape[1])
    for down, right in _AROUND:
        at = (rows[row] + down).clip(0, height - 1), (cols[col] + right).clip(0, width - 1)
        free = (kinds[at] == mask_ids.reshape(-1)[other]) & (large.reshape(-1)[other] < 0)
        large.reshape(-1)[other[free]] = number[at][free]
    return large


def _numbered(mask_ids: U8, thing: I32, score: F64, least_px: int) -> Instances:
    """Things (H, W) of one class each, -1 = none, as instances."""
    inside = np.flatnonzero(thing >= 0)
    group = thing.reshape(-1)[inside]
    size = np.bincount(group, minlength=len(score))
    kind = np.zeros(len(score), np.uint8)
    kind[group] = mask_ids.reshape(-1)[inside]
    order = np.argsort(-size, kind="stable")
    order = order[size[order] >= max(1, least_px)][:MOST]
    number = np.zeros(len(score), np.uint16)
    number[order] = np.arange(1, len(order) + 1)
    ids = np.zeros(mask_ids.shape, np.uint16)
    ids.reshape(-1)[inside] = number[group]
    scores = tuple(float(s) for s in score[order])
    return Instances(ids=ids, classes=tuple(int(k) for k in kind[order]), scores=scores)
