"""What every arm of a comparison sees alike: crops made once, and whole pictures to be judged on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from banana_cli.metrics.masks import Sets
from banana_cli.model.net import CELL_PX
from banana_cli.train.augment import NETWORK_LONG
from banana_cli.train.batch import Batch, collate
from banana_cli.train.example import Example
from banana_cli.train.losses import IGNORE
from banana_cli.train.packs import Record
from banana_cli.train.trainer import Examples
from banana_cli.types import F32, U8, Bool, Modality


def _example(image: F32, valid: Bool, label: U8, sets: Sets, source: str) -> Example:
    """A picture of a street with masks alone, and nothing told of its camera."""
    shape = label.shape
    return Example(
        image=image,
        valid=valid,
        rays=np.zeros((2, *shape), np.float32),
        label=label,
        sets=sets,
        depth=np.full(shape, np.nan, np.float32),
        normals=np.zeros((3, *shape), np.float32),
        modality=Modality.STREET,
        focal_px=math.nan,
        true_focal_px=math.nan,
        pitch=math.nan,
        source=source,
    )


class Crops:
    """Crops in a folder: drawn once from an endless source, then the same for all arms.

    ``pixels.npy`` (N, H, W, 4) uint8: colours, and 255 where there is a picture; ``labels.npy`` (N, H, W)
    uint8; ``sets.json`` what the labels of each crop may mean.
    """

    def __init__(self, folder: Path) -> None:
        self._pixels: NDArray[np.uint8] = np.load(folder / "pixels.npy", mmap_mode="r")
        self._labels: NDArray[np.uint8] = np.load(folder / "labels.npy", mmap_mode="r")
        raw = json.loads((folder / "sets.json").read_text(encoding="utf-8"))
        self._sets: list[Sets] = [tuple(tuple(ids) for ids in sets) for sets in raw["sets"]]
        self._of: list[int] = raw["of"]

    def __len__(self) -> int:
        return len(self._of)

    @classmethod
    def make(cls, folder: Path, source: Examples, count: int) -> Crops:
        """Draw ``count`` streets into ``folder``, unless they are there."""
        if not (folder / "sets.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            _draw(folder, source, count)
        return cls(folder)

    def example(self, index: int) -> Example:
        """The crop at that place."""
        pixels = np.asarray(self._pixels[index])
        image = pixels[..., :3].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        sets = self._sets[self._of[index]]
        return _example(image, pixels[..., 3] > 0, np.array(self._labels[index]), sets, "crops")

    def batch(self, seed: int, step: int, size: int) -> Batch:
        """The batch of a step: every seed goes through all crops in its own order, again and again."""
        turn, place = divmod(step * size, len(self))
        order = np.random.default_rng([seed, turn]).permutation(len(self))
        return collate([self.example(int(order[(place + k) % len(self)])) for k in range(size)])


def _draw(folder: Path, source: Examples, count: int) -> None:
    side = source.example(0).label.shape[0]
    opened = np.lib.format.open_memmap
    pixels = opened(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=(count, side, side, 4))
    labels = opened(folder / "labels.npy", mode="w+", dtype=np.uint8, shape=(count, side, side))
    known: dict[Sets, int] = {}
    of = []
    for place in range(count):
        crop = source.example(place)
        pixels[place, ..., :3] = np.rint(crop.image.clip(0, 1) * 255).transpose(1, 2, 0)
        pixels[place, ..., 3] = crop.valid * np.uint8(255)
        labels[place] = crop.label
        of.append(known.setdefault(crop.sets, len(known)))
    pixels.flush()
    labels.flush()
    told = json.dumps({"sets": list(known), "of": of})
    (folder / "sets.json").write_text(told, encoding="utf-8")  # last: it says that the rest is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Whole pictures of one source, as the network sees them: long side 512, filled up to cells."""

    name: str
    records: Sequence[Record]

    def batches(self) -> Iterator[Batch]:
        """One picture at a time."""
        for record in self.records:
            yield collate([whole(record)])


def whole(record: Record) -> Example:
    """A record at the network's size; labels follow the nearest pixel, what is filled up is ignored."""
    height, width = record.label.shape
    scale = NETWORK_LONG / max(height, width)
    size = (round(width * scale), round(height * scale))
    pixels: NDArray[Any] = cv2.resize(record.pixels, size, interpolation=cv2.INTER_AREA)
    label: NDArray[Any] = cv2.resize(record.label, size, interpolation=cv2.INTER_NEAREST)
    below, right = -size[1] % CELL_PX, -size[0] % CELL_PX
    filled = np.pad(pixels, ((0, below), (0, right), (0, 0)))
    valid = np.pad(np.ones(label.shape, np.bool_), ((0, below), (0, right)))
    image = np.ascontiguousarray(filled.transpose(2, 0, 1), np.float32) / np.float32(255)
    ids = np.pad(label, ((0, below), (0, right)), constant_values=IGNORE)
    return _example(image, valid, ids.astype(np.uint8), record.sets, record.pack)


def picture(size: int) -> Batch:
    """Noise of ``size`` x ``size`` to be timed on."""
    rng = np.random.default_rng(0)
    image = rng.random((3, size, size)).astype(np.float32)
    shape = (size, size)
    blank = np.zeros(shape, np.uint8)
    return collate([_example(image, np.ones(shape, np.bool_), blank, ((0,), (1,)), "noise")])
