"""Speed and memory of the network, sparse beside dense, in one run: what ``banana bench`` measures.

Every row is the same weights on the same picture; rows take turns, so that a slow moment of the machine
hits all of them. Clocks are read after the device has finished.
"""

from __future__ import annotations

import copy
import os
import platform
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from banana_cli.bench_memory import process_mb, tensors_mb
from banana_cli.errors import UsageError
from banana_cli.model.blocks import Block
from banana_cli.model.device import choose_device, choose_dtype, precision_word
from banana_cli.model.graph import require_extra
from banana_cli.model.graph_cache import GraphCache, user_folder
from banana_cli.model.net import MODALITIES, BananaNet, Features, Head, NetInput, NetOutput, Routing
from banana_cli.model.weights import load_model
from banana_cli.options import Runtime
from banana_cli.types import Json, Modality
from banana_cli.weights_index import sha256_of

_STAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "stem": ("_stem",),
    "route": ("router.forward", "_gain"),
    "trunk": ("_trunk",),
    "decode": ("_unpool", "_decode"),
    "heads": ("_query",),
}
"""Methods of the network by what they do; the rest is picking tokens and telling them where they are."""
_WARM_UP: Final = 3
_DENSE: Final = "dense twin"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What is measured: square pictures of ``sizes`` px, at every budget of ``budgets`` (1.0 is added).

    ``runtime``: a second one stands beside torch, at the first budget.
    """

    weights: Path
    sizes: tuple[int, ...] = (512,)
    budgets: tuple[float, ...] = (0.27, 0.165)
    runs: int = 20
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    runtime: Runtime = Runtime.TORCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to run one picture. Times in ms; ``dense_over_this`` compares medians of this very run.

    ``peak_mb``: tensors of one pass, without weights; ``process_mb``: the whole process, libraries and all.
    """

    size_px: int
    name: str
    budget: float
    tokens: int
    tokens_kept: float
    median_ms: float
    p95_ms: float
    megapixels_per_s: float
    dense_over_this: float
    peak_mb: float | None
    process_mb: float | None
    stages_ms: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """For ``--json``."""
        return cast("dict[str, Json]", {**asdict(self), "stages_ms": dict(self.stages_ms)})


@dataclass(frozen=True, slots=True)
class _Way:
    """How the same weights are run."""

    name: str
    net: BananaNet | _Second
    budget: float
    routing: Routing


