"""The pictures on vehicles: lamps, grilles, plates, doors, panes with what shines in them, wheels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from banana_cli.types import U8
from banana_cli.worlds.street_brush import SIDE, Rgb, area, blank, fade, glass, grey, lamp, rect, scribble
from banana_cli.worlds.street_shapes import SHAPES

_BLACK: Rgb = (16, 16, 18)


def rear(rng: Generator, index: int) -> U8:
    """A car's back below the window: lamps, plate, bumper."""
    t = blank()
    fade(t, 0, 0.12, (255, 255, 255), 0.25, 0.0)
    fade(t, 0.3, 1, _BLACK, 0.0, 0.5)
    red: Rgb = (int(rng.integers(120, 235)), int(rng.integers(5, 40)), int(rng.integers(5, 30)))
    y, style = rng.uniform(0.04, 0.2), index % 5
    w, h = (rng.uniform(0.16, 0.3), rng.uniform(0.13, 0.22)) if style < 3 else (rng.uniform(0.08, 0.13), 0.42)
    lamp(t, 0.01, y, w, h, red)
    lamp(t, 0.02 + w * 0.5, y + h * 0.55, w * 0.4, h * 0.35, (235, 190, 170))
    if style == 1:
        rect(t, 0.1, y + 0.02, 0.9, y + 0.08, red)
    if style == 2:
        rect(t, 0.3, y, 0.7, y + 0.04, (200, 200, 200), 200)
    low = 0.3 if style < 3 else 0.2
    rect(t, 0.36, low, 0.64, low + 0.2, _BLACK, 120)
    rect(t, 0.4, low + 0.02, 0.6, low + 0.16, (228, 228, 220))
    scribble(t, rng, 0.415, low + 0.06, 0.59, low + 0.14, (50, 50, 110))
    rect(t, 0.0, 0.6, 1, 0.625, _BLACK, 170)
    rect(t, 0.04, 0.8 - 0.1 * (index % 2), 0.96, 1, _BLACK, 235)
    lamp(t, 0.06, 0.68, 0.1, 0.05, (150, 15, 10))
    if index % 3 == 0:
        lamp(t, 0.14, 0.9, 0.12, 0.07, (120, 120, 120))
    return t


def front(rng: Generator, index: int) -> U8:
    """A car's face: lamps, grille, plate, air intakes."""
    t = blank()
    fade(t, 0, 0.1, (255, 255, 255), 0.25, 0.0)
    fade(t, 0.45, 1, _BLACK, 0.0, 0.5)
    y = rng.uniform(0.05, 0.2)
    w, h = rng.uniform(0.17, 0.27), rng.uniform(0.12, 0.24)
    for mirror in (False, True):
        corners = [(0.0, y), (0.02, y + h * 0.8), (w * 0.8, y + h), (w, y + h * 0.55)]
        inner = [(0.03, y + 0.04), (0.05, y + h * 0.7), (w * 0.7, y + h * 0.85), (w * 0.75, y + h * 0.6)]
        flip = [[(1 - a, b) if mirror else (a, b) for a, b in c] for c in (corners, inner)]
        area(t, flip[0], (60, 62, 66))
        area(t, flip[1], (236, 238, 232))
    wide, deep = rng.uniform(0.2, 0.27), rng.uniform(0.16, 0.42)
    rect(t, 0.5 - wide, y + 0.02, 0.5 + wide, y + 0.02 + deep, _BLACK)
    for k in range(1 + index % 4):
        at = y + 0.04 + deep * (k + 0.5) / (1 + index % 4)
        rect(t, 0.5 - wide, at, 0.5 + wide, at + 0.025, (165, 165, 168), 220)
    rect(t, 0.46, y + 0.05, 0.54, y + 0.12, (200, 200, 205))
    rect(t, 0.0, 0.6, 1, 0.62, _BLACK, 130)
    rect(t, 0.16, 0.7, 0.84, 0.93, _BLACK, 240)
    lamp(t, 0.05, 0.68, 0.1, 0.12, (40, 40, 42))
    lamp(t, 0.08, 0.71, 0.05, 0.06, (210, 205, 190))
    if index % 2:
        rect(t, 0.4, 0.62, 0.6, 0.74, (225, 225, 215))
        scribble(t, rng, 0.42, 0.65, 0.6, 0.72, (60, 60, 110))
    return t


