"""``banana export`` and ``--attention`` as words on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from banana_cli.adapter import SourceInfo
from banana_cli.cli.main import main
from banana_cli.errors import UsageError
from banana_cli.model.weights import load_model, save_model
from banana_cli.options import Runtime
from banana_cli.types import LayerKind
from tests.model.test_net import make_net

from .fakes import FakeFormat, Fakes, banana, complaint, put


@pytest.fixture
def weights(here: Path) -> Path:
    path = here / "mine.safetensors"
    save_model(path, make_net(), {})
    return path


def test_smaller_weights_land_beside_and_load(
    weights: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(weights), "--format", "int8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    made = here / "mine-int8.safetensors"
    assert (told["path"], told["bytes"]) == (made.name, made.stat().st_size)
    assert load_model(made)[1]["bits"] == 8
    assert main(["export", str(weights), "--format", "int8"]) == 5  # it stands there already
    assert main(["export", str(weights), "--format", "int4", "-o", str(made), "--overwrite"]) == 0
    assert load_model(made)[1]["bits"] == 4
    assert not [p.name for p in here.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--format", "int8", "--size", "64x64"], 2, "--size: cannot act on int8 weights"),
        (["--format", "int8", "--budget", "0.3"], 2, "--budget: cannot act on int8 weights"),
        (["--format", "int8", "-o", "x.onnx"], 2, "does not end in .safetensors"),
        (["--size", "100x64", "-o", "x.onnx"], 2, "is no multiple of 32"),
        (["--size", "64", "-o", "x.onnx"], 2, "is no ROWSxCOLUMNS"),
        (["--budget", "0", "-o", "x.onnx"], 2, "is no share"),
        (["missing.safetensors", "--format", "int8"], 6, "there are no weights here"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, says: str
) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    assert main(["export", *words]) == status
    assert says in capsys.readouterr().err
    assert not list(here.iterdir())


class _Large(FakeFormat):
    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        raise UsageError("is too large", subject=info.item.subject, remedy="r")


def test_attention_is_planned_beside_the_outputs_and_reaches_the_engine(here: Path) -> None:
    put(here / "drive.clip")
    fakes = Fakes()
    fakes.formats["attention"] = FakeFormat(name="attention", ending=".png", layers=frozenset())
    words = ("segment", "drive.clip", "--with", "depth", "--attention")
    assert banana(fakes, *words, "--dry-run", "--json") == 0
    assert [(r["layer"], r["path"]) for r in fakes.records][-1] == ("attention", "drive.attention.png")
    assert len(fakes.records) == 3
    assert banana(fakes, *words, "--runtime", "onnx") == 0
    assert (fakes.loaded[0].attention, fakes.loaded[0].runtime) == (True, Runtime.ONNX)
    assert not (here / "drive.attention.png").exists()  # this engine tells nothing of it
    assert (here / "drive.masks.txt").exists()
    assert "drive.attention.png is not written" in fakes.err.getvalue()


def test_attention_that_cannot_be_shown_is_refused_before_anything_is_read(here: Path) -> None:
    put(here / "drive.clip")
    fakes = Fakes()
    fakes.formats["attention"] = _Large(name="attention", layers=frozenset())
    assert banana(fakes, "segment", "drive.clip", "--attention") == 2
    assert "--attention" in complaint(fakes)[0] and not fakes.engine.asked
    assert banana(Fakes(), "segment", "drive.clip", "--format", "attention") == 2
