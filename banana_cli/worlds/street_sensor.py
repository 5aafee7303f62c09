"""What a dashcam does to light: glare, lens, exposure, colours, grain, compression. Truth is untouched."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator

from banana_cli.types import F32
from banana_cli.worlds.street_light import Light


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """Strengths of a camera's faults."""

    blur: float  # pixels
    sharpen: float
    noise: float
    vignette: float
    bloom: float
    veil: float  # stray light from the windscreen
    quality: int  # JPEG
    saturation: float


def make_sensor(rng: Generator) -> Sensor:
    """A random camera."""
    return Sensor(
        blur=float(rng.uniform(0.35, 0.75) if rng.random() < 0.8 else rng.uniform(0.75, 1.3)),
        sharpen=float(rng.uniform(0, 0.7)),
        noise=float(rng.exponential(0.008)),
        vignette=float(rng.uniform(0, 0.35)),
        bloom=float(rng.uniform(0, 0.12)),
        veil=float(rng.exponential(0.015)),
        quality=int(rng.integers(55, 97)),
        saturation=float(rng.uniform(0.7, 1.25)),
    )


def develop(sensor: Sensor, light: Light, colour: F32, seed: list[int]) -> F32:
    """(3, H, W) display values in [0, 1] of linear light (H, W, 3)."""
    height, width = colour.shape[:2]
    level = _meter(light, colour)
    out = np.minimum(colour * np.float32(level), 8)
    if sensor.bloom > 0.02:
        small = cv2.resize(
            np.minimum(out, 4), (max(width // 8, 1), max(height // 8, 1)), interpolation=cv2.INTER_AREA
        )
        out = out * (1 - sensor.bloom) + sensor.bloom * cv2.resize(
            cv2.GaussianBlur(small, (0, 0), 3), (width, height)
        )
    out = out + np.float32(sensor.veil)
    out = cv2.GaussianBlur(out, (0, 0), sensor.blur)
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    out *= (1 - sensor.vignette * (x[None] ** 2 + y[:, None] ** 2) / 2)[..., None]
    out *= np.array([1 + light.warmth, 1, 1 - light.warmth], np.float32)
    display = _tone(out, light.contrast)
    grey = display.mean(-1, keepdims=True)
    display = grey + (display - grey) * np.float32(sensor.saturation)
    if sensor.sharpen > 0.1:
        display += sensor.sharpen * (display - cv2.GaussianBlur(display, (0, 0), 1.0))
    display += _speckle(seed, display.size).reshape(display.shape) * np.float32(sensor.noise)
    return _compress(np.clip(display, 0, 1), sensor.quality)


def _meter(light: Light, colour: F32) -> float:
    """Gain of the automatic exposure: the lower two thirds count more than the sky."""
    height = colour.shape[0]
    small = colour[height // 3 :: 4, ::4].mean(-1)
    middle = float(np.exp(np.log(np.maximum(small, 1e-3)).mean()))
    target = 0.22 if not light.night else 0.06
    return float(np.clip((target / middle) ** 0.85, 0.05, 12) * np.exp(light.exposure))


_STEPS = 4096


def _tone(out: F32, contrast: float) -> F32:
    """Film curve with a shoulder, then the display's gamma, then contrast; from a table of roots of light."""
    light = (np.arange(_STEPS) / (_STEPS - 1) * 2.5) ** 2
    display = (1 - np.exp(-1.35 * light)) ** (1 / 2.2)
    curve = (display * (1 - contrast) + display * display * (3 - 2 * display) * contrast).astype(np.float32)
    index = np.sqrt(np.clip(out, 0, 6.2)) * np.float32((_STEPS - 1) / 2.5)
    mixed: F32 = curve[index.astype(np.uint16)]
    return mixed


@lru_cache(maxsize=1)
def _normal_field() -> F32:
    out = np.random.default_rng(5).standard_normal(1 << 20, np.float32)
    out.setflags(write=False)
    return out


def _speckle(seed: list[int], size: int) -> F32:
    """``size`` normal numbers: a random stretch of a fixed field, or fresh ones for large pictures."""
    rng, field = np.random.default_rng(seed), _normal_field()
    if size * 2 > field.size:
        return rng.standard_normal(size, np.float32)
    start = int(rng.integers(field.size - size))
    return field[start : start + size]


def _compress(display: F32, quality: int) -> F32:
    eight = (display * 255 + 0.5).astype(np.uint8)
    _, coded = cv2.imencode(".jpg", eight[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    back = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1]
    return np.ascontiguousarray(back.transpose(2, 0, 1), np.float32) / np.float32(255)
