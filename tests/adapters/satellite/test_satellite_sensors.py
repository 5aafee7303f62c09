"""Sensors: which bands are the picture, how they are scaled, and what is taken for heights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from banana_adapters.satellite import SATELLITE
from banana_adapters.satellite.gdal import gdal_env
from scenery import item_of, write_scene

from banana_cli.errors import InputError
from banana_cli.options import RasterOptions, ReadOptions, Sensor
from banana_cli.types import LayerKind

RNG = np.random.default_rng(11)


def asked(sensor: Sensor = Sensor.AUTO, bidx: tuple[int, ...] = ()) -> ReadOptions:
    return ReadOptions(layers=frozenset(LayerKind), raster=RasterOptions(sensor=sensor, bidx=bidx))


def stack(path: Path, count: int, dtype: str = "uint8", names: tuple[str, ...] = ()) -> Path:
    """Band n holds about 10 n."""
    data = np.arange(1, count + 1)[:, None, None] * 10 + RNG.integers(0, 5, (count, 40, 40))
    write_scene(path, data.astype(dtype), photometric="minisblack")
    if names:
        with gdal_env(), rasterio.open(path, "r+") as dataset:
            dataset.descriptions = names
    return path


@pytest.mark.parametrize(
    ("sensor", "count", "bands"),
    [
        (Sensor.RGB, 5, [1, 2, 3]),
        (Sensor.NIR, 4, [4, 1, 2]),
        (Sensor.NIR, 3, [1, 2, 3]),
        (Sensor.SENTINEL_2, 13, [4, 3, 2]),
        (Sensor.SENTINEL_2, 4, [3, 2, 1]),
        (Sensor.LANDSAT, 7, [4, 3, 2]),
        (Sensor.LANDSAT, 6, [3, 2, 1]),
        (Sensor.NAIP, 4, [1, 2, 3]),
        (Sensor.PAN, 1, [1]),
        (Sensor.SAR, 2, [1]),
    ],
)
def test_bands_by_place(tmp_path: Path, sensor: Sensor, count: int, bands: list[int]) -> None:
    info = SATELLITE.inspect(item_of(stack(tmp_path / "s.tif", count)), asked(sensor))
    assert info.facts["bands_used"] == bands
    assert info.facts["sensor"] == sensor.value


@pytest.mark.parametrize(
    ("names", "sensor", "bands"),
    [
        (("B02", "B03", "B04", "B08"), "sentinel-2", [3, 2, 1]),
        (("SR_B1", "SR_B2", "SR_B3", "SR_B4"), "landsat", [4, 3, 2]),
        (("VV", "VH"), "sar", [1]),
        (("Sigma0_VH_db",), "sar", [1]),
        (("blue", "green", "red", "nir"), "auto", [3, 2, 1]),
        (("covvvh", "other", "third"), "auto", [1, 2, 3]),
    ],
)
def test_bands_by_name(tmp_path: Path, names: tuple[str, ...], sensor: str, bands: list[int]) -> None:
    info = SATELLITE.inspect(item_of(stack(tmp_path / "s.tif", len(names), names=names)), asked())
    assert (info.facts["sensor"], info.facts["bands_used"]) == (sensor, bands)


def test_bidx_is_stronger_than_a_sensor_and_too_few_bands_are_refused(tmp_path: Path) -> None:
    path = stack(tmp_path / "s.tif", 2)
    assert SATELLITE.inspect(item_of(path), asked(Sensor.SENTINEL_2, (2,))).facts["bands_used"] == [2]
    with pytest.raises(InputError, match="too few for --sensor sentinel-2"):
        SATELLITE.inspect(item_of(path), asked(Sensor.SENTINEL_2))


@pytest.mark.parametrize(
    ("sensor", "dtype", "low", "high", "limits"),
    [
        (Sensor.SENTINEL_2, "uint16", 200, 2500, (0, 3000)),
        (Sensor.SENTINEL_2, "uint16", 1100, 3500, (1000, 4000)),
        (Sensor.SENTINEL_2, "float32", 0.01, 0.4, (0, 0.3)),
        (Sensor.LANDSAT, "uint16", 7500, 14000, (0.2 / 2.75e-5, 0.5 / 2.75e-5)),
        (Sensor.LANDSAT, "int16", 100, 2500, (0, 3000)),
        (Sensor.SAR, "float32", -22.0, -4.0, (-25, 0)),
    ],
)
def test_a_sensors_own_scaling_is_used_and_recorded(
    tmp_path: Path, sensor: Sensor, dtype: str, low: float, high: float, limits: tuple[float, float]
) -> None:
    data = RNG.uniform(low, high, (3, 60, 60)).astype(dtype)
    info = SATELLITE.inspect(item_of(write_scene(tmp_path / "s.tif", data)), asked(sensor))
    scaling = info.facts["scaling"]
    assert sensor.value in scaling["method"]
    for found in scaling["low_high"]:
        assert found == pytest.approx(limits)


@pytest.mark.parametrize("sensor", [Sensor.PAN, Sensor.RGB, Sensor.AUTO])
def test_other_scenes_are_scaled_by_their_percentiles(tmp_path: Path, sensor: Sensor) -> None:
    data = RNG.uniform(300, 900, (3, 60, 60)).astype("uint16")
    info = SATELLITE.inspect(item_of(write_scene(tmp_path / "s.tif", data)), asked(sensor))
    assert "percentiles" in info.facts["scaling"]["method"]


def terrain(side: int = 300) -> np.ndarray:
    """Hills of 60 m with houses of 8 m on them, 2 m a pixel."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    hills = 30 * np.sin(x / 60) * np.cos(y / 80) + 120
    return hills + 8 * ((x // 12 % 3 == 0) & (y // 9 % 3 == 0)) + RNG.normal(0, 0.05, (side, side))


def backscatter(side: int = 300, looks: int = 10) -> np.ndarray:
    """Fields and a lake in dB, with the speckle of so many looks."""
    y, x = np.mgrid[:side, :side]
    base = -11 + 3 * np.sin(x / 40) - 9 * ((x - 150) ** 2 + (y - 150) ** 2 < 2500)
    return base + 10 * np.log10(RNG.gamma(looks, 1 / looks, (side, side)))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("terrain", "heights"),
        ("polder", "heights"),
        ("backscatter", "scene"),
        ("many looks", "scene"),
        ("amplitude", "scene"),
        ("reflectance", "scene"),
    ],
)
def test_numbers_without_a_unit_are_heights_only_where_they_look_like_a_surface(
    tmp_path: Path, name: str, kind: str
) -> None:
    data = {
        "terrain": terrain,
        "polder": lambda: terrain() / 30 - 8,
        "backscatter": lambda: backscatter(looks=4),
        "many looks": lambda: backscatter(looks=50),
        "amplitude": lambda: 10 ** (backscatter() / 20) * 500,
        "reflectance": lambda: 1200 + 20 * (terrain() - 120) + RNG.normal(0, 20, (300, 300)),
    }[name]()
    path = write_scene(tmp_path / "s.tif", data.astype(np.float32)[None])
    assert SATELLITE.inspect(item_of(path), asked()).kind == kind


