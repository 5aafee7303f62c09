"""Convolution and attention blocks.

B pictures, N tokens, C chunks of T tokens, D width, G key/value heads, Q query heads a group, E head width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from banana_cli.model.tokens import flat_rows
from banana_cli.specs import ModelSpec

SAFE_EXPONENT = 60.0  # exp(88) overflows, and a chunk's sum has some hundred terms
_PRODUCTS = 2**22  # held at once: 8 MB in bf16, whatever the picture's size


class ConvBN(nn.Sequential):
    """Convolution and batch norm, folded into one at inference."""

    def __init__(self, inp: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inp, out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(out),
        )


class Res(nn.Module):
    """Depthwise 3x3, then a pointwise bottleneck of twice the width, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = ConvBN(channels, channels, 3, groups=channels)
        self.up = nn.Conv2d(channels, 2 * channels, 1)
        self.down = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        out: Tensor = x + self.down(F.relu(self.up(self.mix(x))))
        return out


def one_by_one(layer: nn.Linear, rows: Tensor) -> Tensor:
    """``layer`` on (B, C), each row as if it were alone: products of one row and of two round differently,
    and what decides where tokens go must not depend on what else is in the batch."""
    return torch.cat([layer(row) for row in torch.split(rows, 1)])


def rms_norm(x: Tensor, scale: Tensor) -> Tensor:
    """Divide by the root mean square over the last axis; statistics in fp32, result in x's type."""
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + 1e-6) * scale).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, bound: float) -> Tensor:
    """Scaled dot-product attention of (chunks, groups, length, head width).

    ``bound`` is the largest scaled product that can occur; where exp of it is far from overflow, a CPU
    needs no search for the maximum and plain products are two to three times as fast as the fused ones.
    """
    if torch.is_grad_enabled() and q.device.type == "cpu":
        # The CPU's fused backward is two to four times slower than plain products at these sizes.
        products = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        out: Tensor = products.softmax(-1).to(v.dtype) @ v
        return out
    at_once = _PRODUCTS // (q.shape[1] * q.shape[2] * k.shape[2])
    if q.device.type != "cpu" or bound > SAFE_EXPONENT or not at_once:
        return F.scaled_dot_product_attention(q, k, v)
    parts = zip(*(torch.split(t, at_once) for t in (q, k, v)), strict=True)
    done = [_attend_unshifted(*part) for part in parts]
    return done[0] if len(done) == 1 else torch.cat(done)


def _attend_unshifted(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).exp_()
    out: Tensor = (weights @ v) / weights.sum(-1, keepdim=True)
    return out


