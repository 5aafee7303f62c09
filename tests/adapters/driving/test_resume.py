"""A run that is killed goes on where it was, and what it writes is what an undisturbed run writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from banana_adapters.driving import DRIVING
from banana_adapters.driving.sinks import FRAMES, MKV, MP4

from banana_cli import pipeline
from banana_cli.adapter import Unreadable
from banana_cli.errors import OutputError
from banana_cli.events import FrameDone, Notice
from banana_cli.options import Done, ReadOptions, VideoOptions
from banana_cli.pipeline import Job, Output, RunResult, Settings, run
from banana_cli.types import Depth, Frame, LayerKind, ModelFacts, Prediction
from banana_cli.weights_index import DEFAULT_MODEL, resolve, sha256_of
from banana_cli.work import Memory, Work
from tests.conftest import REPOSITORY
from tests.here import Here

from .clips import Recipe, make
from .fakes import TASKS, predict

LAYERS = (LayerKind.MASKS, LayerKind.DEPTH)
SIZE = (96, 128)  # libx264 itself may differ from run to run below that
FORMS = (
    (LayerKind.MASKS, MP4, ".mp4"),
    (LayerKind.DEPTH, MKV, ".mkv"),
    (LayerKind.DEPTH, FRAMES, ""),
)
SEGMENT, FRAMES_IN_ALL = 40, 110


@pytest.fixture(autouse=True, scope="module")
def _short_segments() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "SEGMENT_FRAMES", SEGMENT)
        yield


Whole = tuple[Path, dict[str, bytes]]


class Killed(BaseException):
    """As sudden as a kill, but the test lives on."""


@dataclass
class Model:
    """Answers depend on all frames so far, as steady outputs do; dies at frame ``dies``."""

    dies: int | None = None
    level: float = 0.0
    asked: list[int] = field(default_factory=list)
    facts: ModelFacts = ModelFacts(
        name="fake", weights_sha256="0" * 64, budget=0.5, precision="fp32", device="cpu"
    )

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        if self.dies is not None and frame.provenance.index >= self.dies:
            raise Killed
        self.asked.append(frame.provenance.index)
        self.level = 0.9 * self.level + float(frame.pixels.mean())
        made = predict(frame)
        np.add(made.get(Depth).values, np.float32(self.level % 7), out=made.get(Depth).values)
        return made

    def memory(self) -> Memory:
        return {"level": np.array(self.level)}

    def remember(self, memory: Memory) -> None:
        self.level = float(memory["level"])


@dataclass
class Early(Model):
    """Begins with frames before it is asked for them; what it keeps in mind then is that of later frames."""

    begun: list[int] = field(default_factory=list)
    most: int = 0

    def expect(self, frame: Frame, kinds: frozenset[LayerKind]) -> None:
        assert kinds == frozenset(LAYERS)
        self.begun.append(frame.provenance.index)
        self.most = max(self.most, len(self.begun))

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        assert self.begun.pop(0) == frame.provenance.index
        return super().predict(frame, kinds)

    def memory(self) -> Memory:
        assert not self.begun
        return super().memory()


def clip(folder: Path, name: str = "long.mp4", frames: int = FRAMES_IN_ALL, **changes: object) -> Path:
    pts = [i * 512 + (i % 7) * 30 for i in range(frames)]
    return make(folder / name, Recipe(size=SIZE, pts=pts, audio="aac", **changes))


def go(path: Path, out: Path, model: Model, *, resume: bool = True, **part: object) -> tuple[RunResult, list]:
    (item,) = DRIVING.group([path], root=None)
    outputs = tuple(
        Output(layer=kind, format=form, path=out / f"{path.stem}.{kind.value}{ending}")
        for kind, form, ending in FORMS
    )
    read = ReadOptions(layers=frozenset(LAYERS), video=VideoOptions(**part))
    settings = Settings(read=read, tasks=TASKS, resume=resume)
    events: list[object] = []
    return run([Job(item=item, adapter=DRIVING, outputs=outputs)], model, settings, events.append), events


def tree(folder: Path) -> dict[str, bytes]:
    """All files, sidecars without what is never twice the same."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.name.endswith((".mp4.json", ".mkv.json", "masks.json", "depth.json")):
            facts = json.loads(data)
            del facts["seconds"]
            data = json.dumps(facts).encode()
        found[str(path.relative_to(folder))] = data
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    path = clip(folder)
    go(path, folder / "out", Model(), resume=False)
    made = tree(folder / "out")
    assert len([n for n in made if n.endswith(".json")]) == 4 and not any("work" in n for n in made)
    return path, made


