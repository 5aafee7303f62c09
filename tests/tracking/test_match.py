"""What fits what: places and colours of things, each rule by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from banana_cli.tracking.course import Course
from banana_cli.tracking.match import Seen, by_course, unlike

KIN = np.ones((1, 1), np.bool_)
OPEN = np.zeros(4, np.bool_)


def course(*sides: float, rate: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)) -> Course:
    made = Course.first(np.array(sides))
    made.rate = np.array(rate)
    return made


def fit(of: Course, *sides: float, unseen: float = 0.0, hidden: np.ndarray = OPEN) -> float:
    seen = Seen(np.array([sides]), hidden[None], np.zeros((1, 3)))
    return float(by_course([of], [np.zeros(3)], [unseen], seen, KIN)[0, 0])


def test_what_was_just_seen_comes_before_what_was_lost_long_ago() -> None:
    """The longer nobody saw it, the farther off it may be, and the less any one place says."""
    there, near = (10.0, 10.0, 30.0, 30.0), (13.0, 10.0, 33.0, 30.0)
    assert fit(course(*there), *there) == pytest.approx(1.0)
    assert fit(course(*there), *near) > fit(course(*there), *near, unseen=0.7) > 0
    assert fit(course(*there), 20.0, 10.0, 40.0, 30.0) == 0
    assert fit(course(*there), 20.0, 10.0, 40.0, 30.0, unseen=0.7) > 0


def test_a_sliver_fits_a_small_thing_better_than_a_large_one() -> None:
    left = np.array([True, False, False, False])
    large, small = course(-100.0, 10.0, 30.0, 30.0), course(20.0, 10.0, 30.0, 30.0)
    sliver = (26.0, 10.0, 30.0, 30.0)
    assert fit(small, *sliver, hidden=left) > fit(large, *sliver, hidden=left) + 0.1
    assert fit(large, *sliver, hidden=OPEN) == 0


@pytest.mark.parametrize("side", range(4))
def test_what_is_hidden_does_not_swell(side: int) -> None:
    """A side that nobody sees follows the one opposite, whatever it did when it was seen."""
    rate = np.zeros(4)
    rate[side] = -150.0 if side < 2 else 150.0
    thing, hidden = course(100.0, 100.0, 140.0, 130.0, rate=tuple(rate)), np.arange(4) == side
    first, sizes = thing.sides.copy(), []
    for _ in range(60):
        thing.ahead(1 / 15)
        seen = np.where(hidden, first + [5, 5, -5, -5], first)
        thing.look(seen, hidden)
        thing.unseen(1 / 15, hidden)
        sizes.append(float((thing.sides[2:] - thing.sides[:2])[side % 2]))
    grown = sizes[-1] - float((first[2:] - first[:2])[side % 2])
    assert 0 < grown < 75 and sizes[-1] - sizes[-20] < 1


def test_the_flow_of_a_narrow_thing_says_little() -> None:
    """It is half that of the road: a wide thing takes it on, a narrow one keeps more of its own way."""
    kept = []
    for width in (64.0, 6.0):
        thing = course(100.0, 100.0, 100.0 + width, 100.0 + 4096 / width, rate=(60.0, 0.0, 60.0, 0.0))
        thing.carry(np.zeros(4), 1 / 15)
        kept.append(float(thing.rate[0]))
    assert kept[0] < 0.5 * kept[1] and kept[1] <= 60


colours = hnp.arrays(np.float64, (4, 3), elements=st.floats(0, 255))


@given(colours, colours)
def test_colours_speak_against_each_other_both_ways(ours: np.ndarray, theirs: np.ndarray) -> None:
    against = unlike(ours[:, None], theirs[None])
    assert np.array_equal(against, unlike(theirs[:, None], ours[None]).T)
    assert (against >= 0).all() and (against <= 0.6).all()
    assert (unlike(ours, ours) == 0).all()
