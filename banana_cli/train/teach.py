"""Pseudo-labels for the real clips: ``python -m banana_cli.train.teach WEIGHTS --data DATA --out FOLDER``.

A teacher sees each frame mirrored and at two scales, and the frames shortly before and after through
optical flow; probabilities are averaged, so that what changes with the view loses confidence. Of every
class the most confident share of its pixels is believed (class-balanced, Zou et al. 2018), the rest
ignored. Held-out cities are never opened.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from banana_cli.classes import STREET
from banana_cli.errors import InputError
from banana_cli.fit import plan_fit
from banana_cli.metrics.temporal import RoundTrip
from banana_cli.model.net import MODALITIES, BananaNet, Head, NetInput
from banana_cli.model.weights import load_model
from banana_cli.train.augment import NETWORK_LONG
from banana_cli.train.clips import frames_of, training_clips
from banana_cli.train.packs import load_street
from banana_cli.train.splits import split
from banana_cli.train.taught import ARRAYS, FACTS, TaughtFacts, array_path
from banana_cli.types import F32, NO_CLASS, U8, Bool, Modality
from banana_cli.weights_index import sha256_of

Shape = tuple[int, int]
_NEVER = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachOptions:
    """``every``-th frame of a clip, at most ``limit`` of it; ``sides`` are the long sides (px) at which
    the teacher looks; neighbours lie ``apart`` frames away; ``keep`` is the share of a class's pixels that
    is believed if their confidence is at least ``least``, and whatever is at least ``sure``."""

    every: int = 10
    limit: int | None = None
    sides: tuple[int, ...] = (NETWORK_LONG, 640)
    apart: int = 3
    keep: float = 0.65
    least: float = 0.6
    sure: float = 0.9


class Teacher:
    """Averaged probabilities of street classes for frames of a clip, at network resolution."""

    def __init__(self, net: BananaNet, options: TeachOptions) -> None:
        # As in the engine: the network's own maps are channels last. (The stubs of torch lack this overload.)
        self._net: BananaNet = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._options = options

    @torch.inference_mode()
    def probabilities(self, before: U8, now: U8, after: U8) -> Tensor:
        """(K, h, w) of the middle one of three (H, W, 3) frames; the long side of (h, w) is 512 at most."""
        shape = plan_fit(now.shape[:2], side=NETWORK_LONG).inner
        views = [view for side in self._options.sides for view in self._both_ways(now, side, shape)]
        total, count = torch.stack(views).sum(0), torch.full(shape, float(len(views)))
        for near in (before, after):
            seen, agrees = self._through_flow(near, now, shape)
            total += seen * agrees
            count += agrees
        return total / count

    def _both_ways(self, frame: U8, side: int, shape: Shape) -> Tensor:
        """(2, K, h, w): as it is, and mirrored and back."""
        mirrored = np.ascontiguousarray(frame[:, ::-1])
        plain, flipped = self._look([frame, mirrored], side, shape)
        return torch.stack([plain, flipped.flip(-1)])

    def _look(self, frames: Sequence[U8], side: int, shape: Shape) -> Tensor:
        """(B, K, h, w) at the budget that the weights were made for; the camera is not known."""
        fit = plan_fit(frames[0].shape[:2], side=side)
        small = np.stack([resized(frame, fit.inner) for frame in frames])
        image = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255
        below, right = (p - i for p, i in zip(fit.padded, fit.inner, strict=True))
        image = F.pad(image, (0, right, 0, below))
        valid = torch.zeros_like(image[:, :1])
        valid[..., : fit.inner[0], : fit.inner[1]] = 1
        inp = NetInput(
            image=image,
            valid=valid,
            rays=torch.zeros_like(image[:, :2]),
            modality=torch.full((len(frames),), MODALITIES.index(Modality.STREET)),
            log_pitch=torch.full((len(frames),), torch.nan),
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = self._net(inp, self._net.spec.budget, frozenset({Head.LOGITS})).logits
        p = cast(Tensor, logits)[..., : fit.inner[0], : fit.inner[1]].float().softmax(1)
        return p if fit.inner == shape else F.interpolate(p, shape, mode="bilinear", antialias=True)

    def _through_flow(self, near: U8, now: U8, shape: Shape) -> tuple[Tensor, Tensor]:
        """Probabilities of ``near`` moved onto ``now`` (K, h, w), and 1 where the motion is sure (h, w)."""
        p = self._look([near], NETWORK_LONG, shape)
        place, sure = correspondence(grey(now, shape), grey(near, shape))
        return sample(p, place)[0], torch.from_numpy(sure).float()


def resized(frame: U8, shape: Shape) -> U8:
    """(h, w, 3), averaged over areas."""
    return cast(U8, cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA))


def grey(frame: U8, shape: Shape) -> U8:
    """(h, w) luminance."""
    return cast(U8, cv2.cvtColor(resized(frame, shape), cv2.COLOR_RGB2GRAY))


def sample(maps: Tensor, place: F32) -> Tensor:
    """(1, C, h, w) read at (h, w, 2) places (x, y) in pixels, linearly."""
    h, w = maps.shape[-2:]
    unit = (torch.from_numpy(place) + 0.5) * (2 / torch.tensor([w, h])) - 1
    return F.grid_sample(maps, unit[None], mode="bilinear", padding_mode="border", align_corners=False)


def correspondence(now: U8, near: U8) -> tuple[F32, Bool]:
    """Where each pixel of ``now`` lies in ``near`` ((h, w, 2), x and y), and whether the way back agrees."""
    trip = RoundTrip.of(now, near)
    # The usual bound (Sundaram et al. 2010): errors grow with the motion.
    bound = np.sqrt(0.5 + 0.01 * (np.square(trip.there).sum(-1) + np.square(trip.back).sum(-1)))
    return trip.place, trip.inside & (trip.gap < bound)


def moments(clip: Path, options: TeachOptions) -> Iterator[tuple[int, U8, U8, U8]]:
    """(place, frame before, frame, frame after) of the frames that are taught."""
    window: deque[U8] = deque(maxlen=2 * options.apart + 1)
    given = 0
    for last, frame in enumerate(frames_of(clip)):
        window.append(frame)
        place = last - options.apart
        if len(window) == window.maxlen and place % options.every == 0:
            yield place, window[0], window[options.apart], window[-1]
            given += 1
        if given == options.limit:
            return


def blind_spots(data: Path) -> dict[str, Bool]:
    """By city, the pixels that no labelled training frame dares to name: the own car, mostly."""
    unsure: dict[str, Bool] = {}
    for record in split(load_street(data))[0]:
        here = record.label == NO_CLASS
        unsure[record.group] = here & unsure.get(record.group, here)
    return unsure


def teach_clip(
    teacher: Teacher, clip: Path, folder: Path, options: TeachOptions, blind: Bool | None
) -> tuple[tuple[int, ...], NDArray[np.int64]]:
    """Write a city's arrays; returns the places of its frames and how often each (id, confidence) is met."""
    places, rows = [], []
    counts = np.zeros((len(STREET), 256), np.int64)
    bar = tqdm(moments(clip, options), desc=clip.stem, unit="frame", disable=not sys.stderr.isatty())
    for place, before, now, after in bar:
        p, ids = teacher.probabilities(before, now, after).max(0)
        confidence = (p * 255).to(torch.uint8).numpy()
        row = (resized(now, confidence.shape), ids.to(torch.uint8).numpy(), confidence)
        if blind is not None:
            small = cv2.resize(blind.view(np.uint8), confidence.shape[::-1], interpolation=cv2.INTER_NEAREST)
            confidence[small > 0] = 0
        np.add.at(counts, (row[1].ravel(), confidence.ravel()), 1)
        places.append(place)
        rows.append(row)
    if not rows:
        raise InputError("too short a clip", subject=str(clip), remedy="restore the pack")
    for name, array in zip(ARRAYS, zip(*rows, strict=True), strict=True):
        _replace(array_path(folder, clip.stem, name), np.stack(array))
    return tuple(places), counts


