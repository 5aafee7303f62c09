"""Chest X-rays by projection: Beer-Lambert along parallel rays through a body of ellipsoids."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from banana_cli.classes import MEDICAL
from banana_cli.types import F32, U8, Bool, Modality, Pitch, Unit

from .aerial_geometry import normals_of
from .aerial_noise import fbm, smooth_noise
from .sample import Sample

_LUNG, _BACKGROUND = MEDICAL.id_of("lung"), MEDICAL.id_of("background")
# attenuation per mm
_SOFT, _AIR_FILLED, _BONE = 0.020, 0.006, 0.034


@dataclass(frozen=True, slots=True, kw_only=True)
class Ellipsoid:
    """Centre (x, y, 0) and half axes in mm; ``turn`` radians about the ray direction."""

    x: float
    y: float
    a: float
    b: float
    c: float
    turn: float = 0.0


def chord(e: Ellipsoid, x: F32, y: F32) -> F32:
    """Length in mm inside the ellipsoid of the ray along z through (x, y) mm: 2 c sqrt(1 - q)."""
    cos, sin = np.float32(math.cos(e.turn)), np.float32(math.sin(e.turn))
    dx, dy = x - np.float32(e.x), y - np.float32(e.y)
    u, v = (dx * cos + dy * sin) / np.float32(e.a), (dy * cos - dx * sin) / np.float32(e.b)
    out: F32 = np.float32(2 * e.c) * np.sqrt((1 - u * u - v * v).clip(0, None))
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Thorax:
    """Lengths in mm along every ray (H, W), and where lung shows (also before and behind the heart)."""

    thickness: F32
    lungs: F32
    heart: F32
    bone: F32
    shows: Bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Field:
    """The detector: mm coordinates (H, W), x to the patient's left, y to the feet; 0 is mid chest."""

    rng: Generator
    pitch: float
    x: F32
    y: F32

    def px(self, x: float, y: float) -> tuple[float, float]:
        """Pixel (column, row) of a point in mm (the picture is not turned for drawing)."""
        return (x - float(self.x[0, 0])) / self.pitch, (y - float(self.y[0, 0])) / self.pitch


def _field(rng: Generator, h: int, w: int) -> _Field:
    pitch = float(rng.uniform(270, 400)) / max(h, w)
    cx, cy = float(rng.normal(0, 12)), float(rng.normal(0, 22))
    x = (np.arange(w, dtype=np.float32) - np.float32((w - 1) / 2)) * np.float32(pitch) + np.float32(cx)
    y = (np.arange(h, dtype=np.float32) - np.float32((h - 1) / 2)) * np.float32(pitch) + np.float32(cy)
    return _Field(
        rng=rng,
        pitch=pitch,
        x=np.ascontiguousarray(np.broadcast_to(x, (h, w))),
        y=np.ascontiguousarray(np.broadcast_to(y[:, None], (h, w))),
    )


def _body(f: _Field, half: float) -> F32:
    """Trunk, neck, shoulders and arms: symmetric about z = 0, so the union's chord is the largest chord."""
    r = f.rng
    deep = float(r.uniform(85, 130))
    wide = half * (1 + 0.10 * np.tanh((f.y + 40) / 90))
    trunk = np.float32(2 * deep) * np.sqrt((1 - (f.x / wide) ** 2).clip(0, None))
    trunk *= 0.5 + 0.5 * np.tanh((f.y + 150) / 18)
    neck = np.float32(110) * np.sqrt((1 - (f.x / np.float32(58)) ** 2).clip(0, None))
    parts = [trunk, neck]
    low, apart = float(r.uniform(-150, -110)), float(r.uniform(0.75, 0.95)) * half
    for side in (-1, 1):
        parts.append(chord(Ellipsoid(x=side * apart, y=low, a=105, b=58, c=60, turn=side * 0.35), f.x, f.y))
        arm = Ellipsoid(
            x=side * (half + r.uniform(30, 70)), y=60, a=48, b=230, c=45, turn=-side * r.uniform(0, 0.15)
        )
        parts.append(chord(arm, f.x, f.y))
    body: F32 = np.maximum.reduce(parts).astype(np.float32)
    out: F32 = cv2.GaussianBlur(body, (0, 0), 4 / f.pitch)
    return out


