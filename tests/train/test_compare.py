"""Arms of a comparison see the same, learn, and are counted once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from banana_cli.classes import STREET
from banana_cli.errors import UsageError
from banana_cli.model.net import BananaNet, Phase, Routing
from banana_cli.train import compare
from banana_cli.train.batch import collate
from banana_cli.train.compare import Plan, costs_of, judge, run_arm, table, train
from banana_cli.train.compare_arms import PUBLIC, Answer, Ours, build
from banana_cli.train.compare_cost import side_by_side
from banana_cli.train.compare_data import Crops, Judged, picture, whole
from banana_cli.train.example import Example
from banana_cli.train.packs import Record
from banana_cli.train.worldset import table_sets
from banana_cli.types import Modality
from tests.model.test_net import TINY
from tests.train.test_trainer import Discs

PLAN = Plan(steps=12, batch=2, size=64, warmup=2, peak_rate=4e-3)


class Streets:
    """The discs, all as streets."""

    def example(self, index: int, *, large: bool = False) -> Example:
        return replace(Discs().example(index), modality=Modality.STREET)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Crops:
    return Crops.make(tmp_path_factory.mktemp("crops"), Streets(), 6)


def tiny(routing: Routing = Routing.LEARNED) -> Ours:
    torch.manual_seed(3)
    ours = Ours("pico", routing, 0.25)
    ours.net = BananaNet(TINY, things=False)
    return ours


def record(height: int, width: int) -> Record:
    rng = np.random.default_rng(0)
    label = np.where(np.arange(width)[None] < width // 2, 0, 10).repeat(height, 0).astype(np.uint8)
    return Record(
        name="1",
        pack="world/street",
        group="1",
        modality=Modality.STREET,
        pixels=rng.integers(0, 255, (height, width, 3), np.uint8),
        label=label,
        sets=table_sets(Modality.STREET),
    )


def test_crops_come_back_as_they_were_drawn(crops: Crops) -> None:
    drawn, kept = Streets().example(2), crops.example(2)
    assert np.abs(drawn.image.clip(0, 1) - kept.image).max() < 0.003
    assert np.array_equal(drawn.label, kept.label)
    assert np.array_equal(drawn.valid, kept.valid)
    assert kept.sets == drawn.sets


def test_every_seed_sees_each_crop_once_in_its_own_order(crops: Crops) -> None:
    def seen(seed: int) -> list[float]:
        images = torch.cat([crops.batch(seed, step, 2).inputs.image for step in range(3)])
        return [round(float(v), 2) for v in images.double().mean((1, 2, 3)) * 1e4]

    every = [round(float(crops.example(i).image.mean(dtype=np.float64)) * 1e4, 2) for i in range(6)]
    assert len(set(every)) == 6
    assert sorted(seen(1)) == sorted(seen(2)) == sorted(every)
    assert seen(1) != seen(2)
    assert seen(1) == seen(1)


@pytest.mark.parametrize("routing", [Routing.LEARNED, Routing.UNIFORM])
def test_an_arm_learns_and_repeats_itself(crops: Crops, routing: Routing) -> None:
    first, second = tiny(routing), tiny(routing)
    early = train(first, crops, replace(PLAN, steps=1), 1)
    late = train(second, crops, PLAN, 1)
    assert late < 0.8 * early
    assert train(tiny(routing), crops, PLAN, 1) == late


def test_a_whole_picture_is_filled_up_to_cells_that_nobody_judges() -> None:
    seen = whole(record(180, 320))
    assert seen.label.shape == (288, 512)
    seen = whole(record(150, 320))  # 240 rows, 256 with what is filled up
    assert seen.label.shape == (256, 512)
    assert not seen.valid[240:].any()
    assert (seen.label[240:] == 255).all()
    assert (seen.label[:240] != 255).all()


def test_a_perfect_arm_has_an_miou_of_one() -> None:
    class Told(Ours):
        def forward(self, inp: object, phase: Phase | None) -> Answer:
            truth = torch.from_numpy(whole(record(150, 320)).label).long()
            logits = 20.0 * torch.nn.functional.one_hot(truth.clamp(max=19), len(STREET)).permute(2, 0, 1)
            return Answer(logits=logits[None].float(), features=None, kept=0.5)

    scores = judge(Told("pico", Routing.LEARNED, 0.25), Judged(name="world", records=[record(150, 320)]))
    assert scores["miou"] == 1.0
    assert scores["loss"] < 1e-3
    assert scores["kept"] == 0.5


def test_a_run_is_one_line_and_the_table_tells_the_spread(
    crops: Crops, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compare, "build", lambda *_: tiny())
    judged = [Judged(name="world", records=[record(64, 128)])]
    lines = [json.loads(json.dumps(run_arm("learned", seed, crops, PLAN, judged))) for seed in (1, 2)]
    assert lines[0]["plan"]["steps"] == PLAN.steps
    costs = costs_of(tmp_path, lines)
    row = table(lines, costs).splitlines()[-1]
    assert row.startswith("| learned | 2 |")
    assert "±" in row
    monkeypatch.setattr(compare, "side_by_side", None)
    assert costs_of(tmp_path, lines) == costs  # not timed again


def test_products_are_counted_and_more_tokens_cost_more() -> None:
    quarter, dense = tiny(), tiny()
    dense.budget = 1.0
    costs = side_by_side({"quarter": quarter, "dense": dense}, picture(128).inputs, turns=1)
    assert costs["quarter"].parameters == costs["dense"].parameters
    assert 0 < costs["quarter"].gmacs < costs["dense"].gmacs
    assert all(min(cost.peak_mb, cost.cpu_ms) > 0 for cost in costs.values())


def test_an_unknown_arm_is_refused() -> None:
    with pytest.raises(UsageError, match="no such arm"):
        build("other", "pico", 0.25)


@pytest.mark.parametrize("arm", ["pvt-v2-b0", "efficientvit-b0"])
def test_public_backbones_answer_at_full_size(arm: str) -> None:
    pytest.importorskip("timm")
    net = build(arm, "pico", 0.25)
    batch = picture(64)
    assert arm in PUBLIC
    assert net(batch.inputs, None).logits.shape == (1, len(STREET), 64, 64)
    assert net(batch.inputs, Phase(1, 0)).logits.shape == (1, len(STREET), 32, 32)


def test_collated_crops_are_streets_without_depth(crops: Crops) -> None:
    batch = collate([crops.example(0)])
    assert torch.isnan(batch.groups[0][2].depth).all()
