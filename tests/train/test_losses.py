"""Losses against hand-made cases: sets, masks, and the router's target."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from banana_cli.classes import MEDICAL, possible_ids
from banana_cli.model.codes import code_from_depth
from banana_cli.model.net import Features, Phase
from banana_cli.train.example import UNCOUNTED
from banana_cli.train.losses import (
    IGNORE,
    Targets,
    depth_terms,
    height_terms,
    normal_terms,
    router_term,
    segment_terms,
    set_log_probability,
    thing_terms,
)
from banana_cli.train.things import things_truth
from banana_cli.types import Modality

MR = Modality.MR


def make_targets(label: torch.Tensor, sets: tuple[tuple[int, ...], ...], modality: Modality = MR) -> Targets:
    height, width = label.shape[-2:]
    return Targets(
        modality=modality,
        label=label,
        sets=(sets,) * len(label),
        depth=torch.full((len(label), 1, height, width), torch.nan),
        normals=torch.zeros(len(label), 3, height, width),
        focal_px=torch.full((len(label),), 400.0),
    )


def test_a_set_has_the_sum_of_its_members_probability() -> None:
    logits = torch.randn(len(MEDICAL), 4, 5)
    ids = possible_ids(MR)
    p = logits[list(ids)].softmax(0)
    sets = ((ids[0], ids[2]), (ids[1],))
    got = set_log_probability(logits, MR, sets).exp()
    assert torch.allclose(got[0], p[0] + p[2], atol=1e-6)
    assert torch.allclose(got[1], p[1], atol=1e-6)


def test_the_complement_of_a_class_is_never_asked_to_be_background() -> None:
    """A pack that labels only the ventricle says nothing about which other tissue it is."""
    ventricle = MEDICAL.id_of("left ventricle")
    others = tuple(c for c in possible_ids(MR) if c != ventricle)
    for tissue in others:
        logits = torch.full((1, len(MEDICAL), 4, 4), -20.0)
        logits[:, tissue] = 20.0
        loss, _, _ = segment_terms(logits, make_targets(torch.zeros(1, 4, 4).long(), (others, (ventricle,))))
        assert float(loss) == pytest.approx(0.0, abs=1e-5)


def test_ignored_pixels_cost_nothing() -> None:
    label = torch.full((1, 4, 4), IGNORE)
    logits = torch.randn(1, len(MEDICAL), 4, 4, requires_grad=True)
    loss, dice, pixel = segment_terms(logits, make_targets(label, ((0,), (6,))))
    (loss + dice).backward()
    assert float(pixel.detach().sum()) == 0.0 and logits.grad is not None
    assert float(logits.grad.abs().sum()) == 0.0


def test_depth_and_normals_count_only_what_is_known() -> None:
    label = torch.zeros(1, 8, 8).long()
    targets = make_targets(label, ((0,),), Modality.STREET)
    targets.depth[0, 0, :4] = 20.0
    targets.normals[0, 2, :4] = -1.0
    truth = code_from_depth(torch.tensor(20.0), Modality.STREET, 400.0)
    loss, edges, pixel = depth_terms(torch.full((1, 1, 8, 8), float(truth) + math.log(2)), targets)
    assert float(loss) == pytest.approx(math.log(2), abs=1e-5)
    assert float(edges) == pytest.approx(0.0, abs=1e-6)
    assert float(pixel[0, 4:].sum()) == 0.0
    up = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    square, distance = normal_terms(up, targets)
    assert float(square) == pytest.approx(2.0, abs=1e-5)
    assert float(distance[0, :4].mean()) == pytest.approx(math.sqrt(2), abs=1e-3)


def test_walls_left_and_right_are_told_apart_from_the_start() -> None:
    """Two walls and a front, and a faint sign of the side: what is said must lean to it, at any length."""
    targets = make_targets(torch.zeros(1, 8, 9).long(), ((0,),), Modality.STREET)
    walls = torch.tensor([[0.95, 0, -0.3], [-0.95, 0, -0.3], [0, 0, -1]]).repeat_interleave(3, 0)
    targets.normals[0] = walls.T[:, None]
    side = torch.tensor([1.0] * 3 + [-1.0] * 3 + [0.0] * 3)
    for length in (1.0, 9.0):
        lean = torch.zeros((), requires_grad=True)
        flat = torch.zeros(9)
        said = torch.stack([lean * side, flat, flat - 0.6 * length]).view(1, 3, 1, 9).expand(1, 3, 8, 9)
        normal_terms(said, targets)[0].backward()
        assert lean.grad is not None and float(lean.grad) == pytest.approx(-2 * 0.95 * 2 / 3, abs=1e-3)


def test_heights_of_the_ground_are_not_asked_for() -> None:
    """The ground says only that it is not raised; what is raised says how high; unknown says nothing."""
    targets = make_targets(torch.zeros(1, 8, 8).long(), ((0,),), Modality.AERIAL)
    targets.depth[0, 0, :4] = 0.0
    targets.depth[0, 0, 4:6] = 10.0
    truth = code_from_depth(torch.tensor(10.0), Modality.AERIAL)
    sure = torch.where(targets.depth > 0, 30.0, -30.0)
    code = torch.full((1, 1, 8, 8), float(truth) - 0.4)
    loss, edges, pixel = height_terms(sure, code, targets)
    assert float(loss) == pytest.approx(0.2, abs=1e-4)  # half of the error of the code
    assert float(edges) == pytest.approx(0.0, abs=1e-6)
    assert float(pixel[0, :4].sum() + pixel[0, 6:].sum()) == pytest.approx(0.0, abs=1e-6)
    wrong, _, _ = height_terms(-sure, code, targets)
    assert float(wrong) == pytest.approx(30.2, abs=1e-2)


@pytest.mark.parametrize("size", [64, 32])
def test_the_router_is_right_when_it_says_the_log_of_the_loss(size: int) -> None:
    pixel = torch.rand(2, size, size)
    cells = torch.nn.functional.avg_pool2d(pixel[:, None], size // 8).flatten(1)
    features = Features(f4=pixel, registers=pixel, score=torch.log(0.02 + cells), kept=1.0)
    assert float(router_term(features, pixel)) == pytest.approx(0.0, abs=1e-6)


def counted(*rows: int) -> Targets:
    """A thing of 6 x 6 pixels from each of these rows on; the lowest eight rows are unknown."""
    instances = np.zeros((64, 64), np.uint16)
    for number, row in enumerate(rows, 1):
        instances[row : row + 6, 20:26] = number
    instances[56:] = UNCOUNTED
    targets = make_targets(torch.zeros(1, 64, 64).long(), ((0,),), Modality.STREET)
    return replace(targets, things=torch.from_numpy(things_truth(instances))[None])


@pytest.mark.parametrize("rows", [(10,), (2, 20, 40)])
def test_things_cost_nothing_where_the_network_is_right_or_nobody_knows(rows: tuple[int, ...]) -> None:
    targets = counted(*rows)
    right = torch.where(torch.isfinite(targets.things), targets.things, 9.0)
    assert [float(t) for t in thing_terms(right, targets)] == [0.0, 0.0]
    middle, offset = thing_terms(torch.zeros_like(right), targets)
    bells = float(targets.things[:, 0].nan_to_num().square().sum())
    assert float(middle) == pytest.approx(bells / (bells + 56 * 64 / 200), abs=1e-6)
    assert float(offset) == pytest.approx(2 * 1.5 / 64, abs=1e-6)  # the mean of 2.5, 1.5 and 0.5, both ways
    assert [float(t) for t in thing_terms(None, targets)] == [0.0, 0.0]
    assert [float(t) for t in thing_terms(right, replace(targets, things=None))] == [0.0, 0.0]


def test_a_picture_without_things_asks_for_none() -> None:
    targets = counted()
    said = torch.zeros(1, 3, 64, 64, requires_grad=True)
    middle, offset = thing_terms(said + 0.1, targets)
    (middle + offset).backward()
    assert float(middle.detach()) == pytest.approx(200 * 0.1**2) and float(offset.detach()) == 0.0
    assert not bool(said.grad[0, 0, 56:].any()) and bool((said.grad[0, 0, :56] > 0).all())
    assert not bool(said.grad[0, 1:].any())


def test_targets_are_thinned_like_the_network() -> None:
    label = torch.arange(64).view(1, 8, 8)
    thin = make_targets(label, ((0,),)).at(Phase(1, 0))
    assert torch.equal(thin.label, label[:, 1::2, 0::2])
    things = counted(10)
    assert thin.things is None
    thinned = things.at(Phase(1, 0)).things
    assert torch.equal(thinned.nan_to_num(-1), things.things[..., 1::2, 0::2].nan_to_num(-1))
