"""The fit: padding moves nothing, scaling keeps centres, bands equal the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banana_cli.fit import Fit, look_fit, plan_fit, taps
from banana_cli.types import Modality, ShapeError

SIDES = st.integers(1, 5000)


@settings(deadline=None)
@given(SIDES, SIDES, st.sampled_from([None, 64, 512, 1000]))
def test_a_plan_covers_the_picture_and_never_scales_up(rows: int, cols: int, side: int | None) -> None:
    fit = plan_fit((rows, cols), side=side)
    assert fit.source == (rows, cols)
    for source, inner, padded in zip(fit.source, fit.inner, fit.padded, strict=True):
        assert 1 <= inner <= source and inner <= padded < inner + 32 and padded % 32 == 0
    if side is None or max(rows, cols) <= side:
        assert not fit.scaled and fit.scale == 1.0
    else:
        assert max(fit.inner) == side
        thin = min(rows, cols) * side / max(rows, cols)
        assert abs(min(fit.inner) - max(thin, 1)) <= 0.5


@settings(deadline=None)
@given(SIDES, SIDES)
def test_a_small_picture_grows_to_what_is_asked_and_no_further(rows: int, cols: int) -> None:
    fit = plan_fit((rows, cols), side=512, least=256)
    long = max(rows, cols)
    assert max(fit.inner) == min(512, max(256, long))
    assert abs(min(fit.inner) - max(1, min(rows, cols) * max(fit.inner) / long)) <= 0.5


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(ShapeError):
        plan_fit((0, 5))
    with pytest.raises(ShapeError):
        Fit(source=(4, 4), inner=(33, 4), padded=(32, 32))


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_taps_interpolate_a_ramp_exactly_at_centres(inner: int, extra: int, data: st.DataObject) -> None:
    source = inner + extra
    start = data.draw(st.integers(0, source - 1))
    stop = data.draw(st.integers(start + 1, source))
    ramp = (np.arange(inner) + 0.5) * source / inner - 0.5  # source coordinate of each fitted centre
    t = taps(inner=inner, source=source, start=start, stop=stop)
    value = (1 - t.weight.astype(np.float64)) * ramp[t.low] + t.weight * ramp[t.high]
    want = np.clip(np.arange(start, stop), ramp[0], ramp[-1])
    assert np.abs(value - want).max() < 1e-3 * max(1.0, source / inner)


@pytest.mark.parametrize("size", range(1, 101))
def test_without_scaling_taps_are_the_identity(size: int) -> None:
    t = taps(inner=size, source=size)
    assert np.array_equal(t.low, np.arange(size)) and not t.weight.any()


@pytest.mark.parametrize(
    ("modality", "shape", "inner"),
    [
        (Modality.STREET, (406, 722), (288, 512)),
        (Modality.STREET, (100, 200), (100, 200)),
        (Modality.MR, (128, 256), (224, 448)),
        (Modality.CT, (512, 512), (512, 512)),
        (Modality.XRAY, (640, 640), (416, 416)),
        (Modality.ULTRASOUND, (200, 320), (260, 416)),
    ],
)
def test_looks_have_the_scale_of_training(
    modality: Modality, shape: tuple[int, int], inner: tuple[int, int]
) -> None:
    assert look_fit(shape, modality, 512).inner == inner


def test_a_wider_look_is_wider_for_all() -> None:
    assert look_fit((2160, 3840), Modality.STREET, 3840).inner == (2160, 3840)
    assert look_fit((2000, 2000), Modality.XRAY, 1024).inner == (832, 832)
