"""From physical values to what the network is shown: unit channels, pixel sizes, place in the scene."""

from __future__ import annotations

import numpy as np

from banana_cli.fit import Fit
from banana_cli.tiles import Lattice, overlap_of
from banana_cli.types import F32, Frame, Geometry, Modality, Placed, Unit, Window


def placed(frame: Frame) -> tuple[Window, Window]:
    """The frame's window and core in its scene; a frame without them is its own scene."""
    whole = Window(top=0, left=0, height=frame.shape[0], width=frame.shape[1])
    window = frame.provenance.window or whole
    return window, frame.provenance.core or window


def unit_rgb(frame: Frame, part: Window | None) -> tuple[F32, F32]:
    """(3, h, w) in [0, 1], 0 where invalid, and (1, h, w) 1 where valid; ``part`` of the scene or all.

    What is only shown is valid here.
    """
    rows, cols = part.within(placed(frame)[0]).slices() if part else (slice(None), slice(None))
    valid = frame.valid[rows, cols]
    if frame.shown is not None:
        valid = valid | frame.shown[rows, cols]
    image = np.empty((3, *valid.shape), np.float32)
    known = valid.copy()
    for plane, view in zip(image, frame.views, strict=False):
        np.subtract(frame.pixels[view.band, rows, cols], np.float32(view.low), out=plane)
        plane *= np.float32(1 / (view.high - view.low))
        np.clip(plane, 0, 1, out=plane)
        known &= np.isfinite(plane)
    if len(frame.views) == 1:
        image[1:] = image[0]
    if not known.all():
        image[:, ~known] = 0
    return image, known[None].astype(np.float32)


def working_rgb(frame: Frame, lattice: Lattice, seen: Window) -> tuple[F32, F32]:
    """``unit_rgb`` of a rectangle of working pixels: each the mean of what is valid under it."""
    under, f = lattice.file(seen), lattice.looks.shrink
    image, valid = unit_rgb(frame, under)
    if f == 1:
        return image, valid
    top, left = under.top + lattice.lead[0] - seen.top * f, under.left + lattice.lead[1] - seen.left * f
    room = np.zeros((4, seen.height * f, seen.width * f), np.float32)
    room[:3, top : top + under.height, left : left + under.width] = image
    room[3:, top : top + under.height, left : left + under.width] = valid
    mean = room.reshape(4, seen.height, f, seen.width, f).mean(axis=(2, 4))
    known = mean[3:] > 0
    image = np.divide(mean[:3], mean[3:], where=known, out=np.zeros_like(mean[:3]))
    return image, known.astype(np.float32)


def answers_valid(frame: Frame, lattice: Lattice, part: Window) -> bool:
    """Whether there is any valid pixel in a rectangle of working pixels."""
    window = placed(frame)[0]
    under = overlap_of(lattice.file(part), window)
    return under is not None and bool(frame.valid[under.within(window).slices()].any())


def log_pitch_of(frame: Frame, lattice: Lattice, seen: Window) -> float:
    """``log_pitch`` of one look at a scene: a degree is not equally long everywhere.

    Rounded to a thousandth, so that it is the same number whichever frame the look was cut from.
    """
    geometry: Geometry = frame.geometry
    if isinstance(geometry, Placed):
        geometry = geometry.crop(lattice.file(seen).within(placed(frame)[0]))
    return round(_log_pitch(geometry, frame.modality, 1 / lattice.looks.shrink), 3)


def log_pitch(frame: Frame, fit: Fit) -> float:
    """Log of metres (scenes, streets) or millimetres (scans) a network pixel; NaN if unknown."""
    return _log_pitch(frame.geometry, frame.modality, fit.scale)


def _log_pitch(geometry: Geometry, modality: Modality, scale: float) -> float:
    pitch = geometry.pitch()
    if pitch is None or pitch.unit is Unit.ONE or min(abs(pitch.row), abs(pitch.col)) <= 0:
        return float("nan")
    unit = Unit.METRE if modality in (Modality.STREET, Modality.AERIAL) else Unit.MILLIMETRE
    factor = {(Unit.METRE, Unit.MILLIMETRE): 1e3, (Unit.MILLIMETRE, Unit.METRE): 1e-3}.get(
        (pitch.unit, unit), 1.0
    )
    return float(np.log(np.sqrt(abs(pitch.row * pitch.col)) * factor / scale))
