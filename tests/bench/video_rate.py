"""Speed of a clip end to end: ``python -m tests.bench.video_rate CLIP [--size 512x288]... [--frames 120]``.

Prints one JSON object a size of picture. ``ms``: processor time a frame of each stage, each in turn on one
thread (medians), and the ``share`` of each in their sum. ``run``: what the command does on all cores, masks,
depth and normals as mp4: frames a second, processor time a frame, how many cores were busy. ``standing``: the
same of a clip whose car stands while something moves before it, beside each frame alone: ``gain`` is the
ratio of their rates. Rates mean something on an idle machine only; shares and the gain nearly everywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from banana_adapters.driving import DRIVING
from banana_adapters.driving.sinks import MP4

from banana_cli import infer, infer_video
from banana_cli.adapter import InputItem, SinkJob, SourceInfo
from banana_cli.classes import TABLE_OF
from banana_cli.events import Event, FrameDone
from banana_cli.heap import keep_memory
from banana_cli.infer_video import FOCAL_FRAMES, VideoEngine
from banana_cli.jobs import LOOKS
from banana_cli.options import ReadOptions, VideoOptions
from banana_cli.pipeline import Job, Output, Settings, run
from banana_cli.tasks.depth import DEPTH
from banana_cli.tasks.normals import NORMALS
from banana_cli.tasks.segment import SEGMENT
from banana_cli.types import Frame, LayerKind, ModelFacts

TASKS = {LayerKind.MASKS: SEGMENT, LayerKind.DEPTH: DEPTH, LayerKind.NORMALS: NORMALS}
KINDS, RATE, WARM_UP = frozenset(LayerKind), 30, 3


class CpuClock(infer.Clock):
    """Stages by processor time, which a busy machine stretches less."""

    def __init__(self) -> None:
        super().__init__(last=time.process_time())

    def go_on(self) -> None:
        self.last = time.process_time()

    def lap(self, stage: str) -> None:
        now = time.process_time()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.last
        self.last = now


def pictures(clip: Path, size: tuple[int, int], count: int, *, standing: bool) -> Iterator[np.ndarray]:
    """RGB pictures of a clip at another size; standing: its first one with the noise of a camera, and a
    thing that moves in it."""
    width, height = size
    rng = np.random.default_rng(0)
    with av.open(str(clip)) as container:
        for index, frame in zip(range(count), container.decode(video=0), strict=False):
            if not standing:
                yield frame.to_ndarray(width=width, height=height, format="rgb24")
                continue
            if index == 0:
                first = frame.to_ndarray(width=width, height=height, format="rgb24").astype(np.float32)
            noisy = first + rng.normal(0, 1.0, first.shape)
            left = width // 2 + index % (width // 8)
            noisy[height // 2 : height // 2 + 24, left : left + 32] = 200
            yield np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def make_clip(path: Path, shown: Iterator[np.ndarray]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        for index, picture in enumerate(shown):
            if index == 0:
                stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def sink_job(info: SourceInfo, layer: LayerKind, model: ModelFacts) -> SinkJob:
    table, look = TABLE_OF[info.modality], LOOKS[info.modality]
    return SinkJob(info=info, layer=layer, table=table, look=look, model=model, software="", tasks=TASKS)


def stages(clip: Path, folder: Path, engine: VideoEngine) -> dict[str, float]:
    """Median milliseconds of processor time a frame, stage by stage."""
    seconds: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        ask = ReadOptions(layers=KINDS, video=VideoOptions())
        source = stack.enter_context(DRIVING.open(InputItem(paths=(clip,), stem=clip.stem), ask))
        jobs = {kind: sink_job(source.info, kind, engine.facts) for kind in LayerKind}
        sinks = [stack.enter_context(MP4.open(folder / f"{k}.part.mp4", job)) for k, job in jobs.items()]
        clock = CpuClock()
        for frame in source:
            if not isinstance(frame, Frame):
                continue
            clock.lap("read")
            prediction = engine.predict(frame, KINDS)
            clock.go_on()
            for sink in sinks:
                sink.write(frame, prediction)
            clock.lap("write")
            for stage, spent in (clock.seconds | dict(prediction.seconds)).items():
                seconds[stage].append(spent)
            clock.seconds.clear()
            clock.go_on()
    return {stage: 1e3 * float(np.median(spent[WARM_UP:])) for stage, spent in seconds.items()}


def walk(clip: Path, folder: Path, *, steady: bool = True) -> dict[str, float]:
    """The walk of the command over a clip, reading and writing beside the model."""
    engine = VideoEngine.load(None, threads=len(os.sched_getaffinity(0)))
    item = InputItem(paths=(clip,), stem=clip.stem)
    outputs = tuple(
        Output(layer=kind, format=MP4, path=folder / f"{kind}.mp4", overwrite=True) for kind in LayerKind
    )
    read = ReadOptions(layers=KINDS, video=VideoOptions(steady=steady))
    marks: list[tuple[float, float]] = []

    def mark(event: Event) -> None:
        if isinstance(event, FrameDone):
            marks.append((time.perf_counter(), time.process_time()))

    job = Job(item=item, adapter=DRIVING, outputs=outputs)
    run([job], engine, Settings(read=read, tasks=TASKS), mark)
    first = FOCAL_FRAMES + WARM_UP  # before, every picture is looked at whole
    (began, used), (ended, used_all), count = marks[first], marks[-1], len(marks) - 1 - first
    wall, cpu = ended - began, used_all - used
    return {"fps": count / wall, "cpu_ms": 1e3 * cpu / count, "cores_busy": cpu / wall}


def rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in numbers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--size", action="append", help="default: 512x288, 512x512, 722x406")
    parser.add_argument("--frames", type=int, default=120)
    asked = parser.parse_args()
    keep_memory(os.environ)
    infer_video.Clock = CpuClock  # type: ignore[attr-defined]
    for text in asked.size or ("512x288", "512x512", "722x406"):
        width, height = (int(side) for side in text.split("x"))
        with tempfile.TemporaryDirectory() as name:
            folder, size = Path(name), (width, height)
            moving = make_clip(folder / "drive.mp4", pictures(asked.clip, size, asked.frames, standing=False))
            still = make_clip(folder / "stand.mp4", pictures(asked.clip, size, asked.frames, standing=True))
            ms = stages(moving, folder, VideoEngine.load(None, threads=1))
            stands, alone = walk(still, folder), walk(still, folder, steady=False)
            row = {
                "size": text,
                "ms": rounded(ms | {"all": sum(ms.values())}),
                "share": rounded({stage: spent / sum(ms.values()) for stage, spent in ms.items()}),
                "run": rounded(walk(moving, folder)),
                "standing": rounded(stands | {"gain": stands["fps"] / alone["fps"]}),
            }
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
