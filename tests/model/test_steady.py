"""The filter of a clip: what it may change and what not, on pictures whose motion is known."""

from __future__ import annotations

import numpy as np
import pytest

from banana_cli.model.approach import approach
from banana_cli.model.reuse import CONTEXT_PX, OFTEN, Reuse, with_context
from banana_cli.model.steady import NEW_SHARE, Held, Motion, Steady, grey_of
from banana_cli.types import Window

ROWS, COLS, CLASSES = 128, 192, 5
WHOLE = Window(top=0, left=0, height=ROWS, width=COLS)


def picture(seed: int, shift: int = 0) -> np.ndarray:
    """(3, h, w) with something to hold on to, moved to the right by ``shift`` pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((ROWS // 8, COLS // 8 + 8, 3))
    wide = coarse.repeat(8, 0).repeat(8, 1)
    smooth = sum(np.roll(wide, (i, j), (0, 1)) for i in range(-3, 4) for j in range(-3, 4)) / 49
    return smooth[:, 32 - shift : 32 - shift + COLS].astype(np.float32).transpose(2, 0, 1)


def maps_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((CLASSES + 4, ROWS, COLS)).astype(np.float32)


def test_the_first_frame_and_one_after_a_cut_stay_as_they_are() -> None:
    steady = Steady(CLASSES)
    for seed in (1, 2):
        maps = maps_of(seed)
        image = picture(1) if seed == 1 else 1 - picture(7) * 0.5
        same = steady.step(given := maps.copy(), grey_of(image), WHOLE)
        assert np.array_equal(given, maps)
        assert same is (seed == 1)
    assert steady.held is not None
    assert np.array_equal(steady.held.rest, maps[CLASSES:])


def test_noise_of_a_still_picture_shrinks_and_its_mean_stays() -> None:
    steady, truth = Steady(CLASSES), np.linspace(-1, 1, CLASSES + 4, dtype=np.float32)
    for seed in range(30):
        maps = truth[:, None, None] + maps_of(seed)
        steady.step(maps, grey_of(picture(1)), WHOLE)
    rest = maps[CLASSES:]
    assert np.allclose(rest.mean((1, 2)), truth[CLASSES:], atol=0.02)
    expected = np.sqrt(NEW_SHARE / (2 - NEW_SHARE))
    assert rest.std((1, 2)) == pytest.approx(expected, rel=0.1)


def test_what_is_known_moves_with_the_picture() -> None:
    steady = Steady(CLASSES)
    for shift in range(0, 12, 2):
        maps = np.zeros((CLASSES + 4, ROWS, COLS), np.float32)
        if shift == 0:
            maps[CLASSES + 1, :, 60:80] = 1.0
            maps[3, :, 60:80] = 9.0
        steady.step(maps, grey_of(picture(3, shift)), WHOLE)
    column = maps[CLASSES + 1, ROWS // 2]
    assert abs(int(column.argmax()) - 79.5) <= 10.5
    centre = (column * np.arange(COLS)).sum() / column.sum()
    assert centre == pytest.approx(69.5 + 10, abs=1.5)
    assert column.max() == pytest.approx((1 - NEW_SHARE) ** 5, rel=0.15)
    assert steady.held is not None
    assert (steady.held.ids[16:-16, 74:86] == 3).mean() > 0.95


@pytest.mark.parametrize(("flow", "comes_from"), [(0.4, 0), (0.6, 1), (-0.6, -1), (2.0, 2)])
def test_a_class_comes_from_the_nearest_pixel_and_a_score_from_between(flow: float, comes_from: int) -> None:
    shape = (8, 64)
    motion = Motion(np.full((*shape, 2), (flow, 0), np.float32), np.ones(shape, np.float32))
    ramp = np.broadcast_to(np.arange(64, dtype=np.float32), shape).copy()
    assert np.array_equal(motion.carried_ids(ramp.astype(np.uint8))[:, 4:-4], ramp[:, 4:-4] + comes_from)
    for one in motion.carried(np.stack([ramp, ramp])):
        assert one[:, 4:-4] == pytest.approx(ramp[:, 4:-4] + flow, abs=0.02)


def test_what_comes_into_view_is_new() -> None:
    steady = Steady(CLASSES)
    steady.step(np.zeros((CLASSES + 4, ROWS, COLS), np.float32), grey_of(picture(3)), WHOLE)
    image = picture(3)
    image[:, 40:80, 80:120] = 1 - image[:, 40:80, 80:120]  # somebody stepped in
    maps = maps_of(1)
    steady.step(given := maps.copy(), grey_of(image), WHOLE)
    new = np.abs(given - maps)[CLASSES:, 50:70, 90:110].mean()
    old = np.abs(given - maps)[CLASSES:, :30, :70].mean()
    assert old > 0.6 * np.abs(maps).mean()
    assert new < 0.35 * old


def test_a_class_does_not_change_for_a_trifle() -> None:
    steady = Steady(CLASSES)
    for turn in range(6):
        maps = np.zeros((CLASSES, ROWS, COLS), np.float32)
        maps[1 if turn % 2 else 2] = 0.3
        steady.step(maps, grey_of(picture(1)), WHOLE)
        assert (maps.argmax(0) == 2).all()
    for _ in range(12):
        maps = np.zeros((CLASSES, ROWS, COLS), np.float32)
        maps[1] = 2.0
        steady.step(maps, grey_of(picture(1)), WHOLE)
    assert (maps.argmax(0) == 1).all()


def test_a_part_leaves_the_rest_alone() -> None:
    steady, part = Steady(CLASSES), Window(top=32, left=64, height=64, width=96)
    steady.step(maps_of(1), grey_of(picture(1)), WHOLE)
    assert steady.held is not None
    before = {name: array.copy() for name, array in steady.held.to_arrays().items()}
    rows, cols = part.slices()
    image = picture(1)[:, rows, cols]
    steady.step(maps_of(2)[:, rows, cols].copy(), grey_of(image), part)
    for name, array in steady.held.to_arrays().items():
        scale = 2 if name in ("grey", "scores") else 1
        inside = np.zeros(array.shape[-2:], bool)
        inside[rows.start // scale : rows.stop // scale, cols.start // scale : cols.stop // scale] = True
        assert np.array_equal(array[..., ~inside], before[name][..., ~inside])
        assert name == "grey" or not np.array_equal(array[..., inside], before[name][..., inside])


@pytest.mark.parametrize("shape", [(32, 32), (32, 2048), (64, 2048), (2048, 64), (96, 64)])
def test_small_and_long_pictures_are_no_danger(shape: tuple[int, int]) -> None:
    whole = Window(top=0, left=0, height=shape[0], width=shape[1])
    steady, rng = Steady(2, depth=True), np.random.default_rng(0)
    for _ in range(3):
        image = rng.random((3, *shape), np.float32)
        maps = rng.random((3, *shape), np.float32)
        steady.step(maps, grey_of(image), whole)
        assert np.isfinite(maps).all()


def test_what_is_held_comes_back_from_its_arrays() -> None:
    one = Steady(CLASSES, depth=True)
    for seed in range(3):
        one.step(maps_of(seed), grey_of(picture(1, seed)), WHOLE)
    assert one.held is not None
    other = Steady(CLASSES, depth=True, held=Held.from_arrays(one.held.to_arrays()))
    for seed in range(3, 6):
        a, b = maps_of(seed), maps_of(seed)
        one.step(a, grey_of(picture(1, seed)), WHOLE)
        other.step(b, grey_of(picture(1, seed)), WHOLE)
        assert np.array_equal(a, b)


# --- driving on -----------------------------------------------------------------------------------


def way_back(depth: np.ndarray, forward: float, turn_px: float) -> np.ndarray:
    """(h, w, 2) from a frame to the one before: (x, y) / depth of before, and a turn to the side."""
    rows, cols = depth.shape
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    y, x = y - (rows - 1) / 2, x - (cols - 1) / 2
    return np.stack([-x * forward / depth + turn_px, -y * forward / depth], -1).astype(np.float32)


@pytest.mark.parametrize("turn_px", [0.0, 2.0])
def test_depth_shrinks_by_what_the_car_has_driven(turn_px: float) -> None:
    rng = np.random.default_rng(5)
    depth = np.kron(rng.uniform(15, 60, (6, 8)), np.ones((12, 16))).astype(np.float32)
    told = approach(way_back(depth, 0.5, turn_px), np.ones_like(depth), depth)
    assert told is not None
    assert told.change == pytest.approx(np.log(1 - 0.5 / depth), abs=2e-3)
    assert (told.calm > 0.4).all()


def test_what_moves_by_itself_keeps_its_depth() -> None:
    rng = np.random.default_rng(5)
    depth = np.kron(rng.uniform(10, 40, (6, 8)), np.ones((12, 16))).astype(np.float32)
    flow = way_back(depth, 0.5, 0.0)
    flow[30:50, 40:60] += 6.0
    told = approach(flow, np.ones_like(depth), depth)
    assert told is not None
    assert np.abs(told.change[30:50, 40:60]).max() < 1e-3
    assert told.change[:24] == pytest.approx(np.log(1 - 0.5 / depth[:24]), abs=4e-3)


def test_nothing_is_told_where_nothing_is_sure() -> None:
    depth = np.full((72, 128), 20, np.float32)
    assert approach(way_back(depth, 0.5, 0.0), np.zeros_like(depth), depth) is None


# --- what to look at again ------------------------------------------------------------------------


def test_only_what_changed_is_looked_at() -> None:
    reuse = Reuse()
    image = np.repeat(np.repeat(picture(1), 2, 1), 2, 2)
    whole = Window(top=0, left=0, height=2 * ROWS, width=2 * COLS)
    noise = np.random.default_rng(2).normal(0, 0.01, image.shape).astype(np.float32)
    assert reuse.stale(grey_of(image)) == whole
    reuse.looked(grey_of(image), whole)
    assert reuse.stale(grey_of(np.clip(image + noise, 0, 1))) is None
    image[:, 100:110, 330:340] = 1 - image[:, 100:110, 330:340]
    part = reuse.stale(grey_of(image))
    assert part == Window(top=64, left=288, height=96, width=96)
    reuse.looked(grey_of(image), part)
    assert reuse.stale(grey_of(image)) is None
    assert reuse.stale(grey_of(1 - image)) == whole


def test_slow_change_adds_up_until_it_is_seen() -> None:
    reuse, image = Reuse(), picture(1) * 0.5
    whole = Window(top=0, left=0, height=ROWS, width=COLS)
    seen = []
    for step in range(40):
        grey = grey_of(image + step / 255)
        part = reuse.stale(grey)
        reuse.looked(grey, part)
        seen.append(part)
    assert seen.count(whole) >= 3
    assert None in seen


def test_the_whole_is_looked_at_now_and_then() -> None:
    reuse, grey = Reuse(), grey_of(picture(1))
    parts = []
    for _ in range(2 * OFTEN + 2):
        parts.append(reuse.stale(grey))
        reuse.looked(grey, parts[-1])
    assert [i for i, p in enumerate(parts) if p == WHOLE] == [0, OFTEN + 1, 2 * OFTEN + 2][
        : parts.count(WHOLE)
    ]
    assert parts.count(WHOLE) >= 2


def test_context_ends_with_the_picture() -> None:
    part = Window(top=32, left=0, height=32, width=64)
    around = with_context(part, WHOLE)
    assert around == Window(top=0, left=0, height=64 + CONTEXT_PX, width=64 + CONTEXT_PX)
