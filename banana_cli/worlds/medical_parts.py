"""The parts of the body that a slice can show, painted from the skin inwards. Millimetres, supine, y down."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum

import numpy as np
from numpy.random import Generator

from .medical_slice import Oval, Slice, Tissue, blank, septa, tumour


class Part(Enum):
    """Which part of the body a slice cuts."""

    LIMB = "limb"
    LEGS = "legs"
    CHEST = "chest"
    ABDOMEN = "abdomen"
    PELVIS = "pelvis"
    HEAD = "head"
    HEART = "heart"


# half width and half height of the outline (mm), as ranges
_SIZES: dict[Part, tuple[tuple[float, float], tuple[float, float]]] = {
    Part.LIMB: ((45, 105), (45, 100)),
    Part.LEGS: ((150, 210), (70, 110)),
    Part.CHEST: ((140, 195), (95, 135)),
    Part.ABDOMEN: ((125, 195), (90, 140)),
    Part.PELVIS: ((150, 205), (95, 130)),
    Part.HEAD: ((68, 82), (85, 102)),
    Part.HEART: ((150, 190), (105, 140)),
}


def _u(s: Slice, low: float, high: float) -> float:
    return float(s.rng.uniform(low, high))


def _bone_of_limb(s: Slice, region: Oval, two: bool) -> None:
    small = min(region.a, region.b)
    turn = _u(s, 0, 6.283)
    away = _u(s, 0.05, 0.4)
    x, y = region.at(away * math.cos(turn), away * math.sin(turn))
    a = small * _u(s, 0.16, 0.27)
    core = Tissue.MARROW if s.rng.random() < 0.75 else Tissue.SPONGIOSA
    s.bone(Oval(x=x, y=y, a=a, b=a * _u(s, 0.75, 1), turn=turn), a * _u(s, 0.18, 0.5), core)
    if two:
        x, y = region.at(0.55 * math.cos(turn + 2.2), 0.55 * math.sin(turn + 2.2))
        b = a * _u(s, 0.35, 0.7)
        s.bone(Oval(x=x, y=y, a=b, b=b * 0.9, turn=turn), b * 0.4, core)


def _dots(s: Slice, region: Oval, tissue: Tissue, count: int, size: tuple[float, float]) -> None:
    for u, v in s.rng.uniform(-0.9, 0.9, (count, 2)):
        x, y = region.at(float(u), float(v))
        r = _u(s, *size)
        dot = Oval(x=x, y=y, a=r, b=r * _u(s, 0.6, 1), turn=_u(s, 0, 3))
        s.paint(dot, tissue, (Tissue.FAT, Tissue.FASCIA, Tissue.MUSCLE))


def limb(s: Slice, skin: Oval) -> None:
    """A thigh, a calf or an arm: fat, muscles in compartments, one bone or two, vessels."""
    s.outline(skin, _u(s, 1.2, 2.5))
    fat = min(skin.a, skin.b) * _u(s, 0.04, 0.42)
    region = skin.grown(-fat - 2)
    s.muscles(region, int(s.rng.integers(4, 13)), _u(s, 0.5, 3.0))
    _bone_of_limb(s, region, s.rng.random() < 0.35)
    _dots(s, region, Tissue.BLOOD, int(s.rng.integers(1, 6)), (1.5, 4.5))
    _dots(s, skin, Tissue.BLOOD, int(s.rng.integers(0, 5)), (0.8, 2.0))
    if s.rng.random() < 0.45:
        where = region.at(_u(s, -0.5, 0.5), _u(s, -0.5, 0.5))
        a = min(region.a, region.b) * _u(s, 0.15, 0.6)
        tumour(s, Oval(x=where[0], y=where[1], a=a, b=a * _u(s, 0.55, 1), turn=_u(s, 0, 3)))


def legs(s: Slice, skin: Oval) -> None:
    """Two thighs side by side."""
    half = skin.a / 2
    gap = _u(s, -0.02, 0.12)
    for side in (-1, 1):
        limb(
            s,
            Oval(
                x=skin.x + side * half * (1 + gap), y=skin.y + _u(s, -6, 6), a=half * _u(s, 0.9, 1), b=skin.b
            ),
        )


def _spine(s: Slice, x: float, y: float, size: float) -> None:
    """Vertebral body, canal, arch and processes; y is the centre of the vertebral body."""
    s.muscles(Oval(x=x, y=y + 1.6 * size, a=2.5 * size, b=1.1 * size, square=True), 5, 1.5)
    for side in (-1, 1):
        turn = side * _u(s, 0.2, 0.7)
        arm = Oval(x=x + side * 1.1 * size, y=y + 1.0 * size, a=0.9 * size, b=0.22 * size, turn=turn)
        s.bone(arm, 1.6, Tissue.SPONGIOSA)
    s.bone(Oval(x=x, y=y + 1.9 * size, a=0.2 * size, b=0.8 * size), 1.6, Tissue.SPONGIOSA)
    s.bone(
        Oval(x=x, y=y, a=size, b=0.78 * size, square=s.rng.random() < 0.4), _u(s, 1.2, 2.5), Tissue.SPONGIOSA
    )
    s.bone(Oval(x=x, y=y + size, a=0.72 * size, b=0.55 * size), 2.5, Tissue.FLUID)


def _wall(s: Slice, skin: Oval, cavity: Tissue) -> Oval:
    """Skin, fat, muscle wall; returns the cavity."""
    s.outline(skin, _u(s, 1.2, 2.5))
    inner = skin.grown(-2 - min(skin.a, skin.b) * _u(s, 0.04, 0.3))
    s.muscles(inner, 9, _u(s, 0.5, 2))
    hollow = inner.grown(-_u(s, 7, 18))
    s.paint(hollow, cavity)
    return hollow


def _ribs(s: Slice, hollow: Oval, count: int) -> None:
    ring = hollow.grown(4)
    phase = _u(s, 0, 1)
    for k in range(count):
        angle = 6.283 * (k + phase) / count + float(s.rng.normal(0, 0.08))
        x, y = ring.at(math.cos(angle), math.sin(angle))
        tangent = math.atan2(ring.b * math.cos(angle), -ring.a * math.sin(angle))
        s.bone(Oval(x=x, y=y, a=_u(s, 7, 17), b=_u(s, 3.2, 5.5), turn=tangent), 1.5, Tissue.SPONGIOSA)


def chest(s: Slice, skin: Oval) -> None:
    """Lungs with vessels, heart, aorta, ribs, spine, breast bone, sometimes arms."""
    if s.rng.random() < 0.35:
        for side in (-1, 1):
            r = _u(s, 36, 52)
            limb(
                s,
                Oval(
                    x=skin.x + side * (skin.a + r * 0.9),
                    y=skin.y + _u(s, -10, 40),
                    a=r,
                    b=r * _u(s, 0.9, 1.1),
                ),
            )
    hollow = _wall(s, skin, Tissue.FAT)
    for side in (-1, 1):
        lung = Oval(
            x=skin.x + side * hollow.a * _u(s, 0.5, 0.56),
            y=skin.y + _u(s, -4, 6),
            a=hollow.a * _u(s, 0.4, 0.47),
            b=hollow.b * _u(s, 0.75, 0.95),
            turn=side * _u(s, -0.2, 0.1),
        )
        s.paint(lung, Tissue.LUNG)
        _lung_vessels(s, lung)
    _spine(s, skin.x, skin.y + hollow.b * 0.68, _u(s, 15, 20))
    heart = Oval(
        x=skin.x + 14, y=skin.y - hollow.b * 0.25, a=_u(s, 38, 62), b=_u(s, 30, 46), turn=_u(s, 0.2, 0.8)
    )
    s.paint(heart.grown(4), Tissue.FAT)
    s.paint(heart, Tissue.MYOCARD)
    for u, v in ((-0.4, -0.3), (0.35, 0.1), (-0.3, 0.5)):
        x, y = heart.at(u, v)
        s.paint(Oval(x=x, y=y, a=heart.a * 0.34, b=heart.b * 0.34), Tissue.BLOOD)
    s.paint(Oval(x=skin.x + 22, y=skin.y + hollow.b * 0.45, a=11, b=11), Tissue.BLOOD)
    s.paint(Oval(x=skin.x, y=skin.y + hollow.b * 0.2, a=8, b=7), Tissue.GAS)
    _ribs(s, hollow, int(s.rng.integers(9, 17)))
    s.bone(Oval(x=skin.x, y=skin.y - hollow.b - 3, a=_u(s, 12, 20), b=5), 1.5, Tissue.SPONGIOSA)
    if s.rng.random() < 0.3:
        _organ_tumour(s, heart)


def _lung_vessels(s: Slice, lung: Oval) -> None:
    for u, v in s.rng.uniform(-0.8, 0.8, (int(s.rng.integers(15, 40)), 2)):
        x, y = lung.at(float(u), float(v))
        r = _u(s, 0.7, 3.2)
        s.paint(Oval(x=x, y=y, a=r, b=r * _u(s, 0.5, 1), turn=_u(s, 0, 3)), Tissue.BLOOD, (Tissue.LUNG,))


def _organ_tumour(s: Slice, organ: Oval) -> None:
    x, y = organ.at(_u(s, -0.4, 0.4), _u(s, -0.4, 0.4))
    a = min(organ.a, organ.b) * _u(s, 0.2, 0.5)
    tumour(s, Oval(x=x, y=y, a=a, b=a * _u(s, 0.6, 1), turn=_u(s, 0, 3)))


def _bowel(s: Slice, hollow: Oval, count: int) -> None:
    for u, v in s.rng.uniform(-0.75, 0.75, (count, 2)):
        x, y = hollow.at(float(u), float(v) * 0.6 - 0.25)
        a = _u(s, 8, 22)
        loop = Oval(x=x, y=y, a=a, b=a * _u(s, 0.5, 1), turn=_u(s, 0, 3))
        s.paint(loop, Tissue.BOWEL, (Tissue.FAT, Tissue.BOWEL))
        roll = s.rng.random()
        if roll < 0.3:
            s.paint(loop.grown(-3), Tissue.GAS, (Tissue.BOWEL,))
        elif roll < 0.6:
            s.paint(loop.grown(-2.5), Tissue.FLUID, (Tissue.BOWEL,))


def abdomen(s: Slice, skin: Oval) -> None:
    """Liver, spleen, stomach, kidneys, bowel, great vessels, spine; fat between."""
    hollow = _wall(s, skin, Tissue.FAT)
    _bowel(s, hollow, int(s.rng.integers(6, 22)))
    _spine(s, skin.x, skin.y + hollow.b * 0.52, _u(s, 17, 24))
    for side in (-1, 1):
        s.paint(
            Oval(x=skin.x + side * 38, y=skin.y + hollow.b * 0.55, a=_u(s, 12, 22), b=_u(s, 14, 24)),
            Tissue.MUSCLE,
        )
        kidney = Oval(
            x=skin.x + side * _u(s, 58, 75), y=skin.y + hollow.b * 0.45, a=_u(s, 20, 30), b=_u(s, 24, 34)
        )
        if s.rng.random() < 0.8:
            s.paint(kidney, Tissue.KIDNEY)
            s.paint(Oval(x=kidney.x - side * 12, y=kidney.y - 4, a=13, b=8, turn=_u(s, 0, 3)), Tissue.FAT)
    liver = Oval(
        x=skin.x - hollow.a * 0.48, y=skin.y - hollow.b * 0.15, a=hollow.a * 0.45, b=hollow.b * 0.68, turn=0.3
    )
    if s.rng.random() < 0.75:
        s.paint(liver, Tissue.LIVER)
        s.paint(
            Oval(x=skin.x - hollow.a * 0.12, y=skin.y - hollow.b * 0.5, a=hollow.a * 0.4, b=24, turn=-0.2),
            Tissue.LIVER,
        )
        _veins(s, liver)
        stomach = Oval(
            x=skin.x + hollow.a * 0.35, y=skin.y - hollow.b * 0.35, a=_u(s, 28, 50), b=_u(s, 20, 36), turn=0.5
        )
        s.paint(stomach, Tissue.BOWEL)
        s.paint(stomach.grown(-4), Tissue.FLUID)
        s.paint(
            Oval(x=stomach.x, y=stomach.y - stomach.b * 0.5, a=stomach.a * 0.6, b=stomach.b * 0.35),
            Tissue.GAS,
        )
        s.paint(
            Oval(x=skin.x + hollow.a * 0.72, y=skin.y + 5, a=20, b=_u(s, 28, 44), turn=-0.3), Tissue.SPLEEN
        )
    s.paint(Oval(x=skin.x + 8, y=skin.y + hollow.b * 0.52 - 28, a=_u(s, 8, 13), b=_u(s, 8, 13)), Tissue.BLOOD)
    s.paint(Oval(x=skin.x - 22, y=skin.y + hollow.b * 0.52 - 26, a=12, b=8), Tissue.BLOOD)
    if s.rng.random() < 0.5:
        _ribs(s, hollow, int(s.rng.integers(6, 12)))
    if s.rng.random() < 0.35:
        _organ_tumour(s, liver if s.rng.random() < 0.6 else hollow)


def _veins(s: Slice, organ: Oval) -> None:
    for u, v in s.rng.uniform(-0.7, 0.7, (7, 2)):
        x, y = organ.at(float(u), float(v))
        s.paint(
            Oval(x=x, y=y, a=_u(s, 2, 8), b=_u(s, 1.5, 4), turn=_u(s, 0, 3)), Tissue.BLOOD, (Tissue.LIVER,)
        )


def pelvis(s: Slice, skin: Oval) -> None:
    """Gluteal muscles, hip bones or femoral heads, sacrum, bladder, bowel."""
    hollow = _wall(s, skin, Tissue.FAT)
    s.muscles(Oval(x=skin.x, y=skin.y + hollow.b * 0.45, a=hollow.a * 0.95, b=hollow.b * 0.5), 8, _u(s, 1, 3))
    _bowel(s, hollow, int(s.rng.integers(4, 12)))
    heads = s.rng.random() < 0.5
    for side in (-1, 1):
        x = skin.x + side * hollow.a * 0.55
        if heads:
            s.bone(Oval(x=x, y=skin.y + 4, a=34, b=32), 5, Tissue.MUSCLE)
            s.bone(Oval(x=x + side * 6, y=skin.y + 2, a=24, b=24), 2.5, Tissue.SPONGIOSA)
        else:
            wing = Oval(x=x, y=skin.y + 2, a=_u(s, 40, 58), b=_u(s, 7, 12), turn=side * _u(s, 0.9, 1.3))
            s.bone(wing, 2.5, Tissue.SPONGIOSA)
    s.bone(Oval(x=skin.x, y=skin.y + hollow.b * 0.62, a=_u(s, 28, 48), b=_u(s, 11, 19)), 2, Tissue.SPONGIOSA)
    bladder = Oval(x=skin.x, y=skin.y - 18, a=_u(s, 18, 45), b=_u(s, 15, 34))
    s.paint(bladder.grown(3), Tissue.BOWEL)
    s.paint(bladder, Tissue.FLUID)
    s.paint(Oval(x=skin.x, y=skin.y + hollow.b * 0.3, a=15, b=13), Tissue.BOWEL)
    s.paint(Oval(x=skin.x, y=skin.y + hollow.b * 0.3, a=_u(s, 3, 10), b=7), Tissue.GAS)
    _dots(s, hollow, Tissue.BLOOD, 8, (2, 6))
    if s.rng.random() < 0.45:
        _organ_tumour(s, hollow)


def head(s: Slice, skin: Oval) -> None:
    """Scalp, skull with spongy core, brain with ventricles, or sinuses and orbits lower down."""
    s.outline(skin, 2)
    f = skin.b / 95  # everything shrinks towards the crown
    skull = skin.grown(-_u(s, 4, 9) * f)
    wall = _u(s, 4.5, 8) * f
    s.paint(skull, Tissue.CORTEX)
    s.paint(skull.grown(-1.8 * f), Tissue.SPONGIOSA)
    s.paint(skull.grown(-wall + 1.8 * f), Tissue.CORTEX)
    inside = skull.grown(-wall)
    s.paint(inside, Tissue.FLUID)
    s.paint(inside.grown(-2 * f), Tissue.GREY)
    for side in (-1, 1):
        x = skin.x + side * inside.a * 0.45
        s.paint(Oval(x=x, y=skin.y, a=inside.a * 0.38, b=inside.b * 0.72, turn=side * 0.1), Tissue.WHITE)
        s.paint(
            Oval(x=skin.x + side * 9 * f, y=skin.y, a=_u(s, 3, 8) * f, b=_u(s, 15, 32) * f, turn=-side * 0.3),
            Tissue.FLUID,
        )
    if s.rng.random() < 0.35:
        for side in (-1, 1):
            eye = Oval(x=skin.x + side * 32 * f, y=skin.y - inside.b * 0.72, a=16 * f, b=16 * f)
            s.paint(eye.grown(4 * f), Tissue.FAT)
            s.paint(eye, Tissue.FLUID)
        s.bone(Oval(x=skin.x, y=skin.y - inside.b * 0.6, a=14 * f, b=28 * f), 1.5, Tissue.GAS)
    if s.rng.random() < 0.35:
        _organ_tumour(s, inside)


def heart(s: Slice, skin: Oval) -> None:
    """Short-axis heart: blood pool with papillary muscles, muscle ring, right chamber, lungs, liver."""
    hollow = _wall(s, skin, Tissue.LUNG)
    s.paint(Oval(x=skin.x, y=skin.y + hollow.b * 0.62, a=24, b=20), Tissue.MUSCLE)
    _spine(s, skin.x - hollow.a * 0.2, skin.y + hollow.b * 0.75, 16)
    x, y = skin.x + _u(s, 5, 45), skin.y + _u(s, -45, 0)
    _belly(s, skin, hollow, y)
    pool, ring = _u(s, 11, 29), _u(s, 6, 14)
    left = Oval(x=x, y=y, a=pool, b=pool * _u(s, 0.85, 1), turn=_u(s, 0, 3))
    turn = float(s.rng.normal(2.8, 0.5))  # towards the right chamber
    rx, ry = x + math.cos(turn) * (pool + ring) * 1.05, y - math.sin(turn) * (pool + ring) * 0.55
    right = Oval(
        x=rx, y=ry, a=(pool + ring) * _u(s, 0.75, 1.15), b=(pool + ring) * _u(s, 0.75, 1.1), turn=_u(s, 0, 3)
    )
    s.paint(right.grown(_u(s, 3, 11)), Tissue.FAT)
    s.paint(left.grown(ring + _u(s, 1, 6)), Tissue.FAT)
    s.paint(right.grown(2.5), Tissue.MYOCARD)
    s.paint(right, Tissue.RIGHT_POOL)
    s.paint(left.grown(ring), Tissue.MYOCARD)
    s.paint(left, Tissue.POOL)
    for _ in range(int(s.rng.integers(0, 6))):
        angle = _u(s, 0, 6.283)
        px, py = left.at(0.68 * math.cos(angle), 0.68 * math.sin(angle))
        s.paint(
            Oval(x=px, y=py, a=pool * _u(s, 0.08, 0.24), b=pool * 0.13, turn=angle),
            Tissue.PAPILLARY,
            (Tissue.POOL,),
        )
    _lung_vessels(s, hollow)


def _belly(s: Slice, skin: Oval, hollow: Oval, y: float) -> None:
    """What lies below the diaphragm in an oblique slice: liver, stomach, spleen, fat."""
    low = y + _u(s, 38, 70)
    s.paint(
        Oval(
            x=skin.x - hollow.a * 0.35, y=low + 28, a=hollow.a * _u(s, 0.45, 0.7), b=_u(s, 26, 44), turn=-0.1
        ),
        Tissue.LIVER,
    )
    stomach = Oval(
        x=skin.x + hollow.a * 0.3, y=low + 22, a=_u(s, 25, 42), b=_u(s, 16, 28), turn=_u(s, -0.5, 0.5)
    )
    s.paint(stomach.grown(5), Tissue.FAT)
    s.paint(stomach, Tissue.BOWEL)
    s.paint(stomach.grown(-7), Tissue.FLUID if s.rng.random() < 0.5 else Tissue.GAS)
    s.paint(
        Oval(x=skin.x + hollow.a * 0.62, y=low + 15, a=_u(s, 14, 24), b=_u(s, 22, 36), turn=-0.5),
        Tissue.SPLEEN,
    )


_PAINTERS: dict[Part, Callable[[Slice, Oval], None]] = {
    Part.LIMB: limb,
    Part.LEGS: legs,
    Part.CHEST: chest,
    Part.ABDOMEN: abdomen,
    Part.PELVIS: pelvis,
    Part.HEAD: head,
    Part.HEART: heart,
}


def _couch(s: Slice, y: float, a: float) -> None:
    """The scanner's table: a curved shell around foam, below the body."""
    sag, thick = _u(s, 20, 90), _u(s, 12, 45)
    height = np.float32(y) - np.float32(sag) * (s.x / np.float32(1.4 * a)) ** 2
    below = s.y - height
    span = np.abs(s.x) < 1.35 * a
    outside = ~s.body
    s.tissue[outside & span & (below > 0) & (below < thick)] = Tissue.FOAM
    shell = ((below > 0) & (below < 2.2)) | ((below > thick - 2.2) & (below < thick))
    s.tissue[outside & span & shell] = Tissue.TABLE


