"""Things told apart: exactly where the truth tells the ways to their middles, as connected parts without."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banana_cli.classes import AERIAL, STREET, thing_ids
from banana_cli.instances import LEAST_SURE, components, sampled
from banana_cli.instances import grouped as grouped_by
from banana_cli.model.net import THING_PX
from banana_cli.train.things import LEAST_PX, things_truth
from banana_cli.train.worldset import render
from banana_cli.types import F32, U8, U16, Instances, Modality, ShapeError

CAR, PERSON, ROAD = (STREET.id_of(n) for n in ("car", "person", "road"))
THINGS = thing_ids(Modality.STREET)


def said(instances: U16) -> F32:
    """(2, h, w) The ways that a network without fault tells, in pixels."""
    return np.nan_to_num(things_truth(instances)[1:]) * np.float32(THING_PX)


def grouped(
    mask: U8, ways: F32 | None, kinds: tuple[int, ...] = THINGS, least_px: int = 1, sure: F32 | None = None
) -> Instances:
    """By somebody who is sure, if nothing else is said."""
    shape = mask.shape if ways is None else ways.shape[1:]
    return grouped_by(mask, ways, kinds, least_px, np.ones(shape, np.float32) if sure is None else sure)


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
    found = grouped(mask, said(ids))
    assert same(found.ids, large) and len(found) == len(apart)
    assert set(found.classes) <= {CAR} and all(s == 1 for s in found.scores)
    sizes = np.bincount(found.ids.ravel(), minlength=len(found) + 1)[1:]
    assert all(np.diff(sizes) <= 0)


@pytest.mark.parametrize(
    ("modality", "seed"), [(Modality.STREET, 3), (Modality.STREET, 7), (Modality.AERIAL, 1)]
)
def test_worlds_come_back(modality: Modality, seed: int) -> None:
    """All things but those too small to be asked for, and the few whose middles are one place."""
    sample = render(modality, seed, (192, 320))
    sizes = np.bincount(sample.instances.ravel())
    asked = np.flatnonzero(sizes >= LEAST_PX)[1:]
    mask = np.where(np.isin(sample.instances, asked), sample.ids, ROAD + 1).astype(np.uint8)
    found = grouped(mask, said(sample.instances), thing_ids(modality))
    assert np.array_equal(found.ids > 0, np.isin(mask, thing_ids(modality)))
    exact = 0
    for number in asked:
        here = sample.instances == number
        mine = int(found.ids[here][0])
        exact += np.array_equal(found.ids == mine, here) and found.classes[mine - 1] == sample.ids[here][0]
    assert len(asked) > 5 and exact >= 0.93 * len(asked)
    parts = grouped(mask, None, thing_ids(modality))
    alone = sum(
        np.array_equal(parts.ids == parts.ids[here][0], here) for here in map(sample.instances.__eq__, asked)
    )
    assert exact > alone


def test_a_thing_is_of_one_class() -> None:
    """Whoever sits in a car has the same middle, and is another."""
    ids = discs([(40, 40, 15)])
    mask = np.where(ids > 0, CAR, ROAD).astype(np.uint8)
    mask[35:45, 36:44] = PERSON
    found = grouped(mask, said(ids))
    assert found.classes == (CAR, PERSON) and np.array_equal(found.ids == 2, mask == PERSON)


PAIR = np.zeros((60, 90), np.uint16)
PAIR[20:40, 10:45], PAIR[20:40, 45:80] = 1, 2


@pytest.mark.parametrize("share", [1.0, 0.7, 0.5, 0.35])
def test_two_cars_that_touch_are_one_part_but_two_things(share: float) -> None:
    """However much too short the ways are that a network tells."""
    mask = np.where(PAIR > 0, CAR, ROAD).astype(np.uint8)
    assert len(components(mask, THINGS, 1)) == len(grouped(mask, None)) == 1
    assert same(grouped(mask, said(PAIR) * np.float32(share)).ids, PAIR)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_network_that_knows_nothing_gives_connected_parts(seed: int) -> None:
    """Of parts without a waist."""
    rng = np.random.default_rng(seed)
    mask = np.full((96, 128), ROAD, np.uint8)
    for row, col in ((2, 2), (2, 70), (50, 2), (50, 70)):
        tall, wide = rng.integers(4, 44), rng.integers(4, 56)
        mask[row : row + tall, col : col + wide] = rng.choice(THINGS)
    parts = grouped(mask, None)
    assert same(grouped(mask, np.zeros((2, *mask.shape), np.float32)).ids, parts.ids)
    assert same(components(mask, THINGS, 1).ids, parts.ids)


def test_numbers_of_the_truth_do_not_matter() -> None:
    sample = render(Modality.STREET, 3, (192, 320))
    other = np.random.default_rng(0).permutation(sample.instances.max() + 1).astype(np.uint16)
    other = np.where(other == 0, other[0], other)
    other[0] = 0
    told = [grouped(sample.ids, said(ids)) for ids in (sample.instances, other[sample.instances])]
    assert np.array_equal(told[0].ids, told[1].ids) and told[0].classes == told[1].classes


def test_a_picture_mirrored_has_the_same_things() -> None:
    sample = render(Modality.STREET, 7, (192, 320))
    ways = said(sample.instances)
    there = grouped(sample.ids, ways)
    back = grouped(
        sample.ids[:, ::-1].copy(), ways[:, :, ::-1] * np.array([1, -1], np.float32)[:, None, None]
    )
    assert len(there) > 5 and abs(len(there) - len(back)) <= 0.05 * len(there)


def test_a_thing_that_something_hides_in_the_middle_is_one() -> None:
    ids = np.zeros((60, 90), np.uint16)
    ids[20:40, 10:60] = 1
    ids[:, 32:39] = 0
    mask = np.where(ids > 0, CAR, ROAD).astype(np.uint8)
    assert len(grouped(mask, None)) == 2
    assert same(grouped(mask, said(ids)).ids, ids)


def test_things_that_the_border_cuts_are_things() -> None:
    ids = np.zeros((60, 90), np.uint16)
    ids[:20, :30], ids[:20, 30:60], ids[40:, 70:] = 1, 2, 3
    ids[45:, :25] = 4
    mask = np.where(ids > 0, CAR, ROAD).astype(np.uint8)
    beyond = said(ids)
    beyond[0, :20], beyond[1, :, 70:] = beyond[0, :20] - 15, beyond[1, :, 70:] + 15  # whole things' middles
    for ways in (said(ids), beyond):
        assert same(grouped(mask, ways).ids, ids)


def test_what_its_class_is_rather_not_is_no_thing() -> None:
    ids = discs([(30, 30, 12), (60, 100, 8)])
    mask = np.where(ids > 0, CAR, ROAD).astype(np.uint8)
    for ways in (said(ids), None):
        sure = np.where(ids == 1, 0.8, 0.6).astype(np.float32)
        assert grouped(mask, ways, sure=sure).scores == pytest.approx((0.8, 0.6))
        sure[ids == 2] = LEAST_SURE - 0.01
        assert same(grouped(mask, ways, sure=sure).ids, np.where(ids == 1, 1, 0).astype(np.uint16))
    levels = np.where(ids == 1, 255, 51).astype(np.uint8)
    assert components(mask, THINGS, 1, levels).scores == pytest.approx((1.0, 0.2))


def test_what_is_too_small_is_nobody() -> None:
    ids = discs([(30, 30, 12), (60, 100, 3)])
    mask = np.where(ids > 0, CAR, ROAD).astype(np.uint8)
    for found in (grouped(mask, said(ids), least_px=40), components(mask, THINGS, 40)):
        assert len(found) == 1 and same(found.ids, discs([(30, 30, 12)]))


@pytest.mark.parametrize("shape", [(60, 90), (61, 131), (240, 360), (31, 47)])
def test_a_mask_of_another_size_is_cut_along_the_same_lines(shape: tuple[int, int]) -> None:
    large = sampled(PAIR, shape)
    mask = np.where(large > 0, CAR, ROAD).astype(np.uint8)
    found = grouped(mask, said(PAIR))
    assert len(found) == 2 and np.array_equal(found.ids > 0, large > 0)
    assert (found.ids[large == 1] == found.ids[large == 1][0]).mean() > 0.97


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


@pytest.mark.parametrize("ways", [None, np.zeros((2, 4, 4), np.float32), said(discs([(40, 40, 9)]))])
def test_a_picture_without_things_has_none(ways: F32 | None) -> None:
    mask = np.full((96, 128), ROAD, np.uint8)
    for found in (grouped(mask, ways), components(mask, THINGS, 1)):
        assert len(found) == 0 and not found.ids.any()


def test_numbers_need_a_class_and_a_score() -> None:
    ids = np.ones((2, 2), np.uint16)
    with pytest.raises(ShapeError):
        Instances(ids=ids, classes=(), scores=())
    with pytest.raises(ShapeError):
        Instances(ids=ids, classes=(AERIAL.id_of("building"),), scores=())
