"""Picture and truth go through one and the same map."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banana_cli.train import photometric
from banana_cli.train.augment import (
    PLAIN,
    RECIPES,
    AugmentOptions,
    Similarity,
    augment,
    choose_similarity,
    crop,
    fit_similarity,
    rays_of,
    warp_pixels,
    whole,
)
from banana_cli.train.packs import Record
from banana_cli.train.photometric import change_photometry
from banana_cli.types import Modality

SHAPE = (140, 250)
FOCAL = 180.0
CENTRE = (130.0, 60.5)
SEEDS = st.integers(0, 2**32 - 1)
MODALITIES = st.sampled_from(list(Modality))


def coordinates(modality: Modality, *, shape: tuple[int, int] = SHAPE) -> Record:
    """A picture whose red is x and green is y, a label that is x, a depth that is the pixel's number."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    return Record(
        name="ramp",
        pack="test",
        group="a",
        modality=modality,
        pixels=np.stack([x, y, 0 * x], axis=-1).astype(np.uint8),
        label=x.astype(np.uint8),
        sets=tuple((i,) for i in range(255)),
        depth=(y * width + x).astype(np.float32),
        focal_px=FOCAL,
        pitch=2.0,
        centre=CENTRE,
    )


def plane_record(modality: Modality, normal: tuple[float, float, float]) -> Record:
    """A slanted plane seen by a pinhole camera: depth and normals agree exactly."""
    n = np.array(normal) / np.linalg.norm(normal)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    rays = np.stack([(x - CENTRE[0]) / FOCAL, (y - CENTRE[1]) / FOCAL, np.ones(SHAPE)])
    depth = -20.0 / np.einsum("c,chw->hw", n, rays)
    assert (depth > 0).all()
    base = coordinates(modality)
    normals = np.broadcast_to(np.rint(n * 127), (*SHAPE, 3)).astype(np.int8)
    return Record(
        **{
            **{k: getattr(base, k) for k in base.__slots__},
            "depth": depth.astype(np.float32),
            "normals": normals,
        }
    )


def source_pixels(example_depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    number = np.nan_to_num(example_depth).astype(np.int64)
    return number % SHAPE[1], number // SHAPE[1]


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, modality=MODALITIES)
def test_picture_and_label_keep_their_coordinates(seed: int, modality: Modality) -> None:
    example = augment(coordinates(modality), np.random.default_rng(seed), PLAIN)
    x, y = source_pixels(example.depth)
    inside = example.valid & (x > 3) & (x < SHAPE[1] - 4) & (y > 3) & (y < SHAPE[0] - 4)
    assert inside.any()
    assert np.array_equal(example.label[example.valid], x[example.valid])
    red, green = example.image[0] * 255, example.image[1] * 255
    # nearest is within half a pixel of the true place, the ramp within rounding of it
    assert np.abs(red - x)[inside].max() <= 1.3
    assert np.abs(green - y)[inside].max() <= 1.3


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, modality=MODALITIES)
def test_rays_are_the_turned_rays_of_the_source(seed: int, modality: Modality) -> None:
    rng = np.random.default_rng(seed)
    record = coordinates(modality)
    move = choose_similarity(record, PLAIN, rng)
    example = crop(record, move, PLAIN, rng)
    x, y = source_pixels(example.depth)
    there = np.stack([(x - CENTRE[0]) / FOCAL, (y - CENTRE[1]) / FOCAL])
    turned = np.einsum("ij,jhw->ihw", move.turn, there)
    off = np.abs(example.rays - turned).max(axis=0)[example.valid]
    assert off.max() <= 0.71 / FOCAL
    assert off.mean() <= 0.4 / FOCAL  # no shift that is the same everywhere


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, modality=MODALITIES)
def test_points_of_a_plane_stay_on_a_plane_of_the_moved_normal(seed: int, modality: Modality) -> None:
    record = plane_record(modality, (0.25, -0.4, -0.88))
    example = augment(record, np.random.default_rng(seed), PLAIN)
    rays = np.concatenate([example.rays, np.ones((1, *example.valid.shape), np.float32)])
    points = (rays * example.depth)[:, example.valid].astype(np.float64)
    normal = example.normals[:, example.valid].mean(axis=1)
    distance = normal @ points
    assert np.abs(distance + 20.0).max() < 0.35  # half a pixel of 1/180 at up to 45 m, and 8-bit normals
    mean = points.mean(axis=1, keepdims=True)
    fitted = np.linalg.svd((points - mean)[:, ::17], full_matrices=False)[0][:, 2]
    assert abs(float(fitted @ normal)) > math.cos(math.radians(2.5))


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, modality=MODALITIES)
def test_scale_moves_focal_and_pitch_but_not_depth(seed: int, modality: Modality) -> None:
    rng = np.random.default_rng(seed)
    record = coordinates(modality)
    move = choose_similarity(record, PLAIN, rng)
    example = crop(record, move, PLAIN, rng)
    assert example.focal_px == example.true_focal_px == pytest.approx(FOCAL * move.scale)
    assert example.pitch == pytest.approx(2.0 / move.scale)
    assert set(np.unique(example.depth[example.valid])) <= set(np.unique(record.depth))
    low, high = RECIPES[modality].scale
    base = 512 / 250 if RECIPES[modality].long_side else 1.0
    assert low - 1e-9 <= move.scale / base <= high + 1e-9


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, modality=MODALITIES)
def test_padding_is_marked_everywhere(seed: int, modality: Modality) -> None:
    small = coordinates(modality, shape=(40, 250))
    example = augment(small, np.random.default_rng(seed))
    out = ~example.valid
    assert example.image.shape == (3, 256, 256)
    assert example.image.dtype == np.float32
    assert example.image.min() >= 0
    assert example.image.max() <= 1
    assert (example.image[:, out] == 0).all()
    assert (example.label[out] == 255).all()
    assert np.isnan(example.depth[out]).all()
    assert example.valid.any()


