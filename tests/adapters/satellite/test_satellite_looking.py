"""What stands beside the values: the page, the STAC item, the hillshade and tiles as GeoTIFF."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import rasterio
from banana_adapters.satellite import page
from banana_adapters.satellite.hillshade import shade
from banana_adapters.satellite.sinks import GEOTILES, HILLSHADE, HTML, TIF
from PIL import Image
from rio_cogeo.cogeo import cog_validate
from scenery import PLACES, convert, write_scene

from banana_cli.classes import AERIAL
from banana_cli.errors import OutputError
from banana_cli.types import LayerKind, Pitch, Unit

RNG = np.random.default_rng(4)
PAGE = {"p.html": (HTML, LayerKind.MASKS)}
METRE = Pitch(row=1.0, col=1.0, unit=Unit.METRE)


class Parsed(HTMLParser):
    """The page's data, its tags, and every address in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, str] = {}
        self.addresses: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.open.append(f"{tag}#{named.get('id') or named.get('name') or ''}")
        self.addresses += [str(named[key]) for key in ("src", "href") if key in named]

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data

    @property
    def data(self) -> dict:
        return json.loads(self.texts["script#data"].partition("</script")[0])


def picture_of(uri: str) -> np.ndarray:
    head, _, text = uri.partition(",")
    assert re.fullmatch(r"data:image/(png|webp);base64", head)
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        return np.array(picture)


def parsed(path: Path) -> Parsed:
    return Parsed(path.read_text(encoding="utf-8"))


def test_the_page_holds_everything_itself(tmp_path: Path) -> None:
    band = RNG.integers(1, 6, (200, 300), dtype=np.uint8)
    band[20:40, 30:60] = 0
    convert(write_scene(tmp_path / "s.tif", np.stack([band] * 3), nodata=0), tmp_path, PAGE)
    found = parsed(tmp_path / "p.html")
    assert found.addresses == []
    assert "default-src 'none'" in (tmp_path / "p.html").read_text()
    scene, *layers = found.data["layers"]
    assert [layer["name"] for layer in layers] == ["height", "normals", "classes"]
    assert [layer["opacity"] for layer in layers] == [0, 0, 0.6]
    np.testing.assert_array_equal(picture_of(layers[2]["src"]), np.where(band > 0, band, 255))
    np.testing.assert_array_equal(picture_of(layers[0]["src"])[..., 3] > 0, band > 0)
    np.testing.assert_array_equal(picture_of(scene["src"])[..., 3] > 0, band > 0)
    assert found.data["size"] == [300, 200]
    shares = {c["name"]: c["share"] for c in layers[2]["classes"]}
    counts = np.bincount(band[band > 0], minlength=6)
    assert shares == {AERIAL.names[i]: f"{100 * counts[i] / counts.sum():.1f} %" for i in range(1, 6)}
    places = np.array(found.data["places"])
    assert places.shape == (9, 9, 2)
    assert (np.diff(places[..., 0], axis=1) > 0).all()
    assert (np.diff(places[..., 1], axis=0) < 0).all()


