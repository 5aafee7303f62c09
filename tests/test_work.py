"""The thread that writes, the folder that outlives a kill, and what a kill between two renames leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banana_cli import sidecar
from banana_cli.ahead import Begun, Lane
from banana_cli.atomic import Staged, bytes_of, part_name, parts_of
from banana_cli.cli.main import main
from banana_cli.jobs import Tally
from banana_cli.types import LayerKind
from banana_cli.work import Work

from .cli.fakes import Fakes


def test_a_lane_does_all_in_order_in_one_other_thread() -> None:
    lane, done, threads = Lane(depth=2), [], set()
    for i in range(20):
        lane.do(lambda i=i: (done.append(i), threads.add(threading.get_ident())))
    lane.wait()
    assert done == list(range(20)) and len(threads) == 1 and threading.get_ident() not in threads
    lane.end(lambda: done.append(-1))
    assert done[-1] == -1


def test_a_lane_holds_no_more_than_it_may() -> None:
    lane, go, handed = Lane(depth=2), threading.Event(), []

    def hand_on() -> None:
        for i in range(6):
            lane.do(go.wait)
            handed.append(i)

    thread = threading.Thread(target=hand_on)
    thread.start()
    thread.join(0.3)
    assert len(handed) == 2  # the one at work counts
    go.set()
    thread.join()
    lane.end(lambda: None)
    assert len(handed) == 6


def test_after_an_error_nothing_more_is_done_but_the_end() -> None:
    lane, done = Lane(depth=3), []

    def bad() -> None:
        raise KeyError("x")

    lane.do(lambda: done.append(1))
    lane.do(bad)
    with pytest.raises(KeyError):
        for _ in range(5):
            lane.do(lambda: done.append(2))
    lane.end(lambda: done.append(3))
    assert done == [1, 3]


def test_what_was_begun_is_done_once_in_order_and_in_one_other_thread() -> None:
    begun, done, here = Begun[int](), [], threading.get_ident()
    keys = [object() for _ in range(6)]

    def task(i: int) -> int:
        if i == 3:
            raise KeyError(i)
        done.append((i, threading.get_ident() == here))
        return i

    for i in (0, 1, 2, 3):
        begun.begin(keys[i], lambda i=i: task(i))
    assert begun.take(keys[0], lambda: task(0)) == 0
    assert begun.take(keys[2], lambda: task(2)) == 2  # nobody asked for 1, but 2 may rest on it
    with pytest.raises(KeyError):
        begun.take(keys[3], lambda: task(3))
    assert len(begun) == 0 and begun.take(keys[4], lambda: task(4)) == 4
    assert done == [(0, False), (1, False), (2, False), (4, True)]


@given(
    st.integers(0, 10**9),
    st.floats(0, 1e6),
    st.dictionaries(st.sampled_from(LayerKind), st.integers(0, 99)),
    st.dictionaries(st.sampled_from(["load", "infer", "encode"]), st.floats(0, 1e6)),
)
def test_a_tally_comes_back_from_json(done: int, kept: float, written: dict, seconds: dict) -> None:
    tally = Tally(done=done, failed=3, kept=kept, modelled=done)
    tally.written.update(written)
    tally.seconds.update(seconds)
    assert Tally.from_json(json.loads(json.dumps(tally.to_json()))) == tally


def test_a_checkpoint_comes_back_with_its_memory(tmp_path: Path) -> None:
    def work(options: str) -> Work:
        return Work.beside(tmp_path / "a.masks.mp4", "a", {"options": options})

    first = work("x")
    first.hold()
    for index in (249, 499):
        first.save({"index": index}, {"state": np.arange(index)})
    first.close()
    assert len(list(first.folder.glob("memory.*"))) == 1
    again = work("x")
    facts = again.last()
    assert facts is not None and facts["index"] == 499
    memory = again.memory(facts)
    assert memory is not None and np.array_equal(memory["state"], np.arange(499))
    assert again.memory({"memory": "../other.npz"}) is None
    again.close()
    other = work("y")
    assert other.last() is None
    other.clear()
    assert not other.folder.exists()


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    work = Work.beside(tmp_path / "a.masks.mp4", "a", {})
    work.hold()
    np.savez(work.folder / "memory.1.npz", x=np.array([{"a": 1}], object))
    assert work.memory({"memory": "memory.1.npz"}) is None
    work.clear()


def finished(folder: Path) -> Path:
    """An output of a run of the fakes."""
    (folder / "a.clip").write_text("FAKE 4 6 3")
    assert banana(folder) == 0
    return folder / "out" / "a.masks.txt"


def banana(folder: Path, *words: str) -> int:
    out = str(folder / "out")
    return main(["segment", str(folder / "a.clip"), "-o", out, *words], Fakes().world())


def test_a_kill_between_the_renames_is_mended(tmp_path: Path) -> None:
    output = finished(tmp_path)
    side = sidecar.sidecar_path(output)
    text = side.read_bytes()
    side.rename(part_name(side, 999_999_999))
    assert banana(tmp_path) == 5  # without --resume it is a stranger's file
    assert banana(tmp_path, "--resume") == 0
    assert side.read_bytes() == text and not parts_of(side)


def test_a_strangers_file_is_not_given_our_sidecar(tmp_path: Path) -> None:
    output = finished(tmp_path)
    side = sidecar.sidecar_path(output)
    side.rename(part_name(side, 999_999_999))
    output.write_text("something else of the user's")
    assert banana(tmp_path, "--resume") == 5
    assert output.read_text().startswith("something") and not side.exists()


def test_parts_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    final = tmp_path / "a.b.mp4"
    old, alive = part_name(final, dead.pid), part_name(final, os.getppid())
    strange = tmp_path / f".other.{dead.pid}.part.mp4"
    for path in (old, alive, strange):
        path.write_text("x")
    with Staged(final):
        assert not old.exists() and alive.exists() and strange.exists()


def test_bytes_of_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "x" / "a").write_bytes(bytes(5))
    (tmp_path / "x" / "y" / "b").write_bytes(bytes(7))
    assert bytes_of(tmp_path / "x") == 12 and bytes_of(tmp_path / "x" / "a") == 5
    assert bytes_of(tmp_path / "none") == 0
