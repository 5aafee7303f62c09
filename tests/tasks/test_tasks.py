"""Tasks decode raw maps, never answer outside ``valid``, and paint with fixed ranges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from banana_cli import adapter, codec
from banana_cli.adapter import Look
from banana_cli.classes import AERIAL, STREET
from banana_cli.tasks.depth import DEPTH
from banana_cli.tasks.normals import NORMALS
from banana_cli.tasks.segment import SEGMENT
from banana_cli.types import (
    NO_CLASS,
    Band,
    Depth,
    DepthKind,
    Frame,
    Json,
    LayerKind,
    Mask,
    Modality,
    Normals,
    Pitch,
    Provenance,
    RawMaps,
    ShapeError,
    Unit,
    View,
)

LOOK = Look(depth_near=2.0, depth_far=100.0)


class Nowhere:
    def focal_px(self) -> float | None:
        return None

    def pitch(self) -> Pitch | None:
        return None

    def describe(self) -> dict[str, Json]:
        return {}


def frame_of(valid: np.ndarray) -> Frame:
    return Frame(
        pixels=np.zeros((1, *valid.shape), np.float32),
        valid=valid,
        bands=(Band(name="grey", unit="1"),),
        views=(View(band=0, low=0, high=1),),
        modality=Modality.STREET,
        geometry=Nowhere(),
        provenance=Provenance(source="test", index=0),
    )


VALID = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


def test_the_tasks_are_found_by_their_names() -> None:
    found = adapter.tasks()
    assert {name: task.layer for name, task in found.items()} == {
        "segment": LayerKind.MASKS,
        "depth": LayerKind.DEPTH,
        "normals": LayerKind.NORMALS,
    }
    assert all(task.name == name for name, task in found.items())


@settings(deadline=None)
@given(VALID, st.integers(0, 2**32 - 1))
def test_segment_is_argmax_where_valid(valid: np.ndarray, seed: int) -> None:
    logits = np.random.default_rng(seed).integers(-3, 3, (len(AERIAL), *valid.shape)).astype(np.float32)
    mask = SEGMENT.decode(RawMaps(logits=logits), frame_of(valid), AERIAL)
    assert isinstance(mask, Mask)
    assert np.array_equal(mask.ids[valid], logits.argmax(axis=0)[valid])
    assert (mask.ids[~valid] == NO_CLASS).all() and np.array_equal(mask.valid, valid)


def test_segment_gives_no_answer_where_no_class_is_possible() -> None:
    logits = np.full((len(AERIAL), 1, 2), -np.inf, np.float32)
    logits[3, 0, 1] = -50
    mask = SEGMENT.decode(RawMaps(logits=logits), frame_of(np.ones((1, 2), bool)), AERIAL)
    assert isinstance(mask, Mask)
    assert mask.ids.tolist() == [[NO_CLASS, 3]] and mask.valid.tolist() == [[False, True]]


@settings(deadline=None)
@given(VALID, st.integers(0, 2**32 - 1))
def test_depth_is_passed_where_valid_and_finite(valid: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=valid.shape).astype(np.float32)
    values[rng.random(valid.shape) < 0.2] = np.nan
    raw = RawMaps(depth=values, depth_kind=DepthKind.RELATIVE, unit=Unit.ONE, note="test")
    depth = DEPTH.decode(raw, frame_of(valid), STREET)
    assert isinstance(depth, Depth)
    want = valid & np.isfinite(values)
    assert np.array_equal(depth.valid, want)
    assert np.array_equal(depth.values[want], values[want]) and np.isnan(depth.values[~want]).all()
    assert (depth.depth_kind, depth.unit, depth.note) == (DepthKind.RELATIVE, Unit.ONE, "test")


@settings(deadline=None)
@given(VALID, st.integers(0, 2**32 - 1))
def test_normals_become_unit_vectors_where_they_have_a_direction(valid: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    xyz = rng.normal(scale=10, size=(3, *valid.shape)).astype(np.float32)
    xyz[:, rng.random(valid.shape) < 0.2] = 0
    xyz[:, rng.random(valid.shape) < 0.1] = np.nan
    normals = NORMALS.decode(RawMaps(normals=xyz), frame_of(valid), STREET)
    assert isinstance(normals, Normals)
    want = valid & np.isfinite(xyz).all(axis=0) & (xyz != 0).any(axis=0)
    assert np.array_equal(normals.valid, want)
    assert np.allclose(np.linalg.norm(normals.xyz, axis=0)[want], 1, atol=1e-5)
    assert (normals.xyz[:, ~want] == 0).all()
    assert ((normals.xyz * np.nan_to_num(xyz)).sum(axis=0)[want] > 0).all()


@pytest.mark.parametrize("task", [SEGMENT, DEPTH, NORMALS], ids=lambda t: t.name)
def test_maps_that_are_missing_or_of_another_size_are_refused(task: adapter.Task) -> None:
    frame = frame_of(np.ones((4, 5), bool))
    other = RawMaps(
        logits=np.zeros((len(STREET), 5, 4), np.float32),
        depth=np.zeros((5, 4), np.float32),
        normals=np.zeros((3, 5, 4), np.float32),
    )
    for raw in (RawMaps(), other):
        with pytest.raises(ShapeError):
            task.decode(raw, frame, STREET)


def depth_of(values: list[float], unit: Unit = Unit.METRE, note: str = "") -> Depth:
    array = np.array([values], np.float32)
    kind = DepthKind.RELATIVE if unit is Unit.ONE else DepthKind.METRIC
    return Depth(values=array, valid=np.isfinite(array), depth_kind=kind, unit=unit, note=note)


def test_near_is_red_far_is_blue_and_nothing_is_black() -> None:
    rgb = DEPTH.paint(depth_of([2.0, 1.0, 100.0, 500.0, np.nan]), LOOK)[0].astype(int)
    near, nearer, far, farther, nothing = rgb
    assert near[0] > near[2] and far[2] > far[0]
    assert (near == nearer).all() and (far == farther).all() and (nothing == 0).all()


@pytest.mark.parametrize(("unit", "note"), [(Unit.METRE, codec.HEIGHT_NOTE), (Unit.MILLIMETRE, "")])
def test_heights_and_millimetres_get_lighter_linearly(unit: Unit, note: str) -> None:
    rgb = DEPTH.paint(depth_of([2, 26.5, 51, 75.5, 100], unit, note), LOOK)[0]
    lightness = rgb @ np.array([0.3, 0.6, 0.1])
    assert (np.diff(lightness) > 10).all()


def test_colours_of_a_value_do_not_depend_on_its_neighbours() -> None:
    alone = DEPTH.paint(depth_of([7.0]), LOOK)[0, 0]
    among = DEPTH.paint(depth_of([0.1, 7.0, 1e6]), LOOK)[0, 1]
    assert (alone == among).all()


def test_relative_depth_has_its_own_range() -> None:
    rgb = DEPTH.paint(depth_of([0.0, 1.0], Unit.ONE), LOOK)[0].astype(int)
    assert np.abs(rgb[0] - rgb[1]).sum() > 200


def test_masks_are_painted_with_the_palette_and_normals_with_their_code() -> None:
    ids = np.array([[0, 10, NO_CLASS]], np.uint8)
    mask = Mask(ids=ids, valid=ids != NO_CLASS, table=STREET)
    assert SEGMENT.paint(mask, LOOK)[0].tolist() == [[128, 64, 128], [70, 130, 180], [0, 0, 0]]
    facing = Normals(xyz=np.array([[[0]], [[0]], [[-1]]], np.float32), valid=np.ones((1, 1), bool))
    assert NORMALS.paint(facing, LOOK)[0, 0].tolist() == [128, 128, 255]


@given(VALID, st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_confidence_of_a_scene_is_the_softmax_of_the_answer(valid: np.ndarray, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 4, (len(AERIAL), *valid.shape)).astype(np.float32)
    logits[5] = -np.inf
    scene = replace(frame_of(valid), modality=Modality.AERIAL)
    mask = SEGMENT.decode(RawMaps(logits=logits), scene, AERIAL)
    assert isinstance(mask, Mask)
    assert mask.confidence is not None
    share = np.exp(logits.astype(np.float64)).max(axis=0) / np.exp(logits.astype(np.float64)).sum(axis=0)
    np.testing.assert_allclose(mask.confidence[valid] / 255, share[valid], atol=0.002 + 1e-6)
    assert not mask.confidence[~valid].any()


def test_a_street_pays_for_no_confidence() -> None:
    valid = np.ones((3, 4), np.bool_)
    mask = SEGMENT.decode(RawMaps(logits=np.zeros((len(STREET), 3, 4), np.float32)), frame_of(valid), STREET)
    assert isinstance(mask, Mask)
    assert mask.confidence is None


def test_confidence_has_the_shape_of_the_mask() -> None:
    ids, valid = np.zeros((3, 4), np.uint8), np.ones((3, 4), np.bool_)
    with pytest.raises(ShapeError, match="confidence"):
        Mask(ids=ids, valid=valid, table=AERIAL, confidence=np.zeros((4, 3), np.uint8))
