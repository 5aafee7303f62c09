"""A transparent network, and frames and cameras for the engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from banana_cli.classes import TABLE_OF
from banana_cli.infer import Engine, EngineOptions
from banana_cli.model.net import Features, Head, NetInput, NetOutput
from banana_cli.types import (
    Band,
    Frame,
    Json,
    LayerKind,
    Mask,
    Modality,
    ModelFacts,
    Pitch,
    Provenance,
    View,
)

FACTS = ModelFacts(name="glass", weights_sha256="0" * 64, budget=1.0, precision="fp32", device="cpu")
MASKS, DEPTH, NORMALS = (frozenset({kind}) for kind in LayerKind)
ALL = frozenset(LayerKind)


@dataclass(frozen=True)
class Camera:
    """Any geometry."""

    focal: float | None = None
    size: Pitch | None = None

    def focal_px(self) -> float | None:
        return self.focal

    def pitch(self) -> Pitch | None:
        return self.size

    def describe(self) -> dict[str, Json]:
        return {}


def frame_of(
    pixels: np.ndarray,
    modality: Modality = Modality.STREET,
    *,
    valid: np.ndarray | None = None,
    camera: Camera | None = None,
    **place: object,
) -> Frame:
    """A frame of one or three bands whose values are already in [0, 1]."""
    bands = tuple(Band(name=str(i), unit="1") for i in range(len(pixels)))
    return Frame(
        pixels=pixels.astype(np.float32),
        valid=np.ones(pixels.shape[1:], bool) if valid is None else valid,
        bands=bands,
        views=tuple(View(band=i, low=0, high=1) for i in range(len(pixels))),
        modality=modality,
        geometry=camera or Camera(focal=500.0),
        provenance=Provenance(source="test", index=0, **place),  # type: ignore[arg-type]
    )


class Glass:
    """A network that one sees through: class 1 where the first channel is bright, depth and normals likewise.

    ``position`` adds what depends on where a pixel lies in its tile, as padding does in a real network.
    """

    def __init__(self, position: float = 0.0) -> None:
        self.position = position
        self.seen: list[NetInput] = []

    def features(self, inp: NetInput, budget: float) -> Features:
        self.seen.append(inp)
        assert inp.image.shape[-2] % 32 == 0 and inp.image.shape[-1] % 32 == 0
        assert 0 <= float(inp.image.min()) and float(inp.image.max()) <= 1
        empty = torch.zeros(len(inp.image), 1)
        return Features(f4=inp.image, registers=empty, score=empty, kept=budget)

    def read(self, features: Features, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        image = features.f4
        rows = torch.arange(image.shape[-2]).sin()[:, None] * self.position
        bright = image[:, :1] + rows
        logits = torch.full((len(image), len(TABLE_OF[modality]), *image.shape[-2:]), -9.0)
        logits[:, 0], logits[:, 1] = 0.5, bright[:, 0]
        return NetOutput(
            logits=logits if Head.LOGITS in heads else None,
            depth_code=bright if Head.DEPTH in heads else None,
            normals=torch.cat([bright, 1 - bright, -torch.ones_like(bright)], 1)
            if Head.NORMALS in heads
            else None,
            log_focal=torch.zeros(len(image)),
            kept=features.kept,
        )


def glass(**options: object) -> Engine:
    return Engine(Glass(), FACTS, EngineOptions(**options))  # type: ignore[arg-type]


def impulse(shape: tuple[int, int], at: tuple[int, int]) -> np.ndarray:
    pixels = np.zeros((3, *shape), np.float32)
    pixels[:, *at] = 1
    return pixels


def found(mask: Mask) -> list[list[int]]:
    return np.argwhere(mask.ids == 1).tolist()
