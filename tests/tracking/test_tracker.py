"""Numbers stay with things: through drops, joins, occlusions, and a stop in the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from banana_cli.classes import kin_of
from banana_cli.tracking.tracker import SURE_HITS, Tracker
from banana_cli.types import Instances, Modality, ShapeError

from .identity import Identity
from .stage import CAR, PERSON, SHAPE, TRUCK, Actor, Shot, joined, play, seen

KIN = kin_of(Modality.STREET)
CROSSING = (
    Actor(5, 20, 30, 14, (1.2, 0.0)),
    Actor(120, 24, 30, 14, (-1.0, 0.0), TRUCK),
    Actor(20, 40, 8, 20, (0.8, 0.1), PERSON),
    Actor(100, 36, 9, 24, (-0.7, 0.1), PERSON),
    Actor(60, 60, 36, 20, (0.0, 0.2)),
    Actor(10, 62, 26, 22, (1.0, 0.2)),
)


def told(shots: Iterable[Shot], look: Callable[[Shot], Instances] = seen, *, flow: bool = True) -> Identity:
    tracker, score = Tracker(KIN), Identity()
    for shot in shots:
        score.add(shot.truth, tracker.step(look(shot), shot.flow if flow else None, shot.time_s))
    return score


def number_of(answer: Instances, truth: np.ndarray, thing: int) -> int:
    """The track of most of a thing's pixels."""
    tracks = np.array([0, *answer.tracks])[answer.ids][truth == thing]
    return int(np.bincount(tracks).argmax())


def test_six_that_cross_and_hide_each_other() -> None:
    score = told(play(CROSSING, 90))
    assert score.idf1 > 0.99 and score.switches == 0
    assert told(play(CROSSING, 90), flow=False).idf1 > 0.85


def test_a_mask_that_drops_one_in_ten() -> None:
    rng = np.random.default_rng(3)

    def look(shot: Shot) -> Instances:
        return seen(shot, without=np.flatnonzero(rng.random(7) < 0.1).tolist())

    score = told(play(CROSSING, 90), look)
    assert score.switches == 0 and len(score.given) == 6
    assert score.idf1 > 0.99 * 2 * score.found / (score.found + sum(score.seen.values()))


def behind(frames: int) -> tuple[Actor, ...]:
    """A car that nobody sees for so many frames: a wall that is no thing stands before it."""
    return (Actor(10, 40, 20, 12, (1.0, 0.0)), Actor(60, 20, 20 + frames, 50, counted=False))


@pytest.mark.parametrize(("frames", "numbers"), [(5, {1}), (28, {1}), (60, {1, 2})])
def test_hidden_for_a_while(frames: int, numbers: set[int]) -> None:
    tracker, found = Tracker(KIN), set()
    for shot in play(behind(frames), 95 + frames):
        answer = tracker.step(seen(shot), shot.flow, shot.time_s)
        found |= set(answer.tracks) - {0}
    assert found == numbers


def smeared(shot: Shot, front: int, px: int = 8) -> np.ndarray:
    """The flow as a real one is: that of what passes in front runs over what is around it."""
    near = ndimage.binary_dilation(shot.truth == front, iterations=px)
    flow = shot.flow.copy()
    flow[near] = shot.flow[shot.truth == front][0] if near.any() else 0
    return flow


@pytest.mark.parametrize("speed", [4.0, 7.0])
def test_what_passes_in_front_does_not_take_along_what_it_hides(speed: float) -> None:
    actors = (Actor(90, 30, 22, 12), Actor(-200, 26, 60, 30, (speed, 0.0), TRUCK))
    tracker, last = Tracker(KIN), 0
    for shot in play(actors, int(400 / speed)):
        answer = tracker.step(seen(shot), smeared(shot, 2), shot.time_s)
        if (shot.truth == 1).sum() > 100:
            last = number_of(answer, shot.truth, 1)
    assert last == 1


