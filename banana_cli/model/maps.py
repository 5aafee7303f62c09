"""What the network says of a picture, stacked at its own resolution, and brought to the picture's size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from banana_cli.fit import Fit, Taps, taps
from banana_cli.layers import largest
from banana_cli.model.net import Head, NetOutput
from banana_cli.types import F32, NO_CLASS, U8, Attention, Lens, Window

_UNSURE: Final = NO_CLASS - 1  # no table has so many classes


def widths(heads: frozenset[Head], classes: int) -> Iterator[tuple[Head, int]]:
    """Heads in the order in which they are stacked, with their channels."""
    for head, width in ((Head.LOGITS, classes), (Head.DEPTH, 1), (Head.NORMALS, 3), (Head.THINGS, 3)):
        if head in heads:
            yield head, width


def stacked(out: NetOutput) -> Tensor:
    """(B, C, H, W) fp32: the heads that were read, in the order of ``widths``."""
    if out.whole is not None:
        return out.whole.float()
    read = (out.logits, out.depth_code, out.normals, out.things)
    parts = [m.float() for m in read if m is not None]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def planes(stack: Tensor) -> F32:
    """(C, H, W) on the CPU, plane after plane; a copy unless it is that already."""
    near = stack.cpu()
    pixels = near.permute(1, 2, 0)
    if near.is_contiguous() or not pixels.is_contiguous():
        found: F32 = near.contiguous().numpy()
        return found
    turned = cv2.transpose(pixels.flatten(0, 1).numpy())  # three times as fast as torch
    return cast(F32, turned.reshape(near.shape))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Maps:
    """Stacked maps (C, h, w) of one ``region`` of a frame, on the CPU.

    ``fit`` takes the region to (h, w); ``log_focal`` is the network's guess
    in units of ``codes.GUESS_PX``; ``kept`` the share of dense tokens; ``attention`` that of the region,
    where somebody asked; ``ids`` (h, w) of the largest scores, where they are known already.
    """

    stack: Tensor
    heads: frozenset[Head]
    classes: int
    region: Window
    fit: Fit
    log_focal: float
    kept: float
    attention: Attention | None = None
    ids: U8 | None = None

    def channels(self, head: Head) -> slice:
        """Where one head lies in the stack; empty if it was not read."""
        start = 0
        for one, width in widths(self.heads, self.classes):
            if one is head:
                return slice(start, start + width)
            start += width
        return slice(0, 0)

    def without_things(self) -> Maps:
        """The heads that are brought to the frame's size."""
        start = self.channels(Head.THINGS).start
        return replace(self, stack=self.stack[:start], heads=self.heads - {Head.THINGS}) if start else self

    def band(self, head: Head, start: int, stop: int) -> Tensor:
        """(channels, stop - start, columns of the region): the rows that zooming the whole would give."""
        return zoom(self.stack[self.channels(head)], self.fit, start, stop)


