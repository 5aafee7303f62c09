"""segment, depth and normals from words to files, in a world of fakes: names, streams, exit codes."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from banana_cli.types import LayerKind
from banana_cli.weights_index import sha256_of

from .fakes import Fakes, banana, complaint, put, tree

MASKS, DEPTH, NORMALS = LayerKind.MASKS, LayerKind.DEPTH, LayerKind.NORMALS


def test_one_input_three_layers_one_pass(here: Path) -> None:
    put(here / "drive.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "drive.clip", "--with", "depth,normals", "-o", "out") == 0
    assert tree(here / "out") == {
        *(f"drive.{kind}.txt{more}" for kind in LayerKind for more in ("", ".aux", ".json")),
        "run.json",
    }
    assert [kinds for _, kinds in fakes.engine.asked] == [frozenset(LayerKind)] * 3
    assert (here / "out/drive.depth.txt").read_text().splitlines() == [
        "0 (4, 6)",
        "1 (4, 6)",
        "2 (4, 6)",
        "end",
    ]
    assert fakes.out.text == ""


def test_sidecar_says_all(here: Path) -> None:
    put(here / "drive.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "drive.clip", "--budget", "0.5", "--side", "1024") == 0
    assert fakes.loaded[0].side == 1024
    facts = json.loads((here / "drive.masks.txt.json").read_text(), parse_constant=pytest.fail)
    assert facts["schema"] == "banana-output-1" and facts["complete"] is True
    assert facts["input"] == {"name": "drive.clip", "files": 1, "bytes": 10}
    assert facts["encoding"] == {"kind": "metric", "unit": "m", "scale": None}
    assert facts["geometry"] == {"pitch_m": 2.0, "skew": None}
    assert facts["model"]["weights_sha256"] == "0" * 64
    assert facts["tokens_kept"] == 0.5 and facts["frames_done"] == 3 and facts["frames_failed"] == 0
    assert facts["options"]["budget"] == 0.5 and facts["options"]["side"] == 1024
    assert facts["notes"] == {"focal": "guessed"}
    assert facts["classes"]["classes"][0] == {"id": 0, "name": "road", "rgb": [128, 64, 128]}
    assert set(facts["seconds"]) == {"decode", "load", "infer", "infer.model", "encode"}
    assert str(here) not in (here / "drive.masks.txt.json").read_text()


def test_each_format_counts_its_own_frames(here: Path) -> None:
    put(here / "a.clip")
    assert banana(Fakes(), "segment", "a.clip", "--format", "txt,maskonly") == 0
    for name in ("a.masks.txt.json", "a.masks.mo.json"):
        assert json.loads((here / name).read_text())["frames_done"] == 3


def test_run_json_closes_a_run(here: Path) -> None:
    put(here / "a.clip")
    put(here / "b.clip", "FAKE 4 6 3 cut=0")
    assert banana(Fakes(), "depth", "a.clip", "b.clip", "-o", "out") == 3
    facts = json.loads((here / "out/run.json").read_text())
    assert facts["outputs"] == ["a.depth.txt"] and facts["exit_status"] == 3
    assert facts["failures"] == [{"input": "b.clip", "error": "ends too early", "remedy": "copy it again"}]


def test_a_folder_is_mirrored_and_strangers_are_passed_over(here: Path) -> None:
    put(here / "in/a.clip")
    put(here / "in/deep/er/b.clip")
    put(here / "in/notes.md", "hello")
    put(here / "in/.hidden/c.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "in", "-o", "out") == 0
    outputs = {name for name in tree(here / "out") if name.endswith(".txt")}
    assert outputs == {"a.masks.txt", "deep/er/b.masks.txt"}
    assert "1 file of another kind" in fakes.err.getvalue()


def test_a_folder_whose_files_were_all_named_before_it_is_no_failure(here: Path) -> None:
    put(here / "in/a.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "in/a.clip", "in", "-o", "out") == 0
    assert "holds nothing" not in fakes.err.getvalue()


def test_outputs_of_an_earlier_run_are_no_inputs(here: Path) -> None:
    put(here / "a.clip")
    assert banana(Fakes(), "segment", ".") == 0
    (here / "a.masks.txt").write_text("FAKE 1 1 1")
    assert banana(Fakes(), "segment", ".", "--overwrite") == 0
    assert not (here / "a.masks.masks.txt").exists()


def test_quoted_globs_lists_and_stdin(here: Path) -> None:
    for name in ("a.clip", "b.clip", "c d.clip", "e.clip"):
        put(here / name)
    (here / "list").write_bytes(b"c d.clip\0e.clip\0")
    fakes = Fakes(stdin=b"FAKE 2 2 1")
    assert banana(fakes, "segment", "[ab].clip", "-", "--files-from", "list", "-0", "-o", "out") == 0
    outputs = {name for name in tree(here / "out") if name.endswith(".txt")}
    assert outputs == {f"{stem}.masks.txt" for stem in ("a", "b", "c d", "e", "stdin")}


def test_output_names_a_file_and_its_suffix_the_format(here: Path) -> None:
    put(here / "a.clip")
    assert banana(Fakes(), "segment", "a.clip", "-o", "sub/classes.mo") == 0
    assert "sub/classes.mo" in tree(here)
    assert json.loads((here / "sub/classes.mo.json").read_text())["format"] == "maskonly"


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "one.txt", "--with", "depth"),
        ("-o", "one.jpeg"),
        ("-o", "one.txt", "--format", "frames,txt"),
        ("-o", "one.mo", "--format", "txt"),
    ],
)
def test_a_file_name_that_cannot_be(here: Path, words: tuple[str, ...]) -> None:
    put(here / "a.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip", *words) == 2
    assert len(complaint(fakes)) == 2
    assert tree(here) == {"a.clip"}


def test_stdout_holds_the_bytes_and_nothing_else(here: Path) -> None:
    put(here / "a.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip", "-o", "-") == 0
    assert fakes.out.text == "0 (4, 6)\n1 (4, 6)\n2 (4, 6)\nend"
    assert tree(here) == {"a.clip"}


@pytest.mark.parametrize(
    ("words", "stdin", "status"),
    [
        (("depth", "-", "-o", "out"), b"FAKE 2 2 3 cut=0", 4),
        (("depth", "-", "-o", "out"), b"FAKE 2 2 3 cut=1", 3),
        (("depth", "-", "-o", "out", "--json"), b"FAKE 2 2 3 notice=1", 0),
        (("depth", "-", "-o", "out"), b"not known", 4),
        (("depth", "-", "-o", "out", "--format", "scan"), b"FAKE 2 2 3", 2),
        (("depth", "-", "-o", "-"), b"FAKE 2 2 3 cut=1", 3),
        (("depth", "-", "-o", "-", "--format", "full"), b"FAKE 2 2 3", 5),
        (("depth", "-", "-o", "-", "--dry-run"), b"FAKE 2 2 3", 0),
        (("info", "-", "--json"), b"FAKE 2 2 3", 0),
        (("info", "-"), b"FAKE 2 2 3", 0),
    ],
)
def test_stdin_and_stdout_are_never_called_by_their_temporary_names(
    here: Path, words: tuple[str, ...], stdin: bytes, status: int
) -> None:
    fakes = Fakes(stdin=stdin)
    assert banana(fakes, *words) == status
    kept = [p.read_text() for p in here.rglob("*") if p.is_file()]
    for text in (fakes.out.text, fakes.err.getvalue(), *kept):
        assert "banana-" not in text.replace("banana-output-1", "").replace("banana-run-1", "")
        assert tempfile.gettempdir() not in text
    if status:
        assert "banana: -: " in fakes.err.getvalue()


@pytest.mark.parametrize("words", [("--with", "depth"), ("--format", "frames"), ("--json",)])
def test_stdout_takes_one_file(here: Path, words: tuple[str, ...]) -> None:
    put(here / "a.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip", "-o", "-", *words) == 2
    assert fakes.out.text == "" and len(complaint(fakes)) == 2


def test_json_is_one_object_a_line_for_each_output(here: Path) -> None:
    put(here / "a.clip")
    put(here / "b.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip", "b.clip", "--with", "depth", "--json", "-o", "out") == 0
    assert [Path(str(r["path"])).name for r in fakes.records] == [
        "a.masks.txt",
        "a.depth.txt",
        "b.masks.txt",
        "b.depth.txt",
    ]
    assert all(Path(str(r["sidecar"])).is_file() for r in fakes.records)


def test_dry_run_says_the_plan_and_writes_nothing(here: Path) -> None:
    put(here / "a.clip")
    fakes = Fakes()
    fakes.weights_missing = True
    assert banana(fakes, "segment", "a.clip", "--with", "depth", "--dry-run", "-o", "out") == 0
    assert fakes.out.text.splitlines() == [
        "a.clip -> out/a.masks.txt (txt)",
        "a.clip -> out/a.depth.txt (txt)",
    ]
    assert tree(here) == {"a.clip"} and not fakes.loaded


def test_nothing_is_overwritten(here: Path) -> None:
    put(here / "a.clip")
    put(here / "b.clip")
    put(here / "b.masks.txt", "mine")
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip", "b.clip") == 5
    assert complaint(fakes)[0] == "banana: b.masks.txt: exists already"
    assert tree(here) == {"a.clip", "b.clip", "b.masks.txt"} and not fakes.engine.asked
    assert banana(Fakes(), "segment", "a.clip", "b.clip", "--overwrite") == 0
    assert (here / "b.masks.txt").read_text() != "mine"


def test_resume_leaves_out_what_is_done(here: Path) -> None:
    put(here / "a.clip")
    put(here / "b.clip", "FAKE 4 6 3 cut=2")
    assert banana(Fakes(), "segment", "a.clip", "b.clip") == 3
    again = Fakes()
    put(here / "b.clip", "FAKE 4 6 3")
    assert banana(again, "segment", "a.clip", "b.clip", "--resume") == 0
    assert [index for index, _ in again.engine.asked] == [0, 1, 2]
    assert json.loads((here / "b.masks.txt.json").read_text())["complete"] is True
    idle = Fakes()
    assert banana(idle, "segment", "a.clip", "b.clip", "--resume") == 0
    assert not idle.loaded
    assert banana(Fakes(), "segment", "a.clip", "--resume", "--budget", "0.1") == 5


def test_resume_does_not_take_the_outputs_of_other_weights_for_its_own(here: Path) -> None:
    put(here / "a.clip")
    weights = put(here / "w.safetensors", "first")
    fakes = Fakes()
    fakes.engine.facts = replace(fakes.engine.facts, weights_sha256=sha256_of(weights))
    words = ("segment", "a.clip", "--weights", "w.safetensors")
    assert banana(fakes, *words) == 0
    assert banana(Fakes(), *words, "--resume") == 0
    put(weights, "second")
    again = Fakes()
    assert banana(again, *words, "--resume") == 5
    assert complaint(again)[0] == "banana: a.masks.txt: exists already"


def test_a_strangers_file_in_the_sidecars_place_is_told_before_the_work(here: Path) -> None:
    put(here / "a.clip")
    put(here / "a.masks.txt.json", '{"mine": 1}')
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip") == 5
    assert complaint(fakes)[0] == "banana: a.masks.txt.json: exists already" and not fakes.engine.asked


def test_two_inputs_with_one_output_are_refused_before_the_first_is_read(here: Path) -> None:
    put(here / "x/a.clip")
    put(here / "y/a.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "x/a.clip", "y/a.clip", "-o", "out") == 2
    assert "x/a.clip" in complaint(fakes)[0] and "y/a.clip" in complaint(fakes)[0]
    assert len(complaint(fakes)) == 2 and not (here / "out").exists() and not fakes.engine.asked


def test_an_output_never_replaces_an_input(here: Path) -> None:
    put(here / "a.clip")
    put(here / "a.masks.txt")
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip", "a.masks.txt", "--overwrite") == 2
    assert (here / "a.masks.txt").read_text() == "FAKE 4 6 3"


def test_measured_layers_ask_no_model(here: Path) -> None:
    put(here / "a.clip", "FAKE 4 6 2 measured=depth")
    fakes = Fakes()
    assert banana(fakes, "depth", "a.clip") == 0
    assert not fakes.loaded
    assert json.loads((here / "a.depth.txt.json").read_text())["model"]["name"] == "none (measured)"


def test_frames_may_answer_some_layers_only(here: Path) -> None:
    put(here / "a.clip", "FAKE 4 6 2 only=depth")
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip", "--with", "depth", "-o", "out") == 0
    assert {kinds for _, kinds in fakes.engine.asked} == {frozenset({DEPTH})}
    assert tree(here / "out") == {"a.depth.txt", "a.depth.txt.aux", "a.depth.txt.json", "run.json"}
    assert "no frame gives masks" in fakes.err.getvalue()


def test_a_layer_that_an_input_cannot_give(here: Path) -> None:
    put(here / "a.clip", "FAKE 4 6 2 lacks=depth")
    assert banana(Fakes(), "depth", "a.clip") == 4
    put(here / "b.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "--with", "depth", "a.clip", "b.clip") == 0
    notes = [line for line in complaint(fakes) if line.startswith("note: ")]
    assert notes == ["note: a.clip: gives no depth (fake clip)"]


@pytest.mark.parametrize(
    ("words", "subject"),
    [
        (("--window", "lung"), "--window"),
        (("--budget", "0"), "--budget"),
        (("--budget", "nan"), "--budget"),
        (("--budget", "much"), ""),
        (("--side", "4000"), "--side"),
        (("--device", "toaster"), "--device"),
        (("--precision", "fp7"), ""),
        (("--vid-stride", "0"), "--vid-stride"),
        (("--start", "3", "--end", "2"), "--end"),
        (("--with", "smell"), "--with smell"),
        (("--format", "docx"), "--format docx"),
        (("--format", "scan"), "a.clip: its masks (driving, fake clip) cannot be scan"),
        (("--format", "maskonly", "--with", "depth"), "a.clip: its depth (driving, fake clip) cannot be"),
        (("--shard", "3/2"), "--shard"),
        (("--bidx", "0"), "--bidx"),
        (("--nodata", "blue"), "--nodata"),
        (("--no-such-option",), ""),
    ],
)
def test_usage_errors_are_two_lines_and_exit_2(here: Path, words: tuple[str, ...], subject: str) -> None:
    put(here / "a.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip", *words) == 2
    first, second = complaint(fakes)
    assert first.startswith(f"banana: {subject}") and second.startswith("  try: ")
    assert tree(here) == {"a.clip"}


def test_a_reading_option_is_fine_if_one_domain_obeys(here: Path) -> None:
    put(here / "a.clip")
    put(here / "b.dcm", "SCAN 4 4 1")
    fakes = Fakes()
    fakes.adapters["scan"] = fakes.adapters["scan"]
    put(here / "b.dcm", "FAKE 4 4 1")
    assert banana(fakes, "segment", "a.clip", "b.dcm", "--fps", "5") == 0


def test_shards_share_the_inputs(here: Path) -> None:
    for name in "abcde":
        put(here / f"{name}.clip")
    for part in ("1/2", "2/2"):
        assert banana(Fakes(), "segment", ".", "--shard", part, "-o", "out") == 0
    names = {name for name in tree(here / "out") if name.endswith(".txt")}
    assert names == {f"{n}.masks.txt" for n in "abcde"}
    assert {"run.1-of-2.json", "run.2-of-2.json"} <= tree(here / "out")


def test_settings_files_and_environment(here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(here / "a.clip")
    put(tmp_path / "config-home/banana/config.toml", 'budget = 0.1\nseed = 7\ndevice = "mps"\n')
    put(here / "banana.toml", "budget = 0.2\n[segment]\nseed = 8\n[depth]\nseed = 9\n")

    def budget_and_seed(*words: str) -> tuple[float | None, int, str]:
        fakes = Fakes()
        assert banana(fakes, "segment", "a.clip", "--overwrite", *words) == 0
        (options,) = fakes.loaded
        return options.budget, options.seed, options.device

    assert budget_and_seed() == (0.2, 8, "mps")
    monkeypatch.setenv("BANANA_BUDGET", "0.3")
    assert budget_and_seed() == (0.3, 8, "mps")
    assert budget_and_seed("--budget", "0.4", "--seed", "1") == (0.4, 1, "mps")


@pytest.mark.parametrize(
    "text", ["budget = ", "bugdet = 0.1", "[segment]\nwith_ = 1\nnone = 2", "output = 'x'"]
)
def test_settings_that_cannot_be(here: Path, text: str) -> None:
    put(here / "banana.toml", text)
    fakes = Fakes()
    assert banana(fakes, "segment", "a.clip") == 2
    assert len(complaint(fakes)) == 2 and "banana.toml" in complaint(fakes)[0]


def test_a_reading_option_of_a_settings_file_is_no_error(here: Path) -> None:
    put(here / "a.clip")
    put(here / "banana.toml", 'window = "lung"\n')
    assert banana(Fakes(), "segment", "a.clip") == 0


def test_quiet_says_nothing_and_verbose_says_times(here: Path) -> None:
    put(here / "a.clip", "FAKE 4 6 2 notice=1")
    quiet, loud = Fakes(), Fakes()
    assert banana(quiet, "segment", "a.clip", "-q") == 0 and quiet.err.getvalue() == ""
    assert banana(loud, "segment", "a.clip", "-v", "--overwrite") == 0
    assert "focal length unknown" in loud.err.getvalue() and "infer.model:" in loud.err.getvalue()
    assert "50% of tokens kept" in loud.err.getvalue()


def test_names_of_hostile_files_are_shown_without_control_characters(here: Path) -> None:
    put(here / "evil\x1b[31m\n.clip", "junk")
    fakes = Fakes()
    assert banana(fakes, "segment", str(here / "evil\x1b[31m\n.clip")) == 4
    assert "\x1b" not in fakes.err.getvalue() and len(complaint(fakes)) == 2


def test_interrupt_leaves_no_part(here: Path) -> None:
    put(here / "a.clip")
    fakes = Fakes()

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    fakes.engine.predict = interrupted  # type: ignore[method-assign, assignment]
    assert banana(fakes, "segment", "a.clip", "-o", "out") == 130
    assert complaint(fakes)[-1] == "banana: interrupted"
    assert not (here / "out").exists() or tree(here / "out") == set()


def test_a_bug_keeps_its_traceback(here: Path) -> None:
    put(here / "a.clip")
    fakes = Fakes()

    def broken(*args: object) -> None:
        raise ZeroDivisionError

    fakes.engine.predict = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(ZeroDivisionError):
        banana(fakes, "segment", "a.clip", "-o", "out")
    assert not (here / "out").exists() or tree(here / "out") == set()
