"""The road and what lies beside it: layout, labels, heights and painted colours of ground points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from banana_cli.types import F32
from banana_cli.worlds.noise import Floats, lookup, tile
from banana_cli.worlds.street_parts import Colour, linear

ROAD, WALK, TERRAIN = 0, 1, 9
KERB = 0.14
I64 = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Strips:
    """Strips of ground side by side, from left to right: ``edges`` (n-1,), the rest (n,) or (n, 3)."""

    edges: F32
    cls: NDArray[np.uint8]
    colour: F32
    raised: NDArray[np.bool_]
    grain: F32


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Painted lines along the road: middle, width, dash period (0 = solid), painted share, colour."""

    at: F32
    width: F32
    period: F32
    share: F32
    colour: F32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Road:
    """A road along z: its bend, hill, strips and lines, and perhaps one crossing street.

    ``lanes`` are lane middles (offset, direction +1 with us, -1 against); ``kerbs`` the roadway's edges.
    """

    bend: float  # 1/m
    hill: float  # 1/m, positive climbs
    strips: Strips
    lines: Lines
    lanes: tuple[tuple[float, int], ...]
    ego: float
    kerbs: tuple[float, float]
    walks: tuple[tuple[float, float], tuple[float, float]]
    lots: tuple[float, float]  # where plots begin, left and right
    crossing: tuple[float, float]
    end: float  # where the road runs into the far side of the crossing street; 1e6: it goes on
    zebra: bool
    age: float
    patched: float
    wet: float
    seed: int

    def centre(self, s: Floats | float) -> Floats:
        """World x of the centre line at ``s`` (= world z)."""
        return np.asarray(0.5 * self.bend * s * s)

    def heading(self, s: Floats | float) -> Floats:
        """Angle of the centre line to the right of +z, radians."""
        return np.asarray(np.arctan(self.bend * s))

    def height(self, s: Floats | float) -> Floats:
        """World y of the ground (down is positive) at ``s``."""
        return np.asarray(-0.5 * self.hill * s * s)


@dataclass(frozen=True, slots=True, eq=False)
class GroundHit:
    """Ground per pixel (H, W): distance along z (inf: none), strip, offsets l and s, kerb faces.

    ``kerb_sign`` is where a kerb looks: -1 left, 1 right, 0 back along the road.
    """

    depth: F32
    strip: I64
    l: F32  # noqa: E741
    s: F32
    kerb: NDArray[np.bool_]
    kerb_sign: F32


def make_road(rng: Generator) -> Road:
    """A random road."""
    width = rng.uniform(3.0, 3.8)
    oneway = rng.random() < 0.25
    mine, others = int(rng.integers(1, 4)), 0 if oneway else int(rng.integers(1, 3))
    mine += oneway
    park = [rng.uniform(2.0, 2.6) if rng.random() < 0.45 else rng.uniform(0.2, 1.6) for _ in range(2)]
    left, right = -others * width, mine * width
    lanes = [(width * (k + 0.5), 1) for k in range(mine)] + [(-width * (k + 0.5), -1) for k in range(others)]
    ego = lanes[int(rng.integers(mine))][0]
    shift = ego  # the ego lane's own middle becomes l = 0: bends then start straight ahead
    lanes = [(a - shift, d) for a, d in lanes]
    kerbs = (left - park[0] - shift, right + park[1] - shift)
    lines = _lines(rng, width, mine, others, shift)
    strips, walks, lots = _strips(rng, kerbs)
    start = rng.uniform(8, 70)
    crossing = (start, start + rng.uniform(7, 16)) if rng.random() < 0.55 else (1e6, 1e6 + 1)
    ends = crossing[1] if crossing[0] < 500 and rng.random() < 0.25 else 1e6
    return Road(
        bend=float(rng.normal(0, rng.choice([0.0015, 0.0015, 0.005]))) if rng.random() < 0.55 else 0.0,
        hill=float(rng.normal(0, rng.choice([0.0004, 0.0004, 0.0012]))) if rng.random() < 0.5 else 0.0,
        strips=strips,
        lines=lines,
        lanes=tuple(lanes),
        ego=float(rng.normal(0, 0.25)),
        kerbs=kerbs,
        walks=walks,
        lots=lots,
        crossing=crossing,
        end=ends,
        zebra=bool(rng.random() < 0.7),
        age=float(rng.random()),
        patched=float(rng.random()),
        wet=float(rng.random() < 0.12),
        seed=int(rng.integers(1 << 30)),
    )


