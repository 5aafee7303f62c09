"""What a dashcam does to light: glare, lens, exposure, colours, grain, compression. Truth is untouched."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator

from banana_cli.types import F32
from banana_cli.worlds.noise import lookup, tile
from banana_cli.worlds.street_light import Light


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """Strengths of a camera's faults."""

    blur: float  # pixels
    shrink: float  # 1 = none: the picture once was this much smaller
    smear: float  # pixels of motion along the picture's rows
    sharpen: float
    noise: float
    vignette: float
    bloom: float
    veil: float  # stray light from the windscreen
    ghost: float  # the dashboard mirrored in the windscreen
    local: float  # local tone mapping
    quality: int  # JPEG
    saturation: float
    balance: tuple[float, float, float]


def make_sensor(rng: Generator) -> Sensor:
    """A random camera."""
    return Sensor(
        blur=float(rng.uniform(0.25, 0.5) if rng.random() < 0.8 else rng.uniform(0.5, 1.2)),
        shrink=float(rng.uniform(1.15, 2.0)) if rng.random() < 0.18 else 1.0,
        smear=float(rng.uniform(2, 6)) if rng.random() < 0.08 else 0.0,
        sharpen=float(rng.uniform(0.2, 1.4)),
        noise=float(rng.exponential(0.006)),
        vignette=float(rng.uniform(0, 0.35)),
        bloom=float(rng.uniform(0, 0.13)),
        veil=float(rng.exponential(0.008)),
        ghost=float(rng.exponential(0.03)) if rng.random() < 0.4 else 0.0,
        local=float(rng.uniform(0.05, 0.32)) if rng.random() < 0.6 else 0.0,
        quality=int(rng.integers(35, 97)),
        saturation=float(rng.uniform(0.85, 1.7)),
        balance=_balance(rng),
    )


def _balance(rng: Generator) -> tuple[float, float, float]:
    """Daylight varies from blue to yellow, and only a little to green or pink."""
    warm, green = float(rng.normal(0, 0.035)), float(rng.normal(0, 0.012))
    return (1 + warm, 1 + green, 1 - warm)


def develop(sensor: Sensor, light: Light, colour: F32, seed: list[int]) -> F32:
    """(3, H, W) display values in [0, 1] of linear light (H, W, 3)."""
    height, width = colour.shape[:2]
    level = _meter(light, colour)
    out = np.minimum(colour * np.float32(level), 8)
    small = cv2.resize(
        np.minimum(out, 4), (max(width // 8, 1), max(height // 8, 1)), interpolation=cv2.INTER_AREA
    )
    if sensor.local:
        out *= _dodge(small, sensor.local, width, height)[..., None]
    if sensor.bloom > 0.02:
        near, wide = (cv2.GaussianBlur(small, (0, 0), k * width / 512) for k in (3, 14))
        glow = cv2.resize(0.6 * near + 0.4 * wide, (width, height))
        out = out * (1 - sensor.bloom) + sensor.bloom * glow
    out = out + np.float32(sensor.veil)
    if sensor.ghost:
        out = out + _ghost(sensor, light, seed[0], width, height)
    out = _lens(sensor, out)
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    out *= (1 - sensor.vignette * (x[None] ** 2 + y[:, None] ** 2) / 2)[..., None]
    out *= np.array([1 + light.warmth, 1, 1 - light.warmth], np.float32) * np.array(
        sensor.balance, np.float32
    )
    display = _tone(out, light.contrast)
    grey = display.mean(-1, keepdims=True)
    display = grey + (display - grey) * np.float32(sensor.saturation)
    if sensor.sharpen > 0.1:
        display += sensor.sharpen * (display - cv2.GaussianBlur(display, (0, 0), 1.0))
    display += _speckle(seed, display.size).reshape(display.shape) * np.float32(sensor.noise)
    return _compress(np.clip(display, 0, 1), sensor.quality)


def _dodge(small: F32, power: float, width: int, height: int) -> F32:
    """Gain (H, W) of a phone's tone mapping: dark regions up, bright ones down."""
    tone = cv2.GaussianBlur(np.maximum(small.mean(-1), 0.02), (0, 0), max(small.shape[1] / 14, 0.6))
    gain = (0.16 / np.minimum(tone, 2.0)) ** np.float32(power)
    out: F32 = cv2.resize(np.clip(gain, 0.4, 2.2), (width, height))
    return out


def _ghost(sensor: Sensor, light: Light, seed: int, width: int, height: int) -> F32:
    """The dashboard's faint mirror image: soft bright shapes in the lower half."""
    field = tile(17 + seed % 3, 4, 3)
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    x = np.linspace(0, 0.4, width, dtype=np.float32)[None] + (seed % 13) / 13 + 0 * y
    shape = np.clip(0.5 + lookup(field, x, y * 0.25), 0, 1) * np.clip(y * 1.6 - 0.3, 0, 1)
    out: F32 = (sensor.ghost * shape)[..., None] * np.array(light.ambient, np.float32)
    return out


def _lens(sensor: Sensor, out: F32) -> F32:
    """Blur of the lens, of motion, and of a smaller original."""
    height, width = out.shape[:2]
    if sensor.smear:
        n = 2 * round(sensor.smear * width / 1024) + 1
        out = cv2.blur(out, (n, 1))
    if sensor.shrink > 1:
        size = (max(round(width / sensor.shrink), 2), max(round(height / sensor.shrink), 2))
        small = cv2.resize(out, size, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (width, height)), np.float32)
    return np.asarray(cv2.GaussianBlur(out, (0, 0), sensor.blur), np.float32)


def _meter(light: Light, colour: F32) -> float:
    """Gain of the automatic exposure: the lower two thirds count more than the sky."""
    height = colour.shape[0]
    small = colour[height // 3 :: 4, ::4].mean(-1)
    middle = float(np.exp(np.log(np.maximum(small, 1e-3)).mean()))
    target = 0.1 if not light.night else 0.06
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
