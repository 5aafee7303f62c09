"""Small tokens read and write the cells of 4 px below them, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from banana_cli.model.cells import Fine
from banana_cli.model.net import BananaNet
from banana_cli.model.tokens import Grid, TokenPlan, Tree, build_tree, grid_maps, plan_tokens
from banana_cli.model.weights import load_model, save_model
from banana_cli.train.compare_data import picture
from tests.model.test_net import TINY

GRID = Grid(2, 3)
C4 = TINY.stem[1]


def trained() -> BananaNet:
    """A network that reads and writes fine, with random weights."""
    torch.manual_seed(1)
    net = BananaNet(TINY, things=False).eval()
    assert net.fine is not None
    for layer in (*net.fine.take, *net.fine.give):
        torch.nn.init.normal_(layer.weight, std=0.1)
    return net


def handed_through(plan: TokenPlan, level: int, f4: Tensor) -> tuple[Tensor, Tree]:
    """What tokens of a level write when they hand on what they read."""
    torch.manual_seed(2)
    fine = Fine(4 ** (level + 1) * C4, C4)
    for layer in (fine.take[level], fine.give[level]):
        torch.nn.init.eye_(layer.weight)
    tree = build_tree(torch.rand(len(f4), plan.grid.n8), plan)
    tokens = fine.read(f4, tree, plan)
    return fine.write(tokens, tree, plan.grid), tree


@pytest.mark.parametrize("level", [0, 1])
def test_a_token_writes_where_it_has_read(level: int) -> None:
    every = {0: TokenPlan(GRID, GRID.n32, 4 * GRID.n32), 1: TokenPlan(GRID, GRID.n32, 0)}
    f4 = torch.rand(2, C4, 8 * GRID.rows, 8 * GRID.cols)
    back, _ = handed_through(every[level], level, f4)
    assert torch.equal(back, f4)


@pytest.mark.parametrize("level", [0, 1])
def test_in_a_mixed_tree_only_tokens_of_the_level_write(level: int) -> None:
    plan = TokenPlan(GRID, 4, 5)
    f4 = 1 + torch.rand(2, C4, 8 * GRID.rows, 8 * GRID.cols)
    back, tree = handed_through(plan, level, f4)
    n8, n16, _ = plan.n_by_level
    own = tree.own_row.index_select(1, grid_maps(GRID, f4.device).curve8)
    mine = own < n8 if level == 0 else (own >= n8) & (own < n8 + 4 * n16)
    cells = mine.view(2, 1, 4 * GRID.rows, 4 * GRID.cols).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(back, f4 * cells)


def test_what_lies_below_one_token_reaches_no_other() -> None:
    fine, plan = trained().fine, plan_tokens(GRID, 0.4)
    assert fine is not None
    tree = build_tree(torch.rand(1, GRID.n8), plan)
    f4 = torch.rand(1, C4, 8 * GRID.rows, 8 * GRID.cols)
    other = f4.clone()
    other[..., 5, 7] += 1.0
    changed = (fine.read(f4, tree, plan) != fine.read(other, tree, plan)).any(-1)
    assert int(changed.sum()) <= 1


def test_files_from_before_are_read_as_they_were(tmp_path: Path) -> None:
    net = BananaNet(TINY, things=False).eval()
    save_model(tmp_path / "new.safetensors", net, {})
    before = {k: v for k, v in load_file(tmp_path / "new.safetensors").items() if not k.startswith("fine.")}
    save_file(before, tmp_path / "old.safetensors", _metadata(tmp_path / "new.safetensors"))
    inp = picture(64).inputs
    answers = [
        load_model(tmp_path / f"{name}.safetensors")[0].features(inp, 0.27).f4 for name in ("new", "old")
    ]
    assert torch.equal(*answers)


def test_reading_and_writing_matter_once_they_are_trained() -> None:
    net, inp = trained(), picture(64).inputs
    before = net.features(inp, 0.27).f4
    assert net.fine is not None
    for layer in net.fine.give:
        torch.nn.init.zeros_(layer.weight)
    assert not torch.equal(before, net.features(inp, 0.27).f4)


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())
