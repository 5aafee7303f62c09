"""``--format geojson`` and ``--format tiles``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from banana_adapters.common.stats import CSV
from banana_adapters.satellite import outlines, seams
from banana_adapters.satellite.ellipsoid import ring_area_m2
from banana_adapters.satellite.gdal import gdal_env
from banana_adapters.satellite.sinks import GEOJSON, TILES
from PIL import Image
from pyproj import Geod
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.warp import transform, transform_geom
from scenery import PLACES, convert, write_scene

from banana_cli.classes import AERIAL
from banana_cli.codec import HEIGHT16, decode_depth_u16, decode_normals_u8
from banana_cli.errors import OutputError
from banana_cli.types import LayerKind

MASKS = {"m.geojson": (GEOJSON, LayerKind.MASKS)}
RNG = np.random.default_rng(5)


def patches(height: int, width: int) -> np.ndarray:
    """Rectangles of classes, with a hole of nodata (0)."""
    band = np.repeat(np.repeat(RNG.integers(1, 6, (height // 20, width // 20)), 20, axis=0), 20, axis=1)
    band[30:50, 30:50] = 0
    return band.astype(np.uint8)


@pytest.mark.parametrize("place", ["utm", "lonlat", "rotated", "south-up"])
def test_polygons_burn_back_to_the_same_classes(tmp_path: Path, place: str) -> None:
    band = patches(200, 260)
    convert(write_scene(tmp_path / "s.tif", band[None], place=place, nodata=0), tmp_path, MASKS)
    found = json.loads((tmp_path / "m.geojson").read_text())
    crs, transform = PLACES[place]
    with gdal_env():
        shapes = [
            (transform_geom("EPSG:4326", CRS.from_string(crs), f["geometry"]), f["properties"]["class_id"])
            for f in found["features"]
        ]
        burnt = rasterize(shapes, out_shape=band.shape, transform=transform, fill=255)
    np.testing.assert_array_equal(burnt, np.where(band > 0, band, 255))
    for feature in found["features"]:
        assert feature["properties"]["class"] == AERIAL.names[feature["properties"]["class_id"]]
        outer, *holes = feature["geometry"]["coordinates"]
        assert ring_area_m2(outer) > 0
        assert all(ring_area_m2(hole) < 0 for hole in holes)
        assert outer[0] == outer[-1]


@pytest.mark.parametrize("lat", [0.0, 45.0, 70.0, -45.0])
def test_areas_against_an_equal_area_projection(tmp_path: Path, lat: float) -> None:
    """The truth is the pixel count of a scene in an equal-area projection around the place."""
    band = np.full((1, 100, 100), 3, np.uint8)
    crs = f"+proj=laea +lat_0={lat} +lon_0=20 +datum=WGS84 +units=m"
    place = rasterio.Affine(10.0, 0, -500.0, 0, -10.0, 500.0)
    convert(write_scene(tmp_path / "s.tif", band, crs=crs, transform=place), tmp_path, MASKS)
    [feature] = json.loads((tmp_path / "m.geojson").read_text())["features"]
    assert feature["properties"]["area_m2"] == pytest.approx(1e6, rel=1e-4)


@pytest.mark.parametrize(
    ("crs", "place", "area_m2"),
    [
        ("EPSG:32660", rasterio.Affine(100, 0, 827_000, 0, -100, 1_100_000), 1.6e7),
        ("EPSG:4326", rasterio.Affine(0.001, 0, 179.98, 0, -0.001, 10.0), 0.04**2 * 109_639 * 110_609),
        ("EPSG:4326", rasterio.Affine(0.001, 0, -180.01, 0, -0.001, 10.0), 0.04**2 * 109_639 * 110_609),
    ],
)
def test_a_scene_across_the_antimeridian_is_cut_there(
    tmp_path: Path, crs: str, place: rasterio.Affine, area_m2: float
) -> None:
    band = np.full((1, 40, 40), 2, np.uint8)
    band[:, 10:20, 10:20] = 0  # a hole
    convert(write_scene(tmp_path / "s.tif", band, crs=crs, transform=place, nodata=0), tmp_path, MASKS)
    [feature] = json.loads((tmp_path / "m.geojson").read_text())["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    parts = feature["geometry"]["coordinates"]
    assert len(parts) == 2
    for rings in parts:
        lons = [lon for lon, _ in rings[0]]
        assert max(lons) - min(lons) < 0.05
        assert max(abs(lon) for lon in lons) == 180
    assert feature["properties"]["area_m2"] == pytest.approx(area_m2 * 15 / 16, rel=2e-3)


def test_geojson_is_refused_where_it_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = write_scene(tmp_path / "s.tif", np.ones((1, 60, 60), np.uint8), place="none")
    with pytest.raises(OutputError, match="no coordinate system"):
        convert(nowhere, tmp_path, MASKS)
    half = write_scene(tmp_path / "h.tif", np.ones((1, 60, 60), np.uint8), place="none", crs="EPSG:32633")
    with pytest.raises(OutputError, match="no transform"):
        convert(half, tmp_path, MASKS)
    somewhere = write_scene(tmp_path / "t.tif", RNG.integers(0, 6, (1, 60, 60), dtype=np.uint8))
    monkeypatch.setattr(outlines, "MAX_RUNS", 100)
    with pytest.raises(OutputError, match="speckled"):
        convert(somewhere, tmp_path, MASKS)
    monkeypatch.setattr(outlines, "MAX_RUNS", 5_000_000)
    monkeypatch.setattr(seams, "MAX_OPEN_CORNERS", 10)
    monkeypatch.setattr(outlines, "STRIP_PX", 1200)
    with pytest.raises(OutputError, match="speckled"):
        convert(somewhere, tmp_path, MASKS)
    assert not [p for p in tmp_path.iterdir() if ".mosaic" in p.name]


@pytest.mark.parametrize("place", ["utm", "lonlat"])
def test_a_scene_in_strips_has_the_same_polygons_but_for_their_seams(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is that of a strip: what a large scene does by the million pixels, done by the row here."""
    path = write_scene(tmp_path / "s.tif", patches(400, 300)[None], place=place, nodata=0)
    convert(path, tmp_path, MASKS)
    whole = json.loads((tmp_path / "m.geojson").read_text())["features"]
    monkeypatch.setattr(outlines, "STRIP_PX", 300 * 70)
    convert(path, tmp_path, MASKS)
    cut_up = json.loads((tmp_path / "m.geojson").read_text())["features"]
    facts = [
        sorted((f["properties"]["class_id"], f["properties"]["pixels"]) for f in features)
        for features in (whole, cut_up)
    ]
    assert facts[0] == facts[1]
    shapes = np.array([shapely.from_geojson(json.dumps(f["geometry"])) for f in cut_up])
    assert shapely.is_valid(shapes).all() and shapely.coverage_is_valid(shapes)
    areas = [sum(f["properties"]["area_m2"] for f in features) for features in (whole, cut_up)]
    assert areas[1] == pytest.approx(areas[0], rel=1e-4)


