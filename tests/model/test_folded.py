"""The folded trunk is the trunk: the same numbers, in fp32 and nearly so in bf16."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from banana_cli.model.net import BananaNet, Head, NetInput
from banana_cli.types import Modality
from tests.model.test_net import HEADS, make_input, make_net


@pytest.fixture(scope="module")
def net() -> BananaNet:
    """Norms and scales that are not ones, as after training."""
    made = make_net()
    with torch.no_grad():
        for block in made.blocks:
            for name, p in block.named_parameters():
                if "norm" in name or "scale" in name:
                    p += 0.3 * torch.randn_like(p)
                elif name.endswith("weight"):
                    p *= 2.0  # so that attention has something to choose
    return made


def ready(net: BananaNet, dtype: torch.dtype = torch.float32) -> BananaNet:
    twin = copy.deepcopy(net)
    twin.fold(dtype)
    return twin


@pytest.fixture(params=["plain", "fused", "in parts"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Attention of small and of large products, and of more chunks than are held at once."""
    if request.param == "fused":
        monkeypatch.setattr("banana_cli.model.folded.SAFE_EXPONENT", 0.0)
    if request.param == "in parts":
        monkeypatch.setattr("banana_cli.model.folded._PRODUCTS", 2 * 32 * 68 * 3)
    yield request.param


@pytest.mark.parametrize("budget", [1.0, 0.27])
@pytest.mark.parametrize(("height", "width", "batch"), [(32, 32, 1), (96, 160, 2)])
def test_folded_is_the_same_in_fp32(
    net: BananaNet, way: str, height: int, width: int, batch: int, budget: float
) -> None:
    inp = make_input(height, width, batch)
    with torch.inference_mode():
        plain, folded = (n.features(inp, budget) for n in (net, ready(net)))
    assert torch.equal(plain.own_row, folded.own_row)
    assert torch.allclose(plain.f4, folded.f4, atol=1e-5 * float(plain.f4.abs().max()))
    assert torch.allclose(plain.registers, folded.registers, atol=1e-5 * float(plain.registers.abs().max()))


def test_folded_is_nearly_the_same_in_bf16(net: BananaNet) -> None:
    inp = make_input(96, 160)
    with torch.inference_mode():
        plain, folded = (n.features(inp, 1.0) for n in (net, ready(net, torch.bfloat16)))
    assert folded.f4.dtype is torch.bfloat16
    assert float((folded.f4.float() - plain.f4).norm() / plain.f4.norm()) < 2e-2


def test_gradients_flow_through_the_blocks_themselves(net: BananaNet) -> None:
    """What is folded is a copy: it is never trained, and weights files do not hold it."""
    twin, inp = ready(net), make_input(32, 64)
    nn.init.zeros_(twin.blocks[0].scale1)
    plain = copy.deepcopy(twin)
    plain.folded = ()
    assert torch.equal(twin.features(inp, 1.0).f4, plain.features(inp, 1.0).f4)
    assert twin.state_dict().keys() == net.state_dict().keys()


@pytest.mark.parametrize("modality", [Modality.STREET, Modality.AERIAL, Modality.CT])
@pytest.mark.parametrize("heads", [HEADS, frozenset({Head.DEPTH}), frozenset({Head.NORMALS, Head.THINGS})])
def test_what_was_read_in_one_piece_is_what_was_read(
    net: BananaNet, modality: Modality, heads: frozenset[Head]
) -> None:
    inp: NetInput = make_input(32, 64, 2, modality)
    with torch.inference_mode():
        out = net(inp, 0.27, heads)
    parts = [m for m in (out.logits, out.depth_code, out.normals, out.things) if m is not None]
    assert out.whole is not None and torch.equal(out.whole, torch.cat(parts, 1))
    assert net(inp, 0.27, heads).whole is None, "with gradients nothing is overwritten"


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(("height", "width"), [(32, 64), (288, 96)])
def test_strips_of_rows_leave_no_seam(
    net: BananaNet, folded: bool, height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Convolutions in strips of two cells, and rows read one at a time, are those of the whole picture."""
    ready_net, inp = ready(net) if folded else net, make_input(height, width, 2)
    with torch.inference_mode():
        whole = ready_net(inp, 0.27, HEADS)
        monkeypatch.setattr("banana_cli.model.net.STRIP_PX", 0)
        monkeypatch.setattr("banana_cli.model.strips.STRIP_PX", 0)
        monkeypatch.setattr("banana_cli.model.queries._AT_ONCE", 0)
        monkeypatch.setattr("banana_cli.model.folded._ROWS", 100)
        parts = ready_net(inp, 0.27, HEADS)
    assert whole.whole is not None and parts.whole is not None
    assert torch.allclose(whole.whole, parts.whole, atol=1e-5 * float(whole.whole.abs().max()))


def test_reading_without_gradients_is_reading_with_them(net: BananaNet) -> None:
    inp = make_input(64, 96, 2)
    with torch.no_grad():
        features = net.features(inp, 1.0)
        fast = net.read(features, Modality.STREET, HEADS)
    slow = net.read(features, Modality.STREET, HEADS)
    assert fast.logits is not None and slow.logits is not None
    assert torch.allclose(fast.logits, slow.logits, atol=1e-5)