def _lung(f: _Field, side: int, half: float, top: float, base: float) -> F32:
    """One lung's chord: an apex that narrows, a straight inner side, an outer side along the ribs."""
    inner = float(f.rng.uniform(14, 24))
    down = ((f.y - top) / (base - top)).clip(0, 1.3)
    outer = (inner + (half * 0.86 - inner) * np.sqrt(1 - (1 - down.clip(0, 1)) ** 2.4)).astype(np.float32)
    outer += np.float32(2) * smooth_noise(f.rng, f.x.shape[0], f.x.shape[1], 40 / f.pitch)
    middle, reach = (outer + inner) / 2, (outer - np.float32(inner)) / 2
    u = (f.x * side - middle) / np.maximum(reach, 1)
    q = u**4 + (2 * (down - np.float32(0.55)).clip(0.0, None) / 1.6) ** 2
    deep = np.float32(2 * f.rng.uniform(65, 85)) * np.sqrt(down.clip(0, 0.35) / np.float32(0.35))
    out: F32 = deep * np.sqrt((1 - q).clip(0, None)) * (f.y > top)
    return out


def thorax(f: _Field) -> Thorax:
    """A random chest on the detector."""
    r = f.rng
    half = float(r.uniform(125, 165))
    top, base = float(r.uniform(-150, -120)), float(r.uniform(70, 140))
    thickness = _body(f, half * 1.12)
    lungs = np.zeros_like(f.x)
    for side in (-1, 1):
        floor = base + (float(r.uniform(4, 18)) if side > 0 else 0.0)
        dome = Ellipsoid(
            x=side * half * 0.5, y=floor + 75, a=half * r.uniform(0.5, 0.6), b=r.uniform(80, 105), c=110
        )
        under = chord(dome, f.x, f.y) * (f.y < dome.y) + np.float32(220) * (f.y >= dome.y)
        lungs += (_lung(f, side, half, top, base + 75) - under).clip(0, None)
    heart_shape = Ellipsoid(
        x=float(r.uniform(12, 32)),
        y=base - float(r.uniform(22, 48)),
        a=float(r.uniform(48, 78)),
        b=float(r.uniform(42, 60)),
        c=float(r.uniform(30, 50)),
        turn=float(r.uniform(0.3, 0.8)),
    )
    heart = np.maximum(chord(heart_shape, f.x, f.y), chord(_arch(r), f.x, f.y))
    shows = lungs > 12
    lungs = np.minimum(lungs, (thickness - 30).clip(0, None))
    lungs = (lungs - np.float32(0.75) * heart).clip(0, None)
    return Thorax(
        thickness=thickness, lungs=lungs, heart=heart, bone=_skeleton(f, half, top, base), shows=shows
    )


def _arch(r: Generator) -> Ellipsoid:
    """The great vessels above the heart."""
    return Ellipsoid(x=float(r.uniform(6, 16)), y=-50, a=float(r.uniform(24, 40)), b=80, c=40)


def _tube(f: _Field, canvas: F32, points: NDArray[np.float64], width_mm: float, length_mm: float) -> None:
    """Add a hollow tube of bone along points (N, 2) mm: dense rims, a lighter middle."""
    columns, rows = f.px(0, 0)
    pixels = points / f.pitch + np.array([columns, rows])
    line = np.rint(pixels * 16).astype(np.int32).reshape(-1, 1, 2)
    layer = np.zeros(canvas.shape, np.uint8)
    wide = max(1, round(width_mm / f.pitch))
    cv2.polylines(layer, [line], False, 200, thickness=wide, lineType=cv2.LINE_AA, shift=4)
    if wide > 3:
        cv2.polylines(layer, [line], False, 125, thickness=wide - 2, lineType=cv2.LINE_AA, shift=4)
    canvas += layer.astype(np.float32) * np.float32(length_mm / 200)


