"""Numbers of things in made streets: ``python tests/bench/tracks.py SEED...``; a JSON object a seed and mask.

``idf1`` and ``switches`` (a hundred frames) by masks, of things of ``--least`` px of 288 x 512; ``short``:
the same where a thing that was hidden for more than a second counts as another. Masks: the true ones, with
``--drop`` of them lost, and with ``--model`` those of the installed weights. ``ms``: processor time of the
tracker a frame. Never part of the suite: a frame takes a second to make.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field

import numpy as np

from banana_cli.classes import kin_of, thing_ids
from banana_cli.follow import Follow
from banana_cli.infer_video import VideoEngine
from banana_cli.model.steady import Held, Steady, grey_of
from banana_cli.tracking.tracker import Tracker
from banana_cli.types import F32, U16, Instances, LayerKind, Modality, Window
from banana_cli.worlds.sample import Sample
from banana_cli.worlds.street import StreetScene
from tests.test_infer_video import shot
from tests.tracking.identity import Identity

SHAPE, RATE = (288, 512), 15
THINGS = thing_ids(Modality.STREET)


@dataclass
class Marks:
    least: int
    long: Identity = field(init=False)
    short: Identity = field(init=False)
    ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.long = Identity(least_px=self.least)
        self.short = Identity(least_px=self.least, patience=RATE)

    def add(self, truth: U16, answer: Instances) -> None:
        self.long.add(truth, answer)
        self.short.add(truth, answer)

    def row(self) -> dict[str, float]:
        told = {"idf1": self.long.idf1, "switches": self.long.switches_per_100}
        told |= {"short": self.short.idf1, "short_switches": self.short.switches_per_100}
        told |= {"things": len(self.long.seen), "ms": 1e3 * float(np.median(self.ms or [0]))}
        return {name: round(value, 3) for name, value in told.items()}


class Flow:
    """The flow as the engine has it, from pictures (3, H, W) alone."""

    def __init__(self) -> None:
        self._steady = Steady(1)

    def __call__(self, views: F32) -> F32 | None:
        grey = grey_of(views)
        maps = np.zeros((1, *SHAPE), np.float32)
        self._steady.step(maps, grey, Window(top=0, left=0, height=SHAPE[0], width=SHAPE[1]))
        self._steady.held = Held.first(maps, grey, 1)
        way = self._steady.way
        return None if way is None else np.repeat(np.repeat(way, 2, 0), 2, 1) * np.float32(2)


def truth_of(sample: Sample) -> U16:
    return np.where(np.isin(sample.ids, THINGS), sample.instances, 0).astype(np.uint16)


def masks_of(sample: Sample, rng: np.random.Generator, drop: float) -> Instances:
    truth, ids, classes = truth_of(sample), np.zeros(SHAPE, np.uint16), []
    for number in np.unique(truth[truth > 0]):
        here = truth == number
        if here.sum() >= 40 and rng.random() >= drop:
            classes.append(int(np.bincount(sample.ids[here]).argmax()))
            ids[here] = len(classes)
    return Instances(ids=ids, classes=tuple(classes), scores=(1.0,) * len(classes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--frames", type=int, default=75)
    parser.add_argument("--least", type=int, default=150)
    parser.add_argument("--drop", type=float, default=0.1)
    parser.add_argument("--model", action="store_true")
    asked = parser.parse_args()
    kin, kinds = kin_of(Modality.STREET), frozenset({LayerKind.MASKS})
    engine = Follow(VideoEngine.load(None, instances=True)) if asked.model else None
    for seed in asked.seeds:
        scene, rng, flow = StreetScene.make(seed), np.random.default_rng(0), Flow()
        ways = {"true": 0.0, "dropped": asked.drop}
        trackers = {way: Tracker(kin) for way in ways}
        marks = {way: Marks(asked.least) for way in (*ways, *(["model"] if engine else []))}
        for k in range(asked.frames):
            sample = scene.render(*SHAPE, k / RATE)
            way_back = flow(sample.views)
            for way, drop in ways.items():
                found = masks_of(sample, rng, drop)
                start = time.process_time()
                answer = trackers[way].step(found, way_back, k / RATE, sample.views * np.float32(255))
                marks[way].ms.append(time.process_time() - start)
                marks[way].add(truth_of(sample), answer)
            if engine is not None:
                things = engine.predict(shot(sample.views, k, clip=str(seed)), kinds).instances
                if things is not None:
                    marks["model"].add(truth_of(sample), things)
        for way, mark in marks.items():
            sys.stdout.write(json.dumps({"seed": seed, "masks": way, **mark.row()}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
