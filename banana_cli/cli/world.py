"""What a run needs from outside, as one value: tests hand in another."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from banana_cli import weights_index
from banana_cli.adapter import Adapter, Broken, SinkFormat, Task, discover
from banana_cli.options import Runtime
from banana_cli.pipeline import Expecting, Predictor, Remembering
from banana_cli.types import Frame, LayerKind, ModelFacts, Prediction
from banana_cli.work import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How the model is to be run; None leaves a choice to the engine."""

    weights: Path
    device: str = "auto"
    precision: str = "auto"
    budget: float | None = None
    seed: int = 0
    threads: int | None = None
    side: int | None = None
    tile: int | None = None
    overlap: int | None = None
    attention: bool = False
    instances: bool = False
    runtime: Runtime = Runtime.TORCH


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Plugins, the model's loader and the standard streams."""

    adapters: Mapping[str, Adapter]
    formats: Mapping[str, SinkFormat]
    tasks: Mapping[LayerKind, Task]
    broken: Sequence[Broken]
    load_engine: Callable[[EngineOptions], Predictor]
    resolve_weights: Callable[[Path | None, str], Path]
    stdin: BinaryIO
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str]


def real_world() -> World:
    """The installed plugins, the installed model and this process's streams."""
    readers, sinks, tasks = (discover(f"banana.{kind}") for kind in ("adapters", "sinks", "tasks"))
    by_layer = {task.layer: task for task in cast(Mapping[str, Task], tasks.found).values()}
    return World(
        adapters=cast(Mapping[str, Adapter], readers.found),
        formats=cast(Mapping[str, SinkFormat], sinks.found),
        tasks=by_layer,
        broken=(*readers.broken, *sinks.broken, *tasks.broken),
        load_engine=load_engine,
        resolve_weights=weights_index.resolve,
        stdin=sys.stdin.buffer,
        stdout=sys.stdout,
        stderr=sys.stderr,
        environ=os.environ,
    )


def load_engine(options: EngineOptions) -> Predictor:
    """The model; torch is imported here and not before."""
    from banana_cli.infer_volume import VolumeEngine

    return VolumeEngine.load(
        options.weights,
        device=options.device,
        precision=options.precision,
        budget=options.budget,
        seed=options.seed,
        threads=options.threads,
        side=options.side,
        tile=options.tile,
        overlap=options.overlap,
        attention=options.attention,
        instances=options.instances,
        runtime=options.runtime,
    )


class LazyEngine:
    """A model that is loaded when the first frame asks for it."""

    def __init__(self, load: Callable[[], Predictor]) -> None:
        self._load = load
        self._engine: Predictor | None = None

    @property
    def _loaded(self) -> Predictor:
        if self._engine is None:
            self._engine = self._load()
        return self._engine

    @property
    def facts(self) -> ModelFacts:
        """Which weights answer."""
        return self._loaded.facts

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        """As the model itself."""
        return self._loaded.predict(frame, kinds)

    def expect(self, frame: Frame, kinds: frozenset[LayerKind]) -> None:
        """Let the model begin with a frame, if it can."""
        if isinstance(self._loaded, Expecting):
            self._loaded.expect(frame, kinds)

    def memory(self) -> Memory | None:
        """What the model keeps in mind of the clip so far, if it does."""
        return self._engine.memory() if isinstance(self._engine, Remembering) else None

    def remember(self, memory: Memory) -> None:
        """Take back what ``memory`` gave."""
        if isinstance(self._loaded, Remembering):
            self._loaded.remember(memory)
