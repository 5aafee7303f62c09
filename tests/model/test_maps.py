"""Maps of the network brought to a picture's size."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from banana_cli.fit import Fit
from banana_cli.model.maps import Decided, planes, zoom
from banana_cli.types import NO_CLASS

SIDES = st.integers(1, 40)


def smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Scores whose largest changes from region to region."""
    coarse = torch.from_numpy(rng.standard_normal((1, shape[0], 4, 4)).astype(np.float32))
    return F.interpolate(coarse, size=shape[1:], mode="bicubic")[0].numpy()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 999), SIDES, SIDES, SIDES, SIDES)
def test_classes_are_those_of_the_zoomed_scores(seed: int, h: int, w: int, rows: int, cols: int) -> None:
    rng = np.random.default_rng(seed)
    fit = Fit(source=(rows, cols), inner=(h, w), padded=(h, w))
    scores = smooth(rng, (6, h, w))
    first, last = sorted(rng.integers(0, rows + 1, 2).tolist())
    found = Decided.of(scores).zoomed(fit, first, last)
    large = zoom(torch.from_numpy(scores), fit, 0, rows).numpy()[:, first:last]
    assert found.shape == large.shape[1:]
    two = np.sort(large, axis=0)[-2:]
    sure = two[1] - two[0] > 1e-4  # all but ties
    assert np.array_equal(found[sure], large.argmax(0)[sure])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 999), SIDES, SIDES, SIDES, SIDES)
def test_zooming_is_bilinear(seed: int, h: int, w: int, rows: int, cols: int) -> None:
    stack = torch.from_numpy(np.random.default_rng(seed).random((3, h, w), np.float32))
    fit = Fit(source=(rows, cols), inner=(h, w), padded=(h, w))
    expected = F.interpolate(stack[None], size=(rows, cols), mode="bilinear", align_corners=False)[0]
    assert torch.allclose(zoom(stack, fit, 0, rows), expected, atol=1e-5)


def test_scores_that_are_no_numbers_decide_nothing() -> None:
    scores = np.zeros((3, 4, 6), np.float32)
    scores[1, :, 3:] = 2.0
    scores[2, 1, 1] = np.nan
    decided = Decided.of(scores)
    assert decided.ids[1, 1] == NO_CLASS and (decided.ids == NO_CLASS).sum() == 1
    large = decided.zoomed(Fit(source=(8, 12), inner=(4, 6), padded=(4, 6)), 0, 8)
    assert set(np.unique(large)) == {0, 1, NO_CLASS}
    assert (large[:, 8:] == 1).all()


def test_planes_are_those_of_any_order_of_memory() -> None:
    stack = torch.rand(5, 7, 9)
    last = stack.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    for one in (stack, last, torch.rand(9, 7, 5).permute(2, 1, 0)):
        found = planes(one)
        assert found.flags.c_contiguous
        assert np.array_equal(found, one.numpy())
