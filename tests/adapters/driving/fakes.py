"""Predictions and tasks without a model: layers computed from the frame itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from banana_cli.adapter import Look, SinkJob, SourceInfo
from banana_cli.atomic import part_name
from banana_cli.classes import STREET as CLASSES
from banana_cli.codec import encode_normals_u8, mask_to_rgb
from banana_cli.types import (
    U8,
    ClassTable,
    Depth,
    DepthKind,
    Frame,
    Layer,
    LayerKind,
    Mask,
    ModelFacts,
    Normals,
    Prediction,
    RawMaps,
    Unit,
)


@dataclass(frozen=True)
class FakeTask:
    """Paints a layer plainly."""

    layer: LayerKind

    @property
    def name(self) -> str:
        return self.layer.value

    def decode(self, raw: RawMaps, frame: Frame, table: ClassTable) -> Layer:
        raise NotImplementedError

    def paint(self, layer: Layer, look: Look) -> U8:
        if isinstance(layer, Mask):
            return mask_to_rgb(layer)
        if isinstance(layer, Depth):
            share = np.clip(np.nan_to_num(layer.values) / look.depth_far, 0, 1)
            return np.repeat((share * 255).astype(np.uint8)[..., None], 3, axis=2)
        return encode_normals_u8(layer)


TASKS = {kind: FakeTask(kind) for kind in LayerKind}


def predict(frame: Frame) -> Prediction:
    """Layers that differ from pixel to pixel and follow the frame's brightness."""
    grey = frame.pixels.mean(axis=0)
    valid = frame.valid.copy()
    valid[0, 0] = False
    ids = (grey.astype(np.int64) * len(CLASSES) // 256).astype(np.uint8)
    depth = (grey / 4 + 1).astype(np.float32)
    direction = frame.pixels - 127.5
    direction[2] = -np.abs(direction[2]) - 1
    normals = (direction / np.linalg.norm(direction, axis=0)).astype(np.float32)
    return Prediction(
        layers=(
            Mask(ids=np.where(valid, ids, 255).astype(np.uint8), valid=valid, table=CLASSES),
            Depth(
                values=np.where(valid, depth, np.nan).astype(np.float32),
                valid=valid,
                depth_kind=DepthKind.METRIC,
                unit=Unit.METRE,
            ),
            Normals(xyz=np.where(valid, normals, 0).astype(np.float32), valid=valid),
        ),
        tokens_kept=1.0,
        seconds={},
    )


def job(info: SourceInfo, layer: LayerKind) -> SinkJob:
    model = ModelFacts(name="fake", weights_sha256="", budget=1.0, precision="fp32", device="cpu")
    return SinkJob(
        info=info,
        layer=layer,
        table=CLASSES,
        look=Look(depth_near=1.0, depth_far=80.0),
        model=model,
        software="banana test",
        tasks=TASKS,
    )


def part_of(folder: Path, suffix: str) -> Path:
    """A temporary name as the pipeline gives one."""
    return part_name(folder / f"out{suffix}")
