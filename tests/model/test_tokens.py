"""The quadtree's arithmetic: every cell is covered once, counts are fixed, orders are permutations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from banana_cli.model.tokens import POSITION_PX, Grid, build_tree, grid_maps, plan_tokens, split_shares

GRIDS = st.builds(Grid, st.integers(1, 9), st.integers(1, 9))
BUDGETS = st.floats(0.05, 1.0)
CPU = torch.device("cpu")


@given(GRIDS)
@settings(max_examples=30, deadline=None)
def test_orders_are_permutations_that_nest(grid: Grid) -> None:
    maps = grid_maps(grid, CPU)
    for raster, count in ((maps.raster8, grid.n8), (maps.raster16, grid.n8 // 4), (maps.raster32, grid.n32)):
        assert torch.equal(raster.sort().values, torch.arange(count))
    assert torch.equal(maps.raster8[maps.curve8], torch.arange(grid.n8))
    cols = grid.cols * 4
    y, x = maps.raster8 // cols, maps.raster8 % cols
    parents = (y // 4 * grid.cols + x // 4).view(-1, 16)
    assert torch.equal(parents, maps.raster32[:, None].expand(-1, 16))
    middles = (y // 2 * grid.cols * 2 + x // 2).view(-1, 4)
    assert torch.equal(middles, maps.raster16[:, None].expand(-1, 4))


@pytest.mark.parametrize(
    ("rows", "cols", "jumps"), [(8, 8, 0), (16, 16, 0), (8, 16, 0), (9, 16, 1), (16, 9, 1)]
)
def test_neighbours_on_the_curve_are_neighbours_in_the_picture(rows: int, cols: int, jumps: int) -> None:
    order = grid_maps(Grid(rows, cols), CPU).raster32
    y, x = order // cols, order % cols
    steps = y.diff().abs() + x.diff().abs()
    assert int((steps != 1).sum()) == jumps


@given(GRIDS, BUDGETS, st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_every_cell_has_exactly_one_token(grid: Grid, budget: float, seed: int) -> None:
    plan = plan_tokens(grid, budget)
    gain = torch.rand(2, grid.n8, generator=torch.Generator().manual_seed(seed))
    tree = build_tree(gain, plan)
    n8, n16 = grid.n8, grid.n8 // 4
    assert tree.row.shape == (2, plan.count)
    for row in tree.row:
        cells = [
            range(r, r + 1)
            if r < n8
            else range(4 * (r - n8), 4 * (r - n8) + 4)
            if r < n8 + n16
            else range(16 * (r - n8 - n16), 16 * (r - n8 - n16) + 16)
            for r in row.tolist()
        ]
        covered = [c for part in cells for c in part]
        assert covered == list(range(n8))  # once each, and along the curve


@given(GRIDS, BUDGETS, st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_expansion_rows_lead_back_to_the_own_token(grid: Grid, budget: float, seed: int) -> None:
    plan = plan_tokens(grid, budget)
    gain = torch.rand(1, grid.n8, generator=torch.Generator().manual_seed(seed))
    tree = build_tree(gain, plan)
    # Expand each token to (its place in the sequence, sub-cell), as the network does, and read it back.
    rows = [
        torch.stack([pick[0].repeat_interleave(n), torch.arange(n).repeat(pick.shape[1])], -1)
        for pick, n in zip(tree.level, (1, 4, 16), strict=True)
    ]
    own = torch.cat(rows)[tree.own_row[0]]
    n8, n16 = grid.n8, grid.n8 // 4
    for cell, (token, sub) in enumerate(own.tolist()):
        row = int(tree.row[0, token])
        first, size = (
            (row, 1) if row < n8 else (4 * (row - n8), 4) if row < n8 + n16 else (16 * (row - n8 - n16), 16)
        )
        assert first + sub == cell and sub < size


def test_budget_one_is_every_cell_in_order() -> None:
    grid = Grid(3, 5)
    plan = plan_tokens(grid, 1.0)
    assert plan.kept == 1.0
    tree = build_tree(torch.rand(1, grid.n8), plan)
    assert torch.equal(tree.row[0], torch.arange(grid.n8))
    assert torch.equal(tree.own_row[0], torch.arange(grid.n8))


@given(st.floats(0.0626, 1.0))
def test_shares_give_the_budget(budget: float) -> None:
    r32, r16 = split_shares(budget)
    assert (1 + 3 * r32 + 12 * r32 * r16) / 16 == pytest.approx(budget, abs=1e-3)


def test_splits_go_where_the_gain_is() -> None:
    grid = Grid(4, 4)
    gain = torch.full((1, grid.n8), 0.01)
    maps = grid_maps(grid, CPU)
    hot = maps.curve8[torch.arange(5)]  # five cells in the picture's top left
    gain[0, hot] = 1.0
    tree = build_tree(gain, plan_tokens(grid, 0.165))
    assert all(int(c) in tree.row[0].tolist() for c in hot)


@pytest.mark.parametrize("budget", [0.0, -1.0, 1.5])
def test_a_budget_outside_its_range_is_refused(budget: float) -> None:
    with pytest.raises(ValueError, match="budget"):
        split_shares(budget)


@pytest.mark.parametrize(
    ("budget", "split", "fine"), [(0.165, 0.35, 0.15), (0.25, 0.55, 0.25), (0.27, 0.6, 0.25)]
)
def test_many_cells_are_split_once_before_a_few_are_split_twice(
    budget: float, split: float, fine: float
) -> None:
    plan = plan_tokens(Grid(16, 16), budget)
    assert plan.k32 / plan.grid.n32 > split
    assert plan.k16 / (4 * plan.k32) < fine


@pytest.mark.parametrize(("rows", "cols"), [(9, 16), (16, 16), (18, 32), (68, 120)])
def test_no_look_has_positions_that_training_never_had(rows: int, cols: int) -> None:
    place = grid_maps(Grid(rows, cols), torch.device("cpu")).centre[:, :2]
    most = 256 / POSITION_PX
    assert float(place.abs().max()) <= most
    assert float(place.abs().max()) > 0.9 * most  # and the longer side has all of them
    assert torch.equal(place.amax(0), -place.amin(0))