def _skeleton(f: _Field, half: float, top: float, base: float) -> F32:
    """Ribs (back parts strong, front parts faint), collar bones, spine, shoulder blades, arms."""
    r = f.rng
    canvas = np.zeros_like(f.x)
    t = np.linspace(0, 1, 14)
    gap = (base - top + 40) / float(r.uniform(8.5, 11))
    slope, front = float(r.uniform(15, 50)), float(r.uniform(50, 110))
    strength = float(r.uniform(6, 15))
    for side in (-1, 1):
        for k in range(11):
            y = top + 4 + k * gap
            if y > base + 25:
                break
            edge = half * (0.42 + 0.5 * math.sqrt(1 - (1 - min(1.0, (k + 0.8) / 7)) ** 2))
            back_x = side * (14 + (edge - 14) * np.sin(t * math.pi / 2))
            back = np.stack((back_x, y - 12 * np.sin(t * math.pi) + slope * t**2), 1)
            _tube(f, canvas, back, 8.5, strength)
            front_x = side * (edge - (edge - 38) * t**1.6)
            _tube(f, canvas, np.stack((front_x, y + slope + front * t), 1), 9.5, strength * 0.55)
        collar = np.stack((side * (12 + (half * 1.05 - 12) * t), top + 18 - 30 * t + 9 * np.sin(t * 6)), 1)
        _tube(f, canvas, collar, 12, strength * 1.7)
        blade = np.stack((side * (half * (0.98 - 0.12 * t)), top + 30 + 110 * t), 1)
        _tube(f, canvas, blade, 14, strength * 0.7)
        canvas += chord(Ellipsoid(x=side * half * 1.22, y=top + 28, a=24, b=26, c=strength * 1.6), f.x, f.y)
    out: F32 = cv2.GaussianBlur(canvas, (0, 0), 1.1 / f.pitch) + _spine(f)
    return out


def _spine(f: _Field) -> F32:
    """Vertebral bodies with the gaps between them, in mm of bone."""
    r = f.rng
    bend = np.float32(r.normal(0, 5)) * np.sin(f.y / np.float32(110))
    width, step = float(r.uniform(15, 20)), float(r.uniform(22, 27))
    inside = 0.5 - 0.5 * np.tanh((np.abs(f.x - bend) - np.float32(width)) / np.float32(3))
    bodies = np.float32(0.75) + np.float32(0.25) * np.tanh(4 * np.cos(f.y * np.float32(6.283 / step)) + 3)
    out: F32 = (np.float32(r.uniform(6, 18)) * inside * bodies).astype(np.float32)
    return out


def _lung_vessels(f: _Field) -> F32:
    """Share of soft tissue in the lungs: vessels that branch and thin out from the hila."""
    r = f.rng
    canvas = np.zeros_like(f.x)
    for side in (-1, 1):
        for angle in r.uniform(-1.9, 1.9, 26):
            count = int(r.integers(6, 18))
            turns = float(angle) + np.cumsum(r.normal(0, 0.13, count))
            steps = np.stack((side * np.cos(turns), np.sin(turns)), 1) * 6.5
            start = np.array((side * r.uniform(25, 50), r.normal(0, 18)))
            points = start + np.cumsum(steps, 0)
            near = count // 2
            _tube(f, canvas, points[: near + 1], float(r.uniform(2, 4.5)), 0.14)
            _tube(f, canvas, points[near:], 1.6, 0.09)
    soft: F32 = cv2.GaussianBlur(canvas, (0, 0), 0.9 / f.pitch).clip(0, 0.5) * np.float32(r.uniform(0.4, 1.3))
    return soft


