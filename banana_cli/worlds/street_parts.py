"""Building blocks of a street: boxes, boards, cylinders and crowns collected into the raster's tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np
from numpy.random import Generator

from banana_cli.types import F64
from banana_cli.worlds.raster import FACE, QUADRIC, Table

Colour = tuple[float, float, float]
Point = tuple[float, float, float]
Frame = tuple[tuple[float, float, float, float], tuple[float, float, float, float]]

# Corners of a unit box standing on y = 0 (up is -y), by face: back, front, left, right, top, bottom.
_BOX: tuple[tuple[Point, ...], ...] = tuple(
    tuple((x / 2, float(y), z / 2) for x, y, z in face)
    for face in (
        [[-1, -1, -1], [1, -1, -1], [1, 0, -1], [-1, 0, -1]],
        [[1, -1, 1], [-1, -1, 1], [-1, 0, 1], [1, 0, 1]],
        [[-1, -1, 1], [-1, -1, -1], [-1, 0, -1], [-1, 0, 1]],
        [[1, -1, -1], [1, -1, 1], [1, 0, 1], [1, 0, -1]],
        [[-1, -1, 1], [1, -1, 1], [1, -1, -1], [-1, -1, -1]],
        [[-1, 0, 1], [1, 0, 1], [1, 0, -1], [-1, 0, -1]],
    )
)
OBJECT = np.dtype(
    [
        ("s", "f8"),
        ("l", "f8"),
        ("speed", "f8"),  # along the road, m/s
        ("drift", "f8"),  # across the road, m/s
        ("yaw", "f8"),  # added to the road's heading
        ("size", "f4", (3,)),  # of the box that casts the shadow
        ("ellipse", "?"),
        ("inst", "u2"),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a surface looks: linear colour, picture tile, grain of the noise, mirror share, own light."""

    cls: int
    colour: Colour = (0.3, 0.3, 0.3)
    tile: int = 0
    rough: float = 0.12
    gloss: float = 0.0
    glow: float = 0.0
    cut: int = 0
    reach: float = 400.0


@dataclass(slots=True)
class Builder:
    """Collects objects, faces and quadrics of one scene."""

    objects: list[tuple[object, ...]] = field(default_factory=list)
    corners: list[list[Point]] = field(default_factory=list)
    bodies: list[tuple[float, float, float, float]] = field(
        default_factory=list
    )  # a point inside, 1 = a board
    repeats: list[tuple[float, float]] = field(default_factory=list)
    frames: dict[int, Frame] = field(default_factory=dict)
    looks: list[tuple[int, Look]] = field(default_factory=list)
    rounds: list[tuple[object, ...]] = field(default_factory=list)
    round_looks: list[tuple[int, Look]] = field(default_factory=list)
    instances: int = 0

    def place(
        self,
        s: float,
        l: float,  # noqa: E741
        *,
        yaw: float = 0.0,
        speed: float = 0.0,
        drift: float = 0.0,
        size: Point = (0, 0, 0),
        ellipse: bool = False,
        counted: bool = False,
    ) -> int:
        """A new object at ``s`` metres along and ``l`` metres right of the road's centre line."""
        self.instances += counted
        inst = self.instances if counted else 0
        self.objects.append((s, l, speed, drift, yaw, size, ellipse, inst))
        return len(self.objects) - 1

    def resize(self, obj: int, size: Point) -> None:
        """Give an object another box for its shadow."""
        row = self.objects[obj]
        self.objects[obj] = (*row[:5], size, *row[6:])

    def boxes(
        self, obj: int, low: Point, size: Point, looks: Sequence[Look | None], rep: Point = (0, 0, 0)
    ) -> None:
        """A box whose floor's middle is ``low``; looks: back, front, left, right, top, bottom (None: open).

        ``rep`` is how many tiles lie along x, y and z; 0 is one.
        """
        (w, h, d), (x, y, z) = size, low
        middle = (x, y - h / 2, z)
        rx, ry, rz = (r or 1 for r in rep)
        repeats = ((rx, ry), (rx, ry), (rz, ry), (rz, ry), (rx, rz), (rx, rz))
        for k, look in enumerate(looks):
            if look is not None:
                sheet = [(x + a * w, y + b * h, z + c * d) for a, b, c in _BOX[k]]
                self.polygon(obj, sheet, look, middle=middle, rep=repeats[k])

    def polygon(
        self,
        obj: int,
        corners: Sequence[Point],
        look: Look,
        *,
        middle: Point | None = None,
        rep: tuple[float, float] = (1, 1),
        frame: Frame | None = None,
    ) -> None:
        """A convex polygon of 3 to 8 corners; the tile runs from corner 0 to 1 (u) and to the last one (v).

        ``middle`` is a point inside of the body that it belongs to; None for boards seen from both sides.
        ``frame`` says otherwise how the tile lies: rows (x, y, z, 1) of u and v.
        """
        if frame is not None:
            self.frames[len(self.corners)] = frame
        self.corners.append([*corners, *(corners[-1],) * (8 - len(corners))])
        self.bodies.append((0, 0, 0, 1) if middle is None else (*middle, 0))
        self.repeats.append(rep)
        self.looks.append((obj, look))

    def quadric(
        self,
        obj: int,
        centre: Point,
        radii: Point,
        look: Look,
        *,
        kind: str = "ball",
        holes: float = 0.0,
    ) -> None:
        """An ellipsoid ("ball"), upright "tube" or "cone" (its point on top) of half sizes ``radii``."""
        x, y, z = centre
        a, h, c = radii
        weight = (1 / a**2, 1 / h**2, 1 / c**2)
        level, low, high, tall = 1.0, -h, h, h
        if kind == "tube":
            weight = (weight[0], 0.0, weight[2])
        if kind == "cone":
            weight = (weight[0], -0.25 / h**2, weight[2])
            y, level, low, high, tall = y - h, 0.0, 0.06 * h, 2 * h, 2 * h
        frame = ((0.5 / a, 0, 0.3 / c, 0.5), (0, 0.5 / h, 0, (h - centre[1]) * 0.5 / h))
        shape = ((x, y, z), weight, level, low, high, (a, tall, c), holes)
        self.rounds.append((frame, (2 * a, 2 * h), *shape))
        self.round_looks.append((obj, look))

    def tables(self) -> tuple[Table, Table, Table]:
        """(objects, faces, quadrics)."""
        quadrics = np.zeros(len(self.rounds), QUADRIC)
        for k, name in enumerate(_ROUND_FIELDS):
            if self.rounds:
                quadrics[name] = [r[k] for r in self.rounds]
        quadrics["span"] = 1
        _fill(quadrics, self.round_looks)
        return np.array(self.objects, OBJECT), self._face_table(), quadrics

    def _face_table(self) -> Table:
        faces = np.zeros(len(self.corners), FACE)
        if not self.corners:
            return faces
        points = np.array(self.corners, np.float64)
        bodies = np.array(self.bodies)
        u, v = points[:, 1] - points[:, 0], points[:, -1] - points[:, 0]
        normal = np.cross(u, points[:, 2] - points[:, 0])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        outwards = ((points.mean(1) - bodies[:, :3]) * normal).sum(1)
        normal[(outwards < 0) & (bodies[:, 3] == 0)] *= -1
        faces["corners"], faces["normal"], faces["both"] = points, normal, bodies[:, 3] > 0
        faces["frame"], faces["metric"] = _frames(points[:, 0], u, v, np.array(self.repeats, np.float64))
        faces["span"] = self.repeats
        for k, frame in self.frames.items():
            faces["frame"][k] = frame
        _fill(faces, self.looks)
        return faces