class ChunkAttention(nn.Module):
    """Attention of each chunk of tokens to itself, or to the ``routed`` chunks most like it.

    Routing is BiFormer's bi-level idea (Zhu et al. 2023) on equal chunks of the sequence: pooled,
    detached queries and keys choose whole chunks. Queries that share a key/value head are stacked along
    the sequence, so K and V are never expanded. Registers are read by every chunk.
    """

    def __init__(self, spec: ModelSpec, *, routed: bool, shift: int) -> None:
        super().__init__()
        self.chunk, self.shift = spec.chunk, shift
        self.top = spec.routed if routed else 0
        self.groups, self.width = spec.kv_heads, spec.head_width
        self.per_group = spec.heads // spec.kv_heads
        kv = spec.kv_heads * spec.head_width
        self.to_q = nn.Linear(spec.width, spec.width)
        self.to_kv = nn.Linear(spec.width, 2 * kv)
        # QK-norm keeps the logits bounded without tuning (Dehghani et al. 2023).
        self.norm_q = nn.Parameter(torch.ones(spec.head_width))
        self.norm_k = nn.Parameter(torch.ones(spec.head_width))
        self.out = nn.Linear(spec.width, spec.width)

    def forward(self, x_BND: Tensor, registers: int) -> Tensor:
        """(B, R + N, D) with R registers in front, N a multiple of the chunk -> the same shape."""
        B, total, D = x_BND.shape
        q = self.to_q(x_BND).view(B, total, self.groups, self.per_group, self.width)
        k, v = self.to_kv(x_BND).view(B, total, 2, self.groups, self.width).unbind(2)
        q, k = rms_norm(q, self.norm_q), rms_norm(k, self.norm_k)
        tokens = self._chunks(q[:, registers:], k, v, registers)
        regs = self._registers(q[:, :registers], k, v, registers)
        out: Tensor = self.out(torch.cat([regs, tokens], 1))
        return out

    def _chunks(self, q: Tensor, k: Tensor, v: Tensor, registers: int) -> Tensor:
        B, N = q.shape[:2]
        C, T, G, E = N // self.chunk, self.chunk, self.groups, self.width
        if self.shift:
            q = q.roll(-self.shift, 1)
        k_own, v_own = (self._own(t[:, registers:], B * C) for t in (k, v))
        if self.top and C > 1:
            k_own, v_own = self._routed(q, k_own, v_own, B, C)
        k_all, v_all = (
            torch.cat(
                [own, reg[:, None, :registers].expand(B, C, registers, G, E).reshape(B * C, registers, G, E)],
                1,
            )
            for own, reg in ((k_own, k), (v_own, v))
        )
        stacked = q.reshape(B * C, T, G, self.per_group, E).permute(0, 2, 3, 1, 4)
        rows = stacked.reshape(B * C, G, self.per_group * T, E)
        out = attend(rows, k_all.transpose(1, 2), v_all.transpose(1, 2), self._bound())
        out = out.view(B * C, G, self.per_group, T, E).permute(0, 3, 1, 2, 4).reshape(B, N, -1)
        return out.roll(self.shift, 1) if self.shift else out

    def _bound(self) -> float:
        """The largest product that normed queries and keys can have; 0 where ``attend`` will not ask."""
        if torch.is_grad_enabled() or self.norm_q.device.type != "cpu":
            return 0.0  # reading a number would stop an export, and a device's queue
        return math.sqrt(self.width) * float((self.norm_q.detach() * self.norm_k.detach()).abs().max())

    def _own(self, t: Tensor, chunks: int) -> Tensor:
        t = t.roll(-self.shift, 1) if self.shift else t
        return t.reshape(chunks, self.chunk, self.groups, self.width)

    def _routed(self, q: Tensor, k: Tensor, v: Tensor, B: int, C: int) -> tuple[Tensor, Tensor]:
        T, G, E = self.chunk, self.groups, self.width
        with torch.no_grad(), torch.autocast(q.device.type, enabled=False):
            mean_q = q.float().view(B, C, T, G, self.per_group, E).mean((2, 4)).flatten(2)
            mean_k = k.float().view(B, C, T, G * E).mean(2)
            picks = (mean_q @ mean_k.transpose(1, 2)).topk(min(self.top, C), dim=-1).indices
            rows = flat_rows(picks.flatten(1), C)
        # A chunk's keys are one contiguous row, so looking a chunk up is one row copy.
        k, v = (t.reshape(B * C, T * G * E).index_select(0, rows).view(B * C, -1, G, E) for t in (k, v))
        return k, v

    def _registers(self, q: Tensor, k: Tensor, v: Tensor, registers: int) -> Tensor:
        B, G, E = q.shape[0], self.groups, self.width
        keys, values = (
            torch.cat(
                [t[:, :registers], t[:, registers:].reshape(B, -1, self.chunk, G, E).mean(2)], 1
            ).transpose(1, 2)
            for t in (k, v)
        )
        stacked = q.permute(0, 2, 3, 1, 4).reshape(B, G, -1, E)
        out = attend(stacked, keys, values, self._bound())
        return out.view(B, G, self.per_group, registers, E).permute(0, 3, 1, 2, 4).reshape(B, registers, -1)


class Block(nn.Module):
    """Pre-norm attention and MLP with layer scale."""

    def __init__(self, spec: ModelSpec, index: int) -> None:
        super().__init__()
        routed = index % 2 == 1
        shift = spec.chunk // 2 if index % 4 == 2 else 0
        self.norm1, self.norm2 = nn.LayerNorm(spec.width), nn.LayerNorm(spec.width)
        self.attend = ChunkAttention(spec, routed=routed, shift=shift)
        self.up = nn.Linear(spec.width, spec.mlp_ratio * spec.width)
        self.down = nn.Linear(spec.mlp_ratio * spec.width, spec.width)
        self.scale1 = nn.Parameter(torch.full((spec.width,), 0.3))
        self.scale2 = nn.Parameter(torch.full((spec.width,), 0.3))

    def forward(self, x_BND: Tensor, registers: int) -> Tensor:
        """(B, R + N, D) -> the same shape."""
        x_BND = x_BND + self.scale1 * self.attend(self.norm1(x_BND), registers)
        out: Tensor = x_BND + self.scale2 * self.down(F.gelu(self.up(self.norm2(x_BND))))
        return out