class _Second:
    """The inside in ONNX Runtime, in fp32 whatever the precision of the other rows."""

    def __init__(self, net: BananaNet, weights: Path) -> None:
        from banana_cli.model.runtime_onnx import OnnxNet

        self._net = OnnxNet(net, sha256_of(weights), GraphCache(user_folder()))

    def features(self, inp: NetInput, budget: float, routing: Routing) -> Features:
        """As the network's; learned routing only."""
        return self._net.features(inp, budget)

    def read(self, features: Features, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        """As the network's."""
        return self._net.read(features, modality, heads)


class Bench:
    """A loaded network and the ways to run it."""

    def __init__(self, options: BenchOptions) -> None:
        """WeightsError or UsageError as when the engine loads."""
        self.options = options
        self.device = choose_device(options.device)
        self.dtype = choose_dtype(options.precision, self.device)
        if options.threads:
            torch.set_num_threads(options.threads)
        trained = load_model(options.weights)[0].to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._trained: BananaNet = trained
        self._net = self._ready(copy.deepcopy(trained))
        self._second: _Second | None = None
        if options.runtime is Runtime.ONNX:
            subject = f"--runtime {options.runtime}"
            require_extra(subject)
            if self.device.type != "cpu":
                raise UsageError("is for the CPU", subject=subject, remedy="add --device cpu")
            self._second = _Second(trained, options.weights)

    def _ready(self, net: BananaNet) -> BananaNet:
        """As the engine runs it."""
        if self.device.type == "cpu":
            net.fold(self.dtype or torch.float32)
        return net

    def machine(self) -> dict[str, Json]:
        """Where and with what: processor, torch, precision, threads, commit of the source if there is one."""
        return {
            "processor": _processor(),
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
            "torch": torch.__version__,
            "precision": precision_word(self.dtype),
            "threads": torch.get_num_threads(),
            "commit": _commit(),
        }

    def rows(self, told: Callable[[], None] = lambda: None) -> Iterator[Row]:
        """Every way at every size; ``told`` is called after each pass, for a progress bar."""
        for size in self.options.sizes:
            yield from self._size(size, told)

    def passes(self) -> int:
        """How often ``rows`` will call ``told``."""
        return len(self.options.sizes) * len(self._ways(64)) * (self.options.runs + _WARM_UP)

    def _ways(self, size: int) -> list[_Way]:
        net, dense = self._net, self._ready(_with_global_attention(self._trained, size))
        sparse = [_Way(f"sparse {b:g}", net, b, Routing.LEARNED) for b in self.options.budgets]
        first = self.options.budgets[0]
        second = self._second
        return [
            *sparse,
            *([_Way(f"sparse {first:g}, onnx fp32", second, first, Routing.LEARNED)] if second else []),
            _Way("random routing", net, first, Routing.RANDOM),
            _Way("by image gradients", net, first, Routing.GRADIENT),
            _Way("uniform 16 px", net, 0.25, Routing.UNIFORM),
            _Way(_DENSE, net, 1.0, Routing.LEARNED),
            _Way("dense, global attention", dense, 1.0, Routing.LEARNED),
        ]

    def _size(self, size: int, told: Callable[[], None]) -> list[Row]:
        inp = _picture(size, self.device)
        ways = self._ways(size)
        seconds: dict[str, list[float]] = defaultdict(list)
        kept: dict[str, float] = {}
        for turn in range(self.options.runs + _WARM_UP):
            for way in ways:
                took, kept[way.name] = self._once(way, inp)
                if turn >= _WARM_UP:
                    seconds[way.name].append(took)
                told()
        dense = statistics.median(seconds[_DENSE])
        return [self._row(way, inp, seconds[way.name], kept[way.name], dense) for way in ways]

    def _row(self, way: _Way, inp: NetInput, seconds: Sequence[float], kept: float, dense: float) -> Row:
        size = inp.image.shape[-1]
        median = statistics.median(seconds)
        return Row(
            size_px=size,
            name=way.name,
            budget=way.budget,
            tokens=round(kept * (size // 8) ** 2),
            tokens_kept=round(kept, 4),
            median_ms=round(median * 1e3, 2),
            p95_ms=round(_percentile95(seconds) * 1e3, 2),
            megapixels_per_s=round(size * size / 1e6 / median, 2),
            dense_over_this=round(dense / median, 2),
            peak_mb=self._peak_mb(way, inp),
            process_mb=process_mb(lambda: self._once(way, inp)),
            stages_ms=self._stages(way, inp),
        )

    def _once(self, way: _Way, inp: NetInput) -> tuple[float, float]:
        self._wait()
        start = time.perf_counter()
        with torch.inference_mode(), self._precision():
            features = way.net.features(inp, way.budget, way.routing)
        with torch.inference_mode():  # answers are read in fp32
            way.net.read(features, Modality.STREET, frozenset(Head))
        self._wait()
        return time.perf_counter() - start, features.kept

    def _precision(self) -> Any:  # noqa: ANN401 - autocast has no public type
        cast_on_the_way = self.dtype and self.device.type != "cpu"
        return torch.autocast(self.device.type, dtype=self.dtype) if cast_on_the_way else nullcontext()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _peak_mb(self, way: _Way, inp: NetInput) -> float | None:
        """Memory that one pass needs above what was held before it; None where nobody tells."""
        if isinstance(way.net, _Second):
            return None
        return tensors_mb(lambda: self._once(way, inp), self.device)

    def _stages(self, way: _Way, inp: NetInput, turns: int = 5) -> dict[str, float]:
        """Median ms of every stage, from the times at which its methods begin and end."""
        found: dict[str, list[float]] = defaultdict(list)
        if isinstance(way.net, _Second):
            return {}
        for _ in range(turns):
            with _stage_clock(way.net, self._wait) as spent:
                total, _ = self._once(way, inp)
            spent["rest"] = total - sum(spent.values())
            for name, value in spent.items():
                found[name].append(value)
        return {name: round(statistics.median(values) * 1e3, 2) for name, values in found.items()}


@contextmanager
def _stage_clock(net: BananaNet, wait: Callable[[], None]) -> Iterator[dict[str, float]]:
    spent: dict[str, float] = dict.fromkeys(_STAGES, 0.0)

    def timed(stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:  # noqa: ANN401 - whatever the method takes
            wait()
            start = time.perf_counter()
            found = call(*args)
            wait()
            spent[stage] += time.perf_counter() - start
            return found

        return run

    places = [(stage, *_place(net, name)) for stage, names in _STAGES.items() for name in names]
    for stage, owner, name in places:
        owner.__dict__[name] = timed(stage, getattr(owner, name))
    try:
        yield spent
    finally:
        for _, owner, name in places:
            del owner.__dict__[name]


def _place(net: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that has a method, by its dotted name."""
    owner, _, method = name.rpartition(".")
    return net.get_submodule(owner), method


def _with_global_attention(net: BananaNet, size: int) -> BananaNet:
    """The same weights with every token attending to every other: what chunks save."""
    twin = copy.deepcopy(net)
    tokens = (size // 8) ** 2
    for block in twin.blocks:
        attention = cast(Block, block).attend
        attention.chunk = -(-tokens // net.spec.chunk) * net.spec.chunk
        attention.top = attention.shift = 0
    return twin


def _picture(size: int, device: torch.device) -> NetInput:
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    # Smooth on the left, textured on the right, so that a router has something to choose.
    image = torch.where(torch.arange(size) < size // 2, noise.mean(), noise)
    blank: Tensor = torch.zeros(1, 2, size, size)
    return NetInput(
        image=image.to(device),
        valid=torch.ones(1, 1, size, size, device=device),
        rays=blank.to(device),
        modality=torch.tensor([MODALITIES.index(Modality.STREET)], device=device),
        log_pitch=torch.tensor([torch.nan], device=device),
    )


def _percentile95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores"
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of a source checkout; None for an installed package."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return None
    with suppress(OSError, subprocess.SubprocessError):
        asked = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=False)
        return done.stdout.strip() or None
    return None