def side(rng: Generator, index: int) -> U8:
    """Doors, arches and sill below the windows; the rear is at the left."""
    t = blank()
    fade(t, 0.0, 0.14, (255, 255, 255), 0.3, 0.05)
    fade(t, 0.14, 0.5, (0, 0, 0), 0.0, 0.1)
    fade(t, 0.5, 0.54, (255, 255, 255), 0.25, 0.05)
    fade(t, 0.54, 1, (6, 6, 8), 0.2, 0.7)
    for x in (0.35, 0.55, 0.745)[index % 2 :]:
        rect(t, x, 0.0, x + 0.008, 0.86, (0, 0, 0), 190)
        rect(t, x - 0.07, 0.16, x - 0.025, 0.21, (18, 18, 18) if index % 3 else (190, 190, 190), 220)
    if index % 3 == 1:
        rect(t, 0.0, 0.62, 1, 0.7, _BLACK, 220)
    rect(t, 0.0, 0.88, 1, 1, _BLACK, 240)
    for x in (0.19, 0.81):
        centre = (round(x * SIDE), round(0.87 * SIDE))
        cv2.ellipse(t, centre, (round(0.086 * SIDE), round(0.58 * SIDE)), 0, 0, 360, (*_BLACK, 255), -1)
    rect(t, 0.0, 0.12, 0.035, 0.34, (170, 20, 15))
    rect(t, 0.955, 0.22, 1.0, 0.36, (220, 220, 210))
    if index > 3:
        scribble(t, rng, 0.38, 0.1, 0.72, 0.3, _ink(rng))
        scribble(t, rng, 0.42, 0.4, 0.7, 0.5, _ink(rng))
    return t


def _ink(rng: Generator) -> Rgb:
    r, g, b = (int(c) for c in rng.integers(10, 190, 3))
    return (r, g, b)


def _pane(t: U8, rng: Generator, corners: list[tuple[float, float]]) -> None:
    """Dark glass: bright sky at the top, shapes of seats and of the street in it, a slanted shine."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [(np.array(corners) * SIDE).astype(np.int32)], 1)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    top, low = rng.uniform(40, 120), rng.uniform(10, 30)
    tone = low + (top - low) * np.clip(1 - rows * rng.uniform(1.2, 3), 0, 1) ** 1.5
    for _ in range(int(rng.integers(2, 5))):
        x, y, r = rng.uniform(0, 1), rng.uniform(0.45, 0.9), rng.uniform(0.05, 0.12)
        tone = np.where((np.abs(columns - x) < r) & (rows > y), tone * 0.45 + 4, tone)
    x, slant = rng.uniform(0, 1), rng.uniform(0.2, 0.8)
    tone = tone + 45 * (np.abs(columns + slant * rows - x) < rng.uniform(0.02, 0.12)) * rng.random()
    shown = np.stack([tone * 0.94, tone, tone * 1.05, np.full_like(tone, 255)], -1)
    t[mask > 0] = np.clip(shown, 0, 255).astype(np.uint8)[mask > 0]


def side_glass(rng: Generator, index: int) -> U8:
    """Windows of one shape's side, slanted as its pillars are; the rear is at the left."""
    t = blank()
    shape = SHAPES[index]
    z0, z1, z2, z3 = shape.glass
    rise, fall = (z1 - z0) / (z3 - z0), (z2 - z0) / (z3 - z0)
    top, low = 0.12, 0.95
    for a, b in shape.windows:
        high = [min(max(x, rise + 0.02), fall - 0.01) for x in (a, b)]
        _pane(t, rng, [(a, low), (high[0], top), (high[1], top), (b, low)])
    rect(t, 0, 0.96, 1, 1, (25, 25, 26), 200)
    return t


