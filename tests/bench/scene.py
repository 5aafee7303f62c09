"""Time and memory over the size of a dense scene, as a table of JSON lines, and the slope of both.

python tests/bench/scene.py --sides 2000,6000,10000,30000 [--budget 0.27] [--verb segment]

A small textured scene is repeated by a VRT, so that 900 Mpx take no room on the disk. Seconds are the
processor's (user and system), which another program's load does not change; Mpx/s come from those, and
per stage from the wall-clock seconds of the sidecar.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import rasterio
from rasterio.transform import from_origin

BASE_PX = 2000
BANANA = Path(sys.executable).with_name("banana")
_SOURCE = (
    '<SimpleSource><SourceFilename relativeToVRT="1">base.tif</SourceFilename><SourceBand>{band}</SourceBand>'
    '<SrcRect xOff="0" yOff="0" xSize="{n}" ySize="{n}"/>'
    '<DstRect xOff="{x}" yOff="{y}" xSize="{n}" ySize="{n}"/></SimpleSource>'
)
_HEAD = (
    '<VRTDataset rasterXSize="{side}" rasterYSize="{side}"><SRS>EPSG:32633</SRS>'
    "<GeoTransform>400000, 0.5, 0, 5800000, 0, -0.5</GeoTransform>"
)


def make_base(path: Path) -> None:
    """Fields and streets of noise: something everywhere, so that no look is empty."""
    chance = np.random.default_rng(0)
    with rasterio.open(
        path, "w", driver="GTiff", width=BASE_PX, height=BASE_PX, count=3, dtype="uint8", crs="EPSG:32633",
        transform=from_origin(400_000, 5_800_000, 0.5, 0.5), tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", photometric="rgb",
    ) as scene:  # fmt: skip
        coarse = chance.integers(40, 200, (3, BASE_PX // 40, BASE_PX // 40), np.uint8)
        picture = coarse.repeat(40, axis=1).repeat(40, axis=2)
        scene.write(picture + chance.integers(0, 40, picture.shape, np.uint8))


def make_scene(folder: Path, side: int) -> Path:
    """A VRT of ``side`` x ``side`` pixels over the base, as wide as a whole number of it."""
    places = range(0, side, BASE_PX)
    colours = ("Red", "Green", "Blue")
    bands = (
        f'<VRTRasterBand dataType="Byte" band="{band}"><ColorInterp>{colours[band - 1]}</ColorInterp>'
        + "".join(_SOURCE.format(band=band, n=BASE_PX, x=x, y=y) for y in places for x in places)
        + "</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    path = folder / f"scene{side}.vrt"
    path.write_text(_HEAD.format(side=side) + "".join(bands) + "</VRTDataset>", encoding="utf-8")
    return path


def run(words: list[str]) -> dict[str, float]:
    """Peak resident megabytes, processor seconds and wall-clock seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, peak = time.perf_counter(), 0
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.2)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "status": running.returncode,
        "peak_mb": round(peak / 2**20),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "wall_s": round(time.perf_counter() - started, 1),
    }


def stages(sidecar: Path, mpx: float) -> dict[str, float]:
    """Mpx/s of each stage, from its wall-clock seconds."""
    seconds = json.loads(sidecar.read_text(encoding="utf-8"))["seconds"]
    return {name: round(mpx / s, 2) for name, s in seconds.items() if s > 0 and name != "load"}


def main() -> None:
    """Measure every side and fit a line through the processor seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sides", default="2000,6000,10000")
    parser.add_argument("--budget", type=float, default=0.27)
    parser.add_argument("--verb", default="segment")
    args = parser.parse_args()
    points: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_base(folder / "base.tif")
        for side in (int(word) for word in args.sides.split(",")):
            scene, mpx = make_scene(folder, side), side**2 / 1e6
            words = [str(BANANA), args.verb, str(scene), "-o", str(folder / "out"), "-q", "--overwrite"]
            found = run([*words, "--budget", str(args.budget)])
            points.append((mpx, found["cpu_s"]))
            sidecars = sorted((folder / "out").glob(f"scene{side}.*.tif.json"))
            per_stage = stages(sidecars[0], mpx) if sidecars else {}
            told = {"side": side, "mpx": mpx, **found, "mpx_per_s": per_stage}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
    if len(points) > 1:
        slope, fixed = np.polyfit(*np.array(points).T, 1)
        sys.stdout.write(
            json.dumps({"cpu_s_per_mpx": round(slope, 4), "fixed_cpu_s": round(fixed, 1)}) + "\n"
        )


if __name__ == "__main__":
    main()