def test_two_in_one_region_are_told_apart() -> None:
    actors = (Actor(10, 30, 24, 14, (1.0, 0.0)), Actor(90, 41, 24, 14, (-0.5, 0.0)))
    tracker = Tracker(KIN)
    for shot in play(actors, 80):
        near = np.abs((10 + 1.0 * shot.time_s * 30) - (90 - 0.5 * shot.time_s * 30)) < 26
        answer = tracker.step(joined(shot, (1, 2)) if near else seen(shot), shot.flow, shot.time_s)
        assert (answer.ids > 0).sum() == (shot.truth > 0).sum()
        assert number_of(answer, shot.truth, 1) == 1
        assert number_of(answer, shot.truth, 2) == 2


def test_a_pole_does_not_make_two_of_one() -> None:
    actors = (Actor(10, 40, 40, 14, (1.0, 0.0)), Actor(70, 10, 3, 70, counted=False))
    tracker, parts, numbers = Tracker(KIN), 0, set()
    for shot in play(actors, 90):
        regions = seen(shot)
        middle = shot.truth[:, :70].any() and shot.truth[:, 73:].any()
        if middle:  # the mask has a region on each side
            ids = regions.ids.copy()
            ids[:, 73:] *= 2
            regions = Instances(ids=ids, classes=(CAR, CAR), scores=(0.9, 0.9))
            parts += 1
        answer = tracker.step(regions, shot.flow, shot.time_s)
        numbers |= set(answer.tracks) - {0}
    assert parts > 30 and numbers <= {1, 2}
    assert answer.tracks in ((1,), (2,))


def test_what_comes_out_from_behind_is_another() -> None:
    actors = (Actor(70, 40, 20, 14, (1.0, 0.0)), Actor(60, 42, 40, 18, (0.0, 0.0)))
    tracker = Tracker(KIN)
    for shot in play(actors, 40):
        answer = tracker.step(seen(shot), shot.flow, shot.time_s)
    assert number_of(answer, shot.truth, 1) != number_of(answer, shot.truth, 2)


@pytest.mark.parametrize("lost", [True, False])
def test_a_piece_is_of_a_thing_that_lost_it(lost: bool) -> None:
    """By the flow a new region was part of its neighbour, which is smaller by it now, or as large as ever."""
    tracker = Tracker(KIN)
    for k in range(12):
        truth, flow = np.zeros(SHAPE, np.uint16), np.zeros((*SHAPE, 2), np.float32)
        truth[30:50, 40 : 72 if lost and k >= 6 else 80] = 1
        if k >= 6:
            truth[30:50, 74 if lost else 81 : 80 if lost else 87] = 2
            flow[..., 0] = -20 * (truth == 2)
        shot = Shot(truth, flow, k / 30, (CAR, CAR))
        answer = tracker.step(seen(shot), flow, shot.time_s)
    assert set(answer.tracks) == ({1} if lost else {1, 2})


def test_after_a_cut_all_are_new() -> None:
    shots = list(play(CROSSING[:2], 12))
    tracker = Tracker(KIN)
    for shot in shots:
        answer = tracker.step(seen(shot), shot.flow, shot.time_s)
    assert set(answer.tracks) == {1, 2}
    answer = tracker.step(seen(shots[-1]), np.full_like(shots[-1].flow, np.nan), 0.5)
    assert set(answer.tracks) == {3, 4}


def test_a_number_is_given_when_it_is_sure() -> None:
    tracker = Tracker(KIN)
    tracker.step(seen(next(iter(play((), 1)))), None, 0.0)
    tracks = [tracker.step(seen(s), s.flow, s.time_s + 1).tracks for s in play(CROSSING[:1], 5)]
    assert tracks == [(0,)] * (SURE_HITS - 1) + [(1,)] * (6 - SURE_HITS)


def test_a_poor_region_goes_on_but_begins_nothing() -> None:
    def poor(found: Instances) -> Instances:
        return replace(found, scores=(0.2,) * len(found))

    tracker = Tracker(KIN)
    shots = list(play(CROSSING[:2], 20))
    for k, shot in enumerate(shots):
        found = seen(shot, without=[2] if k < 10 else [])
        answer = tracker.step(poor(found) if k >= 5 else found, shot.flow, shot.time_s)
        assert [t for t in answer.tracks if t] == [1]


