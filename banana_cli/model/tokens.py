"""Quadtree tokens of 8, 16 and 32 px along a curve, with counts fixed by size and budget.

Only topk, cumsum and index_select: static shapes, no boolean gather, exportable. All index
arithmetic is int64 or fp32: bf16 cannot hold integers above 256.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

POSITION_PX = 128.0
"""Positions are pixels from the picture's middle over this, the same for a crop and for its whole."""
TRAINED_PX = 512
"""A larger picture has the positions of one of this long side: nobody has seen those further out."""
# Shares of 32-px and of 16-px cells to split; between the measured points, straight lines. The first split
# gains most: at equal count many 16-px tokens and few of 8 px beat the reverse (weights/LOG.md).
_SPLITS = ((0.0, 0.0), (0.38, 0.11), (0.67, 0.164), (1.0, 1.0))


@dataclass(frozen=True, slots=True)
class Grid:
    """A picture of ``rows`` x ``cols`` cells of 32 px."""

    rows: int
    cols: int

    @property
    def n32(self) -> int:
        """Cells of 32 px."""
        return self.rows * self.cols

    @property
    def n8(self) -> int:
        """Cells of 8 px: the dense tokens."""
        return 16 * self.n32


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """How many cells are split: ``k32`` of the 32-px cells, ``k16`` of the resulting 16-px cells."""

    grid: Grid
    k32: int
    k16: int

    @property
    def n_by_level(self) -> tuple[int, int, int]:
        """Tokens of 8, 16 and 32 px."""
        return 4 * self.k16, 4 * self.k32 - self.k16, self.grid.n32 - self.k32

    @property
    def count(self) -> int:
        """All tokens."""
        return sum(self.n_by_level)

    @property
    def kept(self) -> float:
        """Share of the dense tokens."""
        return self.count / self.grid.n8


def split_shares(budget: float) -> tuple[float, float]:
    """Shares (of 32-px cells, of 16-px cells) to split so that about ``budget`` of the tokens remain."""
    if not 0.0 < budget <= 1.0:
        raise ValueError(f"budget {budget} is not in (0, 1]")
    for (a32, a16), (b32, b16) in zip(_SPLITS, _SPLITS[1:], strict=False):
        if budget <= (1 + 3 * b32 + 12 * b32 * b16) / 16 + 1e-9:
            return _solve(budget, (a32, a16), (b32, b16))
    return 1.0, 1.0