def _integral(f: _Field, t: Thorax) -> F32:
    """Line integral of attenuation (H, W): soft tissue, air-filled lung with vessels, bone."""
    r, (h, w) = f.rng, f.x.shape
    hilum = np.exp(-((np.abs(f.x) - 32) ** 2 / np.float32(2 * 16**2) + f.y**2 / np.float32(2 * 30**2)))
    vessels = _lung_vessels(f) + np.float32(r.uniform(0.05, 0.3)) * hilum * (
        1 + 0.5 * fbm(r, h, w, 10 / f.pitch, 2)
    )
    haze = (fbm(r, h, w, 70 / f.pitch, 3) - np.float32(r.uniform(-0.3, 2.5))).clip(0, 2) * np.float32(
        r.uniform(0, 0.3)
    )
    filled = (vessels + haze).clip(0, 0.9)
    soft = t.thickness - t.lungs * (1 - filled)
    pipe = chord(Ellipsoid(x=2, y=-130, a=8, b=75, c=8), f.x, f.y)
    gas = np.zeros_like(soft)
    for _ in range(int(r.integers(0, 4))):
        spot = Ellipsoid(
            x=r.uniform(20, 110), y=r.uniform(120, 190), a=r.uniform(10, 30), b=r.uniform(8, 20), c=20
        )
        gas = np.maximum(gas, chord(spot, f.x, f.y))
    total = _SOFT * (soft - pipe - gas) + _AIR_FILLED * t.lungs + _BONE * t.bone
    out: F32 = (total + np.float32(0.03) * fbm(r, h, w, 60 / f.pitch, 3)).astype(np.float32)
    return out


def _developed(rng: Generator, total: F32) -> F32:
    """The picture a detector and a reading room make of the line integral: dense is bright."""
    scatter = cv2.GaussianBlur(total, (0, 0), max(2.0, total.shape[1] / 14))
    image = total - np.float32(rng.uniform(0.1, 0.8)) * scatter
    photons = np.float32(rng.uniform(0.004, 0.05)) * np.exp(np.float32(0.3) * (total - total.mean()))
    image = image + photons * rng.standard_normal(total.shape, np.float32)
    low, high = np.quantile(
        image[::3, ::3], (float(rng.uniform(0.002, 0.04)), float(rng.uniform(0.96, 0.999)))
    )
    image = ((image - np.float32(low)) / np.float32(max(high - low, 1e-3))).clip(0, 1)
    image = image ** np.float32(rng.uniform(0.55, 1.2))
    span = float(rng.uniform(0.6, 1.0))
    out: F32 = np.float32(rng.uniform(0, 1 - span)) + np.float32(span) * cv2.GaussianBlur(image, (0, 0), 0.5)
    return out


def _marked(rng: Generator, image: F32) -> F32:
    """Leads, tubes and letters that lie on real pictures."""
    h, w = image.shape
    overlay = np.zeros((h, w), np.uint8)
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.5 else 0):
        t = np.linspace(0, 1, 24)[:, None]
        a, b, c, d = rng.uniform(-0.2, 1.2, (4, 2))
        points = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
        line = np.rint(points * (w, h) * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(overlay, [line], False, int(rng.integers(60, 200)), max(1, w // 200), cv2.LINE_AA, 4)
    if rng.random() < 0.4:
        at = (int(rng.uniform(0.02, 0.9) * w), int(rng.uniform(0.06, 0.2) * h))
        cv2.putText(
            overlay, "LR"[int(rng.integers(2))], at, cv2.FONT_HERSHEY_SIMPLEX, w / 400, 230, max(1, w // 160)
        )
    alpha = overlay.astype(np.float32) / np.float32(255)
    out: F32 = image * (1 - alpha) + alpha * np.float32(0.95)
    return out


def xray_sample(rng: Generator, height: int, width: int) -> Sample:
    """A chest X-ray; ``depth`` is the path length through the body over its maximum."""
    f = _field(rng, height, width)
    t = thorax(f)
    image = _marked(rng, _developed(rng, _integral(f, t))).clip(0, 1).astype(np.float32)
    normals = normals_of(t.thickness, f.pitch, towards=True)
    normals[:, t.thickness <= 0] = 0
    ids: U8 = np.where(t.shows, _LUNG, _BACKGROUND).astype(np.uint8)
    return Sample(
        views=np.stack([image] * 3),
        ids=ids,
        instances=np.zeros(ids.shape, np.uint16),
        depth=t.thickness / np.float32(t.thickness.max()),
        normals=normals,
        modality=Modality.XRAY,
        pitch=Pitch(row=f.pitch, col=f.pitch, unit=Unit.MILLIMETRE),
    )
