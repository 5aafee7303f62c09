"""Depth of what stands: exact on a plane, close on worlds, silent where nothing touches the ground."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banana_cli.classes import STREET
from banana_cli.infer import Engine
from banana_cli.train.augment import AugmentOptions
from banana_cli.train.mixture import Mixture
from banana_cli.train.packs import Record
from banana_cli.train.splits import Pack
from banana_cli.train.stand import GROUND, standing_depth
from banana_cli.train.standing import street_ids, with_standing_depth
from banana_cli.types import F32, U8, Modality
from banana_cli.worlds import street

REPOSITORY = Path(__file__).resolve().parents[2]
FOCAL, HEIGHT, HORIZON = 300.0, 1.4, 60
SHAPE = (160, 240)
ROAD, SKY, CAR, PERSON = (STREET.id_of(n) for n in ("road", "sky", "car", "person"))


def plane() -> tuple[U8, F32]:
    """A flat road below the horizon, seen by a level camera."""
    rows = np.arange(SHAPE[0], dtype=np.float32)[:, None] - HORIZON
    depth = np.where(rows > 0, FOCAL * HEIGHT / np.maximum(rows, 1), np.nan).astype(np.float32)
    label = np.where(rows > 0, np.uint8(ROAD), np.uint8(SKY))
    return np.repeat(label, SHAPE[1], 1), np.repeat(depth, SHAPE[1], 1)


@given(foot=st.integers(70, 150), left=st.integers(0, 200), wide=st.integers(5, 40), tall=st.integers(5, 60))
def test_a_thing_is_as_far_away_as_its_foot(foot: int, left: int, wide: int, tall: int) -> None:
    """A person in front of a road takes the depth of the first row of road below the feet."""
    label, ground = plane()
    label[foot - tall : foot, left : left + wide] = PERSON
    depth = standing_depth(label, ground, FOCAL)
    expected = FOCAL * HEIGHT / (foot - HORIZON)
    reach = 1.9 * FOCAL / expected  # no person is higher
    rows = np.arange(foot - tall, foot)
    known = rows >= foot - 1 - reach
    body = depth[foot - tall : foot, left]
    assert np.allclose(body[known], expected)
    assert np.isnan(body[~known]).all()
    assert np.array_equal(depth[label == ROAD], ground[label == ROAD])


def test_what_touches_no_ground_has_no_depth() -> None:
    """Something in the sky, and a car cut off by the lower border."""
    label, ground = plane()
    label[10:30, 100:120] = CAR
    label[120:, 20:80] = CAR
    depth = standing_depth(label, ground, FOCAL)
    assert np.isnan(depth[label == CAR]).all()


def test_worlds_agree() -> None:
    """On exact scenes the rule holds for most of the pixels of cars and people."""
    ratios = []
    for seed in range(12):
        sample = street.sample(seed, 144, 256)
        focal = sample.focal_px
        assert focal is not None
        found = standing_depth(sample.ids, sample.depth.astype(np.float32), focal)
        known = np.isin(sample.ids, [CAR, PERSON]) & np.isfinite(found) & (sample.depth < 60)
        ratios.append(found[known] / sample.depth[known])
    ratio = np.concatenate(ratios)
    assert ratio.size > 500
    assert float((np.maximum(ratio, 1 / ratio) < 1.3).mean()) > 0.7
    assert abs(float(np.median(ratio)) - 1) < 0.1


def test_a_teacher_gives_every_frame_of_a_clip_one_camera() -> None:
    """Records keep pixels and labels; depth lies on the ground and above it only."""
    samples = [street.sample(seed, 96, 160) for seed in (1, 2)]
    sets = tuple((c.id,) for c in STREET.classes)
    records = [
        Record(
            name=str(i),
            pack="driving/roadwork_labels",
            group="town",
            modality=Modality.STREET,
            pixels=np.rint(s.views.transpose(1, 2, 0) * 255).astype(np.uint8),
            label=s.ids,
            sets=sets,
        )
        for i, s in enumerate(samples)
    ]
    taught = with_standing_depth(Engine.load(REPOSITORY / "weights/banana-nano.safetensors"), records)
    assert len({r.focal_px for r in taught}) == 1
    assert math.isfinite(taught[0].focal_px)
    for before, after in zip(records, taught, strict=True):
        assert after.depth is not None
        assert np.isfinite(after.depth[np.isin(before.label, GROUND)]).all()
        assert np.isnan(after.depth[before.label == SKY]).all()


@pytest.mark.parametrize("members", [((0,), (13,)), ((13,), (0, 1))])
def test_sets_of_several_classes_are_unknown(members: tuple[tuple[int, ...], ...]) -> None:
    """A pack that does not tell a sidewalk from a road says nothing of either."""
    label = np.array([[0, 1, 255]], np.uint8)
    record = Record(
        name="a", pack="p", group="g", modality=Modality.STREET,
        pixels=np.zeros((1, 3, 3), np.uint8), label=label, sets=members,
    )  # fmt: skip
    expected = [m[0] if len(m) == 1 else 255 for m in members]
    assert street_ids(record).tolist() == [[*expected, 255]]


def test_a_guessed_camera_is_never_shown() -> None:
    """The depth of a real frame is scaled by its guessed focal length; the network must not see the guess."""
    sample = street.sample(3, 96, 160)
    record = Record(
        name="0", pack="driving/roadwork_labels", group="town", modality=Modality.STREET, focal_px=150.0,
        pixels=np.rint(sample.views.transpose(1, 2, 0) * 255).astype(np.uint8), label=sample.ids,
        sets=tuple((c.id,) for c in STREET.classes), depth=np.full((96, 160), 10.0, np.float32),
    )  # fmt: skip
    mixture = Mixture(None, {Pack.STREET: [record]}, options=AugmentOptions(size=64, hide_focal=0.0))
    for i in range(4):
        example = mixture.example(i)
        assert not example.rays.any() and math.isnan(example.focal_px)
        assert math.isfinite(example.true_focal_px) and np.nanmax(example.depth) == 10.0
