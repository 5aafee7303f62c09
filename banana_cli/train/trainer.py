"""The training loop: mixed batches, one pass, router beside, moving average, resumable at any step."""

from __future__ import annotations

import copy
import json
import math
import random
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from banana_cli.errors import UsageError
from banana_cli.model.net import BananaNet, Features, Head, NetOutput, Phase
from banana_cli.model.weights import save_model
from banana_cli.specs import SPECS
from banana_cli.train.batch import Batch, collate
from banana_cli.train.checkpoint import RunFacts, load_run, read_facts, save_run
from banana_cli.train.example import Example
from banana_cli.train.losses import Terms, all_terms, router_term, soft_term, total
from banana_cli.types import Json

ALL_HEADS = frozenset(Head)
_LOGITS = frozenset({Head.LOGITS})


class Examples(Protocol):
    """An endless, seeded source with random access, so that a resumed run continues identically."""

    def example(self, index: int, *, large: bool = False) -> Example:
        """The example with that number; a ``large`` one may come from fewer sources."""


def rate_at(step: int, steps: int, warmup: int, peak: float) -> float:
    """Linear warm-up, then half a cosine to zero."""
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides a run, but the data."""

    preset: str = "nano"
    steps: int = 10_000
    batch: int = 12
    size: int = 256
    peak_rate: float = 1.5e-3
    weight_decay: float = 0.03
    warmup: int = 300
    budget: float = 0.27
    mixed_from: float = 0.8  # share of the run after which budgets are mixed
    average_decay: float = 0.999
    seed: int = 1
    save_every: int = 500
    freeze_norm: bool = False  # keep batch norm's statistics: for batches too small to have any
    large_every: int = 0  # every n-th step sees half as many, but large, pictures; 0: never
    distil_every: int = 0  # at every n-th step the dense budget teaches the sparse one; 0: never

    def rate(self, step: int) -> float:
        """The learning rate, see ``rate_at``."""
        return rate_at(step, self.steps, self.warmup, self.peak_rate)

    def budget_at(self, step: int) -> float:
        """The shipped budget; in the last part also others, so that one set of weights serves all."""
        if step < self.mixed_from * self.steps:
            return self.budget
        choices = (self.budget, self.budget, self.budget, 1.0, 0.6, 0.165)
        return random.Random(self.seed * 1_000_003 + step).choice(choices)

    def is_large(self, step: int) -> bool:
        """Whether this step sees large pictures."""
        return self.large_every > 0 and step % self.large_every == self.large_every - 1

    def distils(self, step: int) -> bool:
        """Whether this step asks the dense budget first."""
        return self.distil_every > 0 and step % self.distil_every == 0 and self.budget_at(step) < 1


class _Steps(Dataset[Batch]):
    """The batch of each step from ``first`` on."""

    def __init__(self, examples: Examples, recipe: Recipe, first: int) -> None:
        self._examples, self._recipe, self._first = examples, recipe, first

    def __len__(self) -> int:
        return self._recipe.steps - self._first

    def __getitem__(self, index: int) -> Batch:
        step, most = self._first + index, self._recipe.batch
        large = self._recipe.is_large(step)
        count = max(1, most // 2) if large else most
        return collate([self._examples.example(step * most + k, large=large) for k in range(count)])


def batches(examples: Examples, recipe: Recipe, first_step: int, workers: int) -> Iterator[Batch]:
    """Batches from ``first_step`` on, the same whether the run was interrupted or not."""
    steps = _Steps(examples, recipe, first_step)
    yield from DataLoader(steps, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)


class Run:
    """A run in a folder: begun, or taken up where it was left. CPU with bf16 autocast, or CUDA.

    ``data`` describes the sources: kept with the run, and a warning if a later sitting has others.
    UsageError if another recipe was begun in the folder.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        net: BananaNet | None = None,
        data: Mapping[str, Json] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        facts = read_facts(folder)
        self._data = json.dumps(data, sort_keys=True) if data else ""
        if facts:
            _check_same(facts, recipe, self._data, folder)
        torch.manual_seed(recipe.seed)
        self.recipe, self.folder = recipe, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = net or BananaNet(SPECS[recipe.preset])
        if facts and not facts.things:
            self.net.things.clear()
        self.net.to(self.device).train()
        if recipe.freeze_norm:
            for module in self.net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.optimiser = AdamW(
            parameter_groups(self.net, recipe.weight_decay), lr=recipe.peak_rate, betas=(0.9, 0.99)
        )
        if facts:
            load_run(folder, self.net, self.average, self.optimiser)
        self.step, self._before = (facts.step, facts.seconds) if facts else (0, 0.0)
        self._clock = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time spent training, earlier sittings included."""
        return self._before + time.monotonic() - self._clock

    def go(self, examples: Examples, *, workers: int = 1, quiet: bool = False) -> BananaNet:
        """Train to the end; returns the moving average."""
        bar = tqdm(total=self.recipe.steps, initial=self.step, disable=quiet, unit="step", smoothing=0.05)
        for batch in batches(examples, self.recipe, self.step, workers):
            self._one(batch.to(self.device), bar)
        bar.close()
        return self.average

    def _one(self, batch: Batch, bar: tqdm[None]) -> None:
        losses = train_step(self.net, self.optimiser, batch, self.recipe, self.step)
        _follow(self.average, self.net, min(self.recipe.average_decay, (1 + self.step) / (10 + self.step)))
        self.step += 1
        bar.update()
        if self.step % 50 == 0:
            figures = {k: round(float(v), 4) for k, v in losses.items()}
            bar.set_postfix(figures)
            self._log(figures)
        if self.step % self.recipe.save_every == 0 or self.step == self.recipe.steps:
            self.save()

    def save(self) -> None:
        """Write the checkpoint and, as a weights file, the moving average."""
        recipe = json.dumps(asdict(self.recipe), sort_keys=True)
        facts = RunFacts(
            step=self.step,
            recipe=recipe,
            seconds=self.seconds,
            data=self._data,
            things=len(self.net.things) > 0,
        )
        save_run(self.folder, self.net, self.average, self.optimiser, facts)
        training: dict[str, Json] = {"step": self.step, "recipe": asdict(self.recipe)}
        if self._data:
            training["data"] = json.loads(self._data)
        part = self.folder / ".average.part.safetensors"  # a kill must not leave half of the weights
        save_model(part, self.average, training)
        part.replace(self.folder / "average.safetensors")

    def _log(self, figures: dict[str, float]) -> None:
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": self.step, "seconds": round(self.seconds, 1), **figures}) + "\n")


def _check_same(facts: RunFacts, recipe: Recipe, data: str, folder: Path) -> None:
    """UsageError for another recipe; a field that is newer than the run counts as its default."""
    if {**asdict(Recipe()), **json.loads(facts.recipe)} != asdict(recipe):
        raise UsageError("another recipe was begun here", subject=str(folder), remedy="use a new folder")
    if facts.data and facts.data != data:
        warnings.warn(f"{folder}: goes on with other data than it was left with", stacklevel=3)


def parameter_groups(net: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay on matrices only."""
    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


