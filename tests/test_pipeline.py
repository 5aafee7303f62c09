"""The walk itself, and the thread that reads ahead of it."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from banana_cli import sidecar
from banana_cli.adapter import Adapter, SinkJob
from banana_cli.ahead import read_ahead
from banana_cli.errors import ExitStatus, InputError, OutputError, UsageError, WeightsError
from banana_cli.events import Event, FrameDone, FrameFailed, InputFailed, InputStarted, Notice, OutputDone
from banana_cli.options import ReadOptions
from banana_cli.pipeline import LOOKS, Job, OnError, Output, RunResult, Settings, exit_status, run
from banana_cli.tasks.depth import DEPTH
from banana_cli.types import Depth, DepthKind, Domain, LayerKind, Modality, Unit

from .cli.fakes import FakeAdapter, FakeEngine, FakeFormat


def walk(
    tmp_path: Path, *texts: str, engine: FakeEngine | None = None, **settings: object
) -> tuple[RunResult, list[Event]]:
    adapter: Adapter = FakeAdapter()
    jobs = []
    for i, text in enumerate(texts):
        path = tmp_path / f"{i}.clip"
        path.write_text(text)
        (item,) = adapter.group([path], root=None)
        outputs = tuple(
            Output(layer=kind, format=FakeFormat(), path=tmp_path / "out" / f"{i}.{kind.value}.txt")
            for kind in LayerKind
        )
        jobs.append(Job(item=item, adapter=adapter, outputs=outputs))
    events: list[Event] = []
    read = ReadOptions(layers=frozenset(LayerKind))
    result = run(jobs, engine or FakeEngine(), Settings(read=read, tasks={}, **settings), events.append)
    return result, events


def test_events_tell_the_story_in_order(tmp_path: Path) -> None:
    result, events = walk(tmp_path, "FAKE 4 6 3 bad=1 notice=1")
    kinds = [type(e) for e in events]
    assert kinds == [
        InputStarted,
        Notice,
        FrameDone,
        FrameFailed,
        FrameDone,
        *[OutputDone] * 3,
        InputFailed,
    ]
    assert result.status is ExitStatus.PARTIAL and len(result.outputs) == 3
    assert result.total.done == 2 and result.total.failed == 1 and result.total.tokens_kept() == 0.5


def test_one_call_for_all_layers_and_measured_ones_are_passed_on(tmp_path: Path) -> None:
    engine = FakeEngine()
    walk(tmp_path, "FAKE 4 6 2 measured=depth", engine=engine)
    assert engine.asked == [(0, frozenset(LayerKind)), (1, frozenset(LayerKind))]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("FAKE 4 6 0", ExitStatus.NO_INPUT),
        ("FAKE 4 6 2 bad=all", ExitStatus.NO_INPUT),
        ("FAKE 4 6 2 cut=0", ExitStatus.NO_INPUT),
        ("FAKE 4 6 2 cut=1", ExitStatus.PARTIAL),
        ("FAKE 4 6 2", ExitStatus.OK),
    ],
)
def test_status_and_leftovers(tmp_path: Path, text: str, status: ExitStatus) -> None:
    result, _ = walk(tmp_path, text)
    assert result.status is status
    left = sorted(p.name for p in (tmp_path / "out").iterdir()) if (tmp_path / "out").exists() else []
    assert not [name for name in left if ".part" in name]
    assert bool(left) is bool(result.outputs)


def test_stop_ends_the_run_and_says_so(tmp_path: Path) -> None:
    result, events = walk(tmp_path, "FAKE 4 6 2 bad=1", "FAKE 4 6 2", on_error=OnError.STOP)
    assert result.stopped and not result.outputs
    assert sum(isinstance(e, InputStarted) for e in events) == 1


def test_weights_errors_and_bugs_pass_through(tmp_path: Path) -> None:
    class NoWeights(FakeEngine):
        def predict(self, *args: object) -> None:  # type: ignore[override]
            raise WeightsError("missing", subject="w", remedy="r")

    with pytest.raises(WeightsError):
        walk(tmp_path, "FAKE 4 6 2", engine=NoWeights())
    assert not (tmp_path / "out").exists()
    assert threading.active_count() < 10


def test_exit_status_table() -> None:
    bad = InputError("m", subject="s", remedy="r")
    full = OutputError("m", subject="s", remedy="r")
    assert exit_status(3, []) is ExitStatus.OK
    assert exit_status(3, [bad]) is ExitStatus.PARTIAL
    assert exit_status(0, [bad]) is ExitStatus.NO_INPUT
    assert exit_status(0, [bad], stopped=True) is ExitStatus.PARTIAL
    assert exit_status(3, [bad, full]) is ExitStatus.CANNOT_WRITE


def test_read_ahead_keeps_order_and_stays_bounded() -> None:
    made: list[int] = []

    def count() -> Generator[int, None, None]:
        for i in range(50):
            made.append(i)
            yield i

    seen = []
    for value, seconds in read_ahead(count, depth=2):
        seen.append(value)
        time.sleep(0.001)
        assert seconds >= 0 and len(made) <= len(seen) + 4
    assert seen == list(range(50))


def test_read_ahead_raises_what_the_reader_raised_in_its_place() -> None:
    def fails() -> Generator[int, None, None]:
        yield 1
        raise InputError("m", subject="s", remedy="r")

    seen = []
    with pytest.raises(InputError):
        for value, _ in read_ahead(fails, depth=2):
            seen.append(value)
    assert seen == [1]


def test_closing_early_closes_the_reader_in_its_own_thread() -> None:
    closed_in: list[str] = []

    def endless() -> Generator[int, None, None]:
        try:
            while True:
                yield 0
        finally:
            closed_in.append(threading.current_thread().name)

    items = read_ahead(endless, depth=2)
    next(items)
    items.close()
    assert closed_in == ["banana-reader"]
    assert "banana-reader" not in {t.name for t in threading.enumerate()}


def test_sidecar_json_is_valid_for_any_value() -> None:
    text = sidecar.dumps(
        {
            "nan": float("nan"),
            "inf": np.float32("inf"),
            "array": np.array([[1, 2]], np.uint8),
            "kind": Domain.MEDICAL,
            LayerKind.DEPTH: Path("/home/somebody/scan.dcm"),
            "set": frozenset({2, 1}),
        },
        indent=None,
    )
    assert text == (
        '{"nan": null, "inf": null, "array": [[1, 2]], "kind": "medical", "depth": "scan.dcm", "set": [1, 2]}'
    )


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[1]", b'{"schema": "other"}', b"[" * 100_000, b""])
def test_foreign_json_is_not_taken_for_ours(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "x.json").write_bytes(body)
    assert sidecar.read(tmp_path / "x.json") is None


def test_usage_error_is_not_swallowed(tmp_path: Path) -> None:
    class Refuses(FakeEngine):
        def predict(self, *args: object) -> None:  # type: ignore[override]
            raise UsageError("no cuda", subject="--device", remedy="cpu")

    with pytest.raises(UsageError):
        walk(tmp_path, "FAKE 4 6 2", engine=Refuses())


def test_each_layer_keeps_the_geometry_and_the_count_of_its_own_frames(tmp_path: Path) -> None:
    result, _ = walk(tmp_path, "FAKE 4 6 7 turns=1")
    facts = [output.facts for output in result.outputs]
    assert [f["layer"] for f in facts] == list(LayerKind)
    assert [f["geometry"]["pitch_m"] for f in facts] == [2.0, 3.0, 4.0]  # type: ignore[index]
    assert [f["frames_done"] for f in facts] == [3, 2, 2]


def test_two_formats_of_a_layer_count_its_frames_once(tmp_path: Path) -> None:
    path = tmp_path / "a.clip"
    path.write_text("FAKE 4 6 3")
    adapter: Adapter = FakeAdapter()
    (item,) = adapter.group([path], root=None)
    outputs = tuple(
        Output(layer=LayerKind.DEPTH, format=FakeFormat(), path=tmp_path / f"{k}.txt") for k in range(2)
    )
    read = ReadOptions(layers=frozenset({LayerKind.DEPTH}))
    jobs = [Job(item=item, adapter=adapter, outputs=outputs)]
    result = run(jobs, FakeEngine(), Settings(read=read, tasks={}), lambda event: None)
    assert [output.facts["frames_done"] for output in result.outputs] == [3, 3]


def test_the_street_is_painted_bright_where_the_road_is() -> None:
    metres = np.array([[5, 7, 10, 15]], np.float32)
    road = Depth(
        values=metres, valid=np.ones_like(metres, bool), depth_kind=DepthKind.METRIC, unit=Unit.METRE
    )
    assert DEPTH.paint(road, LOOKS[Modality.STREET]).mean(axis=-1).min() > 120


def test_a_disk_that_is_full_even_when_the_sink_closes_is_one_failed_input(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class FullSink:
        def write(self, *_: object) -> None:
            raise full

    class FullFormat(FakeFormat):
        @contextmanager
        def open(self, part: Path, job: SinkJob) -> Iterator[FullSink]:  # type: ignore[override]
            part.write_text("half")
            try:
                yield FullSink()
            finally:
                raise OSError(errno.ENOSPC, "as buffers are flushed once more")

    (tmp_path / "a.clip").write_text("FAKE 4 6 2")
    adapter: Adapter = FakeAdapter()
    (item,) = adapter.group([tmp_path / "a.clip"], root=None)
    out = tmp_path / "out" / "a.txt"
    job = Job(
        item=item, adapter=adapter, outputs=(Output(layer=LayerKind.DEPTH, format=FullFormat(), path=out),)
    )
    read = ReadOptions(layers=frozenset({LayerKind.DEPTH}))
    result = run([job], FakeEngine(), Settings(read=read, tasks={}), lambda event: None)
    assert result.status is ExitStatus.CANNOT_WRITE
    assert os.strerror(errno.ENOSPC) in result.failures[0].error.message
    assert not list(out.parent.iterdir())


def test_every_unit_of_depth_is_painted_with_more_than_one_colour() -> None:
    millimetres = np.array([[5, 20, 40, 80]], np.float32)
    depth = Depth(
        values=millimetres,
        valid=np.ones_like(millimetres, bool),
        depth_kind=DepthKind.METRIC,
        unit=Unit.MILLIMETRE,
    )
    for modality in (Modality.CT, Modality.MR, Modality.VISIBLE):
        assert len(np.unique(DEPTH.paint(depth, LOOKS[modality]).reshape(-1, 3), axis=0)) == 4