@pytest.mark.parametrize("dies", [10, 43, 79, 83, 109])
def test_killed_and_resumed_is_the_same(whole: Whole, dies: int, tmp_path: Path) -> None:
    path, truth = whole
    with pytest.raises(Killed):
        go(path, tmp_path, Model(dies=dies))
    left = list(tmp_path.glob(".*"))
    assert [p.name for p in left] == ([".long.banana-work"] if dies > SEGMENT else [])
    model = Model()
    result, events = go(path, tmp_path, model)
    first = dies // SEGMENT * SEGMENT
    assert model.asked == list(range(first, FRAMES_IN_ALL))
    assert result.total.done == FRAMES_IN_ALL and not result.failures
    assert any(isinstance(e, Notice) and "goes on" in e.message for e in events) is (first > 0)
    assert tree(tmp_path) == truth


def test_a_model_that_begins_early_writes_the_same_and_is_remembered_the_same(
    whole: Whole, tmp_path: Path
) -> None:
    path, truth = whole
    with pytest.raises(Killed):
        go(path, tmp_path, Early(dies=83))
    model = Early()
    go(path, tmp_path, model)
    assert model.asked == list(range(80, FRAMES_IN_ALL))
    assert (model.begun, model.most) == ([], 2)
    assert tree(tmp_path) == truth


def test_killed_twice(whole: Whole, tmp_path: Path) -> None:
    path, truth = whole
    for dies in (50, 50, 95):
        with pytest.raises(Killed):
            go(path, tmp_path, Model(dies=dies))
    go(path, tmp_path, Model())
    assert tree(tmp_path) == truth


def test_without_resume_all_is_done_anew(whole: Whole, tmp_path: Path) -> None:
    path, truth = whole
    with pytest.raises(Killed):
        go(path, tmp_path, Model(dies=50))
    model = Model()
    go(path, tmp_path, model, resume=False)
    assert model.asked[0] == 0 and tree(tmp_path) == truth


def test_other_options_begin_anew(whole: Whole, tmp_path: Path) -> None:
    path, _ = whole
    other = ModelFacts(name="fake", weights_sha256="1" * 64, budget=0.5, precision="fp32", device="cpu")
    with pytest.raises(Killed):
        go(path, tmp_path, Model(dies=50))
    model = Model(facts=other)
    go(path, tmp_path, model)
    assert model.asked[0] == 0