def test_tiles_put_together_are_the_scene(tmp_path: Path) -> None:
    band = RNG.integers(1, 200, (600, 1700), dtype=np.uint8)
    band[:, 1024:1536] = 0  # two tiles without data
    band[3, 3] = 0
    scene = write_scene(tmp_path / "s.tif", band[None], place="rotated", nodata=0)
    convert(scene, tmp_path, {k.value: (TILES, k) for k in LayerKind})
    for kind in LayerKind:
        folder = tmp_path / kind.value
        index = json.loads((folder / "index.json").read_text())
        names = {f["properties"]["name"] for f in index["features"]}
        assert names == {p.name for p in folder.glob("*.png")}
        assert names == {f"r{r:05d}_c{c:05d}.png" for r in (0, 512) for c in (0, 512, 1536)}
        check_tiles(folder, kind, band, index)


def check_tiles(folder: Path, kind: LayerKind, band: np.ndarray, index: dict) -> None:
    for feature in index["features"]:
        at = feature["properties"]
        rows, cols = slice(at["row"], at["row"] + at["height"]), slice(at["col"], at["col"] + at["width"])
        truth = band[rows, cols].astype(np.int64)
        with Image.open(folder / at["name"]) as picture:
            stored = np.array(picture)
            if kind is LayerKind.MASKS:
                assert picture.mode == "P"
                assert picture.getpalette()[: 3 * 6] == [v for c in AERIAL.classes for v in c.rgb]
                np.testing.assert_array_equal(stored, np.where(truth > 0, truth % 6, 255))
        if kind is LayerKind.DEPTH:
            values, valid = decode_depth_u16(stored, HEIGHT16)
            np.testing.assert_array_equal(np.where(valid, values, 0), truth)
        if kind is LayerKind.NORMALS:
            tilt = truth / 1 % 8 / 16
            cosine = np.einsum(
                "chw,chw->hw",
                decode_normals_u8(stored).xyz,
                np.stack([tilt, -tilt, -np.sqrt(1 - 2 * tilt**2)]),
            )
            np.testing.assert_array_equal(decode_normals_u8(stored).valid, truth > 0)
            assert cosine[truth > 0].min() > np.cos(np.radians(1))


