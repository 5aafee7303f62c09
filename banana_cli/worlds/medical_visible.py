"""Medical pictures in visible light: the back of the eye, and the inside of a tube seen by an endoscope."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from banana_cli.classes import MEDICAL
from banana_cli.types import F32, U8, Modality

from .aerial_geometry import normals_of
from .aerial_noise import fbm, smooth_noise
from .sample import Sample

_BACKGROUND, _VESSEL = MEDICAL.id_of("background"), MEDICAL.id_of("vessel")
_FINE = 2  # vessels are drawn this much finer, then averaged


def visible_sample(rng: Generator, height: int, width: int) -> Sample:
    """A fundus picture (two of three) or an endoscopic one."""
    if rng.random() < 0.66:
        return fundus_sample(rng, height, width)
    return endoscopy_sample(rng, height, width)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Eye:
    """Radii of the disc of light in pixels, the optic disc's place, coordinates in radii (H, W)."""

    radius: float
    centre: tuple[float, float]
    x: F32
    y: F32
    nerve: tuple[float, float]
    nerve_size: float


def _eye(rng: Generator, h: int, w: int) -> _Eye:
    radius = float(rng.uniform(0.44, 0.56)) * min(h, w)
    cx, cy = w / 2 + float(rng.normal(0, 0.01)) * w, h / 2 + float(rng.normal(0, 0.01)) * h
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    side = 1 if rng.random() < 0.5 else -1
    central = rng.random() < 0.6
    return _Eye(
        radius=radius,
        centre=(cx, cy),
        x=(xx - np.float32(cx)) / np.float32(radius),
        y=(yy - np.float32(cy)) / np.float32(radius),
        nerve=(
            side * float(rng.uniform(0, 0.2) if central else rng.uniform(0.4, 0.62)),
            float(rng.normal(0, 0.07)),
        ),
        nerve_size=float(rng.uniform(0.13, 0.22)),
    )


def _tree(rng: Generator, eye: _Eye) -> list[tuple[NDArray[np.float64], float, bool]]:
    """Polylines (N, 2) in radii, their widths, and whether they are arteries (brighter, thinner)."""
    lines: list[tuple[NDArray[np.float64], float, bool]] = []
    for k in range(int(rng.integers(7, 13))):
        up = 1 if k % 2 else -1
        angle = up * math.pi / 2 + float(rng.normal(0, 0.6 if k < 5 else 1.2))
        width = float(rng.uniform(0.016, 0.034) if k < 5 else rng.uniform(0.006, 0.014))
        jitter = rng.normal(0, 0.02, 2)
        start = (eye.nerve[0] + float(jitter[0]), eye.nerve[1] + float(jitter[1]))
        _grow(rng, lines, start, angle, width, k % 3 == 0, 0)
    return lines


def _grow(
    rng: Generator,
    lines: list[tuple[NDArray[np.float64], float, bool]],
    start: tuple[float, float],
    angle: float,
    width: float,
    artery: bool,
    level: int,
) -> None:
    """One vessel and, recursively, its branches."""
    count = int(rng.integers(14, 34)) if level == 0 else int(rng.integers(7, 22))
    turns = np.cumsum(rng.normal(0, 0.11, count)) + float(rng.normal(0, 0.045)) * np.arange(count)
    turns += (
        0.05 * math.sin(float(rng.uniform(0, 6))) * np.sin(np.arange(count) * float(rng.uniform(0.4, 1.1)))
    )
    steps = 0.045 * np.stack((np.cos(angle + turns), np.sin(angle + turns)), 1)
    points = np.concatenate((np.zeros((1, 2)), np.cumsum(steps, 0))) + start
    half = count // 2
    lines.append((points[: half + 1], width, artery))
    lines.append((points[half:], width * 0.8, artery))
    if level >= 2 or width < 0.006:
        return
    for at in np.sort(rng.integers(2, count, int(rng.integers(1, 5)))):
        side = 1 if rng.random() < 0.5 else -1
        turn = angle + float(turns[at]) + side * float(rng.uniform(0.35, 1.0))
        place = (float(points[at, 0]), float(points[at, 1]))
        _grow(rng, lines, place, turn, width * float(rng.uniform(0.4, 0.75)), artery, level + 1)


