"""The engine with the real network: odd sizes, precision, files of weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from banana_cli.classes import TABLE_OF
from banana_cli.errors import UsageError, WeightsError
from banana_cli.infer import Engine, EngineOptions
from banana_cli.model.net import BananaNet
from banana_cli.model.weights import save_model
from banana_cli.specs import SPECS
from banana_cli.types import (
    Depth,
    LayerKind,
    Mask,
    Modality,
)
from tests.glass import ALL, DEPTH, FACTS, Camera, frame_of

# --- the real network -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Callable[..., Engine]:
    torch.manual_seed(0)
    net = BananaNet(SPECS["pico"]).eval()
    return lambda **options: Engine(net, FACTS, EngineOptions(**options))


@pytest.mark.parametrize("shape", [(1, 1), (31, 33), (97, 64), (64, 700)])
@pytest.mark.parametrize("modality", [Modality.STREET, Modality.CT, Modality.AERIAL])
def test_the_network_answers_at_the_size_of_odd_frames(
    real: Callable[..., Engine], shape: tuple[int, int], modality: Modality
) -> None:
    pixels = np.random.default_rng(7).random((3, *shape)).astype(np.float32)
    valid = np.random.default_rng(9).random(shape) > 0.1
    engine, frame = real(budget=0.27), frame_of(pixels, modality, valid=valid, camera=Camera())
    one, two = (engine.predict(frame, ALL) for _ in range(2))
    assert [layer.valid.shape for layer in one.layers] == [shape] * 3
    for a, b in zip(one.layers, two.layers, strict=True):
        assert not a.valid[~valid].any()
        assert np.array_equal(a.valid, b.valid)
    assert np.array_equal(one.get(Depth).values, two.get(Depth).values, equal_nan=True)
    assert one.get(Mask).ids.max(where=one.get(Mask).valid, initial=0) < len(TABLE_OF[modality])


def test_bfloat16_answers_like_float32(real: Callable[..., Engine]) -> None:
    frame = frame_of(np.random.default_rng(8).random((3, 96, 128)))
    full = real().predict(frame, DEPTH).get(Depth)
    half = real(autocast=torch.bfloat16).predict(frame, DEPTH).get(Depth)
    both = full.valid & half.valid
    assert both.mean() > 0.5
    assert np.median(np.abs(np.log(half.values[both] / full.values[both]))) < 0.05
    assert len(np.unique(half.values[both])) > 0.5 * both.sum(), "depth must not come in steps of 8 bits"


# --- choices that cannot be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "tpu"},
        {"device": "cuda:99"},
        {"device": "cpu:x"},
        {"precision": "int8"},
        {"precision": "fp16"},
    ],
)
def test_devices_and_formats_that_are_not_here_are_refused(wrong: dict[str, str], tmp_path: object) -> None:
    with pytest.raises(UsageError) as caught:
        Engine.load(None, **{"device": "cpu", **wrong})  # type: ignore[arg-type]
    assert caught.value.remedy


@pytest.mark.parametrize(
    "wrong", [{"budget": 0.0}, {"budget": 1.5}, {"tile": 5}, {"tile": 64, "overlap": 40}]
)
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        EngineOptions(**wrong)  # type: ignore[arg-type]


def test_missing_weights_are_an_error_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        Engine.load(tmp_path / "none.safetensors", device="cpu")


def test_saved_weights_load_with_their_facts(tmp_path: Path) -> None:
    path = tmp_path / "pico.safetensors"
    save_model(path, BananaNet(SPECS["pico"]), {"seed": 1})
    engine = Engine.load(path, device="cpu", precision="fp32", tile=96)
    assert (engine.facts.name, engine.facts.precision, engine.facts.device) == ("banana-pico", "fp32", "cpu")
    assert engine.facts.budget == SPECS["pico"].budget and len(engine.facts.weights_sha256) == 64
    answer = engine.predict(frame_of(np.ones((3, 64, 64))), ALL)
    assert [layer.kind for layer in answer.layers] == list(LayerKind)
