"""The medical worlds: repeatable, possible for their modality, and true to their own geometry."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banana_cli.classes import MEDICAL, possible_ids
from banana_cli.types import NO_CLASS, Modality, Unit
from banana_cli.worlds import medical
from banana_cli.worlds.medical_scan import ct_views
from banana_cli.worlds.medical_slice import skin_depth
from banana_cli.worlds.medical_visible import surface_normals
from banana_cli.worlds.medical_xray import Ellipsoid, chord
from banana_cli.worlds.sample import Sample

MODALITIES = (Modality.CT, Modality.MR, Modality.XRAY, Modality.ULTRASOUND, Modality.VISIBLE)
SIZE = 112


@pytest.fixture(scope="module")
def pictures() -> dict[Modality, list[Sample]]:
    return {m: [medical.sample(seed, SIZE, SIZE, m) for seed in range(30)] for m in MODALITIES}


@pytest.mark.parametrize("modality", MODALITIES)
def test_same_seed_same_bits(modality: Modality) -> None:
    one, two, other = (medical.sample(seed, 96, 80, modality) for seed in (5, 5, 6))
    for name in ("views", "ids", "instances", "depth", "normals"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert not np.array_equal(one.views, other.views)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    height=st.integers(48, 140),
    width=st.integers(48, 140),
    modality=st.sampled_from(MODALITIES),
)
def test_any_seed_and_size(seed: int, height: int, width: int, modality: Modality) -> None:
    s = medical.sample(seed, height, width, modality)
    assert s.ids.shape == (height, width) and s.modality is modality
    assert np.isfinite(s.views).all() and s.views.min() >= 0 and s.views.max() <= 1
    assert set(np.unique(s.ids)) <= {*possible_ids(modality), NO_CLASS}
    assert not s.instances.any()


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_possible_class_appears(modality: Modality, pictures: dict[Modality, list[Sample]]) -> None:
    seen = set(np.unique(np.concatenate([np.unique(s.ids) for s in pictures[modality]]))) - {NO_CLASS}
    assert seen == set(possible_ids(modality))


@pytest.mark.parametrize("modality", MODALITIES)
def test_normals_are_unit_or_zero(modality: Modality, pictures: dict[Modality, list[Sample]]) -> None:
    for s in pictures[modality]:
        length = np.linalg.norm(s.normals, axis=0)
        assert (np.isclose(length, 1, atol=1e-4) | (length == 0)).all()
        undefined = np.isnan(s.depth)
        assert (length[undefined] == 0).all()


@pytest.mark.parametrize("modality", [Modality.CT, Modality.MR])
def test_slice_depth_and_normals_belong_together(
    modality: Modality, pictures: dict[Modality, list[Sample]]
) -> None:
    for s in pictures[modality][:10]:
        assert s.pitch is not None and s.pitch.unit is Unit.MILLIMETRE
        down, right = np.gradient(np.nan_to_num(s.depth).astype(np.float64), s.pitch.row)
        expected = np.stack((right, down, -np.ones_like(right)))
        expected /= np.linalg.norm(expected, axis=0)
        body = np.isfinite(s.depth)
        np.testing.assert_allclose(s.normals[:, body], expected[:, body], atol=1e-4)


def test_pitch_is_that_of_a_body(pictures: dict[Modality, list[Sample]]) -> None:
    for modality in (Modality.CT, Modality.MR):
        for s in pictures[modality]:
            assert s.pitch is not None
            assert 0.4 <= s.pitch.row * SIZE / 256 <= 2.5
            assert not np.isnan(s.depth).all()
            assert 0 < np.nanmax(s.depth) < 200


def test_depth_below_the_skin_of_a_disc_is_exact() -> None:
    radius, pitch = 40, 0.7
    y, x = np.mgrid[-50:51, -50:51]
    distance = np.hypot(x, y)
    depth = skin_depth(distance < radius, pitch)
    inside = distance < radius
    assert np.isnan(depth[~inside]).all()
    # the outline is known to a pixel's half diagonal
    assert np.abs(depth - (radius - distance) * pitch)[inside].max() < 0.75 * pitch
    assert abs(float(depth[50, 50]) - radius * pitch) < 0.75 * pitch


def test_no_skin_in_sight_means_no_depth() -> None:
    assert np.isnan(skin_depth(np.ones((9, 9), bool), 1.0)).all()


def test_ct_classes_follow_the_density_rule() -> None:
    """Most pixels of a class lie in the class's range of HU (edges and noise are the rest)."""
    ranges = {"air": (-1100, -500), "fat": (-190, -30), "soft tissue": (-29, 150), "bone": (200, 3100)}
    inside = {name: np.zeros(2) for name in ranges}
    for seed in range(20):
        hu, ids, _ = medical.ct_slice(seed, 192, 192)
        for name, (low, high) in ranges.items():
            values = hu[ids == MEDICAL.id_of(name)]
            inside[name] += ((values >= low - 15) & (values <= high + 15)).sum(), values.size
    for name, (hits, total) in inside.items():
        assert hits / total > 0.8, name