def _solve(budget: float, a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    low, high = 0.0, 1.0
    for _ in range(40):
        mid = (low + high) / 2
        r32, r16 = a[0] + mid * (b[0] - a[0]), a[1] + mid * (b[1] - a[1])
        low, high = (mid, high) if (1 + 3 * r32 + 12 * r32 * r16) / 16 < budget else (low, mid)
    return a[0] + high * (b[0] - a[0]), a[1] + high * (b[1] - a[1])


def plan_tokens(grid: Grid, budget: float) -> TokenPlan:
    """Counts for a grid and a budget; 1.0 gives every 8-px cell its own token."""
    r32, r16 = split_shares(budget)
    k32 = min(grid.n32, round(r32 * grid.n32))
    return TokenPlan(grid, k32, min(4 * k32, round(r16 * 4 * k32)))


@dataclass(frozen=True, slots=True)
class GridMaps:
    """The order of a grid's cells: raster index of each cell on the curve at 8, 16, 32 px; inverse of 8."""

    raster8: Tensor
    raster16: Tensor
    raster32: Tensor
    curve8: Tensor
    centre: Tensor  # (n8 + n16 + n32, 3): x, y from the middle over POSITION_PX, level 0..2


def _hilbert(rows: int, cols: int) -> Tensor:
    """Raster indices along the Hilbert curve of the enclosing square, which runs along the longer side.

    Neighbours on it are neighbours in the picture. A Morton order jumps from a block's lower right to the
    next one's upper left, and coarse tokens of road that shared a chunk with sky were taken for sky.
    """
    side = 1 << (max(rows, cols) - 1).bit_length()
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
    a, b = (y, x) if cols >= rows else (x, y)
    place, half = torch.zeros_like(a), side // 2
    while half:
        high_a, high_b = (a & half) > 0, (b & half) > 0
        place = place + half * half * ((3 * high_a) ^ high_b.long())
        mirror = high_a & ~high_b
        a, b = torch.where(mirror, side - 1 - a, a), torch.where(mirror, side - 1 - b, b)
        a, b = torch.where(high_b, a, b), torch.where(high_b, b, a)
        half //= 2
    return torch.argsort(place.flatten())


def _children(order: Tensor, cols: int) -> Tensor:
    """Raster indices of the four quarters of each cell, row by row; ``cols`` cells a row before."""
    y, x = torch.div(order, cols, rounding_mode="floor"), order % cols
    quarters = [(2 * y + dy) * 2 * cols + 2 * x + dx for dy in (0, 1) for dx in (0, 1)]
    return torch.stack(quarters, -1).flatten()


def _centres(order: Tensor, cols: int, cell: int, extent: tuple[int, int], level: int) -> Tensor:
    y = (torch.div(order, cols, rounding_mode="floor") + 0.5) * cell
    x = (order % cols + 0.5) * cell
    unit = POSITION_PX * max(1.0, max(extent) / TRAINED_PX)
    return torch.stack(
        [
            (x - extent[1] / 2) / unit,
            (y - extent[0] / 2) / unit,
            torch.full_like(x, float(level)),
        ],
        -1,
    )


@lru_cache(maxsize=32)
def grid_maps(grid: Grid, device: torch.device) -> GridMaps:
    """Orders for a grid; the 16 children of a 32-px cell are consecutive, as are the 4 of a 16-px cell."""
    r32, c32 = grid.rows, grid.cols
    order32 = _hilbert(r32, c32)
    order16 = _children(order32, c32)
    orders = [_children(order16, 2 * c32), order16, order32]
    extent = (32 * r32, 32 * c32)
    centre = torch.cat(
        [
            _centres(o, c32 * k, 32 // k, extent, i)
            for i, (o, k) in enumerate(zip(orders, (4, 2, 1), strict=True))
        ]
    )
    inverse = torch.empty_like(orders[0])
    inverse[orders[0]] = torch.arange(len(inverse))
    parts = [t.to(device) for t in (*orders, inverse, centre.float())]
    return GridMaps(*parts)


@dataclass(frozen=True, slots=True)
class Tree:
    """Which cells share a token, for a batch. B pictures, N tokens, n8 cells.

    ``row`` (B, N) row of each token in the bank of cells along the curve [8 | 16 | 32 px]; ``own_row``
    (B, n8) row of each cell of the curve in all expanded tokens [8 | 16 x 4 | 32 x 16]; ``level`` three
    (B, n_level) tensors: positions in the sequence of the tokens of each level.
    """

    row: Tensor
    own_row: Tensor
    level: tuple[Tensor, Tensor, Tensor]


def _onehot_top(score: Tensor, k: int) -> Tensor:
    hot = torch.zeros_like(score)
    return hot.scatter(1, score.topk(k, dim=1).indices, 1.0) if k else hot


def build_tree(gain: Tensor, plan: TokenPlan) -> Tree:
    """Split where ``gain`` is largest. ``gain`` (B, n8) >= 0, fp32, along the curve, one value a cell."""
    n8, n16 = plan.grid.n8, plan.grid.n8 // 4
    gain = gain.float()
    batch = gain.shape[0]
    gain16, gain32 = gain.view(batch, -1, 4).mean(-1), gain.view(batch, -1, 16).mean(-1)
    split32 = _onehot_top(gain32, plan.k32)
    may16 = split32.repeat_interleave(4, 1)
    top = gain16.amax(1, keepdim=True) + 1.0
    split16 = _onehot_top(gain16 - (1 - may16) * 2 * top, plan.k16)
    is8, p16 = split16.repeat_interleave(4, 1), may16.repeat_interleave(4, 1)
    is16, is32 = p16 - is8, 1 - p16
    cell = torch.arange(n8, device=gain.device)
    lead = is8 + is16 * (cell % 4 == 0) + is32 * (cell % 16 == 0)
    first = (lead * (n8 - cell)).topk(plan.count, dim=1).indices  # ascending cells: along the curve
    l8, l16 = is8.long(), is16.long()
    row_of_cell = l8 * cell + l16 * (n8 + cell // 4) + (1 - l8 - l16) * (n8 + n16 + cell // 16)
    row = row_of_cell.gather(1, first)
    return Tree(row, _own_rows(plan, cell, (is8, is16, is32)), _by_level(row, plan))


def _by_level(row: Tensor, plan: TokenPlan) -> tuple[Tensor, Tensor, Tensor]:
    n8, n16 = plan.grid.n8, plan.grid.n8 // 4
    tokens = torch.arange(row.shape[1], device=row.device)
    marks = ((row < n8), (row >= n8) & (row < n8 + n16), (row >= n8 + n16))
    picks = [
        (m * (plan.count - tokens)).topk(n, dim=1).indices
        for m, n in zip(marks, plan.n_by_level, strict=True)
    ]
    return picks[0], picks[1], picks[2]


def _own_rows(plan: TokenPlan, cell: Tensor, masks: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    m8, m16, m32 = (m.long() for m in masks)
    c8, c16, _ = plan.n_by_level
    # Rank of a cell among the cells of its level: whole coarse cells count 4 or 16 of them.
    rank8, rank16, rank32 = (torch.cumsum(m, 1) - 1 for m in (m8, m16, m32))
    return m8 * rank8 + m16 * (c8 + rank16) + m32 * (c8 + 4 * c16 + rank32)


def cell_levels(own_row: Tensor, plan: TokenPlan) -> Tensor:
    """``Tree.own_row`` (B, n8) -> uint8 of the same shape: 0, 1, 2 for a cell in a token of 8, 16, 32 px."""
    n8, n16, _ = plan.n_by_level
    return (own_row >= n8).to(torch.uint8) + (own_row >= n8 + 4 * n16).to(torch.uint8)


def flat_rows(index: Tensor, rows_per_item: int) -> Tensor:
    """(B, N) rows of each picture -> (B * N,) rows of the flattened batch, for one index_select."""
    offset = torch.arange(index.shape[0], device=index.device)[:, None] * rows_per_item
    return (index + offset).reshape(-1)
