"""Depth of what stands on the ground, from masks and the depth of the ground alone.

Real frames have masks but no depth. A car, a person or a post is about as far away as the ground where it
stands (the stixel assumption, Badino et al. 2009), and the ground's depth is what a network learns first.
Exact on worlds within the tests' bounds; used as a training target on real frames only.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np

from banana_cli.classes import STREET
from banana_cli.types import F32, U8, Bool


class _Thing(NamedTuple):
    """Classes that stand alike, and how high they reach in metres."""

    ids: tuple[int, ...]
    height_m: float


def _ids(*names: str) -> tuple[int, ...]:
    return tuple(c.id for c in STREET.classes if c.name in names)


GROUND: Final = _ids("road", "sidewalk", "terrain")
_THINGS: Final = (
    _Thing(_ids("car"), 1.3),  # the roof lies further away than the bumper
    _Thing(_ids("truck", "bus", "train"), 3.2),
    _Thing(_ids("person", "rider", "motorcycle", "bicycle"), 1.9),
    _Thing(_ids("pole"), 8.0),
    _Thing(_ids("cone or barrier"), 1.2),
)
_GAP_ROWS: Final = 3  # between a thing's lowest row and the ground: unsure pixels of its outline
_LEAST_PIXELS: Final = 20
_LEAST_CONTACT: Final = 0.3  # share of a thing's columns that must end on the ground


def standing_depth(label: U8, ground: F32, focal_px: float) -> F32:
    """(H, W) depth in m: ``ground`` on the ground, its value at the foot on what stands there, else NaN.

    ``label`` (H, W) uint8 in the street's ids, 255 unknown; ``ground`` (H, W) depth in m, trusted on the
    ground only; ``focal_px`` in pixels of this picture.
    """
    on_ground = np.isin(label, GROUND) & np.isfinite(ground)
    depth = np.where(on_ground, ground, np.float32(np.nan)).astype(np.float32)
    for thing in _THINGS:
        mask = np.isin(label, thing.ids)
        count, parts, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        for part in range(1, count):
            left, top, wide, high, pixels = boxes[part].tolist()
            if pixels >= _LEAST_PIXELS:
                view = np.s_[top : top + high + _GAP_ROWS, left : left + wide]
                _stand(depth[view], parts[view] == part, on_ground[view], ground[view], thing, focal_px)
    return depth


def _stand(depth: F32, part: Bool, on_ground: Bool, ground: F32, thing: _Thing, focal_px: float) -> None:
    """Write the depth of one connected part; all arrays are views of its box and some rows below."""
    foot = part.shape[0] - 1 - np.argmax(part[::-1], axis=0)  # lowest row of each column
    contact = np.full(part.shape[1], np.inf, np.float32)
    for below in range(_GAP_ROWS, 0, -1):
        row = foot + below
        inside = row < part.shape[0]
        row = np.minimum(row, part.shape[0] - 1)
        columns = np.arange(part.shape[1])
        touches = inside & on_ground[row, columns]
        contact = np.where(touches, ground[row, columns], contact)
    if np.isfinite(contact).mean() < _LEAST_CONTACT:
        return
    near = _running_least(contact, max(1, part.shape[0] // 3))  # tyres touch the ground, the sill does not
    with np.errstate(invalid="ignore"):
        reach = foot - thing.height_m * focal_px / near
    rows = np.arange(part.shape[0])[:, None]
    keep = part & np.isfinite(near) & (rows >= reach)
    np.copyto(depth, np.broadcast_to(near, part.shape), where=keep)


def _running_least(values: F32, half: int) -> F32:
    """Least of ``half`` neighbours on either side."""
    line = np.ascontiguousarray(values[None])
    least: F32 = cv2.erode(line, np.ones((1, 2 * half + 1), np.uint8), borderType=cv2.BORDER_REPLICATE)[0]
    return least