def test_ct_views_are_the_three_windows() -> None:
    hu, ids, pitch = medical.ct_slice(4, 100, 90)
    s = medical.sample(4, 100, 90, Modality.CT)
    assert s.pitch == pitch and np.array_equal(s.ids, ids)
    assert np.array_equal(s.views, ct_views(hu))
    flat = ct_views(np.array([[-160, 40, 240], [-1350, -600, 150], [-450, 300, 1050]], np.float32))
    for k in range(3):
        np.testing.assert_allclose(flat[k, k], (0, 0.5, 1), atol=1e-6)


def test_mr_has_three_equal_views(pictures: dict[Modality, list[Sample]]) -> None:
    for s in pictures[Modality.MR]:
        assert np.array_equal(s.views[0], s.views[1]) and np.array_equal(s.views[0], s.views[2])


def test_left_ventricle_is_brighter_than_its_muscle_ring() -> None:
    checked = 0
    for seed in range(40):
        s = medical.sample(seed, 192, 192, Modality.MR)
        pool = s.ids == MEDICAL.id_of("left ventricle")
        if pool.sum() < 150:
            continue
        rows, cols = np.nonzero(pool)
        ring = np.hypot(*(np.mgrid[0:192, 0:192] - np.array((rows.mean(), cols.mean()))[:, None, None]))
        radius = math.sqrt(pool.sum() / math.pi)
        wall = (ring > 1.1 * radius) & (ring < 1.25 * radius) & ~pool
        seen = s.views[0][pool].mean() > 0.05  # a round field of view may cut it off
        if seen and wall.any():
            checked += 1
            assert np.median(s.views[0][pool]) > np.median(s.views[0][wall])
    assert checked >= 5


def test_path_through_an_ellipsoid_is_the_analytic_chord() -> None:
    e = Ellipsoid(x=3, y=-2, a=30, b=20, c=12, turn=0.5)
    x = np.linspace(-40, 40, 81, dtype=np.float32)[None].repeat(61, 0)
    y = np.linspace(-30, 30, 61, dtype=np.float32)[:, None].repeat(81, 1)
    got = chord(e, x, y)
    # numerically: how much of a fine line along z is inside
    z = np.linspace(-12, 12, 4801)
    u = (x - 3) * math.cos(0.5) + (y + 2) * math.sin(0.5)
    v = (y + 2) * math.cos(0.5) - (x - 3) * math.sin(0.5)
    rest = 1 - (u / 30) ** 2 - (v / 20) ** 2
    counted = (rest.ravel()[:, None] > (z / 12) ** 2).mean(1).reshape(x.shape) * 24
    np.testing.assert_allclose(got, counted, atol=0.02)
    assert got.max() == pytest.approx(24, abs=0.1)


def test_xray_depth_is_a_share_and_normals_are_those_of_the_thickness(
    pictures: dict[Modality, list[Sample]],
) -> None:
    for s in pictures[Modality.XRAY][:8]:
        assert s.depth.min() >= 0 and s.depth.max() == 1 and s.pitch is not None
        down, right = np.gradient(s.depth.astype(np.float64))
        inner = s.depth > 0
        steep = np.hypot(right, down) > 1e-3
        direction = np.stack((-right, -down))[:, inner & steep]
        ours = s.normals[:2, inner & steep]
        cosine = (direction * ours).sum(0) / np.linalg.norm(direction, axis=0) / np.linalg.norm(ours, axis=0)
        assert cosine.min() > 0.99


