"""What is known of a scene before its first frame."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from banana_cli.adapter import InputItem, SourceInfo
from banana_cli.types import Band, Domain, Json, LayerKind, Modality

from .bands import Channels
from .blocks import Blocks
from .gdal import Dataset
from .georef import IDENTITY, Georeference, crs_name, lonlat, wkt_of
from .heights import Metres
from .looks import far_from_training
from .scaling import Scaling
from .warp import Placing


@dataclass(frozen=True, kw_only=True)
class SceneInfo(SourceInfo):
    """A scene; ``reference`` is that of its whole picture.

    ``gcps`` and ``rpcs`` are GDAL's own objects, handed on to the outputs as they are;
    ``gcp_crs`` is WKT. ``area_or_point`` is the TIFF's pixel interpretation.
    """

    reference: Georeference
    gcps: tuple[Any, ...] = ()
    gcp_crs: str | None = None
    rpcs: Any = None
    area_or_point: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Everything that reading one scene needs; ``metres`` where it holds heights."""

    info: SceneInfo
    channels: Channels
    bands: tuple[Band, ...]
    scaling: Scaling
    metres: Metres | None
    blocks: Blocks


def reference_of(dataset: Dataset) -> Georeference:
    """CRS and affine of a whole raster; pixel space where it has none."""
    crs = dataset.crs
    wkt = wkt_of(crs) if crs else None
    affine = [float(v) for v in dataset.transform[:6]]
    a, b, c, d, e, f = affine if all(math.isfinite(v) for v in affine) else IDENTITY
    reference = Georeference(crs=wkt or None, transform=(a, b, c, d, e, f))
    return reference.measured(dataset.height, dataset.width)


def describe(
    item: InputItem,
    dataset: Dataset,
    channels: Channels,
    scaling: Scaling,
    reference: Georeference,
    blocks: Blocks,
    *,
    heights: bool,
    layers: frozenset[LayerKind],
    placing: Placing | None = None,
) -> SceneInfo:
    """The scene's facts, from its header and the look that scaled it."""
    gcps, gcp_crs = dataset.gcps
    return SceneInfo(
        item=item,
        domain=Domain.SATELLITE,
        modality=Modality.AERIAL,
        kind="heights" if heights else "scene",
        shape=(dataset.height, dataset.width),
        frames=len(blocks),
        formats=dict.fromkeys(LayerKind, "tif"),
        facts={
            **_facts(dataset, channels, scaling, reference),
            "looks": _looks_facts(blocks, reference),
            **({} if placing is None else {"warped": placing.describe()}),
        },
        notices=(
            *(() if placing is None else (_how_warped(placing, reference, dataset),)),
            *_notices(dataset, channels, reference, heights=heights, layers=layers),
        ),
        reference=reference,
        gcps=tuple(gcps),
        gcp_crs=wkt_of(gcp_crs) if gcp_crs else None,
        rpcs=dataset.rpcs,
        area_or_point=dataset.tags().get("AREA_OR_POINT"),
    )


def _facts(
    dataset: Dataset, channels: Channels, scaling: Scaling, reference: Georeference
) -> dict[str, Json]:
    file: Dataset = getattr(dataset, "src_dataset", dataset)  # what is warped is not a file and tells little
    facts: dict[str, Json] = {
        "driver": file.driver,
        "size": [dataset.width, dataset.height],
        "bands": file.count,
        "bands_used": list(channels.indexes),
        "dtype": channels.dtype,
        "nodata": json_number(
            dataset.nodata if channels.nodata_override is None else channels.nodata_override
        ),
        **reference.describe(),
        "bounds": bounds_of(reference, dataset.height, dataset.width),
        "block": list(file.block_shapes[0]),
        "compression": file.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION"),
        **({"dated": dated} if (dated := _date_of(file)) else {}),
        "overviews": list(file.overviews(1)),
        "mask": sorted({f.name for flags in dataset.mask_flag_enums for f in flags}),
        "colours": "palette" if channels.palette is not None else list(channels.names),
        "sensor": channels.sensor.value,
        "scaling": scaling.describe(),
    }
    return facts


