"""A data folder of tiny made clips: a textured scene that moves, one file a city."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from banana_cli.train.clips import CLIPS_FOLDER
from banana_cli.train.splits import HELD_OUT_CITIES
from banana_cli.types import U8


def write_clip(path: Path, frames: Iterable[U8]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(30))
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for index, frame in enumerate(frames):
            if index == 0:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def greys(count: int) -> list[U8]:
    return [np.full((48, 64, 3), 20 * i, np.uint8) for i in range(count)]


def make_data(folder: Path, cities: dict[str, list[U8]]) -> Path:
    """``folder`` with the clips, and held-out ones that would fail if they were opened."""
    (folder / CLIPS_FOLDER).mkdir(parents=True)
    for city, frames in cities.items():
        write_clip(folder / CLIPS_FOLDER / f"{city}.mp4", frames)
    for city in HELD_OUT_CITIES:
        (folder / CLIPS_FOLDER / f"{city}.mp4").write_bytes(b"would fail if it were opened")
    return folder
