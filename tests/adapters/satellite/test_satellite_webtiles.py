"""``--format xyz``, ``mbtiles`` and ``pmtiles``: three archives of the same tiles, at the right place."""

from __future__ import annotations

import io
import json
import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
from banana_adapters.satellite import SATELLITE
from banana_adapters.satellite.pyramid import Zooms, cover_of, halved
from banana_adapters.satellite.scene import SceneInfo
from banana_adapters.satellite.sinks import MBTILES, PMTILES, XYZ
from banana_adapters.satellite.webtiles import WebTilesFormat
from PIL import Image
from pmtiles.reader import MmapSource, Reader, all_tiles
from scenery import convert, copied, frames_of, item_of, job_of, options, write_scene

from banana_cli.classes import AERIAL
from banana_cli.errors import OutputError
from banana_cli.paint import CALM
from banana_cli.types import LayerKind

Tiles = dict[tuple[int, int, int], bytes]
RNG = np.random.default_rng(2)
HALF_M = math.pi * 6378137.0
ZOOM = 14
PIXEL_M = 2 * HALF_M / 256 / 2**ZOOM
COLUMN, ROW = 8800, 5600
AT = {
    "crs": "EPSG:3857",
    "transform": rasterio.Affine(
        PIXEL_M, 0, COLUMN * 256 * PIXEL_M - HALF_M, 0, -PIXEL_M, HALF_M - ROW * 256 * PIXEL_M
    ),
}


def archives(layer: LayerKind) -> dict:
    return {"t.xyz": (XYZ, layer), "t.mbtiles": (MBTILES, layer), "t.pmtiles": (PMTILES, layer)}


def tiles_of(path: Path) -> Tiles:
    """(zoom, column, row from the north) -> PNG."""
    if path.suffix == ".xyz":
        parts = ((p, p.relative_to(path).with_suffix("").parts) for p in path.rglob("*.png"))
        return {(int(z), int(x), int(y)): p.read_bytes() for p, (z, x, y) in parts}
    if path.suffix == ".mbtiles":
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles")
            return {(z, x, (1 << z) - 1 - y): bytes(data) for z, x, y, data in rows}
    with path.open("rb") as file:
        return dict(all_tiles(MmapSource(file)))


