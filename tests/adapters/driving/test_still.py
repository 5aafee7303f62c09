"""A layer that is the very last one again is painted once, and the clip is the one it would be."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import numpy as np
import pytest
from banana_adapters.driving import DRIVING
from banana_adapters.driving.sinks import MKV, MP4, MP4_OVERLAY

from banana_cli.adapter import Look, SinkFormat
from banana_cli.options import ReadOptions
from banana_cli.types import U8, Frame, Layer, LayerKind, Prediction

from .clips import Recipe, make
from .fakes import TASKS, FakeTask, job, part_of, predict


@dataclass(frozen=True)
class Counting(FakeTask):
    """Remembers how often it painted."""

    painted: list[Layer] = field(default_factory=list)

    def paint(self, layer: Layer, look: Look) -> U8:
        self.painted.append(layer)
        return super().paint(layer, look)


def written(
    clip: Path, folder: Path, form: SinkFormat, task: FakeTask, answer: Callable[[int, Frame], Prediction]
) -> list[tuple[int | None, np.ndarray]]:
    """Times and pictures of the clip of all answers."""
    (item,) = DRIVING.group([clip], root=None)
    folder.mkdir()
    with DRIVING.open(item, ReadOptions(layers=frozenset(LayerKind))) as source:
        out = part_of(folder, form.suffix(task.layer, source.info))
        with form.open(out, replace(job(source.info, task.layer), tasks={**TASKS, task.layer: task})) as sink:
            for k, frame in enumerate(source):
                assert isinstance(frame, Frame)
                sink.write(frame, answer(k, frame))
            sink.finish()
    with av.open(str(out)) as made:
        return [(p.pts, p.to_ndarray(format="rgb24")) for p in made.decode(video=0)]


@pytest.mark.parametrize("layer", LayerKind)
@pytest.mark.parametrize("form", [MP4, MKV, MP4_OVERLAY], ids=lambda f: f.name)
def test_a_layer_that_stays_is_painted_once(form: SinkFormat, layer: LayerKind, tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mp4", Recipe(size=(96, 128)))
    kept: list[Prediction] = []

    def same(k: int, frame: Frame) -> Prediction:
        if k % 4 == 0:  # something moved
            kept.append(predict(frame))
        return kept[-1]

    tasks = [Counting(layer), Counting(layer)]
    once = written(clip, tmp_path / "once", form, tasks[0], same)
    kept.clear()
    each = written(clip, tmp_path / "each", form, tasks[1], lambda k, frame: deepcopy(same(k, frame)))
    assert [t for t, _ in once] == [t for t, _ in each] and len({t for t, _ in once}) == len(once) > 8
    for (_, a), (_, b) in zip(once, each, strict=True):
        assert np.array_equal(a, b)
    if form is not MKV:
        assert len(tasks[0].painted) == len(kept) < len(tasks[1].painted) == len(each)
