"""Numbered pixels -> middles and the ways there: by definition, and moved as the picture is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banana_cli.model.net import THING_PX
from banana_cli.train.augment import PLAIN, AugmentOptions, Similarity, augment, crop, cut_mix, whole
from banana_cli.train.batch import targets
from banana_cli.train.example import UNCOUNTED
from banana_cli.train.packs import Record
from banana_cli.train.things import LEAST_PX, things_truth
from banana_cli.types import U16, Modality

SIZE = 64


def discs(*places: tuple[float, float, float], shape: tuple[int, int] = (SIZE, SIZE)) -> U16:
    """(row, column, radius) -> instances 1..n, later ones in front."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    ids = np.zeros(shape, np.uint16)
    for number, (row, column, radius) in enumerate(places, 1):
        ids[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number
    return ids


def record_of(instances: U16, modality: Modality = Modality.AERIAL) -> Record:
    return Record(
        name="discs",
        pack="test",
        group="a",
        modality=modality,
        pixels=np.repeat((instances % 250).astype(np.uint8)[..., None], 3, axis=2),
        label=(instances > 0).astype(np.uint8),
        sets=((1,), (0,)),
        instances=instances,
    )


PLACES = st.tuples(st.floats(4, 60), st.floats(4, 60), st.floats(2, 14))


@settings(max_examples=60, deadline=None)
@given(places=st.lists(PLACES, max_size=6), shift=st.integers(0, 9))
def test_every_pixel_of_a_thing_knows_the_way_to_its_middle(
    places: list[tuple[float, float, float]], shift: int
) -> None:
    ids = discs(*places)
    truth = things_truth(np.where(ids > 0, ids + np.uint16(shift), ids))  # numbers mean nothing
    y, x = np.mgrid[:SIZE, :SIZE]
    for number in np.unique(ids[ids > 0]):
        here = ids == number
        if here.sum() < LEAST_PX:
            assert np.isnan(truth[:, here]).all()
            continue
        assert np.allclose(y[here] + truth[1, here] * THING_PX, y[here].mean(), atol=1e-3)
        assert np.allclose(x[here] + truth[2, here] * THING_PX, x[here].mean(), atol=1e-3)
        assert truth[0, round(y[here].mean()), round(x[here].mean())] in (
            1.0,
            pytest.approx(np.nan, nan_ok=True),
        )
    assert np.isnan(truth[1:, ids == 0]).all()
    known = truth[0][np.isfinite(truth[0])]
    assert ((known >= 0) & (known <= 1)).all()
    assert places or not known.any()


def test_what_nobody_knows_is_not_asked() -> None:
    ids = discs((20, 20, 10))
    ids[:, 32:] = UNCOUNTED
    truth = things_truth(ids)
    assert np.isnan(truth[:, :, 32:]).all() and np.isfinite(truth[0, :, :32]).all()
    assert truth[0, 20, 20] == 1 and truth[0, 20, 24] == pytest.approx(np.exp(-0.5), abs=1e-6)


@pytest.mark.parametrize(
    "linear", [np.eye(2), np.diag([-1.0, 1.0]), np.array([[0.0, -1.0], [1.0, 0.0]]), 1.5 * np.eye(2)]
)
def test_things_move_with_the_picture(linear: np.ndarray) -> None:
    """Mirrored, turned by a quarter, enlarged: ways are turned and scaled, middles stay on the things."""
    ids = discs((20, 20, 7), (40, 44, 9))
    middle = np.full(2, (SIZE - 1) / 2)
    move = Similarity(linear=linear, shift=middle - linear @ middle)
    options = AugmentOptions(size=SIZE, photometric=False)
    example = crop(record_of(ids), move, options, np.random.default_rng(0))
    assert example.instances is not None
    truth = things_truth(example.instances)
    for row, column in ((20, 20), (40, 44)):
        x, y = move.apply(np.array([column, row], np.float64))
        number = ids[row, column]
        assert truth[0].flat[np.ravel_multi_index((round(y), round(x)), (SIZE, SIZE))] > 0.9
        at = np.array([column + 4, row - 2], np.float64)  # a pixel of the thing, beside its middle
        px, py = np.rint(move.apply(at)).astype(int)
        assert example.instances[py, px] == number
        expected = linear @ (np.array([column, row]) - at)
        assert np.allclose(truth[[2, 1], py, px] * THING_PX, expected, atol=0.8)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), modality=st.sampled_from([Modality.STREET, Modality.AERIAL]))
def test_a_crop_counts_what_it_shows(seed: int, modality: Modality) -> None:
    ids = discs((30, 40, 20), (60, 120, 25), (90, 60, 15), shape=(120, 160))
    options = replace(PLAIN, size=96)
    example = augment(record_of(ids, modality), np.random.default_rng(seed), options)
    assert example.instances is not None
    inside = example.instances < UNCOUNTED
    assert np.array_equal(inside, example.valid)
    assert np.array_equal((example.instances > 0) & inside, (example.label == 1) & inside)


def test_things_of_a_pasted_box_are_others() -> None:
    first, second = (whole(record_of(discs((32, 32, r))), SIZE) for r in (20, 24))
    mixed = cut_mix(first, second, np.random.default_rng(3))
    assert mixed.instances is not None
    assert set(np.unique(mixed.instances)) == {0, 1, 2}
    changed = mixed.instances != first.instances
    assert np.array_equal(mixed.instances[changed], second.instances[changed] * 2)
    blind = replace(second, instances=None)
    assert UNCOUNTED in cut_mix(first, blind, np.random.default_rng(3)).instances
    assert cut_mix(blind, blind, np.random.default_rng(3)).instances is None


def test_a_batch_knows_what_some_of_it_know() -> None:
    counted = whole(record_of(discs((32, 32, 20))), SIZE)
    blind = replace(counted, instances=None)
    things = targets([counted, blind], Modality.AERIAL).things
    assert things is not None and things.shape == (2, 3, SIZE, SIZE)
    assert np.array_equal(things[0].numpy(), things_truth(counted.instances), equal_nan=True)
    assert bool(things[1].isnan().all())
    assert targets([blind, blind], Modality.AERIAL).things is None
