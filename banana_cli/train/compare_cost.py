"""What a pass of an arm costs: parameters, processor time of one thread, memory that torch holds."""

from __future__ import annotations

import time

import torch

from banana_cli.bench_memory import tensors_mb
from banana_cli.model.net import NetInput
from banana_cli.train.compare_arms import Ours, Public


@torch.inference_mode()
def cost(net: Ours | Public, inp: NetInput, turns: int = 5) -> dict[str, float]:
    """Of a pass in fp32: the least processor time of ``turns`` after one to warm up, and the peak memory."""
    took = []
    for _ in range(turns + 1):
        begin = time.process_time()
        net(inp, None)
        took.append(time.process_time() - begin)
    return {
        "parameters": float(sum(p.numel() for p in net.parameters())),
        "cpu_ms": round(1e3 * min(took[1:]), 1),
        "peak_mb": tensors_mb(lambda: net(inp, None), torch.device("cpu")),
    }
