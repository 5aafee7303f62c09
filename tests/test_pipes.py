"""``camera | banana segment - -o - | player``: bytes go in and out while the clip is still coming."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from banana_cli.classes import TABLE_OF
from banana_cli.cli.main import main
from banana_cli.cli.world import real_world
from banana_cli.growing import GrowingFile, Inflow, Outflow, is_growing
from banana_cli.types import Frame, LayerKind, Mask, ModelFacts, Prediction

from .adapters.driving.clips import Recipe, frames_of, make, sound_of

FRAMES = 60
BASE = {"mpegts": Fraction(1, 90000), "matroska": Fraction(1, 1000), "yuv4mpegpipe": Fraction(1, 30)}


@dataclass
class Model:
    """Class 0 everywhere; counts what it saw."""

    seen: list[int] = field(default_factory=list)
    facts: ModelFacts = ModelFacts(
        name="zero", weights_sha256="0" * 64, budget=1.0, precision="fp32", device="cpu"
    )

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        self.seen.append(frame.provenance.index)
        ids = np.zeros(frame.shape, np.uint8)
        mask = Mask(ids=ids, valid=frame.valid, table=TABLE_OF[frame.modality])
        return Prediction(layers=(mask,), tokens_kept=1.0, seconds={})


class Pipe:
    """The two ends of a pipe of the system."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.out, self.into = os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0)


@pytest.fixture
def pipes() -> Iterator[tuple[Pipe, Pipe]]:
    """Into banana, and out of it."""
    before, behind = Pipe(), Pipe()
    yield before, behind
    for end in (before.out, before.into, behind.out):
        end.close()


def start(pipes: tuple[Pipe, Pipe], model: Model, *words: str) -> tuple[threading.Thread, list[int]]:
    """The command line in a thread, between two pipes."""
    before, behind = pipes
    stdout = io.TextIOWrapper(behind.into, encoding="utf-8", write_through=True)
    world = replace(
        real_world(), load_engine=lambda _: model, stdin=before.out, stdout=stdout, stderr=io.StringIO()
    )
    status: list[int] = []

    def work() -> None:
        status.append(main(["segment", "-", "-o", "-", *words], world))
        sys.stderr.write(world.stderr.getvalue())
        stdout.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, status


def source(folder: Path, container: str) -> Path:
    base = BASE[container]
    raw = container == "yuv4mpegpipe"
    pts = [round(i * Fraction(1, 30) / base) + (container == "mpegts") * 3003 for i in range(FRAMES)]
    return make(
        folder / "source",
        Recipe(
            container=container,
            codec="wrapped_avframe" if raw else "libx264",
            base=base,
            pts=pts,
            audio=None if raw else "aac",
            options={} if raw else {"tune": "zerolatency"},
        ),
    )


@pytest.mark.parametrize("container", BASE)
def test_clips_go_through_pipes_whole(container: str, pipes: tuple[Pipe, Pipe], tmp_path: Path) -> None:
    path = source(tmp_path, container)
    thread, status = start(pipes, model := Model())
    threading.Thread(target=lambda: (pipes[0].into.write(path.read_bytes()), pipes[0].into.close())).start()
    made = tmp_path / "made.mp4"
    made.write_bytes(pipes[1].out.read())
    thread.join(30)
    assert status == [0] and model.seen == list(range(FRAMES))
    ours, theirs = [t for t, _ in frames_of(made)], [t for t, _ in frames_of(path)]
    assert [t - ours[0] for t in ours] == [t - theirs[0] for t in theirs]
    # A live mp4 cannot hold the sound of a transport stream.
    assert [d for d, _ in sound_of(made)] == [d for d, _ in sound_of(path) if container != "mpegts"]


def test_results_come_before_the_clip_ends(pipes: tuple[Pipe, Pipe], tmp_path: Path) -> None:
    data = source(tmp_path, "yuv4mpegpipe").read_bytes()
    thread, status = start(pipes, model := Model())
    half = len(data) // 2
    pipes[0].into.write(data[:half])
    early = pipes[1].out.read1(1 << 16)
    while b"moof" not in early:
        early += pipes[1].out.read1(1 << 16)
    assert early[4:8] == b"ftyp" and len(model.seen) <= FRAMES // 2
    pipes[0].into.write(data[half:])
    pipes[0].into.close()
    with av.open(io.BytesIO(early + pipes[1].out.read())) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == FRAMES
    thread.join(30)
    assert status == [0]


def test_a_player_that_leaves_ends_the_run(pipes: tuple[Pipe, Pipe], tmp_path: Path) -> None:
    data = source(tmp_path, "yuv4mpegpipe").read_bytes()
    thread, status = start(pipes, Model())
    pipes[0].into.write(data[: len(data) // 2])
    pipes[1].out.read1(100)
    pipes[1].out.close()
    copies = [os.dup(1)]
    try:
        pipes[0].into.write(data[len(data) // 2 :])
        pipes[0].into.close()
        thread.join(30)
    finally:
        os.dup2(copies[0], 1)  # the command line points it to nowhere
        os.close(copies[0])
    assert status == [141]


def test_other_formats_come_at_the_end(pipes: tuple[Pipe, Pipe], tmp_path: Path) -> None:
    path = source(tmp_path, "matroska")
    thread, status = start(pipes, Model(), "--format", "mkv")
    threading.Thread(target=lambda: (pipes[0].into.write(path.read_bytes()), pipes[0].into.close())).start()
    made = tmp_path / "made.mkv"
    made.write_bytes(pipes[1].out.read())
    thread.join(30)
    assert status == [0] and [t for t, _ in frames_of(made)] == [t for t, _ in frames_of(path)]


def test_a_growing_file_waits_and_ends(tmp_path: Path) -> None:
    pipe, path = Pipe(), tmp_path / "stdin"
    inflow = Inflow(pipe.out, path)
    pipe.into.write(b"abc")
    inflow.wait(3)
    file = GrowingFile(path)
    assert is_growing(path) and file.read(2) == b"ab" and file.seek(-1, 2) == -1 and file.tell() == 2
    threading.Timer(0.05, lambda: (pipe.into.write(b"d"), time.sleep(0.05), pipe.into.close())).start()
    assert file.read(10) == b"c" and file.read(10) == b"d" and file.read(10) == b""
    inflow.wait()
    assert not is_growing(path) and file.seek(0, 2) == 4
    file.close()
    pipe.out.close()


def test_an_outflow_passes_all_on_even_after_a_rename(tmp_path: Path) -> None:
    part, sink = tmp_path / ".a.part", io.BytesIO()
    outflow = Outflow(part, sink)
    with part.open("wb", buffering=0) as file:
        file.write(b"one")
        while sink.getvalue() != b"one":
            time.sleep(0.01)
        file.write(b"two")
    part.rename(tmp_path / "a")
    outflow.finish(tmp_path / "a")
    assert sink.getvalue() == b"onetwo"


def test_an_outflow_of_nothing_ends(tmp_path: Path) -> None:
    Outflow(tmp_path / "never", io.BytesIO()).finish(tmp_path / "nothing")