def _drawn(rng: Generator, eye: _Eye, shape: tuple[int, int]) -> tuple[F32, F32]:
    """Coverage by all vessels and by arteries, (H, W) in [0, 1]."""
    h, w = shape
    layers = np.zeros((2, h * _FINE, w * _FINE), np.uint8)
    for points, width, artery in _tree(rng, eye):
        pixels = (points * eye.radius + eye.centre) * _FINE
        line = np.rint(pixels * 16).astype(np.int32).reshape(-1, 1, 2)
        thick = max(1, round(width * eye.radius * _FINE))
        for layer in layers if artery else layers[:1]:
            cv2.polylines(layer, [line], False, 255, thickness=thick, lineType=cv2.LINE_AA, shift=4)
    small = [
        cv2.resize(layer, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) / 255 for layer in layers
    ]
    return small[0], small[1]


def _bowl(eye: _Eye) -> F32:
    """Depth of the retina in radii of the field, in [0, 1]: deepest in the middle and at the optic nerve."""
    r2 = (eye.x**2 + eye.y**2).clip(0, 1)
    cup = ((eye.x - eye.nerve[0]) ** 2 + (eye.y - eye.nerve[1]) ** 2) / np.float32(eye.nerve_size**2)
    out: F32 = (0.55 + 0.3 * np.sqrt(1 - 0.8 * r2) + 0.04 * np.exp(-2 * cup)).astype(np.float32)
    return out


def fundus_sample(rng: Generator, height: int, width: int) -> Sample:
    """The back of the eye: vessels, optic disc, macula, uneven light; depth is a gentle bowl."""
    eye = _eye(rng, height, width)
    seen = eye.x**2 + eye.y**2 < 1
    alpha, arteries = _drawn(rng, eye, (height, width))
    image = _retina(rng, eye, alpha, arteries)
    image *= (eye.radius * (1 - np.hypot(eye.x, eye.y))).clip(0, 1)[..., None]
    image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.35, 0.8)))
    image = image + np.float32(rng.uniform(0.003, 0.02)) * rng.standard_normal(image.shape, np.float32)
    depth = np.where(seen, _bowl(eye), np.float32(np.nan)).astype(np.float32)
    ids: U8 = np.where((alpha > 0.45) & seen, _VESSEL, _BACKGROUND).astype(np.uint8)
    return Sample(
        views=np.ascontiguousarray(image.clip(0, 1).transpose(2, 0, 1), np.float32),
        ids=ids,
        instances=np.zeros(ids.shape, np.uint16),
        depth=depth,
        normals=normals_of(depth, 1 / eye.radius, towards=False),
        modality=Modality.VISIBLE,
    )


