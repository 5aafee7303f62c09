"""Frames of a clip: the first as alone, later ones in the light of those before, nothing seen twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from banana_adapters.driving import DRIVING

from banana_cli import infer_video
from banana_cli.adapter import InputItem
from banana_cli.infer import Engine, EngineOptions
from banana_cli.infer_video import FOCAL_FRAMES, VideoEngine
from banana_cli.layers import values_of
from banana_cli.model.net import Features, Head, NetInput, NetOutput
from banana_cli.options import ReadOptions, VideoOptions
from banana_cli.types import NO_CLASS, Depth, Frame, LayerKind, Mask, Modality, Prediction
from tests.adapters.driving.clips import Recipe, make
from tests.glass import ALL, FACTS, Camera, Glass, frame_of

SHAPE = (160, 256)


class Restless(Glass):
    """Guesses another focal length for every whole picture, around 1."""

    def read(self, features: Features, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        guess = 0.3 * np.sin(7.0 * len(self.seen))
        return replace(super().read(features, modality, heads), log_focal=torch.full((1,), float(guess)))


def engine(net: Glass | None = None, **options: object) -> VideoEngine:
    return VideoEngine(net or Glass(), FACTS, EngineOptions(**options))  # type: ignore[arg-type]


def scene(shape: tuple[int, int] = SHAPE, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).random((3, -(-shape[0] // 16), -(-shape[1] // 16)))
    return (coarse.repeat(16, 1).repeat(16, 2)[:, : shape[0], : shape[1]] * 0.8 + 0.1).astype(np.float32)


def shot(pixels: np.ndarray, index: int, clip: str | None = "a.mp4", focal: float | None = 500.0) -> Frame:
    frame = frame_of(pixels, camera=Camera(focal=focal))
    return replace(frame, provenance=replace(frame.provenance, clip=clip, index=index))


def same(a: Prediction, b: Prediction) -> bool:
    return all(
        np.array_equal(values_of(x), values_of(y), equal_nan=True)
        for x, y in zip(a.layers, b.layers, strict=True)
    )


@pytest.mark.parametrize("shape", [SHAPE, (97, 131), (40, 30)])
def test_the_first_frame_is_answered_as_a_picture(shape: tuple[int, int]) -> None:
    pixels = scene(shape)
    plain = Engine(Glass(), FACTS, EngineOptions())
    assert same(engine().predict(shot(pixels, 0), ALL), plain.predict(shot(pixels, 0), ALL))


def test_pictures_have_no_past() -> None:
    video, plain = engine(), Engine(Glass(), FACTS, EngineOptions())
    for index in range(4):
        frame = shot(scene(seed=index % 2), index, clip=None)
        assert same(video.predict(frame, ALL), plain.predict(frame, ALL))
    assert video.memory() is None


def test_a_clip_flickers_less_than_its_frames() -> None:
    video, plain, rng = engine(), Engine(Glass(), FACTS, EngineOptions()), np.random.default_rng(1)
    jumps: dict[str, list[float]] = {"steady": [], "plain": []}
    before: dict[str, np.ndarray] = {}
    for index in range(12):
        noisy = np.clip(scene() + rng.normal(0, 0.03, (3, *SHAPE)), 0, 1)
        for name, one in (("steady", video), ("plain", plain)):
            now = np.log(one.predict(shot(noisy, index, focal=None), ALL).get(Depth).values)
            if name in before:
                jumps[name].append(float(np.abs(now - before[name]).mean()))
            before[name] = now
    assert np.mean(jumps["steady"]) < 0.5 * np.mean(jumps["plain"])


def test_the_focal_length_of_a_clip_is_guessed_once() -> None:
    video = engine(Restless())
    notes = []
    for index in range(FOCAL_FRAMES + 5):
        frame = shot(scene(seed=index), index, focal=None)  # a new picture each time: nothing is reused
        notes.append(video.predict(frame, ALL).notes)
    assert len({n["focal_px"] for n in notes[FOCAL_FRAMES - 1 :]}) == 1
    assert notes[-1]["focal_frames"] == FOCAL_FRAMES
    assert notes[-1]["focal_source"] == "estimated"
    assert len({n["focal_px"] for n in notes}) > 3
    other = video.predict(shot(scene(), 0, clip="b.mp4", focal=None), ALL)
    assert other.notes["focal_frames"] == 1


@pytest.mark.parametrize("options", [{}, {"tile": 64, "overlap": 0}])
def test_clips_do_not_mix(options: dict[str, object]) -> None:
    video = engine(**options)
    for index in range(3):
        video.predict(shot(scene(seed=1), index), ALL)
    second = [video.predict(shot(scene(seed=2), i + 5, clip="b.mp4"), ALL) for i in range(3)]
    fresh = engine(**options)
    assert all(
        same(fresh.predict(shot(scene(seed=2), i + 5, clip="b.mp4"), ALL), p) for i, p in enumerate(second)
    )
    again = video.predict(shot(scene(seed=3), 6, clip="b.mp4"), ALL)  # an earlier frame: begun anew
    assert same(again, engine(**options).predict(shot(scene(seed=3), 0), ALL))


def test_a_picture_that_stays_is_not_looked_at_again() -> None:
    net = Glass()
    video, rng = engine(net), np.random.default_rng(1)
    first = video.predict(shot(scene(), 0), ALL)
    for index in range(1, 20):
        noisy = np.clip(scene() + rng.normal(0, 0.005, (3, *SHAPE)), 0, 1)
        later = video.predict(shot(noisy, index), ALL)
        assert same(first, later)
        assert later.tokens_kept == 0
    assert len(net.seen) == 1


def test_only_the_part_that_changed_is_looked_at() -> None:
    net = Glass()
    video, shape = engine(net), (288, 512)
    pixels = scene(shape)
    video.predict(shot(pixels, 0), ALL)
    moved = pixels.copy()
    moved[:, 140:150, 300:312] = 1 - moved[:, 140:150, 300:312]
    part = video.predict(shot(moved, 1), ALL)
    assert net.seen[-1].image.shape[-2:] == (224, 224)
    assert part.tokens_kept == pytest.approx(224 * 224 / (288 * 512))
    whole = Engine(Glass(), FACTS, EngineOptions()).predict(shot(moved, 1), ALL)
    gap = np.abs(np.log(part.get(Depth).values) - np.log(whole.get(Depth).values))
    assert gap[130:160, 290:322].mean() < 0.05
    assert gap.mean() < 0.002


@pytest.mark.parametrize("cut", [1, 3, FOCAL_FRAMES + 2])
def test_going_on_from_memory_equals_going_on(cut: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    frames = []
    for index in range(cut + 6):
        pixels = scene()
        pixels[:, 40:60, 20 + 2 * index : 40 + 2 * index] = 0.95
        frames.append(shot(np.clip(pixels + rng.normal(0, 0.01, pixels.shape), 0, 1), index, focal=None))
    one = engine(Restless())
    for frame in frames[:cut]:
        one.predict(frame, ALL)
    memory = one.memory()
    assert memory is not None
    np.savez(tmp_path / "memory.npz", **memory)
    expected = [one.predict(frame, ALL) for frame in frames[cut:]]
    net = Restless()
    net.seen += [None] * cut  # type: ignore[list-item]
    other = engine(net)
    with np.load(tmp_path / "memory.npz", allow_pickle=False) as stored:
        other.remember({key: stored[key] for key in stored.files})
    for frame, wanted in zip(frames[cut:], expected, strict=True):
        found = other.predict(frame, ALL)
        assert same(found, wanted)
        assert found.notes == wanted.notes


def drive(count: int) -> list[Frame]:
    """Frames that move, then stand, then change in a part only."""
    rng = np.random.default_rng(4)
    frames = []
    for index in range(count):
        pixels = scene((288, 512))
        if index < 3:
            pixels = np.roll(pixels, 4 * index, -1)
        if index > count - 3:
            pixels[:, 140:150, 300:312] = 1 - pixels[:, 140:150, 300:312]
        frames.append(shot(np.clip(pixels + rng.normal(0, 0.002, pixels.shape), 0, 1), index))
    return frames


@pytest.mark.parametrize("options", [{}, {"tile": 256, "overlap": 0}])
def test_what_is_begun_early_is_answered_as_ever(options: dict[str, object]) -> None:
    plain, early, frames = engine(**options), engine(net := Glass(), **options), drive(8)
    expected = [plain.predict(frame, ALL) for frame in frames]
    early.expect(frames[0], ALL)
    for now, after, wanted in zip(frames, [*frames[1:], None], expected, strict=True):
        if after is not None:
            early.expect(after, ALL)
            with pytest.raises(ValueError, match="begun"):
                early.memory()
        found = early.predict(now, ALL)
        assert same(found, wanted)
        assert (found.notes, found.tokens_kept) == (wanted.notes, wanted.tokens_kept)
        assert np.array_equal(found.flow, wanted.flow, equal_nan=True) if found.flow is not None else True
    assert early.memory() is not None
    assert options or len(net.seen) < len(frames)


def test_an_error_of_what_was_begun_is_raised_where_it_is_asked_for() -> None:
    class Broken(Glass):
        def features(self, inp: NetInput, budget: float) -> Features:
            raise MemoryError

    early, frame = engine(Broken()), shot(scene(), 0)
    early.expect(frame, ALL)
    with pytest.raises(MemoryError):
        early.predict(frame, ALL)


def test_a_memory_of_something_else_is_not_used() -> None:
    one = engine()
    for index in range(3):
        one.predict(shot(scene(seed=1), index), ALL)
    memory = one.memory()
    assert memory is not None
    for clip, index in (("b.mp4", 3), ("a.mp4", 1)):
        other = engine()
        other.remember(memory)
        found = other.predict(shot(scene(seed=2), index, clip=clip), ALL)
        assert same(found, engine().predict(shot(scene(seed=2), 0), ALL))


@pytest.mark.parametrize("steady", [True, False])
def test_the_reader_says_what_is_a_clip(steady: bool, tmp_path: Path) -> None:
    path = make(tmp_path / "clip.mp4", Recipe())
    ask = ReadOptions(layers=frozenset(LayerKind), video=VideoOptions(steady=steady))
    with DRIVING.open(InputItem(paths=(path,), stem="clip"), ask) as source:
        clips = {frame.provenance.clip for frame in source if isinstance(frame, Frame)}
    assert clips == ({str(path)} if steady else {None})


def test_what_is_only_shown_is_looked_at_and_has_no_answer() -> None:
    whole = shot(scene(), 0)
    own = np.zeros(SHAPE, np.bool_)
    own[-20:, 30:] = True
    plain, hidden = (engine().predict(f, ALL) for f in (whole, replace(whole, valid=~own, shown=own)))
    for a, b in zip(plain.layers, hidden.layers, strict=True):
        assert np.array_equal(b.valid, a.valid & ~own)
        assert np.array_equal(values_of(b)[..., ~own], values_of(a)[..., ~own], equal_nan=True)
    assert (hidden.get(Mask).ids[own] == NO_CLASS).all()


def test_the_tree_of_tokens_holds_still(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, changed = np.random.default_rng(0), {}
    shots = [scene() + rng.normal(size=(3, *SHAPE)).astype(np.float32) * 0.3 for _ in range(5)]
    for much in (0.0, 0.5):
        monkeypatch.setattr(infer_video, "HYSTERESIS", much)
        real = VideoEngine.load(None, threads=1, attention=True)
        sides = []
        for k, pixels in enumerate(shots):
            attention = real.predict(shot(pixels.clip(0, 1), k), frozenset({LayerKind.MASKS})).attention
            assert attention is not None
            sides.append(attention.side)
        changed[much] = np.mean([(a != b).mean() for a, b in zip(sides, sides[1:], strict=False)])
    assert 0 < changed[0.5] < 0.7 * changed[0.0]


def test_the_real_network_goes_on_in_a_part() -> None:
    real = VideoEngine.load(None, threads=1)
    assert isinstance(real.predict(shot(scene((288, 512)), 0), ALL).get(Depth), Depth)
    pixels = scene((288, 512))
    pixels[:, 140:150, 300:312] = 1 - pixels[:, 140:150, 300:312]
    part = real.predict(shot(pixels, 1), ALL)
    assert 0 < part.tokens_kept < 0.27 * 0.5
