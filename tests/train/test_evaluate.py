"""Scores through the real engine: the right rows, honest constants, alignment only without a unit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from banana_cli.infer import Engine, EngineOptions
from banana_cli.metrics.surface import DepthErrors, aligned
from banana_cli.model.weights import save_model
from banana_cli.train.cache import Plan, build
from banana_cli.train.evaluate import (
    DepthPair,
    Row,
    best_depths,
    frame_of,
    markdown,
    score_source,
)
from banana_cli.train.score import world_rows
from banana_cli.train.splits import LeakError
from banana_cli.train.worldset import render, to_record
from banana_cli.types import Modality, ModelFacts
from tests.model.test_net import make_net

FACTS = ModelFacts(name="tiny", weights_sha256="0", budget=1.0, precision="fp32", device="cpu")


def test_alignment_gives_the_truths_median() -> None:
    truth = np.array([[2.0, 4.0, np.nan, 8.0]], np.float32)
    values = np.array([[0.2, 0.4, 0.1, np.nan]], np.float32)
    assert np.allclose(aligned(values, truth), values * np.float32(10), equal_nan=True)


def test_a_row_knows_which_way_is_better() -> None:
    facts = {"source": "x", "measure": "m", "count": 1}
    low = Row(score=1.0, constant=2.0, higher_is_better=False, **facts)
    assert low.better and not Row(score=1.0, constant=2.0, higher_is_better=True, **facts).better
    assert "(worse)" not in markdown([low])


@pytest.mark.parametrize(
    ("modality", "measures"),
    [
        (Modality.AERIAL, {"mIoU", "height MAE (m)", "normal angle, mean (deg)"}),
        (Modality.STREET, {"mIoU, ten groups", "delta1", "AbsRel", "normal angle, mean (deg)"}),
    ],
)
def test_a_world_is_scored_on_everything_it_knows(
    tmp_path: Path, modality: Modality, measures: set[str]
) -> None:
    weights = tmp_path / "w.safetensors"
    save_model(weights, make_net(), {})
    engine = Engine.load(weights, precision="fp32", budget=0.27)
    records = [to_record(render(modality, seed, (96, 128)), seed) for seed in (1, 2)]
    rows = {row.measure: row for row in score_source(engine, "world", records, records)}
    assert measures <= set(rows)
    assert all(np.isfinite(row.constant) for row in rows.values())
    assert frame_of(records[0]).shape == (96, 128)


def test_the_constants_are_the_best_that_no_look_can_beat() -> None:
    rng = np.random.default_rng(5)
    depth = np.exp(rng.normal(2.0, 1.2, (200, 200))).astype(np.float32)
    depth[rng.random(depth.shape) < 0.2] = np.nan
    record = replace(to_record(render(Modality.STREET, 1, (200, 200)), 1), depth=depth)
    low, high = 1e-3, 80.0
    pair = DepthPair(best_depths([record], low, high), low, high)
    pair.add(depth, depth)
    delta1, abs_rel, mae = (pair.scores(measure)[1] for measure in ("delta1", "abs_rel", "mae"))
    for constant in np.geomspace(0.5, 80, 60):
        errors = DepthErrors(low, high)
        errors.add(np.full_like(depth, constant), depth)
        other = errors.scores()
        assert delta1 > other.delta1 - 0.03  # constants are sought on every eighth row and column
        assert abs_rel < other.abs_rel + 0.02 and mae < other.mae + 0.1
    assert pair.scores("delta1")[0] == 1.0


def test_worlds_that_training_may_have_seen_are_not_scored(tmp_path: Path) -> None:
    build(tmp_path, Plan(modality=Modality.CT, count=1, shape=(64, 64)))
    with pytest.raises(LeakError, match="training may have seen"):
        world_rows(Engine(make_net(), FACTS, EngineOptions()), tmp_path, tmp_path, 1)
