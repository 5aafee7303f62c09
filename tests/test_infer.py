"""The engine moves no pixel: identities with a transparent network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from banana_cli.classes import TABLE_OF
from banana_cli.codec import HEIGHT_NOTE
from banana_cli.infer import Engine, EngineOptions
from banana_cli.model.codes import GUESS_PX
from banana_cli.model.net import Features, Head, NetOutput
from banana_cli.types import (
    NO_CLASS,
    Band,
    Depth,
    DepthKind,
    Frame,
    LayerKind,
    Mask,
    Modality,
    Normals,
    Pitch,
    Provenance,
    Unit,
    View,
    Window,
)
from tests.glass import ALL, DEPTH, FACTS, MASKS, NORMALS, Camera, Glass, found, frame_of, glass, impulse

# --- nothing moves --------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", range(1, 97))
def test_an_impulse_stays_at_its_pixel_for_every_residue(rows: int) -> None:
    cols = 1 + (rows * 37) % 101
    engine = glass()
    for at in {(0, 0), (rows - 1, cols - 1), (rows // 2, cols // 3)}:
        answer = engine.predict(frame_of(impulse((rows, cols), at)), ALL)
        assert found(answer.get(Mask)) == [list(at)]
        depth = answer.get(Depth).values
        assert depth.shape == (rows, cols)
        assert np.argwhere(depth > 2).tolist() == [list(at)]
        assert np.argwhere(answer.get(Normals).xyz[0] > 0).tolist() == [list(at)]


@settings(deadline=None, max_examples=12)
@given(st.integers(520, 1400), st.integers(33, 800), st.booleans(), st.data())
def test_a_scaled_spot_keeps_its_centre(long: int, short: int, tall: bool, data: st.DataObject) -> None:
    shape = (long, short) if tall else (short, long)
    spot = 4 * -(-long // 512)
    at = [data.draw(st.integers(2 * spot, max(2 * spot, n - 3 * spot))) for n in shape]
    pixels = np.zeros((3, *shape), np.float32)
    pixels[:, at[0] : at[0] + spot, at[1] : at[1] + spot] = 1
    depth = glass().predict(frame_of(pixels), DEPTH).get(Depth).values
    assert depth.shape == shape
    mass = np.log(depth.astype(np.float64)) - np.log(depth.min())
    inside = [min(spot, n - a) for n, a in zip(shape, at, strict=True)]
    for axis in (0, 1):
        centre = (mass.sum(axis=1 - axis) * np.arange(shape[axis])).sum() / mass.sum()
        assert abs(centre - (at[axis] + (inside[axis] - 1) / 2)) <= 0.5


def test_bands_of_rows_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = frame_of(np.random.default_rng(1).random((3, 700, 900)))
    whole = glass().predict(frame, ALL)
    monkeypatch.setattr("banana_cli.infer_decode._BAND_BYTES", 900 * 24 * 4 * 7)
    banded = glass().predict(frame, ALL)
    assert (whole.get(Mask).ids == banded.get(Mask).ids).mean() > 0.999  # but for rounding
    assert np.allclose(whole.get(Depth).values, banded.get(Depth).values, rtol=5e-5)
    assert np.allclose(whole.get(Normals).xyz, banded.get(Normals).xyz, atol=5e-5)


# --- tiles ----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([64, 96, 100]), st.integers(0, 32))
def test_tiles_of_glass_are_the_identity(rows: int, cols: int, tile: int, overlap: int) -> None:
    pixels = np.random.default_rng(rows).random((1, rows, cols)).astype(np.float32)
    engine = glass(tile=tile, overlap=overlap)
    answer = engine.predict(frame_of(pixels, Modality.AERIAL), ALL)
    want = 2 * np.expm1(pixels[0])
    assert np.allclose(answer.get(Depth).values, want, atol=1e-5)
    assert np.array_equal(answer.get(Mask).ids, pixels[0] > 0.5)


def blocks(shape: tuple[int, int], stride: int, cores: int) -> list[tuple[Window, Window]]:
    out = []
    for top in range(0, shape[0], stride * cores):
        for left in range(0, shape[1], stride * cores):
            core = Window(
                top=top,
                left=left,
                height=min(stride * cores, shape[0] - top),
                width=min(stride * cores, shape[1] - left),
            )
            low = max(0, top - stride), max(0, left - stride)
            high = min(shape[0], core.bottom + stride), min(shape[1], core.right + stride)
            window = Window(top=low[0], left=low[1], height=high[0] - low[0], width=high[1] - low[1])
            out.append((window, core))
    return out


@pytest.mark.parametrize("shape", [(200, 210), (137, 64), (57, 300)])
@pytest.mark.parametrize("cores", [1, 2])
def test_blocks_of_a_scene_equal_the_scene(shape: tuple[int, int], cores: int) -> None:
    scene = np.random.default_rng(2).random((1, *shape)).astype(np.float32)
    valid = np.random.default_rng(3).random(shape) > 0.2
    engine = Engine(Glass(position=0.3), FACTS, EngineOptions(tile=64, overlap=8))
    whole = engine.predict(frame_of(scene, Modality.AERIAL, valid=valid), ALL)
    for window, core in blocks(shape, 56, cores):
        rows, cols = window.slices()
        place = {"window": window, "core": core, "scene_shape": shape}
        part = frame_of(scene[:, rows, cols], Modality.AERIAL, valid=valid[rows, cols], **place)
        answer = engine.predict(part, ALL)
        here = core.within(window).slices()
        assert np.allclose(
            answer.get(Depth).values[here], whole.get(Depth).values[core.slices()], atol=1e-5, equal_nan=True
        )
        assert np.array_equal(answer.get(Mask).ids[here], whole.get(Mask).ids[core.slices()])
        outside = np.ones(part.shape, bool)
        outside[here] = False
        assert not answer.get(Mask).valid[outside].any(), "only the core is answered for"


def test_a_halo_that_is_too_small_still_answers_for_the_core() -> None:
    scene = np.random.default_rng(4).random((1, 300, 300)).astype(np.float32)
    window = Window(top=100, left=100, height=90, width=90)
    core = Window(top=110, left=110, height=60, width=60)
    part = frame_of(
        scene[:, *window.slices()], Modality.AERIAL, window=window, core=core, scene_shape=(300, 300)
    )
    answer = glass(tile=128, overlap=16).predict(part, DEPTH).get(Depth)
    want = 2 * np.expm1(scene[0][core.slices()])
    assert np.allclose(answer.values[core.within(window).slices()], want, atol=1e-5)


def test_tiles_without_a_valid_pixel_are_skipped() -> None:
    net = Glass()
    valid = np.zeros((64, 300), bool)
    valid[5, 290] = True
    engine = Engine(net, FACTS, EngineOptions(tile=64, overlap=8))
    mask = engine.predict(frame_of(np.ones((1, 64, 300)), Modality.AERIAL, valid=valid), MASKS).get(Mask)
    assert sum(len(inp.image) for inp in net.seen) == 1
    assert found(mask) == [[5, 290]] and (mask.ids[~valid] == NO_CLASS).all()


# --- what may be answered -------------------------------------------------------------------------


def test_invalid_pixels_are_never_answered_and_never_seen() -> None:
    pixels = np.random.default_rng(5).random((3, 60, 70))
    valid = np.random.default_rng(6).random((60, 70)) > 0.5
    pixels[:, ~valid] = np.nan
    net = Glass()
    answer = Engine(net, FACTS, EngineOptions()).predict(frame_of(pixels, valid=valid), ALL)
    assert (answer.get(Mask).ids[~valid] == NO_CLASS).all() and answer.get(Mask).valid[valid].all()
    assert np.isnan(answer.get(Depth).values[~valid]).all()
    assert (answer.get(Normals).xyz[:, ~valid] == 0).all()
    seen = net.seen[0]
    assert (seen.image[0, :, :60, :70].numpy()[:, ~valid] == 0).all()
    assert np.array_equal(seen.valid[0, 0, :60, :70].numpy() > 0, valid)
    assert not seen.valid[0, 0, 60:].any() and not seen.valid[0, 0, :, 70:].any()


def test_scaling_down_does_not_bleed_from_invalid_pixels() -> None:
    pixels = np.full((3, 600, 1024), 0.7, np.float32)
    valid = np.ones((600, 1024), bool)
    valid[:, 301:] = False
    net = Glass()
    Engine(net, FACTS, EngineOptions()).predict(frame_of(pixels, valid=valid), MASKS)
    seen = net.seen[0]
    inside = seen.valid[0, 0] > 0
    assert torch.allclose(seen.image[0, 0][inside], torch.tensor(0.7), atol=1e-5)
    assert inside[:300, :150].all() and not inside[:, 152:].any()


def test_impossible_classes_are_never_answered() -> None:
    pixels = np.zeros((1, 40, 40))  # class 0, background, which a CT cannot hold
    mask = glass().predict(frame_of(pixels, Modality.CT), MASKS).get(Mask)
    assert mask.table.names[1] == "air" and (mask.ids == 1).all()


class Sky(Glass):
    """Class "sky" in the upper half."""

    def read(self, features: Features, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        out = super().read(features, modality, heads)
        assert out.logits is not None, "depth of a street needs the sky"
        out.logits[:, TABLE_OF[modality].id_of("sky"), :20] = 99.0
        return out


def test_the_sky_has_neither_depth_nor_normal() -> None:
    engine = Engine(Sky(), FACTS, EngineOptions())
    answer = engine.predict(frame_of(np.ones((3, 40, 50))), DEPTH | NORMALS)
    assert {layer.kind for layer in answer.layers} == {LayerKind.DEPTH, LayerKind.NORMALS}
    for layer in answer.layers:
        assert not layer.valid[:20].any() and layer.valid[20:].all()


class Body(Glass):
    """Bone where the picture is bright, air elsewhere."""

    def read(self, features: Features, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        out = super().read(features, modality, heads)
        assert out.logits is not None
        bone = TABLE_OF[modality].id_of("bone")
        out.logits[:, bone] = torch.where(features.f4[:, 0] > 0.5, 9.0, -9.0)
        return out


def test_depth_of_a_scan_ends_at_the_skin_but_not_at_air_inside() -> None:
    pixels = np.zeros((1, 50, 50))
    pixels[0, 10:40, 10:40] = 1
    pixels[0, 20:30, 20:30] = 0
    valid = np.ones((50, 50), bool)
    valid[:3] = False
    pitch = Pitch(row=0.5, col=0.5, unit=Unit.MILLIMETRE)
    frame = frame_of(pixels, Modality.CT, valid=valid, camera=Camera(size=pitch))
    depth = Engine(Body(), FACTS, EngineOptions()).predict(frame, DEPTH).get(Depth)
    body = np.zeros((50, 50), bool)
    body[10:40, 10:40] = True
    assert np.array_equal(depth.valid, body)


# --- units ----------------------------------------------------------------------------------------


def test_a_known_focal_length_scales_metres() -> None:
    frame = frame_of(np.ones((3, 64, 64)), camera=Camera(focal=1000.0))
    answer = glass().predict(frame, DEPTH)
    assert np.allclose(answer.get(Depth).values, np.e * 2)
    assert answer.notes == {"focal_px": 1000.0, "focal_source": "given"}


def test_metres_do_not_depend_on_the_size_of_the_picture() -> None:
    one = glass().predict(frame_of(np.ones((3, 300, 400)), camera=Camera(focal=400.0)), DEPTH)
    net = Glass()
    two = Engine(net, FACTS, EngineOptions()).predict(
        frame_of(np.ones((3, 900, 1200)), camera=Camera(focal=1200.0)), DEPTH
    )
    # 900x1200 is seen at 384x512, where the focal length is 512 px.
    assert np.allclose(two.get(Depth).values / one.get(Depth).values[0, 0], 512 / 400)
    rays = net.seen[0].rays[0]
    assert abs(float(rays[0, 0, 511]) - (1199 / 2 - 0.67) / 1200) < 1e-3
    assert torch.allclose(rays[0, :, :512], -rays[0, :, :512].flip(1), atol=1e-6)
    assert torch.allclose(rays[1, :384], -rays[1, :384].flip(0), atol=1e-6)


@pytest.mark.parametrize("tile", [None, 64])
def test_an_unknown_camera_is_estimated_and_said_so(tile: int | None) -> None:
    net = Glass()
    engine = Engine(net, FACTS, EngineOptions(tile=tile, overlap=8))
    answer = engine.predict(frame_of(np.ones((3, 192, 256)), camera=Camera()), DEPTH)
    assert answer.notes["focal_source"] == "estimated"
    assert answer.notes["focal_px"] == pytest.approx(GUESS_PX)
    assert not net.seen[0].rays.any()


def test_a_guess_that_no_dashcam_has_is_not_believed() -> None:
    answer = Engine(Glass(), FACTS, EngineOptions(tile=64, overlap=8)).predict(
        frame_of(np.ones((3, 48, 64)), camera=Camera()), DEPTH
    )
    assert answer.notes["focal_px"] == pytest.approx(1.2 * 64) != GUESS_PX


@pytest.mark.parametrize(
    ("modality", "unit", "kind", "note"),
    [
        (Modality.AERIAL, Unit.METRE, DepthKind.METRIC, HEIGHT_NOTE),
        (Modality.CT, Unit.MILLIMETRE, DepthKind.METRIC, "depth below the skin"),
        (Modality.XRAY, Unit.ONE, DepthKind.RELATIVE, "path length through the body"),
        (Modality.VISIBLE, Unit.ONE, DepthKind.RELATIVE, "distance along the optical axis"),
    ],
)
def test_depth_says_what_it_is(modality: Modality, unit: Unit, kind: DepthKind, note: str) -> None:
    pitch = Pitch(row=0.5, col=2.0, unit=Unit.METRE if unit is Unit.METRE else Unit.MILLIMETRE)
    net = Glass()
    frame = frame_of(np.full((1, 40, 40), 0.8), modality, camera=Camera(size=pitch))
    depth = Engine(net, FACTS, EngineOptions()).predict(frame, DEPTH).get(Depth)
    assert (depth.unit, depth.depth_kind, depth.note) == (unit, kind, note)
    looked = {Modality.AERIAL: 40, Modality.XRAY: 416}.get(modality, 448)  # the network's pixels are smaller
    assert torch.allclose(net.seen[0].log_pitch.exp(), torch.tensor(40 / looked))


@pytest.mark.parametrize("modality", [Modality.CT, Modality.VISIBLE])
def test_depth_without_a_pixel_size_is_relative(modality: Modality) -> None:
    net = Glass()
    frame = frame_of(np.full((1, 40, 40), 0.8), modality, camera=Camera())
    depth = Engine(net, FACTS, EngineOptions()).predict(frame, DEPTH).get(Depth)
    assert (depth.unit, depth.depth_kind) == (Unit.ONE, DepthKind.RELATIVE)
    assert torch.isnan(net.seen[0].log_pitch).all()
    assert (depth.values[depth.valid] <= 1).all()


def test_ultrasound_has_masks_only() -> None:
    answer = glass().predict(frame_of(np.ones((1, 40, 40)), Modality.ULTRASOUND), ALL)
    assert [layer.kind for layer in answer.layers] == [LayerKind.MASKS]


def test_measured_layers_pass_through_and_the_model_is_not_asked_for_them() -> None:
    frame = frame_of(np.ones((3, 40, 40)))
    measured = Depth(
        values=np.full((40, 40), 7, np.float32),
        valid=np.ones((40, 40), bool),
        depth_kind=DepthKind.METRIC,
        unit=Unit.MILLIMETRE,
    )
    net = Glass()
    engine = Engine(net, FACTS, EngineOptions())
    given = replace(frame, measured=(measured,))
    assert engine.predict(given, DEPTH).layers == (measured,) and not net.seen
    both = engine.predict(given, DEPTH | MASKS)
    assert both.get(Depth) is measured and both.get(Mask).valid.all() and len(net.seen) == 1


def test_one_pass_serves_all_kinds_and_stages_are_timed() -> None:
    net = Glass()
    answer = Engine(net, FACTS, EngineOptions(budget=0.4)).predict(frame_of(np.ones((3, 40, 40))), ALL)
    assert len(net.seen) == 1 and answer.tokens_kept == 0.4
    assert set(answer.seconds) == {"fit", "model", "decode"} and min(answer.seconds.values()) >= 0


def test_views_cut_bands_into_the_unit_range() -> None:
    net = Glass()
    pixels = np.stack([np.full((32, 32), -1000.0), np.full((32, 32), 40.0)])
    frame = Frame(
        pixels=pixels.astype(np.float32),
        valid=np.ones((32, 32), bool),
        bands=(Band(name="a", unit="HU"), Band(name="b", unit="HU")),
        views=(
            View(band=0, low=-500, high=500),
            View(band=1, low=0, high=80),
            View(band=1, low=-60, high=-20),
        ),
        modality=Modality.CT,
        geometry=Camera(),
        provenance=Provenance(source="test", index=0),
    )
    Engine(net, FACTS, EngineOptions()).predict(frame, MASKS)
    assert net.seen[0].image[0, :, 0, 0].tolist() == [0.0, 0.5, 1.0]
