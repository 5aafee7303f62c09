"""COCO read back by pycocotools is what was written: pictures, clips, and scenes in blocks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from banana_adapters.common.coco import COCO
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from banana_cli import adapter
from banana_cli.adapter import SourceInfo
from banana_cli.classes import AERIAL, STREET, thing_ids
from banana_cli.errors import UsageError
from banana_cli.instances import components
from banana_cli.metrics.coco import items
from banana_cli.metrics.files import Kind
from banana_cli.runs import counts_of
from banana_cli.types import NO_CLASS, Domain, Instances, Json, LayerKind, Mask, Modality, Provenance

from .conftest import Case, Written, prediction

MASKS = LayerKind.MASKS
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # of pycocotools


def read(path: Path) -> dict[str, list[dict[str, Json]]]:
    facts: dict[str, list[dict[str, Json]]] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def drawn(facts: dict[str, list[dict[str, Json]]], image: int) -> np.ndarray:
    """(H, W) class ids of an image, 255 where no region is; regions must not overlap."""
    mine = [a for a in facts["annotations"] if a["image_id"] == image]
    size = mine[0]["segmentation"]["size"]  # type: ignore[index,call-overload]
    ids = np.full(size, 255, np.uint8)
    for one in mine:
        here = coco.decode(one["segmentation"]) == 1
        assert (ids[here] == 255).all() and here.sum() == one["area"]
        rows, cols = np.nonzero(here)
        box = [cols.min(), rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1]
        assert one["bbox"] == [float(v) for v in box]
        ids[here] = one["category_id"] - 1  # type: ignore[operator]
    return ids


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_runs_are_those_of_the_library(seed: int, rows: int, cols: int, most: int) -> None:
    numbers = np.random.default_rng(seed).integers(0, most + 1, (rows, cols))
    found = dict(counts_of(numbers))
    assert set(found) == set(np.unique(numbers[numbers > 0]))
    for number, runs in found.items():
        mine = coco.frPyObjects({"size": [rows, cols], "counts": runs}, rows, cols)
        assert mine == coco.encode(np.asfortranarray(numbers == number, np.uint8))


@pytest.mark.parametrize("domain", list(Domain))
def test_a_picture_comes_back(written: Written, domain: Domain) -> None:
    """Every class but a scan's background; things smaller than a speck are nobody."""
    case = Case(domain=domain, shape=(29, 41))
    path, facts = written(COCO, case, MASKS)
    assert path.name.endswith(".coco.json") and facts["encoding"] == "coco"
    told = read(path)
    truth = case.truth()[0]
    things = thing_ids(case.info.modality)
    found = drawn(told, 1)
    others = ~np.isin(
        truth.ids, [*things, truth.table.id_of("background")] if domain is Domain.MEDICAL else things
    )
    assert np.array_equal(found[others], truth.ids[others])
    assert set(np.unique(found[~others])) <= {255, *things}
    assert [c["name"] for c in told["categories"]] == list(truth.table.names)
    assert [c["id"] - 1 for c in told["categories"] if c["isthing"]] == list(things)  # type: ignore[operator]
    assert [i["file_name"] for i in told["images"]] == ["input.bin"]


def test_each_frame_of_a_clip_is_an_image(written: Written) -> None:
    case = Case(count=3)
    told = read(written(COCO, case, MASKS)[0])
    names = [i["file_name"] for i in told["images"]]
    assert names == ["input/000000.png", "input/000002.png", "input/000004.png"]
    assert [i["time_s"] for i in told["images"]] == [0.0, 0.1, 0.2]
    assert [a["id"] for a in told["annotations"]] == list(range(1, len(told["annotations"]) + 1))
    sky = STREET.id_of("sky")
    for image in (1, 2, 3):
        assert np.array_equal(drawn(told, image) == sky, case.truth(image - 1)[0].ids == sky)


