"""The aerial world: repeatable, possible, and true to its own geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banana_cli.classes import AERIAL
from banana_cli.types import Modality, Unit
from banana_cli.worlds import aerial
from banana_cli.worlds.aerial_geometry import Sun, lean, normals_of, sun_blocker
from banana_cli.worlds.sample import Sample

SIZE = 128


@pytest.fixture(scope="module")
def pictures() -> list[Sample]:
    return [aerial.sample(seed, SIZE, SIZE) for seed in range(30)]


def test_same_seed_same_bits() -> None:
    one, two, other = (aerial.sample(seed, 96, 120) for seed in (7, 7, 8))
    for name in ("views", "ids", "instances", "depth", "normals"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert not np.array_equal(one.views, other.views)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), height=st.integers(33, 150), width=st.integers(33, 150))
def test_any_seed_and_size(seed: int, height: int, width: int) -> None:
    s = aerial.sample(seed, height, width)
    assert s.ids.shape == (height, width)
    assert s.modality is Modality.AERIAL
    assert np.isfinite(s.views).all() and s.views.min() >= 0 and s.views.max() <= 1
    assert np.isfinite(s.depth).all() and s.depth.dtype == np.float32
    assert s.pitch is not None and 0.1 <= s.pitch.row <= 8.0 and s.pitch.unit is Unit.METRE


def test_gsd_is_the_pitch() -> None:
    pitch = aerial.sample(3, 64, 64, gsd_m=0.77).pitch
    assert pitch is not None and pitch.row == pitch.col == 0.77


def test_every_class_appears(pictures: list[Sample]) -> None:
    seen = np.unique(np.concatenate([np.unique(s.ids) for s in pictures]))
    assert seen.tolist() == list(range(len(AERIAL)))


def test_ground_is_at_height_zero_and_things_stand_on_it(pictures: list[Sample]) -> None:
    flat = [AERIAL.id_of(n) for n in ("land", "road", "water")]
    tall = [AERIAL.id_of(n) for n in ("building", "vehicle")]
    for s in pictures:
        assert s.depth.min() >= 0
        assert (s.depth[np.isin(s.ids, flat)] == 0).all()
        assert (s.depth[np.isin(s.ids, tall)] > 0).all()
        assert s.depth.max() < 120


def test_instances_are_buildings_and_vehicles(pictures: list[Sample]) -> None:
    tall = [AERIAL.id_of(n) for n in ("building", "vehicle")]
    for s in pictures:
        assert np.array_equal(s.instances > 0, np.isin(s.ids, tall))
        for number in np.unique(s.instances[s.instances > 0])[:20]:
            assert len(np.unique(s.ids[s.instances == number])) == 1


def test_normals_are_those_of_the_height(pictures: list[Sample]) -> None:
    for s in pictures[:12]:
        assert s.pitch is not None
        np.testing.assert_allclose(np.linalg.norm(s.normals, axis=0), 1, atol=1e-5)
        down, right = np.gradient(s.depth.astype(np.float64), s.pitch.row)
        expected = np.stack((-right, -down, -np.ones_like(right)))
        expected /= np.linalg.norm(expected, axis=0)
        np.testing.assert_allclose(s.normals, expected, atol=1e-4)


def test_normal_of_a_slope_that_rises_to_the_right_points_left() -> None:
    height = np.tile(np.arange(20, dtype=np.float32), (10, 1))
    n = normals_of(height, 1.0, towards=True)[:, 5, 5]
    np.testing.assert_allclose(n, np.array((-1, 0, -1)) / math.sqrt(2), atol=1e-6)
    n = normals_of(height, 1.0, towards=False)[:, 5, 5]
    np.testing.assert_allclose(n, np.array((1, 0, -1)) / math.sqrt(2), atol=1e-6)


def test_shadow_of_a_wall_has_the_analytic_length() -> None:
    height = np.zeros((40, 80), np.float32)
    height[:, 50:54] = 10  # sun from the right at 45 degrees, 1 m pixels: shadow of 10 m to the left
    sun = Sun(azimuth=0.0, elevation=math.pi / 4)
    dark = (sun_blocker(height, 1.0, sun) > height + 0.5)[20]
    assert np.flatnonzero(dark).tolist() == list(range(41, 50))


def test_shadows_fall_away_from_the_sun() -> None:
    height = np.zeros((61, 61), np.float32)
    height[30, 30] = 8
    for azimuth in np.linspace(0, 2 * math.pi, 9):
        sun = Sun(azimuth=float(azimuth), elevation=math.pi / 4)
        rows, cols = np.nonzero(sun_blocker(height, 1.0, sun) > height + 1)
        mean = np.array((cols.mean() - 30, rows.mean() - 30))
        mean /= np.linalg.norm(mean)
        assert mean @ (-math.cos(azimuth), -math.sin(azimuth)) > 0.97


def test_lean_moves_a_roof_by_its_height_and_shows_one_wall() -> None:
    height = np.zeros((40, 60), np.float32)
    height[10:30, 20:30] = 8.0
    view = lean(height, 1.0, 0.5, 0.0)  # 8 m high: 4 pixels to the right
    row = view.height[20]
    assert (row[24:34] == 8).all()
    assert (row[:20] == 0).all() and (row[34:] == 0).all()
    assert row[20:24].tolist() == [2, 4, 6, 8]  # up the wall that faces the viewer
    assert not view.wall[20, 24:34].any()
    assert np.flatnonzero(view.wall[20]).tolist() == [20, 21, 22]
    assert (view.cols[20, 24:34] == np.arange(20, 30)).all()


def test_nadir_lean_changes_nothing() -> None:
    height = np.random.default_rng(0).uniform(0, 9, (30, 30)).astype(np.float32)
    view = lean(height, 1.0, 0.0, 1.0)
    assert np.array_equal(view.height, height) and not view.wall.any()


def test_roofs_are_lit_and_shadows_are_dark() -> None:
    """The darkest ground of most pictures lies in shadow: far below the median of its class."""
    darker = 0
    for seed in range(12):
        s = aerial.sample(seed, 160, 160, 1.0)
        land = s.ids == AERIAL.id_of("land")
        grey = s.views.mean(0)
        if land.sum() < 1000:
            continue
        low, middle = np.quantile(grey[land], (0.02, 0.5))
        darker += low < 0.8 * middle
    assert darker >= 6


def test_vehicles_stand_on_roads_and_are_as_large_as_cars_and_lorries() -> None:
    vehicle, road = AERIAL.id_of("vehicle"), AERIAL.id_of("road")
    sizes, scenes = [], 0
    for seed in range(24):
        s = aerial.sample(seed, 200, 200, 0.3)
        scenes += bool((s.ids == vehicle).any())
        for number in np.unique(s.instances[s.ids == vehicle]):
            row, col = np.nonzero(s.instances == number)
            if min(row.min(), col.min()) > 1 and max(row.max(), col.max()) < 198:
                sizes.append(row.size * 0.3**2)
                ring = s.ids[row.min() - 1 : row.max() + 2, col.min() - 1 : col.max() + 2]
                assert np.isin(ring, (road, vehicle)).any()
    assert scenes >= 8 and len(sizes) > 60
    low, middle, high = np.quantile(sizes, (0.15, 0.5, 0.98))  # crowns hide parts of a few
    assert 3 < low and 6 < middle < 11 and high < 30


def test_coarse_pictures_of_towns_number_their_houses() -> None:
    s = aerial.sample(4, 256, 256, 6.0)
    assert s.ids.shape == (256, 256) and s.instances.max() <= 65000