def _retina(rng: Generator, eye: _Eye, alpha: F32, arteries: F32) -> F32:
    """Colour of the retina under uneven light, (H, W, 3)."""
    h, w = alpha.shape
    red, green = float(rng.uniform(0.55, 1.0)), float(rng.uniform(0.16, 0.42))
    base = np.array((red, green, green * float(rng.uniform(0.15, 0.5))), np.float32)
    mottle = fbm(rng, h, w, 0.25 * eye.radius, 5, 0.6)
    image = base * (1 + np.float32(rng.uniform(0.02, 0.10)) * mottle)[..., None]
    pale = (fbm(rng, h, w, 0.2 * eye.radius, 4) - np.float32(1.3)).clip(0, 1) * np.float32(
        rng.uniform(0, 0.4)
    )
    image += pale[..., None] * (np.array((0.9, 0.75, 0.45), np.float32) - image)
    side = -1 if eye.nerve[0] > 0 else 1
    spot = (eye.x - eye.nerve[0] - side * np.float32(0.75)) ** 2 + (eye.y - eye.nerve[1]) ** 2
    image *= (1 - np.float32(rng.uniform(0.1, 0.5)) * np.exp(-spot / np.float32(0.04)))[..., None]
    ring = np.hypot(eye.x - np.float32(eye.nerve[0]), (eye.y - np.float32(eye.nerve[1])) * np.float32(0.9))
    disc = 0.5 - 0.5 * np.tanh((ring - np.float32(eye.nerve_size)) * np.float32(30))
    cup = np.exp(-((ring / np.float32(eye.nerve_size * 0.5)) ** 2))
    tone = np.array((1.0, rng.uniform(0.5, 0.75), rng.uniform(0.2, 0.45)), np.float32)
    image += disc[..., None] * np.float32(rng.uniform(0.5, 0.9)) * (tone - image)
    image += (cup * np.float32(rng.uniform(0, 0.5)))[..., None] * (
        np.array((1, 0.95, 0.7), np.float32) - image
    )
    dark = np.float32(rng.uniform(0.3, 0.6)) * (alpha - np.float32(0.35) * arteries)
    image *= 1 - dark[..., None] * np.array((0.7, 1.0, 0.9), np.float32)
    light = 1 + np.float32(0.5) * smooth_noise(rng, h, w, float(max(h, w)))
    light *= 1 - np.float32(rng.uniform(0.1, 0.6)) * (eye.x**2 + eye.y**2)
    out: F32 = image * light.clip(0.15, 1.6)[..., None]
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bore:
    """A bent tube with folds, in mm; the camera is at the origin and looks along z."""

    radius: float
    bend: tuple[float, float]
    offset: tuple[float, float]
    fold: float
    wave: float
    phase: float
    lobes: int

    def clearance(self, x: F32, y: F32, z: F32) -> F32:
        """How far inside the wall a point lies, mm (roughly); negative outside."""
        dx = x - np.float32(self.offset[0]) - np.float32(self.bend[0]) * z * z
        dy = y - np.float32(self.offset[1]) - np.float32(self.bend[1]) * z * z
        crest = np.cos(z * np.float32(6.283 / self.wave) + np.float32(self.phase)).clip(0, None)
        narrow = np.float32(self.fold) * crest * crest * crest * crest
        if self.lobes:
            narrow = narrow * (np.float32(0.7) + np.float32(0.3) * np.cos(self.lobes * np.arctan2(dy, dx)))
        out: F32 = np.float32(self.radius) * (1 - narrow) - np.sqrt(dx * dx + dy * dy)
        return out


def _bore(rng: Generator) -> _Bore:
    radius = float(rng.uniform(6, 22))
    bend = rng.normal(0, 0.0045, 2)
    offset = rng.uniform(-0.35, 0.35, 2) * radius
    return _Bore(
        radius=radius,
        bend=(float(bend[0]), float(bend[1])),
        offset=(float(offset[0]), float(offset[1])),
        fold=float(rng.uniform(0.05, 0.38)),
        wave=float(rng.uniform(0.8, 2.5)) * radius,
        phase=float(rng.uniform(1.2, 5.0)),
        lobes=int(rng.choice([0, 3, 3])),
    )


def _cast(bore: _Bore, u: F32, v: F32) -> F32:
    """Depth along z (mm) where the ray (u, v, 1) z leaves the tube; (H, W), at most 220."""
    near, far = np.zeros_like(u), np.full_like(u, 220.0)
    free = np.ones(u.shape, bool)
    z = 0.5
    while z < 220 and free.any():
        inside = bore.clearance(u * np.float32(z), v * np.float32(z), np.full_like(u, z)) > 0
        near[free & inside] = z
        hit = free & ~inside
        far[hit] = z
        free &= inside
        z *= 1.14
    for _ in range(9):
        middle = (near + far) * np.float32(0.5)
        inside = bore.clearance(u * middle, v * middle, middle) > 0
        near, far = np.where(inside, middle, near), np.where(inside, far, middle)
    return (near + far) * np.float32(0.5)