def zoom(x: Tensor, fit: Fit, start: int, stop: int) -> Tensor:
    """(C, h, w) at the fit's inner size -> rows start..stop at the source's size, bilinear."""
    if not fit.scaled:
        return x[:, start:stop]
    if stop - start < fit.source[0]:  # rows first, so that a band knows its place in the whole
        t = taps(inner=fit.inner[0], source=fit.source[0], start=start, stop=stop)
        low, high = (x.index_select(1, torch.from_numpy(i)) for i in (t.low, t.high))
        x = torch.lerp(low, high, torch.from_numpy(t.weight)[:, None])
    large = np.empty((len(x), stop - start, fit.source[1]), np.float32)
    for plane, out in zip(x.float().contiguous().numpy(), large, strict=True):
        cv2.resize(plane, (out.shape[1], out.shape[0]), dst=out, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(large)


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """Classes (h, w) at the size of the maps, and the scores (K, h, w) whose largest they are.

    NO_CLASS where none is the largest.
    """

    ids: U8
    scores: F32

    @classmethod
    def of(cls, scores: F32) -> Decided:
        """Decide, pixel by pixel."""
        ids, best = largest(scores)
        ids[~np.isfinite(best)] = NO_CLASS
        return cls(ids, scores)

    def zoomed(self, fit: Fit, start: int, stop: int) -> U8:
        """Rows of the classes that the scores, zoomed as ``zoom`` does, would decide.

        Between four neighbours of one class there is no other; scores are interpolated only elsewhere.
        """
        if not fit.scaled:
            return self.ids[start:stop]
        rows = taps(inner=fit.inner[0], source=fit.source[0], start=start, stop=stop)
        cols = taps(inner=fit.inner[1], source=fit.source[1])
        ids = self._sure().take(rows.low, 0).take(cols.low, 1)
        flat = ids.reshape(-1)
        unsure = np.flatnonzero(flat == _UNSURE)
        y, x = np.divmod(unsure, ids.shape[1])
        flat[unsure] = self._between(rows.at(y), cols.at(x))
        return ids

    def _sure(self) -> U8:
        """The class of each pixel that its neighbours to the right and below share, else ``_UNSURE``."""
        ids, sure = self.ids, self.ids.copy()
        sure[:-1][ids[:-1] != ids[1:]] = _UNSURE
        sure[:, :-1][ids[:, :-1] != ids[:, 1:]] = _UNSURE
        sure[:-1, :-1][ids[:-1, :-1] != ids[1:, 1:]] = _UNSURE
        return sure

    def _between(self, rows: Taps, cols: Taps) -> U8:
        """The classes of single points (n,)."""
        width = self.ids.shape[1]
        corners = np.stack(
            [row * width + col for row in (rows.low, rows.high) for col in (cols.low, cols.high)]
        )
        planes = self.scores.reshape(len(self.scores), -1)
        points = np.empty((len(planes), corners.shape[1]), np.float32)
        for plane, point in zip(planes, points, strict=True):
            (a, b), (c, d) = plane.take(corners).reshape(2, 2, -1)
            top = a + (b - a) * cols.weight
            point[:] = top + (c + (d - c) * cols.weight - top) * rows.weight
        ids, best = largest(points)
        ids[~np.isfinite(best)] = NO_CLASS
        return ids


def enlarged(x: Tensor, place: Window, factor: int) -> Tensor:
    """(C, h, w) -> the rectangle ``place`` of it, enlarged ``factor`` times, bilinear.

    A value depends on its neighbours and its phase alone, not on where the picture begins.
    """
    if factor == 1:
        return x[:, place.top : place.bottom, place.left : place.right]
    for axis, start, stop in ((1, place.top, place.bottom), (2, place.left, place.right)):
        at = torch.arange(start, stop)
        offset = (2 * (at % factor) + 1 - factor) / (2 * factor)  # from the middle of the small pixel
        low = at // factor + torch.floor(offset).long()
        weight = (offset - torch.floor(offset)).to(x.dtype)
        last = x.shape[axis] - 1
        near, far = (x.index_select(axis, i.clamp(0, last)) for i in (low, low + 1))
        x = torch.lerp(near, far, weight[:, None] if axis == 1 else weight)
    return x


def shrink(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(C, H, W) -> (C, *size), each pixel the mean of what it covers (a triangle filter)."""
    return F.interpolate(x[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0]


def fill_rays(rays: Tensor, corner: tuple[int, int], fit: Fit, focal_px: float) -> None:
    """(2, h, w) <- ((x - cx) / f, (y - cy) / f) of source pixels, the axis through the source's middle.

    ``corner`` is the (row, column) of the source where the rays begin; a moved corner needs scale 1.
    """
    steps = zip((1, 0), corner, fit.source, (fit.scale_y, fit.scale_x), strict=True)
    for axis, start, length, scale in steps:
        at = (torch.arange(rays.shape[2 - axis]) + start + 0.5) / scale
        line = (at - length / 2) / focal_px
        rays[axis] = line[:, None] if axis else line[None, :]


def fill_lens_rays(rays: Tensor, corner: tuple[int, int], fit: Fit, lens: Lens) -> None:
    """As ``fill_rays``, of a calibrated camera."""
    rays.copy_(_lens_rays(lens, corner, fit, (rays.shape[-2], rays.shape[-1])))


@lru_cache(maxsize=4)
def _lens_rays(lens: Lens, corner: tuple[int, int], fit: Fit, shape: tuple[int, int]) -> Tensor:
    """(2, h, w); all frames of a clip have the same."""
    at = [
        (np.arange(length) + start + 0.5) / scale - 0.5
        for length, start, scale in zip(shape, corner, (fit.scale_y, fit.scale_x), strict=True)
    ]
    y, x = np.meshgrid(*at, indexing="ij")
    return torch.from_numpy(np.stack(lens.rays(x, y)).astype(np.float32))


def reached_from_border(empty: Tensor) -> Tensor:
    """(h, w) bool -> the parts of it that touch the border."""
    count, labels = cv2.connectedComponents(empty.numpy().astype("uint8"), connectivity=4)
    found = torch.from_numpy(labels)
    border = torch.cat([found[0], found[-1], found[:, 0], found[:, -1]])
    outside = torch.zeros(count, dtype=torch.bool)
    outside[border.long()] = True
    outside[0] = False
    return outside[found.long()]