def _lines(rng: Generator, width: float, mine: int, others: int, shift: float) -> Lines:
    white, yellow = linear(215, 215, 210), linear(205, 160, 50)
    rows: list[tuple[float, float, float, float, Colour]] = []
    paint, broad = float(rng.uniform(0.15, 1.0)), float(rng.uniform(0.1, 0.17))
    if others:
        style = int(rng.integers(4))
        if style < 2:
            rows += [(-0.13, broad, 0, 1, yellow), (0.13, broad, 0, 1, yellow)]
        elif style == 2:
            rows += [(0.0, broad, 12.2, 0.27, yellow)]
    for k in range(1, mine):
        rows.append((k * width, broad, 12.2, 0.3 if rng.random() < 0.85 else 1.0, white))
    for k in range(1, others):
        rows.append((-k * width, broad, 12.2, 0.3, white))
    if rng.random() < 0.6:
        rows.append((mine * width, broad, 0, 1, white))
        rows.append((-others * width, broad, 0, 1, white if others else yellow))
    if not rows or rng.random() < 0.1:
        rows = [(500.0, 0.1, 0, 1, white)]
    rows.sort()
    colour = np.array([r[4] for r in rows], np.float32) * (0.4 + 0.6 * paint)
    at, wide, period, share = (np.array([r[k] for r in rows], np.float32) for k in range(4))
    return Lines(at - np.float32(shift), wide, period, share, colour)


def _soil(rng: Generator) -> Colour:
    greens = (
        linear(95, 115, 50),
        linear(70, 100, 40),
        linear(130, 125, 70),
        linear(150, 125, 90),
        linear(115, 90, 65),
    )
    base = greens[int(rng.integers(len(greens)))]
    k = rng.uniform(0.4, 1.0)
    return (base[0] * k, base[1] * k, base[2] * k)


def _pavement(rng: Generator) -> Colour:
    g = rng.uniform(95, 175)
    warm = rng.uniform(-6, 14)
    return linear(int(g + warm), int(g), int(g - warm))


def _strips(
    rng: Generator, kerbs: tuple[float, float]
) -> tuple[Strips, tuple[tuple[float, float], tuple[float, float]], tuple[float, float]]:
    g = rng.uniform(62, 135)
    asphalt = linear(int(g + rng.uniform(-4, 8)), int(g + 1), int(g - rng.uniform(-8, 8)))
    concrete, soil = _pavement(rng), _soil(rng)
    sides = [_side(rng, concrete, soil) for _ in range(2)]
    rows: list[tuple[int, Colour, bool, float]] = [(r[1], r[2], r[3], r[4]) for r in reversed(sides[0])]
    edges = [kerbs[0] - sum(r[0] for r in sides[0][: k + 1]) for k in range(len(sides[0]) - 1)][::-1]
    edges += [kerbs[0], kerbs[1]]
    rows.append((ROAD, asphalt, False, float(rng.uniform(0.04, 0.13))))
    edges += [kerbs[1] + sum(r[0] for r in sides[1][: k + 1]) for k in range(len(sides[1]) - 1)]
    rows += [(r[1], r[2], r[3], r[4]) for r in sides[1]]
    strips = Strips(
        np.array(edges, np.float32),
        np.array([r[0] for r in rows], np.uint8),
        np.array([r[1] for r in rows], np.float32),
        np.array([r[2] for r in rows]),
        np.array([r[3] for r in rows], np.float32),
    )
    walks, lots = [], []
    for side, sign, kerb in ((sides[0], -1, kerbs[0]), (sides[1], 1, kerbs[1])):
        offset, walk = 0.0, (0.5, 1.5)
        for r in side[:-1]:
            if r[1] == WALK and r[0] > 0.5:
                walk = (offset, offset + r[0])
            offset += r[0]
        walks.append((kerb + sign * walk[0], kerb + sign * walk[1]))
        lots.append(kerb + sign * offset)
    return strips, (walks[0], walks[1]), (lots[0], lots[1])