def test_lungs_are_darker_than_the_rest_of_the_trunk(pictures: dict[Modality, list[Sample]]) -> None:
    for s in pictures[Modality.XRAY]:
        lung = s.ids == MEDICAL.id_of("lung")
        assert 0.08 < lung.mean() < 0.7
        assert s.views[0][lung].mean() < s.views[0][(s.depth > 0.8) & ~lung].mean()


def test_ultrasound_has_no_depth(pictures: dict[Modality, list[Sample]]) -> None:
    for s in pictures[Modality.ULTRASOUND]:
        assert np.isnan(s.depth).all() and not s.normals.any()


def test_vessels_of_ultrasound_are_dark(pictures: dict[Modality, list[Sample]]) -> None:
    dark = []
    for s in pictures[Modality.ULTRASOUND]:
        vessel, nerve = (s.ids == MEDICAL.id_of(n) for n in ("vessel", "nerve"))
        if vessel.any() and nerve.any():
            dark.append(s.views[0][vessel].mean() < s.views[0][nerve].mean())
    assert np.mean(dark) > 0.8


def test_endoscope_depth_and_normals_agree_with_the_camera(pictures: dict[Modality, list[Sample]]) -> None:
    tubes = [s for s in pictures[Modality.VISIBLE] if s.focal_px is not None]
    assert tubes
    for s in tubes:
        assert s.focal_px is not None and s.centre is not None
        assert s.depth.min() > 0 and s.depth.max() <= 220
        x, y = np.meshgrid(np.arange(SIZE) - s.centre[0], np.arange(SIZE) - s.centre[1])
        rays = np.stack((x / s.focal_px, y / s.focal_px, np.ones_like(x)))
        assert ((s.normals * rays).sum(0) <= 1e-4).mean() > 0.999  # seen from the front


def test_normals_of_a_tilted_plane_in_a_pinhole_camera() -> None:
    truth = np.array((0.3, -0.2, -0.9))
    truth /= np.linalg.norm(truth)
    x, y = np.meshgrid(np.arange(50) - 24.5, np.arange(40) - 19.5)
    rays = np.stack((x / 60, y / 60, np.ones_like(x)))
    depth = (-50 / (truth[:, None, None] * rays).sum(0)).astype(np.float32)
    got = surface_normals(depth, 60.0, (24.5, 19.5))
    inner = got[:, 1:-1, 1:-1]
    np.testing.assert_allclose(inner, np.broadcast_to(truth[:, None, None], inner.shape), atol=2e-2)


def test_fundus_vessels_are_darker_than_what_is_beside_them(pictures: dict[Modality, list[Sample]]) -> None:
    eyes = [s for s in pictures[Modality.VISIBLE] if s.focal_px is None]
    assert eyes
    for s in eyes:
        seen = np.isfinite(s.depth)
        assert np.nanmin(s.depth) >= 0 and np.nanmax(s.depth) <= 1
        vessel = (s.ids == MEDICAL.id_of("vessel")) & seen
        assert s.views[1][vessel].mean() < s.views[1][seen & ~vessel].mean() * 1.05
        assert np.quantile(s.views[:, ~seen], 0.95) < 0.1


def test_the_skin_of_a_volume_is_where_its_formula_says() -> None:
    for seed in range(6):
        hu, ids, spacing = medical.volume(seed, 6, 96, 100)
        skin = medical.volume_skin(seed, 6, 96, 100)
        assert hu.dtype == np.int16 and ids.dtype == np.uint8 and hu.shape == ids.shape == (6, 96, 100)
        x = (np.arange(100) - 49.5) * spacing[2]
        y = (np.arange(96) - 47.5) * spacing[1]
        air = MEDICAL.id_of("air")
        for k in range(6):
            z = k * spacing[0]
            inside = skin.inside(x[None], y[:, None], z)
            assert (ids[k][~inside] == air).all()
            edge = inside & ~cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
            assert (ids[k][edge] != air).all()
            body = hu[k] > -450
            level = np.abs(x - skin.oval(z).x) < 0.6 * skin.oval(z).a
            first = y[np.argmax(body, 0)]
            assert np.abs(first - skin.front(x, z))[level].max() < 1.5 * spacing[1]


def test_a_volume_is_repeatable_and_coherent() -> None:
    one, two = medical.volume(4, 8, 80, 80), medical.volume(4, 8, 80, 80)
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1]) and one[2] == two[2]
    same = np.mean([(one[1][k] == one[1][k + 1]).mean() for k in range(7)])
    assert same > 0.85
