"""Scenes that only control points or RPCs place: warped to where their pixels are, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from banana_adapters.satellite import SATELLITE
from banana_adapters.satellite.cog import TIF
from banana_adapters.satellite.gdal import gdal_env
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.warp import transform
from scenery import convert, frames_of, item_of, options, write_scene

from banana_cli.errors import InputError
from banana_cli.types import LayerKind

SIDE, PITCH = 120, 2.0
ROUND = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(PITCH, -PITCH)


def spotted() -> np.ndarray:
    """Dark, with four bright squares where ``spots`` are."""
    data = np.full((3, SIDE, SIDE), 40, np.uint8)
    for row, col in SPOTS:
        data[:, row - 3 : row + 4, col - 3 : col + 4] = 240
    return data


SPOTS = ((20, 30), (20, 90), (90, 20), (100, 100))


def points(crs: str, rows: tuple[int, ...] = (0, SIDE), cols: tuple[int, ...] = (0, SIDE)) -> list:
    found = []
    for row in rows:
        for col in cols:
            x, y = ROUND @ (col, row)
            (x,), (y,) = transform("EPSG:32633", crs, [x], [y])
            found.append(GroundControlPoint(row, col, x, y))
    return found


def bright_at(path: Path) -> list[float]:
    """How bright the output's scene is at the true places of the spots."""
    frame = frames_of(path)[0]
    info = SATELLITE.inspect(item_of(path), options())
    inverse = ~Affine(*info.reference.transform)
    seen = []
    for row, col in SPOTS:
        x, y = inverse @ (ROUND @ (col + 0.5, row + 0.5))
        seen.append(float(frame.pixels[0, int(y), int(x)]))
    return seen


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326"])
@pytest.mark.parametrize("count", [2, 8])
def test_control_points_bring_pixels_to_their_place(tmp_path: Path, crs: str, count: int) -> None:
    """Four points make a plane, 64 a producer's grid; the scene is turned by 30 degrees."""
    along = tuple(round(SIDE * k / (count - 1)) for k in range(count))
    path = write_scene(tmp_path / "s.tif", spotted(), place="none", gcps=points(crs, along, along), crs=crs)
    with gdal_env(), rasterio.open(path, "r+") as scene:
        scene.update_tags(TIFFTAG_DATETIME="2020:02:01 10:00:00")
    info = SATELLITE.inspect(item_of(path), options())
    assert (info.facts["driver"], info.facts["dated"]) == ("GTiff", "2020-02-01T10:00:00Z")
    assert info.reference.describe()["crs"] == "EPSG:32633"
    assert info.reference.pitch_m == pytest.approx((PITCH, PITCH), rel=0.02)
    assert any("ground control points: warped" in notice for notice in info.notices)
    assert min(bright_at(path)) > 200
    frame = frames_of(path)[0]
    assert frame.valid.mean() == pytest.approx(SIDE**2 / np.prod(info.shape), rel=0.03)
    assert not frame.valid[0, 0]
    convert(path, tmp_path, {"masks.tif": (TIF, LayerKind.MASKS)})
    with gdal_env(), rasterio.open(tmp_path / "masks.tif") as out:
        assert out.crs.to_epsg() == 32633 and out.shape == info.shape
        assert np.array_equal(out.read(1) == 255, ~frame.valid)


@pytest.mark.parametrize("holes", ["nodata", "asked", "alpha"])
def test_what_has_no_data_has_none_on_the_map(tmp_path: Path, holes: str) -> None:
    data, more = spotted(), {}
    hole = np.zeros((SIDE, SIDE), np.bool_)
    hole[40:80, 40:80] = True
    data[:, hole] = 7
    if holes == "nodata":
        more = {"nodata": 7}
    if holes == "alpha":
        colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
        data = np.concatenate([data, np.where(hole, 0, 255).astype(np.uint8)[None]])
        more = {"colorinterp": colours}
    gcps = points("EPSG:32633")
    path = write_scene(tmp_path / "s.tif", data, place="none", gcps=gcps, crs="EPSG:32633", **more)
    frame = frames_of(path, options(nodata=7 if holes == "asked" else None))[0]
    assert len(frame.bands) == 3
    inside = float(frame.valid.sum()) / SIDE**2
    assert inside == pytest.approx(1 - hole.mean(), abs=0.02)
    assert frame.pixels[0][frame.valid].min() > 30


def rpc_of(lat: float, lon: float, height: float) -> RPC:
    """A camera straight above: lines run south, samples east, half a kilometre to each side."""
    one = [1.0] + [0.0] * 19
    return RPC(
        height_off=height, height_scale=100.0,
        lat_off=lat, lat_scale=0.0009, long_off=lon, long_scale=0.00127,
        line_off=SIDE / 2, line_scale=SIDE / 2, samp_off=SIDE / 2, samp_scale=SIDE / 2,
        line_num_coeff=[0.0, 0.0, -1.0] + [0.0] * 17, line_den_coeff=one,
        samp_num_coeff=[0.0, 1.0, 0.0] + [0.0] * 17, samp_den_coeff=one,
        err_bias=None, err_rand=None,
    )  # fmt: skip


def test_rpcs_place_a_scene_on_level_ground(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "s.tif", spotted(), place="none", rpcs=rpc_of(45.0, 15.0, 300.0))
    info = SATELLITE.inspect(item_of(path), options())
    assert any("level ground at 300 m" in notice for notice in info.notices)
    assert info.facts["warped"] == {"by": "RPCs, on level ground at 300 m", "method": "RPC"}
    inverse, frame = ~Affine(*info.reference.transform), frames_of(path)[0]
    for row, col in SPOTS:
        lat, lon = 45 - 0.0009 * (row - SIDE / 2) / (SIDE / 2), 15 + 0.00127 * (col - SIDE / 2) / (SIDE / 2)
        xs, ys = transform("EPSG:4326", info.reference.crs, [lon], [lat])
        x, y = inverse @ (xs[0], ys[0])
        assert frame.pixels[0, int(y), int(x)] > 200


def test_points_that_make_no_map_are_refused_by_name(tmp_path: Path) -> None:
    same = [GroundControlPoint(r, c, 10.0, 50.0) for r, c in ((0, 0), (0, 40), (40, 0), (40, 40))]
    path = write_scene(tmp_path / "s.tif", spotted(), place="none", gcps=same, crs="EPSG:4326")
    with pytest.raises(InputError, match="4 ground control points make no map"):
        SATELLITE.inspect(item_of(path), options())


def test_complex_values_are_warped_too(tmp_path: Path) -> None:
    data = (spotted()[:1] * (0.6 + 0.8j)).astype(np.complex64)
    path = write_scene(tmp_path / "s.tif", data, place="none", gcps=points("EPSG:32633"), crs="EPSG:32633")
    frame = frames_of(path)[0]
    assert frame.valid.sum() == pytest.approx(SIDE**2, rel=0.03)
    assert min(bright_at(path)) > 200
