"""The README's strip: each sample beside what banana makes of it with the installed weights.

Run after `make demo`-like installs: ``python samples/make_strip.py`` writes samples/strip.png.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import pydicom
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
WIDTH, GAP, BAR = 300, 6, 18
FRAME = 60
Picture = NDArray[np.uint8]


def banana(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "banana_cli", *words], check=True)


def video_frame(path: Path, index: int) -> Picture:
    with av.open(str(path)) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number == index:
                return np.asarray(frame.to_ndarray(format="rgb24"))
    raise IndexError(index)


def ct_window(path: Path) -> Picture:
    scan = pydicom.dcmread(path)
    hu = scan.pixel_array * float(scan.RescaleSlope) + float(scan.RescaleIntercept)
    grey = np.clip((hu + 160) / 400 * 255, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, -1)


def overlays(name: str, folder: Path) -> list[Picture]:
    """Masks and normals of a single picture."""
    files = (folder / f"{name}.{kind}.png" for kind in ("masks", "normals"))
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]


def height_picture(values: NDArray[np.float32], far: float) -> Picture:
    grey = np.nan_to_num(np.clip(values / far, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, -1)


def rows(folder: Path) -> list[list[Picture]]:
    more = ("--with", "depth,normals", "-q")
    banana("segment", str(HERE / "dashcam.mp4"), "--end", "2.6", "-o", str(folder), *more)
    for name in ("scan.dcm", "scene.tif"):
        banana("segment", str(HERE / name), "--format", "png,npy", "-o", str(folder), *more)
    street = [HERE / "dashcam.mp4", *(folder / f"dashcam.{k}.mp4" for k in ("masks", "depth", "normals"))]
    with rasterio.open(HERE / "scene.tif") as scene:
        aerial = scene.read([1, 2, 3]).transpose(1, 2, 0)
    crop = (slice(300, 300 + 338), slice(500, 500 + 600))
    scene_masks, scene_normals = overlays("scene", folder)
    scan_masks, scan_normals = overlays("scan", folder)
    heights = height_picture(np.load(folder / "scene.depth.npy"), 15.0)
    body = (slice(60, 380), slice(0, 512))
    below = height_picture(np.load(folder / "scan.depth.npy"), 120.0)
    return [
        [video_frame(p, FRAME) for p in street],
        [p[body] for p in (ct_window(HERE / "scan.dcm"), scan_masks, below, scan_normals)],
        [p[crop] for p in (aerial, scene_masks, heights, scene_normals)],
    ]


def compose(pictures: list[list[Picture]]) -> Image.Image:
    heights = [round(WIDTH * row[0].shape[0] / row[0].shape[1]) for row in pictures]
    size = (4 * WIDTH + 3 * GAP, BAR + sum(heights) + GAP * (len(heights) - 1))
    strip = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(strip)
    for column, word in enumerate(("input", "masks", "depth", "normals")):
        draw.text((column * (WIDTH + GAP) + 2, 3), word, fill="black")
    top = BAR
    for row, height in zip(pictures, heights, strict=True):
        for column, picture in enumerate(row):
            tile = Image.fromarray(picture).resize((WIDTH, height), Image.Resampling.LANCZOS)
            strip.paste(tile, (column * (WIDTH + GAP), top))
        top += height + GAP
    return strip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        compose(rows(Path(folder))).save(HERE / "strip.png", optimize=True)


if __name__ == "__main__":
    main()
