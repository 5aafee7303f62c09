"""A teacher's labels: averaged over views and motion, thresholded by class, never of a held-out city."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from banana_cli.classes import STREET
from banana_cli.errors import InputError, UsageError
from banana_cli.model.net import BananaNet
from banana_cli.model.weights import load_model, save_model
from banana_cli.train import __main__ as train_main
from banana_cli.train import teach as teach_module
from banana_cli.train.augment import AugmentOptions, augment, cut_mix
from banana_cli.train.mixture import Mixture
from banana_cli.train.splits import CLIPS, HELD_OUT_CITIES, LeakError
from banana_cli.train.taught import ARRAYS, FACTS, Taught, TaughtFacts, array_path, believed
from banana_cli.train.teach import (
    Teacher,
    TeachOptions,
    correspondence,
    main,
    moments,
    resized,
    sample,
    thresholds,
)
from banana_cli.types import U8, Modality
from tests.model.test_net import TINY
from tests.train.clipdata import greys, make_data, write_clip

K = len(STREET)
QUICK = TeachOptions(every=2, apart=1, sides=(512, 160))


def texture(seed: int, rows: int, cols: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (rows // 6, cols // 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (cols, rows), interpolation=cv2.INTER_CUBIC)


def write_pack(folder: Path, cities: dict[str, int], size: int = 96) -> Path:
    """A taught pack without a teacher: ids 0..K-1 in columns, confidence by rows."""
    ids = np.tile((np.arange(size) * K // size).astype(np.uint8), (size, 1))
    confidence = np.tile(np.linspace(0, 255, size).astype(np.uint8)[:, None], (1, size))
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (city, count) in enumerate(cities.items()):
        frames = np.stack([texture(seed * 100 + i, size, size) for i in range(count)])
        maps = (frames, np.stack([ids] * count), np.stack([confidence] * count))
        for name, array in zip(ARRAYS, maps, strict=True):
            np.save(array_path(folder, city, name), array)
    places = {city: tuple(range(0, 10 * count, 10)) for city, count in cities.items()}
    facts = TaughtFacts(weights_sha256="0" * 64, frames=places, least=(128,) * K)
    (folder / FACTS).write_text(facts.to_json())
    return folder


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("taught"), {"boston": 3, "detroit": 2})


# --- thresholds -----------------------------------------------------------------------------------


@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.05, 1.0),
    st.sampled_from([0.0, 0.5, 0.8]),
    st.sampled_from([0.85, 1.0]),
)
def test_a_threshold_keeps_the_share_and_not_a_level_more(
    seed: int, keep: float, least: float, sure: float
) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 50, (4, 256)) * (rng.random((4, 256)) < 0.3)
    counts[0, 1:] = 0
    found = thresholds(counts, TeachOptions(keep=keep, least=least, sure=sure))
    assert found[0] == 256
    low, high = round(255 * least), round(255 * sure)
    for row, level in zip(counts[1:], found[1:], strict=True):
        row[0] = 0
        wanted = keep * row.sum()
        assert low <= level <= high
        assert level == low or row[level:].sum() >= wanted
        assert level == high or row[level + 1 :].sum() < wanted


def test_what_is_not_sure_enough_for_its_class_is_ignored() -> None:
    ids = np.array([[0, 0, 1, 1]], np.uint8)
    confidence = np.array([[100, 200, 100, 255]], np.uint8)
    assert believed(ids, confidence, (150, 256)).tolist() == [[255, 0, 255, 255]]
    assert believed(ids, confidence, (100, 101)).tolist() == [[0, 0, 255, 1]]


# --- motion ---------------------------------------------------------------------------------------


def test_a_shift_is_found_and_what_left_the_picture_is_not_trusted() -> None:
    scene = cv2.cvtColor(texture(1, 160, 280), cv2.COLOR_RGB2GRAY)
    now, near = scene[:144, :256], scene[:144, 12 : 12 + 256]  # everything is 12 px further left in ``near``
    place, sure = correspondence(np.ascontiguousarray(now), np.ascontiguousarray(near))
    rows, cols = np.mgrid[:144, :256]
    inner = np.s_[20:-20, 40:-40]
    assert np.abs(place[..., 0] - (cols - 12))[inner].mean() < 0.3
    assert np.abs(place[..., 1] - rows)[inner].mean() < 0.3
    assert sure[inner].mean() > 0.95
    assert not sure[:, :8].any()


def test_two_unlike_pictures_do_not_agree() -> None:
    a, b = (cv2.cvtColor(texture(s, 144, 256), cv2.COLOR_RGB2GRAY) for s in (1, 2))
    assert correspondence(a, b)[1].mean() < 0.5


def test_sampling_at_its_own_places_is_the_identity() -> None:
    maps = torch.rand(1, 3, 9, 13)
    rows, cols = np.mgrid[:9, :13].astype(np.float32)
    assert torch.allclose(sample(maps, np.stack([cols, rows], -1)), maps, atol=1e-5)
    shifted = sample(maps, np.stack([cols + 1, rows], -1))
    assert torch.allclose(shifted[..., :-1], maps[..., 1:], atol=1e-5)


# --- the teacher ----------------------------------------------------------------------------------


def test_probabilities_are_those_and_do_not_know_left_from_right() -> None:
    torch.manual_seed(0)
    teacher = Teacher(BananaNet(TINY).eval(), QUICK)
    frame = texture(3, 120, 200)
    p = teacher.probabilities(frame, frame, frame)
    assert p.shape == (K, 120, 200)
    assert torch.allclose(p.sum(0), torch.ones(120, 200), atol=1e-2)
    alone = teacher._both_ways(frame, 160, (120, 200))
    mirrored = teacher._both_ways(np.ascontiguousarray(frame[:, ::-1]), 160, (120, 200))
    assert torch.allclose(alone.mean(0), mirrored.mean(0).flip(-1), atol=1e-2)


class ByColour(Teacher):
    """Sees the red of the frame it is given as the probability of road, the rest as sky."""

    def __init__(self) -> None:
        super().__init__(BananaNet(TINY).eval(), QUICK)

    def _look(self, frames: Sequence[U8], side: int, shape: tuple[int, int]) -> torch.Tensor:
        red = torch.from_numpy(np.stack([resized(f, shape)[..., 0] for f in frames])).float() / 255
        p = torch.zeros(len(frames), K, *shape)
        p[:, STREET.id_of("road")], p[:, STREET.id_of("sky")] = red, 1 - red
        return p


def test_neighbours_count_where_they_lie_now_and_only_if_motion_is_sure() -> None:
    scene = texture(4, 150, 260)
    before, now, after = (np.ascontiguousarray(scene[:, 10 + d : 10 + d + 230]) for d in (-8, 0, 8))
    teacher, road = ByColour(), STREET.id_of("road")
    truth = torch.from_numpy(now[..., 0].astype(np.float32)) / 255
    inner = np.s_[25:-25, 40:-40]
    found = teacher.probabilities(before, now, after)[road]
    assert (found - truth)[inner].abs().mean() < 0.02
    unmoved = torch.from_numpy(before[..., 0].astype(np.float32)) / 255
    assert (unmoved - truth)[inner].abs().mean() > 0.1  # what flow had to make up for
    dark = (before * 0.2).astype(np.uint8)  # same motion, another answer: it pulls at what is now
    pulled = teacher.probabilities(dark, now, after)[road]
    assert (truth - pulled)[inner].mean() > 0.02
    alien = texture(5, 150, 230)
    agrees = teacher._through_flow(alien, now, (150, 230))[1]
    assert agrees.mean() < 0.5


def test_moments_are_every_nth_frame_with_its_neighbours(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", greys(11))
    found = list(moments(tmp_path / "a.mp4", TeachOptions(every=4, apart=2)))
    assert [m[0] for m in found] == [4, 8]
    for place, *frames in found:
        levels = [20 * (place + d) for d in (-2, 0, 2)]
        assert np.allclose([f.mean() for f in frames], levels, atol=8)
    assert len(list(moments(tmp_path / "a.mp4", TeachOptions(every=4, apart=2, limit=1)))) == 1


def test_the_command_line_makes_a_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "w.safetensors"
    save_model(weights, BananaNet(TINY), {})
    data = make_data(tmp_path / "data", {"boston": [texture(i, 120, 160) for i in range(9)]})
    blind = np.zeros((120, 160), np.bool_)
    blind[100:] = True
    monkeypatch.setattr(teach_module, "blind_spots", lambda _: {"boston": blind})
    out = tmp_path / "taught"
    main([str(weights), "--data", str(data), "--out", str(out), "--every", "5", "--least", "0"])
    taught = Taught(out)
    (record,) = (taught[i] for i in range(len(taught)))
    assert record.name == "boston_0005"
    assert record.shape == (120, 160)
    assert taught.facts.weights_sha256 == teach_module.sha256_of(weights)
    assert (record.label[:100] != 255).mean() == pytest.approx(0.65, abs=0.12)
    assert (record.label[100:] == 255).all()  # no labelled frame knows what is there
    assert np.abs(record.pixels.astype(int) - texture(5, 120, 160)).mean() < 12


def test_a_clip_that_is_too_short_is_named(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    save_model(weights, BananaNet(TINY), {})
    write_clip(tmp_path / "austin.mp4", greys(2))
    teacher = Teacher(BananaNet(TINY).eval(), QUICK)
    with pytest.raises(InputError, match="austin"):
        teach_module.teach_clip(teacher, tmp_path / "austin.mp4", tmp_path, QUICK, None)


def test_blind_spots_are_where_no_labelled_frame_knows(shared_data: Path) -> None:
    found = teach_module.blind_spots(shared_data)
    assert len(found) == 10 and not set(found) & HELD_OUT_CITIES
    below = np.mean([b[-20:].mean() for b in found.values()])
    above = np.mean([b[: b.shape[0] // 2].mean() for b in found.values()])
    assert below > 0.2 > 0.02 > above


# --- the pack as a source -------------------------------------------------------------------------


def test_records_of_a_pack(pack: Path) -> None:
    taught = Taught(pack)
    assert len(taught) == 5
    record = pickle.loads(pickle.dumps(taught))[4]
    assert (record.name, record.group, record.pack) == ("detroit_0010", "detroit", CLIPS)
    assert record.modality is Modality.STREET and record.sets == tuple((i,) for i in range(K))
    assert record.depth is None and record.normals is None and np.isnan(record.focal_px)
    assert set(np.unique(record.label)) == {*range(K), 255}
    assert (record.label == 255).mean() == pytest.approx(0.5, abs=0.02)
    with pytest.raises(IndexError):
        taught[5]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"least": [1], "frames": {}, "weights_sha256": ""}'])
def test_a_folder_that_is_no_pack(tmp_path: Path, text: str) -> None:
    (tmp_path / FACTS).write_text(text)
    with pytest.raises(InputError, match="not a taught pack"):
        Taught(tmp_path)


def test_a_pack_with_a_city_missing(tmp_path: Path) -> None:
    write_pack(tmp_path, {"boston": 1, "detroit": 1})
    array_path(tmp_path, "detroit", "confidence").unlink()
    with pytest.raises(InputError, match="detroit"):
        Taught(tmp_path)


def test_a_held_out_city_is_refused(tmp_path: Path) -> None:
    write_pack(tmp_path, {"boston": 1, sorted(HELD_OUT_CITIES)[0]: 1})
    with pytest.raises(LeakError, match=CLIPS):
        Mixture(None, None, taught=Taught(tmp_path))


def test_a_mixture_draws_from_it_and_changes_colours_strongly(pack: Path) -> None:
    mixture = Mixture(None, None, taught=Taught(pack), options=AugmentOptions(size=64), seed=3)
    assert mixture.names == (CLIPS,)
    examples = [mixture.example(i) for i in range(12)]
    again = [mixture.example(i) for i in range(12)]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(examples, again, strict=True))
    assert all(np.isnan(e.depth).all() and not e.normals.any() and not e.rays.any() for e in examples)
    assert any((e.label != 255).any() for e in examples)


def test_cut_mix_takes_a_box_of_the_other(pack: Path) -> None:
    taught, options = Taught(pack), AugmentOptions(size=64, photometric=False, hide_focal=1.0)
    rng = np.random.default_rng(0)
    near = np.full(taught[0].shape, 5.0, np.float32)
    up = np.tile(np.array([0, -127, 0], np.int8), (*near.shape, 1))
    for _ in range(20):
        a = augment(replace(taught[0], depth=near, normals=up, focal_px=80.0), rng, options)
        b = augment(replace(taught[3], depth=near, normals=up, focal_px=90.0), rng, options)
        mixed = cut_mix(a, b, rng)
        other = (mixed.image != a.image).any(0)
        rows, cols = np.flatnonzero(other.any(1)), np.flatnonzero(other.any(0))
        box = np.zeros((64, 64), bool)
        box[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] = True
        assert 0.15 < box.mean() < 0.55
        assert np.array_equal(mixed.image, np.where(box, b.image, a.image))
        assert np.array_equal(mixed.label, np.where(box, b.label, a.label))
        assert np.array_equal(mixed.valid, np.where(box, b.valid, a.valid))
        assert np.array_equal(mixed.normals, np.where(box, b.normals, a.normals))
        through_a = b.depth / b.true_focal_px * a.true_focal_px  # looks alike: depth over focal length
        assert np.allclose(mixed.depth, np.where(box, through_a, a.depth), equal_nan=True)
    untouched = augment(taught[0], np.random.default_rng(1), replace(options, strong=True))
    assert np.array_equal(untouched.image, augment(taught[0], np.random.default_rng(1), options).image)


def test_training_takes_the_pack_and_says_so(pack: Path, tmp_path: Path) -> None:
    quick = ["--steps", "1", "--batch", "1", "--size", "64", "--workers", "0", "--taught", str(pack)]
    train_main.main([str(tmp_path / "run"), *quick, "--share", f"{CLIPS}=0.5"])
    told = load_model(tmp_path / "run" / "average.safetensors")[1]["training"]["data"]
    assert told == {CLIPS: {"share": 1.0, "count": 5, "mark": Taught(pack).mark}}
    with pytest.raises(UsageError, match="no such source"):
        train_main.main([str(tmp_path / "other"), *quick, "--share", "world/moon=1"])
    with pytest.raises(SystemExit):
        train_main.main([str(tmp_path / "other"), *quick, "--share", "half"])