@pytest.mark.parametrize("side", [100, 333, 700])
def test_a_large_scene_is_shown_by_every_nth_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    monkeypatch.setattr(page, "MAX_SIDE_PX", side)
    band = np.arange(2250 * 2260, dtype=np.uint32).reshape(2250, 2260) // 7 % 251
    scene = write_scene(tmp_path / "s.tif", band.astype(np.uint8)[None], place="none")
    facts = convert(scene, tmp_path, PAGE)["p.html"]
    step = -(-2260 // side)
    assert facts["every_nth_pixel"] == step
    found = parsed(tmp_path / "p.html").data
    np.testing.assert_array_equal(picture_of(found["layers"][-1]["src"]), band[::step, ::step] % 6)
    assert found["places"] is None


def test_a_name_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=alert(1)>&amp;"
    text = page.filled({"title": evil}, evil, "banana <b>")
    found = Parsed(text)
    assert found.data["title"] == evil
    assert not [tag for tag in found.open if tag.startswith("img")]
    assert found.texts["title#"].strip() == evil


def stac_of(path: Path) -> dict:
    return json.loads(path.with_name(path.name + ".stac.json").read_text())


@pytest.mark.parametrize("place", [name for name in PLACES if name != "none"])
def test_the_stac_item_is_valid(tmp_path: Path, place: str) -> None:
    scene = write_scene(tmp_path / "s.tif", np.ones((1, 60, 80), np.uint8), place=place)
    with rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2019:07:01 10:11:12")
    convert(scene, tmp_path, {f"{kind.value}.tif": (TIF, kind) for kind in LayerKind})
    for kind in LayerKind:
        item = stac_of(tmp_path / f"{kind.value}.tif")
        assert item["properties"]["datetime"] == "2019-07-01T10:11:12Z"
        assert item["assets"]["data"]["href"] == f"./{kind.value}.tif"
        assert item["properties"]["proj:shape"] == [60, 80]
        assert item["properties"]["proj:code"] == PLACES[place][0]
        assert item["properties"]["proj:transform"] == list(PLACES[place][1])[:6]
        with rasterio.open(tmp_path / f"{kind.value}.tif") as data:
            assert [b["data_type"] for b in item["assets"]["data"]["bands"]] == list(data.dtypes)
        _valid_stac(item)
    classes = stac_of(tmp_path / "masks.tif")["assets"]["data"]["classification:classes"]
    assert [c["value"] for c in classes] == list(range(len(AERIAL)))
    assert all(re.fullmatch(r"[0-9A-Za-z_-]+", c["name"]) for c in classes)
    assert all(re.fullmatch(r"[0-9A-F]{6}", c["color_hint"]) for c in classes)


def _valid_stac(item: dict) -> None:
    """The core schema, which pystac carries with it; extensions would be fetched."""
    pystac = pytest.importorskip("pystac")
    pytest.importorskip("jsonschema")
    core = pystac.Item.from_dict({**item, "stac_extensions": []})
    assert core.validate()
    west, south, east, north = item["bbox"]
    assert west < east
    assert south < north


def test_the_stac_item_of_a_scene_across_the_antimeridian(tmp_path: Path) -> None:
    place = rasterio.Affine(100, 0, 827_000, 0, -100, 1_100_000)
    band = np.ones((1, 40, 40), np.uint8)
    convert(
        write_scene(tmp_path / "s.tif", band, crs="EPSG:32660", transform=place),
        tmp_path,
        {"m.tif": (TIF, LayerKind.MASKS)},
    )
    item = stac_of(tmp_path / "m.tif")
    assert item["geometry"]["type"] == "MultiPolygon"
    west, south, east, north = item["bbox"]
    assert 179.9 < west < 180
    assert -180 < east < -179.9
    assert south < north


def test_no_place_no_stac_item(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", np.ones((1, 60, 60), np.uint8), place="none")
    convert(scene, tmp_path, {"m.tif": (TIF, LayerKind.MASKS)})
    assert not list(tmp_path.glob("*.stac.json"))


def test_light_falls_from_the_upper_left() -> None:
    rows, cols = np.mgrid[0:20, 0:30].astype(np.float32)
    everywhere = np.ones((20, 30), np.bool_)
    assert (shade(np.zeros((20, 30), np.float32), everywhere, METRE) == 181).all()
    facing = shade((rows + cols) / np.sqrt(np.float32(2)), everywhere, METRE)
    assert (facing == 255).all()
    averted = shade(-(rows + cols) * np.float32(2), everywhere, METRE)
    assert (averted == 1).all()


def test_a_hillshade_is_a_seamless_cog(tmp_path: Path) -> None:
    rows, cols = np.mgrid[0:1300, 0:700]
    band = (30 + 12 * np.sin(rows / 23) + 12 * np.cos(cols / 31)).astype(np.uint8)
    band[500:530, 100:200] = 0
    scene = write_scene(tmp_path / "s.tif", band[None], nodata=0)
    facts = convert(scene, tmp_path, {"h.tif": (HILLSHADE, LayerKind.DEPTH)})["h.tif"]
    assert cog_validate(tmp_path / "h.tif", quiet=True)[0]
    pitch = Pitch(row=2.0, col=2.0, unit=Unit.METRE)
    with rasterio.open(tmp_path / "h.tif") as out:
        np.testing.assert_array_equal(out.read(1), shade(band.astype(np.float32), band > 0, pitch))
        np.testing.assert_array_equal(out.dataset_mask() > 0, band > 0)
        assert out.transform == PLACES["utm"][1]
    assert facts["overviews"]
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {"s.tif", "h.tif"}
    nowhere = write_scene(tmp_path / "n.tif", band[None], place="none")
    with pytest.raises(OutputError, match="size of a pixel"):
        convert(nowhere, tmp_path, {"n": (HILLSHADE, LayerKind.DEPTH)})


def test_tiles_as_geotiff_put_together_are_the_scene(tmp_path: Path) -> None:
    band = RNG.integers(1, 200, (600, 1100), dtype=np.uint8)
    band[:512, 512:1024] = 0
    scene = write_scene(tmp_path / "s.tif", band[None], place="rotated", nodata=0)
    convert(scene, tmp_path, {kind.value: (GEOTILES, kind) for kind in LayerKind})
    whole = PLACES["rotated"][1]
    for kind in LayerKind:
        index = json.loads((tmp_path / kind.value / "index.json").read_text())
        assert len(index["features"]) == 5
        for at in (f["properties"] for f in index["features"]):
            rows, cols = slice(at["row"], at["row"] + at["height"]), slice(at["col"], at["col"] + at["width"])
            with rasterio.open(tmp_path / kind.value / at["name"]) as tile:
                assert tile.crs.to_epsg() == 32633
                assert (tile.transform @ (0, 0)) == pytest.approx(whole @ (at["col"], at["row"]))
                stored, valid = tile.read(1), tile.dataset_mask() > 0
                if kind is LayerKind.MASKS:
                    assert tile.colormap(1)[1] == (*AERIAL.classes[1].rgb, 255)
            truth = band[rows, cols]
            np.testing.assert_array_equal(valid, truth > 0)
            if kind is not LayerKind.NORMALS:
                expected = truth % 6 if kind is LayerKind.MASKS else truth
                np.testing.assert_array_equal(stored[valid], expected[valid])
