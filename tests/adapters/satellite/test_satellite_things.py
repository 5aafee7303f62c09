"""Touching buildings are outlines of their own, and one that the work cuts into parts is one outline."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from banana_adapters.satellite import SATELLITE, outlines
from banana_adapters.satellite.sinks import GEOJSON
from banana_adapters.satellite.things import colours
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scenery import copied, item_of, job_of, write_scene

from banana_cli.classes import AERIAL
from banana_cli.options import RasterOptions, ReadOptions
from banana_cli.pieces import Pieces
from banana_cli.types import Frame, Instances, LayerKind, Mask, Prediction, Window

BUILDING = AERIAL.id_of("building")
LAND = AERIAL.id_of("land")
RNG = np.random.default_rng(6)
KINDS = st.sampled_from([0, 0, 1, 2, 3, 4, 5])


def town(rows: int, cols: int) -> np.ndarray:
    """Houses of 31 x 47 pixels in rows without gaps, streets between the rows; a number each."""
    truth = np.zeros((rows, cols), np.int64)
    for i in range(0, rows - 45, 45):
        for j in range(0, cols - 47, 47):
            truth[i + 5 : i + 36, j : j + 47] = truth.max() + 1
    return truth


def told(frame: Frame, truth: np.ndarray) -> Prediction:
    """What a model would say of a part: houses numbered anew in each."""
    window, core = frame.provenance.window, frame.provenance.core
    assert window is not None and core is not None
    here = np.zeros(frame.shape, np.int64)
    inside = core.within(window).slices()
    here[inside] = truth[core.slices()]
    numbers = RNG.permutation(np.unique(here[here > 0]))
    ids = np.zeros(frame.shape, np.uint16)
    for k, number in enumerate(numbers, start=1):
        ids[here == number] = k
    mask = copied(frame).get(Mask)
    classes = np.where(truth[window.slices()] > 0, BUILDING, LAND).astype(np.uint8)
    things = Instances(ids=ids, classes=(BUILDING,) * len(numbers), scores=(1.0,) * len(numbers))
    return Prediction(layers=(replace(mask, ids=classes),), tokens_kept=1, seconds={}, instances=things)


@contextmanager
def features(folder: Path, truth: np.ndarray):
    scene = write_scene(folder / "s.tif", np.full((1, *truth.shape), 9, np.uint8))
    asked = ReadOptions(layers=frozenset({LayerKind.MASKS}), raster=RasterOptions(tile=448))
    with (
        SATELLITE.open(item_of(scene), asked) as source,
        GEOJSON.open(folder / "m.geojson", job_of(source.info, LayerKind.MASKS)) as sink,
    ):
        for frame in source:
            sink.write(frame, told(frame, truth))
        sink.finish()
    yield json.loads((folder / "m.geojson").read_text())["features"]


@pytest.mark.parametrize("strip_px", [20_000_000, 1000 * 170])
def test_each_house_of_a_row_is_one_feature(
    tmp_path: Path, strip_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlines, "STRIP_PX", strip_px)
    truth = town(1100, 1000)
    with features(tmp_path, truth) as found:
        houses = [f["properties"] for f in found if f["properties"]["class"] == "building"]
        assert len(houses) == truth.max() > 400
        assert {h["pixels"] for h in houses} == {31 * 47}
        shapes = np.array([shapely.from_geojson(json.dumps(f["geometry"])) for f in found])
        assert shapely.is_valid(shapes).all() and shapely.coverage_is_valid(shapes)


def test_crumbs_that_the_model_numbered_apart_are_no_features(tmp_path: Path) -> None:
    """Single pixels and pairs that belong to no house or to another one, inside and at the edge of houses."""
    truth = town(600, 500)
    crumbed = truth.copy()
    for top, left in ((20, 20), (70, 100), (5, 60), (35, 300)):
        crumbed[top, left] = truth.max() + 1 + left
        crumbed[top : top + 1, left + 3 : left + 5] = truth[top, left] + 1
    crumbed[25, 200] = 1
    with features(tmp_path, crumbed) as found:
        houses = [f["properties"]["pixels"] for f in found if f["properties"]["class"] == "building"]
        assert len(houses) == truth.max() and set(houses) == {31 * 47}


@given(arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=KINDS))
@settings(max_examples=100, deadline=None)
def test_things_that_touch_have_different_colours(things: np.ndarray) -> None:
    found = colours(things)
    assert np.array_equal(found > 0, things > 0)
    for one, two, a, b in (
        (things[1:], things[:-1], found[1:], found[:-1]),
        (things[:, 1:], things[:, :-1], found[:, 1:], found[:, :-1]),
    ):
        both = (one > 0) & (two > 0)
        assert ((one == two) == (a == b))[both].all()


def test_what_hardly_meets_stays_apart_and_a_missing_part_joins_nothing() -> None:
    things, whole = Pieces(20), (slice(None), slice(None))

    def part(top: int, row: list[int]) -> np.ndarray:
        ids = np.array([row] * 5, np.uint16)
        found = Instances(ids=ids, classes=(1,) * max(row), scores=(1.0,) * max(row))
        return things.number(Window(top=top, left=0, height=5, width=20), found, whole)

    first = part(0, [1] * 10 + [0] * 2 + [2] * 8)
    second = part(5, [1] * 9 + [0] * 7 + [2] * 4)
    later = part(15, [1] * 20)
    ids = np.full((5, 20), 1, np.uint8)
    one, two, three = (things.whole(numbers, ids) for numbers in (first, second, later))
    assert one[0, 0] == two[0, 0]  # 9 of 10 pixels meet
    assert one[0, -1] == two[0, -1]  # 4 of 8
    assert one[0, 0] != one[0, -1] and three[0, 0] not in np.unique([one, two])
    assert not things.whole(first, ids + 1).any()
