"""Weights of linear layers and convolutions in 8 or 4 bits: a format of files, not of arithmetic.

Symmetric, with a scale for each output channel (8 bits) or for each group of 32 weights of one (4 bits).
The router, what is told to the network, the queries and all norms and biases stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

BITS: Final = (8, 4)
_SCALE: Final = ".scale"
_GROUP: Final = 32
_LEAST: Final = 16  # weights a channel; a depthwise kernel has nine, and would save nothing
_KEPT: Final = (
    "router",
    "prompt",
    "level",
    "position",
    "globals",
    "banks",
    "geometry",
    "things",
)
_CLIPS: Final = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)


def quantised(tensors: Mapping[str, Tensor], bits: int) -> dict[str, Tensor]:
    """The same tensors with those that may be in ``bits`` bits, each with its ``.scale`` beside it."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not _may(name, tensor):
            found[name] = tensor
            continue
        found[name], found[name + _SCALE] = _pack(tensor.float(), bits)
    return found


def dequantised(stored: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Inverse of ``quantised``, in fp32. KeyError or RuntimeError for tensors that do not fit ``shapes``."""
    scales = {name for name in stored if name.endswith(_SCALE) and name.removesuffix(_SCALE) in stored}
    found = {name: tensor for name, tensor in stored.items() if name not in scales}
    bare = [n for n, t in found.items() if t.dtype in (torch.int8, torch.uint8) and n + _SCALE not in scales]
    if bare:
        raise KeyError(f"{bare[0]} has no scale")
    for name in (scale.removesuffix(_SCALE) for scale in scales):
        values, scale = stored[name], stored[name + _SCALE].float()
        whole = _nibbles(values) if values.dtype is torch.uint8 else values
        grouped = whole.float().reshape(len(whole), scale.shape[1], -1) * scale[:, :, None]
        found[name] = grouped.reshape(shapes[name])
    return found


def _may(name: str, tensor: Tensor) -> bool:
    if not name.endswith(".weight") or name.split(".")[0] in _KEPT or tensor.ndim < 2:
        return False
    return tensor[0].numel() >= _LEAST


def _pack(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Integers (out, in ...) and scales (out, groups); 4 bits need whole groups, else 8 are taken."""
    rows = weight.flatten(1)
    if bits == 4 and rows.shape[1] % _GROUP == 0:
        values, scale = _rounded(rows.view(len(rows), -1, _GROUP), 7)
        pairs = (values.reshape(len(rows), -1, 2) + 8).to(torch.uint8)
        return pairs[..., 0] | pairs[..., 1] << 4, scale
    values, scale = _rounded(rows[:, None], 127)
    return values.reshape(weight.shape), scale


def _rounded(grouped: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """(out, groups, n) -> int8 of that shape and fp16 or fp32 scales (out, groups) of least squared error."""
    largest = grouped.abs().amax(-1).clamp_min(1e-6)
    best, chosen = torch.full_like(largest, torch.inf), largest / most
    for clip in _CLIPS if most < 127 else (1.0,):
        scale = (largest * clip / most).half().float() if most < 127 else largest / most
        off = (_integers(grouped, scale, most) * scale[..., None] - grouped).square().sum(-1)
        chosen, best = torch.where(off < best, scale, chosen), torch.minimum(best, off)
    values = _integers(grouped, chosen, most).to(torch.int8)
    return values, chosen.half() if most < 127 else chosen


def _integers(grouped: Tensor, scale: Tensor, most: int) -> Tensor:
    return (grouped / scale[..., None]).round().clamp(-most, most)


def _nibbles(packed: Tensor) -> Tensor:
    """(out, n / 2) bytes -> (out, n) integers from -8 to 7."""
    return (torch.stack([packed & 15, packed >> 4], -1).to(torch.int8) - 8).flatten(1)
