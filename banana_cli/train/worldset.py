"""Worlds as training data: a rendered sample -> a record -> a crop."""

from __future__ import annotations

import hashlib
import importlib
import math
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from banana_cli import worlds
from banana_cli.classes import TABLE_OF, thing_ids
from banana_cli.metrics.masks import Sets
from banana_cli.train.augment import AugmentOptions, augment
from banana_cli.train.example import Example
from banana_cli.train.packs import I8, Record
from banana_cli.types import F32, U8, Modality
from banana_cli.worlds.sample import Sample

RENDER_SHAPE: dict[Modality, tuple[int, int]] = {
    Modality.STREET: (288, 512),
    Modality.AERIAL: (384, 384),
    **{m: (320, 320) for m in Modality if m not in (Modality.STREET, Modality.AERIAL)},
}


class Renderer(Protocol):
    """A function that renders one sample of a modality."""

    def __call__(self, modality: Modality, seed: int, shape: tuple[int, int]) -> Sample:
        """The sample of that seed, (rows, columns) = ``shape``."""


def world_name(modality: Modality) -> str:
    """Name of a modality's worlds as a source of training data."""
    return f"world/{modality.value}"


def render(modality: Modality, seed: int, shape: tuple[int, int]) -> Sample:
    """The sample of ``seed`` by the modality's world; the same seed gives the same sample."""
    # Imported when used: a run that draws from a cache needs no world.
    family = _family(modality)
    module = importlib.import_module(f"banana_cli.worlds.{family}")
    which = (modality,) if family == "medical" else ()
    return cast(Sample, module.sample(seed, *shape, *which))


def renderer_mark(modality: Modality) -> str:
    """Changes when the code that renders a modality does: of its sources, 16 hexadecimal digits."""
    family = _family(modality)
    others = {_family(m) for m in Modality} - {family} | {"contact"}
    sources = sorted(Path(worlds.__file__).parent.glob("*.py"))
    digest = hashlib.sha256()
    for source in sources:
        if source.stem.split("_")[0] not in others:
            digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def _family(modality: Modality) -> str:
    return modality.value if modality in (Modality.STREET, Modality.AERIAL) else "medical"


def table_sets(modality: Modality) -> Sets:
    """One set a class of the modality's table: worlds know every class exactly."""
    return tuple((c.id,) for c in TABLE_OF[modality].classes)


def pack_views(views: F32) -> U8:
    """(3, H, W) in [0, 1] -> (H, W, 3) uint8."""
    return np.ascontiguousarray(np.rint(np.clip(views, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))


def pack_normals(normals: F32) -> I8:
    """(3, H, W) unit vectors -> (H, W, 3) int8, 127 = 1; at most 0.4 degrees off."""
    return np.ascontiguousarray(np.rint(normals * 127).astype(np.int8).transpose(1, 2, 0))


def to_record(sample: Sample, seed: int) -> Record:
    """A sample as a record; its group is its seed."""
    world = world_name(sample.modality)
    return Record(
        name=str(seed),
        pack=world,
        group=str(seed),
        modality=sample.modality,
        pixels=pack_views(sample.views),
        label=sample.ids,
        sets=table_sets(sample.modality),
        depth=sample.depth,
        normals=pack_normals(sample.normals),
        focal_px=math.nan if sample.focal_px is None else sample.focal_px,
        pitch=math.nan if sample.pitch is None else sample.pitch.row,
        centre=sample.centre,
        instances=sample.instances if thing_ids(sample.modality) else None,
    )


def world_example(
    modality: Modality, seed: int, size: int = 256, *, options: AugmentOptions | None = None
) -> Example:
    """Render and crop: deterministic by seed, and independent of any cache."""
    record = to_record(render(modality, seed, RENDER_SHAPE[modality]), seed)
    return augment(record, np.random.default_rng([seed, 1]), options or AugmentOptions(size=size))
