"""Ultrasound of a linear probe: layers, streaks, vessels, nerves, shadows, speckle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from banana_cli.classes import MEDICAL
from banana_cli.types import F32, U8, Modality, Pitch, Unit

from .aerial_noise import fbm, smooth_noise
from .sample import Sample

_BACKGROUND, _VESSEL, _NERVE = (MEDICAL.id_of(n) for n in ("background", "vessel", "nerve"))


@dataclass(slots=True, kw_only=True, eq=False)
class _Echo:
    """The picture while it is built: ``level`` in dB, ``shade`` dB lost on the way, all (H, W)."""

    rng: Generator
    pitch: float
    x: F32
    y: F32
    level: F32
    shade: F32
    ids: U8


def _layers(e: _Echo) -> F32:
    """Skin, fat, sheets of fascia, muscle with fibres; returns how the layers bend, mm."""
    r, (h, w) = e.rng, e.ids.shape
    depth = float(e.y.max())
    bend = np.float32(r.uniform(0.3, 2.5)) * smooth_noise(r, h, w, 12 / e.pitch, 1.5)
    bend += np.float32(r.normal(0, 0.12)) * (e.x - e.x.mean())
    y = e.y + bend * (e.y / np.float32(depth)).clip(0, 1)
    e.level[:] = np.float32(r.uniform(-31, -21))
    edges = np.sort(r.uniform(0.05, 0.95, int(r.integers(3, 7)))) * depth
    for top in edges:
        below = y > np.float32(top)
        e.level[below] = np.float32(r.uniform(-38, -20))
    for top in np.concatenate((edges, edges[:2] + r.uniform(0.6, 1.4))):
        thick = np.float32(r.uniform(0.15, 0.5))
        broken = (smooth_noise(r, h, w, 6 / e.pitch, 3) > r.uniform(-1.5, 0.3)).astype(np.float32)
        line = np.exp(-(((y - np.float32(top)) / thick) ** 2)) * broken
        e.level += np.float32(r.uniform(8, 26)) * line
    patch = (fbm(r, h, w, 9 / e.pitch, 2) + np.float32(r.uniform(-0.6, 1.0))).clip(0, 1)
    for fine, stretch in ((0.9, r.uniform(3, 7)), (1.5, r.uniform(3, 6))):
        fibres = smooth_noise(r, h, w, max(2.0, float(fine) / e.pitch), float(stretch)) - np.float32(
            r.uniform(0.9, 1.9)
        )
        e.level += np.float32(r.uniform(8, 24)) * patch * (2 * fibres).clip(0, 1)
    e.level += np.float32(4) * fbm(r, h, w, 7 / e.pitch, 3)
    e.level[e.y < 1.2] += np.float32(10)
    return bend


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    x: float
    y: float
    a: float
    b: float
    turn: float


def _inside(e: _Echo, s: _Spot, wobble: F32) -> F32:
    """Positive inside the wobbly ellipse, about 1 at the centre."""
    cos, sin = np.float32(math.cos(s.turn)), np.float32(math.sin(s.turn))
    dx, dy = e.x - np.float32(s.x), e.y - np.float32(s.y)
    u, v = (dx * cos + dy * sin) / np.float32(s.a), (dy * cos - dx * sin) / np.float32(s.b)
    out: F32 = 1 - (u * u + v * v) * (1 + np.float32(0.25) * wobble)
    return out


def _vessel(e: _Echo, s: _Spot, wobble: F32) -> None:
    """Dark blood, bright wall before and behind, more echo below."""
    q = _inside(e, s, wobble * np.float32(0.5))
    on = q > 0
    speck = float(e.rng.uniform(-56, -40))
    e.level[on] = np.float32(speck)
    wall = np.exp(-((q / np.float32(0.12)) ** 2)) * (np.abs(e.x - np.float32(s.x)) < 0.8 * s.a)
    e.level += np.float32(e.rng.uniform(4, 16)) * wall * (~on)
    below = (np.abs(e.x - np.float32(s.x)) < 0.8 * s.a) & (e.y > s.y) & ~on
    e.shade[below] -= np.float32(e.rng.uniform(0, 6))
    e.ids[on] = _VESSEL


def _nerve(e: _Echo, s: _Spot, wobble: F32) -> None:
    """A bright sheath full of dark round bundles."""
    r, (h, w) = e.rng, e.ids.shape
    q = _inside(e, s, wobble)
    on = (q > 0) & (e.ids != _VESSEL)
    dark = smooth_noise(r, h, w, float(r.uniform(0.5, 1.0)) / e.pitch) > np.float32(r.uniform(0.0, 0.8))
    tone = np.float32(r.uniform(-22, -12))
    drop = np.float32(r.uniform(8, 18))
    e.level[on] = (tone - drop * dark.astype(np.float32))[on]
    rim = np.exp(-((q / np.float32(0.2)) ** 2)) * (e.ids != _VESSEL)
    e.level += np.float32(r.uniform(3, 11)) * rim
    e.ids[on] = _NERVE


def _bellies(e: _Echo) -> None:
    """Muscle bellies: dark lenses in bright fascia that are no vessels."""
    r, (h, w) = e.rng, e.ids.shape
    wobble = fbm(r, h, w, 8 / e.pitch, 2)
    for _ in range(int(r.integers(0, 4))):
        a = float(r.uniform(5, 16))
        x, y = float(r.uniform(0, e.x.max())), float(r.uniform(0.15, 0.9) * e.y.max())
        q = _inside(
            e, _Spot(x=x, y=y, a=a, b=a * float(r.uniform(0.25, 0.6)), turn=float(r.normal(0, 0.4))), wobble
        )
        fibres = (smooth_noise(r, h, w, max(2.0, 0.8 / e.pitch), 5) - np.float32(1.2)).clip(0, 1)
        inside = np.float32(r.uniform(-45, -27)) + np.float32(r.uniform(5, 18)) * fibres
        e.level[:] = np.where(q > 0, inside, e.level)
        e.level += np.float32(r.uniform(4, 18)) * np.exp(-((q / np.float32(0.1)) ** 2))


def _spots(e: _Echo) -> None:
    """One nerve or more beside one vessel or more."""
    r, (h, w) = e.rng, e.ids.shape
    wide, deep = float(e.x.max()), float(e.y.max())
    wobble = fbm(r, h, w, 5 / e.pitch, 2)
    cx, cy = float(r.uniform(0.15, 0.85)) * wide, float(r.uniform(0.22, 0.65)) * deep
    vessels, nerves = int(r.choice([0, 1, 1, 2])), int(r.choice([0, 1, 1, 1, 2, 3]))
    if vessels + nerves == 0:
        nerves = 1
    for k in range(vessels):
        size = float(r.uniform(1.8, 6.0))
        angle = float(r.uniform(0, 6.283))
        x, y = cx + k * 12 * math.cos(angle), cy + k * 8 * math.sin(angle)
        _vessel(
            e,
            _Spot(x=x, y=y, a=size, b=size * float(r.uniform(0.6, 1)), turn=float(r.normal(0, 0.3))),
            wobble,
        )
    for _ in range(nerves):
        a = float(r.uniform(2.0, 7.5))
        angle, away = float(r.uniform(0, 6.283)), float(r.uniform(6, 14))
        x, y = cx + away * math.cos(angle), cy + 0.8 * away * math.sin(angle)
        _nerve(
            e, _Spot(x=x, y=y, a=a, b=a * float(r.uniform(0.35, 0.8)), turn=float(r.normal(0, 0.5))), wobble
        )


def _bone(e: _Echo) -> None:
    """A bright surface with a shadow below it."""
    r = e.rng
    half, x = float(r.uniform(4, 14)), float(r.uniform(0, e.x.max()))
    top = (
        np.float32(r.uniform(0.5, 0.9) * e.y.max())
        + np.float32(r.uniform(0.01, 0.05)) * (e.x - np.float32(x)) ** 2
    )
    on = np.abs(e.x - np.float32(x)) < half
    free = e.ids == _BACKGROUND
    e.level += 30 * np.exp(-(((e.y - top) / np.float32(0.4)) ** 2)) * on * free
    e.shade += 25 * ((e.y > top + 0.5) & on & free)


def _speckle(rng: Generator, h: int, w: int, pitch: float) -> F32:
    """20 log10 of a Rayleigh field: fully developed speckle, longer across than along the beam."""
    across, along = (
        max(0.6, float(rng.uniform(0.16, 0.34)) / pitch),
        max(0.45, float(rng.uniform(0.07, 0.15)) / pitch),
    )
    parts = rng.standard_normal((2, h, w), np.float32)
    real, imag = (cv2.GaussianBlur(p, (0, 0), across, sigmaY=along) for p in parts)
    power = real * real + imag * imag
    out: F32 = 10 * np.log10(power / np.float32(power.mean()) + np.float32(1e-3))
    return out * np.float32(rng.uniform(0.35, 1.0))


def _screen(rng: Generator, h: int, w: int) -> tuple[slice, slice]:
    """The rows and columns of the picture that hold echoes; the rest is black."""
    top = int(h * rng.uniform(0, 0.14)) if rng.random() < 0.8 else 0
    bottom = h - (int(h * rng.uniform(0, 0.25)) if rng.random() < 0.7 else 0)
    right = w - (int(w * rng.uniform(0, 0.06)) if rng.random() < 0.3 else 0)
    return slice(top, bottom), slice(0, right)


def ultrasound_sample(rng: Generator, height: int, width: int) -> Sample:
    """A B-mode picture; no depth and no normals are defined."""
    screen = _screen(rng, height, width)
    h, w = screen[0].stop - screen[0].start, screen[1].stop
    pitch = float(rng.uniform(28, 52)) / h
    e = _Echo(
        rng=rng,
        pitch=pitch,
        x=np.ascontiguousarray(np.broadcast_to(np.arange(w, dtype=np.float32) * np.float32(pitch), (h, w))),
        y=np.ascontiguousarray(
            np.broadcast_to((np.arange(h, dtype=np.float32) * np.float32(pitch))[:, None], (h, w))
        ),
        level=np.zeros((h, w), np.float32),
        shade=np.zeros((h, w), np.float32),
        ids=np.full((h, w), _BACKGROUND, np.uint8),
    )
    _layers(e)
    _bellies(e)
    if rng.random() < 0.4:
        _bone(e)
    _spots(e)
    picture, ids = np.zeros((height, width), np.float32), np.full((height, width), _BACKGROUND, np.uint8)
    picture[screen], ids[screen] = _compressed(e), e.ids
    return Sample(
        views=np.stack([picture] * 3),
        ids=ids,
        instances=np.zeros(ids.shape, np.uint16),
        depth=np.full(ids.shape, np.nan, np.float32),
        normals=np.zeros((3, *ids.shape), np.float32),
        modality=Modality.ULTRASOUND,
        pitch=Pitch(row=pitch, col=pitch, unit=Unit.MILLIMETRE),
    )


def _compressed(e: _Echo) -> F32:
    """dB to grey in [0, 1]: attenuation with depth, shadows, columns of bad contact, speckle, smoothing."""
    r, (h, w) = e.rng, e.ids.shape
    loss = np.float32(r.uniform(-0.1, 0.45)) * e.y + e.shade + np.float32(3) * fbm(r, h, w, 10 / e.pitch, 2)
    contact = smooth_noise(r, 2, w, w / 9)[:1].clip(-3, 0) * np.float32(r.uniform(0, 9))
    level = cv2.GaussianBlur(e.level, (0, 0), max(0.5, 0.12 / e.pitch))
    level = (
        level - cv2.GaussianBlur(loss, (0, 0), max(0.7, 0.3 / e.pitch)) + contact + _speckle(r, h, w, e.pitch)
    )
    span = float(r.uniform(42, 60))
    grey = ((level + np.float32(span + r.uniform(-8, 6))) / np.float32(span)).clip(0, 1)
    grey = grey ** np.float32(r.uniform(1.0, 1.9))
    grey[: max(1, round(0.25 / e.pitch))] = np.float32(r.uniform(0.5, 1))
    out: F32 = cv2.GaussianBlur(grey, (0, 0), float(r.uniform(0.35, 0.7)))
    return out.clip(0, 1)
