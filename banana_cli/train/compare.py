"""Arms trained alike and judged alike: ``python -m banana_cli.train.compare OUT --cache ... --data ...``.

Same crops in the same order, same first numbers for what the arms share, same steps; only where tokens go
(or the backbone) differs. Every run is one JSON line of ``OUT/runs.jsonl``; runs that are there are not
repeated, so that several processes, one a seed, may fill one folder. Segmentation of streets only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from banana_cli.classes import STREET
from banana_cli.errors import UsageError
from banana_cli.metrics.masks import STREET_GROUPS, Confusion, mean_known
from banana_cli.model.net import Phase
from banana_cli.train.augment import AugmentOptions
from banana_cli.train.cache import open_cache
from banana_cli.train.compare_arms import ARMS, Ours, Public, build
from banana_cli.train.compare_cost import Cost, side_by_side
from banana_cli.train.compare_data import Crops, Judged, picture
from banana_cli.train.losses import router_term, segment_terms
from banana_cli.train.mixture import Mixture
from banana_cli.train.packs import LOADERS
from banana_cli.train.splits import VALIDATION_SEED, LeakError, Pack, check_disjoint, split
from banana_cli.train.trainer import parameter_groups, rate_at
from banana_cli.types import Json, Modality

THIN = ("pole", "traffic sign and light", "person and rider", "cone or barrier")
_SHARES = {"world/street": 0.6, Pack.STREET.value: 0.4}
_RUNS = "runs.jsonl"
_COSTS = "costs.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all arms of a comparison have in common."""

    preset: str = "pico"
    steps: int = 800
    batch: int = 8
    size: int = 192
    budget: float = 0.25
    peak_rate: float = 2e-3
    weight_decay: float = 0.03
    warmup: int = 50

    def rate(self, step: int) -> float:
        """The learning rate, as in a run."""
        return rate_at(step, self.steps, self.warmup, self.peak_rate)


