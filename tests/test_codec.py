"""Codes invert: labels bit for bit, depth to half a step, normals to a degree; invalid stays invalid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from banana_cli import codec
from banana_cli.classes import AERIAL, MEDICAL, STREET
from banana_cli.types import NO_CLASS, ClassTable, Depth, DepthKind, Mask, Normals, Unit

CODES = [codec.KITTI16, codec.HEIGHT16, codec.MM16, codec.RELATIVE16]
COLOURS = [codec.STREET_RGB, codec.HEIGHT_RGB, codec.MM_RGB, codec.RELATIVE_RGB]
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)


def layer(values: np.ndarray, valid: np.ndarray, unit: Unit, note: str = "") -> Depth:
    kind = DepthKind.RELATIVE if unit is Unit.ONE else DepthKind.METRIC
    masked = np.where(valid, values, np.nan).astype(np.float32)
    return Depth(values=masked, valid=valid, depth_kind=kind, unit=unit, note=note)


def like(code: codec.DepthCode | codec.DepthColours, values: np.ndarray, valid: np.ndarray) -> Depth:
    note = codec.HEIGHT_NOTE if code in (codec.HEIGHT16, codec.HEIGHT_RGB) else ""
    return layer(values, valid, code.unit, note)


@st.composite
def depths(draw: st.DrawFn, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(SHAPES)
    share = draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1)))
    valid = draw(hnp.arrays(np.bool_, shape))
    return (low + (high - low) * share).astype(np.float32), valid


@pytest.mark.parametrize("code", CODES, ids=lambda c: c.name)
@settings(deadline=None)
@given(data=st.data())
def test_depth_u16_returns_within_half_a_step(code: codec.DepthCode, data: st.DataObject) -> None:
    values, valid = data.draw(depths(code.low, code.high))
    stored, used = codec.encode_depth_u16(like(code, values, valid))
    assert used == code and stored.dtype == np.uint16
    back, back_valid = codec.decode_depth_u16(stored, code)
    assert np.array_equal(back_valid, valid)
    assert np.isnan(back[~valid]).all()
    rounding = np.spacing(np.float32(code.high))
    assert (np.abs(back - values)[valid] <= code.scale / 2 + rounding).all()


@pytest.mark.parametrize("code", CODES, ids=lambda c: c.name)
def test_every_stored_number_is_its_own_code(code: codec.DepthCode) -> None:
    stored = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    values, valid = codec.decode_depth_u16(stored, code)
    again, _ = codec.encode_depth_u16(like(code, values, valid))
    assert np.array_equal(again, stored)


def test_depth_u16_keeps_extremes_valid() -> None:
    values = np.array([[-5.0, 0.0, 1e9]], np.float32)
    street, code = codec.encode_depth_u16(layer(values, np.ones((1, 3), bool), Unit.METRE))
    assert (code, street.tolist()) == (codec.KITTI16, [[1, 1, 65535]])
    height, code = codec.encode_depth_u16(layer(values, np.ones((1, 3), bool), Unit.METRE, codec.HEIGHT_NOTE))
    assert (code, height.tolist()) == (codec.HEIGHT16, [[1, 1, 65535]])
    assert codec.decode_depth_u16(height, code)[0][0, 1] == 0.0


def test_kitti16_is_the_published_convention() -> None:
    stored, _ = codec.encode_depth_u16(layer(np.full((1, 1), 80.5), np.ones((1, 1), bool), Unit.METRE))
    assert stored[0, 0] == 80.5 * 256


@pytest.mark.parametrize("code", COLOURS, ids=lambda c: f"{c.d0}{c.unit}")
@settings(deadline=None)
@given(data=st.data())
def test_colours_return_within_half_a_step(code: codec.DepthColours, data: st.DataObject) -> None:
    far = code.d0 if code.linear else 20 * code.d0
    values, valid = data.draw(depths(0.0, far))
    rgb, used = codec.depth_to_rgb(like(code, values, valid))
    assert used == code and rgb.dtype == np.uint8
    assert (rgb[~valid] == 0).all()
    back, back_valid = codec.rgb_to_depth(rgb, code)
    assert np.array_equal(back_valid, valid)
    steps = np.abs(code.share(back[valid]) - code.share(values[valid])) * 1784
    assert (steps <= 0.5 + 1e-3).all()


@pytest.mark.parametrize("code", COLOURS, ids=lambda c: f"{c.d0}{c.unit}")
def test_every_colour_of_the_path_is_its_own_code(code: codec.DepthColours) -> None:
    last = None if code.linear else -1  # white is infinity, which no finite depth gets
    path = codec.PATH[None, :last]
    values, valid = codec.rgb_to_depth(path, code)
    assert not valid[0, 0] and valid[0, 1:].all()
    assert (np.diff(values[0, 1:]) > 0).all() and values[0, 1] == 0
    assert np.array_equal(codec.depth_to_rgb(like(code, values, valid))[0], path)


def test_path_visits_the_corners_in_order_by_single_steps() -> None:
    corners = codec.PATH[::255].tolist()
    assert corners == [
        [0, 0, 0], [255, 0, 0], [255, 255, 0], [0, 255, 0],
        [0, 255, 255], [0, 0, 255], [255, 0, 255], [255, 255, 255],
    ]  # fmt: skip
    assert (np.abs(np.diff(codec.PATH.astype(int), axis=0)).sum(axis=1) == 1).all()
    assert len(np.unique(codec.PATH, axis=0)) == 1786


def test_colours_far_away_stay_finite_and_white_is_infinity() -> None:
    far = layer(np.full((1, 1), 1e12), np.ones((1, 1), bool), Unit.METRE)
    rgb, code = codec.depth_to_rgb(far)
    assert np.isfinite(codec.rgb_to_depth(rgb, code)[0]).all()
    white = np.full((1, 1, 3), 255, np.uint8)
    assert np.isposinf(codec.rgb_to_depth(white, code)[0]).all()


def test_a_colour_beside_the_path_decodes_to_its_neighbour() -> None:
    noisy = np.clip(codec.PATH[None, 10:1775].astype(int) + [2, -2, 1], 0, 255).astype(np.uint8)
    clean, _ = codec.rgb_to_depth(codec.PATH[None, 10:1775], codec.RELATIVE_RGB)
    back, valid = codec.rgb_to_depth(noisy, codec.RELATIVE_RGB)
    assert valid.all() and np.abs(back - clean).max() <= 6.5 / 1784


UNITS = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)


@settings(deadline=None)
@given(st.lists(st.tuples(UNITS, st.booleans()), min_size=1, max_size=30))
def test_normals_return_within_half_a_degree(pixels: list[tuple[tuple[float, float, float], bool]]) -> None:
    valid = np.array([[ok for _, ok in pixels]])
    unit = np.array([np.divide(v, np.linalg.norm(v)) for v, _ in pixels]).T[:, None, :]
    normals = Normals(xyz=(unit * valid).astype(np.float32), valid=valid)
    back = codec.decode_normals_u8(codec.encode_normals_u8(normals))
    assert np.array_equal(back.valid, valid)
    assert (back.xyz[:, ~valid] == 0).all()
    assert np.allclose(np.linalg.norm(back.xyz, axis=0)[valid], 1, atol=1e-5)
    angle = np.degrees(np.arccos(np.clip((back.xyz * unit).sum(axis=0), -1, 1)))
    assert (angle[valid] < 0.5).all()


def test_normals_colours_are_the_ones_people_expect() -> None:
    right, down, viewer = np.eye(3, dtype=np.float32) * [1, 1, -1]
    xyz = np.stack([right, down, viewer], axis=1)[:, None, :].astype(np.float32)
    rgb = codec.encode_normals_u8(Normals(xyz=xyz, valid=np.ones((1, 3), bool)))
    assert rgb[0].tolist() == [[255, 128, 128], [128, 0, 128], [128, 128, 255]]


@pytest.mark.parametrize("table", [STREET, MEDICAL, AERIAL], ids=lambda t: t.name)
@settings(deadline=None)
@given(data=st.data())
def test_masks_return_bit_for_bit(table: ClassTable, data: st.DataObject) -> None:
    some = st.one_of(st.integers(0, len(table) - 1), st.just(NO_CLASS))
    ids = data.draw(hnp.arrays(np.uint8, SHAPES, elements=some))
    mask = Mask(ids=ids, valid=ids != NO_CLASS, table=table)
    stored, palette = codec.encode_mask_u8(mask)
    assert np.array_equal(stored, ids) and palette.shape == (256, 3)
    for back in (codec.decode_mask_u8(stored, table), codec.rgb_to_mask(codec.mask_to_rgb(mask), table)):
        assert np.array_equal(back.ids, ids) and np.array_equal(back.valid, mask.valid)


def test_a_foreign_class_is_refused() -> None:
    with pytest.raises(ValueError, match="class 19 is not in table aerial"):
        codec.decode_mask_u8(np.full((2, 2), 19, np.uint8), AERIAL)


@pytest.mark.parametrize("code", CODES, ids=lambda c: c.name)
def test_depth_codes_survive_their_facts(code: codec.DepthCode) -> None:
    assert codec.DepthCode.from_facts(code.facts()) == code


@pytest.mark.parametrize("code", COLOURS, ids=lambda c: f"{c.d0}{c.unit}")
def test_colour_codes_survive_their_facts(code: codec.DepthColours) -> None:
    assert codec.DepthColours.from_facts(code.facts()) == code


@pytest.mark.parametrize(
    "wrong", [{"scale": 0}, {"scale": "1"}, {"offset": None}, {"unit": "furlong"}, {"scale": float("nan")}]
)
def test_foreign_facts_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        codec.DepthCode.from_facts({**codec.KITTI16.facts(), **wrong})  # type: ignore[dict-item]


def test_pictures_decode_by_their_facts() -> None:
    ids = np.array([[0, 5, NO_CLASS]], np.uint8)
    mask = Mask(ids=ids, valid=ids != NO_CLASS, table=MEDICAL)
    facts = codec.mask_facts(MEDICAL)
    for pixels, known in (
        (ids, facts),
        (codec.mask_to_rgb(mask), {**facts, "encoding": codec.MASK_COLOURS}),
    ):
        back = codec.decode_picture(pixels, known)
        assert isinstance(back, Mask) and np.array_equal(back.ids, ids)
        assert back.table.names == MEDICAL.names
    depth = layer(np.array([[12.5]]), np.ones((1, 1), bool), Unit.METRE, codec.HEIGHT_NOTE)
    for stored, code in (codec.encode_depth_u16(depth), codec.depth_to_rgb(depth)):
        found = codec.decode_picture(stored, codec.depth_facts(depth, code))
        assert isinstance(found, Depth) and abs(found.values[0, 0] - 12.5) < 0.02
        assert (found.note, found.unit, found.depth_kind) == (depth.note, depth.unit, depth.depth_kind)


@pytest.mark.parametrize(
    ("shape", "dtype", "facts"),
    [
        ((2, 2), np.uint8, codec.KITTI16.facts() | {"kind": "metric"}),
        ((2, 2, 3), np.uint16, codec.KITTI16.facts() | {"kind": "metric"}),
        ((2, 2), np.uint16, codec.mask_facts(STREET)),
        ((2, 2), np.uint8, codec.normals_facts()),
        ((2, 2, 4), np.uint8, codec.normals_facts()),
        ((2, 2, 3), np.uint8, codec.STREET_RGB.facts()),
        ((2, 2, 3), np.uint8, codec.STREET_RGB.facts() | {"kind": "metric", "lambda": 1}),
    ],
)
def test_pictures_that_do_not_fit_their_facts_are_refused(
    shape: tuple[int, ...], dtype: type[np.generic], facts: dict[str, object]
) -> None:
    with pytest.raises(ValueError):
        codec.decode_picture(np.zeros(shape, dtype), facts)  # type: ignore[arg-type]
