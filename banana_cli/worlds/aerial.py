"""The aerial world: orthographic pictures of made-up towns, deserts, farms and coasts, with exact truth."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator, default_rng

from banana_cli.types import F32, Modality, Pitch, Unit

from . import aerial_build as build
from . import aerial_ground as ground
from .aerial_geometry import Leaned, lean, normals_of
from .aerial_ground import Canvas
from .aerial_light import draw_sun, lit, sensed
from .aerial_noise import fbm
from .aerial_plan import Place, draw_lattice, draw_style
from .aerial_traffic import vehicles
from .sample import Sample

_STREAM = 0xAE21A1  # keeps these random numbers apart from those of the other worlds


def sample(seed: int, height: int, width: int, gsd_m: float | None = None) -> Sample:
    """A picture from above, (3, height, width) RGB in [0, 1], with exact truth; same seed, same bits.

    ``gsd_m``: metres a pixel (0.1..8, random by default, mostly 0.3..3). ``depth`` is the height above
    ground in metres (0 on the ground), ``normals`` are those of that height field, ``instances`` number
    buildings and vehicles. The relief of the ground shades the picture but is not part of ``depth``.
    """
    rng = default_rng([_STREAM, seed])
    pitch = _pitch(rng) if gsd_m is None else gsd_m
    canvas = _built(rng, height, width, pitch)
    sun = draw_sun(rng)
    view = _view(rng, canvas)
    radiance = lit(rng, canvas.albedo, canvas.relief + canvas.height, pitch, sun)
    if view is not None:
        radiance = radiance[view.rows, view.cols]
        radiance[view.wall] *= np.float32(rng.uniform(0.35, 0.8))
    return _sample(rng, canvas, view, radiance)


def _pitch(rng: Generator) -> float:
    """Metres a pixel: aircraft and satellites mostly, a few drones and coarse satellites."""
    low, high = ((0.1, 0.3), (0.3, 1.0), (0.6, 3.0), (3.0, 8.0))[int(rng.choice(4, p=(0.15, 0.35, 0.4, 0.1)))]
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


def _view(rng: Generator, canvas: Canvas) -> Leaned | None:
    """Off nadir in half of the pictures, by up to 15 degrees."""
    tangent, azimuth = math.tan(math.radians(float(rng.uniform(1, 15)))), float(rng.uniform(0, 2 * math.pi))
    if rng.random() < 0.5:
        return None
    return lean(canvas.height, canvas.pitch, tangent, azimuth)


def _sample(rng: Generator, c: Canvas, view: Leaned | None, radiance: F32) -> Sample:
    ids, instances, depth = c.ids, c.instances, c.height
    if view is not None:
        ids, instances, depth = ids[view.rows, view.cols], instances[view.rows, view.cols], view.height
    rgb = sensed(rng, radiance, c.pitch)
    return Sample(
        views=np.ascontiguousarray(rgb.transpose(2, 0, 1)),
        ids=ids,
        instances=instances,
        depth=depth,
        normals=normals_of(depth, c.pitch, towards=True),
        modality=Modality.AERIAL,
        pitch=Pitch(row=c.pitch, col=c.pitch, unit=Unit.METRE),
    )


def _built(rng: Generator, h: int, w: int, pitch: float) -> Canvas:
    """The whole scene, from the ground up."""
    canvas = _empty(rng, h, w, pitch)
    fine = rng.standard_normal((h, w), np.float32) * np.float32(0.5) + fbm(rng, h, w, 6, 3, 0.8)
    ground.base(canvas, fine)
    place = canvas.style.place
    if place is Place.RURAL:
        ground.fields(canvas, fine)
    else:
        ground.grass(canvas, fine)
    wet = ground.water(canvas, fine)
    ground.streets(canvas, fine, wet)
    ground.litter(canvas)
    if rng.random() < 0.3:
        ground.highway(canvas, fine)
    if rng.random() < 0.12:
        ground.roundabout(canvas)
    build.houses(canvas, fine)
    build.blocks(canvas, fine)
    build.pools(canvas)
    _grown(canvas, fine)
    vehicles(canvas)
    return canvas


def _empty(rng: Generator, h: int, w: int, pitch: float) -> Canvas:
    x = np.broadcast_to((np.arange(w, dtype=np.float32) + 0.5) * np.float32(pitch), (h, w))
    y = np.broadcast_to(((np.arange(h, dtype=np.float32) + 0.5) * np.float32(pitch))[:, None], (h, w))
    style = draw_style(rng)
    steep = 0.6 if style.place in (Place.DESERT, Place.RURAL) else 0.2
    cell = float(rng.uniform(40, 200))
    relief = fbm(rng, h, w, max(4.0, cell / pitch), 6, 0.5) * np.float32(rng.uniform(0, 0.1) * cell * steep)
    return Canvas(
        rng=rng,
        pitch=pitch,
        style=style,
        x=x,
        y=y,
        lattice=draw_lattice(rng, x, y, pitch, style),
        ids=np.zeros((h, w), np.uint8),
        albedo=np.zeros((h, w, 3), np.float32),
        height=np.zeros((h, w), np.float32),
        instances=np.zeros((h, w), np.uint16),
        relief=relief,
    )


def _grown(canvas: Canvas, fine: F32) -> None:
    """Trees, then bushes."""
    rng, share = canvas.rng, canvas.style.trees
    small = float(rng.uniform(1.2, 3))
    spread = float(rng.uniform(5, 9))
    build.trees(canvas, spread, (small, spread * 0.6), share, float(rng.uniform(4, 14)), fine)
    if rng.random() < 0.6:
        build.trees(
            canvas, 3.0, (0.5, 1.6), share * float(rng.uniform(0.2, 1.5)), float(rng.uniform(0.6, 2)), fine
        )