@pytest.mark.parametrize("part", [{"vid_stride": 2}, {"start_s": 0.5}, {"fps": 20.0}])
def test_parts_of_a_clip_go_on_too(part: dict[str, float], tmp_path: Path) -> None:
    path = clip(tmp_path)
    go(path, tmp_path / "whole", Model(), **part)
    with pytest.raises(Killed):
        go(path, tmp_path / "out", Model(dies=100), **part)
    model = Model()
    go(path, tmp_path / "out", model, **part)
    assert SEGMENT <= model.asked[0] < 100
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_damaged_frames_are_counted_once(tmp_path: Path) -> None:
    path = clip(tmp_path, "bad.mp4")
    data = bytearray(path.read_bytes())
    for at in (len(data) // 8, len(data) // 5):
        data[at : at + 300] = bytes(300)
    path.write_bytes(data)
    first, _ = go(path, tmp_path / "whole", Model())
    with pytest.raises(Killed):
        go(path, tmp_path / "out", Model(dies=100))
    again, events = go(path, tmp_path / "out", Model())
    assert first.total.failed == again.total.failed > 0
    assert first.failures[0].error.message == again.failures[0].error.message
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_reader_goes_on_by_seeking_and_counts_the_same(name: str, tmp_path: Path) -> None:
    containers = {"mp4": "mp4", "mkv": "matroska", "ts": "mpegts"}
    kind = containers[name[2:]]
    base = {"mp4": Fraction(1, 15360), "mkv": Fraction(1, 1000), "ts": Fraction(1, 90000)}[name[2:]]
    pts = [round(i * Fraction(1, 30) / base) for i in range(200)]
    path = make(tmp_path / name, Recipe(container=kind, base=base, pts=pts, size=SIZE))
    (item,) = DRIVING.group([path], root=None)

    def frames(done: Done | None) -> list[Frame]:
        with DRIVING.open(item, ReadOptions(layers=frozenset(), done=done)) as source:
            got = list(source)
        assert not any(isinstance(f, Unreadable) for f in got)
        return [f for f in got if isinstance(f, Frame)]

    every = frames(None)
    for index in (0, 31, 64, 150, 198):
        for clean in (True, False):
            rest = frames(Done(index=index, clean=clean))
            assert [f.provenance for f in rest] == [f.provenance for f in every[index + 1 :]]
            assert np.array_equal(rest[0].pixels, every[index + 1].pixels)


def test_two_runs_do_not_share_a_work_folder(tmp_path: Path) -> None:
    one = Work.beside(tmp_path / "a.masks.mp4", "a", {})
    two = Work.beside(tmp_path / "a.masks.mp4", "a", {})
    one.hold()
    with pytest.raises(OutputError, match="another run"):
        two.hold()
    one.close()
    two.hold()
    two.clear()
    assert not list(tmp_path.iterdir())


def test_a_strangers_folder_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / ".a.banana-work"
    folder.mkdir()
    (folder / "diary.txt").write_text("mine")
    with pytest.raises(OutputError, match="no work folder"):
        Work.beside(tmp_path / "a.masks.mp4", "a", {}).hold()
    assert (folder / "diary.txt").exists()


@pytest.mark.parametrize("kind", [Model, Early])
def test_frames_are_told_in_order(kind: type[Model], tmp_path: Path) -> None:
    path = clip(tmp_path, frames=40)
    _, events = go(path, tmp_path / "out", kind())
    assert [e.index for e in events if isinstance(e, FrameDone)] == list(range(40))


SCRIPT = """
import sys
from banana_cli import pipeline
from tests.adapters.driving.test_resume import command
pipeline.SEGMENT_FRAMES = 40
command(sys.argv[1], sys.argv[2])
"""


def command(clip_name: str, out: str) -> None:
    """The command line with the model of this file."""
    facts = replace(Model.facts, weights_sha256=sha256_of(resolve(None, DEFAULT_MODEL)))
    world = Here(lambda _: Model(facts=facts))
    world("segment", clip_name, "--with", "depth", "--format", "mkv,frames", "--resume", "-o", out)


@pytest.mark.slow
def test_kill_at_any_moment(whole: Whole, tmp_path: Path) -> None:
    """The real thing: kill -9 after ever longer times, until a run gets through."""
    path, _ = whole
    out, truth = tmp_path / "out", tmp_path / "truth"
    command(str(path), str(truth))
    words = [sys.executable, "-c", SCRIPT, str(path), str(out)]
    begun = time.monotonic()
    subprocess.run([*words[:-1], str(tmp_path / "timed")], cwd=REPOSITORY, capture_output=True, check=True)
    whole_s = time.monotonic() - begun
    kills, wait = 0, 0.4 * whole_s
    while True:
        process = subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            _, err = process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills, wait = kills + 1, wait + 0.07 * whole_s
            continue
        assert process.returncode == 0, err.decode()
        break
    assert kills > 1
    (out / "run.json").unlink()
    (truth / "run.json").unlink()
    made, wanted = tree(out), tree(truth)
    assert made.keys() == wanted.keys()
    for name, data in wanted.items():
        if name.endswith("s.json") or name.endswith("h.json") or name.endswith(".mkv.json"):
            assert json.loads(made[name]) == json.loads(data), name
        else:
            assert made[name] == data, name
