"""Reading: bands, masks, scaling, places; what a right reader sees in rasters made on the spot."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from banana_adapters.common import npy
from banana_adapters.common.npy import NPY
from banana_adapters.satellite import SATELLITE
from banana_adapters.satellite.gdal import gdal_env
from rasterio.enums import ColorInterp
from scenery import PLACES, convert, frames_of, item_of, options, write_scene

from banana_cli.adapter import read_head
from banana_cli.errors import InputError, UsageError
from banana_cli.types import LayerKind, Modality, Normals

RNG = np.random.default_rng(7)


def inspect(path: Path, **asked):
    return SATELLITE.inspect(item_of(path), options(**asked))


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
)
def test_pixels_are_the_files_own_numbers(tmp_path: Path, dtype: str) -> None:
    data = RNG.integers(0, 100, (3, 60, 70)).astype(dtype)
    [frame] = frames_of(write_scene(tmp_path / "a.tif", data))
    np.testing.assert_array_equal(frame.pixels, data.astype(np.float32))
    assert frame.valid.all()
    assert frame.modality is Modality.AERIAL
    assert len(frame.views) == 3


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", 0),
        ("uint8", 255),
        ("int16", -9999),
        ("float32", -9999.0),
        ("float32", np.nan),
        ("float64", np.nan),
    ],
)
def test_nodata_is_never_valid_and_nothing_else_is_lost(tmp_path: Path, dtype: str, nodata: float) -> None:
    hole = RNG.random((90, 80)) < 0.3
    data = RNG.integers(1, 120, (3, 90, 80)).astype(dtype)
    data[:, hole] = nodata
    [frame] = frames_of(write_scene(tmp_path / "a.tif", data, nodata=nodata))
    np.testing.assert_array_equal(frame.valid, ~hole)
    assert np.isfinite(frame.pixels).all()
    np.testing.assert_array_equal(frame.pixels[:, ~hole], data[:, ~hole].astype(np.float32))


def test_nan_is_nodata_even_where_the_file_names_another_value(tmp_path: Path) -> None:
    data = np.full((1, 40, 40), 7.0, np.float32)
    data[0, :5] = -9999
    data[0, 5:10] = np.nan
    data[0, 10:15] = np.finfo(np.float32).min
    [frame] = frames_of(write_scene(tmp_path / "a.tif", data, nodata=-9999))
    np.testing.assert_array_equal(frame.valid, np.broadcast_to((np.arange(40) >= 15)[:, None], (40, 40)))


def test_mask_band_and_alpha_decide(tmp_path: Path) -> None:
    hole = RNG.random((50, 50)) < 0.5
    data = RNG.integers(0, 255, (3, 50, 50), dtype=np.uint8)
    [masked] = frames_of(write_scene(tmp_path / "m.tif", data, mask=np.where(hole, 0, 255).astype(np.uint8)))
    np.testing.assert_array_equal(masked.valid, ~hole)
    rgba = np.concatenate([data, np.where(hole, 0, 9)[None].astype(np.uint8)])
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    [alpha] = frames_of(write_scene(tmp_path / "a.tif", rgba, colorinterp=colours))
    np.testing.assert_array_equal(alpha.valid, ~hole)
    assert alpha.pixels.shape[0] == 3


def test_nodata_option_replaces_the_files(tmp_path: Path) -> None:
    data = np.array([[[0, 5, 9]]], np.uint8).repeat(8, axis=1)
    path = write_scene(tmp_path / "a.tif", data, nodata=0)
    [frame] = frames_of(path, options(nodata=9))
    np.testing.assert_array_equal(frame.valid[0], [True, True, False])


def test_band_choice(tmp_path: Path) -> None:
    data = (np.arange(5, dtype=np.uint8)[:, None, None] * 10 + 1) * np.ones((1, 20, 20), np.uint8)
    plain = write_scene(tmp_path / "a.tif", data, photometric="minisblack")
    assert [int(b[0, 0]) for b in frames_of(plain)[0].pixels] == [1, 11, 21]
    assert [int(b[0, 0]) for b in frames_of(plain, options(bidx=(4, 3, 2)))[0].pixels] == [31, 21, 11]
    assert [int(b[0, 0]) for b in frames_of(plain, options(bidx=(5,)))[0].pixels] == [41]
    meaning = [
        ColorInterp.undefined,
        ColorInterp.blue,
        ColorInterp.green,
        ColorInterp.red,
        ColorInterp.undefined,
    ]
    swapped = write_scene(tmp_path / "b.tif", data, photometric="minisblack", colorinterp=meaning)
    assert [int(b[0, 0]) for b in frames_of(swapped)[0].pixels] == [31, 21, 11]


def test_impossible_bands_are_refused(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", np.ones((2, 9, 9), np.uint8))
    with pytest.raises(InputError, match="no band 7"):
        inspect(path, bidx=(7,))
    with pytest.raises(UsageError, match="2 bands"):
        inspect(path, bidx=(1, 2))


def test_palette_becomes_its_colours(tmp_path: Path) -> None:
    data = RNG.integers(0, 3, (1, 30, 30), dtype=np.uint8)
    table = {0: (10, 20, 30, 255), 1: (200, 100, 0, 255), 2: (7, 7, 7, 255)}
    path = tmp_path / "p.tif"
    with (
        gdal_env(),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=1,
            height=30,
            width=30,
            dtype="uint8",
            photometric="palette",
            nodata=2,
        ) as out,
    ):
        out.write_colormap(1, table)
        out.write(data)
    [frame] = frames_of(path)
    np.testing.assert_array_equal(frame.valid, data[0] != 2)
    np.testing.assert_array_equal(frame.pixels[:, data[0] == 1].T, [[200, 100, 0]] * int((data == 1).sum()))


def test_complex_values_give_their_magnitude_and_a_notice(tmp_path: Path) -> None:
    data = np.full((1, 20, 20), 3 + 4j, np.complex64)
    path = write_scene(tmp_path / "c.tif", data)
    assert (frames_of(path)[0].pixels == 5).all()
    assert any("magnitude" in n for n in inspect(path).notices)


def test_one_scaling_for_all_blocks(tmp_path: Path) -> None:
    """A ramp over two blocks: both carry the percentiles of the whole."""
    ramp = np.linspace(100, 4000, 3000).astype(np.uint16)
    path = write_scene(tmp_path / "r.tif", np.broadcast_to(ramp, (3, 40, 3000)).copy())
    frames = frames_of(path)
    assert len(frames) == 2
    assert frames[0].views == frames[1].views
    view = frames[0].views[0]
    assert view.low == pytest.approx(np.percentile(ramp, 2), rel=0.02)
    assert view.high == pytest.approx(np.percentile(ramp, 98), rel=0.02)
    assert inspect(path).facts["scaling"]["low_high"][0] == [view.low, view.high]


@pytest.mark.parametrize("value", [0.0, 1.0, -5e8, 1e20])
def test_constant_and_empty_scenes_have_a_scaling(tmp_path: Path, value: float) -> None:
    [frame] = frames_of(write_scene(tmp_path / "k.tif", np.full((1, 30, 30), value, np.float32)))
    assert frame.views[0].low < frame.views[0].high
    [empty] = frames_of(write_scene(tmp_path / "e.tif", np.full((1, 30, 30), np.nan, np.float32)))
    assert not empty.valid.any()
    assert np.isfinite(empty.pixels).all()


def test_bits_of_small_integers_fill_the_range(tmp_path: Path) -> None:
    [frame] = frames_of(write_scene(tmp_path / "b.tif", np.ones((1, 20, 20), np.uint8), nbits=4))
    assert (frame.views[0].low, frame.views[0].high) == (0, 15)


@pytest.mark.parametrize(
    ("place", "row_m", "col_m"), [("utm", 2, 2), ("south-up", 2, 2), ("none", None, None)]
)
def test_pitch(tmp_path: Path, place: str, row_m: float | None, col_m: float | None) -> None:
    path = write_scene(tmp_path / "a.tif", np.ones((3, 40, 50), np.uint8), place=place)
    pitch = frames_of(path)[0].geometry.pitch()
    assert (None if pitch is None else (pitch.row, pitch.col)) == (None if row_m is None else (row_m, col_m))
    assert bool(inspect(path).notices) == (place == "none")


def test_pitch_of_degrees_rotation_and_web_mercator(tmp_path: Path) -> None:
    data = np.ones((1, 100, 100), np.uint8)
    degrees = frames_of(write_scene(tmp_path / "d.tif", data, place="lonlat"))[0].geometry.pitch()
    assert degrees.row == pytest.approx(11.12, rel=2e-3)  # 1e-4 degrees at 48 N
    assert degrees.col == pytest.approx(7.42, rel=2e-3)
    turned = frames_of(write_scene(tmp_path / "t.tif", data, place="rotated"))[0].geometry.pitch()
    assert (turned.row, turned.col) == pytest.approx((np.hypot(0.4, 1.8), np.hypot(1.9, 0.3)))
    north = rasterio.Affine(1.0, 0.0, 1e6, 0.0, -1.0, 8_399_737.9)  # 60 N
    mercator = write_scene(tmp_path / "w.tif", data, crs="EPSG:3857", transform=north)
    assert frames_of(mercator)[0].geometry.pitch().col == pytest.approx(0.5, rel=0.01)
    near = rasterio.Affine(10.0, 0.0, 1e6, 0.0, -10.0, 893_463.8)  # 8 N: 1 and 1.6 %, 2.6 % of an area
    mercator = write_scene(tmp_path / "n.tif", data, crs="EPSG:3857", transform=near)
    assert frames_of(mercator)[0].geometry.pitch().col == pytest.approx(9.903, rel=1e-3)
    feet = write_scene(
        tmp_path / "f.tif", data, crs="EPSG:2263", transform=rasterio.Affine(1, 0, 1e6, 0, -1, 2e5)
    )
    assert frames_of(feet)[0].geometry.pitch().row == pytest.approx(1200 / 3937)


def test_frames_know_their_own_transform(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", np.ones((1, 30, 5000), np.uint8), place="rotated")
    whole = PLACES["rotated"][1]
    for frame in frames_of(path):
        window = frame.provenance.window
        assert frame.geometry.at(3, 4) == pytest.approx(whole @ (window.left + 4, window.top + 3))
        assert frame.provenance.scene_shape == (30, 5000)


def test_heights_give_their_own_normals(tmp_path: Path) -> None:
    """A plane that rises 0.5 m a metre to the right and falls 0.25 m a metre downwards."""
    rows, cols = np.mgrid[:120, :2500].astype(np.float32) * 2.0
    path = write_scene(tmp_path / "h.tif", (100 + 0.5 * cols - 0.25 * rows)[None], nodata=-9999)
    truth = np.array([-0.5, 0.25, -1.0]) / np.sqrt(0.25 + 0.0625 + 1)
    info = inspect(path)
    assert info.kind == "heights"
    assert any("normals" in n for n in info.notices)
    for frame in frames_of(path):
        [normals] = frame.measured
        assert isinstance(normals, Normals)
        np.testing.assert_allclose(
            normals.xyz, np.broadcast_to(truth[:, None, None], normals.xyz.shape), atol=2e-4
        )


def test_normals_do_not_look_into_nodata(tmp_path: Path) -> None:
    heights = np.tile(np.arange(60, dtype=np.float32) * 2, (60, 1))
    heights[20:40, 20:40] = -9999
    [frame] = frames_of(write_scene(tmp_path / "h.tif", heights[None], nodata=-9999))
    xyz, valid = frame.measured[0].xyz, frame.measured[0].valid
    np.testing.assert_array_equal(valid, heights != -9999)
    np.testing.assert_allclose(
        xyz[:, valid].T, [[-np.sqrt(0.5), 0, -np.sqrt(0.5)]] * int(valid.sum()), atol=1e-6
    )
    assert (xyz[:, ~valid] == 0).all()


@pytest.mark.parametrize("case", ["reflectance", "colours", "no crs"])
def test_pictures_are_no_heights(tmp_path: Path, case: str) -> None:
    data = RNG.random((3 if case == "colours" else 1, 40, 40)).astype(np.float32)
    data *= 1 if case == "reflectance" else 100
    path = write_scene(tmp_path / "r.tif", data, place="none" if case == "no crs" else "utm")
    assert inspect(path).kind == "scene"
    assert frames_of(path)[0].measured == ()


def test_normals_are_measured_only_when_wanted(tmp_path: Path) -> None:
    from dataclasses import replace

    path = write_scene(tmp_path / "h.tif", np.mgrid[:40, :40][:1].astype(np.float32))
    wanted = replace(options(), layers=frozenset({LayerKind.MASKS}))
    assert inspect(path).kind == "heights"
    assert frames_of(path, wanted)[0].measured == ()


def test_blocks_never_stored_are_no_data(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    with gdal_env(), rasterio.open(
        path, "w", driver="GTiff", count=3, height=1024, width=2048, dtype="uint8", tiled=True,
        blockxsize=256, blockysize=256, sparse_ok=True, compress="deflate",
    ) as out:  # fmt: skip
        out.write(np.full((3, 256, 256), 9, np.uint8), window=rasterio.windows.Window(512, 256, 256, 256))
    [frame] = frames_of(path)
    truth = np.zeros((1024, 2048), bool)
    truth[256:512, 512:768] = True
    np.testing.assert_array_equal(frame.valid, truth)


def test_group_leaves_side_files_out_and_mirrors_the_tree(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    scene = write_scene(tmp_path / "sub" / "a.tif", np.ones((1, 9, 9), np.uint8))
    side = tmp_path / "sub" / "a.tif.ovr"
    side.write_bytes(scene.read_bytes())
    [item] = SATELLITE.group([scene, side], root=tmp_path)
    assert (item.stem, item.folder) == ("a", Path("sub"))


@pytest.mark.parametrize(("ending", "what"), [(".ovr", "holds the overviews"), (".msk", "is the mask")])
def test_a_side_file_that_is_named_is_told_for_what_it_is(tmp_path: Path, ending: str, what: str) -> None:
    scene = write_scene(tmp_path / "a.tif", np.ones((1, 9, 9), np.uint8))
    side = tmp_path / f"a.tif{ending}"
    side.write_bytes(scene.read_bytes())
    [item] = SATELLITE.group([side], root=None)
    with pytest.raises(InputError, match=f"{what} of a.tif") as caught:
        SATELLITE.inspect(item, options())
    assert caught.value.remedy == "name a.tif instead"


@pytest.mark.parametrize(
    ("head", "ours"),
    [
        (b"II*\0rest", True), (b"MM\0*", True), (b"II+\0", True), (b"MM\0+", True),
        (b"\0\0\0\x0cjP  \r\n\x87\n", True), (b'<VRTDataset rasterXSize="1"', True),
        (b'<?xml version="1.0"?>\n<VRTDataset>', True), (b"\x89PNG\r\n\x1a\n", False),
        (b"\xff\xd8\xff", False),
        (b"", False), (b"<html>", False), (b"\0" * 128 + b"DICM", False),
    ],
)  # fmt: skip
def test_sniff_by_content(tmp_path: Path, head: bytes, ours: bool) -> None:
    assert SATELLITE.sniff(tmp_path / "any.bin", head) is ours


def test_jpeg_2000(tmp_path: Path) -> None:
    data = RNG.integers(0, 255, (3, 64, 64), dtype=np.uint8)
    path = tmp_path / "a.jp2"
    with gdal_env():
        tif = write_scene(tmp_path / "a.tif", data)
        rasterio.shutil.copy(tif, path, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    assert SATELLITE.sniff(path, read_head(path))
    [frame] = frames_of(path)
    np.testing.assert_array_equal(frame.pixels, data)
    assert frame.geometry.pitch().row == 2


@pytest.mark.parametrize(
    "name", ["1985", "m_4709963_se_14_1_20090818", "dsm", "hag", "dom1_32_356_5699_1_nw_2020"]
)
def test_real_scenes(shared_data: Path, name: str) -> None:
    path = shared_data / "satellite" / "scenes" / f"{name}.tif"
    info = inspect(path)
    with rasterio.open(path) as dataset:
        assert info.shape == dataset.shape
        assert info.reference.transform == tuple(dataset.transform)[:6]
        assert (info.kind == "heights") == (dataset.count == 1)
    for frame in frames_of(path):
        assert frame.valid.any()
        assert frame.geometry.pitch() is not None


def test_bands_that_are_named_as_colours_are_taken_by_name(tmp_path: Path) -> None:
    path = write_scene(
        tmp_path / "a.tif", np.arange(4, dtype=np.uint16)[:, None, None] * np.ones((1, 8, 8), "u2")
    )
    with rasterio.open(path, "r+") as scene:
        for k, name in enumerate(("Blue", "Green", "Red", "NIR"), start=1):
            scene.set_band_description(k, name)
    [frame] = frames_of(path)
    assert frame.pixels[:, 0, 0].tolist() == [2, 1, 0]


def test_an_array_too_large_for_the_disk_is_refused_before_it_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_scene(tmp_path / "s.tif", np.ones((1, 50, 60), np.uint8))
    outputs = {"m.npy": (NPY, LayerKind.MASKS), "n.npy": (NPY, LayerKind.NORMALS)}
    convert(path, tmp_path, outputs)
    assert np.load(tmp_path / "m.npy").shape == (50, 60) and np.load(tmp_path / "n.npy").any()
    usage = SimpleNamespace(total=1 << 40, used=0, free=50 * 60)
    monkeypatch.setattr(npy.shutil, "disk_usage", lambda _: usage)
    convert(path, tmp_path, {"m.npy": (NPY, LayerKind.MASKS)})
    with pytest.raises(OSError, match="No space left"):
        convert(path, tmp_path, {"n.npy": (NPY, LayerKind.NORMALS)})
