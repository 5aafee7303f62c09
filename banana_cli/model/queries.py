"""Queries on the pixel embedding: a class is one, so are depth and each axis of the normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_AT_ONCE: Final = 2**19
"""Numbers that are read before they are put in their places: 2 MB, which stay in the processor's cache."""


class QueryBank(nn.Module):
    """Queries on the pixel embedding, with a bias each."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(count, width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(count))


@dataclass(frozen=True, slots=True)
class Queries:
    """Some of a bank's ``queries`` (K, embed) with their ``bias`` (K,)."""

    queries: Tensor
    bias: Tensor


def queries_of(bank: nn.Module, part: slice = slice(None)) -> Queries:
    """A part of a ``QueryBank``."""
    bank = cast(QueryBank, bank)
    return Queries(bank.queries[part], bank.bias[part])


def pixels_of(f4: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(B, C4, h, w) features by (16, K, C4) -> (B, K, 4 h, 4 w), channels last, in fp32.

    A convolution and a pixel shuffle, some rows at a time. 8 bits of bf16 would band a log depth.
    """
    B, _, h, w = f4.shape
    K = weight.shape[1]
    rows = f4.permute(0, 2, 3, 1)
    out = torch.empty((B, h, 4, w, 4 * K), device=f4.device)
    matrix, offset = weight.flatten(0, 1), bias.repeat(16)
    at_once = max(1, _AT_ONCE // (16 * K * w))
    for i in range(0, h, at_once):
        part = F.linear(rows[:, i : i + at_once].float(), matrix, offset)  # sub-pixels first, then the K
        out[:, i : i + at_once] = part.view(B, -1, w, 4, 4 * K).transpose(2, 3)
    return out.view(B, 4 * h, 4 * w, K).permute(0, 3, 1, 2)