@pytest.mark.parametrize("modality", [Modality.STREET, Modality.XRAY, Modality.ULTRASOUND])
def test_upright_pictures_stay_upright(modality: Modality) -> None:
    mirrored = set()
    for seed in range(24):
        turn = choose_similarity(coordinates(modality), PLAIN, np.random.default_rng(seed)).turn
        assert turn[1, 1] > 0.98
        mirrored.add(float(np.sign(turn[0, 0])))
    assert mirrored == {-1.0, 1.0}


def test_aerial_pictures_come_in_all_eight_positions() -> None:
    turns = set()
    for seed in range(200):
        move = choose_similarity(coordinates(Modality.AERIAL), PLAIN, np.random.default_rng(seed))
        if np.allclose(np.abs(move.turn).round(), np.abs(move.turn), atol=1e-9):
            turns.add(tuple(np.rint(move.turn).astype(int).ravel().tolist()))
    assert len(turns) == 8


def test_the_identity_changes_nothing() -> None:
    record = coordinates(Modality.STREET, shape=(250, 250))
    move = Similarity(linear=np.eye(2), shift=np.zeros(2))
    example = crop(record, move, AugmentOptions(**{**_plain(), "size": 250}), np.random.default_rng(0))
    assert np.array_equal(example.image, record.image)
    assert np.array_equal(example.label, record.label)
    assert np.array_equal(example.depth, record.depth)
    assert np.allclose(example.rays, rays_of(250, FOCAL, np.array(CENTRE)))


def _plain() -> dict[str, float]:
    return {k: getattr(PLAIN, k) for k in PLAIN.__slots__}


@pytest.mark.parametrize("mirrors", list(itertools.product((False, True), repeat=3)))
def test_mirrors_are_those_of_numpy(mirrors: tuple[bool, bool, bool]) -> None:
    size = 64
    record = coordinates(Modality.AERIAL, shape=(size, size))
    linear = np.diag([-1.0 if mirrors[0] else 1.0, -1.0 if mirrors[1] else 1.0])
    expected = record.label
    expected = expected[:, ::-1] if mirrors[0] else expected
    expected = expected[::-1] if mirrors[1] else expected
    if mirrors[2]:
        linear, expected = linear[::-1], expected.T
    middle = np.full(2, (size - 1) / 2)
    move = Similarity(linear=linear.copy(), shift=middle - linear @ middle)
    options = AugmentOptions(**{**_plain(), "size": size})
    example = crop(record, move, options, np.random.default_rng(0))
    assert np.array_equal(example.label, expected)
    assert np.array_equal(np.rint(example.image[0] * 255), expected)


def test_whole_shows_all_of_the_picture_once() -> None:
    record = coordinates(Modality.STREET, shape=(100, 250))
    example = whole(record, 250)
    assert example.valid.sum() == record.label.size
    assert np.array_equal(example.label[example.valid].reshape(100, 250), record.label)
    assert example.focal_px == FOCAL
    halved = whole(record, 125)
    assert halved.valid.sum() == 50 * 125
    assert halved.focal_px == FOCAL / 2
    assert halved.pitch == 4.0


def test_shrinking_averages_instead_of_skipping() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200
    small = warp_pixels(stripes, fit_similarity((256, 256), 64), 64)
    assert np.abs(small[4:-4, 4:-4].astype(int) - 100).max() <= 2


def test_the_same_generator_gives_the_same_crop_and_another_another() -> None:
    record = coordinates(Modality.STREET)
    first, again, other = (augment(record, np.random.default_rng([7, i])) for i in (1, 1, 2))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.rays, again.rays)
    assert not np.array_equal(first.image, other.image)