def paint_part(s: Slice, part: Part, skin: Oval) -> None:
    """Paint the part inside the outline ``skin``."""
    _PAINTERS[part](s, skin)
    septa(s)


def draw_skin(rng: Generator, part: Part) -> Oval:
    """A random outline of the part around (0, 0)."""
    sizes = _SIZES[part]
    return Oval(x=0, y=0, a=float(rng.uniform(*sizes[0])), b=float(rng.uniform(*sizes[1])))


def draw_slice(rng: Generator, height: int, width: int, part: Part) -> Slice:
    """One random slice of the part, framed whole or cropped; pitch 0.4..2.5 mm at 256 pixels."""
    skin = draw_skin(rng, part)
    whole = rng.random() < 0.55
    zoom = float(rng.uniform(1.02, 1.35) if whole else rng.uniform(0.5, 1.0))
    scale = 1.25 if part in (Part.CHEST, Part.HEART) and whole else 1.0
    extent = min(640.0, max(103.0, 2 * max(skin.a, skin.b) * zoom * scale))
    pitch = extent / max(height, width)
    # a crop looks at the rim, so that skin stays in sight
    angle, away = (
        float(rng.uniform(0, 6.283)),
        float(rng.uniform(0, 0.15) if whole else rng.uniform(0.3, 0.7)),
    )
    centre = (away * skin.a * math.cos(angle), away * skin.b * math.sin(angle))
    free = part in (Part.LIMB, Part.HEART)
    turn = float(rng.uniform(0, 6.283)) if part is Part.LIMB else float(rng.normal(0, 0.5 if free else 0.1))
    s = blank(rng, (height, width), pitch, centre=centre, turn=turn)
    paint_part(s, part, skin)
    if rng.random() < 0.55:
        _couch(s, skin.b * float(rng.uniform(0.97, 1.15)), skin.a)
    return s
