"""Changes of colour and grain only: no pixel moves here."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import cv2
import numpy as np

from banana_cli.train.packs import CT_WINDOWS
from banana_cli.types import F32, U8, Modality

RGB = frozenset({Modality.STREET, Modality.AERIAL, Modality.VISIBLE})
_GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
_RAMP = np.linspace(0, 1, 256, dtype=np.float32)
Random = np.random.Generator
Change = Callable[[U8, Random], U8]


def _log_uniform(rng: Random, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _to_u8(values: F32) -> U8:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _curve(rng: Random, gamma: float, contrast: float, bias: float) -> F32:
    """A tone curve at 256 levels; the three numbers are the strengths of the jitter."""
    curve = _RAMP ** np.float32(_log_uniform(rng, 1 / gamma, gamma))
    gain = _log_uniform(rng, 1 / contrast, contrast)
    return ((curve - 0.5) * gain + 0.5 + rng.uniform(-bias, bias)).astype(np.float32)


def tone(pixels: U8, rng: Random) -> U8:
    """Brightness, contrast, gamma and white balance of an RGB picture."""
    curve = _curve(rng, 1.5, 1.35, 0.12)
    balance = np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
    table = _to_u8(curve[:, None] * balance)
    return cast(U8, cv2.LUT(pixels, table[None]))


def hue(pixels: U8, rng: Random) -> U8:
    """Saturation 0.5 to 1.6 and a turn of hue of up to 20 degrees about the grey axis."""
    saturation, angle = rng.uniform(0.5, 1.6), np.deg2rad(rng.uniform(-20, 20))
    grey = np.tile(_GREY_WEIGHTS, (3, 1))
    axis = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * axis + (1 - np.cos(angle)) / 3
    matrix = (saturation * (np.eye(3) - grey) @ turn + grey).astype(np.float32)
    return cast(U8, cv2.transform(pixels, matrix))


def grey(pixels: U8, _: Random) -> U8:
    """The picture without its colours."""
    return cast(U8, cv2.transform(pixels, np.tile(_GREY_WEIGHTS, (3, 1))))


def grey_tone(pixels: U8, rng: Random) -> U8:
    """One strong tone curve for all three equal views (MR, X-ray, ultrasound)."""
    return cast(U8, cv2.LUT(pixels, _to_u8(_curve(rng, 1.8, 1.4, 0.08))))


def ct_tone(pixels: U8, rng: Random) -> U8:
    """A weak curve a window: HU are absolute, so only calibration and reconstruction differ."""
    shift = rng.normal(0, 6.0)  # HU, common to all windows
    gain = np.exp(rng.normal(0, 0.03))
    tables = [_to_u8(((_RAMP - 0.5) * gain + 0.5 + shift / w).astype(np.float32)) for _, w in CT_WINDOWS]
    return cast(U8, cv2.LUT(pixels, np.stack(tables, axis=-1)[None]))


def bias_field(pixels: U8, rng: Random) -> U8:
    """A smooth field of gain, as of a receiver coil."""
    nodes = np.exp(rng.normal(0, 0.2, (3, 3))).astype(np.float32)
    field = cv2.resize(nodes, pixels.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    scaled = pixels[..., 0] * field
    one = np.clip(scaled, 0, 255).astype(np.uint8)
    return cast(U8, cv2.merge([one, one, one]))


def blur(pixels: U8, rng: Random) -> U8:
    """Gaussian blur, sigma 0.4 to 1.8 pixels."""
    return cast(U8, cv2.GaussianBlur(pixels, (0, 0), _log_uniform(rng, 0.4, 1.8)))


def motion_blur(pixels: U8, rng: Random) -> U8:
    """A short straight smear, as of a moving camera."""
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    middle = (length - 1) / 2
    step = middle * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(int(v) for v in np.rint(middle + sign * step)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return cast(U8, cv2.filter2D(pixels, -1, kernel / kernel.sum()))


def _noise(shape: tuple[int, ...], rng: Random) -> F32:
    return rng.standard_normal(shape, dtype=np.float32)


def noise(pixels: U8, rng: Random) -> U8:
    """Grain of up to 5 % in every channel on its own."""
    sigma = np.float32(_log_uniform(rng, 1.0, 13.0))
    return np.clip(pixels + sigma * _noise(pixels.shape, rng), 0, 255).astype(np.uint8)


def grey_noise(pixels: U8, rng: Random) -> U8:
    """The same grain in all three views."""
    sigma = np.float32(_log_uniform(rng, 1.0, 15.0))
    one = np.clip(pixels[..., 0] + sigma * _noise(pixels.shape[:2], rng), 0, 255).astype(np.uint8)
    return cast(U8, cv2.merge([one, one, one]))


def ct_noise(pixels: U8, rng: Random) -> U8:
    """Noise of 2 to 20 HU, seen through each window."""
    field = _noise(pixels.shape[:2], rng) * np.float32(_log_uniform(rng, 2, 20) * 255)
    views = [cv2.add(pixels[..., i], field / np.float32(w), dtype=cv2.CV_8U) for i, (_, w) in _CT]
    return cast(U8, cv2.merge(views))


_CT = tuple(enumerate(CT_WINDOWS))


def jpeg(pixels: U8, rng: Random) -> U8:
    """Through JPEG at quality 25 to 90."""
    quality = int(rng.integers(25, 91))
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cast(U8, cv2.imdecode(data, cv2.IMREAD_COLOR))


def cutout(pixels: U8, rng: Random) -> U8:
    """One to three blocks in a flat colour; the labels stay, so that context must answer."""
    out = pixels.copy()
    height, width = pixels.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        h, w = (int(rng.integers(max(1, n // 16), max(2, n // 6))) for n in (height, width))
        top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        colour = pixels[int(rng.integers(0, height)), int(rng.integers(0, width))]
        out[top : top + h, left : left + w] = colour
    return out


_CAMERA: tuple[tuple[float, Change], ...] = (
    (0.9, tone),
    (0.5, hue),
    (0.05, grey),
    (0.15, blur),
    (0.08, motion_blur),
    (0.25, noise),
    (0.25, jpeg),
    (0.06, cutout),
)
# For pseudo-labels: the student must find hard what the teacher found easy (FixMatch, Sohn et al. 2020).
_STRONG: tuple[tuple[float, Change], ...] = (
    (1.0, tone),
    (0.8, hue),
    (0.1, grey),
    (0.4, blur),
    (0.1, motion_blur),
    (0.4, noise),
    (0.4, jpeg),
    (0.5, cutout),
)
_SCANNER: tuple[tuple[float, Change], ...] = (
    (0.8, grey_tone),
    (0.15, blur),
    (0.3, grey_noise),
    (0.08, jpeg),
    (0.05, cutout),
)
_CHANGES: dict[Modality, tuple[tuple[float, Change], ...]] = {
    **{m: _CAMERA for m in RGB},
    Modality.XRAY: _SCANNER,
    Modality.ULTRASOUND: _SCANNER,
    Modality.MR: ((0.3, bias_field), *_SCANNER),
    Modality.CT: ((0.5, ct_tone), (0.1, blur), (0.4, ct_noise), (0.03, cutout)),
}


def change_photometry(pixels: U8, modality: Modality, rng: Random, *, strong: bool = False) -> U8:
    """A random chain of the modality's changes on (H, W, 3) uint8; shape and type stay.

    ``strong``: the harder chain for RGB pictures with labels of a teacher.
    """
    for chance, change in _STRONG if strong else _CHANGES[modality]:
        if rng.random() < chance:
            pixels = change(pixels, rng)
    return pixels
