"""What a pass of each arm costs: parameters, products, time of one thread, memory that torch holds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from banana_cli.bench_memory import tensors_mb
from banana_cli.model.net import NetInput
from banana_cli.train.compare_arms import Ours, Public


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one pass in fp32: ``gmacs`` 1e9 multiplications in convolutions and matrix products, ``cpu_ms`` the
    least processor time of one thread, ``peak_mb`` the most that torch held beyond the weights."""

    parameters: int
    gmacs: float
    cpu_ms: float
    peak_mb: float


@torch.inference_mode()
def side_by_side(nets: Mapping[str, Ours | Public], inp: NetInput, turns: int = 7) -> dict[str, Cost]:
    """The cost of every network, in eval mode as in a judgement.

    They are timed in turn, after one pass each to warm up, so that a busy minute falls on all of them.
    """
    took: dict[str, list[float]] = {arm: [] for arm in nets}
    for turn in range(turns + 1):
        for arm, net in nets.items():
            begin = time.process_time()
            net.eval()(inp, None)
            if turn:
                took[arm].append(time.process_time() - begin)
    return {
        arm: Cost(
            parameters=sum(p.numel() for p in net.parameters()),
            gmacs=round(_products(net, inp) / 1e9, 3),
            cpu_ms=round(1e3 * min(took[arm]), 1),
            peak_mb=tensors_mb(lambda net=net: net(inp, None), torch.device("cpu")),  # type: ignore[misc]
        )
        for arm, net in nets.items()
    }


def _products(net: Ours | Public, inp: NetInput) -> float:
    with FlopCounterMode(display=False) as counted:
        net(inp, None)
    total: int = counted.get_total_flops()
    return total / 2
