"""Unlabelled frames of the real clips, for self-training, as memory maps in an ignored folder.

They show unblurred faces and plates: the folder must stay out of the repository.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import cast

import numpy as np

from banana_cli.errors import InputError, translate
from banana_cli.train.splits import HELD_OUT_CITIES
from banana_cli.types import U8

CLIPS = Path("driving/roadwork/clips")  # below the data folder


def _frames(clip: Path, every: int) -> Iterator[U8]:
    import av  # slow to import, and only needed here

    remedy = "restore the pack"
    with (
        translate(OSError, ValueError, to=InputError, subject=str(clip), remedy=remedy),
        av.open(str(clip)) as container,
    ):
        for index, frame in enumerate(container.decode(video=0)):
            if index % every == 0:
                yield cast(U8, frame.to_ndarray(format="rgb24"))


def extract_clips(
    data: Path, folder: Path, *, every: int = 5, exclude: Collection[str] = HELD_OUT_CITIES
) -> dict[str, int]:
    """Write ``folder/<city>.npy`` (N, H, W, 3) uint8 RGB, every ``every``-th frame; returns N by city.

    The cities of ``exclude`` are never opened; files that are there already are kept as they are.
    InputError if a clip cannot be read or there is none.
    """
    clips = [p for p in sorted((data / CLIPS).glob("*.mp4")) if p.stem not in exclude]
    if not clips:
        raise InputError("no clips here", subject=str(data / CLIPS), remedy="restore the pack")
    folder.mkdir(parents=True, exist_ok=True)
    return {clip.stem: _extract(clip, folder / f"{clip.stem}.npy", every) for clip in clips}


def _extract(clip: Path, target: Path, every: int) -> int:
    if not target.exists():
        part = target.with_suffix(".part.npy")
        np.save(part, np.stack(list(_frames(clip, every))))
        part.rename(target)
    return len(np.load(target, mmap_mode="r"))
