"""A scene whose run was ended: the next one asks the model for the rest only, and writes the same files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from banana_adapters.common.stats import CSV
from banana_adapters.satellite import SATELLITE
from banana_adapters.satellite.sinks import GEOJSON, HTML, TIF
from scenery import copied, item_of, write_scene

from banana_cli.atomic import bytes_of
from banana_cli.errors import ExitStatus
from banana_cli.events import Event, Notice
from banana_cli.options import RasterOptions, ReadOptions
from banana_cli.pipeline import Job, Output, RunResult, Settings, run
from banana_cli.types import Frame, LayerKind, ModelFacts, Prediction

FORMATS = (TIF, CSV, GEOJSON, HTML)
PARTS = 8
FACTS = ModelFacts(name="copy", weights_sha256="0" * 64, budget=1.0, precision="fp32", device="cpu")


class Copying:
    """A model that repeats the picture, and is switched off before it answers frame ``until``."""

    facts = FACTS

    def __init__(self, until: int = 99) -> None:
        self.asked: list[int] = []
        self._until = until

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        index = frame.provenance.index
        if index == self._until:
            raise KeyboardInterrupt
        self.asked.append(index)
        return copied(frame)


def walk(scene: Path, out: Path, model: Copying, *, resume: bool) -> tuple[RunResult, list[Event]]:
    outputs = tuple(
        Output(layer=kind, format=fmt, path=out / f"s.{kind.value}{fmt.suffix(kind, None)}")
        for fmt in FORMATS
        for kind in (LayerKind.MASKS, LayerKind.DEPTH)
        if kind in fmt.layers
    )
    read = ReadOptions(layers=frozenset(LayerKind), raster=RasterOptions(tile=448))
    events: list[Event] = []
    job = Job(item=item_of(scene), adapter=SATELLITE, outputs=outputs)
    return run([job], model, Settings(read=read, tasks={}, resume=resume), events.append), events


def products(folder: Path) -> dict[str, bytes]:
    return {
        p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".tif", ".csv", ".geojson", ".html")
    }


def scene_in(folder: Path) -> Path:
    data = np.random.default_rng(1).integers(0, 250, (3, 30, 40), np.uint8)
    return write_scene(folder / "s.tif", data.repeat(40, 1).repeat(40, 2))


def test_the_model_is_asked_for_the_rest_only(tmp_path: Path) -> None:
    scene = scene_in(tmp_path)
    whole = Copying()
    assert walk(scene, tmp_path / "whole", whole, resume=False)[0].status is ExitStatus.OK
    assert len(whole.asked) == PARTS and not list((tmp_path / "whole").glob(".*"))
    with pytest.raises(KeyboardInterrupt):
        walk(scene, tmp_path / "cut", Copying(until=6), resume=False)
    assert not products(tmp_path / "cut")
    rest = Copying()
    result, events = walk(scene, tmp_path / "cut", rest, resume=True)
    assert result.status is ExitStatus.OK and result.total.done == PARTS
    answered = PARTS - len(rest.asked)
    assert (
        rest.asked == list(range(answered, PARTS)) and 4 <= answered <= 6
    )  # two may have waited to be written
    assert any(isinstance(e, Notice) and f"{answered} of its parts" in e.message for e in events)
    assert products(tmp_path / "cut") == products(tmp_path / "whole")
    assert not list((tmp_path / "cut").glob(".*"))


def test_without_resume_and_for_another_scene_it_begins_anew(tmp_path: Path) -> None:
    scene = scene_in(tmp_path)
    for change in (False, True):
        with pytest.raises(KeyboardInterrupt):
            walk(scene, tmp_path / "cut", Copying(until=6), resume=False)
        if change:
            os.utime(scene, (1, 1))
        again = Copying()
        walk(scene, tmp_path / "cut", again, resume=change)
        assert len(again.asked) == PARTS
        for path in (tmp_path / "cut").iterdir():
            path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("bytes_", [1, 200_000, 1_200_000])
def test_a_process_killed_with_the_real_model_goes_on_to_the_same_files(tmp_path: Path, bytes_: int) -> None:
    scene = scene_in(tmp_path)
    words = [
        str(Path(sys.executable).with_name("banana")),
        "segment",
        str(scene),
        "--with",
        "depth",
        "--tile",
    ]
    words += ["448", "-q", "--format", "tif,csv", "-o"]
    subprocess.run([*words, str(tmp_path / "whole")], check=True)
    answers = tmp_path / "cut" / ".s.banana-work" / "answers"
    with subprocess.Popen([*words, str(tmp_path / "cut")]) as running:
        while running.poll() is None and bytes_of(answers) < bytes_:
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
    assert all(name.startswith(".") for name in products(tmp_path / "cut"))
    subprocess.run([*words, str(tmp_path / "cut"), "--resume"], check=True)
    assert products(tmp_path / "cut") == products(tmp_path / "whole")
