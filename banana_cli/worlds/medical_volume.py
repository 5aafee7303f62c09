"""A coherent three-dimensional body part whose skin is known by formula."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from banana_cli.types import F64, U8, Bool

from .medical_parts import Part, draw_skin, paint_part
from .medical_scan import ct_image
from .medical_slice import CT_IDS, Oval, blank

_PARTS = (Part.LIMB, Part.ABDOMEN, Part.PELVIS, Part.HEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSkin:
    """The outline of every slice is an ellipse whose axes and centre change smoothly with z (mm).

    ``x`` and ``y`` are mm from the middle of the slice to the right and down, ``z`` is mm from slice 0.
    """

    part: Part
    half: tuple[float, float]
    length: float
    swell: float
    phase: float
    drift: tuple[float, float]
    spacing: tuple[float, float, float]

    def oval(self, z: float) -> Oval:
        """Outline at z."""
        t = z / self.length
        if self.part is Part.HEAD:  # closes towards the crown, beyond the last slice
            size = math.sqrt(max(0.02, 1 - (0.96 * t) ** 2))
        else:
            size = 1 + self.swell * math.sin(2.2 * t + self.phase)
        return Oval(
            x=self.drift[0] * (t - 0.5),
            y=self.drift[1] * (t - 0.5),
            a=self.half[0] * size,
            b=self.half[1] * size,
        )

    def inside(self, x: F64, y: F64, z: float) -> Bool:
        """Whether points of the slice at z lie in the body."""
        o = self.oval(z)
        out: Bool = ((x - o.x) / o.a) ** 2 + ((y - o.y) / o.b) ** 2 < 1
        return out

    def front(self, x: F64, z: float) -> F64:
        """y (mm) of the skin that is seen from the front (along +y) at x, z; NaN beside the body."""
        o = self.oval(z)
        q = 1 - ((x - o.x) / o.a) ** 2
        out: F64 = np.where(q > 0, o.y - o.b * np.sqrt(np.maximum(q, 0)), np.nan)
        return out


def draw_volume_skin(rng: Generator, shape: tuple[int, int, int]) -> VolumeSkin:
    """A random body part that fits into (slices, rows, columns)."""
    slices, height, width = shape
    part = _PARTS[int(rng.integers(len(_PARTS)))]
    skin = draw_skin(rng, part)
    pitch = 2.5 * max(skin.a, skin.b) / min(height, width)
    step = float(rng.uniform(2.0, 5.0))
    return VolumeSkin(
        part=part,
        half=(skin.a, skin.b),
        length=max(slices - 1, 1) * step,
        swell=float(rng.uniform(0.04, 0.12)),
        phase=float(rng.uniform(0, 6.283)),
        drift=(float(rng.normal(0, 4)), float(rng.normal(0, 4))),
        spacing=(step, pitch, pitch),
    )


def paint_volume(
    seed: list[int], skin: VolumeSkin, shape: tuple[int, int, int]
) -> tuple[NDArray[np.int16], U8]:
    """HU int16 and class ids uint8, both (slices, rows, columns).

    Every slice draws the same random numbers, so its organs follow those of its neighbours; only the
    scanner's noise differs.
    """
    hu, ids = np.empty(shape, np.int16), np.empty(shape, np.uint8)
    for k in range(shape[0]):
        s = blank(default_rng([*seed, 1]), shape[1:], skin.spacing[1], warp=False)
        paint_part(s, skin.part, skin.oval(k * skin.spacing[0]))
        ids[k] = CT_IDS[s.tissue]
        hu[k] = np.rint(ct_image(default_rng([*seed, 2]), s.tissue, s.pitch, default_rng([*seed, 3, k])))
    return hu, ids
