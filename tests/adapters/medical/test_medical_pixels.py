"""Stored values to physical ones, against the arithmetic of the standard."""

from __future__ import annotations

import numpy as np
import pytest
from medical_made import dataset, enhanced, frames_of, options, save, save_series, single
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from banana_cli.errors import UsageError
from banana_cli.types import LayerKind, Modality

RNG = np.random.default_rng(3)


def stored(dtype: str, shape: tuple[int, ...] = (5, 7)) -> np.ndarray:
    ends = np.iinfo(dtype)
    array = RNG.integers(ends.min, ends.max, shape, dtype, endpoint=True)
    array.flat[0], array.flat[1] = ends.min, ends.max
    return array


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
@pytest.mark.parametrize("slope, intercept", [(1, 0), (2.5, -1024), (-0.5, 3)])
def test_grey_of_every_depth_and_sign_is_rescaled(tmp_path, dtype, slope, intercept):
    raw = stored(dtype)
    path = save(tmp_path / "a.dcm", raw, RescaleSlope=slope, RescaleIntercept=intercept)
    (frame,) = frames_of(single(path))
    np.testing.assert_allclose(frame.pixels[0], raw.astype(float) * slope + intercept, rtol=1e-6)
    assert frame.modality is Modality.CT and frame.valid.all()
    assert [(v.low, v.high) for v in frame.views] == [(-160, 240), (-1350, 150), (-450, 1050)]
    assert frame.bands[0].unit == "HU"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_monochrome1_is_inverted_after_the_rescale(tmp_path, dtype):
    raw = stored(dtype)
    tags = {
        "PhotometricInterpretation": "MONOCHROME1",
        "Modality": "DX",
        "RescaleSlope": 2,
        "RescaleIntercept": 1,
    }
    (frame,) = frames_of(single(save(tmp_path / "a.dcm", raw, **tags)))
    ends = np.iinfo(dtype)
    expected = (2 * (int(ends.min) + int(ends.max)) + 2) - (2.0 * raw.astype(float) + 1)
    np.testing.assert_allclose(frame.pixels[0], expected)
    assert frame.modality is Modality.XRAY


def test_the_voi_window_of_an_inverted_xray_is_inverted_with_it(tmp_path):
    raw = stored("uint16")
    tags = {"Modality": "CR", "WindowCenter": 1000, "WindowWidth": 400, "BitsStored": 12, "HighBit": 11}
    raw &= 4095
    (plain,) = frames_of(single(save(tmp_path / "a.dcm", raw, **tags)))
    (turned,) = frames_of(
        single(save(tmp_path / "b.dcm", 4095 - raw, **tags, PhotometricInterpretation="MONOCHROME1"))
    )
    np.testing.assert_array_equal(plain.pixels, turned.pixels)
    assert (plain.views[0].low, plain.views[0].high) == (800, 1200)
    assert (turned.views[0].low, turned.views[0].high) == (4095 - 1200, 4095 - 800)


def test_mr_has_one_robust_range_for_the_whole_series(tmp_path):
    voxels = np.stack([np.full((8, 8), 100 * k) for k in range(6)])
    voxels[3, 0, 0] = 32000
    paths = save_series(tmp_path / "s", voxels, Modality="MR")
    from banana_adapters.medical import MEDICAL

    (item,) = MEDICAL.group(paths, root=tmp_path)
    frames = frames_of(item)
    assert len({f.views for f in frames}) == 1 and len(frames[0].views) == 1
    view = frames[0].views[0]
    assert view.low == 0 and 500 <= view.high < 1000


def test_colours_are_0_to_255_whatever_their_layout(tmp_path):
    rgb = stored("uint8", (4, 6, 3))
    planar = dataset(rgb, Modality="ES", PlanarConfiguration=1)
    planar.PixelData = np.moveaxis(rgb, -1, 0).tobytes()
    planar.save_as(tmp_path / "planar.dcm", enforce_file_format=True)
    wide = save(tmp_path / "wide.dcm", rgb.astype(np.uint16) * 257, Modality="XC")
    plain = save(tmp_path / "plain.dcm", rgb, Modality="OP")
    for path in (plain, tmp_path / "planar.dcm", wide):
        (frame,) = frames_of(single(path))
        np.testing.assert_allclose(frame.pixels, np.moveaxis(rgb, -1, 0), atol=1e-4)
        assert frame.modality is Modality.VISIBLE and len(frame.views) == 3


