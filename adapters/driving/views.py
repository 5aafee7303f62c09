"""What the views of a clip show: a layer alone, over the picture, or beside it."""

from __future__ import annotations

from colorsys import hsv_to_rgb

import cv2
import numpy as np

from banana_cli.types import U8, Bool, Frame, Instances, Layer, Mask

from .info import View

_TINT = 0.45
_EDGE = np.float32(0.35)


def show(view: View, frame: Frame, layer: Layer, colours: U8) -> U8:
    """(H, W, 3), or (H, 2 W, 3) with the picture on the left; ``colours`` (H, W, 3) is the painted layer."""
    if view is View.ALONE:
        return colours
    picture = picture_of(frame)
    if view is View.BESIDE:
        return np.concatenate([picture, colours], axis=1)
    return _over(picture, colours, layer)


def picture_of(frame: Frame) -> U8:
    """(H, W, 3) of a frame of a clip, whose pixels are 0 to 255."""
    picture: U8 = cv2.merge([cv2.convertScaleAbs(plane) for plane in frame.pixels])
    return picture


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


def over_tracks(picture: U8, things: Instances) -> U8:
    """The picture with all things that have a number in its colour, and the number beside each."""
    tracks = np.array([0, *(things.tracks or (0,) * len(things))], np.int64)
    colours = np.stack([colour_of(t) for t in tracks]).astype(np.uint8)
    on = tracks[things.ids] > 0
    blend: U8 = cv2.addWeighted(picture, 1 - _TINT, colours[things.ids], _TINT, 0)
    blend = np.where(on[..., None], blend, picture)
    edge = np.zeros(on.shape, np.bool_)
    edge[:, :-1] |= things.ids[:, :-1] != things.ids[:, 1:]
    edge[:-1] |= things.ids[:-1] != things.ids[1:]
    blend[edge & on] = colours[things.ids[edge & on]]
    size = max(0.35, min(picture.shape[:2]) / 900)
    for number, track in enumerate(tracks[1:], start=1):
        if track:
            _label(blend, str(track), things.ids == number, size)
    return blend


def _label(picture: U8, text: str, here: Bool, size: float) -> None:
    """Write a number at the top of a region, white on black."""
    rows, cols = np.flatnonzero(here.any(1)), np.flatnonzero(here.any(0))
    if rows.size:
        at = (int(cols.mean()) - 4, max(12, int(rows[0]) - 2))
        for colour, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)


def colour_of(track: int) -> tuple[int, int, int]:
    """A bright colour (R, G, B) that neighbouring numbers do not share: hues a golden angle apart."""
    hue = track * 0.618034 % 1
    red, green, blue = hsv_to_rgb(hue, 0.85 if track % 2 else 0.6, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)
