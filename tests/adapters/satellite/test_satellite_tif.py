"""``--format tif``: what is read, copied and written is the same at every pixel, in the same place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from banana_adapters.satellite import SATELLITE
from banana_adapters.satellite.gdal import gdal_env
from banana_adapters.satellite.sinks import TIF
from rasterio.control import GroundControlPoint
from rasterio.errors import RasterioIOError
from rio_cogeo.cogeo import cog_validate
from scenery import PLACES, convert, copied, frames_of, item_of, job_of, options, write_scene

from banana_cli.classes import AERIAL
from banana_cli.errors import OutputError
from banana_cli.types import LayerKind

RNG = np.random.default_rng(3)
ALL = {f"{k.value}.tif": (TIF, k) for k in LayerKind}
HOLES = [("uint8", 0), ("uint8", 255), ("int16", -9999), ("float32", -9999.0), ("float32", np.nan)]


def open_quietly(path: Path):
    with gdal_env():
        return rasterio.open(path)


def check_masks(path: Path, band: np.ndarray, valid: np.ndarray) -> None:
    with open_quietly(path) as out:
        np.testing.assert_array_equal(out.read(1), np.where(valid, band.astype(np.int64) % 6, 255))


@pytest.mark.parametrize("shape", [(1, 1), (7, 513), (512, 512), (300, 2300), (2305, 40)])
def test_identity_across_blocks(tmp_path: Path, shape: tuple[int, int]) -> None:
    band = RNG.integers(1, 250, shape, dtype=np.uint8)
    band[RNG.random(shape) < 0.1] = 0
    scene = write_scene(tmp_path / "s.tif", np.stack([band] * 3), nodata=0)
    convert(scene, tmp_path, ALL)
    valid = band > 0
    check_masks(tmp_path / "masks.tif", band, valid)
    with open_quietly(tmp_path / "depth.tif") as out:
        np.testing.assert_array_equal(out.read(1), np.where(valid, band, np.float32(np.nan)))
    with open_quietly(tmp_path / "normals.tif") as out:
        xyz = out.read()
        tilt = (band % 8) / 16
        truth = np.stack([tilt, -tilt, -np.sqrt(1 - 2 * tilt**2)])
        np.testing.assert_allclose(xyz[:, valid], truth[:, valid], atol=1 / 8000)
        assert np.isnan(xyz[:, ~valid]).all()


def test_identity_across_four_blocks(tmp_path: Path) -> None:
    band = np.arange(2250 * 2260, dtype=np.uint32).reshape(2250, 2260) // 7 % 251
    scene = write_scene(tmp_path / "s.tif", band.astype(np.uint8)[None], compress="deflate")
    assert len(frames_of(scene)) == 4
    convert(scene, tmp_path, {"masks.tif": ALL["masks.tif"]})
    check_masks(tmp_path / "masks.tif", band, np.ones(band.shape, np.bool_))


@pytest.mark.parametrize(("dtype", "nodata"), HOLES)
def test_nodata_is_never_answered_and_nothing_is_missing(tmp_path: Path, dtype: str, nodata: float) -> None:
    band = RNG.integers(1, 100, (300, 400)).astype(dtype)
    hole = RNG.random(band.shape) < 0.4
    band[hole] = nodata
    convert(write_scene(tmp_path / "s.tif", np.stack([band] * 3), nodata=nodata), tmp_path, ALL)
    for kind in LayerKind:
        with open_quietly(tmp_path / f"{kind.value}.tif") as out:
            np.testing.assert_array_equal(out.dataset_mask() > 0, ~hole)


@pytest.mark.parametrize("place", list(PLACES))
def test_the_place_is_kept(tmp_path: Path, place: str) -> None:
    scene = write_scene(tmp_path / "s.tif", np.ones((3, 70, 50), np.uint8), place=place)
    convert(scene, tmp_path, ALL)
    with open_quietly(scene) as source:
        for name in ALL:
            with open_quietly(tmp_path / name) as out:
                assert (out.shape, out.crs, out.transform) == (source.shape, source.crs, source.transform)


def test_pixel_is_point_is_kept(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", np.ones((1, 30, 30), np.uint8))
    with gdal_env(), rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT="Point")
    convert(scene, tmp_path, ALL)
    with open_quietly(scene) as source, open_quietly(tmp_path / "depth.tif") as out:
        assert out.tags()["AREA_OR_POINT"] == "Point"
        assert out.transform == source.transform


def test_a_crs_that_geotiff_keys_cannot_hold_is_kept(tmp_path: Path, shared_data: Path) -> None:
    """GDAL puts it beside the file, where the names of the classes go too."""
    scene = shared_data / "corpus" / "geotiff" / "gdal" / "epsg32631_4979_geotiff1_1.tif"
    out = tmp_path / "out"
    out.mkdir()
    convert(scene, out, ALL)
    with open_quietly(scene) as source:
        for name in ALL:
            with open_quietly(out / name) as written:
                assert source.crs == written.crs
    assert (out / "depth.tif.aux.xml").is_file()
    assert not [p for p in out.iterdir() if ".mosaic" in p.name]
    notes = ElementTree.parse(out / "masks.tif.aux.xml").getroot()
    assert [e.text for e in notes.iter("Category")] == list(AERIAL.names)


@pytest.mark.parametrize("meaning", ["Area", "Point"])
def test_control_points_too_few_to_warp_are_handed_on(tmp_path: Path, meaning: str) -> None:
    points = [GroundControlPoint(r, c, 10 + c / 100, 50 - r / 100) for r, c in ((0, 0), (40, 40))]
    scene = write_scene(
        tmp_path / "s.tif", np.ones((1, 40, 40), np.uint8), place="none", gcps=points, crs="EPSG:4326"
    )
    with gdal_env(), rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT=meaning)
    with open_quietly(scene) as dataset:
        points = dataset.gcps[0]
    info = SATELLITE.inspect(item_of(scene), options())
    assert info.shape == (40, 40) and any("too few control points" in n for n in info.notices)
    convert(scene, tmp_path, ALL)
    with open_quietly(tmp_path / "masks.tif") as out:
        found, crs = out.gcps
        assert crs.to_epsg() == 4326
        assert [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]


def test_files_are_valid_cogs_with_the_right_overviews(tmp_path: Path) -> None:
    band = np.tile(np.array([[1, 4]], np.uint8), (1100, 600))
    band[:, :600] = 0
    facts = convert(write_scene(tmp_path / "s.tif", band[None], nodata=0), tmp_path, ALL)
    for name in ALL:
        valid, errors, _ = cog_validate(str(tmp_path / name))
        assert valid, errors
        assert facts[name]["overviews"] == [2, 4]
    with gdal_env(), rasterio.open(tmp_path / "masks.tif", overview_level=0) as small:
        assert set(np.unique(small.read(1))) <= {1, 4, 255}  # no class in between
    with gdal_env(), rasterio.open(tmp_path / "depth.tif", overview_level=0) as small:
        values = small.read(1)
        np.testing.assert_array_equal(np.isnan(values[10]), np.arange(600) < 300)
        assert (values[10, 300:] == 2.5).all()


def test_colour_table_names_units_and_tags(tmp_path: Path) -> None:
    facts = convert(write_scene(tmp_path / "s.tif", np.ones((3, 60, 60), np.uint8)), tmp_path, ALL)
    with open_quietly(tmp_path / "masks.tif") as out:
        assert out.colorinterp[0].name == "palette"
        assert out.nodata == 255
        table = out.colormap(1)
        assert [table[c.id][:3] for c in AERIAL.classes] == [c.rgb for c in AERIAL.classes]
        assert table[255][3] == 0
        tags = out.tags()
        assert [tags[f"BANANA_CLASS_{c.id}"] for c in AERIAL.classes] == list(AERIAL.names)
        assert tags["TIFFTAG_SOFTWARE"] == "banana test"
    notes = ElementTree.parse(tmp_path / "masks.tif.aux.xml").getroot()
    assert [e.text for e in notes.iter("Category")] == list(AERIAL.names)
    assert len(list(notes.iter("Row"))) == len(AERIAL)
    with open_quietly(tmp_path / "depth.tif") as out:
        assert out.units == ("m",)
        assert out.dtypes == ("float32",)
        assert np.isnan(out.nodata)
    assert facts["depth.tif"]["unit"] == "m"
    assert facts["masks.tif"]["nodata"] == 255
    assert facts["normals.tif"]["kind"] == "unit normals"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", np.ones((1, 60, 60), np.uint8))
    out = tmp_path / "out"
    out.mkdir()
    convert(scene, out, ALL)
    items = [f"{name}.stac.json" for name in ALL]
    assert sorted(p.name for p in out.iterdir()) == sorted([*ALL, *items, "masks.tif.aux.xml"])


def test_a_failing_run_leaves_nothing_behind(tmp_path: Path) -> None:
    [frame] = frames_of(write_scene(tmp_path / "s.tif", np.ones((1, 60, 60), np.uint8)))
    info = SATELLITE.inspect(item_of(tmp_path / "s.tif"), options())
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ZeroDivisionError), TIF.open(out / "x.tif", job_of(info, LayerKind.DEPTH)) as sink:
        sink.write(frame, copied(frame))
        raise ZeroDivisionError
    assert list(out.iterdir()) == []


def test_a_scene_without_one_answer(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", np.zeros((3, 700, 600), np.uint8), nodata=0)
    convert(scene, tmp_path, ALL)
    for name in ALL:
        with open_quietly(tmp_path / name) as out:
            assert not out.dataset_mask().any()


def test_frames_without_the_layer_are_passed_over(tmp_path: Path) -> None:
    from dataclasses import replace

    scene = write_scene(tmp_path / "s.tif", np.ones((1, 60, 60), np.uint8))
    [frame] = frames_of(scene)
    info = SATELLITE.inspect(item_of(scene), options())
    with TIF.open(tmp_path / "x.tif", job_of(info, LayerKind.DEPTH)) as sink:
        sink.write(frame, replace(copied(frame), layers=()))
        sink.finish()
    with open_quietly(tmp_path / "x.tif") as out:
        assert np.isnan(out.read(1)).all()


def test_no_folder_no_output(tmp_path: Path) -> None:
    info = SATELLITE.inspect(
        item_of(write_scene(tmp_path / "s.tif", np.ones((1, 9, 9), np.uint8))), options()
    )
    with (
        pytest.raises(OutputError, match=r"missing/s\.depth\.tif: No such file"),
        TIF.open(tmp_path / "missing" / ".s.depth.7.part.tif", job_of(info, LayerKind.DEPTH)),
    ):
        pass


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from scenery import convert, write_scene
from banana_adapters.satellite.sinks import TIF
from banana_cli.errors import OutputError
from banana_cli.types import LayerKind
folder, limit = Path(sys.argv[2]), int(sys.argv[3])
data = np.random.default_rng(1).integers(0, 60000, (1, 900, 900)).astype(np.uint16)
scene = write_scene(folder / "s.tif", data)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
(folder / "out").mkdir()
try:
    convert(scene, folder / "out", {"depth.tif": (TIF, LayerKind.DEPTH)})
except OutputError as exc:
    print("refused", exc.remedy)
"""


def test_a_full_disk_is_called_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL says "Write error at scanline 256" then; a disk with room is not accused."""
    from banana_adapters.satellite import gdal

    def refused(free: int, needs: int) -> OutputError:
        usage = SimpleNamespace(total=1 << 40, used=0, free=free)
        monkeypatch.setattr(gdal.shutil, "disk_usage", lambda folder: usage)
        with pytest.raises(OutputError) as caught, gdal.writing(str(tmp_path / "s.tif"), needs=needs):
            raise RasterioIOError("TIFFAppendToStrip:Write error at scanline 256")
        return caught.value

    for full in (refused(0, 0), refused(50 << 20, 60 << 20)):
        assert full.message == "cannot write (No space left on device)"
        assert "free some space" in full.remedy
    assert refused(50 << 20, 40 << 20).message == "Write error at scanline 256"


@pytest.mark.parametrize("limit", [300, 100_000, 1_000_000, 1_900_000])
def test_a_full_disk_is_an_output_error(tmp_path: Path, limit: int) -> None:
    """A limit on file size stands for the disk; GDAL meets it while writing, closing or converting."""
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, here, str(tmp_path), str(limit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("refused"), done.stdout + done.stderr
    assert done.stderr == ""
