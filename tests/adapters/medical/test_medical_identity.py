"""Whose pictures they are stays in the source: not one byte of an output, a log or a file name tells it."""

from __future__ import annotations

import csv
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from banana_adapters.medical import MEDICAL, sinks
from medical_made import SECRET_BIRTH, SECRET_ID, SECRET_NAME, answer, frames_of, options, save, save_series

from banana_cli.adapter import formats, tasks
from banana_cli.cli.main import main
from banana_cli.types import Frame, LayerKind, ModelFacts, Prediction
from tests.cli.fakes import Fakes

NAMES = "PatientName", "PatientID", "PatientBirthDate"
SHORT = 6  # bytes; what is shorter stands in pixels by chance, and is looked for as a word in texts
VOXELS = np.pad(np.full((4, 10, 12), 100), 2, constant_values=-1000)
GENERAL, PLACED = ("png", "npy", "overlay", "csv", "json", "sc"), ("dcm", "labelmap", "nii")


@dataclass
class Engine:
    """Answers every frame; shown masks and depths are of no matter here."""

    facts: ModelFacts = ModelFacts(
        name="nano", weights_sha256="ab" * 32, budget=0.27, precision="fp32", device="cpu"
    )

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        given = answer(frame)
        return replace(given, layers=tuple(layer for layer in given.layers if layer.kind in kinds))


def banana(*words: str | Path) -> tuple[int, str]:
    """Exit status, and everything that was said on either stream."""
    fakes = Fakes()
    every = {f.name: f for f in vars(sinks).values() if hasattr(f, "suffix") and not isinstance(f, type)}
    by_layer = {task.layer: task for task in tasks().values()}
    world = replace(
        fakes.world(),
        adapters={"medical": MEDICAL},
        formats=formats() | every,
        tasks=by_layer,
        load_engine=lambda _: Engine(),
    )
    status = main([str(w) for w in words], world)
    return status, fakes.out.text + fakes.err.getvalue()


def outputs(source: Path, out: Path, *more: str) -> tuple[Counter[int], str]:
    """All layers of an input in all formats; the exit statuses, and what was said."""
    statuses: Counter[int] = Counter()
    said = ""
    for names in (GENERAL, PLACED):
        words = ["segment", source, "--with", "depth,normals", "--format", ",".join(names), "-v", "--json"]
        status, text = banana(*words, "--overwrite", "-o", out / names[0], *more)
        statuses[status] += 1
        said += text.replace(str(source), "")
    status, text = banana("info", source, "-v", *more)
    return statuses, said + text.replace(str(source), "")


