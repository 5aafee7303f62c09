"""Bench: every way runs, what must be equal is equal, memory falls with the tokens. No absolute times."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from banana_cli.bench import Bench, BenchOptions, Row, _picture, _with_global_attention
from banana_cli.cli.main import main
from banana_cli.model.net import Head
from banana_cli.weights_index import resolve

KEYS = {"size_px", "name", "budget", "tokens", "median_ms", "p95_ms", "dense_over_this", "peak_mb", "torch"}


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
        assert set(row.stages_ms) == {"stem", "route", "trunk", "decode", "rest"}
        assert all(math.isfinite(v) and v > 0 for v in row.stages_ms.values())
        assert row.p95_ms > 0 and row.megapixels_per_s > 0
    assert rows["dense twin"].dense_over_this == 1.0


def test_global_attention_of_one_chunk_is_the_net_itself() -> None:
    """At 64 px all 64 tokens are one chunk, so both must agree."""
    bench = Bench(BenchOptions(weights=resolve(None), precision="fp32", threads=1))
    net, inp = bench._net, _picture(64, torch.device("cpu"))
    with torch.inference_mode():
        own = net(inp, 1.0, frozenset(Head))
        other = _with_global_attention(net, 64)(inp, 1.0, frozenset(Head))
    assert own.logits is not None and other.logits is not None
    assert torch.allclose(own.logits, other.logits, atol=1e-3)


def test_the_verb_prints_a_table_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    """``--quick`` on the shipped weights; wrong sizes are usage errors."""
    assert main(["bench", "--quick", "-j", "1"]) == 0
    table = capsys.readouterr().out
    assert "256 x 256 px" in table and "dense twin" in table
    assert main(["bench", "--size", "64", "--runs", "1", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == 6 and all(set(r) >= KEYS for r in records)
    assert main(["bench", "--size", "100"]) == 2
    assert main(["bench", "--runs", "0"]) == 2
    assert main(["bench", "--weights", str(Path("missing.safetensors"))]) == 6
