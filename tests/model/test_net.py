"""The network as a function: shapes, the dense twin, independence of batch, masks of padding."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from banana_cli.classes import TABLE_OF, thing_ids
from banana_cli.model.blocks import attend
from banana_cli.model.net import MODALITIES, BananaNet, Head, NetInput, Phase, Routing, median_code
from banana_cli.model.tokens import Grid, grid_maps
from banana_cli.model.weights import fuse_batch_norm
from banana_cli.specs import SPECS, ModelSpec
from banana_cli.types import Modality

HEADS = frozenset(Head)
TINY = ModelSpec(name="tiny", width=64, depth=4, stem=(8, 16, 32), embed=16, registers=4, chunk=16)


def make_net(spec: ModelSpec = TINY, seed: int = 0) -> BananaNet:
    torch.manual_seed(seed)
    net = BananaNet(spec).eval()
    for bank in net.things.values():
        torch.nn.init.normal_(bank.queries)
    return net


def make_input(height: int, width: int, batch: int = 1, modality: Modality = Modality.STREET) -> NetInput:
    make = torch.Generator().manual_seed(height * 1000 + width)
    return NetInput(
        image=torch.rand(batch, 3, height, width, generator=make),
        valid=torch.ones(batch, 1, height, width),
        rays=torch.rand(batch, 2, height, width, generator=make) - 0.5,
        modality=torch.full((batch,), MODALITIES.index(modality)),
        log_pitch=torch.full((batch,), torch.nan),
    )


@pytest.mark.parametrize("modality", list(Modality))
@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 160), (96, 64)])
def test_outputs_have_the_pictures_size(modality: Modality, height: int, width: int) -> None:
    with torch.inference_mode():
        out = make_net()(make_input(height, width, 2, modality), 0.27, HEADS)
    assert out.logits is not None and out.depth_code is not None and out.normals is not None
    assert out.logits.shape == (2, len(TABLE_OF[modality]), height, width)
    assert out.depth_code.shape == (2, 1, height, width)
    assert out.normals.shape == (2, 3, height, width)
    if thing_ids(modality):
        assert out.things is not None and out.things.shape == (2, 3, height, width)
    else:
        assert out.things is None
    assert all(torch.isfinite(t).all() for t in (out.logits, out.depth_code, out.normals, out.log_focal))


def test_heads_do_not_change_each_other() -> None:
    net, inp = make_net(), make_input(64, 64)
    with torch.inference_mode():
        both = net(inp, 0.27, HEADS)
        only = net(inp, 0.27, frozenset({Head.DEPTH}))
    assert only.logits is None and only.normals is None
    assert only.things is None
    assert torch.allclose(both.depth_code, only.depth_code, atol=1e-5)


def _dense_unpooled(net: BananaNet, f8: Tensor, prompt: Tensor) -> Tensor:
    """The dense computation written out: no router, no tree, one token a cell."""
    B, _, h, w = f8.shape
    maps = grid_maps(Grid(h // 4, w // 4), f8.device)
    rows = f8.flatten(2).transpose(1, 2)[:, maps.raster8]
    from banana_cli.model.net import fourier

    tokens = net.embed(rows) + net.level.weight[0]
    tokens = tokens + net.position(fourier(maps.centre[: h * w, :2])) + prompt[:, None, -net.spec.width :]
    x = net._trunk(tokens)[:, net.spec.registers :][:, : h * w]
    cells = net.expand.by_level[0](net.expand.norm(x))
    return cells[:, maps.curve8].transpose(1, 2).reshape(B, -1, h, w)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (96, 96), (32, 160)])
def test_a_budget_of_one_is_the_dense_computation(height: int, width: int) -> None:
    net, inp = make_net(), make_input(height, width, 2)
    with torch.inference_mode():
        prompt = net.prompt(inp)
        f4, f8 = net._stem(inp, prompt)
        expected = net._decode(f4, f8, _dense_unpooled(net, f8, prompt))
        got = net.features(inp, 1.0)
    assert got.kept == 1.0
    assert torch.allclose(got.f4, expected, atol=1e-5)


@pytest.mark.parametrize("budget", [1.0, 0.27, 0.165])
def test_a_picture_does_not_depend_on_its_batch(budget: float) -> None:
    net, inp = make_net(), make_input(64, 96, 3)
    with torch.inference_mode():
        together = net(inp, budget, HEADS)
        given = {k: value for k, value in asdict(inp).items() if value is not None}
        alone = net(NetInput(**{k: value[1:2] for k, value in given.items()}), budget, HEADS)
    assert torch.allclose(together.logits[1:2], alone.logits, atol=1e-5)


def test_what_cells_were_split_before_counts_and_changes_no_number_of_tokens() -> None:
    net, inp = make_net(), make_input(64, 96)
    with torch.inference_mode():
        plain = net.features(inp, 0.27)
        even = net.features(replace(inp, lean=torch.ones(1, 96)), 0.27)
        other = torch.flip(plain.levels(), (1, 2))
        lean = net.features(replace(inp, lean=torch.exp(20.0 * (2 - other.flatten(1).float()))), 0.27)
    assert torch.equal(plain.levels(), even.levels())
    assert torch.equal(lean.levels(), other)
    assert lean.kept == plain.kept
    assert not torch.equal(other, plain.levels())


def test_a_budget_keeps_about_its_share() -> None:
    net, inp = make_net(), make_input(256, 256)
    with torch.inference_mode():
        for budget in (0.165, 0.27, 0.6):
            assert net(inp, budget, HEADS).kept == pytest.approx(budget, abs=0.01)


def test_every_second_pixel_is_the_full_picture_thinned() -> None:
    net, inp = make_net(), make_input(64, 64)
    with torch.inference_mode():
        features = net.features(inp, 0.27)
        whole = net.read(features, Modality.STREET, HEADS)
        for phase in (Phase(0, 0), Phase(0, 1), Phase(1, 0), Phase(1, 1)):
            part = net.read(features, Modality.STREET, HEADS, phase)
            assert torch.allclose(part.logits, phase.of(whole.logits), atol=1e-5)
            assert torch.allclose(part.things, phase.of(whole.things), atol=1e-5)


@pytest.mark.parametrize("bound", [40.0, 1000.0])
def test_plain_attention_equals_the_fused_one(bound: float) -> None:
    q, k, v = (torch.randn(3, 2, n, 16) for n in (24, 40, 40))
    q, k = (160**0.5 * F.normalize(t, dim=-1) for t in (q, k))  # scaled products of up to 40
    fused = F.scaled_dot_product_attention(q, k, v)
    assert torch.allclose(attend(q, k, v, bound), fused, atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(attend(q, k, v, bound), fused, atol=1e-5)


def test_attention_in_parts_equals_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = (torch.randn(5, 2, n, 16) for n in (24, 40, 40))
    with torch.no_grad():
        whole = attend(q, k, v, 10.0)
        for held in (2 * 24 * 40 * 2, 100):  # two chunks at once, and none
            monkeypatch.setattr("banana_cli.model.blocks._PRODUCTS", held)
            assert torch.allclose(attend(q, k, v, 10.0), whole, atol=1e-5)


def test_heights_are_zero_where_nothing_is_raised() -> None:
    net, inp = make_net(), make_input(64, 64)
    with torch.inference_mode():
        features = net.features(inp, 1.0)
        first = net.read(features, Modality.AERIAL, HEADS)
        assert first.raised is not None
        net.geometry["aerial"].bias[4] -= first.raised.mean()  # so that something is, and something is not
        out = net.read(features, Modality.AERIAL, HEADS)
        other = net.read(features, Modality.STREET, HEADS)
    assert out.raised is not None and out.raised_code is not None and out.depth_code is not None
    assert bool((out.raised > 0).any()) and bool((out.raised <= 0).any())
    assert torch.equal(out.depth_code, median_code(out.raised, out.raised_code))
    assert not bool(out.depth_code[out.raised <= 0].any())
    assert other.raised is None and other.raised_code is None


@pytest.mark.parametrize("p", [0.3, 0.51, 0.7, 0.99])
def test_the_height_is_the_median_of_the_mixture(p: float) -> None:
    """Drawn many times: nothing with probability 1 - p, else logistic around the code."""
    code, count = 1.8, 200_000
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(0)).clamp(1e-6, 1 - 1e-6)
    height = (code + 0.36 * torch.logit(uniform)).clamp_min(0.0)
    height[: round((1 - p) * count)] = 0.0
    raised = torch.logit(torch.tensor([p], dtype=torch.float64))
    assert float(median_code(raised, torch.tensor([code]))) == pytest.approx(float(height.median()), abs=0.02)


def test_folding_batch_norm_changes_nothing() -> None:
    net, inp = make_net(), make_input(64, 64)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    with torch.inference_mode():
        before = net(inp, 1.0, HEADS)
        fuse_batch_norm(net)
        after = net(inp, 1.0, HEADS)
    assert torch.allclose(before.logits, after.logits, atol=1e-4)


def test_small_tokens_avoid_padding() -> None:
    net, inp = make_net(), make_input(128, 128)
    inp.valid[..., 64:] = 0
    for routing in Routing:
        with torch.inference_mode():
            f4 = net._gain(net.features(inp, 0.2).score, inp, _plan(128, 128, 0.2), routing)
        order = grid_maps(Grid(4, 4), f4.device).raster8
        in_padding = (order % 16) >= 8
        assert float(f4[0, in_padding].abs().max()) == 0.0


def _plan(height: int, width: int, budget: float) -> object:
    from banana_cli.model.tokens import plan_tokens

    return plan_tokens(Grid(height // 32, width // 32), budget)


def test_mixed_modalities_and_odd_sizes_are_refused() -> None:
    inp = make_input(64, 64, 2)
    inp.modality[1] = 1
    with pytest.raises(ValueError, match="one modality"):
        make_net()(inp, 0.27, HEADS)
    with pytest.raises(ValueError, match="multiple of 32"):
        make_net()(make_input(40, 64), 0.27, HEADS)


def test_every_parameter_learns_but_the_router_does_not_train_the_stem() -> None:
    net = make_net().train()
    features = net.features(make_input(64, 64, 2), 0.27)
    out = net.read(features, Modality.STREET, HEADS)
    sum(t.square().mean() for t in (out.logits, out.depth_code, out.normals, out.log_focal)).backward()
    missing = {n for n, p in net.named_parameters() if p.grad is None}
    assert {n.split(".")[0] for n in missing} <= {"router", "banks", "geometry", "things"}
    net.zero_grad()
    net.features(make_input(64, 64, 2), 0.27).score.sum().backward()
    assert net.stem2[0].weight.grad is None or float(net.stem2[0].weight.grad.abs().sum()) == 0.0
    assert net.router.score.weight.grad is not None


@pytest.mark.parametrize(("name", "millions"), [("pico", 1.8), ("nano", 3.7), ("small", 8.1)])
def test_presets_have_their_size(name: str, millions: float) -> None:
    with torch.device("meta"):
        net = BananaNet(SPECS[name])
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


def test_the_paper_size_is_only_a_value() -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in BananaNet(SPECS["giant"]).parameters())
    assert 1.5e9 < count < 2.1e9
