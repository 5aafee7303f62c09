"""A short run learns, and a run that was cut in two ends with the same bits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tqdm import tqdm

from banana_cli.classes import MEDICAL, possible_ids
from banana_cli.errors import UsageError
from banana_cli.model.net import BananaNet
from banana_cli.model.weights import load_model
from banana_cli.train import trainer
from banana_cli.train.batch import collate
from banana_cli.train.checkpoint import RunFacts, read_facts
from banana_cli.train.example import Example
from banana_cli.train.losses import soft_term
from banana_cli.train.trainer import Recipe, Run, batches
from banana_cli.types import Json, Modality
from tests.model.test_net import TINY

RECIPE = Recipe(steps=6, batch=2, size=64, warmup=2, save_every=3, peak_rate=2e-3)


class Discs:
    """Bright discs on dark ground: class 3 and near, class 1 and far."""

    def example(self, index: int, *, large: bool = False) -> Example:
        rng = np.random.default_rng(index)
        side = 96 if large else 64
        y, x = np.mgrid[:side, :side]
        inside = (x - rng.integers(16, 48)) ** 2 + (y - rng.integers(16, 48)) ** 2 < 150
        image = np.where(inside, 0.9, 0.2) + 0.05 * rng.standard_normal((3, side, side))
        normals = np.zeros((3, side, side), np.float32)
        normals[2] = -1
        return Example(
            image=image.astype(np.float32),
            valid=np.ones((side, side), bool),
            rays=np.zeros((2, side, side), np.float32),
            label=inside.astype(np.uint8),
            sets=((1,), (3,)),
            depth=np.where(inside, 5, 40).astype(np.float32),
            normals=normals,
            modality=Modality.STREET if index % 3 else Modality.CT,
            focal_px=float("nan"),
            true_focal_px=60.0,
            pitch=float("nan"),
            source="discs",
            instances=inside.astype(np.uint16) if index % 3 == 1 else None,
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


def test_every_nth_batch_is_large_and_half_as_many() -> None:
    recipe = replace(RECIPE, batch=4, large_every=3)
    shapes = [tuple(batch.inputs.image.shape) for batch in batches(Discs(), recipe, 0, 0)]
    assert shapes == [(4, 3, 64, 64), (4, 3, 64, 64), (2, 3, 96, 96)] * 2


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


def test_another_recipe_is_refused_before_tensors_are_read(tmp_path: Path) -> None:
    make_run(tmp_path).save()
    torch.manual_seed(3)
    with pytest.raises(UsageError, match="another recipe"):  # and not that the tensors do not fit
        Run(replace(RECIPE, batch=3), tmp_path, BananaNet(replace(TINY, width=TINY.width * 2)))


def test_a_run_from_before_a_field_of_the_recipe_goes_on_with_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    run.step = 2
    run.save()
    old = json.loads(read_facts(tmp_path).recipe)
    facts = RunFacts(
        step=2,
        recipe=json.dumps({k: v for k, v in old.items() if k != "freeze_norm"}),
        seconds=1.0,
        things=True,
    )
    monkeypatch.setattr(trainer, "read_facts", lambda _: facts)
    assert make_run(tmp_path).step == 2
    with pytest.raises(UsageError, match="another recipe"):
        make_run(tmp_path, replace(RECIPE, freeze_norm=True))
    unknown = RunFacts(step=2, recipe=json.dumps({**old, "from_a_later_version": 1}), seconds=1.0)
    monkeypatch.setattr(trainer, "read_facts", lambda _: unknown)
    with pytest.raises(UsageError, match="another recipe"):
        make_run(tmp_path)


def test_a_run_learns_to_count_and_one_of_before_goes_on_without(tmp_path: Path) -> None:
    run = make_run(tmp_path / "new")
    _first_steps(run, 3)
    said = [json.loads(line) for line in _figures_of(run)]
    assert all(0 < f["middle"] <= 1.5 and f["offset"] > 0 for f in said)
    assert any(bool(p.detach().any()) for p in run.net.things.parameters())
    torch.manual_seed(3)
    old = Run(RECIPE, tmp_path / "old", BananaNet(TINY, things=False))
    _first_steps(old, 3)
    assert not read_facts(tmp_path / "old").things
    again = make_run(tmp_path / "old")
    assert again.step == 3 and not again.net.things and not again.average.things
    again.go(Discs(), workers=0, quiet=True)
    assert not load_model(tmp_path / "old" / "average.safetensors")[0].things


def _figures_of(run: Run) -> list[str]:
    """The figures of one more step."""
    batch = next(batches(Discs(), run.recipe, run.step, 0))
    figures = trainer.train_step(run.net, run.optimiser, batch, run.recipe, run.step)
    return [json.dumps({k: float(v) for k, v in figures.items()})]


def test_other_data_is_told_and_not_refused(tmp_path: Path) -> None:
    def run(data: dict[str, Json] | None) -> Run:
        torch.manual_seed(3)
        return Run(RECIPE, tmp_path, BananaNet(TINY), data)

    run(None).save()  # as before runs said what they were fed
    run({"discs": 1}).save()
    assert load_model(tmp_path / "average.safetensors")[1]["training"]["data"] == {"discs": 1}
    run({"discs": 1})
    with pytest.warns(UserWarning, match="other data"):
        run({"discs": 2})


def test_a_poisoned_batch_changes_nothing(tmp_path: Path) -> None:
    class Poisoned(Discs):
        def example(self, index: int, *, large: bool = False) -> Example:
            good = super().example(index)
            return replace(good, image=np.full_like(good.image, np.nan)) if index < 2 else good

    run = make_run(tmp_path)
    before = {k: v.clone() for k, v in run.net.state_dict().items()}
    bar = tqdm(disable=True)
    first, second = (b for b, _ in zip(batches(Poisoned(), RECIPE, 0, 0), range(2), strict=False))
    run._one(first, bar)
    assert all(torch.equal(v, before[k]) for k, v in run.net.state_dict().items())
    run._one(second, bar)
    assert not all(torch.equal(v, before[k]) for k, v in run.net.state_dict().items())
    for state in (run.net.state_dict(), run.average.state_dict()):
        assert all(torch.isfinite(v).all() for v in state.values() if v.dtype.is_floating_point)


def test_the_dense_budget_teaches_without_counting_the_batch_twice(tmp_path: Path) -> None:
    recipe = replace(RECIPE, distil_every=2, budget=0.3, mixed_from=1.0)
    assert [recipe.distils(s) for s in range(4)] == [True, False, True, False]
    assert not any(replace(recipe, budget=1.0).distils(s) for s in range(4))
    assert not any(RECIPE.distils(s) for s in range(4))
    batch = next(batches(Discs(), recipe, 0, 0))
    plain, taught = make_run(tmp_path / "a"), make_run(tmp_path / "b", recipe)
    without = trainer.train_step(plain.net, plain.optimiser, batch, replace(recipe, distil_every=0), 0)
    figures = trainer.train_step(taught.net, taught.optimiser, batch, recipe, 0)
    assert figures["soft"] > 0 and "soft" not in without
    counted = [n for n, _ in taught.net.named_buffers() if n.endswith("num_batches_tracked")]
    assert counted and all(taught.net.get_buffer(n) == 1 for n in counted)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in taught.net.parameters())


def test_soft_targets_pull_towards_the_dense_answer() -> None:
    torch.manual_seed(0)
    dense = torch.randn(2, len(MEDICAL), 6, 6)
    logits = torch.randn_like(dense, requires_grad=True)
    valid = torch.ones(2, 1, 6, 6)
    valid[1, :, 3:] = 0
    loss = soft_term(logits, dense, Modality.XRAY, valid)
    loss.backward()
    assert soft_term(dense, dense, Modality.XRAY, valid).abs() < 1e-6 < loss
    possible = list(possible_ids(Modality.XRAY))
    assert logits.grad[0, possible].abs().min() > 0
    impossible = [i for i in range(len(MEDICAL)) if i not in possible]
    assert not logits.grad[:, impossible].any() and not logits.grad[1, :, 3:].any()
    with torch.no_grad():
        nearer = logits - 0.5 * logits.grad
    assert soft_term(nearer, dense, Modality.XRAY, valid) < loss


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
