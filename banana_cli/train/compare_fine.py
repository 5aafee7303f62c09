"""A network whose small tokens read and write the features at stride 4: a candidate, not shipped.

In the shipped network a token of 8 px sees one row of the stem at stride 8 and gives one back, so that what
is thin lies with the stem and the decoder alone and small tokens have little to add.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from banana_cli.model.net import BananaNet, Features, NetInput, Routing, fourier
from banana_cli.model.tokens import Grid, TokenPlan, Tree, build_tree, flat_rows, grid_maps, plan_tokens
from banana_cli.specs import ModelSpec

_LEVELS = 2  # 8 and 16 px


class FineNet(BananaNet):
    """Tokens of 8 and 16 px carry the 4 and 16 cells of 4 px below them, in and out."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, things=False)
        rows = [4 ** (level + 1) * spec.stem[1] for level in range(_LEVELS)]
        self.fine_in = nn.ModuleList(nn.Linear(n, spec.width) for n in rows)
        self.fine_out = nn.ModuleList(nn.Linear(spec.width, n) for n in rows)
        for layer in (*self.fine_in, *self.fine_out):
            nn.init.zeros_(cast(nn.Linear, layer).bias)
        for layer in self.fine_out:
            nn.init.normal_(cast(nn.Linear, layer).weight, std=0.01)

    def features(self, inp: NetInput, budget: float, routing: Routing = Routing.LEARNED) -> Features:
        """As the shipped network's; sizes must be multiples of 32."""
        grid = Grid(inp.image.shape[-2] // 32, inp.image.shape[-1] // 32)
        plan = TokenPlan(grid, grid.n32, 0) if routing is Routing.UNIFORM else plan_tokens(grid, budget)
        prompt = self.prompt(inp)
        f4, f8 = self._stem(inp, prompt)
        score = self.router(f8)
        with torch.no_grad():
            tree = build_tree(self._gain(score, inp, plan, routing), plan)
        where = grid_maps(grid, f8.device).centre[tree.row]
        tokens = self.embed(self._picked(f8, tree, plan)) + self.level(where[..., 2].long())
        tokens = tokens + self.position(fourier(where[..., :2])) + prompt[:, None, -self.spec.width :]
        x = self._trunk(tokens + self._seen(f4, tree, plan).to(tokens.dtype))
        front = self.spec.registers
        tokens = x[:, front : front + plan.count]
        return Features(
            f4=self._decode(f4 + self._told(tokens, tree, plan), f8, self._unpool(tokens, tree, grid)),
            registers=x[:, :front],
            score=score,
            kept=plan.kept,
            own_row=tree.own_row,
            plan=plan,
        )

    def _seen(self, f4: Tensor, tree: Tree, plan: TokenPlan) -> Tensor:
        """(B, N, D): what the cells at stride 4 add to each token, nothing to those of 32 px."""
        batch = len(f4)
        out = f4.new_zeros(batch * plan.count, self.spec.width)
        for level, layer in enumerate(self.fine_in):
            if plan.n_by_level[level]:
                cells = F.pixel_unshuffle(f4, 2 << level).flatten(2).transpose(1, 2)
                own = flat_rows(_cells(tree, plan, level), cells.shape[1])
                rows = layer(cells.reshape(-1, cells.shape[-1]).index_select(0, own))
                out = out.index_add(0, flat_rows(tree.level[level], plan.count), rows.to(out.dtype))
        return out.view(batch, plan.count, -1)

    def _told(self, tokens: Tensor, tree: Tree, plan: TokenPlan) -> Tensor:
        """(B, C4, H/4, W/4): what each token gives to its cells at stride 4."""
        batch, rows32, cols32 = len(tokens), plan.grid.rows, plan.grid.cols
        flat = self.expand.norm(tokens).reshape(batch * plan.count, -1)
        out = tokens.new_zeros(batch, self.spec.stem[1], 8 * rows32, 8 * cols32)
        for level, layer in enumerate(self.fine_out):
            if plan.n_by_level[level]:
                rows = layer(flat.index_select(0, flat_rows(tree.level[level], plan.count)))
                side = 4 >> level  # cells in one of 32 px
                count = side * side * plan.grid.n32
                bank = rows.new_zeros(batch * count, rows.shape[-1])
                bank = bank.index_copy(0, flat_rows(_cells(tree, plan, level), count), rows)
                cells = bank.view(batch, side * rows32, side * cols32, -1).permute(0, 3, 1, 2)
                out = out + F.pixel_shuffle(cells, 2 << level)
        return out


def _cells(tree: Tree, plan: TokenPlan, level: int) -> Tensor:
    """(B, n) raster places, on the grid of their level, of the tokens of 8 (0) or 16 px (1)."""
    maps = grid_maps(plan.grid, tree.row.device)
    order, before = ((maps.raster8, 0), (maps.raster16, plan.grid.n8))[level]
    return order[tree.row.gather(1, tree.level[level]) - before]
