"""From physical values to what the network is shown: unit channels, pixel sizes, place in the scene."""

from __future__ import annotations

import numpy as np

from banana_cli.fit import Fit
from banana_cli.types import F32, Frame, Modality, Unit, Window


def placed(frame: Frame) -> tuple[Window, Window]:
    """The frame's window and core in its scene; a frame without them is its own scene."""
    whole = Window(top=0, left=0, height=frame.shape[0], width=frame.shape[1])
    window = frame.provenance.window or whole
    return window, frame.provenance.core or window


def unit_rgb(frame: Frame, part: Window | None) -> tuple[F32, F32]:
    """(3, h, w) in [0, 1], 0 where invalid, and (1, h, w) 1 where valid; ``part`` of the scene or all."""
    rows, cols = part.within(placed(frame)[0]).slices() if part else (slice(None), slice(None))
    valid = frame.valid[rows, cols]
    channels = [
        np.clip((frame.pixels[v.band, rows, cols] - v.low) * np.float32(1 / (v.high - v.low)), 0, 1)
        for v in frame.views
    ]
    image = np.stack(channels if len(channels) == 3 else channels * 3)
    bad = ~valid | ~np.isfinite(image).all(axis=0)
    image[:, bad] = 0
    return image, (~bad)[None].astype(np.float32)


def log_pitch(frame: Frame, fit: Fit) -> float:
    """Log of metres (scenes, streets) or millimetres (scans) a network pixel; NaN if unknown."""
    pitch = frame.geometry.pitch()
    if pitch is None or pitch.unit is Unit.ONE or min(abs(pitch.row), abs(pitch.col)) <= 0:
        return float("nan")
    unit = Unit.METRE if frame.modality in (Modality.STREET, Modality.AERIAL) else Unit.MILLIMETRE
    factor = {(Unit.METRE, Unit.MILLIMETRE): 1e3, (Unit.MILLIMETRE, Unit.METRE): 1e-3}.get(
        (pitch.unit, unit), 1.0
    )
    return float(np.log(np.sqrt(abs(pitch.row * pitch.col)) * factor / fit.scale))
