"""Objects made of real files of every kind keep to the standard's tables."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from medical_valid import complaints
from test_medical_identity import banana, corpus

FORMATS = ("dcm,labelmap", "sc")  # what has a place in a patient can be all of them, any picture the last


def check(sources: list[Path], out: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for source in sources:
        for names in FORMATS:
            words = ["segment", source, "--with", "depth,normals", "--domain", "medical", "--format", names]
            banana(*words, "--overwrite", "-o", out)
        for path in out.rglob("*.dcm"):
            assert complaints(path) == [], (source, path.name)
            counts[path.name.split(".")[-2]] += 1
        shutil.rmtree(out, ignore_errors=True)
    return counts


def test_objects_of_a_few_files_are_valid(shared_data, tmp_path):
    counts = check(corpus(shared_data)[11::80], tmp_path / "out")
    assert counts.total() >= 15 and counts["masks"] and counts["sc"], counts


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_objects_of_the_whole_corpus_are_valid(shared_data, tmp_path, capsys):
    counts = check(corpus(shared_data), tmp_path / "out")
    with capsys.disabled():
        print(f"\nvalid objects: {dict(counts)}")  # noqa: T201
    assert counts.total() >= 1500
