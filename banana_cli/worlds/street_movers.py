"""What moves or could: cars, trucks, buses, two-wheelers, people; and what closes roads: cones, drums."""

from __future__ import annotations

from numpy.random import Generator

from banana_cli.worlds.street_cars import PAINT, one
from banana_cli.worlds.street_parts import Builder, Look
from banana_cli.worlds.street_tiles import Tile, pick

PERSON, RIDER, MOTORCYCLE, BICYCLE = 11, 12, 17, 18
_CLOTH = (
    (30, 30, 36), (46, 52, 70), (70, 74, 80), (120, 30, 34), (170, 170, 168), (60, 80, 110), (88, 70, 54),
    (190, 180, 160), (40, 70, 50),
)  # fmt: skip
_TROUSERS = ((24, 24, 28), (34, 40, 56), (46, 56, 82), (60, 58, 56), (112, 98, 76), (30, 34, 40))
_SKIN = ((225, 180, 150), (190, 140, 110), (140, 95, 70), (90, 60, 45))


def person(
    b: Builder,
    rng: Generator,
    s: float,
    l: float,  # noqa: E741
    *,
    yaw: float = 0.0,
    drift: float = 0.0,
    worker: bool = False,
) -> None:
    """Somebody on foot, standing or in mid step."""
    h = rng.uniform(1.5, 1.92)
    obj = b.place(s, l, yaw=yaw, drift=drift, size=(0.5, h, 0.35), counted=True)
    _figure(b, rng, obj, PERSON, h, 0.0, worker)


def _figure(b: Builder, rng: Generator, obj: int, cls: int, h: float, lift: float, worker: bool) -> None:
    cloth = (0.75, 0.16, 0.01) if rng.random() < 0.6 else (0.55, 0.8, 0.03)
    vest = pick(rng, Tile.VEST) if worker else 0
    top = Look(cls=cls, colour=cloth if worker else one(rng, _CLOTH), rough=0.25, tile=vest)
    legs = Look(cls=cls, colour=one(rng, _TROUSERS), rough=0.25)
    skin = Look(cls=cls, colour=one(rng, _SKIN), rough=0.05)
    hair = Look(
        cls=cls,
        colour=(0.6, 0.5, 0.05) if worker else one(rng, ((20, 16, 14), (70, 50, 36), (150, 130, 100))),
    )
    wide, step = rng.uniform(0.17, 0.25), rng.uniform(0, 0.3)
    b.quadric(obj, (0, -h * 0.66 - lift, 0), (wide, h * 0.185, 0.14), top)
    b.quadric(obj, (0, -h * 0.5 - lift, 0), (wide * 0.85, h * 0.09, 0.13), legs)
    b.quadric(obj, (0, -h * 0.92 - lift, 0), (0.085, h * 0.075, 0.1), skin)
    b.quadric(obj, (0, -h * 0.955 - lift, -0.01), (0.1 if worker else 0.092, h * 0.05, 0.115), hair)
    shoe = Look(cls=cls, colour=(0.02, 0.02, 0.02), reach=40)
    bare = skin if rng.random() < 0.4 else top
    for k in (-1, 1):
        at = (k * 0.09, -h * 0.25 - lift, k * step * 0.5)
        b.quadric(obj, at, (0.075, h * 0.25, 0.09), legs, kind="tube")
        b.quadric(obj, (at[0], -0.05 - lift, at[2] + 0.05), (0.06, 0.06, 0.14), shoe)
        arm = Look(cls=cls, colour=top.colour, rough=0.2, reach=60)
        hand = Look(cls=cls, colour=bare.colour, reach=45)
        x, z = k * (wide + 0.03), -k * step * 0.3
        b.quadric(obj, (x, -h * 0.71 - lift, z), (0.065, h * 0.12, 0.08), arm)
        b.quadric(obj, (x, -h * 0.53 - lift, z * 1.6 + 0.05), (0.045, h * 0.1, 0.06), hand)
    if rng.random() < 0.15:
        bag = Look(cls=cls, colour=one(rng, _CLOTH))
        b.quadric(obj, (0, -h * 0.68 - lift, -0.2), (wide * 0.8, h * 0.14, 0.12), bag)


def rider(b: Builder, rng: Generator, s: float, l: float, *, yaw: float = 0.0, speed: float = 0.0) -> None:  # noqa: E741
    """A bicycle or motorcycle, mostly with somebody on it."""
    motor = rng.random() < 0.4
    cls, r = (MOTORCYCLE, 0.3) if motor else (BICYCLE, 0.34)
    obj = b.place(s, l, yaw=yaw, speed=speed, size=(0.4, 1.0, 1.7), counted=True)
    ring = Look(cls=cls, colour=(0.05, 0.05, 0.05), tile=Tile.RING, cut=1, rough=0)
    frame = Look(cls=cls, colour=one(rng, PAINT), gloss=0.1)
    for z in (-0.53, 0.53):
        wheel = [(0, -2 * r, z - r), (0, -2 * r, z + r), (0, 0, z + r), (0, 0, z - r)]
        b.polygon(obj, wheel, ring)
        thick = 0.12 if motor else 0.05
        b.boxes(obj, (0, -0.02, z), (thick, 2 * r, 0.2), (ring_dark(cls),) * 6)
    if motor:
        b.boxes(obj, (0, -0.3, 0), (0.34, 0.5, 1.0), (frame,) * 6)
        b.boxes(obj, (0, -0.85, 0.45), (0.7, 0.08, 0.1), (frame,) * 6)
    else:
        b.boxes(obj, (0, -0.45, 0), (0.05, 0.07, 0.9), (frame,) * 6)
        b.boxes(obj, (0, -0.3, -0.15), (0.05, 0.65, 0.06), (frame,) * 6)
        b.boxes(obj, (0, -0.95, 0.4), (0.5, 0.05, 0.05), (frame,) * 6)
    if rng.random() < 0.85:
        again = b.place(s - 0.1, l, yaw=yaw, speed=speed, counted=True)
        _figure(b, rng, again, RIDER, 1.45, 0.42, False)


def ring_dark(cls: int) -> Look:
    """Rubber."""
    return Look(cls=cls, colour=(0.02, 0.02, 0.02))
