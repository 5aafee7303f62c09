"""What others say of our outputs: rio-cogeo, gdalinfo, a GeoJSON library, GDAL's vector drivers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyogrio
import pytest
from banana_adapters.satellite.sinks import GEOJSON, GPKG, HILLSHADE, TIF
from rio_cogeo.cogeo import cog_validate
from scenery import PLACES, convert, write_scene

from banana_cli.classes import AERIAL
from banana_cli.types import LayerKind

RNG = np.random.default_rng(9)
RASTERS = {
    "masks.tif": (TIF, LayerKind.MASKS),
    "depth.tif": (TIF, LayerKind.DEPTH),
    "normals.tif": (TIF, LayerKind.NORMALS),
    "shade.tif": (HILLSHADE, LayerKind.DEPTH),
}


def scene(folder: Path, place: str, side: int = 700) -> Path:
    band = RNG.integers(1, 6, (side // 20, side // 20), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
    band[40:90, 60:200] = 0
    return write_scene(folder / "s.tif", band[None], place=place, nodata=0)


@pytest.mark.parametrize("place", [name for name in PLACES if name != "none"])
def test_rasters_are_valid_cogs_and_gdalinfo_tells_their_place(tmp_path: Path, place: str) -> None:
    convert(scene(tmp_path, place), tmp_path, RASTERS)
    for name in RASTERS:
        valid, errors, warnings = cog_validate(tmp_path / name, quiet=True)
        assert valid and not errors and not warnings, (name, errors, warnings)
        if shutil.which("gdalinfo") is None:
            continue
        told = json.loads(
            subprocess.run(
                ["gdalinfo", "-json", str(tmp_path / name)], capture_output=True, text=True, check=True
            ).stdout
        )
        a, b, c, d, e, f = PLACES[place][1][:6]
        assert told["size"] == [700, 700] and told["geoTransform"] == pytest.approx([c, a, b, f, d, e])
        assert told["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
        if name == "masks.tif":
            band = told["bands"][0]
            assert band["noDataValue"] == 255 and band["colorInterpretation"] == "Palette"
            entries = band["colorTable"]["entries"]
            assert [tuple(e[:3]) for e in entries[: len(AERIAL)]] == [c.rgb for c in AERIAL.classes]
            rows = told["rat"]["row"] if "rat" in told else band["rat"]["row"]
            assert [row["f"][1] for row in rows] == list(AERIAL.names)


def test_vectors_are_valid_for_others(tmp_path: Path) -> None:
    geojson = pytest.importorskip("geojson")
    convert(
        scene(tmp_path, "utm"),
        tmp_path,
        {"m.geojson": (GEOJSON, LayerKind.MASKS), "m.gpkg": (GPKG, LayerKind.MASKS)},
    )
    found = geojson.loads((tmp_path / "m.geojson").read_text())
    assert found.is_valid and all(f.geometry.is_valid for f in found.features), found.errors()
    counts = [pyogrio.read_info(tmp_path / name)["features"] for name in ("m.geojson", "m.gpkg")]
    assert counts == [len(found.features)] * 2
    assert pyogrio.read_info(tmp_path / "m.gpkg")["crs"] == "EPSG:32633"
