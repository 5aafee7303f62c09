"""Frames of the real clips, for self-training; those of held-out cities stay closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from banana_cli.errors import InputError, translate
from banana_cli.train.splits import HELD_OUT_CITIES
from banana_cli.types import U8

CLIPS_FOLDER = Path("driving/roadwork/clips")  # below the data folder; a clip is <city>.mp4


def training_clips(data: Path) -> tuple[Path, ...]:
    """The clips of all cities but the held-out ones, sorted; InputError if there is none."""
    clips = tuple(p for p in sorted((data / CLIPS_FOLDER).glob("*.mp4")) if p.stem not in HELD_OUT_CITIES)
    if not clips:
        raise InputError("no clips here", subject=str(data / CLIPS_FOLDER), remedy="restore the pack")
    return clips


def frames_of(clip: Path) -> Iterator[U8]:
    """Every frame (H, W, 3) uint8 RGB in order; InputError if the clip cannot be read."""
    import av  # slow to import, and only needed here

    remedy = "restore the pack"
    with (
        translate(OSError, ValueError, to=InputError, subject=str(clip), remedy=remedy),
        av.open(str(clip)) as container,
    ):
        for frame in container.decode(video=0):
            yield cast(U8, frame.to_ndarray(format="rgb24"))