def _side(rng: Generator, concrete: Colour, soil: Colour) -> list[tuple[float, int, Colour, bool, float]]:
    """Strips from the kerb outwards: width, class, colour, raised, grain."""
    raised = bool(rng.random() < 0.8)
    style = rng.random()
    kerb = (0.2, WALK, tuple(c * 1.1 for c in concrete), raised, 0.08)
    walk = (rng.uniform(1.4, 4.5), WALK, concrete, raised, 0.1)
    verge = (rng.uniform(0.8, 4.0), TERRAIN, soil, raised, 0.35)
    lawn = (400.0, TERRAIN, soil, raised, 0.35)
    plaza = (400.0, WALK, tuple(c * 0.9 for c in concrete), raised, 0.1)
    strip = (rng.uniform(0.5, 3.0), TERRAIN, soil, raised, 0.35)
    if style < 0.4:
        rows = [kerb, walk, strip, plaza if rng.random() < 0.4 else lawn]
    elif style < 0.75:
        rows = [kerb, verge, walk, strip, lawn]
    elif style < 0.88:
        rows = [kerb, verge, lawn]
    else:
        rows = [verge, lawn]
    return rows  # type: ignore[return-value]


def _plane_depth(rise: float, slope: float, hill: float, down: F32, ahead: F32) -> F32:
    """Ray parameter where rays (down, ahead) from ``rise`` above a parabola meet it, or inf."""
    a = 0.5 * hill * ahead * ahead
    b = down + slope * ahead
    root = b * b + 4 * a * rise
    low = b + np.sqrt(np.maximum(root, 0))
    hit = (root >= 0) & (low > 1e-5)
    return np.where(hit, 2 * rise / np.maximum(low, 1e-5), np.inf).astype(np.float32)


def meet(road: Road, eye: F32, rays: tuple[F32, F32, F32]) -> GroundHit:
    """Where world rays (x, y, z parts, each (H, W)) from the eye meet the ground; ray parameter = depth."""
    rise = float(road.height(float(eye[2])) - eye[1])
    slope = float(road.hill * eye[2])
    dx, dy, dz = rays
    low = _plane_depth(rise, slope, road.hill, dy, dz)
    low = np.where(low < 900, low, np.inf)
    high = np.where(np.isfinite(low), low * np.float32((rise - KERB) / rise), np.inf)
    if road.hill != 0:
        high = _plane_depth(rise - KERB, slope, road.hill, dy, dz)
        high = np.where(np.isfinite(low), high, np.inf)
    on_low, l_low, s_low = _strip(road, eye, dx, dz, low)
    on_high, l_high, s_high = _strip(road, eye, dx, dz, high)
    raised = road.strips.raised
    up = raised[on_high]
    kerb = ~up & raised[on_low] & np.isfinite(low)
    side = np.where(on_low > on_high, on_high, on_high - 1)
    edge = road.strips.edges[np.clip(side, 0, len(road.strips.edges) - 1)]
    gap = l_low - l_high
    low, high = np.where(np.isfinite(low), low, 1e4), np.where(np.isfinite(high), high, 1e4)
    part = np.clip((edge - l_high) / np.where(np.abs(gap) > 1e-6, gap, 1), 0, 1)
    depth = np.where(up, high, np.where(kerb, high + part * (low - high), low)).astype(np.float32)
    faces_us = kerb & (s_high < road.crossing[1]) & (s_low >= road.crossing[1])
    depth = np.where(faces_us, (road.crossing[1] - eye[2]) / np.maximum(dz, 1e-3), depth).astype(np.float32)
    strip, l, s = _strip(road, eye, dx, dz, depth)  # noqa: E741
    strip = np.where(kerb, on_low, np.where(up, on_high, on_low))
    sign = np.where(faces_us, 0, np.where(on_low > on_high, -1, 1)).astype(np.float32)
    return GroundHit(depth, strip, l, s, kerb, sign)