def _date_of(dataset: Dataset) -> str | None:
    """When the file says that it was taken or made, as RFC 3339; its clock is read as UTC."""
    acquired = dataset.tags(ns="IMAGERY").get("ACQUISITIONDATETIME")
    for text, form in (
        (acquired, "%Y-%m-%d %H:%M:%S"),
        (dataset.tags().get("TIFFTAG_DATETIME"), "%Y:%m:%d %H:%M:%S"),
    ):
        with suppress(TypeError, ValueError):  # absent, or some other form
            return datetime.strptime(text[:19], form).strftime("%Y-%m-%dT%H:%M:%SZ")
    return None


def _looks_facts(blocks: Blocks, reference: Georeference) -> dict[str, Json]:
    """At which resolution the model works, and in which windows."""
    looks, pitch = blocks.looks, reference.pitch_m
    gsd: Json = None if pitch is None else [round(p * looks.shrink, 6) for p in pitch]
    return {
        "tile": looks.tile,
        "overlap": looks.overlap,
        "shrink": looks.shrink,
        "gsd_m": gsd,
        "phase": list(looks.phase),
        "work": blocks.step,
    }


def _notices(
    dataset: Dataset,
    channels: Channels,
    reference: Georeference,
    *,
    heights: bool,
    layers: frozenset[LayerKind],
) -> list[str]:
    found: list[str] = []
    if not reference.placed:
        found.append(_why_no_crs(dataset, reference))
    elif reference.pitch_m is None:
        found.append("the size of a pixel in metres does not follow from the coordinate system")
    if told := far_from_training(reference):
        found.append(told)
    if channels.is_complex:
        found.append("complex values: their magnitude is used")
    if heights:
        found.append("read as heights in metres: normals are computed from them and are not the model's")
        if LayerKind.DEPTH in layers:
            found.append("height above the ground is the model's estimate, not the raster's own heights")
    if len(dataset.subdatasets) > 1:
        found.append(f"holds {len(dataset.subdatasets)} pictures: the first is read")
    return found


def _how_warped(placing: Placing, reference: Georeference, dataset: Dataset) -> str:
    size = f"{dataset.width} x {dataset.height} pixels of {crs_name(reference.crs)}"
    return f"placed by {placing.words}: warped to {size}, which outputs have too"


def _why_no_crs(dataset: Dataset, reference: Georeference) -> str:
    if dataset.gcps[0]:
        return "too few control points to warp it, or none with a coordinate system: worked on in pixels"
    if reference.crs is None and reference.transform != IDENTITY:
        return "has a transform but no coordinate system: worked on in pixels, the transform is kept"
    if reference.crs is not None:
        return "has a coordinate system but no transform: worked on in pixels"
    return "has no coordinate system: worked on in pixels"


def json_number(value: float | None) -> Json:
    """A number as JSON can hold it: NaN and infinities by name."""
    if value is None or math.isfinite(value):
        return value
    return str(value)


def corners(
    reference: Georeference, top: int, left: int, height: int, width: int
) -> list[tuple[float, float]]:
    """(x, y) of a pixel rectangle's corners, in order around it."""
    rows_cols = ((top, left), (top, left + width), (top + height, left + width), (top + height, left))
    return [reference.at(row, col) for row, col in rows_cols]


def bounds_of(reference: Georeference, height: int, width: int, *, top: int = 0, left: int = 0) -> list[Json]:
    """[west, south, east, north] of a pixel rectangle, in the reference's CRS."""
    xs, ys = zip(*corners(reference, top, left, height, width), strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


def lonlat_corners(
    reference: Georeference, top: int, left: int, height: int, width: int
) -> list[tuple[float, float]] | None:
    """Corners of a pixel rectangle as WGS84 (longitude, latitude); None without a CRS."""
    if not reference.placed:
        return None
    return lonlat(reference.crs or "", corners(reference, top, left, height, width))
