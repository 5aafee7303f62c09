"""How much memory one call needs: what torch holds, and what the process does."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import torch

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")


def tensors_mb(call: Callable[[], object], device: torch.device) -> float:
    """The most that torch held during a call beyond what it held before: no weights, no libraries."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return round((torch.cuda.max_memory_allocated(device) - before) / 1e6, 1)
    with _allocations() as held:
        call()
    return round(max(held, default=0) / 1e6, 1)


def process_mb(call: Callable[[], object]) -> float | None:
    """The most that was resident during a call, all in all; None where the system does not tell (Linux does).

    The allocator gives back first what earlier calls left in it.
    """
    try:
        _give_back()
        _CLEAR.write_text("5", encoding="ascii")  # the high-water mark begins anew
        call()
        return _high_water()
    except (OSError, ValueError):
        return None


def _give_back() -> None:
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _high_water() -> float | None:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return None


@contextmanager
def _allocations() -> Iterator[list[int]]:
    """Fills the list with the bytes that torch holds on the CPU, beyond those at the start, over time."""
    from torch.profiler import ProfilerActivity, profile

    held: list[int] = []
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        yield held
    total = 0
    for event in sorted(_memory_events(profiler), key=lambda e: e[0]):
        total += event[1]
        held.append(total)


def _memory_events(profiler: Any) -> Iterator[tuple[int, int]]:  # noqa: ANN401 - the profiler is untyped
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            yield event.start_ns(), event.nbytes()
