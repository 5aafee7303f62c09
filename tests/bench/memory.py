"""Peak and course of memory of `banana` on long and large inputs; a script, not a test.

    python -m tests.bench.memory clip --seconds 60  # of a 10-minute clip; 600 for all of it
    python -m tests.bench.memory scene --side 20000     # beside a scene of 4,000 x 4,000 pixels

Inputs are made on the fly in a temporary folder. Memory is the resident set of the command and of all
its children, sampled four times a second; flat means that the second half of a run adds next to nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import rasterio
from rasterio.windows import Window

BANANA = Path(sys.executable).with_name("banana")
RATE = 25
MINUTES = 10
BLOCK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Resident megabytes over seconds of one run."""

    seconds: list[float]
    megabytes: list[float]
    status: int

    def describe(self) -> dict[str, object]:
        """Peak, course at tenths of the run, and growth over its second half (least squares)."""
        times, sizes = np.array(self.seconds), np.array(self.megabytes)
        late = times > times[-1] / 2
        slope = float(np.polyfit(times[late], sizes[late], 1)[0]) if late.sum() > 2 else 0.0
        marks = [float(sizes[np.searchsorted(times, times[-1] * k / 10)]) for k in range(11)]
        return {
            "status": self.status,
            "seconds": round(float(times[-1]), 1),
            "peak_mb": round(float(sizes.max())),
            "course_mb": [round(m) for m in marks],
            "late_growth_mb_per_minute": round(slope * 60, 2),
        }


def resident(process: psutil.Process) -> float:
    """Megabytes of a process and its children; 0 when it is gone."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            continue
    return total


def watch(words: list[str], limit_s: float) -> Course:
    """Run a command and sample it; a run longer than the limit is ended as by Ctrl-C."""
    started = time.perf_counter()
    seconds: list[float] = []
    sizes: list[float] = []
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            try:
                size = resident(process)
            except psutil.NoSuchProcess:
                break
            if size > 0:
                seconds.append(time.perf_counter() - started)
                sizes.append(size)
            if seconds and seconds[-1] > limit_s:
                running.send_signal(2)
                running.wait(30)
            time.sleep(0.25)
    return Course(seconds=seconds, megabytes=sizes, status=running.returncode)


def make_clip(path: Path, seconds: int) -> None:
    """A clip of 320 x 180 pixels: a square walks over a still gradient."""
    ground = np.add.outer(np.arange(180), np.arange(320)).astype(np.float32)
    still = np.stack([ground * k % 256 for k in (0.5, 0.4, 0.3)], axis=-1).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "30"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for index in range(seconds * RATE):
            picture = still.copy()
            left = index * 2 % 300
            picture[80:100, left : left + 20] = (255, 220, 0)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def make_scene(path: Path, side: int, blocks: int) -> None:
    """A square scene that is no data but for some blocks; blocks that hold nothing take no place on disk."""
    noise = np.random.default_rng(0)
    profile = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": 3,
        "dtype": "uint8",
        "nodata": 0,
        "crs": "EPSG:32633",
        "transform": rasterio.transform.from_origin(400_000, 5_800_000, 0.5, 0.5),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "sparse_ok": True,
        "compress": "deflate",
        "bigtiff": "if_safer",
    }
    per_side = side // BLOCK
    places = np.unique(np.linspace(0, per_side**2 - 1, blocks).astype(int))
    with rasterio.open(path, "w", **profile) as scene:
        for place in places:
            row, column = (int(v) * BLOCK for v in divmod(place, per_side))
            coarse = noise.integers(40, 250, (3, BLOCK // 32, BLOCK // 32), np.uint8)
            data = coarse.repeat(32, axis=1).repeat(32, axis=2)
            scene.write(data, window=Window(column, row, BLOCK, BLOCK))


def bench_clip(folder: Path, args: argparse.Namespace) -> dict[str, object]:
    """The first seconds of a 10-minute clip."""
    clip = folder / "long.mp4"
    make_clip(clip, MINUTES * 60)
    words = [str(BANANA), "segment", str(clip), "--end", str(args.seconds), "-o", str(folder / "out")]
    course = watch([*words, "-q", "--overwrite", "--budget", str(args.budget)], args.limit)
    return {"clip": "320x180, 15000 frames", "seconds_asked": args.seconds, **course.describe()}


def bench_scene(folder: Path, args: argparse.Namespace) -> dict[str, object]:
    """A large sparse scene beside a small one with as much data."""
    found: dict[str, object] = {"blocks_with_data": args.blocks}
    for side in (4_000, args.side):
        scene = folder / f"scene{side}.tif"
        make_scene(scene, side, args.blocks)
        words = [str(BANANA), "segment", str(scene), "-o", str(folder / "out"), "-q", "--overwrite"]
        course = watch([*words, "--budget", str(args.budget)], args.limit)
        found[f"{side}x{side}"] = course.describe()
    return found


def main() -> None:
    """Measure and write one JSON object to stdout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["clip", "scene"])
    parser.add_argument("--seconds", type=int, default=60, help="seconds of the clip to run (of 600)")
    parser.add_argument("--side", type=int, default=20_000, help="side of the large scene in pixels")
    parser.add_argument("--blocks", type=int, default=9, help="blocks of 1024 x 1024 pixels with data")
    parser.add_argument("--budget", type=float, default=0.1)
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which a run is interrupted")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = bench_clip if args.what == "clip" else bench_scene
        sys.stdout.write(json.dumps(bench(Path(name), args), indent=2) + "\n")


if __name__ == "__main__":
    main()
