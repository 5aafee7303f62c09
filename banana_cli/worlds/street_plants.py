"""Trees, bushes, hedges and woods."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from banana_cli.worlds.street_parts import Builder, Colour, Look, linear, times, vary
from banana_cli.worlds.street_tiles import Tile, pick

GREEN = 8
_LEAVES = (
    (62, 84, 34), (78, 100, 42), (50, 70, 34), (96, 112, 46), (120, 124, 48), (38, 56, 30), (88, 96, 58),
    (56, 72, 40), (70, 82, 36),
)  # fmt: skip
_AUTUMN = ((176, 120, 40), (168, 84, 36), (150, 50, 34), (190, 150, 60), (120, 90, 50), (186, 158, 50))


def leaves(rng: Generator) -> Colour:
    """Colour of a scene's or a tree's leaves."""
    palette = _AUTUMN if rng.random() < 0.22 else _LEAVES
    return vary(rng, linear(*palette[int(rng.integers(len(palette)))]))


def tree(b: Builder, rng: Generator, s: float, l: float, kind: int, palette: Colour) -> None:  # noqa: E741
    """A tree: 0 broad, 1 narrow or conifer, 2 bare, 3 bush; ``palette`` is its leaves' colour."""
    bark = Look(cls=GREEN, colour=vary(rng, linear(84, 70, 58)), rough=0.35)
    if kind == 3:
        _bush(b, rng, s, l, palette)
        return
    height = rng.uniform(4, 13) if kind else rng.uniform(5, 16)
    if kind == 2:
        _bare(b, rng, s, l, height, bark)
        return
    w = height * (rng.uniform(0.22, 0.4) if kind else rng.uniform(0.5, 0.9))
    obj = b.place(s, l, size=(w, height, w), ellipse=True)
    stem = rng.uniform(0.25, 0.45) if kind == 0 else 0.12
    _stem(b, rng, obj, height, bark, forked=kind == 0)
    if kind == 1 and rng.random() < 0.5:
        leaf = Look(cls=GREEN, colour=palette, rough=0.4)
        b.quadric(
            obj, (0, -height * 0.54, 0), (w * 0.5, height * 0.46, w * 0.5), leaf, kind="cone", holes=0.18
        )
        return
    _crown(b, rng, obj, (w, (1 - stem) * height / 2, height * (1 + stem) / 2), palette, far=s > 60)


def _stem(b: Builder, rng: Generator, obj: int, height: float, bark: Look, *, forked: bool) -> None:
    r = height * rng.uniform(0.009, 0.024)
    b.quadric(obj, (0, -height * 0.3, 0), (r, height * 0.3, r), bark, kind="tube")
    if forked and rng.random() < 0.7:
        for k in (-1, 1):
            lean, y = k * rng.uniform(0.05, 0.13) * height, -height * rng.uniform(0.22, 0.32)
            limb = [
                (0, y - r, 0),
                (0, y + r, 0),
                (lean, y - 0.2 * height + r, 0),
                (lean, y - 0.2 * height, 0),
            ]
            b.polygon(obj, limb, bark)


def _crown(
    b: Builder, rng: Generator, obj: int, shape: tuple[float, float, float], palette: Colour, *, far: bool
) -> None:
    """A core, lumps, and leafy cards that fray its edge; shape: width, half height, middle's height."""
    w, crown, middle = shape
    gaps = rng.uniform(0.22, 0.55)
    leaf = Look(cls=GREEN, colour=palette, rough=0.4)
    b.quadric(obj, (0, -middle, 0), (w * 0.36, crown * 0.78, w * 0.36), leaf, holes=gaps * 0.8)
    for _ in range(1 if far else int(rng.integers(3, 7))):
        a, lift = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.6)
        at = (np.cos(a) * w * 0.3, -middle - lift * crown, np.sin(a) * w * 0.3)
        k = rng.uniform(0.4, 0.75)
        bright = rng.uniform(0.7, 1.15) * (1 + 0.35 * lift)
        lump = Look(cls=GREEN, colour=vary(rng, times(palette, bright), 0.05), rough=0.4, reach=80)
        b.quadric(obj, at, (w * 0.4 * k, crown * 0.7 * k, w * 0.4 * k), lump, holes=gaps)
    tile, turn = pick(rng, Tile.CROWN), rng.uniform(0, np.pi)
    card = Look(cls=GREEN, colour=times(palette, 1.25), tile=tile, cut=1, rough=0.3)
    for quarter in (0, np.pi / 2)[: 1 if far else 2]:
        half = w * rng.uniform(0.5, 0.62)
        x, z = half * np.cos(turn + quarter), half * np.sin(turn + quarter)
        if far:
            x, z = half, 0.0
        top, low = -middle - crown * 1.12, -middle + crown * 1.05
        b.polygon(obj, [(-x, top, -z), (x, top, z), (x, low, z), (-x, low, -z)], card)