def test_the_class_is_what_most_looks_say() -> None:
    tracker = Tracker(KIN)
    for k, shot in enumerate(play(CROSSING[:1], 40)):
        found = seen(shot)
        answer = tracker.step(replace(found, classes=(TRUCK if k % 4 == 3 else CAR,)), shot.flow, shot.time_s)
        assert (answer.classes, answer.tracks) == ((CAR,), (1,))


@pytest.mark.parametrize("back", [1, 2])
def test_colours_tell_apart_what_comes_back(back: int) -> None:
    """Two cars go behind one wall, and one comes back between the places where they should be."""
    picture = np.zeros((3, *SHAPE), np.float32)
    tracker = Tracker(KIN)
    for k in range(40):
        truth = np.zeros(SHAPE, np.uint16)
        if not 15 <= k < 25:
            for number, top in ((1, 30), (2, 36)) if k < 15 else ((back, 33),):
                truth[top : top + 5, 20 + k : 40 + k] = number
        picture[:] = np.select([truth == 1, truth == 2], [220.0, 20.0], 90.0)
        shot = Shot(truth, np.full((*SHAPE, 2), -1.0, np.float32) * [1, 0], k / 30, (CAR, CAR))
        answer = tracker.step(seen(shot), shot.flow.astype(np.float32), shot.time_s, picture)
    assert answer.tracks == (back,)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.permutations(range(6)), min_size=30, max_size=30))
def test_the_order_of_regions_says_nothing(orders: list[list[int]]) -> None:
    one, other = Tracker(KIN), Tracker(KIN)
    for k, (shot, order) in enumerate(zip(play(CROSSING, 30), orders, strict=True)):
        a = one.step(seen(shot), shot.flow, shot.time_s)
        b = other.step(seen(shot, order=order if k else None), shot.flow, shot.time_s)
        names = [np.array([0, *x.tracks])[x.ids] for x in (a, b)]
        assert np.array_equal(*names)


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(0, 59), drops=st.integers(0, 2**32 - 1))
def test_going_on_from_arrays_equals_going_on(cut: int, drops: int) -> None:
    rng = np.random.default_rng(drops)
    shots = [(s, np.flatnonzero(rng.random(7) < 0.2).tolist()) for s in play(CROSSING, 60)]
    tracker = Tracker(KIN)
    for shot, without in shots[:cut]:
        tracker.step(seen(shot, without=without), shot.flow, shot.time_s)
    other = Tracker.from_arrays(tracker.to_arrays(), KIN)
    for shot, without in shots[cut:]:
        found = seen(shot, without=without)
        a, b = (t.step(found, shot.flow, shot.time_s) for t in (tracker, other))
        assert np.array_equal(a.ids, b.ids)
        assert (a.tracks, a.classes, a.scores) == (b.tracks, b.classes, b.scores)


def test_a_picture_of_another_size_than_the_flow() -> None:
    tracker = Tracker(KIN)
    for shot in play(CROSSING, 20):
        found = seen(shot)
        large = replace(found, ids=np.repeat(np.repeat(found.ids, 3, 0), 3, 1))
        answer = tracker.step(large, shot.flow, shot.time_s)
        assert answer.ids.shape == large.ids.shape and sorted(answer.tracks) == [1, 2, 3, 4, 5, 6]


def test_nothing_to_follow() -> None:
    tracker, empty = Tracker(KIN), Instances(ids=np.zeros(SHAPE, np.uint16), classes=(), scores=())
    for k in range(3):
        assert tracker.step(empty, None, k / 30).tracks == ()


def test_instances_need_a_track_each() -> None:
    with pytest.raises(ShapeError, match="track"):
        Instances(ids=np.zeros(SHAPE, np.uint16), classes=(CAR,), scores=(1.0,), tracks=(1, 2))


def test_the_score_itself() -> None:
    """Swapped numbers halfway: half of all is identified, and each thing switches once."""
    score = Identity()
    for k, shot in enumerate(play(CROSSING[:2], 20)):
        found = seen(shot)
        score.add(shot.truth, replace(found, tracks=(1, 2) if k < 10 else (2, 1)))
    assert (score.idf1, score.switches) == (0.5, 2)
