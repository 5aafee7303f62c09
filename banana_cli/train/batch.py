"""Examples -> tensors: one mixed batch for the encoder, and the labels of each modality in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch

from banana_cli.model.net import MODALITIES, NetInput
from banana_cli.train.example import Example
from banana_cli.train.losses import Targets
from banana_cli.train.things import things_truth
from banana_cli.types import F32, Modality

RecordT = TypeVar("RecordT", NetInput, Targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A mixed batch, sorted by modality; ``groups`` are (first, last + 1, labels of that part)."""

    inputs: NetInput
    groups: tuple[tuple[int, int, Targets], ...]

    def to(self, device: torch.device) -> Batch:
        """The same batch with every tensor on ``device``."""
        groups = tuple((first, last, _moved(part, device)) for first, last, part in self.groups)
        return Batch(inputs=_moved(self.inputs, device), groups=groups)


def _moved(record: RecordT, device: torch.device) -> RecordT:
    values: dict[str, Any] = {f.name: getattr(record, f.name) for f in fields(record)}
    moved: dict[str, Any] = {k: v.to(device) for k, v in values.items() if isinstance(v, torch.Tensor)}
    return replace(record, **moved)


def _stack(arrays: Sequence[F32]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays))


def net_input(examples: Sequence[Example]) -> NetInput:
    """The encoder's input for examples of one size."""
    return NetInput(
        image=_stack([e.image for e in examples]),
        valid=torch.from_numpy(np.stack([e.valid for e in examples])).float()[:, None],
        rays=_stack([e.rays for e in examples]),
        modality=torch.tensor([MODALITIES.index(e.modality) for e in examples]),
        log_pitch=torch.tensor([e.pitch for e in examples], dtype=torch.float32).log(),
    )


def targets(examples: Sequence[Example], modality: Modality) -> Targets:
    """Labels of examples of one modality."""
    counted = any(e.instances is not None for e in examples)
    return Targets(
        modality=modality,
        label=torch.from_numpy(np.stack([e.label for e in examples])).long(),
        sets=tuple(e.sets for e in examples),
        depth=_stack([e.depth for e in examples])[:, None],
        normals=_stack([e.normals for e in examples]),
        focal_px=torch.tensor([e.true_focal_px for e in examples], dtype=torch.float32),
        things=_stack([_things(e) for e in examples]) if counted else None,
    )


def _things(example: Example) -> F32:
    if example.instances is None:
        return np.full((3, *example.label.shape), np.nan, np.float32)
    return things_truth(example.instances)


def collate(examples: Sequence[Example]) -> Batch:
    """Sort by modality and stack."""
    ordered = sorted(examples, key=lambda e: MODALITIES.index(e.modality))
    groups = []
    for modality in MODALITIES:
        places = [i for i, e in enumerate(ordered) if e.modality is modality]
        if places:
            part = ordered[places[0] : places[-1] + 1]
            groups.append((places[0], places[-1] + 1, targets(part, modality)))
    return Batch(inputs=net_input(ordered), groups=tuple(groups))
