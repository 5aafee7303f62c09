"""``--format geojson`` and ``gpkg``: outlines without gaps, areas on the ellipsoid, facts of each region."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
import shapely
from banana_adapters.satellite.antimeridian import cut
from banana_adapters.satellite.ellipsoid import polygon_area_m2
from banana_adapters.satellite.regions import Regions, label
from banana_adapters.satellite.seams import Strip, joined
from banana_adapters.satellite.sinks import GEOJSON, GPKG
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scenery import PLACES, convert, copied, frames_of, item_of, job_of, write_scene

from banana_cli.classes import AERIAL
from banana_cli.types import LayerKind

MASKS = {"m.geojson": (GEOJSON, LayerKind.MASKS), "m.gpkg": (GPKG, LayerKind.MASKS)}
RNG = np.random.default_rng(11)
MAPS = arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 2, 255])
)


def blobs(height: int, width: int) -> np.ndarray:
    """Smooth patches of the classes 1 to 4 with borders at all angles, and a hole of 0."""
    import cv2

    noise = RNG.normal(size=(height, width, 4)).astype(np.float32)
    band = cv2.GaussianBlur(noise, (0, 0), 5).argmax(axis=-1).astype(np.uint8) + 1
    band[30:50, 30:70] = 0
    return band


def strips_of(ids: np.ndarray, rows: int | None = None) -> list[Strip]:
    """Strips of ``rows`` rows; confidences and heights tell where a pixel lies."""
    height = (np.arange(ids.size) % 50).astype(np.float16).reshape(ids.shape)
    rows = rows or len(ids)
    return [
        Strip(
            top=top,
            last=top + rows >= len(ids),
            ids=ids[top : top + rows],
            confidence=(height * 5).astype(np.uint8)[top : top + rows],
            height_m=height[top : top + rows],
        )
        for top in range(0, len(ids), rows)
    ]


def regions_of(ids: np.ndarray, rows: int | None = None, tolerance_px: float = 1.0) -> Regions:
    """All regions, of a map that comes whole or in strips of ``rows``."""
    parts = list(joined(strips_of(ids, rows), tolerance_px))
    names = ("shapes", "class_ids", "pixels", "confidence", "height_m")
    return Regions(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def facts_of(found: Regions) -> list[tuple]:
    """What is known of each region, whatever their order."""
    sure, height = np.round(found.confidence, 6), np.round(found.height_m, 6)
    boxes = shapely.bounds(found.shapes).tolist()
    return sorted(zip(found.class_ids.tolist(), found.pixels.tolist(), sure, height, boxes, strict=True))


@given(MAPS, st.integers(1, 5))
@settings(max_examples=120, deadline=None)
def test_strips_give_the_regions_of_the_whole(ids: np.ndarray, rows: int) -> None:
    whole, cut_up = regions_of(ids, tolerance_px=0), regions_of(ids, rows, tolerance_px=0)
    assert facts_of(cut_up) == facts_of(whole)
    assert {shapely.get_type_id(s) for s in cut_up.shapes} <= {3}
    by_place = [sorted(r.shapes, key=lambda s: (s.bounds, s.area)) for r in (whole, cut_up)]
    assert shapely.equals(*by_place).all()


@given(MAPS, st.integers(1, 5))
@settings(max_examples=120, deadline=None)
def test_simplified_strips_leave_no_gaps(ids: np.ndarray, rows: int) -> None:
    found = regions_of(ids, rows)
    assert shapely.is_valid(found.shapes).all()
    assert shapely.coverage_is_valid(found.shapes)
    assert len(found) == len(label(ids)[1])


def test_a_large_map_in_strips_is_the_same_but_for_its_seams() -> None:
    band = blobs(400, 300)
    whole, cut_up = regions_of(band), regions_of(band, 130)
    assert shapely.coverage_is_valid(cut_up.shapes)
    for class_id in range(5):
        mine = [shapely.union_all(r.shapes[r.class_ids == class_id]) for r in (whole, cut_up)]
        assert mine[0].symmetric_difference(mine[1]).area < 0.003 * band.size
    corners = [int(shapely.get_num_coordinates(r.shapes).sum()) for r in (whole, cut_up)]
    assert corners[1] < 1.3 * corners[0]


def features_of(folder: Path) -> tuple[list[dict], np.ndarray]:
    features = json.loads((folder / "m.geojson").read_text())["features"]
    return features, np.array([shapely.from_geojson(json.dumps(f["geometry"])) for f in features])


@given(MAPS)
@settings(max_examples=80, deadline=None)
def test_unsimplified_regions_are_the_pixels(ids: np.ndarray) -> None:
    found = regions_of(ids, tolerance_px=0)
    assert shapely.is_valid(found.shapes).all()
    assert shapely.coverage_is_valid(found.shapes)
    np.testing.assert_array_equal(shapely.area(found.shapes), found.pixels)
    assert found.pixels.sum() == np.count_nonzero(ids != 255)
    for shape, class_id in zip(found.shapes, found.class_ids, strict=True):
        inside = shapely.point_on_surface(shape)
        assert ids[int(inside.y), int(inside.x)] == class_id


@given(MAPS)
@settings(max_examples=80, deadline=None)
def test_simplified_regions_leave_no_gaps(ids: np.ndarray) -> None:
    found = regions_of(ids)
    assert shapely.is_valid(found.shapes).all()
    assert shapely.coverage_is_valid(found.shapes)
    assert len(found) == len(label(ids)[1])


def test_simplifying_keeps_area_and_saves_corners() -> None:
    band = blobs(400, 500)
    exact, simple = regions_of(band, tolerance_px=0), regions_of(band)
    corners = [int(shapely.get_num_coordinates(r.shapes).sum()) for r in (exact, simple)]
    assert corners[1] < corners[0] / 2
    for class_id in range(5):
        sums = [shapely.area(r.shapes[r.class_ids == class_id]).sum() for r in (exact, simple)]
        assert sums[1] == pytest.approx(sums[0], rel=0.005)
    large = exact.pixels > 500
    assert shapely.hausdorff_distance(exact.shapes[large], simple.shapes[large]).max() < 2.5


@pytest.mark.parametrize("place", ["utm", "lonlat", "rotated", "south-up"])
def test_neighbours_meet_on_the_earth_too(tmp_path: Path, place: str) -> None:
    convert(write_scene(tmp_path / "s.tif", blobs(200, 260)[None], place=place, nodata=0), tmp_path, MASKS)
    features, shapes = features_of(tmp_path)
    assert len(features) > 50
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)
    assert [f["id"] for f in features] == list(range(1, len(features) + 1))


@pytest.mark.parametrize("lat", [0.0, 45.0, 70.0, -70.0])
@pytest.mark.parametrize("kind", ["laea", "utm", "lonlat"])
def test_areas_are_geodesic(tmp_path: Path, lat: float, kind: str) -> None:
    """Against PROJ's geodesics for every outline, and against the pixels' own area for each class."""
    geod = pytest.importorskip("pyproj").Geod(ellps="WGS84")
    zone = 32634 if lat >= 0 else 32734
    crs = {
        "laea": f"+proj=laea +lat_0={lat} +lon_0=20 +datum=WGS84 +units=m",
        "utm": f"EPSG:{zone}",
        "lonlat": "EPSG:4326",
    }[kind]
    [x], [y] = rasterio.warp.transform("EPSG:4326", crs, [20.0], [lat])
    step = 30 / 111_000 if kind == "lonlat" else 30
    place = rasterio.Affine(step, 0, x, 0, -step, y)
    convert(write_scene(tmp_path / "s.tif", blobs(240, 240)[None], crs=crs, transform=place), tmp_path, MASKS)
    features, shapes = features_of(tmp_path)
    stated = np.array([f["properties"]["area_m2"] for f in features])
    truth = np.array([abs(geod.geometry_area_perimeter(shape)[0]) for shape in shapes])
    np.testing.assert_allclose(stated, truth, rtol=5e-4, atol=1e-3)
    if kind == "laea":
        large = np.array([f["properties"]["pixels"] for f in features]) * 900.0
        for class_id in range(5):
            chosen = np.array([f["properties"]["class_id"] == class_id for f in features])
            assert stated[chosen].sum() == pytest.approx(large[chosen].sum(), rel=0.005)


def test_confidence_and_height_are_means_over_the_region(tmp_path: Path) -> None:
    band = np.zeros((40, 60), np.uint8)
    band[5:15, 5:25], band[20:30, 10:40] = 2, 10  # ten modulo six is four
    scene = write_scene(tmp_path / "s.tif", band[None], nodata=0)
    convert(scene, tmp_path, MASKS)
    found = [f["properties"] for f in features_of(tmp_path)[0]]
    assert [(p["class"], p["pixels"], p["height_m"]) for p in found] == [
        ("road", 200, 2.0),
        ("water", 300, 10.0),
    ]
    assert [p["confidence"] for p in found] == pytest.approx([120 / 255, 140 / 255], abs=1e-4)
    [frame] = frames_of(scene)
    made = copied(frame)
    sink_job = job_of(_info(scene), LayerKind.MASKS)
    with GEOJSON.open(tmp_path / "alone.geojson", sink_job) as sink:
        from dataclasses import replace

        sink.write(frame, replace(made, layers=(replace(made.layers[0], confidence=None),)))
        sink.finish()
    alone = json.loads((tmp_path / "alone.geojson").read_text())["features"][0]["properties"]
    assert alone["confidence"] is None
    assert alone["height_m"] is None


def _info(scene: Path):
    from banana_adapters.satellite import SATELLITE
    from scenery import options

    return SATELLITE.inspect(item_of(scene), options())


def test_specks_join_their_largest_neighbour_and_nodata_stays(tmp_path: Path) -> None:
    band = np.full((40, 60), 1, np.uint8)
    band[:, 30:] = 2
    band[5, 5:8] = 3  # three pixels
    band[20:22, 5:7] = 3  # four
    band[10, 10] = 0  # a single pixel without data
    scene = write_scene(tmp_path / "s.tif", band[None], nodata=0)
    convert(scene, tmp_path, MASKS)
    found = [f["properties"] for f in features_of(tmp_path)[0]]
    counts = {(p["class_id"], p["pixels"]) for p in found}
    assert counts == {(1, 30 * 40 - 4 - 1), (2, 30 * 40), (3, 4)}


@pytest.mark.parametrize("south", [False, True])
def test_a_scene_around_a_pole(tmp_path: Path, south: bool) -> None:
    place = rasterio.Affine(10_000, 0, -500_000, 0, -10_000, 500_000)
    band = np.full((1, 100, 100), 2, np.uint8)
    band[:, 40:60, 40:60] = 3
    crs = "EPSG:3031" if south else "EPSG:3413"
    convert(write_scene(tmp_path / "s.tif", band, crs=crs, transform=place), tmp_path, MASKS)
    features, shapes = features_of(tmp_path)
    assert [f["properties"]["class_id"] for f in features] == [2, 3]
    assert shapely.is_valid(shapes).all()
    bounds = shapely.total_bounds(shapes)
    assert bounds[0] == -180
    assert bounds[2] == 180
    assert shapely.bounds(shapes[1])[3 if not south else 1] == (-90 if south else 90)
    assert shapely.intersection(*shapes).area == pytest.approx(0, abs=1e-6)
    pyproj = pytest.importorskip("pyproj")
    factor = pyproj.Proj(crs).get_factors(0, -90 if south else 90).areal_scale
    areas = [f["properties"]["area_m2"] for f in features]
    assert areas[1] == pytest.approx(200_000**2 / factor, rel=0.005)
    assert sum(areas) == pytest.approx(1e12 / factor, rel=0.01)


def test_a_comb_across_the_antimeridian_falls_into_its_teeth() -> None:
    """A back on the western side, three teeth that reach across: four parts, none of them touching itself."""
    teeth = [(179.0, 0.0), (179.0, 5.0)]
    for y in (5, 3, 1):
        teeth += [(-179.0, float(y)), (-179.0, y - 1.0), (179.5, y - 1.0), (179.5, y - 2.0)]
    comb = shapely.polygons([*teeth[:-2], (179.0, 0.0)])
    parts = cut(comb)
    assert len(parts) == 4
    assert all(part.is_valid for part in parts)
    assert sum(part.area for part in parts) == pytest.approx(2 * 3 + 5 * 0.5 + 0.0, abs=2.6)
    assert all(-180 <= v <= 180 for part in parts for v in (part.bounds[0], part.bounds[2]))


def test_area_of_a_zone_and_an_octant() -> None:
    """An eighth of the ellipsoid, whose surface is known."""
    edge = np.concatenate(
        [np.column_stack([np.linspace(0, 90, 91), np.zeros(91)]), [(90, 90), (0, 90), (0, 0)]]
    )
    assert polygon_area_m2([edge.tolist()]) == pytest.approx(510_065_621_724_088.4 / 8, rel=1e-9)


@pytest.mark.parametrize("place", list(PLACES))
def test_a_geopackage_opens_elsewhere(tmp_path: Path, place: str) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    convert(
        write_scene(tmp_path / "s.tif", blobs(120, 160)[None], place=place, nodata=0),
        tmp_path,
        {"m.gpkg": MASKS["m.gpkg"]},
    )
    info = pyogrio.read_info(tmp_path / "m.gpkg", layer="masks")
    crs, transform = PLACES[place]
    if crs:
        assert info["crs"] == crs
    _, _, blobs_wkb, columns = pyogrio.raw.read(tmp_path / "m.gpkg", layer="masks")
    shapes = shapely.from_wkb(blobs_wkb)
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)
    names = dict(zip(info["fields"], columns, strict=True))
    pixel = abs(transform.determinant) if transform else 1.0
    for class_id in np.unique(names["class_id"]):
        chosen = names["class_id"] == class_id
        assert set(names["class"][chosen]) == {AERIAL.names[class_id]}
        assert shapely.area(shapes[chosen]).sum() / pixel == pytest.approx(
            names["pixels"][chosen].sum(), rel=0.02
        )
    if transform:
        outline = shapely.union_all([shapely.box(*shape.bounds) for shape in shapes]).bounds
        corners = [transform @ p for p in ((0, 0), (160, 0), (160, 120), (0, 120))]
        assert outline[0] == pytest.approx(min(x for x, _ in corners))
        assert outline[3] == pytest.approx(max(y for _, y in corners))


def test_a_geopackage_says_what_it_is(tmp_path: Path) -> None:
    facts = convert(write_scene(tmp_path / "s.tif", blobs(80, 90)[None]), tmp_path, MASKS)
    with sqlite3.connect(tmp_path / "m.gpkg") as database:
        assert database.execute("PRAGMA application_id").fetchone() == (0x47504B47,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        srs = database.execute("SELECT srs_id FROM gpkg_spatial_ref_sys ORDER BY 1").fetchall()
        assert srs == [(-1,), (0,), (4326,), (32633,)]
        count = database.execute("SELECT COUNT(*) FROM masks").fetchone()[0]
        bounds = database.execute("SELECT min_x, min_y, max_x, max_y FROM gpkg_contents").fetchone()
    database.close()
    assert bounds == (500_000, 4_999_840, 500_180, 5_000_000)
    assert count == facts["m.gpkg"]["features"] == facts["m.geojson"]["features"]


def test_nothing_but_nodata_gives_no_feature(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", np.zeros((1, 60, 60), np.uint8), nodata=0)
    from banana_adapters.satellite import SATELLITE
    from scenery import options

    with SATELLITE.open(item_of(scene), options()) as source:
        job = job_of(source.info, LayerKind.MASKS)
    for name, (fmt, _) in MASKS.items():
        with fmt.open(tmp_path / name, job) as sink:
            assert sink.finish()["features"] == 0
    assert json.loads((tmp_path / "m.geojson").read_text()) == {"type": "FeatureCollection", "features": []}


@pytest.mark.parametrize(
    ("crs", "place"),
    [
        ("EPSG:32660", rasterio.Affine(100, 0, 826_000, 0, -100, 1_100_000)),
        ("EPSG:32660", rasterio.Affine(70, 70, 698_000, 70, -70, 5_750_000)),
        ("EPSG:4326", rasterio.Affine(0.001, 0, 179.9573, 0, -0.001, 10.0)),
    ],
)
def test_across_the_antimeridian_neighbours_meet_to_the_last_digit(
    tmp_path: Path, crs: str, place: rasterio.Affine
) -> None:
    scene = write_scene(tmp_path / "s.tif", blobs(100, 140)[None], place="none", crs=crs, transform=place)
    convert(scene, tmp_path, MASKS)
    found = json.loads((tmp_path / "m.geojson").read_text())["features"]
    parts = shapely.get_parts([shapely.from_geojson(json.dumps(f["geometry"])) for f in found])
    assert len(parts) > len(found) > 20
    assert shapely.is_valid(parts).all() and shapely.coverage_is_valid(parts)
    halves = shapely.get_parts(shapely.union_all(parts))
    assert len(halves) == 2 and not any(half.interiors for half in halves)
    lons = {tuple(half.bounds[i] for i in (0, 2)) for half in halves}
    assert {-180.0, 180.0} <= {lon for pair in lons for lon in pair}


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 4), (5, 1)])
def test_scenes_of_a_few_pixels_have_outlines(tmp_path: Path, shape: tuple[int, int]) -> None:
    scene = write_scene(tmp_path / "s.tif", np.full((1, *shape), 2, np.uint8))
    assert [facts["features"] for facts in convert(scene, tmp_path, MASKS).values()] == [1, 1]
    [feature] = json.loads((tmp_path / "m.geojson").read_text())["features"]
    count = shape[0] * shape[1]
    assert feature["properties"]["pixels"] == count
    if count > 1:  # the border of a single pixel is within the tolerance
        assert feature["properties"]["area_m2"] == pytest.approx(4 * count, rel=2e-3)