def with_cars() -> tuple[Mask, Instances]:
    """Two cars that touch."""
    car = STREET.id_of("car")
    ids = np.zeros((20, 30), np.uint8)
    ids[5:12, 4:26] = car
    numbers = np.zeros((20, 30), np.uint16)
    numbers[5:12, 4:15], numbers[5:12, 15:26] = 1, 2
    mask = Mask(ids=ids, valid=np.ones((20, 30), bool), table=STREET)
    return mask, Instances(ids=numbers, classes=(car, car), scores=(0.75, 0.5))


def test_things_are_those_that_the_prediction_tells(tmp_path: Path) -> None:
    case, (mask, things) = Case(), with_cars()
    frame = next(case.frames())[0]
    path = tmp_path / "out.coco.json"
    with COCO.open(path, case.job(MASKS)) as sink:
        sink.write(frame, replace(prediction((mask,)), instances=things))
        sink.finish()
    cars = [a for a in read(path)["annotations"] if a["category_id"] == STREET.id_of("car") + 1]
    assert [c["score"] for c in cars] == [0.75, 0.5]
    for number, one in enumerate(cars, 1):
        assert np.array_equal(coco.decode(one["segmentation"]) == 1, things.ids == number)
    sheets = {item.kind: item.draw().values for item in items(path)}  # as banana eval reads it
    assert np.array_equal(sheets[Kind.MASKS], mask.ids)
    assert len(np.unique(sheets[Kind.INSTANCES])) == 3


def test_no_things_are_not_unknown_things(tmp_path: Path) -> None:
    """Somebody who has looked and found none is believed."""
    case, (mask, _) = Case(), with_cars()
    none = Instances(ids=np.zeros((20, 30), np.uint16), classes=(), scores=())
    for told, count in ((none, 0), (None, 1)):
        path = tmp_path / f"{count}.coco.json"
        with COCO.open(path, case.job(MASKS)) as sink:
            sink.write(next(case.frames())[0], replace(prediction((mask,)), instances=told))
            sink.finish()
        assert sum("score" in a for a in read(path)["annotations"]) == count


def test_a_thing_across_a_seam_is_one(tmp_path: Path) -> None:
    case = Case(domain=Domain.SATELLITE, shape=(29, 41), core=12)
    building, vehicle = AERIAL.id_of("building"), AERIAL.id_of("vehicle")
    ids = np.full(case.shape, AERIAL.id_of("land"), np.uint8)
    ids[5:27, 3:30], ids[2:4, 8:16], ids[27:29, 31:40] = building, vehicle, building
    whole = components(ids, thing_ids(Modality.AERIAL), 1)
    path = tmp_path / "out.coco.json"
    with COCO.open(path, case.job(MASKS)) as sink:
        for index, (window, core) in enumerate(case.windows()):
            place = Provenance(source="t", index=index, window=window, core=core, scene_shape=case.shape)
            mine = np.full((window.height, window.width), building, np.uint8)  # the halo says nonsense
            mine[core.within(window).slices()] = ids[core.slices()]
            mask = Mask(ids=mine, valid=np.ones(mine.shape, bool), table=AERIAL)
            here = np.full(mine.shape, NO_CLASS, np.uint8)
            here[core.within(window).slices()] = ids[core.slices()]
            things = components(here, thing_ids(Modality.AERIAL), 1)
            sink.write(case.frame(place, window), replace(prediction((mask,)), instances=things))
        sink.finish()
    told = read(path)
    found = [a for a in told["annotations"] if "score" in a]
    assert len(told["images"]) == 1 and len(found) == len(whole) == 3
    drawings = [coco.decode(a["segmentation"]) == 1 for a in found]
    assert all(any(np.array_equal(d, whole.ids == n) for d in drawings) for n in (1, 2, 3))


def test_the_format_is_found_and_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    assert adapter.formats()["coco"] is COCO
    info: SourceInfo = Case().info
    assert COCO.suffix(MASKS, info) == ".coco.json"
    monkeypatch.setattr("banana_adapters.common.coco.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pycocotools"):
        COCO.suffix(MASKS, info)
