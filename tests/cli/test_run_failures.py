"""What goes wrong in a run is told in two lines, has its exit code, and harms nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from banana_cli.types import LayerKind

from .fakes import Fakes, Terminal, banana, complaint, put, tree

MASKS, DEPTH, NORMALS = LayerKind.MASKS, LayerKind.DEPTH, LayerKind.NORMALS


def test_bad_inputs_are_told_and_the_others_done(here: Path) -> None:
    put(here / "empty.clip", "")
    put(here / "other.clip", "GIF89a")
    put(here / "good.clip")
    fakes = Fakes()
    words = ("segment", "missing.clip", "empty.clip", "other.clip", "good.clip", "-o", "out")
    assert banana(fakes, *words) == 3
    assert [line.split(":")[1].strip() for line in complaint(fakes) if line.startswith("banana:")] == [
        "missing.clip",
        "empty.clip",
        "other.clip",
    ]
    assert sum(line.startswith("  try: ") for line in complaint(fakes)) == 3
    assert "good.masks.txt" in tree(here / "out")


def test_no_usable_input(here: Path) -> None:
    put(here / "bad.clip", "FAKE 4 6 2 bad=all")
    (here / "folder").mkdir()
    fakes = Fakes()
    assert banana(fakes, "segment", "bad.clip", "folder") == 4
    assert len(complaint(fakes)) >= 4
    assert tree(here) == {"bad.clip"}
    assert banana(Fakes(), "segment") == 2


def test_truncated_input_leaves_what_was_good_and_says_so(here: Path) -> None:
    put(here / "cut.clip", "FAKE 4 6 5 cut=3")
    assert banana(Fakes(), "depth", "cut.clip") == 3
    facts = json.loads((here / "cut.depth.txt.json").read_text())
    assert facts["complete"] is False and facts["frames_done"] == 3
    assert (here / "cut.depth.txt").read_text().endswith("end")


def test_bad_frames_are_counted(here: Path) -> None:
    put(here / "holes.clip", "FAKE 4 6 5 bad=2")
    fakes = Fakes()
    assert banana(fakes, "depth", "holes.clip") == 3
    facts = json.loads((here / "holes.depth.txt.json").read_text())
    assert (facts["complete"], facts["frames_done"], facts["frames_failed"]) == (False, 4, 1)
    assert "1 of 5 frames could not be read (is damaged)" in fakes.err.getvalue()


def test_frames_lost_in_one_go_are_not_counted_twice(here: Path) -> None:
    put(here / "short.clip", "FAKE 4 6 5 bad=4 lost=109")
    fakes = Fakes()
    assert banana(fakes, "depth", "short.clip") == 3
    assert json.loads((here / "short.depth.txt.json").read_text())["frames_failed"] == 109
    assert "short.clip: parts of it could not be read (is damaged)" in fakes.err.getvalue()


@pytest.mark.parametrize("script", ["FAKE 4 6 5 bad=all", "FAKE 4 6 5 cut=0", "FAKE 4 6 5 lacks=depth"])
def test_a_failed_input_is_two_lines(here: Path, script: str) -> None:
    put(here / "a.clip", script)
    fakes, seen = Fakes(), Fakes()
    assert banana(fakes, "depth", "a.clip") == 4
    assert len(complaint(fakes)) == 2 and complaint(fakes)[1].startswith("  try: ")
    seen.err = Terminal()
    assert banana(seen, "depth", "a.clip") == 4
    assert "0 outputs" in seen.err.getvalue()


def test_on_error_stop_leaves_nothing_of_a_broken_input(here: Path) -> None:
    put(here / "a.clip", "FAKE 4 6 5 cut=3")
    put(here / "b.clip")
    fakes = Fakes()
    assert banana(fakes, "depth", "a.clip", "b.clip", "--on-error", "stop", "-o", "out") == 3
    assert not (here / "out").exists() or tree(here / "out") == set()


def test_max_failures_stops(here: Path) -> None:
    for name in "abc":
        put(here / f"{name}.clip", "FAKE 4 6 5 cut=0")
    put(here / "d.clip")
    fakes = Fakes()
    assert banana(fakes, "depth", *(f"{n}.clip" for n in "abcd"), "--max-failures", "2") == 3
    assert not fakes.engine.asked


def test_a_full_disk_is_exit_5_and_leaves_no_part(here: Path) -> None:
    put(here / "a.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip", "--format", "full,txt", "-o", "out") == 5
    assert tree(here / "out") == set()
    assert complaint(fakes)[0] == "banana: out/a.masks.full: cannot write (No space left on device)"


def test_a_file_where_the_folder_should_be(here: Path) -> None:
    put(here / "a.clip")
    put(here / "out", "a file")
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip", "-o", "out/deep") == 5
    assert len(complaint(fakes)) == 2 and not fakes.engine.asked


def test_no_permission(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(here / "a.clip")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert banana(Fakes(), "segment", "a.clip", "-o", "out") == 5
    assert tree(here) == {"a.clip"}


def test_missing_weights_are_exit_6_before_anything_is_written(here: Path) -> None:
    put(here / "a.clip")
    fakes = Fakes()
    fakes.weights_missing = True
    assert banana(fakes, "segment", "a.clip", "-o", "out") == 6
    assert complaint(fakes) == ["banana: weights: missing", "  try: reinstall"]
    assert not (here / "out").exists()
