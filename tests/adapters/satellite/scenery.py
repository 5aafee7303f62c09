"""Rasters made on the spot, and a prediction that is nothing but a copy: what goes in must come out."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import rasterio
from banana_adapters.satellite import SATELLITE
from banana_adapters.satellite.gdal import gdal_env
from rasterio import Affine

from banana_cli.adapter import InputItem, Look, SinkFormat, SinkJob
from banana_cli.classes import AERIAL
from banana_cli.options import RasterOptions, ReadOptions
from banana_cli.types import (
    NO_CLASS,
    Depth,
    DepthKind,
    Frame,
    LayerKind,
    Mask,
    ModelFacts,
    Normals,
    Prediction,
    Unit,
)

UTM = Affine(2.0, 0.0, 500_000.0, 0.0, -2.0, 5_000_000.0)
PLACES = {
    "utm": ("EPSG:32633", UTM),
    "lonlat": ("EPSG:4326", Affine(1e-4, 0.0, 12.5, 0.0, -1e-4, 48.25)),
    "rotated": ("EPSG:32633", Affine(1.9, 0.4, 500_000.0, 0.3, -1.8, 5_000_000.0)),
    "south-up": ("EPSG:32633", Affine(2.0, 0.0, 500_000.0, 0.0, 2.0, 5_000_000.0)),
    "none": (None, None),
}


def write_scene(
    path: Path, bands: np.ndarray, *, place: str = "utm", mask: np.ndarray | None = None, **more
) -> Path:
    """Save (C, H, W) as a TIFF; ``mask`` (H, W) becomes an internal mask band."""
    crs, transform = PLACES[place]
    profile = {
        "driver": "GTiff",
        "count": bands.shape[0],
        "height": bands.shape[1],
        "width": bands.shape[2],
        "dtype": bands.dtype.name,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        **({"crs": crs, "transform": transform} if crs else {}),
        **more,
    }
    colours = profile.pop("colorinterp", None)
    with (
        gdal_env(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **profile) as dataset,
    ):
        if colours:
            dataset.colorinterp = colours
        dataset.write(bands)
        if mask is not None:
            dataset.write_mask(mask)
    return path


def item_of(path: Path) -> InputItem:
    return InputItem(paths=(path,), stem=path.stem)


def options(*, bidx: tuple[int, ...] = (), nodata: float | None = None) -> ReadOptions:
    return ReadOptions(layers=frozenset(LayerKind), raster=RasterOptions(bidx=bidx, nodata=nodata))


def frames_of(path: Path, asked: ReadOptions | None = None) -> list:
    with SATELLITE.open(item_of(path), asked or options()) as source:
        return list(source)


def copied(frame: Frame) -> Prediction:
    """Band 0 modulo six as classes, band 0 as heights, its digits as directions; measured layers pass."""
    first = frame.pixels[0]
    ids = np.where(frame.valid, first.astype(np.int64) % len(AERIAL), NO_CLASS).astype(np.uint8)
    heights = np.where(frame.valid, first, np.nan).astype(np.float32)
    tilt = (first % 8) / 16
    xyz = np.stack([tilt, -tilt, -np.sqrt(1 - 2 * tilt**2)]).astype(np.float32)
    xyz[:, ~frame.valid] = 0
    normals = next((m for m in frame.measured if isinstance(m, Normals)), Normals(xyz=xyz, valid=frame.valid))
    sure = np.where(frame.valid, 100 + 10 * ids, 0).astype(np.uint8)
    return Prediction(
        layers=(
            Mask(ids=ids, valid=frame.valid, table=AERIAL, confidence=sure),
            Depth(
                values=heights,
                valid=frame.valid,
                depth_kind=DepthKind.METRIC,
                unit=Unit.METRE,
                note="height above ground",
            ),
            normals,
        ),
        tokens_kept=1.0,
        seconds={},
    )


def job_of(info, layer: LayerKind, more: dict | None = None) -> SinkJob:
    return SinkJob(
        options=more or {},
        info=info,
        layer=layer,
        table=AERIAL,
        look=Look(depth_near=0.0, depth_far=50.0),
        model=ModelFacts(name="copy", weights_sha256="0" * 64, budget=1.0, precision="fp32", device="cpu"),
        software="banana test",
        tasks={},
    )


def convert(
    path: Path, out: Path, formats: dict[str, tuple[SinkFormat, LayerKind]], asked=None, more=None
) -> dict[str, dict]:
    """Read a scene, copy it into each output ``out / name``; the facts that ``finish`` gave, by name."""
    with SATELLITE.open(item_of(path), asked or options()) as source, ExitStack() as stack:
        sinks = {
            name: stack.enter_context(fmt.open(out / name, job_of(source.info, layer, more)))
            for name, (fmt, layer) in formats.items()
        }
        for frame in source:
            for sink in sinks.values():
                sink.write(frame, copied(frame))
        return {name: sink.finish() for name, sink in sinks.items()}
