"""A short run learns, and a run that was cut in two ends with the same bits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tqdm import tqdm

from banana_cli.errors import UsageError
from banana_cli.model.net import BananaNet
from banana_cli.train import trainer
from banana_cli.train.batch import collate
from banana_cli.train.example import Example
from banana_cli.train.trainer import Recipe, Run, batches
from banana_cli.types import Modality
from tests.model.test_net import TINY

RECIPE = Recipe(steps=6, batch=2, size=64, warmup=2, save_every=3, peak_rate=2e-3)


class Discs:
    """Bright discs on dark ground: class 3 and near, class 1 and far."""

    def example(self, index: int) -> Example:
        rng = np.random.default_rng(index)
        y, x = np.mgrid[:64, :64]
        inside = (x - rng.integers(16, 48)) ** 2 + (y - rng.integers(16, 48)) ** 2 < 150
        image = np.where(inside, 0.9, 0.2) + 0.05 * rng.standard_normal((3, 64, 64))
        normals = np.zeros((3, 64, 64), np.float32)
        normals[2] = -1
        return Example(
            image=image.astype(np.float32),
            valid=np.ones((64, 64), bool),
            rays=np.zeros((2, 64, 64), np.float32),
            label=inside.astype(np.uint8),
            sets=((1,), (3,)),
            depth=np.where(inside, 5, 40).astype(np.float32),
            normals=normals,
            modality=Modality.STREET if index % 3 else Modality.CT,
            focal_px=float("nan"),
            true_focal_px=60.0,
            pitch=float("nan"),
            source="discs",
        )


def make_run(folder: Path, recipe: Recipe = RECIPE) -> Run:
    torch.manual_seed(3)
    return Run(recipe, folder, BananaNet(TINY))


def test_a_batch_is_sorted_into_modalities() -> None:
    batch = collate([Discs().example(i) for i in range(4)])
    assert [(a, b, t.modality) for a, b, t in batch.groups] == [
        (0, 2, Modality.STREET),
        (2, 4, Modality.CT),
    ]
    assert len(set(batch.inputs.modality[:2].tolist())) == 1


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = make_run(tmp_path / "whole").go(Discs(), workers=0, quiet=True)
    half = make_run(tmp_path / "cut")
    stop = half.recipe.save_every
    assert _first_steps(half, stop)[-1] == stop
    resumed = make_run(tmp_path / "cut")
    assert resumed.step == stop
    joined = resumed.go(Discs(), workers=0, quiet=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, joined.state_dict()[name]), name


def _first_steps(run: Run, count: int) -> list[int]:
    """Do ``count`` steps as ``go`` would, then stop as if killed."""
    bar = tqdm(disable=True)
    done = []
    for batch in batches(Discs(), run.recipe, run.step, 0):
        run._one(batch, bar)
        done.append(run.step)
        if run.step == count:
            break
    return done


def test_another_recipe_in_the_folder_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path).save()
    with pytest.raises(UsageError, match="another recipe"):
        make_run(tmp_path, replace(RECIPE, batch=3))


def test_a_run_learns(tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=60, save_every=60, batch=4, warmup=5, peak_rate=4e-3)
    make_run(tmp_path, recipe).go(Discs(), workers=0, quiet=True)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 1
    figures = json.loads(lines[-1])
    assert figures["segment"] < 0.5 and figures["normals"] < 0.6


def test_a_kill_while_weights_are_written_leaves_the_last_whole_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    run.save()
    whole = (tmp_path / "average.safetensors").read_bytes()

    def killed(path: Path, *_: object) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "save_model", killed)
    with pytest.raises(KeyboardInterrupt):
        run.save()
    assert (tmp_path / "average.safetensors").read_bytes() == whole