def secrets(source: Path) -> Iterator[str]:
    """What the source says of a person, whole and in its parts, as written and as text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(source, force=True, stop_before_pixels=True)
        for keyword in NAMES:
            value = str(ds.get(keyword) or "")
            yield from {value, *re.split(r"[\^=\s]+", value)}


def betrayals(needles: set[str], out: Path, said: str) -> list[str]:
    found = [f"said {n}" for n in needles if re.search(rf"\b{re.escape(n)}\b", said)]
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        data = path.read_bytes()
        words = data.decode("utf-8", "ignore") + path.name if path.suffix in (".json", ".csv") else path.name
        for needle in needles:
            raw = {needle.encode(c, "ignore") for c in ("utf-8", "latin-1", "utf-16-le", "utf-16-be")}
            if any(len(r) >= SHORT and r in data for r in raw):
                found.append(f"{needle} in {path.name}")
            if re.search(rf"(?<![\w.]){re.escape(needle)}(?![\w.])", words) and not needle.isdigit():
                found.append(f"{needle} in the text of {path.name}")
    return found


def telling(values: Iterator[str]) -> set[str]:
    """Values that tell of a person: no single letter, no row of zeros, no word that outputs use."""
    own = {"none", "test", "modality", "image", "picture", "and", "name", "first", "last", "jpeg", "two"}
    return {v for v in values if len(set(v)) > 1 and len(v) > 2 and v.lower() not in own}


def check(sources: list[Path], folder: Path) -> Counter[int]:
    statuses: Counter[int] = Counter()
    for k, source in enumerate(sources):
        copy = folder / f"in{k}" / f"{k:04d}.dcm"  # the user's own file names are the user's
        copy.parent.mkdir()
        shutil.copy(source, copy)
        out = folder / f"out{k}"
        done, said = outputs(copy, out)
        statuses += done
        assert "Traceback" not in said and not done[1], source
        assert betrayals(telling(secrets(copy)), out, said) == [], source
        shutil.rmtree(out, ignore_errors=True)
    return statuses


def corpus(shared: Path) -> list[Path]:
    folder = shared / "corpus" / "dicom"
    with (folder / "manifest.csv").open() as file:
        return [folder / row["file"] for row in csv.DictReader(file)]


def test_a_series_s_outputs_tell_nobody_s_name(tmp_path):
    save_series(tmp_path / "in" / "ct", VOXELS, BurnedInAnnotation="YES")
    statuses, said = outputs(tmp_path / "in" / "ct", tmp_path / "out")
    assert statuses == {0: 2} and len(list((tmp_path / "out").rglob("*"))) > 30
    needles = {SECRET_NAME, *SECRET_NAME.split("^"), SECRET_ID, SECRET_BIRTH}
    assert betrayals(needles, tmp_path / "out", said) == []
    assert "burned into the pixels" in said
    texts = [p.read_text() for p in (tmp_path / "out").rglob("*.json")]
    assert texts and not any(uid in text for text in texts for uid in ("1.2.3.1", "1.2.3.2", "1.2.3.3"))


def test_the_search_finds_what_is_there(tmp_path):
    save_series(tmp_path / "in" / "ct", VOXELS)
    _, said = outputs(tmp_path / "in" / "ct", tmp_path / "out", "--no-anonymize")
    found = betrayals({SECRET_NAME, SECRET_ID, SECRET_BIRTH}, tmp_path / "out", said)
    assert len(found) >= 9 and all(".dcm" in line for line in found)
    assert "not anonymized" in said
    sidecars = (p for p in (tmp_path / "out").rglob("*.masks.*json") if not p.name.endswith(".stats.json"))
    texts = [p.read_text() for p in sidecars]
    assert len(texts) >= 6 and all('"1.2.3.2"' in text for text in texts)


@pytest.mark.parametrize("keep", [False, True])
def test_dicom_outputs_name_the_patient_only_where_asked(tmp_path, keep):
    name = "Müller^Jürgen"
    save_series(tmp_path / "in" / "ct", VOXELS, SpecificCharacterSet="ISO_IR 100", PatientName=name)
    more = ("--no-anonymize",) if keep else ()
    outputs(tmp_path / "in" / "ct", tmp_path / "out", *more)
    written = sorted((tmp_path / "out").rglob("*.dcm"))
    assert len(written) >= 4
    for path in written:
        ds = pydicom.dcmread(path)
        assert (ds.PatientName == name, ds.PatientID == SECRET_ID) == (keep, keep)


def test_names_in_places_for_uids_and_descriptions_do_not_come_out(tmp_path):
    tags = {
        "SeriesDescription": f"scan of {SECRET_NAME}",
        "StudyDescription": SECRET_NAME,
        "ProtocolName": SECRET_ID,
        "ImageComments": SECRET_NAME,
        "OperatorsName": SECRET_NAME,
        "SeriesNumber": 471100,
        "PatientID": "P-471100",
    }
    save(tmp_path / "a.dcm", np.zeros((16, 16), np.int16), **tags)
    _, said = outputs(tmp_path / "a.dcm", tmp_path / "out")
    needles = {*SECRET_NAME.split("^"), SECRET_ID, SECRET_BIRTH, "471100"}
    assert betrayals(needles, tmp_path / "out", said) == []
    assert len(frames_of(next(iter(MEDICAL.group([tmp_path / "a.dcm"], root=None))), options())) == 1


@pytest.mark.timeout(200)
def test_every_hundred_and_twentieth_file_of_the_corpus(shared_data, tmp_path):
    assert check(corpus(shared_data)[7::120], tmp_path)[0] >= 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_whole_corpus(shared_data, tmp_path, capsys):
    statuses = check(corpus(shared_data), tmp_path)
    with capsys.disabled():
        print(f"\nexit statuses: {dict(statuses)}")  # noqa: T201
    assert statuses[0] >= 300
