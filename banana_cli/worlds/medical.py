"""The medical worlds: CT, MR, X-ray, ultrasound and visible light, with exact truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from banana_cli.types import F32, U8, Modality, Pitch, Unit

from . import medical_scan as scan
from .medical_slice import CT_IDS
from .medical_sono import ultrasound_sample
from .medical_visible import visible_sample
from .medical_volume import VolumeSkin, draw_volume_skin, paint_volume
from .medical_xray import xray_sample
from .sample import Sample

_STREAM = 0x3ED1CA  # keeps these random numbers apart from those of the other worlds

_WORLDS: dict[Modality, Callable[[Generator, int, int], Sample]] = {
    Modality.CT: scan.ct_sample,
    Modality.MR: scan.mr_sample,
    Modality.XRAY: xray_sample,
    Modality.ULTRASOUND: ultrasound_sample,
    Modality.VISIBLE: visible_sample,
}


def sample(seed: int, height: int, width: int, modality: Modality) -> Sample:
    """A picture of a made-up body with exact truth; same seed, same bits.

    ``modality``: CT, MR, XRAY, ULTRASOUND or VISIBLE (KeyError otherwise). Views are (3, height, width)
    in [0, 1]: three windows for CT, RGB for visible light, three equal channels else.
    """
    return _WORLDS[modality](_rng(seed, modality), height, width)


def _rng(seed: int, modality: Modality) -> Generator:
    return default_rng([_STREAM, list(Modality).index(modality), seed])


def ct_slice(seed: int, height: int, width: int) -> tuple[F32, U8, Pitch]:
    """HU (height, width) float32, class ids, pixel pitch in mm: the slice of ``sample(seed, ..., CT)``."""
    hu, s = scan.ct_slice(_rng(seed, Modality.CT), height, width)
    return hu, CT_IDS[s.tissue], Pitch(row=s.pitch, col=s.pitch, unit=Unit.MILLIMETRE)


def volume(
    seed: int, slices: int, height: int, width: int
) -> tuple[NDArray[np.int16], U8, tuple[float, float, float]]:
    """A coherent CT volume: HU int16, class ids uint8 (slices, height, width), spacing mm (z, row, column).

    Its skin is ``volume_skin`` of the same arguments, exactly.
    """
    shape = (slices, height, width)
    skin = volume_skin(seed, slices, height, width)
    hu, ids = paint_volume([_STREAM, 99, seed], skin, shape)
    return hu, ids, skin.spacing


def volume_skin(seed: int, slices: int, height: int, width: int) -> VolumeSkin:
    """The skin of ``volume`` by formula: what is inside, and where a ray from the front meets it."""
    return draw_volume_skin(default_rng([_STREAM, 99, seed]), (slices, height, width))
