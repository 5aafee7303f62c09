"""What the views of a clip show: a layer alone, over the picture, or beside it."""

from __future__ import annotations

import cv2
import numpy as np

from banana_cli.types import U8, Frame, Layer, Mask

from .info import View

_TINT = 0.45
_EDGE = np.float32(0.35)


def show(view: View, frame: Frame, layer: Layer, colours: U8) -> U8:
    """(H, W, 3), or (H, 2 W, 3) with the picture on the left; ``colours`` (H, W, 3) is the painted layer."""
    if view is View.ALONE:
        return colours
    picture: U8 = cv2.merge([cv2.convertScaleAbs(plane) for plane in frame.pixels])
    if view is View.BESIDE:
        return np.concatenate([picture, colours], axis=1)
    return _over(picture, colours, layer)


def _over(picture: U8, colours: U8, layer: Layer) -> U8:
    """The layer's colours through the picture, the picture alone where there is no answer."""
    blend: U8 = cv2.addWeighted(picture, 1 - _TINT, colours, _TINT, 0)
    if not layer.valid.all():
        blend[~layer.valid] = picture[~layer.valid]
    if isinstance(layer, Mask):
        edge = np.zeros(layer.ids.shape, np.bool_)
        edge[:, :-1] |= layer.ids[:, :-1] != layer.ids[:, 1:]
        edge[:-1] |= layer.ids[:-1] != layer.ids[1:]
        blend[edge] = (blend[edge] * _EDGE).astype(np.uint8)
    return blend
