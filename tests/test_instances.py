"""Things told apart: exactly where the truth says their middles, and as connected parts without it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banana_cli.classes import AERIAL, STREET, thing_ids
from banana_cli.instances import components, grouped
from banana_cli.model.net import THING_PX
from banana_cli.train.things import LEAST_PX, things_truth
from banana_cli.train.worldset import render
from banana_cli.types import F32, U8, U16, Instances, Modality, ShapeError

CAR, PERSON, ROAD = (STREET.id_of(n) for n in ("car", "person", "road"))
THINGS = thing_ids(Modality.STREET)


def said(instances: U16) -> F32:
    """What a network without fault says, in pixels."""
    truth = np.nan_to_num(things_truth(instances))
    truth[1:] *= THING_PX
    return truth


def same(a: U16, b: U16) -> bool:
    """Whether two pictures are cut into the same pieces, whatever their numbers."""
    pairs = np.unique(np.stack([a, b]).reshape(2, -1), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs)


def discs(places: list[tuple[int, int, int]], shape: tuple[int, int] = (96, 128)) -> U16:
    y, x = np.mgrid[: shape[0], : shape[1]]
    ids = np.zeros(shape, np.uint16)
    for number, (row, column, radius) in enumerate(places, 1):
        ids[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number
    return ids


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(10, 85), st.integers(10, 115), st.integers(3, 16)), max_size=8),
    st.sampled_from([1, 2, 3]),
)
def test_discs_come_back_however_they_touch(places: list[tuple[int, int, int]], zoom: int) -> None:
    """Also where the masks are of a finer picture than what the network says."""
    apart: list[tuple[int, int, int]] = []
    for row, col, radius in places:
        if all((row - r) ** 2 + (col - c) ** 2 >= (radius + q) ** 2 + 2 for r, c, q in apart):
            apart.append((row, col, radius))
    ids = discs(apart)
    large = ids.repeat(zoom, 0).repeat(zoom, 1)
    mask = np.where(large > 0, CAR, ROAD).astype(np.uint8)
    found = grouped(mask, said(ids), THINGS, least_px=1)
    assert same(found.ids, large) and len(found) == len(apart)
    assert set(found.classes) <= {CAR} and all(s == 1 for s in found.scores)
    sizes = np.bincount(found.ids.ravel(), minlength=len(found) + 1)[1:]
    assert all(np.diff(sizes) <= 0)


@pytest.mark.parametrize(
    ("modality", "seed"), [(Modality.STREET, 3), (Modality.STREET, 7), (Modality.AERIAL, 1)]
)
def test_worlds_come_back(modality: Modality, seed: int) -> None:
    """All things but those too small to be asked for, and the few whose middles fall into one bell."""
    sample = render(modality, seed, (192, 320))
    sizes = np.bincount(sample.instances.ravel())
    asked = np.flatnonzero(sizes >= LEAST_PX)[1:]
    mask = np.where(np.isin(sample.instances, asked), sample.ids, ROAD + 1).astype(np.uint8)
    found = grouped(mask, said(sample.instances), thing_ids(modality), least_px=1)
    assert np.array_equal(found.ids > 0, np.isin(mask, thing_ids(modality)))
    exact = 0
    for number in asked:
        here = sample.instances == number
        mine = int(found.ids[here][0])
        exact += np.array_equal(found.ids == mine, here) and found.classes[mine - 1] == sample.ids[here][0]
    assert len(asked) > 5 and exact >= len(asked) - 2


def test_a_thing_is_of_the_class_of_most_of_its_pixels() -> None:
    ids = discs([(40, 40, 15)])
    mask = np.where(ids > 0, CAR, ROAD).astype(np.uint8)
    mask[ids > 0] = np.where(np.arange((ids > 0).sum()) % 3 == 0, PERSON, CAR)
    found = grouped(mask, said(ids), THINGS, least_px=1)
    assert found.classes == (CAR,) and same(found.ids, ids)


def test_two_cars_that_touch_are_one_part_but_two_things() -> None:
    ids = np.zeros((60, 90), np.uint16)
    ids[20:40, 10:45], ids[20:40, 45:80] = 1, 2
    mask = np.where(ids > 0, CAR, ROAD).astype(np.uint8)
    assert len(components(mask, THINGS, 1)) == 1
    assert same(grouped(mask, said(ids), THINGS, 1).ids, ids)


def test_pixels_that_point_at_nothing_are_connected_parts() -> None:
    ids = discs([(30, 30, 12), (60, 100, 12)])
    mask = np.where(ids > 0, CAR, ROAD).astype(np.uint8)
    things = said(ids)
    things[0, :, 64:] = 0  # nobody sees the second's middle
    things[2, :, 64:] = -1  # and its ways lead nowhere
    found = grouped(mask, things, THINGS, least_px=1)
    assert same(found.ids, ids)
    silent = grouped(mask, np.zeros_like(things), THINGS, least_px=1)
    assert np.array_equal(silent.ids, components(mask, THINGS, 1).ids)


def test_scores_are_peaks_and_confidences() -> None:
    ids = discs([(30, 30, 12), (60, 100, 8)])
    mask = np.where(ids > 0, CAR, ROAD).astype(np.uint8)
    things = said(ids)
    things[0] *= 0.5
    sure = np.where(ids == 1, 255, 51).astype(np.uint8)
    assert grouped(mask, things, THINGS, 1, sure).scores == pytest.approx((0.5, 0.1))
    assert components(mask, THINGS, 1, sure).scores == pytest.approx((1.0, 0.2))


def test_what_is_too_small_is_nobody() -> None:
    ids = discs([(30, 30, 12), (60, 100, 3)])
    mask = np.where(ids > 0, CAR, ROAD).astype(np.uint8)
    for found in (grouped(mask, said(ids), THINGS, 40), components(mask, THINGS, 40)):
        assert len(found) == 1 and same(found.ids, discs([(30, 30, 12)]))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_parts_are_connected_and_of_one_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask: U8 = rng.integers(0, 3, (6, 8)).repeat(5, 0).repeat(5, 1).astype(np.uint8)
    found = components(mask, (0, 2), 1)
    assert np.array_equal(found.ids > 0, mask != 1)
    for number, kind in enumerate(found.classes, 1):
        assert set(mask[found.ids == number]) == {kind}
    lines = found.ids[:, 1:], found.ids[:, :-1], mask[:, 1:], mask[:, :-1]
    assert (lines[0] == lines[1])[(lines[2] == lines[3])].all()


@pytest.mark.parametrize("things", [np.zeros((3, 4, 4), np.float32), said(discs([(40, 40, 9)]))])
def test_a_picture_without_things_has_none(things: F32) -> None:
    mask = np.full((96, 128), ROAD, np.uint8)
    for found in (grouped(mask, things, THINGS, 1), components(mask, THINGS, 1)):
        assert len(found) == 0 and not found.ids.any()


def test_numbers_need_a_class_and_a_score() -> None:
    ids = np.ones((2, 2), np.uint16)
    with pytest.raises(ShapeError):
        Instances(ids=ids, classes=(), scores=())
    with pytest.raises(ShapeError):
        Instances(ids=ids, classes=(AERIAL.id_of("building"),), scores=())