def end_glass(rng: Generator, index: int) -> U8:
    """A windscreen (even) or a rear window (odd); corners are pillars of the body's colour."""
    t = blank()
    slant = 0.02 if index % 2 else 0.05
    _pane(t, rng, [(0.05 + slant, 0.05), (0.95 - slant, 0.05), (0.96, 0.94), (0.04, 0.94)])
    if index % 2 == 0:
        fade(t, 0.84, 0.95, (14, 14, 15), 0.3, 0.85)
        rect(t, 0.46, 0.06, 0.54, 0.16, _BLACK)
    elif index % 4 == 1:
        rect(t, 0.42, 0.06, 0.58, 0.11, (150, 15, 12))
    return t


def top(rng: Generator, index: int) -> U8:
    """Bonnet or roof: bright in the middle, darker to the edges, a seam round it."""
    t = blank()
    fade(t, 0, 0.5, (255, 255, 255), 0.05, 0.2)
    fade(t, 0.5, 1, (255, 255, 255), 0.2, 0.0)
    rect(t, 0.03, 0, 0.05, 1, (0, 0, 0), 120)
    rect(t, 0.95, 0, 0.97, 1, (0, 0, 0), 120)
    if index == 1:
        rect(t, 0.2, 0.2, 0.8, 0.6, (20, 22, 24), 240)
    return t


def truck_rear(rng: Generator, index: int) -> U8:
    """Doors of a load."""
    t = blank()
    rect(t, 0.03, 0.03, 0.97, 0.9, grey(rng, 120, 230), 160)
    rect(t, 0.49, 0.03, 0.51, 0.9, (40, 40, 40), 200)
    for x in (0.2, 0.78):
        rect(t, x, 0.03, x + 0.02, 0.9, (90, 90, 90), 200)
    lamp(t, 0.04, 0.9, 0.12, 0.06, (190, 20, 15))
    if index == 1:
        scribble(t, rng, 0.15, 0.2, 0.85, 0.4, (40, 60, 150))
    if index == 2:
        for k in range(6):
            rect(t, 0, k / 6, 1, k / 6 + 0.05, (0, 0, 0), 120)
    rect(t, 0.04, 0.94, 0.96, 1, (190, 30, 25))
    for k in range(4):
        rect(t, 0.1 + 0.24 * k, 0.94, 0.2 + 0.24 * k, 1, (230, 230, 230))
    return t


def truck_side(rng: Generator, index: int) -> U8:
    """A load's side: writing, ribs of a tipper, or a tarpaulin."""
    t = blank()
    if index < 4:
        scribble(t, rng, 0.08, 0.2, 0.85, 0.45, _ink(rng))
        scribble(t, rng, 0.25, 0.6, 0.7, 0.68, (60, 60, 60))
    if index in (1, 2):
        ink = _ink(rng)
        area(t, [(0, 0.7), (0.6, 0.78), (1, 0.55), (1, 1), (0, 1)], ink, 255)
    if index >= 4:
        for k in range(8):
            rect(t, k / 8, 0, k / 8 + 0.03, 1, (0, 0, 0), 110)
            rect(t, k / 8 + 0.03, 0, k / 8 + 0.05, 1, (255, 255, 255), 60)
        rect(t, 0, 0, 1, 0.08, (0, 0, 0), 110)
        fade(t, 0.5, 1, (90, 76, 58), 0.0, 0.6)
    fade(t, 0.7, 1, (0, 0, 0), 0.0, 0.25)
    rect(t, 0, 0.95, 1, 1, (30, 30, 30), 220)
    return t


def cab_side(rng: Generator, index: int) -> U8:
    """The door of a lorry's cab, the front at the right."""
    t = blank()
    _pane(t, rng, [(0.3, 0.45), (0.3, 0.08), (0.78, 0.08), (0.92, 0.45)])
    rect(t, 0.27, 0.05, 0.28, 0.95, (0, 0, 0), 180)
    rect(t, 0.95, 0.05, 0.96, 0.95, (0, 0, 0), 140)
    fade(t, 0.6, 1, (0, 0, 0), 0.0, 0.4)
    if index:
        scribble(t, rng, 0.35, 0.55, 0.85, 0.68, _ink(rng))
    return t