def surface_normals(depth: F32, focal_px: float, centre: tuple[float, float]) -> F32:
    """Unit normals (3, H, W), towards the camera, of a depth map (along the axis) of a pinhole camera."""
    h, w = depth.shape
    u = ((np.arange(w, dtype=np.float32) - np.float32(centre[0])) / np.float32(focal_px))[None]
    v = ((np.arange(h, dtype=np.float32) - np.float32(centre[1])) / np.float32(focal_px))[:, None]
    points = np.stack((u * depth, v * depth, depth))
    down, right = np.gradient(points, axis=(1, 2))
    n = np.cross(down, right, axis=0)
    n *= -np.sign((n * points).sum(0, keepdims=True))
    out: F32 = (n / np.maximum(np.sqrt((n * n).sum(0, keepdims=True)), 1e-12)).astype(np.float32)
    return out


def endoscopy_sample(rng: Generator, height: int, width: int) -> Sample:
    """The inside of a tube; ``depth`` is exact, in mm along the axis."""
    focal = float(rng.uniform(0.42, 0.9)) * max(height, width)
    centre = ((width - 1) / 2, (height - 1) / 2)
    u = (np.arange(width, dtype=np.float32) - np.float32(centre[0])) / np.float32(focal)
    v = (np.arange(height, dtype=np.float32) - np.float32(centre[1])) / np.float32(focal)
    uu, vv = np.meshgrid(u, v)
    depth = _cast(_bore(rng), uu, vv)
    normals = surface_normals(depth, focal, centre)
    image = _mucosa(rng, depth, normals, uu, vv)
    return Sample(
        views=np.ascontiguousarray(image.clip(0, 1).transpose(2, 0, 1), np.float32),
        ids=np.full((height, width), _BACKGROUND, np.uint8),
        instances=np.zeros((height, width), np.uint16),
        depth=depth,
        normals=normals,
        modality=Modality.VISIBLE,
        focal_px=focal,
        centre=centre,
    )


def _mucosa(rng: Generator, depth: F32, normals: F32, u: F32, v: F32) -> F32:
    """Wet pink wall lit from the camera: falls off with distance, shines where it faces the lamp."""
    h, w = depth.shape
    length = np.sqrt(u * u + v * v + 1)
    facing = (-(normals[0] * u + normals[1] * v + normals[2]) / length).clip(0, 1)
    bright = facing / (np.float32(rng.uniform(4, 80)) + (depth * length) ** 2)
    bright = bright / np.float32(np.quantile(bright, 0.82))
    tone = np.array((rng.uniform(0.6, 0.9), rng.uniform(0.28, 0.5), rng.uniform(0.2, 0.42)), np.float32)
    angle = np.arctan2(v, u)
    mottle = fbm(rng, h, w, h / 9, 4, 0.6) + np.float32(0.3) * np.sin(angle * 9 + depth * np.float32(0.2))
    image = tone * (bright * (1 + np.float32(0.12) * mottle))[..., None]
    image *= (1 - np.float32(0.35) * np.exp(-(smooth_noise(rng, h, w, h / 16) ** 2) * 40))[
        ..., None
    ] ** np.array((0.3, 1, 1))
    wet = (facing + np.float32(0.03) * smooth_noise(rng, h, w, h / 24)).clip(0, 1) ** np.float32(
        rng.uniform(20, 90)
    )
    image = image + (np.float32(rng.uniform(0.0, 0.8)) * wet * bright.clip(0, 1))[..., None]
    image = (1 - np.exp(-image * np.float32(rng.uniform(0.7, 1.6)))) ** np.float32(1 / rng.uniform(1.2, 2.0))
    image = image + np.float32(rng.uniform(0.003, 0.02)) * rng.standard_normal(image.shape, np.float32)
    out: F32 = cv2.GaussianBlur(image.astype(np.float32), (0, 0), float(rng.uniform(0.3, 0.8)))
    return out