def test_ybr_becomes_rgb(tmp_path):
    ybr = np.full((4, 4, 3), (76, 85, 255), np.uint8)  # pure red
    (frame,) = frames_of(
        single(save(tmp_path / "a.dcm", ybr, Modality="US", PhotometricInterpretation="YBR_FULL"))
    )
    np.testing.assert_allclose(frame.pixels[:, 0, 0], (254, 0, 0), atol=2)
    assert frame.modality is Modality.ULTRASOUND


def test_palette_colours_are_looked_up(tmp_path):
    raw = np.arange(4, dtype=np.uint8).reshape(2, 2)
    tags = {"PhotometricInterpretation": "PALETTE COLOR", "Modality": "US"}
    tables = {"Red": (0, 255, 0, 10), "Green": (0, 0, 255, 20), "Blue": (9, 8, 7, 30)}
    for name, table in tables.items():
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        tags[f"{name}PaletteColorLookupTableData"] = (np.array(table, np.uint16) * 257).tobytes()
    (frame,) = frames_of(single(save(tmp_path / "a.dcm", raw, **tags)))
    np.testing.assert_allclose(frame.pixels.reshape(3, 4), list(tables.values()), atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_pixels_and_their_gaps(tmp_path, dtype):
    raw = np.linspace(-2, 5, 12).astype(dtype).reshape(3, 4)
    raw[1, 1] = np.nan
    tags = {"Modality": "MR", "PixelRepresentation": None, "BitsStored": None, "HighBit": None}
    (frame,) = frames_of(single(save(tmp_path / "a.dcm", raw, **tags)))
    assert not frame.valid[1, 1] and frame.valid.sum() == 11
    np.testing.assert_allclose(frame.pixels[0][frame.valid], raw[frame.valid], rtol=1e-6)
    assert np.isfinite(frame.pixels).all()


def test_modality_lut_replaces_the_rescale(tmp_path):
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [4, 0, 16], "US"
    item.LUTData = np.array([5, 50, 500, 5000], "<u2").tobytes()
    raw = np.array([[0, 1], [2, 3]], np.uint16)
    path = save(tmp_path / "a.dcm", raw, Modality="CR", ModalityLUTSequence=[item], RescaleSlope=9)
    (frame,) = frames_of(single(path))
    np.testing.assert_array_equal(frame.pixels[0], [[5, 50], [500, 5000]])


@pytest.mark.parametrize("limit", [None, -1998])
def test_padding_is_not_valid(tmp_path, limit):
    raw = np.array([[-2000, -1999], [-1998, 40]], np.int16)
    (frame,) = frames_of(
        single(save(tmp_path / "a.dcm", raw, PixelPaddingValue=-2000, PixelPaddingRangeLimit=limit))
    )
    np.testing.assert_array_equal(frame.valid.ravel(), [False, limit is None, limit is None, True])


def test_enhanced_frames_have_their_own_place_and_rescale(tmp_path):
    voxels = np.arange(24, dtype=np.uint16).reshape(3, 2, 4)
    path = enhanced(tmp_path / "e.dcm", voxels, [[0, 0, 5], [0, 0, 0], [0, 0, 10]], [1, 2, 3])
    frames = frames_of(single(path))
    for k, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.pixels[0], voxels[k] * (k + 1.0) - 1000)
        assert frame.provenance.index == k
    assert [f.geometry.plane.position[2] for f in frames] == [5, 0, 10]
    assert frames[0].geometry.pitch().row == 2


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_other_transfer_syntaxes_give_the_same_values(tmp_path, syntax):
    raw = stored("int16")
    ds = dataset(raw)
    if syntax == RLELossless:
        ds.compress(RLELossless, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        ds.PixelData = raw.astype(">i2").tobytes()
    ds.file_meta.TransferSyntaxUID = syntax
    order = {"implicit_vr": syntax == ImplicitVRLittleEndian, "little_endian": syntax != ExplicitVRBigEndian}
    dcmwrite(tmp_path / "a.dcm", ds, **order)
    (frame,) = frames_of(single(tmp_path / "a.dcm"))
    np.testing.assert_array_equal(frame.pixels[0], raw)


@pytest.mark.parametrize(
    "window, ends",
    [("lung", (-1350, 150)), ("brain", (0, 80)), ("40/400", (-160, 240)), ("-50.5/3", (-52, -49))],
)
def test_a_window_is_the_only_view(tmp_path, window, ends):
    path = save(tmp_path / "a.dcm", stored("int16"))
    (frame,) = frames_of(single(path), options(LayerKind.MASKS, window=window))
    assert [(v.low, v.high) for v in frame.views] == [ends]


@pytest.mark.parametrize(
    "window, modality", [("nonsense", "CT"), ("1/0", "CT"), ("1/nan", "CT"), ("lung", "MR")]
)
def test_a_window_that_cannot_act_is_an_error(tmp_path, window, modality):
    path = save(tmp_path / "a.dcm", stored("int16"), Modality=modality)
    with pytest.raises(UsageError, match="window"):
        frames_of(single(path), options(LayerKind.MASKS, window=window))


def test_a_window_on_colours_is_an_error(tmp_path):
    path = save(tmp_path / "a.dcm", stored("uint8", (4, 4, 3)), Modality="ES")
    with pytest.raises(UsageError, match="colour"):
        frames_of(single(path), options(LayerKind.MASKS, window="40/400"))


@pytest.mark.parametrize(
    "tags, modality",
    [
        ({"Modality": None, "RescaleType": "HU"}, Modality.CT),
        ({"Modality": None}, Modality.MR),
        ({"Modality": "OT"}, Modality.MR),
        ({"Modality": "MG"}, Modality.XRAY),
    ],
)
def test_unknown_modalities_are_guessed_and_said(tmp_path, tags, modality):
    from banana_adapters.medical import MEDICAL

    path = save(tmp_path / "a.dcm", stored("uint16"), **tags)
    info = MEDICAL.inspect(single(path), options())
    assert info.modality is modality
    assert any("taken as" in n for n in info.notices) == (tags["Modality"] in (None, "OT"))


def test_notices_of_burned_in_text_and_missing_spacing(tmp_path):
    from banana_adapters.medical import MEDICAL

    tags = {"BurnedInAnnotation": "YES", "PixelSpacing": None, "Modality": "DX"}
    info = MEDICAL.inspect(single(save(tmp_path / "a.dcm", stored("uint16"), **tags)), options())
    assert any("burned" in n for n in info.notices) and any("pixel size" in n for n in info.notices)
    tags["ImagerPixelSpacing"] = [0.2, 0.3]
    item = single(save(tmp_path / "b.dcm", stored("uint16"), **tags))
    assert any("detector" in n for n in MEDICAL.inspect(item, options()).notices)
    pitch = frames_of(item)[0].geometry.pitch()
    assert (pitch.row, pitch.col, pitch.unit) == (0.2, 0.3, "mm")


def test_ultrasound_gives_masks_only(tmp_path):
    from banana_adapters.medical import MEDICAL

    path = save(tmp_path / "a.dcm", stored("uint8"), Modality="US", ImagePositionPatient=None)
    assert dict(MEDICAL.inspect(single(path), options()).formats) == {LayerKind.MASKS: "png"}


@pytest.mark.parametrize("signed", [False, True])
def test_values_in_the_upper_bits_of_a_pixel(tmp_path, signed):
    """BitsStored 12, HighBit 15, an overlay in the bits below, as old scanners wrote."""
    values = np.arange(24).reshape(4, 6) * 80 - (900 if signed else 0)
    words = ((values << 4) | 5).astype(np.int16 if signed else np.uint16)
    path = save(tmp_path / "a.dcm", words, BitsStored=12, HighBit=15)
    [frame] = frames_of(single(path))
    np.testing.assert_array_equal(frame.pixels[0], values)


def test_overlays_are_ignored_wherever_they_are_kept(tmp_path):
    """In the unused bits above 12 stored ones, as the standard once allowed, and in elements of their own."""
    values = np.arange(24, dtype=np.uint16).reshape(4, 6) * 170
    path = save(tmp_path / "a.dcm", values | 0x1000, BitsStored=12, HighBit=11)
    ds = dcmread(path)
    ds.add_new((0x6000, 0x0010), "US", 4)
    ds.add_new((0x6000, 0x0011), "US", 6)
    ds.add_new((0x6000, 0x0040), "CS", "G")
    ds.add_new((0x6000, 0x0050), "SS", [1, 1])
    ds.add_new((0x6000, 0x0100), "US", 1)
    ds.add_new((0x6000, 0x0102), "US", 0)
    ds.add_new((0x6000, 0x3000), "OW", b"\xff" * 4)
    ds.save_as(path)
    (frame,) = frames_of(single(path))
    np.testing.assert_array_equal(frame.pixels[0], values)
