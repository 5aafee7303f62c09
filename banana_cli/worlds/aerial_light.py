"""From reflectance and height to the picture a sensor delivers."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator

from banana_cli.types import F32

from .aerial_geometry import Sun, coloured, normals_of, sun_blocker


def draw_sun(rng: Generator) -> Sun:
    """A sun between 22 and 75 degrees above the horizon."""
    return Sun(azimuth=float(rng.uniform(0, 2 * math.pi)), elevation=math.radians(float(rng.uniform(22, 75))))


def lit(rng: Generator, albedo: F32, surface: F32, pitch: float, sun: Sun) -> F32:
    """Radiance (H, W, 3): Lambert sun with cast shadows, and a bluish sky. ``surface`` metres (H, W)."""
    n = normals_of(surface, pitch, towards=True)
    s = sun.vector()
    direct = (n[0] * np.float32(s[0]) + n[1] * np.float32(s[1]) + n[2] * np.float32(s[2])).clip(0, 1)
    covered = (sun_blocker(surface, pitch, sun) - surface - np.float32(0.05)) * np.float32(
        1 / max(0.4, 0.4 * pitch)
    )
    direct *= 1 - covered.clip(0, 1)
    blue = float(rng.uniform(0.08, 0.32))
    out: F32 = coloured((1.06, 1.0, 0.93), direct)
    out += coloured((0.75 * blue, 0.95 * blue, 1.25 * blue), np.float32(0.5) - np.float32(0.5) * n[2])
    out *= albedo
    return out


def sensed(rng: Generator, radiance: F32, pitch: float) -> F32:
    """RGB (H, W, 3) in [0, 1]: haze, optics, exposure, colour of the sensor, sharpening, noise, JPEG."""
    haze = np.array((0.55, 0.65, 0.8), np.float32) * np.float32(rng.uniform(0, 0.10))
    image = radiance * np.float32(rng.uniform(0.85, 1)) + haze
    sigma = float(rng.uniform(0.35, 0.95))
    image = cv2.GaussianBlur(image, (0, 0), sigma)
    image = _exposed(rng, image)
    if rng.random() < 0.6:
        image = image + np.float32(rng.uniform(0.2, 2.2)) * (image - cv2.GaussianBlur(image, (0, 0), 1.2))
    grain = rng.random(image.shape, np.float32) - np.float32(0.5)
    image = image + np.float32(rng.uniform(0.0, 0.085)) * grain
    image = image.clip(0, 1)
    if rng.random() < 0.5:
        image = _jpeg(image, int(rng.integers(35, 96)))
    return np.ascontiguousarray(image, np.float32)


def _exposed(rng: Generator, image: F32) -> F32:
    """Exposure by the scene's own brightness, gamma, contrast, saturation and tint."""
    small = image[::4, ::4].mean(2)
    low, middle, high = np.quantile(small, (0.01, 0.5, float(rng.uniform(0.93, 0.998))))
    black = float(low) * float(rng.uniform(0, 0.9))
    white = max(float(high), float(middle) * float(rng.uniform(1.2, 2.5)), black + 0.05)
    image = ((image - np.float32(black)) / np.float32(white - black)).clip(0, 1.5)
    image = image ** np.float32(1 / rng.uniform(1.1, 2.3)) * np.float32(rng.uniform(0.75, 1.05))
    grey = cv2.transform(image, np.full((1, 3), 1 / 3, np.float32))[..., None]
    image = grey + (image - grey) * np.float32(
        rng.uniform(0.35, 1.05) if rng.random() < 0.85 else rng.uniform(1, 1.5)
    )
    cool = float(rng.normal(0, 0.05))  # daylight varies from blue to yellow, not to green or pink
    tint = (np.array((1 - cool, 1, 1 + cool)) + rng.normal(0, 0.012, 3)).astype(np.float32)
    out: F32 = image * tint + np.float32(rng.uniform(-0.02, 0.03))
    return out


def _jpeg(image: F32, quality: int) -> F32:
    """What a lossy picture format leaves of it."""
    data = np.rint(image * 255).astype(np.uint8)
    packed = cv2.imencode(".jpg", data, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    back = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.float32)
    out: F32 = back / np.float32(255)
    return out
