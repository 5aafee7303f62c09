"""Scores through the real engine: the right rows, honest constants, alignment only without a unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from banana_cli.infer import Engine
from banana_cli.model.weights import save_model
from banana_cli.train.evaluate import Row, aligned, frame_of, markdown, score_source
from banana_cli.train.worldset import render, to_record
from banana_cli.types import Modality
from tests.model.test_net import make_net


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
