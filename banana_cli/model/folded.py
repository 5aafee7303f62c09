"""The trunk as it is run, not trained: the same sums, with all that never changes folded in beforehand.

A block in training casts its weights on every call, keeps the residual in fp32 and the norms' scales apart.
Here weights are cast once; the scale and shift of a layer norm go into the linear layer behind it, a layer
scale into the one before it, the scales of queries and keys (and 1 / sqrt(width)) into the keys; queries,
keys and values are one product. Nothing here has a gradient, and weights files know nothing of it.

B pictures, C chunks of T tokens, R registers, G key/value heads, P query heads a group, E head width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from banana_cli.model.blocks import SAFE_EXPONENT, Block, ChunkAttention

_PRODUCTS: Final = 2**22
"""Weights of attention held at once: 8 MB in bf16, whatever the picture's size."""
_ROWS: Final = 4096
"""Tokens that go through an MLP at once: inside it they are three times as wide."""
_EPS: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Affine:
    """``weight`` (out, in) and ``bias`` (out,) of a linear layer."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return F.linear(x, self.weight, self.bias)

    def to(self, dtype: torch.dtype) -> Affine:
        """The same in another type."""
        return Affine(self.weight.to(dtype), self.bias.to(dtype))


def after_norm(norm: nn.LayerNorm, layers: Sequence[nn.Linear]) -> Affine:
    """Layers side by side on what ``norm`` gives, to be fed with the norm without scale and shift."""
    weight = torch.cat([layer.weight for layer in layers]).detach()
    bias = torch.cat([layer.bias for layer in layers]).detach()
    return Affine(weight * norm.weight.detach(), bias + weight @ norm.bias.detach())


def before_scale(layer: nn.Linear, scale: Tensor) -> Affine:
    """A layer whose answer would be multiplied by ``scale`` (out,)."""
    weight, bias, by = layer.weight.detach(), layer.bias.detach(), scale.detach()
    return Affine(weight * by[:, None], bias * by)


class FoldedAttention:
    """``ChunkAttention`` behind its norm and before its layer scale."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        a: ChunkAttention = block.attend
        self.chunk, self.shift, self.top = a.chunk, a.shift, a.top
        self.groups, self.per_group, self.width = a.groups, a.per_group, a.width
        self.qkv = after_norm(block.norm1, (a.to_q, a.to_kv)).to(dtype)
        self.out = before_scale(a.out, block.scale1).to(dtype)
        # Queries and keys of length 1 instead of sqrt(E): the rest of the norms is here, and 1 / sqrt(E).
        self.gauge = (a.norm_q * a.norm_k).detach().float() * a.width**0.5
        # The largest product that they can have: far from overflow, no search for the maximum.
        self.safe = float(self.gauge.abs().max()) <= SAFE_EXPONENT

    def __call__(self, x_BND: Tensor, registers: int) -> Tensor:
        """Normed (B, R + N, D) -> what is added to the residual, the same shape."""
        q, bank = self._heads(self.qkv(x_BND))
        in_chunks = bank[..., registers:, :].view(*bank.shape[:3], -1, self.chunk, self.width)
        means = in_chunks.mean(-2, dtype=torch.float32)
        out = torch.empty_like(x_BND)
        self._registers(q[:, :registers], bank[..., :registers, :], means, out[:, :registers])
        self._chunks(q[:, registers:], bank, means, out[:, registers:])
        return self.out(out)

    def _heads(self, qkv: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (B, R + N, G, P, E) in fp32; a bank (2, B, G, R + N, E) of keys and of values."""
        P, G, E = self.per_group, self.groups, self.width
        heads = qkv.view(*qkv.shape[:2], -1, E)
        qk = heads[:, :, : (P + 1) * G].float()
        qk.mul_(qk.square().sum(-1, keepdim=True).add_(_EPS * E).rsqrt_())
        bank = torch.empty((2, qkv.shape[0], G, qkv.shape[1], E), dtype=qkv.dtype, device=qkv.device)
        torch.mul(qk[:, :, P * G :].transpose(1, 2), self.gauge, out=bank[0])
        bank[1].copy_(heads[:, :, (P + 1) * G :].transpose(1, 2))
        return qk[:, :, : P * G].view(*qkv.shape[:2], G, P, E), bank

    def _registers(self, q: Tensor, bank: Tensor, means: Tensor, out: Tensor) -> None:
        """Registers look at each other and at the mean of each chunk."""
        keys, values = torch.cat([bank, means.to(bank.dtype)], -2).flatten(1, 2)
        rows = _packed(q.permute(0, 2, 3, 1, 4), out.dtype)  # B G P R E
        answer = self._attend(rows.view(len(keys), -1, self.width), keys, values)
        out.copy_(answer.view(rows.shape).permute(0, 3, 1, 2, 4).flatten(2))

    def _chunks(self, q: Tensor, bank: Tensor, means: Tensor, out: Tensor) -> None:
        """Tokens look at their own chunk or at those most like it, and at the registers."""
        if self.shift:
            q = q.roll(-self.shift, 1)
        q = q.view(q.shape[0], -1, self.chunk, *q.shape[2:])  # B C T G P E
        keys, values = self._seen(bank, self._picks(q, means[0]))
        rows = _packed(q.permute(0, 3, 1, 4, 2, 5), out.dtype)  # B G C P T E
        answer = self._attend(rows.view(len(keys), -1, self.width), keys, values)
        answer = answer.view(rows.shape).permute(0, 2, 4, 1, 3, 5)  # B C T G P E
        if self.shift:
            out.copy_(answer.reshape(out.shape).roll(self.shift, 1))
        else:
            out.view(answer.shape).copy_(answer)

    def _picks(self, q: Tensor, mean_k: Tensor) -> Tensor:
        """(B, C, n) chunks for each: its own, or those most like it by pooled queries and keys."""
        B, C = q.shape[:2]
        if not self.top or C == 1:
            return torch.arange(C, device=q.device).expand(B, C)[..., None]
        mean_q = q.flatten(3).mean(2).view(B, C, self.groups, self.per_group, -1).mean(3)  # B C G E
        alike = mean_q.flatten(2) @ mean_k.transpose(2, 3).flatten(1, 2)
        return alike.topk(min(self.top, C), dim=-1).indices

    def _seen(self, bank: Tensor, picks: Tensor) -> Tensor:
        """(2, B * G * C, n * T + R, E) keys and values of n picked chunks and of the registers.

        Looked up in pieces that divide chunk, shift and registers, so that one gather does it all.
        """
        _, B, G, total, E = bank.shape
        C, T = picks.shape[1], self.chunk
        R = total - C * T
        piece = math.gcd(T, self.shift, R)
        pieces = torch.arange(T // piece, device=bank.device) + self.shift // piece
        tokens = (picks[..., None] * (T // piece) + pieces).flatten(2) % (C * T // piece) + R // piece
        shared = torch.arange(R // piece, device=bank.device).expand(B, C, -1)
        rows = torch.cat([tokens, shared], -1)[None, :, None]  # 1 B 1 C pieces
        first = torch.arange(2 * B * G, device=bank.device).view(2, B, G, 1, 1) * (total // piece)
        found = bank.view(-1, piece * E).index_select(0, (rows + first).flatten())
        return found.view(2, B * G * C, -1, E)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(batch, length, E): softmax(q k^T) v, a few chunks at a time."""
        at_once = _PRODUCTS // (q.shape[1] * k.shape[1])
        if not self.safe or not at_once:
            fused = F.scaled_dot_product_attention(q[None], k[None], v[None], scale=1.0)
            return fused[0]
        out = torch.empty_like(q)
        for part in zip(*(torch.split(t, at_once) for t in (q, k, v, out)), strict=True):
            _attend_unshifted(*part)
        return out


def _packed(t: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy in another type with its elements in order, in one go."""
    return torch.empty(t.shape, dtype=dtype, device=t.device).copy_(t)


def _attend_unshifted(q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> None:
    weights = torch.bmm(q, k.transpose(1, 2)).exp_()
    torch.bmm(weights, v, out=out)
    out.div_(weights.sum(-1, keepdim=True))


class FoldedBlock:
    """``Block`` on a residual of one type, changed in place."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        self.attend = FoldedAttention(block, dtype)
        self.up = after_norm(block.norm2, (block.up,)).to(dtype)
        self.down = before_scale(block.down, block.scale2).to(dtype)
        self.eps, self.dtype = block.norm1.eps, dtype

    def __call__(self, x_BND: Tensor, registers: int) -> None:
        """Adds to ``x_BND`` (B, R + N, D) what the block says."""
        shape = x_BND.shape[-1:]
        x_BND.add_(self.attend(F.layer_norm(x_BND, shape, eps=self.eps), registers))
        for part in torch.split(x_BND, _ROWS, 1):
            hidden = self.up(F.layer_norm(part, shape, eps=self.eps))
            part.add_(self.down(torch.ops.aten.gelu_(hidden)))
