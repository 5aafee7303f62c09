"""The engine tells things apart where it is asked to: by what the network says, else as connected parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from banana_cli.classes import AERIAL, STREET, thing_ids
from banana_cli.infer import Engine, EngineOptions
from banana_cli.infer_video import VideoEngine
from banana_cli.instances import components
from banana_cli.model.net import Features, Head, NetOutput
from banana_cli.train.things import things_truth
from banana_cli.types import F32, U16, Looks, Mask, Modality, Prediction
from tests.glass import DEPTH, FACTS, MASKS, Glass, frame_of

CAR, BUILDING = STREET.id_of("car"), AERIAL.id_of("building")


class Counting(Glass):
    """Sees things where the picture is red, and each one's middle at what green and blue say."""

    def __init__(self, *, knows: bool = True) -> None:
        super().__init__()
        self.knows = knows

    def counts(self, modality: Modality, heads: frozenset[Head]) -> bool:
        return self.knows and Head.THINGS in heads and bool(thing_ids(modality))

    def read(self, features: Features, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        out, image = super().read(features, modality, heads), features.f4
        street = modality is Modality.STREET
        if out.logits is not None:
            out.logits[:] = -9.0
            out.logits[:, CAR if street else BUILDING], out.logits[:, 1] = image[:, 0], 0.25
        assert (Head.THINGS in heads) <= self.knows
        heat = ((image[:, 0] - 0.7) / 0.3).clamp(0, 1)  # smaller where the picture was scaled
        things = torch.stack([heat, (image[:, 1] - 0.5), (image[:, 2] - 0.5)], 1)
        return replace(out, things=things if Head.THINGS in heads else None)


def engine(net: Glass, kind: type[Engine] = Engine, **options: object) -> Engine:
    return kind(net, FACTS, EngineOptions(**options))  # type: ignore[arg-type]


def pair(shape: tuple[int, int]) -> tuple[U16, F32]:
    """Two things that touch, and a picture that tells ``Counting`` of them."""
    ids = np.zeros(shape, np.uint16)
    middle = shape[1] // 2
    ids[10:29, middle - 25 : middle], ids[10:29, middle : middle + 31] = 1, 2
    truth = things_truth(ids)
    pixels = np.zeros((3, *shape), np.float32)
    pixels[0] = np.where(ids > 0, np.where(truth[0] == 1, 1.0, 0.7), 0.0)
    pixels[1:] = np.nan_to_num(truth[1:]) + 0.5
    return ids, pixels


def same(told: Prediction, ids: U16) -> bool:
    found = told.instances
    return (
        found is not None
        and all(len(np.unique(found.ids[ids == n])) == 1 for n in np.unique(ids))
        and len(found) == len(np.unique(ids)) - 1
    )


@pytest.mark.parametrize("modality", [Modality.STREET, Modality.AERIAL])
@pytest.mark.parametrize("tile", [None, 64])
def test_things_that_touch_are_told_apart(modality: Modality, tile: int | None) -> None:
    ids, pixels = pair((64, 128))
    told = engine(Counting(), instances=True, side=128, tile=tile, overlap=16).predict(
        frame_of(pixels, modality), MASKS
    )
    assert same(told, ids)
    assert told.instances is not None and set(told.instances.classes) == {
        CAR if modality is Modality.STREET else BUILDING
    }
    blind = engine(Counting(knows=False), instances=True, side=128, tile=tile, overlap=16)
    assert same(blind.predict(frame_of(pixels, modality), MASKS), (ids > 0).astype(np.uint16))


def test_a_finer_picture_has_the_same_things() -> None:
    ids, pixels = pair((64, 128))
    large = pixels.repeat(3, 1).repeat(3, 2)
    told = engine(Counting(), instances=True, side=128).predict(frame_of(large), MASKS)
    found = told.instances
    assert found is not None and len(found) == 2
    inner = np.zeros_like(ids)
    inner[12:27, 41:62], inner[12:27, 66:93] = 1, 2
    assert all(len(np.unique(found.ids[inner.repeat(3, 0).repeat(3, 1) == n])) == 1 for n in (1, 2))


def test_ways_of_a_scene_seen_smaller_are_longer() -> None:
    ids, pixels = pair((64, 128))
    large = pixels.repeat(2, 1).repeat(2, 2)
    frame = frame_of(large, Modality.AERIAL, looks=Looks(tile=128, overlap=32, shrink=2))
    found = engine(Counting(), instances=True).predict(frame, MASKS).instances
    assert found is not None and len(found) == 2
    inner = np.zeros_like(ids)
    inner[12:27, 41:62], inner[12:27, 66:93] = 1, 2
    assert all(len(np.unique(found.ids[inner.repeat(2, 0).repeat(2, 1) == n])) == 1 for n in (1, 2))


def test_nothing_is_counted_unless_somebody_asks() -> None:
    _, pixels = pair((64, 128))
    assert engine(Counting(), side=128).predict(frame_of(pixels), MASKS).instances is None
    asked = engine(Counting(), instances=True, side=128)
    assert asked.predict(frame_of(pixels), DEPTH).instances is None
    assert asked.predict(frame_of(pixels, Modality.XRAY), MASKS).instances is None


def test_layers_are_the_same_whether_things_are_counted_or_not() -> None:
    _, pixels = pair((64, 128))
    kinds = MASKS | DEPTH
    with_, without = (
        engine(Counting(), instances=on, side=128).predict(frame_of(pixels), kinds) for on in (True, False)
    )
    assert np.array_equal(with_.get(Mask).ids, without.get(Mask).ids)
    assert [layer.kind for layer in with_.layers] == [layer.kind for layer in without.layers]


def test_a_clip_has_things_too() -> None:
    ids, pixels = pair((64, 128))
    video = engine(Counting(), VideoEngine, instances=True, side=128)
    for index in range(3):
        frame = frame_of(pixels, clip="a")
        frame = replace(frame, provenance=replace(frame.provenance, index=index))
        assert same(video.predict(frame, MASKS), ids)


def test_a_network_that_knows_no_things_gives_connected_parts() -> None:
    _, pixels = pair((64, 128))
    frame = frame_of(pixels, Modality.AERIAL)
    told = engine(Glass(), instances=True).predict(frame, MASKS)
    mask = told.get(Mask)
    expected = components(mask.ids, thing_ids(Modality.AERIAL), 6, mask.confidence)
    assert told.instances is not None and np.array_equal(told.instances.ids, expected.ids)
