"""CT and MR pictures of a painted slice: densities, contrasts, noise, and the truth that goes with them."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from banana_cli.types import F32, U8, Modality, Pitch, Unit

from .aerial_geometry import normals_of
from .aerial_noise import fbm, smooth_noise
from .medical_parts import Part, draw_slice
from .medical_slice import CT_IDS, MR_IDS, Slice, Tissue, skin_depth
from .sample import Sample

# centre and width in HU of the three views of a CT slice
WINDOWS = ((40.0, 400.0), (-600.0, 1500.0), (300.0, 1500.0))

# mean HU (low, high) of each tissue in one body; the spread inside a tissue comes on top
_HU: dict[Tissue, tuple[float, float]] = {
    Tissue.OUTSIDE: (-1010, -995),
    Tissue.FOAM: (-960, -850),
    Tissue.TABLE: (-250, 150),
    Tissue.SKIN: (0, 50),
    Tissue.FAT: (-118, -85),
    Tissue.FASCIA: (-95, -50),
    Tissue.MUSCLE: (42, 68),
    Tissue.LIVER: (45, 115),
    Tissue.SPLEEN: (42, 120),
    Tissue.KIDNEY: (30, 145),
    Tissue.BOWEL: (25, 60),
    Tissue.FLUID: (0, 22),
    Tissue.GAS: (-990, -900),
    Tissue.LUNG: (-880, -690),
    Tissue.BLOOD: (35, 140),
    Tissue.CORTEX: (700, 1550),
    Tissue.SPONGIOSA: (215, 420),
    Tissue.MARROW: (-85, -40),
    Tissue.GREY: (34, 42),
    Tissue.WHITE: (24, 33),
    Tissue.MYOCARD: (40, 110),
    Tissue.POOL: (40, 145),
    Tissue.PAPILLARY: (40, 110),
    Tissue.RIGHT_POOL: (40, 145),
    Tissue.TUMOUR: (20, 75),
    Tissue.NECROSIS: (2, 30),
}
_CT_PARTS = (Part.LIMB, Part.LEGS, Part.CHEST, Part.ABDOMEN, Part.PELVIS, Part.HEAD)
_CT_ODDS = (0.32, 0.12, 0.2, 0.18, 0.12, 0.06)


def _draw_part(rng: Generator, heart: float) -> Part:
    if rng.random() < heart:
        return Part.HEART
    return _CT_PARTS[int(rng.choice(len(_CT_PARTS), p=_CT_ODDS))]


def ct_image(rng: Generator, tissue: U8, pitch: float, noise: Generator | None = None) -> F32:
    """Hounsfield units (H, W) float32 of a tissue map: means, texture, optics, correlated noise.

    ``noise`` draws the scanner's noise (``rng`` by default); the rest is the body's and the scanner's own.
    """
    h, w = tissue.shape
    means = np.array([rng.uniform(*_HU[t]) for t in Tissue], np.float32)
    hu = means[tissue]
    texture = fbm(rng, h, w, max(2.0, 14 / pitch), 4, 0.7)
    spread = np.full(len(Tissue), 7, np.float32)
    spread[[Tissue.OUTSIDE, Tissue.FOAM]] = 1, 15
    spread[[Tissue.LUNG, Tissue.SPONGIOSA, Tissue.CORTEX, Tissue.TUMOUR]] = 35, 45, 90, 10
    hu = hu + spread[tissue] * texture
    hu = cv2.GaussianBlur(hu, (0, 0), float(rng.uniform(0.45, 0.9)))
    strength = float(rng.uniform(2, 18))
    grain_size, streaks = float(rng.uniform(0.5, 0.9)), float(rng.uniform(3, 16)) * (rng.random() < 0.4)
    noise = noise or rng
    grain = cv2.GaussianBlur(noise.standard_normal((h, w), np.float32), (0, 0), grain_size)
    hu = hu + np.float32(strength * 2) * grain
    if streaks:
        hu += _streaks(noise, h, w, streaks)
    out: F32 = hu.clip(-1024, 3071)
    return out


def _streaks(rng: Generator, h: int, w: int, strength: float) -> F32:
    """Noise drawn out along one direction, as photon starvation leaves it."""
    length, angle = 21, float(rng.uniform(0, math.pi))
    kernel = np.zeros((length, length), np.float32)
    middle = length // 2
    dx, dy = middle * math.cos(angle), middle * math.sin(angle)
    ends = [(round(middle - dx), round(middle - dy)), (round(middle + dx), round(middle + dy))]
    cv2.line(kernel, ends[0], ends[1], 1.0, thickness=1)
    drawn: F32 = cv2.filter2D(
        rng.standard_normal((h, w), np.float32), -1, kernel / math.sqrt(float(kernel.sum()))
    )
    return drawn * np.float32(strength)


def ct_views(hu: F32) -> F32:
    """The soft tissue, lung and bone windows of HU (H, W) as (3, H, W) in [0, 1]."""
    return np.stack([((hu - np.float32(c - w / 2)) / np.float32(w)).clip(0, 1) for c, w in WINDOWS])


def _scan_sample(s: Slice, views: F32, ids: U8, modality: Modality) -> Sample:
    depth = skin_depth(s.body, s.pitch)
    return Sample(
        views=views,
        ids=ids,
        instances=np.zeros(ids.shape, np.uint16),
        depth=depth,
        normals=normals_of(depth, s.pitch, towards=False),
        modality=modality,
        pitch=Pitch(row=s.pitch, col=s.pitch, unit=Unit.MILLIMETRE),
    )


def ct_slice(rng: Generator, height: int, width: int) -> tuple[F32, Slice]:
    """HU (H, W) and the painted slice."""
    s = draw_slice(rng, height, width, _draw_part(rng, 0.0))
    return ct_image(rng, s.tissue, s.pitch), s


def ct_sample(rng: Generator, height: int, width: int) -> Sample:
    """A CT slice in three windows."""
    hu, s = ct_slice(rng, height, width)
    return _scan_sample(s, ct_views(hu), CT_IDS[s.tissue], Modality.CT)


# signal of each tissue: T1 weighted, T2 weighted, fat suppressed, cine (balanced)
_SIGNALS: dict[Tissue, tuple[float, float, float, float]] = {
    Tissue.OUTSIDE: (0, 0, 0, 0),
    Tissue.FOAM: (0, 0, 0, 0),
    Tissue.TABLE: (0, 0, 0, 0),
    Tissue.SKIN: (0.35, 0.3, 0.3, 0.3),
    Tissue.FAT: (0.92, 0.75, 0.13, 0.85),
    Tissue.FASCIA: (0.75, 0.6, 0.16, 0.7),
    Tissue.MUSCLE: (0.27, 0.17, 0.3, 0.2),
    Tissue.LIVER: (0.42, 0.3, 0.35, 0.32),
    Tissue.SPLEEN: (0.33, 0.5, 0.6, 0.35),
    Tissue.KIDNEY: (0.33, 0.6, 0.65, 0.45),
    Tissue.BOWEL: (0.3, 0.35, 0.4, 0.3),
    Tissue.FLUID: (0.13, 1.0, 0.95, 0.8),
    Tissue.GAS: (0.01, 0.01, 0.01, 0.01),
    Tissue.LUNG: (0.03, 0.03, 0.03, 0.03),
    Tissue.BLOOD: (0.15, 0.12, 0.4, 0.75),
    Tissue.CORTEX: (0.03, 0.03, 0.03, 0.04),
    Tissue.SPONGIOSA: (0.55, 0.45, 0.22, 0.4),
    Tissue.MARROW: (0.9, 0.72, 0.14, 0.7),
    Tissue.GREY: (0.38, 0.55, 0.5, 0.4),
    Tissue.WHITE: (0.55, 0.4, 0.35, 0.35),
    Tissue.MYOCARD: (0.3, 0.25, 0.35, 0.22),
    Tissue.POOL: (0.15, 0.2, 0.4, 0.72),
    Tissue.PAPILLARY: (0.3, 0.25, 0.35, 0.27),
    Tissue.RIGHT_POOL: (0.15, 0.2, 0.4, 0.72),
    Tissue.TUMOUR: (0.28, 0.65, 0.8, 0.5),
    Tissue.NECROSIS: (0.18, 0.9, 0.9, 0.7),
}


def _signals(rng: Generator, cine: bool) -> NDArray[np.float64]:
    """Signal of every tissue in one picture: a known contrast, varied, or (SynthSeg) a random one."""
    table = np.array([_SIGNALS[t] for t in Tissue])
    if cine:
        return table[:, 3] * rng.uniform(0.75, 1.25, len(Tissue))
    if rng.random() < 0.2:
        free = rng.uniform(0.05, 1, len(Tissue))
        return np.where(table[:, 0] < 0.05, table[:, 0], free)
    kind = int(rng.choice(3, p=[0.5, 0.25, 0.25]))
    return table[:, kind] * rng.uniform(0.7, 1.3, len(Tissue))


def _bias(rng: Generator, s: Slice, strength: float) -> F32:
    """Sensitivity of the coil: smooth, positive."""
    h, w = s.tissue.shape
    field = smooth_noise(rng, h, w, 0.5 * max(h, w)) + np.float32(0.5) * smooth_noise(
        rng, h, w, 0.25 * max(h, w)
    )
    out: F32 = np.exp(np.float32(strength) * field)
    return out


def mr_sample(rng: Generator, height: int, width: int) -> Sample:
    """An MR slice of random contrast; three equal views."""
    part = _draw_part(rng, 0.4)
    s = draw_slice(rng, height, width, part)
    cine = part is Part.HEART
    means = _signals(rng, cine).astype(np.float32)
    signal = means[s.tissue] * (
        1 + np.float32(rng.uniform(0.02, 0.12)) * fbm(rng, height, width, 10 / s.pitch, 4, 0.7)
    )
    signal = signal.clip(0, None) * _bias(
        rng, s, float(rng.uniform(0.1, 0.45) if cine else rng.uniform(0, 0.3))
    )
    if cine:
        signal *= _near_coil(rng, s)
    signal = cv2.GaussianBlur(signal, (0, 0), float(rng.uniform(0.4, 1.2)))
    sigma = np.float32(rng.uniform(0.005, 0.05))
    noise = sigma * rng.standard_normal((2, height, width), np.float32)
    signal = np.hypot(signal + noise[0], noise[1])
    if rng.random() < (0.6 if cine else 0.08):
        signal *= _round_view(rng, height, width)
    grey = _scaled(rng, signal, cine)
    return _scan_sample(s, np.stack([grey] * 3), MR_IDS[s.tissue], Modality.MR)


def _near_coil(rng: Generator, s: Slice) -> F32:
    """The surface coil on the chest: what is near the skin in front shines."""
    fall = np.float32(rng.uniform(45, 120))
    out: F32 = 1 + np.float32(rng.uniform(0.3, 2.0)) * np.exp(-(s.y - s.y.min()) / fall)
    return out


def _round_view(rng: Generator, h: int, w: int) -> F32:
    """A round field of view, black outside (as gradient correction leaves it)."""
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    radius = np.hypot((yy - h / 2) / h, (xx - w / 2) / w)
    out: F32 = (radius < rng.uniform(0.45, 0.6)).astype(np.float32)
    return out


def _scaled(rng: Generator, signal: F32, cine: bool) -> F32:
    """[0, 1] by a high quantile of the picture, as a viewer would."""
    high = float(np.quantile(signal[::3, ::3], float(rng.uniform(0.985, 0.9995))))
    out: F32 = (signal / np.float32(max(high, 1e-3))).clip(0, 1) ** np.float32(rng.uniform(0.8, 1.25))
    return out.astype(np.float32)