def ids_of(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.mode == "P"
        assert picture.info["transparency"] == 255
        assert picture.getpalette()[:18] == [v for c in AERIAL.classes for v in c.rgb]
        return np.array(picture)


def test_pixels_on_the_grid_of_the_map_are_kept(tmp_path: Path) -> None:
    band = RNG.integers(1, 6, (512, 768), dtype=np.uint8)
    band[256:, 256:512] = 0  # a tile without data
    band[3, 5] = 0
    facts = convert(
        write_scene(tmp_path / "s.tif", band[None], place="none", nodata=0, **AT),
        tmp_path,
        archives(LayerKind.MASKS),
    )
    found = tiles_of(tmp_path / "t.xyz")
    finest = {key: png for key, png in found.items() if key[0] == ZOOM}
    assert {(x - COLUMN, y - ROW) for _, x, y in finest} == {(0, 0), (1, 0), (2, 0), (0, 1), (2, 1)}
    for (_, x, y), png in finest.items():
        rows, cols = (
            slice((y - ROW) * 256, (y - ROW + 1) * 256),
            slice((x - COLUMN) * 256, (x - COLUMN + 1) * 256),
        )
        truth = band[rows, cols]
        np.testing.assert_array_equal(ids_of(png), np.where(truth > 0, truth, 255))
    coarser = ids_of(found[ZOOM - 1, COLUMN // 2, ROW // 2])
    np.testing.assert_array_equal(coarser[:128, :], np.where(band > 0, band, 255)[:256:2, :512:2])
    assert tiles_of(tmp_path / "t.mbtiles") == found == tiles_of(tmp_path / "t.pmtiles")
    for each in facts.values():
        assert each["tiles"] == len(found)
        assert (each["min_zoom"], each["max_zoom"]) == (min(found)[0], ZOOM)


def test_each_archive_says_what_it_is(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", np.ones((1, 300, 300), np.uint8))
    facts = convert(scene, tmp_path, archives(LayerKind.MASKS))["t.xyz"]
    west, south, east, north = facts["bounds"]
    assert 14.99 < west < 15.001 < 15.007 < east < 15.01
    assert 45.1 < south < north < 45.2
    tilejson = json.loads((tmp_path / "t.xyz" / "tilejson.json").read_text())
    assert tilejson["bounds"] == facts["bounds"]
    with closing(sqlite3.connect(tmp_path / "t.mbtiles")) as database:
        said = dict(database.execute("SELECT name, value FROM metadata"))
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert said["format"] == "png"
    assert [float(v) for v in said["bounds"].split(",")] == pytest.approx(facts["bounds"], abs=1e-6)
    assert int(said["maxzoom"]) == facts["max_zoom"] == tilejson["maxzoom"]
    with (tmp_path / "t.pmtiles").open("rb") as file:
        reader = Reader(MmapSource(file))
        header = reader.header()
        assert reader.metadata()["name"] == said["name"] == "s masks"
    assert header["max_zoom"] == facts["max_zoom"]
    assert header["min_zoom"] == facts["min_zoom"]
    assert header["min_lon_e7"] / 1e7 == pytest.approx(west, abs=1e-6)
    with rasterio.open(tmp_path / "t.mbtiles") as opened:  # GDAL's own reader
        assert opened.crs.to_epsg() == 3857
        assert opened.bounds.left <= opened.bounds.right


def test_heights_are_painted_and_see_through(tmp_path: Path) -> None:
    band = np.full((256, 256), 25, np.uint8)  # halfway up the range of 0 to 50
    band[:, 128:] = 0
    scene = write_scene(tmp_path / "s.tif", band[None], place="none", nodata=0, **AT)
    convert(scene, tmp_path, archives(LayerKind.DEPTH))
    with Image.open(io.BytesIO(tiles_of(tmp_path / "t.pmtiles")[ZOOM, COLUMN, ROW])) as picture:
        rgba = np.array(picture)
    np.testing.assert_array_equal(rgba[:, :128, 3], 255)
    np.testing.assert_array_equal(rgba[:, 129:, 3], 0)
    assert np.abs(rgba[10, 10, :3].astype(int) - CALM[512]).max() <= 1


@pytest.mark.parametrize(
    ("crs", "place"),
    [
        ("EPSG:32660", rasterio.Affine(100, 0, 827_000, 0, -100, 1_100_000)),
        ("EPSG:4326", rasterio.Affine(0.001, 0, 179.98, 0, -0.001, 10.0)),
        ("EPSG:4326", rasterio.Affine(0.001, 0, -180.02, 0, -0.001, 10.0)),
    ],
)
def test_across_the_antimeridian_tiles_lie_on_both_edges_of_the_map(
    tmp_path: Path, crs: str, place: rasterio.Affine
) -> None:
    band = np.full((1, 40, 40), 2, np.uint8)
    facts = convert(
        write_scene(tmp_path / "s.tif", band, crs=crs, transform=place),
        tmp_path,
        {"t.pmtiles": (PMTILES, LayerKind.MASKS)},
    )["t.pmtiles"]
    west, _, east, _ = facts["bounds"]
    assert 179.9 < west < 180
    assert -180 < east < -179.9
    zoom = facts["max_zoom"]
    finest = {x: png for (z, x, _), png in tiles_of(tmp_path / "t.pmtiles").items() if z == zoom}
    assert {0, (1 << zoom) - 1} <= set(finest)
    assert max(min(x, (1 << zoom) - 1 - x) for x in finest) < 4
    assert (ids_of(finest[0])[:, 0] == 2).any()
    assert (ids_of(finest[(1 << zoom) - 1])[:, -1] == 2).any()


@pytest.mark.parametrize("layer", list(LayerKind))
def test_nothing_but_nodata_is_one_clear_tile(tmp_path: Path, layer: LayerKind) -> None:
    info = _info(write_scene(tmp_path / "s.tif", np.zeros((1, 60, 60), np.uint8), nodata=0))
    for name, (fmt, _) in archives(layer).items():
        with fmt.open(tmp_path / name, job_of(info, layer)) as sink:
            assert sink.finish()["tiles"] == 1
        [png] = tiles_of(tmp_path / name).values()
        with Image.open(io.BytesIO(png)) as picture:
            assert not np.array(picture.convert("RGBA"))[..., 3].any()


def test_zoom_levels_follow_the_pixels(tmp_path: Path) -> None:
    for metres, zoom in ((0.3, 19), (2.0, 16), (10.0, 14), (1000.0, 7)):
        place = rasterio.Affine(metres, 0, 500_000, 0, -metres, 5_000_000)
        path = write_scene(tmp_path / "z.tif", np.ones((1, 50, 50), np.uint8), transform=place)
        info = _info(path)
        assert cover_of(info.reference, info.shape, "z", Zooms()).max_zoom == zoom


def test_zoom_levels_as_asked(tmp_path: Path) -> None:
    info = _info(write_scene(tmp_path / "z.tif", np.ones((1, 50, 50), np.uint8)))
    for asked, expected in (((3, 12), (3, 12)), ((None, 5), (5, 5)), ((0, None), (0, 16))):
        cover = cover_of(info.reference, info.shape, "z", Zooms(least=asked[0], most=asked[1]))
        assert (cover.min_zoom, cover.max_zoom) == expected
    job = replace(job_of(info, LayerKind.MASKS), options={"min_zoom": 11, "max_zoom": 13})
    [frame] = frames_of(tmp_path / "z.tif")
    with XYZ.open(tmp_path / "z.xyz", job) as sink:
        sink.write(frame, copied(frame))
        sink.finish()
    assert {zoom for zoom, _, _ in tiles_of(tmp_path / "z.xyz")} == {11, 12, 13}


def test_places_without_a_web_map_are_refused(tmp_path: Path) -> None:
    nowhere = write_scene(tmp_path / "s.tif", np.ones((1, 60, 60), np.uint8), place="none")
    with pytest.raises(OutputError, match="no coordinate system"):
        convert(nowhere, tmp_path, {"t": (XYZ, LayerKind.MASKS)})
    pole = rasterio.Affine(100, 0, -3_000, 0, -100, 3_000)
    cold = write_scene(tmp_path / "p.tif", np.ones((1, 60, 60), np.uint8), crs="EPSG:3413", transform=pole)
    with pytest.raises(OutputError, match="85 degrees"):
        convert(cold, tmp_path, {"t": (XYZ, LayerKind.MASKS)})


def test_halving_takes_the_mean_of_what_is_valid() -> None:
    data = np.array([[[1, np.nan, np.nan, np.nan], [3, np.nan, np.nan, np.nan]]], np.float32)
    np.testing.assert_array_equal(halved(data, LayerKind.DEPTH), [[[2, np.nan]]])
    ids = np.arange(8, dtype=np.uint8).reshape(1, 2, 4)
    np.testing.assert_array_equal(halved(ids, LayerKind.MASKS), [[[0, 2]]])


def _info(path: Path) -> SceneInfo:
    return SATELLITE.inspect(item_of(path), options())


@pytest.mark.parametrize(
    ("name", "lon", "lat"),
    [
        ("WorldCRS84Quad", 15.0, 45.0),
        ("WGS1984Quad", -70.0, -30.0),
        ("EuropeanETRS89_LAEAQuad", 15.0, 45.0),
        ("UTM31WGS84Quad", 4.0, 50.0),
        ("UPSArcticWGS84Quad", 100.0, 84.5),
        ("WebMercatorQuad", 15.0, 45.0),
    ],
)
def test_another_tiling_scheme_puts_each_place_where_it_says(
    tmp_path: Path, name: str, lon: float, lat: float
) -> None:
    """Against morecantile's own numbers of tiles: each patch of the scene lies in the tile that it names."""
    tms = pytest.importorskip("morecantile").tms.get(name)
    crs = f"+proj=laea +lat_0={lat} +lon_0={lon} +datum=WGS84 +units=m"
    place = rasterio.Affine(4.0, 0, -600, 0, -4.0, 600)
    classes = RNG.integers(1, 6, (5, 5), dtype=np.uint8)
    band = classes.repeat(60, 0).repeat(60, 1)[None]
    scene = write_scene(tmp_path / "s.tif", band, place="none", crs=crs, transform=place)
    facts = convert(scene, tmp_path, {"t": (XYZ, LayerKind.MASKS)}, more={"tiling_scheme": name})["t"]
    zoom = facts["max_zoom"]
    assert facts["scheme"].startswith(name) and facts["min_zoom"] < zoom
    assert json.loads((tmp_path / "t" / "tilejson.json").read_text())["tile_matrix_set"] == name
    for i, j in np.ndindex(5, 5):
        (x,), (y,) = rasterio.warp.transform(
            crs, "EPSG:4326", *[[v] for v in place @ (j * 60 + 30, i * 60 + 30)]
        )
        for level in (zoom, zoom - 1):
            tile = tms.tile(x, y, level)
            box, at = tms.xy_bounds(tile), tms.xy(x, y)
            col = int((at.x - box.left) / (box.right - box.left) * 256)
            row = int((box.top - at.y) / (box.top - box.bottom) * 256)
            ids = ids_of((tmp_path / "t" / str(level) / str(tile.x) / f"{tile.y}.png").read_bytes())
            assert ids[row, col] == classes[i, j]


@pytest.mark.parametrize(
    ("fmt", "name", "words"),
    [
        (MBTILES, "WorldCRS84Quad", "defined for web mercator"),
        (PMTILES, "WorldCRS84Quad", "defined for web mercator"),
        (XYZ, "CanadianNAD83_LCC", "do not halve"),
        (XYZ, "GNOSISGlobalGrid", "do not halve"),
        (XYZ, "Nothing", "there is no tiling scheme"),
        (XYZ, "UPSAntarcticWGS84Quad", "no place"),
    ],
)
def test_schemes_that_cannot_be_are_refused(
    tmp_path: Path, fmt: WebTilesFormat, name: str, words: str
) -> None:
    scene = write_scene(tmp_path / "s.tif", np.ones((1, 30, 30), np.uint8))
    with pytest.raises(OutputError, match=words):
        convert(scene, tmp_path, {"t": (fmt, LayerKind.MASKS)}, more={"tiling_scheme": name})
