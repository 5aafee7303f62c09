"""A CRS whose parameters contradict its code: outputs tell what the scene tells, not what the code means."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio
from banana_adapters.satellite import SATELLITE
from banana_adapters.satellite.gdal import gdal_env
from banana_adapters.satellite.georef import crs_name, wkt_of
from banana_adapters.satellite.sinks import GEOTILES, GPKG, HILLSHADE, TIF
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.crs import CRS
from scenery import convert, item_of, options, write_scene

from banana_cli.types import LayerKind

RASTERS = {
    "masks.tif": (TIF, LayerKind.MASKS),
    "depth.tif": (TIF, LayerKind.DEPTH),
    "shade.tif": (HILLSHADE, LayerKind.DEPTH),
    "tiles": (GEOTILES, LayerKind.DEPTH),
}
PLAIN = [2193, 28992, 32633, 3857, 4326, 2154, 3031, 2056, 27700, 5514]
NUMBER = r"(-?[\d.]+)"


def changed(wkt: str, what: str, by: float) -> str:
    """WKT 1 with one number another and every code where it was."""
    patterns = {
        "flattening": rf'(SPHEROID\["[^"]*",[\d.]+,){NUMBER}',
        "axis": rf'(SPHEROID\["[^"]*",){NUMBER}',
    }
    pattern = patterns.get(what, rf'(PARAMETER\["{what}",){NUMBER}')
    return re.sub(pattern, lambda m: m[1] + repr(float(m[2]) + by), wkt)


def as_vrt(scene: Path, wkt: str) -> Path:
    """The scene as a VRT that tells this CRS: its text is kept where GeoTIFF keys would lose it."""
    vrt = scene.with_suffix(".vrt")
    vrt.write_text(
        f'<VRTDataset rasterXSize="40" rasterYSize="30"><SRS>{escape(wkt)}</SRS>'
        "<GeoTransform>500000, 2, 0, 5000000, 0, -2</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{scene.name}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return vrt


def crs_of(path: Path) -> CRS:
    with gdal_env(), rasterio.open(path) as dataset:
        return dataset.crs


def told(out: Path) -> list[CRS]:
    """What every raster of the folder says."""
    return [crs_of(path) for path in sorted(out.rglob("*.tif"))]


@settings(max_examples=12, deadline=None)
@given(
    code=st.sampled_from([c for c in PLAIN if c != 4326]),
    what=st.sampled_from(["flattening", "axis", "false_easting", "central_meridian", "scale_factor"]),
    by=st.sampled_from([1e-6, 1e-3, 0.25]),
)
def test_overridden_parameters_come_back(code: int, what: str, by: float) -> None:
    wkt = changed(CRS.from_epsg(code).to_wkt(), what, by)
    with TemporaryDirectory() as folder:
        scene = write_scene(Path(folder) / "s.tif", np.ones((1, 30, 40), np.uint8), place="none")
        out = Path(folder) / "out"
        out.mkdir()
        vrt = as_vrt(scene, wkt)
        wanted = crs_of(vrt)
        convert(vrt, out, {name: RASTERS[name] for name in ("masks.tif", "depth.tif")})
        assert all(found == wanted for found in told(out))
        with gdal_env(), rasterio.open(out / "depth.tif") as written:
            assert written.transform == Affine(2, 0, 500000, 0, -2, 5000000)
        own = wkt_of(wanted)
        assert CRS.from_wkt(own) == wanted
        assert crs_name(own) == f"EPSG:{code}" or wanted != CRS.from_epsg(code)


@pytest.mark.parametrize("name", ["epsg_2193_override", "inconsistent_invflattening"])
def test_files_that_override_their_code(tmp_path: Path, shared_data: Path, name: str) -> None:
    scene = shared_data / "corpus" / "geotiff" / "gdal" / "gtiff" / f"{name}.tif"
    convert(scene, tmp_path, {**RASTERS, "m.gpkg": (GPKG, LayerKind.MASKS)})
    wanted = crs_of(scene)
    assert len(told(tmp_path)) == 4
    assert all(found == wanted for found in told(tmp_path))
    assert not (tmp_path / "depth.tif.aux.xml").exists()  # the keys of the TIFF tell it all
    item = json.loads((tmp_path / "masks.tif.stac.json").read_text())["properties"]
    assert item["proj:code"] is None
    assert CRS.from_wkt(item["proj:wkt2"]) == wanted and item["proj:wkt2"].startswith("PROJCRS")
    with closing(sqlite3.connect(tmp_path / "m.gpkg")) as database:
        query = "SELECT definition FROM gpkg_spatial_ref_sys JOIN gpkg_contents USING (srs_id)"
        assert CRS.from_wkt(database.execute(query).fetchone()[0]) == wanted
    facts = SATELLITE.inspect(item_of(scene), options()).facts
    assert CRS.from_wkt(str(facts["crs_wkt"])) == wanted
    index = json.loads((tmp_path / "tiles" / "index.json").read_text())["scene"]
    assert (index["crs"], index["crs_wkt"]) == (facts["crs"], facts["crs_wkt"])


@pytest.mark.parametrize("code", PLAIN)
def test_a_plain_code_stays_one(code: int) -> None:
    with gdal_env():
        crs = CRS.from_epsg(code)
        assert wkt_of(crs) == crs.to_wkt()
        assert crs_name(wkt_of(crs)) == f"EPSG:{code}"


def test_a_code_of_nobodys_is_dropped() -> None:
    with gdal_env():
        crs = CRS.from_wkt(CRS.from_epsg(32633).to_wkt().replace('"32633"', '"999999"'))
        assert "999999" not in wkt_of(crs) and CRS.from_wkt(wkt_of(crs)) == crs


def test_a_code_that_has_a_successor_stays_and_gdal_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with gdal_env():
        wkt = wkt_of(CRS.from_epsg(27582))
    assert crs_name(wkt) == "EPSG:27582" and '"27582"' in wkt
    assert capfd.readouterr() == ("", "")
