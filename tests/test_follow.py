"""Instances of a predictor's masks: numbered in clips, kept over a stop, filtered by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from banana_cli import keep
from banana_cli.classes import STREET
from banana_cli.follow import Follow
from banana_cli.types import Frame, LayerKind, Mask, ModelFacts, Prediction
from tests.test_infer_video import shot
from tests.tracking.stage import CAR, PERSON, SHAPE, Actor, play

MASKS = frozenset({LayerKind.MASKS})
ACTORS = (Actor(5, 20, 30, 14, (1.0, 0.0)), Actor(100, 40, 12, 30, (-1.0, 0.0), PERSON))


@dataclass
class Truth:
    """Answers with the masks of a stage; ``flow``: also how it moved."""

    flow: bool = True
    facts = ModelFacts(name="truth", weights_sha256="", budget=1.0, precision="fp32", device="cpu")
    remembered: Mapping[str, NDArray[np.generic]] | None = None

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        if LayerKind.MASKS not in kinds:
            return Prediction(layers=(), tokens_kept=0.0, seconds={})
        *_, now = play(ACTORS, frame.provenance.index + 1)
        ids = np.array([0, CAR, PERSON], np.uint8)[now.truth]
        mask = Mask(ids=ids, valid=np.ones(SHAPE, np.bool_), table=STREET)
        flow = now.flow[::2, ::2] / 2 if self.flow else None
        return Prediction(layers=(mask,), tokens_kept=0.0, seconds={}, flow=flow)

    def memory(self) -> Mapping[str, NDArray[np.generic]]:
        return {"inner": np.array(3)}

    def remember(self, memory: Mapping[str, NDArray[np.generic]]) -> None:
        self.remembered = memory


def at(index: int, clip: str | None = "a.mp4") -> Frame:
    return shot(np.full((3, *SHAPE), 0.5, np.float32), index, clip=clip)


@pytest.mark.parametrize("flow", [True, False])
def test_things_of_a_clip_keep_their_numbers(flow: bool) -> None:
    follow, numbers = Follow(Truth(flow=flow)), set()
    for index in range(20):
        things = follow.predict(at(index), MASKS).instances
        assert things is not None and things.ids.shape == SHAPE
        numbers.add((things.classes, things.tracks))
    assert len(numbers) == 1 and sorted(things.tracks) == [1, 2]


def test_pictures_have_things_but_no_tracks() -> None:
    things = Follow(Truth()).predict(at(0, clip=None), MASKS).instances
    assert things is not None and len(things) == 2 and things.tracks == ()


def test_without_masks_there_are_no_things() -> None:
    assert Follow(Truth()).predict(at(0), frozenset({LayerKind.DEPTH})).instances is None


def test_another_clip_begins_anew() -> None:
    follow = Follow(Truth())
    for index in (0, 1, 2):
        follow.predict(at(index), MASKS)
    things = follow.predict(at(0, clip="b.mp4"), MASKS).instances
    assert things is not None and sorted(things.tracks) == [1, 2]


def test_going_on_from_memory_equals_going_on(tmp_path: Path) -> None:
    one = Follow(Truth())
    for index in range(7):
        one.predict(at(index), MASKS)
    memory = one.memory()
    assert memory is not None
    np.savez(tmp_path / "memory.npz", **memory)
    inner = Truth()
    other = Follow(inner)
    with np.load(tmp_path / "memory.npz", allow_pickle=False) as stored:
        other.remember({key: stored[key] for key in stored.files})
    assert inner.remembered is not None and int(inner.remembered["inner"]) == 3
    for index in range(7, 14):
        a, b = (f.predict(at(index), MASKS).instances for f in (one, other))
        assert a is not None and b is not None
        assert np.array_equal(a.ids, b.ids) and a.tracks == b.tracks


def test_classes_that_are_not_kept_have_no_things() -> None:
    prediction = Follow(Truth()).predict(at(0), MASKS)
    things = keep.only(prediction, ("person",)).instances
    every = prediction.instances
    assert things is not None and every is not None and things.classes == (PERSON,)
    assert things.tracks == (every.tracks[every.classes.index(PERSON)],)
    assert np.array_equal(things.ids > 0, prediction.get(Mask).ids == PERSON)
    assert keep.only(replace(prediction, instances=None), ("person",)).instances is None