def test_hidden_facts_are_hidden_from_the_network_only() -> None:
    record = coordinates(Modality.STREET)
    examples = [
        augment(record, np.random.default_rng(i), AugmentOptions(size=32, photometric=False))
        for i in range(400)
    ]
    blind = [e for e in examples if math.isnan(e.focal_px)]
    assert 0.2 < len(blind) / len(examples) < 0.4
    assert all((e.rays == 0).all() and math.isfinite(e.true_focal_px) for e in blind)
    assert 0.12 < sum(math.isnan(e.pitch) for e in examples) / len(examples) < 0.28


def test_an_unknown_camera_stays_unknown() -> None:
    base = coordinates(Modality.CT)
    record = Record(**{**{k: getattr(base, k) for k in base.__slots__}, "focal_px": math.nan})
    example = augment(record, np.random.default_rng(0), PLAIN)
    assert math.isnan(example.focal_px)
    assert math.isnan(example.true_focal_px)
    assert (example.rays == 0).all()


def test_rare_labels_are_sought() -> None:
    base = coordinates(Modality.STREET)
    label = np.zeros(SHAPE, np.uint8)
    label[60:68, 200:208] = 5  # 0.2 % of the picture
    record = Record(**{**{k: getattr(base, k) for k in base.__slots__}, "label": label})
    size = 64
    seeking, even = (
        np.mean([(augment(record, np.random.default_rng(i), options).label == 5).any() for i in range(150)])
        for options in (AugmentOptions(size=size, seek_label=1.0), AugmentOptions(size=size, seek_label=0.0))
    )
    assert seeking > even + 0.2


CHANGES = [
    photometric.tone,
    photometric.hue,
    photometric.grey,
    photometric.grey_tone,
    photometric.ct_tone,
    photometric.bias_field,
    photometric.blur,
    photometric.motion_blur,
    photometric.noise,
    photometric.grey_noise,
    photometric.ct_noise,
    photometric.jpeg,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", range(6))
def test_photometry_moves_no_edge(change: photometric.Change, seed: int) -> None:
    pixels = np.full((96, 128, 3), 70, np.uint8)
    pixels[:, 64:] = 170
    changed = change(pixels, np.random.default_rng(seed))
    assert changed.shape == pixels.shape
    assert changed.dtype == np.uint8
    profile = cv2.GaussianBlur(changed.astype(np.float64).mean(axis=(0, 2))[None], (0, 0), 1.5)[0]
    steps = np.diff(profile)
    assert abs(int(np.argmax(steps)) - 63) <= 1
    assert steps.max() > 2


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, modality=MODALITIES)
def test_photometry_changes_only_the_picture(seed: int, modality: Modality) -> None:
    record = coordinates(modality)
    before = record.pixels.copy()
    examples = [
        augment(record, np.random.default_rng(seed), AugmentOptions(size=64, photometric=on))
        for on in (False, True)
    ]
    assert np.array_equal(examples[0].label, examples[1].label)
    assert np.array_equal(examples[0].depth, examples[1].depth, equal_nan=True)
    assert np.array_equal(record.pixels, before)


def test_cutout_covers_a_small_part() -> None:
    ramp = np.repeat(np.tile(np.arange(128, dtype=np.uint8), (96, 1))[..., None], 3, axis=2)
    shares = [(photometric.cutout(ramp, np.random.default_rng(i)) != ramp).any(2).mean() for i in range(40)]
    assert 0 < max(shares) < 0.1


@pytest.mark.parametrize("modality", [Modality.MR, Modality.XRAY, Modality.ULTRASOUND])
def test_grey_scans_keep_three_equal_views(modality: Modality) -> None:
    ramp = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (64, 1))[..., None], 3, axis=2)
    for seed in range(30):
        changed = change_photometry(ramp, modality, np.random.default_rng(seed)).astype(int)
        assert np.abs(changed - changed[..., :1]).max() <= 1


def test_strong_changes_are_stronger_and_move_nothing() -> None:
    base = np.random.default_rng(0).integers(60, 190, (12, 12, 3), dtype=np.uint8)
    scene = cv2.resize(base, (96, 96), interpolation=cv2.INTER_CUBIC)
    away = {}
    for strong in (False, True):
        rngs = [np.random.default_rng(seed) for seed in range(60)]
        changed = [change_photometry(scene, Modality.STREET, r, strong=strong) for r in rngs]
        assert {(c.shape, c.dtype) for c in changed} == {(scene.shape, scene.dtype)}
        away[strong] = np.mean([np.abs(c.astype(int) - scene).mean() for c in changed])
    assert away[True] > 1.05 * away[False]
