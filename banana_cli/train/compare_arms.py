"""The networks of a comparison: ours with every routing, and segmenters on public backbones (timm)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from banana_cli.classes import STREET
from banana_cli.errors import UsageError
from banana_cli.model.net import BananaNet, Features, Head, NetInput, Phase, Routing
from banana_cli.specs import SPECS
from banana_cli.types import Modality

_LOGITS = frozenset({Head.LOGITS})
_HEAD_WIDTH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``logits`` (B, K, H, W), or of a phase's pixels; ``features`` of a network of ours, else None."""

    logits: Tensor
    features: Features | None
    kept: float


class Ours(nn.Module):
    """Our network, trained and judged with one routing and one budget."""

    def __init__(self, preset: str, routing: Routing, budget: float) -> None:
        super().__init__()
        self.net = BananaNet(SPECS[preset], things=False)
        self.routing, self.budget = routing, budget

    def forward(self, inp: NetInput, phase: Phase | None) -> Answer:
        """Logits of every pixel, or of those of ``phase``."""
        features = self.net.features(inp, self.budget, self.routing)
        out = self.net.read(features, Modality.STREET, _LOGITS, phase)
        if out.logits is None:
            raise ValueError("the network read no logits")
        return Answer(logits=out.logits, features=features, kept=features.kept)


class Public(nn.Module):
    """A backbone of timm from random numbers, with the all-MLP head of SegFormer (Xie et al. 2021).

    Every level through a linear layer, up to stride 4, one more layer; logits up by straight lines.
    """

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.backbone = _backbone(backbone)
        channels: list[int] = self.backbone.feature_info.channels()
        self.level = nn.ModuleList(nn.Conv2d(c, _HEAD_WIDTH, 1) for c in channels)
        self.fuse = nn.Sequential(
            nn.Conv2d(len(channels) * _HEAD_WIDTH, _HEAD_WIDTH, 1, bias=False),
            nn.BatchNorm2d(_HEAD_WIDTH),
            nn.ReLU(),
        )
        self.read = nn.Conv2d(_HEAD_WIDTH, len(STREET), 1)

    def forward(self, inp: NetInput, phase: Phase | None) -> Answer:
        """Logits of every pixel, or of those of ``phase``."""
        image = (inp.image - 0.45) * 4 * inp.valid
        image = image.contiguous(memory_format=torch.channels_last)  # as ours: a CPU is up to a tenth faster
        maps = [
            layer(_channels_first(m, layer))
            for m, layer in zip(self.backbone(image), self.level, strict=True)
        ]
        alike = [F.interpolate(m, maps[0].shape[-2:], mode="bilinear") for m in maps]
        logits = self.read(self.fuse(torch.cat(alike, 1)))
        logits = F.interpolate(logits.float(), image.shape[-2:], mode="bilinear")
        return Answer(logits=logits if phase is None else phase.of(logits), features=None, kept=1.0)


def _channels_first(x: Tensor, layer: nn.Module) -> Tensor:
    """Swin gives (B, H, W, C)."""
    return x if x.shape[1] == layer.in_channels else x.permute(0, 3, 1, 2)


def _backbone(name: str) -> Any:  # noqa: ANN401 - timm has no types
    try:
        import timm
    except ImportError as error:
        raise UsageError(
            f"{name} needs timm", subject="--arms", remedy="pip install 'banana-vision[baselines]'"
        ) from error
    # Windows of Swin fit any size only if it is told not to insist on one.
    more = {"strict_img_size": False} if name.startswith("swin") else {}
    return timm.create_model(name, pretrained=False, features_only=True, **more)


PUBLIC = {
    "swin-t": "swin_tiny_patch4_window7_224",
    "pvt-v2-b0": "pvt_v2_b0",  # the encoder that SegFormer-B0 refines; timm has no MiT
    "efficientvit-b0": "efficientvit_b0",
    "efficientvit-b1": "efficientvit_b1",
}
OURS = {**{routing.value: routing for routing in Routing}, "dense": Routing.LEARNED}
ARMS = (*OURS, *PUBLIC)


def build(arm: str, preset: str, budget: float) -> Ours | Public:
    """A fresh network of that name; UsageError if there is none."""
    if arm in PUBLIC:
        return Public(PUBLIC[arm])
    if arm not in OURS:
        raise UsageError(f"no such arm: {arm}", subject="--arms", remedy=f"choose of {', '.join(ARMS)}")
    return Ours(preset, OURS[arm], 1.0 if arm == "dense" else budget)
