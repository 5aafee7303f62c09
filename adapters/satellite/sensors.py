"""What is known of sensors: which bands make a picture, and in which range their numbers lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from banana_cli.errors import InputError
from banana_cli.options import Sensor

from .gdal import Dataset

_SAR_NAME: Final = re.compile(
    r"(^|[^a-z])(vv|vh|hh|hv|rvi|sigma[_ ]?0|sigma[_ ]?nought|gamma[_ ]?0|beta[_ ]?0|backscatter|amplitude)"
    r"([^a-z]|$)"
)
_HEIGHT_NAME: Final = re.compile(
    r"(^|[^a-z])(n?dsm|dtm|dem|dom|dgm|chm|hag|elev\w*|height\w*|altitude|terrain)([^a-z]|$)"
)
SAR_DB: Final = (-25.0, 0.0)
"""Backscatter in dB from still water to a town."""
BRIGHTEST: Final = 0.3
"""Reflectance that is shown as white; clouds, snow and sand are above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How a sensor's files are read.

    ``names``: band names (lower case) of the model's three channels, each with its alternatives;
    ``places``: bands by how many the file has (the largest count that is not above it). ``reflectance``:
    numbers are scaled reflectances; ``decibel``: backscatter; ``picture`` False: they may be heights.
    """

    names: tuple[tuple[str, ...], ...] = ()
    places: tuple[tuple[int, tuple[int, ...]], ...] = ()
    reflectance: bool = False
    decibel: bool = False
    picture: bool = True


_BLUE, _GREEN, _RED, _NIR = (
    ("blue", "b02", "b2"),
    ("green", "b03", "b3"),
    ("red", "b04", "b4"),
    ("nir", "nir08"),
)

PRESETS: Final[dict[Sensor, Preset]] = {
    Sensor.AUTO: Preset(picture=False),
    Sensor.RGB: Preset(names=(_RED, _GREEN, _BLUE), places=((3, (1, 2, 3)),)),
    Sensor.NIR: Preset(
        names=(("nir", "nir08", "b08", "b8"), _RED, _GREEN),
        places=((3, (1, 2, 3)), (4, (4, 1, 2)), (12, (8, 4, 3))),
    ),
    Sensor.SENTINEL_2: Preset(
        names=(_RED, _GREEN, _BLUE),
        places=((3, (1, 2, 3)), (4, (3, 2, 1)), (10, (3, 2, 1)), (12, (4, 3, 2))),
        reflectance=True,
    ),
    Sensor.LANDSAT: Preset(
        names=((*_RED, "sr_b4"), (*_GREEN, "sr_b3"), (*_BLUE, "sr_b2")),
        places=((3, (1, 2, 3)), (6, (3, 2, 1)), (7, (4, 3, 2))),
        reflectance=True,
    ),
    Sensor.NAIP: Preset(places=((3, (1, 2, 3)),)),
    Sensor.PAN: Preset(places=((1, (1,)),)),
    Sensor.SAR: Preset(places=((1, (1,)),), decibel=True),
    Sensor.HEIGHTS: Preset(places=((1, (1,)),), picture=False),
}
"""Every sensor that ``--sensor`` names."""


def sensor_of(dataset: Dataset, asked: Sensor) -> Sensor:
    """The sensor that was asked for, or the one that the bands' names and units tell; AUTO if none."""
    if asked is not Sensor.AUTO:
        return asked
    names = _names(dataset)
    if any(unit.lower() == "db" for unit in _units(dataset)) or any(_SAR_NAME.search(n) for n in names):
        return Sensor.SAR
    if dataset.count == 1 and _HEIGHT_NAME.search(names[0]):
        return Sensor.HEIGHTS
    if {"sr_b2", "sr_b3", "sr_b4"} <= set(names):
        return Sensor.LANDSAT
    if {"b02", "b03", "b04"} <= set(names) or {"b2", "b3", "b4"} <= set(names):
        return Sensor.SENTINEL_2
    return Sensor.AUTO


def bands_of(dataset: Dataset, sensor: Sensor, subject: str) -> tuple[int, ...] | None:
    """1-based bands of a sensor's picture, by name or by place; None where the sensor does not say.

    InputError if the file has too few bands for it.
    """
    preset = PRESETS[sensor]
    names = _names(dataset)
    found = [next((names.index(n) + 1 for n in choice if n in names), 0) for choice in preset.names]
    if found and all(found):
        return tuple(found)
    if not preset.places:
        return None
    fitting = [bands for count, bands in preset.places if count <= dataset.count]
    if not fitting:
        raise InputError(
            f"has {dataset.count} bands, too few for --sensor {sensor.value}",
            subject=subject,
            remedy="choose bands with --bidx, or leave --sensor out",
        )
    return fitting[-1]


def limits_of(sensor: Sensor, dtype: str, low: float, high: float) -> tuple[float, float, str] | None:
    """What is shown as black and as white, and how that was found; None: by the scene's percentiles.

    ``low`` and ``high`` are the scene's 2nd and 98th percentile, which tell in which numbers it is.
    """
    preset = PRESETS[sensor]
    if dtype == "uint8":
        return None
    if preset.decibel:
        return (*SAR_DB, "backscatter of -25 to 0 dB") if low < 0 else None
    if preset.reflectance:
        black, step = _reflectance(dtype, low, high)
        return black, black + BRIGHTEST / step, f"reflectance of 0 to {BRIGHTEST:g}"
    return None


def _reflectance(dtype: str, low: float, high: float) -> tuple[float, float]:
    """The number that is no reflectance at all, and what one step is worth."""
    if dtype.startswith("float") and high <= 3.0:
        return 0.0, 1.0
    if dtype == "uint16" and low >= 5000.0:  # Landsat collection 2, level 2
        return 0.2 / 2.75e-5, 2.75e-5
    return (1000.0 if low >= 1000.0 else 0.0), 1e-4  # Sentinel-2, since 2022 with an offset


def _names(dataset: Dataset) -> list[str]:
    return [str(d or "").strip().lower() for d in dataset.descriptions]


def _units(dataset: Dataset) -> list[str]:
    return [str(u or "").strip() for u in dataset.units]