def cab_front(rng: Generator, index: int) -> U8:
    """A lorry's grille and lamps; chrome or black."""
    t = blank()
    rect(t, 0.24, 0.08, 0.76, 0.8, (190, 190, 192) if index % 2 else (30, 30, 32))
    for k in range(7):
        rect(
            t, 0.27, 0.12 + k * 0.095, 0.73, 0.16 + k * 0.095, (25, 25, 26) if index % 2 else (110, 110, 112)
        )
    lamp(t, 0.04, 0.5, 0.16, 0.2, (235, 235, 225))
    rect(t, 0, 0.84, 1, 1, (150, 150, 152) if index % 2 else (28, 28, 30))
    rect(t, 0.4, 0.86, 0.6, 0.96, (225, 225, 215))
    return t


def bus_side(rng: Generator, index: int) -> U8:
    """Windows in a row above a stripe, doors."""
    t = blank()
    for k in range(6):
        x = 0.02 + k * 0.163
        _pane(t, rng, [(x, 0.12), (x + 0.14, 0.12), (x + 0.14, 0.5), (x, 0.5)])
    rect(t, 0, 0.6, 1, 0.68 + 0.05 * index, _ink(rng))
    if index % 2:
        rect(t, 0.2, 0.1, 0.3, 0.95, (30, 34, 38))
    fade(t, 0.7, 1, (0, 0, 0), 0.0, 0.4)
    rect(t, 0, 0.94, 1, 1, (25, 25, 25), 230)
    return t


def bus_end(rng: Generator, index: int) -> U8:
    """Back (0) and front (1) of a bus."""
    t = blank()
    high, low = (0.2, 0.6) if index else (0.1, 0.4)
    _pane(t, rng, [(0.06, high), (0.94, high), (0.94, low), (0.06, low)])
    rect(t, 0.2, 0.03, 0.8, 0.15, (20, 20, 20), 255)
    scribble(t, rng, 0.25, 0.06, 0.75, 0.13, (250, 170, 40))
    lamp(t, 0.05, 0.76, 0.12, 0.1, (235, 235, 220) if index else (200, 20, 20))
    rect(t, 0, 0.92, 1, 1, (25, 25, 25), 230)
    return t


def wheel(rng: Generator, index: int) -> U8:
    """A tyre with its rim."""
    t = blank(255)
    t[..., :3] = 22
    c = SIDE // 2
    rim = grey(rng, 60, 200)
    cv2.circle(t, (c, c), int(SIDE * 0.34), (*rim, 255), -1)
    cv2.circle(t, (c, c), int(SIDE * 0.34), (50, 50, 50, 255), 3)
    spokes = (5, 10, 7)[index % 3]
    for k in range(spokes):
        a = 2 * np.pi * k / spokes
        p = (int(c + np.cos(a) * SIDE * 0.21), int(c + np.sin(a) * SIDE * 0.21))
        cv2.circle(t, p, int(SIDE * 0.3 / spokes), (26, 26, 28, 255), -1)
    return t


def arrows(rng: Generator, index: int) -> U8:
    """A lorry-mounted or trailer arrow board: amber lamps on black."""
    t = blank(255)
    t[..., :3] = (14, 14, 15)
    lit, dim = (255, 170, 40), (60, 45, 20)
    for k in range(5):
        for j in range(3):
            on = (j == 1 and k < 4) if index else True
            cv2.circle(t, (14 + 25 * k, 28 + 36 * j), 6, (*(lit if on else dim), 255), -1)
    return t


def windows(rng: Generator, t: U8) -> None:
    """A pane over the whole tile (machines' cabs)."""
    glass(t, rng, 0.08, 0.06, 0.92, 0.9)


def machine_cab(rng: Generator, index: int) -> U8:
    """A digger's glass cab."""
    t = blank()
    windows(rng, t)
    rect(t, 0.48, 0, 0.53, 1, (20, 20, 20))
    return t
