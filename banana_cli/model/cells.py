"""What tokens and the cells below them give each other.

B pictures, N tokens, D width, C channels of a map, n8 cells of 8 px.
"""

from __future__ import annotations

from typing import Final, cast

import torch
from torch import Tensor, nn

from banana_cli.model.tokens import Grid, TokenPlan, Tree, flat_rows, grid_maps

_FINE_LEVELS: Final = 2
"""Tokens of 8 and 16 px; one of 32 px has 64 cells of 4 px, and nothing fine to tell."""


class Expand(nn.Module):
    """Gives every token back to its cells: a token of 16 or 32 px has its own rows for 4 or 16 cells,
    so value and slope inside a coarse cell survive."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.by_level = nn.ModuleList(nn.Linear(width, n * channels) for n in (1, 4, 16))
        self.channels = channels

    def forward(self, normed_BND: Tensor, tree: Tree, grid: Grid) -> Tensor:
        """(B, N, D) tokens after ``norm`` -> (B, C, H/8, W/8)."""
        bank = _rows_by_level(self.by_level, normed_BND, tree, self.channels)
        rows = _gathered(bank, tree.own_row.index_select(1, grid_maps(grid, bank.device).curve8))
        cells = rows.view(len(bank), 4 * grid.rows, 4 * grid.cols, -1)
        return cells.permute(0, 3, 1, 2)  # already in the order of channels_last memory


class Fine(nn.Module):
    """Tokens of 8 and 16 px read and write the features at stride 4.

    Without it a small token sees one cell of the stem at stride 8 and gives one back, and all that is thin
    lies with the stem and the decoder alone. Untrained, it neither reads nor writes.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        rows = [4 ** (level + 1) * channels for level in range(_FINE_LEVELS)]
        self.take = nn.ModuleList(nn.Linear(n, width, bias=False) for n in rows)
        self.give = nn.ModuleList(nn.Linear(width, n) for n in rows)
        self.width, self.channels = width, 4 * channels
        for layer in (*self.take, *self.give):
            nn.init.zeros_(cast(nn.Linear, layer).weight)
        for layer in self.give:
            nn.init.zeros_(cast(nn.Linear, layer).bias)

    def read(self, f4: Tensor, tree: Tree, plan: TokenPlan) -> Tensor:
        """(B, C, H/4, W/4) -> (B, N, D): what the cells of 4 px below a token add to it."""
        B, C, H, W = f4.shape
        n8 = plan.grid.n8
        quads = (
            f4.permute(0, 2, 3, 1).reshape(B, H // 2, 2, W // 2, 2, C).transpose(2, 3).reshape(B * n8, 4 * C)
        )
        raster8 = grid_maps(plan.grid, f4.device).raster8
        out = f4.new_zeros(B * plan.count, self.width)
        for level, layer in enumerate(self.take):
            below = 4**level
            if plan.n_by_level[level]:
                place = tree.row.gather(1, tree.level[level]) - level * n8
                cells = raster8.view(-1, below)[place].flatten(1)
                rows = layer(quads.index_select(0, flat_rows(cells, n8)).view(-1, below * 4 * C))
                out = out.index_copy(0, flat_rows(tree.level[level], plan.count), rows.to(out.dtype))
        return out.view(B, plan.count, -1)

    def write(self, normed_BND: Tensor, tree: Tree, grid: Grid) -> Tensor:
        """(B, N, D) tokens after ``Expand.norm`` -> (B, C, H/4, W/4), 0 in tokens of 32 px."""
        bank = _rows_by_level(self.give, normed_BND, tree, self.channels)
        bank = torch.cat([bank, bank.new_zeros(len(bank), 1, self.channels)], 1)
        cells = grid_maps(grid, bank.device).curve8
        own = tree.own_row.index_select(1, cells).clamp_max(bank.shape[1] - 1)
        quads = _gathered(bank, own).view(len(bank), 4 * grid.rows, 4 * grid.cols, 2, 2, -1)
        rows = quads.transpose(2, 3).reshape(len(bank), 8 * grid.rows, 8 * grid.cols, -1)
        return rows.permute(0, 3, 1, 2)  # already in the order of channels_last memory


def _rows_by_level(layers: nn.ModuleList, normed_BND: Tensor, tree: Tree, channels: int) -> Tensor:
    """(B, rows, channels): what each layer makes of the tokens of its level, level by level."""
    B, N, D = normed_BND.shape
    flat = normed_BND.reshape(B * N, D)
    rows = [
        layer(flat.index_select(0, flat_rows(pick, N))).view(B, -1, channels)
        for layer, pick in zip(layers, tree.level, strict=False)
    ]
    return torch.cat(rows, 1)


def _gathered(bank: Tensor, own: Tensor) -> Tensor:
    """Rows (B, R, C) and which of them (B, n) -> (B, n, C)."""
    B, R, C = bank.shape
    return bank.reshape(-1, C).index_select(0, flat_rows(own, R)).view(B, -1, C)
