"""Layers as pictures for people: (H, W, 3) RGB with ranges that are fixed for a whole run."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from banana_cli import codec
from banana_cli.adapter import Look
from banana_cli.types import F32, U8, Attention, Bool, Depth, DepthKind, Frame, Layer, Mask, Normals, Unit

_LEVELS: Final = 1024
_TINT: Final = np.float32(0.45)
_EDGE: Final = np.float32(0.35)
_DIM: Final = np.float32(0.55)
CELL_COLOURS: Final = {8: (255, 190, 40), 16: (60, 200, 220), 32: (120, 110, 200)}
"""Borders of cells by the side of their token in network pixels: most effort is amber, least is violet."""
_WARM = (
    (48, 18, 59), (70, 107, 227), (40, 187, 236), (49, 242, 153), (162, 252, 60),
    (237, 208, 58), (251, 128, 34), (210, 49, 5), (122, 4, 3),
)  # fmt: skip
_CALM = (
    (68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140),
    (40, 174, 128), (94, 201, 98), (173, 220, 48), (253, 231, 37),
)  # fmt: skip


def _table(stops: tuple[tuple[int, int, int], ...]) -> U8:
    """(_LEVELS, 3) colours, linear between the stops."""
    at = np.linspace(0, len(stops) - 1, _LEVELS)
    columns = [np.interp(at, np.arange(len(stops)), channel) for channel in zip(*stops, strict=True)]
    table: U8 = np.rint(np.stack(columns, axis=-1)).astype(np.uint8)
    return table


WARM: Final[U8] = _table(_WARM)
"""Rainbow from dark blue (0) to dark red (1), in the manner of "turbo"."""
CALM: Final[U8] = _table(_CALM)
"""Purple (0) to yellow (1) with even steps of lightness, in the manner of "viridis"."""
_INVALID: Final[U8] = np.zeros((1, 3), np.uint8)


def paint_frame(frame: Frame) -> U8:
    """The picture itself by its views; grey, by the first, where all are of one band; black where invalid."""
    one_band = len({v.band for v in frame.views}) == 1
    channels = [
        np.clip((frame.pixels[v.band] - v.low) * np.float32(255 / (v.high - v.low)), 0, 255)
        for v in (frame.views[:1] if one_band else frame.views)
    ]
    rgb = np.stack(channels if len(channels) == 3 else channels * 3, axis=-1)
    rgb[~frame.valid] = 0
    picture: U8 = np.rint(np.nan_to_num(rgb)).astype(np.uint8)
    return picture


def over(picture: U8, colours: U8, mask: Mask, part: tuple[slice, slice] = (slice(None), slice(None))) -> U8:
    """Class colours over a picture (H, W, 3), edges within ``part`` darker.

    The picture alone where there is no answer or the class is black, which is nothing of interest.
    """
    tint = np.where(mask.valid & colours.any(axis=-1), _TINT, np.float32(0.0))[..., None]
    blend = picture * (1 - tint) + colours * tint
    blend[_edges(mask, part)] *= _EDGE
    result: U8 = np.rint(blend).astype(np.uint8)
    return result


def _edges(mask: Mask, part: tuple[slice, slice]) -> Bool:
    """Pixels of ``part`` whose right or lower neighbour in it is of another class."""
    found = np.zeros(mask.ids.shape, np.bool_)
    ids, inside = mask.ids[part], found[part]
    inside[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    inside[:-1] |= ids[:-1] != ids[1:]
    return found & mask.valid


def over_cells(picture: U8, attention: Attention) -> U8:
    """A dimmed picture (H, W, 3) with the borders of the model's cells; untouched where it did not look."""
    seen = attention.side > 0
    blend = picture.copy()
    blend[seen] = (picture[seen] * _DIM).astype(np.uint8)
    for side, colour in CELL_COLOURS.items():
        blend[attention.edge & (attention.side == side)] = colour
    return blend


def paint(layer: Layer, look: Look) -> U8:
    """Any layer as a picture; black where it is invalid."""
    if isinstance(layer, Mask):
        return codec.mask_to_rgb(layer)
    if isinstance(layer, Normals):
        return codec.encode_normals_u8(layer)
    return paint_depth(layer, look)


def paint_depth(depth: Depth, look: Look) -> U8:
    """Distances in metres: rainbow over the inverse, near is red. All else: linear, purple to yellow."""
    inverse = depth.unit is Unit.METRE and not codec.is_height(depth)
    share = _inverse(depth, look) if inverse else _linear(depth, look)
    level = np.rint(np.clip(share, 0, 1) * np.float32(_LEVELS - 1)).astype(np.intp)
    np.copyto(level, _LEVELS, where=~depth.valid)
    rgb: U8 = np.take(np.concatenate([WARM if inverse else CALM, _INVALID]), level, axis=0)
    return rgb


def _inverse(depth: Depth, look: Look) -> F32:
    near, far = max(look.depth_near, 1e-3), max(look.depth_far, 2e-3)
    values = np.maximum(np.where(depth.valid, depth.values, far), np.float32(1e-3))
    return _ratio(1 / values - np.float32(1 / far), 1 / near - 1 / far)


def _linear(depth: Depth, look: Look) -> F32:
    relative = depth.depth_kind is DepthKind.RELATIVE or depth.unit is Unit.ONE
    near, far = (0.0, 1.0) if relative else (look.depth_near, look.depth_far)
    values = np.where(depth.valid, depth.values, np.float32(near))
    return _ratio(values - np.float32(near), far - near)


def _ratio(values: NDArray[np.floating], span: float) -> F32:
    return np.asarray(values / (span if abs(span) > 1e-9 else 1e-9), np.float32)
