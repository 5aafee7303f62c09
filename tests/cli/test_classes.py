"""--classes through the command line, into real formats, with a model that answers class 0, 1, 2 in turn."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from banana_adapters.common.npy import NPY
from banana_adapters.common.png import PNG
from banana_adapters.common.stats import CSV
from PIL import Image

from .fakes import Fakes, banana, complaint, put, tree

STREET_START = "classes: road, sidewalk, building, wall, fence, pole, traffic light,"


def world() -> Fakes:
    fakes = Fakes()
    fakes.formats |= {"png": PNG, "npy": NPY, "csv": CSV}  # type: ignore[dict-item]
    return fakes


def test_all_formats_follow_and_the_sidecar_tells(here: Path) -> None:
    put(here / "a.clip")
    words = ("--classes", "SIDEWALK,traffic light", "--format", "png,npy,csv", "-o", "out")
    assert banana(world(), "segment", "a.clip", *words, "--with", "depth") == 0
    for index, found in enumerate((255, 1, 255)):
        assert (np.load(here / "out/a.masks.npy")[index] == found).all()
        picture = Image.open(sorted((here / "out/a.masks").glob("*.png"))[index])
        assert (np.asarray(picture) == found).all()
    rows = list(csv.DictReader((here / "out/a.masks.csv").read_text().splitlines()))
    assert {r["class"] for r in rows if int(r["pixels"])} == {"sidewalk"}
    assert [r["share"] for r in rows if r["class"] == "sidewalk"] == ["0", "1", "0"]
    facts = json.loads((here / "out/a.masks.csv.json").read_text())
    assert facts["classes"]["kept"] == ["sidewalk", "traffic light"]
    assert facts["options"]["classes"] == ["sidewalk", "traffic light"]
    assert len(facts["classes"]["classes"]) == 20


def test_without_it_nothing_is_left_out(here: Path) -> None:
    put(here / "a.clip", "FAKE 4 6 1")
    assert banana(world(), "segment", "a.clip", "--format", "npy") == 0
    assert (np.load(next(here.glob("a.masks*.npy"))) == 0).all()
    facts = json.loads(next(here.glob("a.masks*.json")).read_text())
    assert "kept" not in facts["classes"] and facts["options"]["classes"] == []


@pytest.mark.parametrize("names", ["lorry", "car,lorry", "bone"])
def test_an_unknown_name_is_refused_before_anything_is_read(here: Path, names: str) -> None:
    put(here / "a.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip", "--classes", names, "-o", "out") == 2
    wrong = names.split(",")[-1]
    assert complaint(fakes)[0] == f"banana: --classes '{wrong}': is no class of street inputs"
    assert STREET_START in complaint(fakes)[1] and len(complaint(fakes)) == 2
    assert not fakes.engine.asked and tree(here) == {"a.clip"}


def test_where_it_cannot_act_it_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(here / "a.clip")
    put(here / "b.scan", "SCAN")
    none, empty, mixed = Fakes(), Fakes(), Fakes()
    assert banana(none, "depth", "a.clip", "--classes", "car") == 2
    assert complaint(none)[0] == "banana: --classes: no masks are written"
    assert banana(empty, "segment", "a.clip", "--classes", " , ") == 2
    assert complaint(empty)[0] == "banana: --classes: names no class"
    monkeypatch.setenv("BANANA_CLASSES", "car")  # a habit for many runs, not a wish for this one
    assert banana(Fakes(), "depth", "a.clip", "-o", "habit") == 0
    assert banana(Fakes(), "depth", "a.clip", "--with", "segment", "-o", "both") == 0
    assert json.loads((here / "both/a.masks.txt.json").read_text())["classes"]["kept"] == ["car"]
    assert "classes" not in json.loads((here / "habit/a.depth.txt.json").read_text())
    assert banana(mixed, "segment", "a.clip", "--classes", "road", "--classes", "bone") == 2


def test_resume_knows_other_classes_from_the_same(here: Path) -> None:
    put(here / "a.clip")
    words = ("segment", "a.clip", "--resume", "-o", "out", "--classes")
    first, same, other = Fakes(), Fakes(), Fakes()
    assert banana(first, *words, "car,road") == 0 and len(first.engine.asked) == 3
    assert banana(same, *words, "Road,CAR") == 0 and not same.engine.asked
    assert banana(other, *words, "car") == 5 and not other.engine.asked


def test_names_may_stand_in_a_settings_file(here: Path) -> None:
    put(here / "a.clip")
    (here / "banana.toml").write_text('[segment]\nclasses = ["car", "traffic light"]\n')
    assert banana(Fakes(), "segment", "a.clip") == 0
    kept = json.loads((here / "a.masks.txt.json").read_text())["classes"]["kept"]
    assert kept == ["traffic light", "car"]
