"""Bench: every way runs, what must be equal is equal, memory falls with the tokens. No absolute times."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from banana_cli.bench import Bench, BenchOptions, Row, _picture, _with_global_attention
from banana_cli.bench_scored import Labelled, Scored
from banana_cli.cli.main import main
from banana_cli.infer import Engine
from banana_cli.metrics.naming import Choice
from banana_cli.model.net import Head
from banana_cli.types import LayerKind, Mask
from banana_cli.weights_index import resolve
from tests.glass import frame_of

KEYS = {"size_px", "name", "budget", "tokens", "median_ms", "p95_ms", "dense_over_this", "peak_mb", "torch"}
WAYS = {
    "sparse 0.27",
    "sparse 0.165",
    "random routing",
    "by image gradients",
    "uniform 16 px",
    "dense twin",
}


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    bench = Bench(BenchOptions(weights=resolve(None), sizes=(256,), runs=2, threads=1))
    told: list[None] = []
    found = {row.name: row for row in bench.rows(lambda: told.append(None))}
    assert len(told) == bench.passes()
    return found


def test_tokens_follow_the_budget(rows: dict[str, Row]) -> None:
    """Equal counts where rows claim them; the dense ones hold every 8-px cell."""
    assert rows["dense twin"].tokens == rows["dense, global attention"].tokens == (256 // 8) ** 2
    assert rows["sparse 0.27"].tokens == rows["random routing"].tokens
    assert rows["uniform 16 px"].tokens == (256 // 16) ** 2
    assert rows["sparse 0.165"].tokens < rows["sparse 0.27"].tokens < rows["dense twin"].tokens


def test_fewer_tokens_need_less_memory(rows: dict[str, Row]) -> None:
    """The order only; how much is for the table."""
    peaks = [rows[name].peak_mb for name in ("sparse 0.165", "dense twin")]
    assert peaks[0] is not None and peaks[1] is not None
    assert 0 < peaks[0] < peaks[1]


def test_stages_are_parts_of_a_pass(rows: dict[str, Row]) -> None:
    """Each stage took some time; the dense twin is 1 by definition."""
    for row in rows.values():
        assert set(row.stages_ms) == {"stem", "route", "trunk", "decode", "heads", "rest"}
        assert all(math.isfinite(v) and v > 0 for v in row.stages_ms.values())
        assert row.p95_ms > 0 and row.megapixels_per_s > 0
    assert rows["dense twin"].dense_over_this == 1.0


def test_global_attention_of_one_chunk_is_the_net_itself() -> None:
    """At 64 px all 64 tokens are one chunk, so both must agree."""
    bench = Bench(BenchOptions(weights=resolve(None), precision="fp32", threads=1))
    net, inp = bench._net, _picture(64, torch.device("cpu"))
    with torch.inference_mode():
        own = net(inp, 1.0, frozenset(Head))
        other = bench._ready(_with_global_attention(bench._trained, 64))(inp, 1.0, frozenset(Head))
    assert own.logits is not None and other.logits is not None
    assert torch.allclose(own.logits, other.logits, atol=1e-3)


def test_the_verb_prints_a_table_and_json(capfd: pytest.CaptureFixture[str]) -> None:
    """``--quick`` on the shipped weights; wrong sizes are usage errors."""
    assert main(["bench", "--quick", "-j", "1"]) == 0
    table = capfd.readouterr().out
    assert "256 x 256 px" in table and "dense twin, file to files" in table
    assert main(["bench", "--size", "64", "--runs", "1", "--json"]) == 0
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    walks = [r for r in records if "walk_ms" in r]
    assert len(records) == 9 and all(set(r) >= KEYS for r in records if r not in walks)
    assert [set(r["walk_ms"]) for r in walks] == [{"read", "fit", "model", "decode", "codec", "write"}] * 2
    assert main(["bench", "--size", "100"]) == 2
    assert main(["bench", "--runs", "0"]) == 2
    assert main(["bench", "--weights", str(Path("missing.safetensors"))]) == 6


def test_nothing_is_said_beside_the_table() -> None:
    """The profiler's own lines stay away, in a process that has not loaded torch before."""
    words = [sys.executable, "-m", "banana_cli", "bench", "--size", "64", "--runs", "1", "-j", "1", "--quiet"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def pictures(folder: Path, count: int) -> Path:
    """Smooth noise; the truth of each is one class."""
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        picture = cv2.resize(rng.integers(0, 255, (8, 8, 3), np.uint8), (64, 64))
        cv2.imwrite(str(folder / "images" / f"place {index} x.png"), picture)
        cv2.imwrite(str(folder / "labels" / f"place {index} x.png"), np.full((64, 64), index, np.uint8))
    return folder


def test_accuracy_stands_beside_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One record a way; the dense twin gains nothing on itself; a folder without truths is said to be so."""
    words = ["bench", "--size", "64", "--runs", "1", "--json"]
    assert main([*words, "--data", str(pictures(tmp_path, 3)), "--classes", "street"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    scores = {r["name"]: r for r in records if "miou" in r}
    assert set(scores) == WAYS and {r["pictures"] for r in scores.values()} == {3}
    dense = scores["dense twin"]
    assert (dense["gain"], dense["gain_low"], dense["gain_high"]) == (0, 0, 0)
    assert all(0 <= r["low"] <= r["high"] <= 100 for r in scores.values())
    assert main([*words, "--data", str(tmp_path / "images")]) == 4
    assert "images/ and labels/" in capsys.readouterr().err


def test_a_truth_that_is_the_answer_scores_in_full() -> None:
    """Labels made of the dense twin's masks: it has 100 %, and every draw of pictures has."""
    engine = Engine.load(None, device="cpu", precision="fp32", budget=1.0)
    scored = Scored(resolve(None), (0.27,), Choice(), device="cpu", precision="fp32")
    rng = np.random.default_rng(0)
    for index in range(2):
        frame = frame_of(cv2.resize(rng.random((8, 8, 3), np.float32), (96, 64)).transpose(2, 0, 1))
        truth = engine.predict(frame, frozenset({LayerKind.MASKS})).get(Mask).ids
        scored.add(Labelled(name=str(index), frame=frame, truth=truth, numbering=None))
    found = {score.name: score for score in scored.scores()}
    dense, sparse = found["dense twin"], found["sparse 0.27"]
    assert (dense.miou, dense.low, dense.high) == (100, 100, 100)
    assert sparse.gain == pytest.approx(sparse.miou - 100, abs=0.01)
    assert sparse.gain_low <= sparse.gain_high <= 0