def test_world_files_place_the_tiles(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", np.ones((1, 600, 600), np.uint8), place="rotated")
    convert(scene, tmp_path, {"t": (TILES, LayerKind.MASKS)})
    whole = PLACES["rotated"][1]
    with gdal_env(), rasterio.open(tmp_path / "t" / "r00512_c00512.png") as tile:
        assert (tile.transform @ (0, 0)) == pytest.approx(whole @ (512, 512))
        assert (tile.transform @ (10, 20)) == pytest.approx(whole @ (522, 532))
    index = json.loads((tmp_path / "t" / "index.json").read_text())
    assert index["scene"]["crs"] == "EPSG:32633"
    first = index["features"][0]
    xs, ys = zip(*[whole @ p for p in ((0, 0), (512, 0), (512, 512), (0, 512))], strict=True)
    assert first["properties"]["bounds"] == pytest.approx([min(xs), min(ys), max(xs), max(ys)])
    assert all(14 < lon < 16 and 44 < lat < 46 for lon, lat in first["geometry"]["coordinates"][0])


def test_tiles_of_a_scene_without_a_place(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", np.ones((1, 60, 60), np.uint8), place="none")
    facts = convert(scene, tmp_path, {"t": (TILES, LayerKind.DEPTH)})
    assert facts["t"]["encoding"] == "height16"
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == ["index.json", "r00000_c00000.png"]
    assert json.loads((tmp_path / "t" / "index.json").read_text())["features"][0]["geometry"] is None


@pytest.mark.parametrize("lat", [0.0, 45.0, 70.0])
@pytest.mark.parametrize("kind", ["degrees", "web mercator", "utm, six degrees off"])
def test_areas_in_tables_are_geodesic(tmp_path: Path, lat: float, kind: str) -> None:
    """Each class's area is that of its pixels' own quadrangles on the ellipsoid, to 0.1 %."""
    crs, step = {
        "degrees": ("EPSG:4326", 2e-4),
        "web mercator": ("EPSG:3857", 25.0),
        "utm, six degrees off": ("EPSG:32633", 20.0),
    }[kind]
    (x,), (y,) = transform("EPSG:4326", crs, [21.0 if "utm" in kind else 15.0], [lat])
    data = np.zeros((1, 900, 700), np.uint8)
    data[0, 450:], data[0, 100:300, 50:350] = 1, 2
    place = Affine(step, 0, x, 0, -step, y)
    path = write_scene(tmp_path / "s.tif", data, crs=crs, transform=place)
    convert(path, tmp_path, {"s.csv": (CSV, LayerKind.MASKS)})
    with (tmp_path / "s.csv").open() as file:
        rows = {int(row["class_id"]): row for row in csv.DictReader(file)}
    geod = Geod(ellps="WGS84")
    edges = [place @ (c, r) for r in range(0, 901, 50) for c in range(0, 701, 50)]
    lons, lats = (np.reshape(v, (19, 15)) for v in transform(crs, "EPSG:4326", *zip(*edges, strict=True)))
    truth = dict.fromkeys(range(3), 0.0)
    for i in range(18):
        for j in range(14):
            around = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)]
            area, _ = geod.polygon_area_perimeter([lons[p] for p in around], [lats[p] for p in around])
            truth[int(data[0, i * 50, j * 50])] += abs(area)
    for k, area in truth.items():
        assert float(rows[k]["area"]) == pytest.approx(area, rel=1e-3)
        assert rows[k]["area_unit"] == "m2"