def test_a_unit_a_name_and_the_user_are_believed(tmp_path: Path) -> None:
    rough = RNG.uniform(0, 40, (1, 80, 80)).astype(np.float32)
    path = write_scene(tmp_path / "s.tif", rough)
    assert SATELLITE.inspect(item_of(path), asked()).kind == "scene"
    assert SATELLITE.inspect(item_of(path), asked(Sensor.HEIGHTS)).kind == "heights"
    for field, value in (("units", "m"), ("descriptions", "nDSM")):
        other = write_scene(tmp_path / f"{field}.tif", rough)
        with gdal_env(), rasterio.open(other, "r+") as dataset:
            setattr(dataset, field, (value,))
        assert SATELLITE.inspect(item_of(other), asked()).kind == "heights"
    smooth = write_scene(tmp_path / "smooth.tif", terrain().astype(np.float32)[None])
    assert SATELLITE.inspect(item_of(smooth), asked(Sensor.PAN)).kind == "scene"


def test_real_height_rasters_are_heights(shared_data: Path) -> None:
    scenes = shared_data / "satellite" / "scenes"
    for name in ("dsm", "dtm", "hag", "dom1_32_356_5699_1_nw_2020"):
        assert SATELLITE.inspect(item_of(scenes / f"{name}.tif"), asked()).kind == "heights", name