def train(net: Ours | Public, crops: Crops, plan: Plan, seed: int) -> float:
    """Train to the end; returns the loss of the last tenth of the steps."""
    net.train()
    groups = parameter_groups(net, plan.weight_decay)
    optimiser = AdamW(groups, lr=plan.peak_rate, betas=(0.9, 0.99))
    losses: list[float] = []
    for step in range(plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(step)
        losses.append(_step(net, optimiser, crops, plan, seed, step))
    last = losses[-max(1, plan.steps // 10) :]
    return statistics.fmean(last)


def _step(net: Ours | Public, optimiser: AdamW, crops: Crops, plan: Plan, seed: int, step: int) -> float:
    batch = crops.batch(seed, step, plan.batch)
    torch.manual_seed(seed * 1_000_003 + step)
    phase = Phase(step % 2, step // 2 % 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = net(batch.inputs, phase)
    _, _, truth = batch.groups[0]
    segment, dice, pixel = segment_terms(answer.logits, truth.at(phase))
    loss = segment + 0.5 * dice
    if answer.features is not None:
        loss = loss + 0.2 * router_term(answer.features, pixel.detach())
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if torch.isfinite(clip_grad_norm_(net.parameters(), 1.0)):
        optimiser.step()
    return float(segment.detach() + 0.5 * dice.detach())


@torch.inference_mode()
def judge(net: Ours | Public, judged: Judged) -> dict[str, float]:
    """mIoU of the ten groups, of the thin ones, cross-entropy, and the share of tokens."""
    net.eval()
    confusion: Confusion | None = None
    losses, kept = [], []
    for batch in judged.batches():
        _, _, truth = batch.groups[0]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            answer = net(batch.inputs, None)
        losses.append(float(segment_terms(answer.logits, truth)[0]))
        kept.append(answer.kept)
        confusion = confusion or Confusion(truth.sets[0], len(STREET))
        ids = answer.logits.argmax(1)[0].to(torch.uint8).numpy()
        confusion.add(ids, truth.label[0].to(torch.uint8).numpy())
    if confusion is None:
        raise UsageError("nothing to judge on", subject=judged.name, remedy="give pictures")
    each = dict(zip((n for n, _ in STREET_GROUPS), confusion.grouped(STREET_GROUPS).iou(), strict=True))
    return {
        "miou": mean_known(np.array(list(each.values()))),
        "thin": mean_known(np.array([each[n] for n in THIN])),
        "loss": statistics.fmean(losses),
        "kept": statistics.fmean(kept),
        **{f"iou {n}": float(v) for n, v in each.items()},
    }


def run_arm(arm: str, seed: int, crops: Crops, plan: Plan, judged: Sequence[Judged]) -> dict[str, Json]:
    """Train and judge one arm; everything about it as one line of JSON."""
    torch.manual_seed(seed)
    net = build(arm, plan.preset, plan.budget)
    began = time.process_time()
    last = train(net, crops, plan, seed)
    line: dict[str, Json] = {"arm": arm, "seed": seed, "plan": asdict(plan), "train_loss": round(last, 4)}
    line["train_cpu_s"] = round(time.process_time() - began, 1)
    for source in judged:
        line[source.name] = {k: round(v, 4) for k, v in judge(net, source).items()}
    return line


def read_runs(folder: Path) -> list[dict[str, Json]]:
    """The finished runs in a folder."""
    file = folder / _RUNS
    if not file.exists():
        return []
    return [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()]


def costs_of(folder: Path, runs: Sequence[Mapping[str, Any]]) -> dict[str, Cost]:
    """What all arms of a folder cost at 512 x 512: timed together, and kept there until an arm is added."""
    file, arms = folder / _COSTS, sorted({run["arm"] for run in runs})
    if file.exists():
        known = {arm: Cost(**facts) for arm, facts in json.loads(file.read_text(encoding="utf-8")).items()}
        if sorted(known) == arms:
            return known
    torch.set_num_threads(1)
    plan = Plan(**runs[0]["plan"]) if runs else Plan()
    found = side_by_side({a: build(a, plan.preset, plan.budget) for a in arms}, picture(512).inputs)
    text = json.dumps({arm: asdict(cost) for arm, cost in found.items()}, indent=1)
    file.write_text(text, encoding="utf-8")
    return found


def table(runs: Iterable[Mapping[str, Any]], costs: Mapping[str, Cost]) -> str:
    """Arms as rows: mean and spread (standard deviation over seeds) of each measure, best mean first."""
    by_arm: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for run in runs:
        by_arm[run["arm"]].append(run)
    sources = sorted({k for line in by_arm.values() for k in line[0] if k.startswith(("world", "real"))})
    columns = [(s, m) for s in sources for m in ("miou", "thin", "loss")]
    titles = [f"{s} {m}" for s, m in columns]
    head = ["arm", "seeds", *titles, "parameters", "GMAC", "CPU ms", "MB", "training CPU s"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    order = sorted(by_arm, key=lambda a: -statistics.fmean(r[sources[0]]["miou"] for r in by_arm[a]))
    for arm in order:
        mine = by_arm[arm]
        cells = [_spread([r[s][m] for r in mine]) for s, m in columns]
        cost = costs[arm]
        size = [
            f"{cost.parameters / 1e6:.2f} M",
            *(f"{v:.4g}" for v in (cost.gmacs, cost.cpu_ms, cost.peak_mb)),
        ]
        spent = f"{statistics.fmean(r['train_cpu_s'] for r in mine):.0f}"
        lines.append("| " + " | ".join([arm, str(len(mine)), *cells, *size, spent]) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    around = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{around}"


def judged_on(validation: Path, data: Path | None, limit: int) -> list[Judged]:
    """Made streets of seeds that no training used, and the held-out cities."""
    world = open_cache(validation)[Modality.STREET]
    if world.plan.first_seed < VALIDATION_SEED:
        raise LeakError(
            "holds worlds that training may have seen",
            subject=str(validation),
            remedy="render them with --validation",
        )
    found = [Judged(name="world", records=[world[i] for i in range(min(limit, len(world)))])]
    if data:
        train_part, held_out = split(LOADERS[Pack.STREET](data))
        check_disjoint(train_part, held_out)
        found.append(Judged(name="real", records=held_out))
    return found


def make_crops(folder: Path, cache: Path, data: Path | None, plan: Plan, count: int) -> Crops:
    """The crops of all arms: made streets, and labelled frames of the training cities."""
    streets = open_cache(cache)[Modality.STREET]
    packs = {Pack.STREET: split(LOADERS[Pack.STREET](data))[0]} if data else None
    weights = _SHARES if data else {"world/street": 1.0}
    source = Mixture(
        {Modality.STREET: streets}, packs, weights, seed=7, options=AugmentOptions(size=plan.size)
    )
    return Crops.make(folder, source, count)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Options; every field of ``Plan`` is one."""
    parser = argparse.ArgumentParser(description="Train arms alike on streets, and judge them alike.")
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--cache", type=Path, help="rendered training worlds")
    parser.add_argument("--validation", type=Path, help="rendered validation worlds")
    parser.add_argument("--data", type=Path, help="the labelled packs (shared/data)")
    parser.add_argument("--crops", type=Path, help="folder for the crops (default: OUT/crops)")
    parser.add_argument("--count", type=int, default=8000, help="crops to make")
    parser.add_argument("--arms", default="learned,uniform,random", help=f"of {', '.join(ARMS)}")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--limit", type=int, default=100, help="validation streets")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    for field in fields(Plan):
        kind, flag = type(field.default), f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=field.default)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing, seed by seed, and print the table."""
    asked = parse(argv)
    if not asked.table:
        _fill(asked, Plan(**{f.name: getattr(asked, f.name) for f in fields(Plan)}))
    runs = read_runs(asked.out)
    sys.stdout.write(table(runs, costs_of(asked.out, runs)) + "\n")


def _fill(asked: argparse.Namespace, plan: Plan) -> None:
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    crops = make_crops(asked.crops or asked.out / "crops", asked.cache, asked.data, plan, asked.count)
    judged = judged_on(asked.validation, asked.data, asked.limit)
    for seed in (int(s) for s in asked.seeds.split(",")):
        for arm in asked.arms.split(","):
            if (arm, seed) not in {(r["arm"], r["seed"]) for r in read_runs(asked.out)}:
                line = json.dumps(run_arm(arm, seed, crops, plan, judged))
                with (asked.out / _RUNS).open("a", encoding="utf-8") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main()