def _strip(road: Road, eye: F32, dx: F32, dz: F32, depth: F32) -> tuple[I64, F32, F32]:
    t = np.where(np.isfinite(depth), depth, 0)
    s = (eye[2] + t * dz).astype(np.float32)
    l = (eye[0] + t * dx - road.centre(s)).astype(np.float32)  # noqa: E741
    index = np.searchsorted(road.strips.edges, l)
    if road.crossing[0] < 500:
        middle = int(np.flatnonzero(road.strips.cls == ROAD)[0])
        index = np.where((s > road.crossing[0]) & (s < road.crossing[1]), middle, index)
        index = np.where(s > road.end, len(road.strips.cls) - 1, index)
    return index, l, s


def paint(road: Road, hit: GroundHit, foot: F32, long_foot: F32) -> tuple[F32, F32]:
    """Albedo (n, m, 3) and paint share of ground points; footprints in metres across and along."""
    strips = road.strips
    albedo = strips.colour[hit.strip]
    grain = strips.grain[hit.strip]
    is_road = strips.cls[hit.strip] == ROAD
    albedo = albedo * (1 + grain * _grain(hit, foot, long_foot))[..., None]
    wear = lookup(tile(5, 16, 5, 0.7), hit.l / 23, hit.s / 61)
    tone = 1 + np.where(is_road, 0.04 + 0.1 * road.age, 0.06) * wear
    if road.patched > 0.4:
        block = lookup(tile(6, 8, 1), np.round(hit.l / 1.7) / 9.3, np.round(hit.s / 5) / 17.0)
        tone = tone * np.where(is_road & (block > 2.0 - road.patched), 0.72 + 0.5 * (road.age > 0.5), 1)
    if road.age > 0.3:
        vein = np.abs(lookup(tile(7, 8, 4, 0.6), hit.l / 14, hit.s / 14))
        mean = np.sqrt(foot * long_foot)  # thin lines pale with distance before they break into dots
        crack = np.clip(1 - vein / (0.02 + mean * 0.25), 0, 1) * np.clip(0.03 / np.maximum(mean, 1e-3), 0, 1)
        tone = tone * (1 - 0.55 * road.age * crack * is_road)
    tone = tone * np.where(is_road, _use(road, hit, foot, long_foot), 1)
    albedo = albedo * _joints(hit, strips, tone, foot, long_foot)[..., None]
    share, colour = _marks(road, hit, foot, long_foot)
    share = share * is_road * np.clip(1.1 - road.age * np.clip(0.6 + 0.7 * wear, 0, 1.2), 0.15, 1)
    return albedo * (1 - share[..., None]) + colour * share[..., None], share


def _grain(hit: GroundHit, foot: F32, long_foot: F32) -> F32:
    total = np.zeros_like(foot)
    for size, power in ((0.5, 0.9), (3.0, 0.45), (19.0, 0.5)):
        fade = np.clip(1.5 - long_foot * 9 / size, 0, 1)
        total += power * fade * lookup(tile(3, 32, 3, 0.8), hit.l / (size * 4), hit.s / (size * 4))
    return np.clip(total, -2.5, 2.5)


