"""Steady beside frame by frame, on real clips: ``python tests/bench/steady.py DATA [--city NAME]...``.

Prints one JSON object a clip and way of answering. ``flips``: share of pixels (%) whose class is not that of
the pixel one frame before, where a flow that the filter does not use (DIS medium at full size, there and
back) is sure; ``tc``: mean IoU (%) of the classes with those carried along; ``tae``: mean difference (%) of
log depth; ``normals``: degrees. ``hits`` and ``miou``: pixels right and mean IoU (%) on the labelled frames,
after ``--lead`` frames. ``ms``: processor time a frame. Never part of the suite.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from banana_adapters.driving import DRIVING

from banana_cli.adapter import InputItem
from banana_cli.infer_video import VideoEngine
from banana_cli.metrics.masks import STREET_GROUPS, Confusion
from banana_cli.metrics.temporal import Carried
from banana_cli.options import ReadOptions, VideoOptions
from banana_cli.train.packs import STREET_SETS
from banana_cli.types import Depth, Frame, LayerKind, Mask, Normals, Prediction

ALL = frozenset(LayerKind)
CLASSES, SKY = 20, 10
WAYS = {"frame by frame": False, "steady": True}


def frames_of(clip: Path, wanted: range) -> Iterator[Frame]:
    item = InputItem(paths=(clip,), stem=clip.stem)
    with DRIVING.open(item, ReadOptions(layers=ALL, video=VideoOptions())) as source:
        for frame in source:
            if isinstance(frame, Frame) and frame.provenance.index in wanted:
                yield frame
            if isinstance(frame, Frame) and frame.provenance.index >= wanted[-1]:
                return


def alone(frame: Frame) -> Frame:
    return replace(frame, provenance=replace(frame.provenance, clip=None))


@dataclass
class Sums:
    flips: list[float] = field(default_factory=list)
    tae: list[float] = field(default_factory=list)
    normals: list[float] = field(default_factory=list)
    pairs: np.ndarray = field(default_factory=lambda: np.zeros((CLASSES, CLASSES), np.int64))
    right: Confusion = field(default_factory=lambda: Confusion(STREET_SETS, CLASSES))
    seconds: list[float] = field(default_factory=list)

    def pair(self, now: Prediction, before: Prediction, sure: Carried) -> None:
        ids, old = now.get(Mask).ids, sure.carried(before.get(Mask).ids, cv2.INTER_NEAREST)
        where = sure.sure
        self.flips.append(float((ids != old)[where].mean()))
        np.add.at(self.pairs, (old[where], ids[where]), 1)
        depth, was = (np.log(p.get(Depth).values) for p in (now, before))
        gap = np.abs(depth - sure.carried(was))
        self.tae.append(float(gap[where & np.isfinite(gap)].mean()))
        a, b = now.get(Normals).xyz, before.get(Normals).xyz
        b = sure.carried(np.ascontiguousarray(b.transpose(1, 2, 0))).transpose(2, 0, 1)
        solid = where & np.isfinite(gap)
        cosine = (a * b).sum(0)[solid] / np.maximum(np.linalg.norm(b, axis=0)[solid], 1e-6)
        self.normals.append(float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()))

    def row(self) -> dict[str, float]:
        both = self.pairs.sum(0) + self.pairs.sum(1) - np.diag(self.pairs)
        iou = (np.diag(self.pairs) / np.maximum(both, 1))[both > 1000]
        groups = self.right.grouped(STREET_GROUPS)
        numbers = {
            "flips": 100 * np.mean(self.flips),
            "tc": 100 * iou.mean(),
            "tae": 100 * np.mean(self.tae),
            "normals": np.mean(self.normals),
            "hits": 100 * self.right.accuracy(),
            "miou": 100 * self.right.mean_iou(),
            "groups": 100 * groups.mean_iou(),
            "ms": 1e3 * np.median(self.seconds),
        }
        return {name: round(float(value), 3) for name, value in numbers.items()}


def grey(frame: Frame) -> np.ndarray:
    return cv2.cvtColor(frame.pixels.transpose(1, 2, 0).astype(np.uint8), cv2.COLOR_RGB2GRAY)


def answer(engine: VideoEngine, frame: Frame, steady: bool, sums: Sums) -> Prediction:
    start = time.process_time()
    prediction = engine.predict(frame if steady else alone(frame), ALL)
    sums.seconds.append(time.process_time() - start)
    return prediction


def consistency(engines: dict[str, VideoEngine], clip: Path, part: range, sums: dict[str, Sums]) -> None:
    last: dict[str, Prediction] = {}
    seen: np.ndarray | None = None
    for frame in frames_of(clip, part):
        now = grey(frame)
        sure = Carried(now, seen) if seen is not None else None
        for way, steady in WAYS.items():
            prediction = answer(engines[way], frame, steady, sums[way])
            if sure is not None:
                sums[way].pair(prediction, last[way], sure)
            last[way] = prediction
        seen = now


def accuracy(
    engines: dict[str, VideoEngine], clip: Path, labels: Sequence[Path], lead: int, sums: dict[str, Sums]
) -> None:
    for path in labels:
        index = int(path.stem.rsplit("_", 1)[1])
        for frame in frames_of(clip, range(max(0, index - lead), index + 1)):
            for way, steady in WAYS.items():
                last = frame.provenance.index == index
                if steady or last:
                    prediction = answer(engines[way], frame, steady, sums[way])
                if last:
                    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                    sums[way].right.add(prediction.get(Mask).ids, label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the labelled packs (shared/data)")
    parser.add_argument("--city", action="append", help="default: the two held-out ones")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--start", type=int, help="first frame; default: 50 before the third label")
    parser.add_argument("--lead", type=int, default=20)
    parser.add_argument("--no-labels", action="store_true")
    asked = parser.parse_args()
    folder = asked.data / "driving"
    engines = {way: VideoEngine.load(None) for way in WAYS}
    for city in asked.city or ("jacksonville", "philadelphia"):
        clip = folder / "roadwork" / "clips" / f"{city}.mp4"
        labels = sorted((folder / "roadwork_labels" / "labels").glob(f"{city}_*.png"))
        start = int(labels[2].stem.rsplit("_", 1)[1]) - 50 if asked.start is None else asked.start
        sums = {way: Sums() for way in WAYS}
        consistency(engines, clip, range(start, start + asked.frames), sums)
        if not asked.no_labels:
            accuracy(engines, clip, labels, asked.lead, sums)
        for way, found in sums.items():
            sys.stdout.write(json.dumps({"clip": city, "start": start, "way": way, **found.row()}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