def _bush(b: Builder, rng: Generator, s: float, l: float, palette: Colour) -> None:  # noqa: E741
    w, h = rng.uniform(0.7, 2.2), rng.uniform(0.6, 1.8)
    obj = b.place(s, l, size=(w, h, w), ellipse=True)
    leaf = Look(cls=GREEN, colour=palette, rough=0.4)
    for _ in range(2):
        at = (rng.uniform(-w, w) * 0.4, -h * 0.45, rng.uniform(-w, w) * 0.4)
        b.quadric(obj, at, (w * 0.6, h * 0.55, w * 0.6), leaf, holes=0.3)


def _bare(b: Builder, rng: Generator, s: float, l: float, height: float, bark: Look) -> None:  # noqa: E741
    w = height * rng.uniform(0.6, 0.95)
    obj = b.place(s, l, yaw=rng.uniform(-0.6, 0.6), size=(w * 0.5, height, w * 0.5), ellipse=True)
    twig = Look(cls=GREEN, colour=bark.colour, tile=pick(rng, Tile.BRANCH), cut=2, rough=0.2)
    r = height * 0.012
    b.quadric(obj, (0, -height * 0.17, 0), (r, height * 0.17, r), bark, kind="tube")
    low = height * 0.3
    card = [(-w / 2, -height, 0), (w / 2, -height, 0), (w / 2, -low, 0), (-w / 2, -low, 0)]
    b.polygon(obj, card, twig)


def hedge(b: Builder, rng: Generator, s: float, l: float, length: float, colour: Colour) -> None:  # noqa: E741
    """A hedge of lumps over a box."""
    h, w = rng.uniform(0.7, 2.4), rng.uniform(0.6, 1.5)
    obj = b.place(s + length / 2, l, size=(w, h, length))
    leaf = Look(cls=GREEN, colour=colour, rough=0.5)
    b.boxes(obj, (0, 0, 0), (w * 0.8, h * 0.85, length), (leaf,) * 5)
    for k in range(int(length / 2)):
        at = (0, -h * 0.55, -length / 2 + 1 + 2 * k)
        b.quadric(obj, at, (w * 0.55, h * rng.uniform(0.45, 0.6), 1.3), leaf, holes=0.25)


def wood(
    b: Builder,
    rng: Generator,
    s: float,
    l: float,  # noqa: E741
    length: float,
    colour: Colour,
    *,
    across: bool,
) -> None:
    """A wall of trees from (s, l), along the road or across it, with undergrowth at its foot."""
    h = rng.uniform(5, 15)
    obj = b.place(s, l, yaw=rng.normal(0, 0.04) + (np.pi / 2 if across else 0.0), size=(2, h * 0.7, length))
    look = Look(cls=GREEN, colour=colour, tile=pick(rng, Tile.SKYLINE), cut=1, rough=0.5)
    z = length / 2
    for step, tall in ((0.0, h), (2.5, h * 0.55)):
        shade = Look(
            cls=GREEN,
            colour=times(colour, rng.uniform(0.8, 1.25)),
            tile=look.tile,
            cut=1,
            rough=0.5,
        )
        x = -np.sign(l) * step if not across else step
        count, foot = length / (tall * 2.2), tall + 0.1
        frame = ((0, 0, count / length, count / 2), (0, 1 / foot, 0, tall / foot))
        ends = [(x, -tall, 0.45 * tall - z), (x, -tall, z - 0.45 * tall), (x, 0.1, z), (x, 0.1, -z)]
        b.polygon(obj, ends, shade, rep=(count, 1), frame=frame)