def _use(road: Road, hit: GroundHit, foot: F32, long_foot: F32) -> F32:
    """What traffic and repairs leave: wheel tracks, oil, seams, slab joints, lids, sealed cracks."""
    rng = np.random.default_rng(road.seed)
    track, oil, seam, slab, lids, tar = rng.random(6)
    middles = np.array([m for m, _ in road.lanes], np.float32)
    off = hit.l - middles[np.abs(hit.l[..., None] - middles).argmin(-1)]
    out = 1 + 0.09 * (track - 0.3) * np.cos(off * np.float32(2 * np.pi / 1.75))
    out = out * (1 - 0.22 * oil * np.exp(-((off / 0.45) ** 2)) * (oil > 0.5))
    if seam > 0.4:
        wander = 0.06 * lookup(tile(14, 16, 3), hit.s / 40, np.zeros_like(hit.s))
        out = out * (1 - 0.35 * _cover(np.abs(off) - 1.7 + wander, 0.07, foot))
    if slab > 0.75:
        gap = (hit.s / 4.6 - np.round(hit.s / 4.6)) * 4.6
        out = out * (1 - 0.4 * _cover(gap, 0.05, long_foot))
    if tar > 0.55:
        u, v = hit.l / 9 + 0.3 * lookup(tile(15, 8, 3), hit.l / 30, hit.s / 30), hit.s / 16
        vein = np.abs(lookup(tile(16, 8, 2, 0.5), u, v)) * 0.9
        out = out * (
            1
            - 0.5
            * np.clip(1.3 - vein / (0.03 + 0.1 * foot), 0, 1)
            * np.clip(0.09 / np.maximum(long_foot, 1e-3), 0, 1)
        )
    if lids > 0.35:
        at = np.floor(hit.s / 17)
        where = (np.sin(at * 12.9 + road.seed % 97) * 43.7) % 1
        out = out * np.where(np.hypot(off - 2 * where + 1, hit.s - at * 17 - 17 * where) < 0.36, 0.62, 1)
    return np.asarray(out, np.float32)


def _joints(hit: GroundHit, strips: Strips, tone: F32, foot: F32, long_foot: F32) -> F32:
    """Dark gaps between pavement slabs."""
    walk = strips.cls[hit.strip] == WALK
    gap = np.abs(hit.s / 1.6 - np.round(hit.s / 1.6)) * 1.6
    dark = np.clip((0.02 + long_foot - gap) / np.maximum(2 * long_foot, 0.02), 0, 1)
    dark = dark * np.clip(0.03 / np.maximum(long_foot, 1e-3), 0, 1)
    out: F32 = tone * (1 - 0.4 * dark * walk) * np.where(hit.kerb, 0.85, 1)
    return out


def _cover(distance: Floats, width: Floats | float, foot: Floats) -> F32:
    """Share of a pixel of size ``foot`` under a line of ``width``, its middle ``distance`` away."""
    share = np.clip((width / 2 + foot / 2 - np.abs(distance)) / np.maximum(foot, 1e-3), 0, 1)
    out: F32 = np.minimum(share, width / np.maximum(foot, 1e-3))
    return out


def _marks(road: Road, hit: GroundHit, foot: F32, long_foot: F32) -> tuple[F32, F32]:
    lines = road.lines
    which = np.searchsorted((lines.at[1:] + lines.at[:-1]) / 2, hit.l)
    share = _cover(hit.l - lines.at[which], lines.width[which], foot)
    period = lines.period[which]
    phase = hit.s / np.where(period > 0, period, 1)
    off = (phase - np.round(phase)) * period
    share = share * np.where(period > 0, _cover(off, period * lines.share[which], long_foot), 1)
    colour = lines.colour[which]
    a, b = road.crossing
    if a < 500:
        share = share * ((hit.s < a - 5) | (hit.s > b + 5))
        share = np.maximum(share, _cover(hit.s - (a - 5.4), 0.5, long_foot) * (hit.l < 0.5))
        if road.zebra:
            share = np.maximum(share, _zebra(hit, a, b, foot, long_foot))
        white = lines.colour.max(0)
        near = ((hit.s > a - 6) & (hit.s < b + 5))[..., None]
        colour = np.where(near, np.full(3, white.max()), colour)
    return share.astype(np.float32), colour.astype(np.float32)


def _zebra(hit: GroundHit, a: float, b: float, foot: F32, long_foot: F32) -> F32:
    along = np.maximum(
        _cover(hit.s - (a - 2.6), 2.6, long_foot),
        _cover(hit.s - (b + 2.6), 2.6, long_foot),
    )
    off = hit.l / 1.2 - np.round(hit.l / 1.2)
    out: F32 = along * _cover(off * 1.2, 0.6, foot)
    return out
