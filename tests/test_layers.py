"""Parts of layers: joined and pasted, every pixel and its confidence stay where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from banana_cli.classes import AERIAL
from banana_cli.layers import join_bands, largest, paste
from banana_cli.types import NO_CLASS, Mask, Window

RNG = np.random.default_rng(6)


def mask_of(height: int, width: int) -> Mask:
    valid = RNG.random((height, width)) < 0.8
    ids = np.where(valid, RNG.integers(0, 6, (height, width)), NO_CLASS).astype(np.uint8)
    sure = np.where(valid, RNG.integers(1, 256, (height, width)), 0).astype(np.uint8)
    return Mask(ids=ids, valid=valid, table=AERIAL, confidence=sure)


def cut_of(mask: Mask, rows: slice) -> Mask:
    assert mask.confidence is not None
    return replace(mask, ids=mask.ids[rows], valid=mask.valid[rows], confidence=mask.confidence[rows])


def test_bands_join_to_the_mask_that_they_were() -> None:
    whole = mask_of(11, 7)
    joined = join_bands([cut_of(whole, slice(0, 4)), cut_of(whole, slice(4, 5)), cut_of(whole, slice(5, 11))])
    assert isinstance(joined, Mask)
    for name in ("ids", "valid", "confidence"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_the_largest_plane_is_that_of_argmax(seed: int, count: int) -> None:
    planes = np.random.default_rng(seed).integers(-3, 3, (count, 5, 7)).astype(np.float32)  # many are equal
    ids, best = largest(planes)
    assert ids.dtype == np.uint8
    np.testing.assert_array_equal(ids, planes.argmax(0))
    np.testing.assert_array_equal(best, planes.max(0))


def test_one_band_without_confidence_leaves_the_whole_without() -> None:
    whole = mask_of(6, 5)
    joined = join_bands([cut_of(whole, slice(0, 4)), replace(cut_of(whole, slice(4, 6)), confidence=None)])
    assert isinstance(joined, Mask)
    assert joined.confidence is None


def test_a_pasted_mask_is_sure_of_nothing_around_it() -> None:
    small = mask_of(3, 4)
    pasted = paste(small, Window(top=2, left=1, height=3, width=4), (8, 9))
    assert isinstance(pasted, Mask)
    assert pasted.confidence is not None
    np.testing.assert_array_equal(pasted.confidence[2:5, 1:5], small.confidence)
    assert pasted.confidence.sum() == np.sum(small.confidence, dtype=np.int64)
    np.testing.assert_array_equal(pasted.ids[2:5, 1:5], small.ids)