def _replace(path: Path, array: NDArray[np.uint8]) -> None:
    part = path.with_suffix(".part.npy")  # a run that reads the old file keeps it
    np.save(part, array)
    part.replace(path)


def thresholds(counts: NDArray[np.int64], options: TeachOptions) -> tuple[int, ...]:
    """By class the lowest confidence (0..255) that is believed: see ``TeachOptions``.

    ``counts`` (K, 256): pixels of each class by confidence; those of confidence 0 do not count. A class
    that is never met is never believed (256).
    """
    bounds = np.rint([255 * options.least, 255 * options.sure]).astype(int)
    seen = counts.copy()
    seen[:, 0] = 0
    above = np.flip(np.flip(seen, 1).cumsum(1), 1)  # pixels at least so confident
    enough = above >= options.keep * above[:, :1]
    found = np.clip(255 - np.argmax(np.flip(enough, 1), 1), *bounds)
    return tuple(np.where(above[:, 0] > 0, found, _NEVER).tolist())


def teach(weights: Path, data: Path, folder: Path, options: TeachOptions) -> TaughtFacts:
    """Label frames of all training cities into ``folder`` and return the facts written there.

    The folder is a whole pack after every city. InputError if a clip is missing or broken,
    WeightsError if the teacher cannot be loaded.
    """
    teacher = Teacher(load_model(weights)[0], options)
    blind = blind_spots(data)
    folder.mkdir(parents=True, exist_ok=True)
    facts = TaughtFacts(weights_sha256=sha256_of(weights), frames={}, least=())
    counts = np.zeros((len(STREET), 256), np.int64)
    for clip in training_clips(data):
        places, met = teach_clip(teacher, clip, folder, options, blind.get(clip.stem))
        counts += met
        frames = {**facts.frames, clip.stem: places}
        facts = replace(facts, frames=frames, least=thresholds(counts, options))
        (folder / FACTS).write_text(facts.to_json(), encoding="utf-8")
    return facts


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    defaults = TeachOptions()
    parser = argparse.ArgumentParser(description="Label frames of the real clips with a teacher.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the packs (shared/data)")
    parser.add_argument("--out", type=Path, required=True, help="a folder that git ignores")
    parser.add_argument(
        "--every", type=int, default=defaults.every, metavar="N", help="label each N-th frame"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most N frames of a clip")
    parser.add_argument("--keep", type=float, default=defaults.keep, help="believed share of each class")
    parser.add_argument("--least", type=float, default=defaults.least, help="lowest confidence believed")
    parser.add_argument("--sure", type=float, default=defaults.sure, help="always believed from here on")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args(argv)
    torch.set_num_threads(asked.threads)
    cv2.setNumThreads(asked.threads)
    options = TeachOptions(
        every=asked.every, limit=asked.limit, keep=asked.keep, least=asked.least, sure=asked.sure
    )
    facts = teach(asked.weights, asked.data, asked.out, options)
    sys.stdout.write(f"{sum(map(len, facts.frames.values()))} frames of {len(facts.frames)} cities\n")


if __name__ == "__main__":
    main()