_ROUND_FIELDS = ("frame", "metric", "centre", "weight", "level", "low", "high", "extent", "holes")


_LOOK_FIELDS = ("cls", "colour", "tile", "rough", "gloss", "glow", "cut", "reach")
_look_values = attrgetter(*_LOOK_FIELDS)


def _fill(rows: Table, looks: list[tuple[int, Look]]) -> None:
    if not looks:
        return
    rows["obj"] = [obj for obj, _ in looks]
    place: dict[int, int] = {}  # many surfaces share one look
    index = np.array([place.setdefault(id(look), len(place)) for _, look in looks])
    distinct = {id(look): look for _, look in looks}
    columns = zip(*(_look_values(distinct[key]) for key in place), strict=True)
    for name, column in zip(_LOOK_FIELDS, columns, strict=True):
        rows[name] = np.array(column)[index]


def _frames(origin: F64, u: F64, v: F64, rep: F64) -> tuple[F64, F64]:
    """(n, 2, 4) tile frames and (n, 2) metres of a tile."""
    width = np.maximum(np.linalg.norm(u, axis=1), 1e-6)
    v = v - u * ((u * v).sum(1) / width**2)[:, None]
    height = np.maximum(np.linalg.norm(v, axis=1), 1e-6)
    axes = np.stack([u * (rep[:, 0] / width**2)[:, None], v * (rep[:, 1] / height**2)[:, None]], axis=1)
    offset = -(axes * origin[:, None]).sum(2, keepdims=True)
    return np.concatenate([axes, offset], axis=2), np.stack([width / rep[:, 0], height / rep[:, 1]], axis=1)


def linear(r: int, g: int, b: int) -> Colour:
    """Linear colour of sRGB bytes."""
    return ((r / 255) ** 2.2, (g / 255) ** 2.2, (b / 255) ** 2.2)


def times(colour: Colour, k: float) -> Colour:
    """The colour ``k`` times as bright."""
    return (colour[0] * k, colour[1] * k, colour[2] * k)


def vary(rng: Generator, base: Colour, spread: float = 0.18) -> Colour:
    """A colour near ``base``: brighter or darker, and a little of another hue."""
    k = float(np.exp(rng.normal(0, spread)))
    tint = rng.normal(0, 0.06, 3)
    return (base[0] * k * (1 + tint[0]), base[1] * k * (1 + tint[1]), base[2] * k * (1 + tint[2]))
