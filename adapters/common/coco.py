"""COCO: every countable thing and every other class of a picture as a region in compressed runs.

One JSON object, also for a series or a clip (an image each) and for a scene (one image). ``isthing`` of a
category says whether its regions are single things; of any other class each image has one region.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.adapter import Sink, SinkJob, SourceInfo
from banana_cli.classes import thing_ids
from banana_cli.errors import UsageError
from banana_cli.instances import LEAST_PX, counted
from banana_cli.pieces import Pieces
from banana_cli.runs import coded
from banana_cli.types import NO_CLASS, U8, Domain, Frame, Instances, Json, LayerKind, Mask, Prediction

from .canvas import Canvas, frame_name, is_many, is_scene, placed, refuse_large

I64 = NDArray[np.int64]
_BACKGROUND: Final = "background"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regions:
    """Regions of a picture: ``numbers`` (H, W), 0 = none, and the class and score (or None) of 1..n."""

    numbers: I64
    classes: tuple[int, ...]
    scores: tuple[float | None, ...]


def regions_of(
    numbers: I64, ids: U8, classes: list[int], scores: list[float], others: tuple[int, ...]
) -> Regions:
    """Numbered things of a picture (H, W), then one region for each class of ``others`` that is there."""
    present = np.bincount(ids.reshape(-1), minlength=256)
    found = [c for c in others if present[c]]
    number = np.zeros(256, np.int64)
    number[found] = np.arange(len(classes) + 1, len(classes) + 1 + len(found))
    return Regions(
        numbers=np.where(numbers > 0, numbers, number[ids]),
        classes=(*classes, *found),
        scores=(*scores, *[None] * len(found)),
    )


def told(regions: Regions, image: int) -> Iterator[dict[str, Json]]:
    """The regions of one image as COCO has them, without their numbers."""
    for number, facts in coded(regions.numbers):
        score = regions.scores[number - 1]
        kind = regions.classes[number - 1] + 1
        known = {} if score is None else {"score": round(score, 4)}
        yield {"image_id": image, "category_id": kind, **facts, **known}


class _Scene:
    """Blocks of a scene put together; what is one thing on both sides of a seam becomes one."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._ids = Canvas(shape, np.dtype(np.uint8), NO_CLASS)
        self._numbers = np.zeros(shape, np.uint32)
        self._pieces = Pieces(shape[1])
        self._scores = [0.0]

    def take(self, frame: Frame, mask: Mask, things: Instances) -> None:
        """One block."""
        core, part = placed(frame)
        self._ids.paste(frame, mask.ids)
        self._numbers[core.slices()] = self._pieces.number(core, things, part)
        self._scores += things.scores

    def whole(self, others: tuple[int, ...]) -> Regions:
        """The regions of the scene."""
        name, classes = self._pieces.names(), self._pieces.classes
        area = np.bincount(self._numbers.reshape(-1), minlength=len(name))
        area[0] = 0
        whole = np.bincount(name, area, len(name))
        name[whole[name] < LEAST_PX] = 0
        kept, place = np.unique(name, return_inverse=True)
        score = np.bincount(place, area * np.array(self._scores)) / np.maximum(np.bincount(place, area), 1)
        ids = self._ids.pixels.astype(np.uint8)
        kinds = [classes[k] for k in kept[1:]]
        return regions_of(place[self._numbers], ids, kinds, [float(s) for s in score[1:]], others)


class _CocoSink:
    """Annotations are written as they come; the images and categories follow them."""

    def __init__(self, file: IO[str], job: SinkJob) -> None:
        self._file, self._job = file, job
        self._things = thing_ids(job.info.modality)
        names = job.table.names
        self._others = tuple(
            c for c in range(len(names)) if c not in self._things and names[c] != _BACKGROUND
        )
        self._images: list[Json] = []
        self._count = 0
        self._scene = _Scene(job.info.shape) if is_scene(job.info) else None
        file.write('{"info": {"description": "made by banana"},\n"annotations": [')

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Take one frame; a prediction without a mask is passed over."""
        mask = prediction.of(LayerKind.MASKS)
        if not isinstance(mask, Mask):
            return
        things = counted(prediction, mask, frame.modality)
        if self._scene is not None:
            self._scene.take(frame, mask, things)
            return
        info = self._job.info
        many = is_many(info, LayerKind.MASKS)
        name = f"{info.item.stem}/{frame_name(frame)}" if many else info.item.paths[0].name
        numbers, classes, scores = things.ids.astype(np.int64), list(things.classes), list(things.scores)
        self._put(name, regions_of(numbers, mask.ids, classes, scores, self._others), frame.provenance.time_s)

    def _put(self, name: str, regions: Regions, time_s: float | None = None) -> None:
        rows, cols = regions.numbers.shape
        image: dict[str, Json] = {
            "id": len(self._images) + 1,
            "file_name": name,
            "width": cols,
            "height": rows,
        }
        self._images.append(image if time_s is None else {**image, "time_s": time_s})
        for annotation in told(regions, len(self._images)):
            self._count += 1
            self._file.write("\n" if self._count == 1 else ",\n")
            self._file.write(json.dumps({"id": self._count, **annotation}, allow_nan=False))

    def finish(self) -> dict[str, Json]:
        """Complete the file."""
        if self._scene is not None:
            self._put(self._job.info.item.paths[0].name, self._scene.whole(self._others))
        categories: list[Json] = [
            {"id": c.id + 1, "name": c.name, "isthing": int(c.id in self._things)}
            for c in self._job.table.classes
        ]
        rest = {"images": self._images, "categories": categories}
        self._file.write("],\n" + json.dumps(rest, allow_nan=False)[1:] + "\n")
        return {"encoding": "coco", "category_id": "class id + 1", "segmentation": "compressed RLE"}


class CocoFormat:
    """The format "coco"."""

    name: str = "coco"
    domains: frozenset[Domain] = frozenset(Domain)
    layers: frozenset[LayerKind] = frozenset({LayerKind.MASKS})
    things: bool = True

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """Always ".coco.json". UsageError where the library that codes regions is not installed."""
        if find_spec("pycocotools") is None:
            raise UsageError(
                "format coco needs pycocotools",
                subject=info.item.subject,
                remedy="pip install 'banana-vision[coco]'",
            )
        return ".coco.json"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """Write one object. OutputError for a scene that is too large."""
        refuse_large(job.info, part)
        with part.open("w", encoding="utf-8") as file:
            yield _CocoSink(file, job)


COCO = CocoFormat()