def train_step(
    net: BananaNet, optimiser: AdamW, batch: Batch, recipe: Recipe, step: int
) -> dict[str, Tensor]:
    """One update; returns the mean of each loss term, detached."""
    torch.manual_seed(recipe.seed * 1_000_003 + step)  # a resumed run draws what the whole run drew
    for group in optimiser.param_groups:
        group["lr"] = recipe.rate(step)
    statistics = {name: value.clone() for name, value in net.named_buffers()}
    phase = Phase(step % 2, step // 2 % 2)
    dense = None
    if recipe.distils(step):
        with torch.no_grad():
            dense = _answers(net, batch, 1.0, _LOGITS, phase)[1]
        _restore(net, statistics)  # every batch counts once
    features, outs = _answers(net, batch, recipe.budget_at(step), ALL_HEADS, phase)
    terms = [(b - a, all_terms(out, t.at(phase))) for out, (a, b, t) in zip(outs, batch.groups, strict=True)]
    count = sum(n for n, _ in terms)
    loss = torch.stack([total(t) * (n / count) for n, t in terms]).sum()
    router = router_term(features, torch.cat([t.pixel_loss for _, t in terms]))
    soft = _soft(outs, dense, batch, phase) if dense else torch.zeros_like(loss)
    optimiser.zero_grad(set_to_none=True)
    (loss + 0.2 * router + soft).backward()  # type: ignore[no-untyped-call]
    norm = clip_grad_norm_(net.parameters(), 1.0)
    if torch.isfinite(norm):
        optimiser.step()
    else:  # the batch has poisoned the running statistics too, and the average follows those
        _restore(net, statistics)
    figures = _figures(terms, count, router, norm)
    return {**figures, "soft": soft.detach()} if dense else figures


def _restore(net: BananaNet, statistics: dict[str, Tensor]) -> None:
    for name, value in net.named_buffers():
        value.copy_(statistics[name])


def _answers(
    net: BananaNet, batch: Batch, budget: float, heads: frozenset[Head], phase: Phase
) -> tuple[Features, list[NetOutput]]:
    """What the network says of each group of the batch, read at every second pixel."""
    with torch.autocast(batch.inputs.image.device.type, dtype=torch.bfloat16):
        features = net.features(batch.inputs, budget)
        outs = [
            net.read(_part(features, first, last), targets.modality, heads, phase)
            for first, last, targets in batch.groups
        ]
    return features, outs


def _part(features: Features, first: int, last: int) -> Features:
    return Features(
        f4=features.f4[first:last],
        registers=features.registers[first:last],
        score=features.score[first:last],
        kept=features.kept,
    )


def _soft(outs: list[NetOutput], dense: list[NetOutput], batch: Batch, phase: Phase) -> Tensor:
    """Mean over the batch of what the sparse answers lack of the dense ones."""
    valid = phase.of(batch.inputs.valid)
    gaps = [
        soft_term(out.logits, aim.logits, targets.modality, valid[first:last]) * (last - first)
        for out, aim, (first, last, targets) in zip(outs, dense, batch.groups, strict=True)
        if out.logits is not None and aim.logits is not None
    ]
    return torch.stack(gaps).sum() / len(valid)


def _figures(terms: list[tuple[int, Terms]], count: int, router: Tensor, norm: Tensor) -> dict[str, Tensor]:
    names = ("segment", "dice", "depth", "edges", "normals", "focal", "middle", "offset")
    out = {k: torch.stack([getattr(t, k).detach() * (n / count) for n, t in terms]).sum() for k in names}
    return {**out, "router": router.detach(), "norm": norm}


@torch.no_grad()
def _follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    for old, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if old.dtype.is_floating_point:
            old.lerp_(new, 1 - decay)
        else:
            old.copy_(new)
