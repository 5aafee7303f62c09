"""Weights with fewer bits: what is kept as it is, how far the rest moves, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from banana_cli.errors import WeightsError
from banana_cli.model.net import BananaNet, Head
from banana_cli.model.quantise import BITS, dequantised, quantised
from banana_cli.model.weights import load_model, save_model, save_quantised
from banana_cli.weights_index import resolve
from tests.model.test_net import make_input, make_net

NAME = "blocks.0.up.weight"


def moved(weight: torch.Tensor, bits: int) -> torch.Tensor:
    stored = quantised({NAME: weight}, bits)
    return dequantised(stored, {NAME: weight.shape})[NAME]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.sampled_from([32, 64, 96]), st.integers(0, 999), st.sampled_from(BITS))
def test_a_weight_moves_by_half_a_step_at_most(rows: int, cols: int, seed: int, bits: int) -> None:
    weight = torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed))
    grouped = weight.view(rows, -1, 32) if bits == 4 else weight.view(rows, 1, -1)
    step = grouped.abs().amax(-1, keepdim=True) / (7 if bits == 4 else 127)
    off = (moved(weight, bits).view_as(grouped) - grouped).abs()
    if bits == 8:
        assert (off <= step * 0.5001).all()
    else:  # the largest may be clipped where that serves the others: never worse in squares
        plain = ((grouped / step).round() * step - grouped).square().sum(-1)
        assert (off.square().sum(-1) <= plain * 1.01 + 1e-9).all()


@pytest.mark.parametrize("bits", BITS)
def test_whole_numbers_of_steps_are_exact(bits: int) -> None:
    most = 7 if bits == 4 else 127
    whole = torch.randint(-most, most + 1, (5, 64), generator=torch.Generator().manual_seed(0))
    whole[:, ::32] = most
    weight = whole * 2.0**-6
    assert torch.equal(moved(weight, bits), weight)


def test_a_convolution_keeps_its_shape_and_a_depthwise_one_its_bits() -> None:
    weights = {"down4.weight": torch.randn(8, 32, 3, 3), "res4.mix.0.weight": torch.randn(8, 1, 3, 3)}
    shapes = {name: w.shape for name, w in weights.items()}
    stored = quantised(weights, 4)
    assert stored["down4.weight"].dtype is torch.uint8 and stored["res4.mix.0.weight"].dtype is torch.float32
    back = dequantised(stored, shapes)
    assert {name: w.shape for name, w in back.items()} == shapes
    assert torch.equal(back["res4.mix.0.weight"], weights["res4.mix.0.weight"])


@pytest.mark.parametrize(("bits", "share"), [(8, 0.30), (4, 0.20)])
def test_the_installed_weights_shrink_and_hardly_change_their_mind(
    tmp_path: Path, bits: int, share: float
) -> None:
    source, small = resolve(None), tmp_path / "small.safetensors"
    save_quantised(source, small, bits)
    assert small.stat().st_size < share * source.stat().st_size
    (full, _), (few, header) = load_model(source), load_model(small)
    assert header["bits"] == bits
    for part in ("router", "banks", "geometry", "globals", "registers", "pixels"):
        ours, theirs = ({k: v for k, v in n.state_dict().items() if k.startswith(part)} for n in (full, few))
        assert ours and all(torch.equal(ours[k], theirs[k]) for k in ours)
    inp = make_input(96, 128)
    inp.image[:] = torch.nn.functional.avg_pool2d(inp.image, 9, 1, 4)  # noise is no picture
    assert _agreement(full, few, inp) > (0.97 if bits == 8 else 0.85)


def _agreement(a: BananaNet, b: BananaNet, inp: object) -> float:
    with torch.inference_mode():
        ids = [n(inp, 1.0, frozenset({Head.LOGITS})).logits.argmax(1) for n in (a, b)]
    return float((ids[0] == ids[1]).float().mean())


def test_few_bits_are_not_made_of_few_and_a_damaged_scale_is_told(tmp_path: Path) -> None:
    source, small, again = (tmp_path / f"{n}.safetensors" for n in ("source", "small", "again"))
    save_model(source, make_net(), {})
    save_quantised(source, small, 8)
    with pytest.raises(WeightsError, match="few bits"):
        save_quantised(small, again, 4)
    tensors = load_file(small)
    with safe_open(str(small), framework="pt") as file:
        metadata = file.metadata()
    scale = next(name for name in tensors if name.endswith(".scale"))
    for damage in ({scale: tensors[scale][:, 0].clone()}, {scale: tensors[scale][1:].clone()}, {}):
        left = {name: t for name, t in tensors.items() if name != scale} | damage
        save_file(left, str(again), metadata=metadata)
        with pytest.raises(WeightsError, match="does not fit"):
            load_model(again)
