"""Sparse beside dense, one run, same weights: ``python tests/bench/latency.py [--threads 2] [--size 512]``.

Prints one JSON object a budget: median and 95th percentile of the network's time, tokens kept, and the
ratio to the dense twin of the same run. Never part of the suite: times are not asserted.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time

import torch

from banana_cli.model.net import MODALITIES, BananaNet, Head, NetInput
from banana_cli.model.weights import load_model
from banana_cli.types import Modality
from banana_cli.weights_index import resolve

BUDGETS = (1.0, 0.6, 0.27, 0.165)


def make_input(size: int) -> NetInput:
    return NetInput(
        image=torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1)),
        valid=torch.ones(1, 1, size, size),
        rays=torch.zeros(1, 2, size, size),
        modality=torch.tensor([MODALITIES.index(Modality.STREET)]),
        log_pitch=torch.tensor([torch.nan]),
    )


def once(net: BananaNet, inp: NetInput, budget: float, dtype: torch.dtype) -> float:
    start = time.perf_counter()
    with torch.inference_mode(), torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32):
        net(inp, budget, frozenset(Head))
    return time.perf_counter() - start


def measure(net: BananaNet, size: int, runs: int, dtype: torch.dtype) -> list[dict[str, object]]:
    """Budgets take turns, so that a slow moment of the machine hits all of them."""
    inp = make_input(size)
    seconds: dict[float, list[float]] = {b: [] for b in BUDGETS}
    for turn in range(runs + 3):
        for budget in BUDGETS:
            took = once(net, inp, budget, dtype)
            if turn >= 3:
                seconds[budget].append(took)
    dense = statistics.median(seconds[1.0])
    with torch.inference_mode():
        kept = {b: net.features(inp, b).kept for b in BUDGETS}
    return [
        {
            "size": size,
            "precision": str(dtype).removeprefix("torch."),
            "budget": b,
            "tokens_kept": round(kept[b], 4),
            "median_ms": round(statistics.median(s) * 1e3, 1),
            "p95_ms": round(statistics.quantiles(s, n=20)[-1] * 1e3, 1),
            "dense_over_this": round(dense / statistics.median(s), 2),
        }
        for b, s in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--runs", type=int, default=20)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    net, _ = load_model(resolve(None))
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
    for dtype in (torch.float32, torch.bfloat16):
        for row in measure(net, asked.size, asked.runs, dtype):
            sys.stdout.write(json.dumps({**row, "threads": asked.threads, **machine}) + "\n")


if __name__ == "__main__":
    main()
