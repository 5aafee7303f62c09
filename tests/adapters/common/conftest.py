"""Inputs of nobody: a clip, a picture and a scene in blocks, with layers whose numbers are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from banana_cli import adapter
from banana_cli.adapter import InputItem, Look, Sink, SinkFormat, SinkJob, SourceInfo
from banana_cli.classes import TABLE_OF
from banana_cli.codec import HEIGHT_NOTE
from banana_cli.types import (
    NO_CLASS,
    Band,
    Depth,
    DepthKind,
    Domain,
    Frame,
    Json,
    Layer,
    LayerKind,
    Mask,
    Modality,
    ModelFacts,
    Normals,
    Pitch,
    Prediction,
    Provenance,
    Unit,
    View,
    Window,
)

MODALITY = {
    Domain.DRIVING: Modality.STREET,
    Domain.MEDICAL: Modality.CT,
    Domain.SATELLITE: Modality.AERIAL,
}


@dataclass(frozen=True)
class Grid:
    """A geometry with square pixels of half a metre."""

    def focal_px(self) -> float | None:
        return None

    def pitch(self) -> Pitch | None:
        return Pitch(row=0.5, col=-0.5, unit=Unit.METRE)

    def describe(self) -> dict[str, Json]:
        return {}


@dataclass
class Case:
    """One input of ``shape``: ``count`` pictures, or a scene in blocks of ``core`` pixels and a halo."""

    domain: Domain = Domain.DRIVING
    shape: tuple[int, int] = (20, 30)
    count: int | None = 1
    core: int = 12
    halo: int = 3
    seed: int = 0
    options: dict[str, Json] = field(default_factory=dict)

    @property
    def info(self) -> SourceInfo:
        blocks = len(list(self.windows())) if self.domain is Domain.SATELLITE else self.count
        return SourceInfo(
            item=InputItem(paths=(Path("somewhere/input.bin"),), stem="input"),
            domain=self.domain,
            modality=MODALITY[self.domain],
            kind="test",
            shape=self.shape,
            frames=blocks,
            formats={},
        )

    def job(self, layer: LayerKind) -> SinkJob:
        return SinkJob(
            info=self.info,
            layer=layer,
            table=TABLE_OF[self.info.modality],
            look=Look(depth_near=1, depth_far=100),
            model=ModelFacts(name="t", weights_sha256="", budget=1, precision="fp32", device="cpu"),
            software="banana test",
            tasks={task.layer: task for task in adapter.tasks().values()},
            options=self.options,
        )

    def truth(self, index: int = 0) -> tuple[Mask, Depth, Normals]:
        rng = np.random.default_rng([self.seed, index])
        table = TABLE_OF[self.info.modality]
        valid = rng.random(self.shape) > 0.2
        ids = np.where(valid, rng.integers(0, len(table), self.shape), NO_CLASS).astype(np.uint8)
        values = np.where(valid, rng.uniform(0.5, 90, self.shape), np.nan).astype(np.float32)
        xyz = rng.normal(size=(3, *self.shape))
        xyz = (xyz / np.linalg.norm(xyz, axis=0) * valid).astype(np.float32)
        note = HEIGHT_NOTE if self.domain is Domain.SATELLITE else ""
        depth = Depth(values=values, valid=valid, depth_kind=DepthKind.METRIC, unit=Unit.METRE, note=note)
        return Mask(ids=ids, valid=valid, table=table), depth, Normals(xyz=xyz, valid=valid)

    def windows(self) -> Iterator[tuple[Window, Window]]:
        rows, cols = self.shape
        for top in range(0, rows, self.core):
            for left in range(0, cols, self.core):
                core = Window(
                    top=top, left=left, height=min(self.core, rows - top), width=min(self.core, cols - left)
                )
                up, west = max(0, top - self.halo), max(0, left - self.halo)
                window = Window(
                    top=up,
                    left=west,
                    height=min(rows, core.bottom + self.halo) - up,
                    width=min(cols, core.right + self.halo) - west,
                )
                yield window, core

    def frames(self) -> Iterator[tuple[Frame, Prediction]]:
        if self.domain is Domain.SATELLITE:
            layers = self.truth()
            for index, (window, core) in enumerate(self.windows()):
                place = Provenance(source="t", index=index, window=window, core=core, scene_shape=self.shape)
                yield self.frame(place, window), prediction(spoiled(one, window, core) for one in layers)
            return
        for index in range(self.count or 3):
            place = Provenance(source="t", index=2 * index, time_s=index / 10)
            yield self.frame(place, None), prediction(self.truth(index))

    def frame(self, place: Provenance, window: Window | None) -> Frame:
        shape = (window.height, window.width) if window else self.shape
        valid = self.truth()[0].valid
        return Frame(
            pixels=np.full((1, *shape), 0.5, np.float32),
            valid=valid[window.slices()] if window else valid,
            bands=(Band(name="grey", unit="1"),),
            views=(View(band=0, low=0, high=1),),
            modality=self.info.modality,
            geometry=Grid(),
            provenance=place,
        )


def prediction(layers: Iterator[Layer] | tuple[Layer, ...]) -> Prediction:
    return Prediction(layers=tuple(layers), tokens_kept=1.0, seconds={})


def spoiled(layer: Layer, window: Window, core: Window) -> Layer:
    """The layer's part of a block, with nonsense in the halo that no sink may use."""
    inside = core.within(window).slices()
    valid = np.ones((window.height, window.width), bool)
    valid[inside] = layer.valid[core.slices()]
    if isinstance(layer, Mask):
        ids = np.zeros(valid.shape, np.uint8)
        ids[inside] = layer.ids[core.slices()]
        return Mask(ids=ids, valid=valid, table=layer.table)
    if isinstance(layer, Depth):
        values = np.full(valid.shape, 999, np.float32)
        values[inside] = layer.values[core.slices()]
        return Depth(
            values=values, valid=valid, depth_kind=layer.depth_kind, unit=layer.unit, note=layer.note
        )
    xyz = np.zeros((3, *valid.shape), np.float32)
    xyz[0] = 1
    xyz[:, inside[0], inside[1]] = layer.xyz[:, *core.slices()]
    return Normals(xyz=xyz, valid=valid)


Written = Callable[[SinkFormat, Case, LayerKind], tuple[Path, dict[str, Json]]]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Runs a case through a format; the output's path and the sink's facts."""

    def write(form: SinkFormat, case: Case, layer: LayerKind) -> tuple[Path, dict[str, Json]]:
        part = tmp_path / f".out.part{form.suffix(layer, case.info)}"
        with form.open(part, case.job(layer)) as sink:
            put(sink, case)
            return part, sink.finish()

    return write


def put(sink: Sink, case: Case) -> None:
    for frame, answer in case.frames():
        sink.write(frame, answer)
