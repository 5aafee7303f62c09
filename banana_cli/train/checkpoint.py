"""A training run on disk: safetensors for tensors, JSON for facts, never a pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

STATE = "state.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """How far a run is and what it was started with; a resumed run must agree on the recipe.

    ``data`` tells the sources and their shares as JSON, empty if the run did not say. ``things``: whether
    it learns to count; runs of before do not.
    """

    step: int
    recipe: str
    seconds: float
    data: str = ""
    things: bool = False


def save_run(folder: Path, net: nn.Module, average: nn.Module, optimiser: Optimizer, facts: RunFacts) -> None:
    """Write net, moving average and optimiser under a temporary name, then rename."""
    tensors: dict[str, Tensor] = {f"net.{k}": v for k, v in net.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    metadata = {"facts": json.dumps(asdict(facts))}
    part = folder / f".{STATE}.part"
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, str(part), metadata)
    part.replace(folder / STATE)


def read_facts(folder: Path) -> RunFacts | None:
    """What a run's folder says about itself; None if it holds none."""
    path = folder / STATE
    if not path.exists():
        return None
    with safe_open(str(path), framework="pt") as file:
        return RunFacts(**json.loads(file.metadata()["facts"]))


def load_run(folder: Path, net: nn.Module, average: nn.Module, optimiser: Optimizer) -> None:
    """Restore the tensors of the folder's run in place."""
    with safe_open(str(folder / STATE), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    net.load_state_dict(_below("net.", tensors))
    average.load_state_dict(_below("average.", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _below("optimiser.", tensors).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
