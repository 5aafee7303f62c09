"""The network's inside in ONNX Runtime on the CPU, in fp32; answers are read by torch as ever.

Graphs are built for a size at its first picture (some seconds) and kept, see ``graph_cache``.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from banana_cli import __version__
from banana_cli.model.graph import FEATURES, INPUTS, Size, export_inside
from banana_cli.model.graph_cache import GraphCache
from banana_cli.model.net import BananaNet, Features, Head, NetInput, NetOutput
from banana_cli.model.tokens import Grid, TokenPlan, plan_tokens
from banana_cli.types import Modality

_SESSIONS: Final = 4
"""Sizes whose graphs stay in memory."""


class Session(Protocol):
    """A loaded graph."""

    def run(self, names: tuple[str, ...], feed: dict[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """The named outputs."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    session: Session
    plan: TokenPlan


class OnnxNet:
    """A network as the engine uses it. ``any_size`` is False: a new size is dear."""

    any_size = False

    def __init__(self, net: BananaNet, weights_sha256: str, cache: GraphCache) -> None:
        self._net, self._sha, self._cache = net, weights_sha256, cache
        self._loaded: OrderedDict[tuple[Size, float], _Loaded] = OrderedDict()

    def features(self, inp: NetInput, budget: float) -> Features:
        """Everything before the queries, picture by picture. ValueError on a wrong size."""
        rows, cols = inp.image.shape[-2:]
        loaded = self._load(Size(rows, cols), budget)
        said = [loaded.session.run(FEATURES, _feed(inp, slice(i, i + 1))) for i in range(inp.image.shape[0])]
        f4, registers, score, own_row = (
            torch.from_numpy(np.concatenate(parts)) for parts in zip(*said, strict=True)
        )
        return Features(
            f4=f4,
            registers=registers,
            score=score,
            kept=loaded.plan.kept,
            own_row=own_row,
            plan=loaded.plan,
        )

    def read(self, features: Features, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        """The heads that are wanted."""
        return self._net.read(features, modality, heads)

    def counts(self, modality: Modality, heads: frozenset[Head]) -> bool:
        """Whether ``read`` gives things."""
        return self._net.counts(modality, heads)

    def _load(self, size: Size, budget: float) -> _Loaded:
        key = (size, budget)
        found = self._loaded.pop(key, None) or self._open(size, budget)
        self._loaded[key] = found
        while len(self._loaded) > _SESSIONS:
            self._loaded.popitem(last=False)
        return found

    def _open(self, size: Size, budget: float) -> _Loaded:
        plan = plan_tokens(Grid(size.rows // 32, size.cols // 32), budget)
        counts = ",".join(map(str, plan.n_by_level))
        words = (self._sha, f"{size.rows}x{size.cols}", counts, repr(budget), __version__, torch.__version__)
        path = self._cache.path(*words)
        graph = self._cache.get(path)
        if graph is None:
            graph = export_inside(self._net, size, budget)
            self._cache.put(path, graph)
        return _Loaded(session(graph), plan)


def session(graph: bytes) -> Session:
    """A graph, ready to run with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    loaded = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return cast(Session, loaded)


def _feed(inp: NetInput, part: slice) -> dict[str, NDArray[np.generic]]:
    tensors: dict[str, Tensor] = {name: getattr(inp, name) for name in INPUTS}
    return {name: np.ascontiguousarray(tensor[part].numpy()) for name, tensor in tensors.items()}
