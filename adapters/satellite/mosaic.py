"""The seamless picture of a scene while it is being made: a tiled file that takes one core at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.adapter import SinkJob, SourceInfo
from banana_cli.atomic import final_name
from banana_cli.types import (
    NO_CLASS,
    Depth,
    DepthKind,
    Domain,
    Frame,
    Json,
    Layer,
    LayerKind,
    Mask,
    Normals,
    Prediction,
    Unit,
    Window,
)

from .bands import gdal_window
from .gdal import Dataset, gdal_env, writing
from .georef import IDENTITY
from .pam import keep_crs, notes_path
from .scene import SceneInfo

_BLOCK_PX: Final = 256
_NORMAL_STEPS: Final = np.float32(4096.0)


class SceneFormat:
    """What all formats of scenes share: a name, an ending (of a file or a folder), and their layers."""

    name: str
    ending: str
    domains = frozenset({Domain.SATELLITE})
    layers = frozenset(LayerKind)

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """The same for every layer and scene."""
        return self.ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """How a layer is stored: ``count`` bands of ``dtype``; ``predictor`` and ``resampling`` are GDAL's."""

    dtype: str
    count: int
    nodata: float
    predictor: int
    resampling: str
    names: tuple[str, ...]


PRODUCTS: Final[dict[LayerKind, Product]] = {
    LayerKind.MASKS: Product(
        dtype="uint8", count=1, nodata=NO_CLASS, predictor=1, resampling="NEAREST", names=("class",)
    ),
    LayerKind.DEPTH: Product(
        dtype="float32", count=1, nodata=np.nan, predictor=3, resampling="AVERAGE", names=("height",)
    ),
    LayerKind.NORMALS: Product(
        dtype="float32",
        count=3,
        nodata=np.nan,
        predictor=3,
        resampling="AVERAGE",
        names=("normal x, right", "normal y, down", "normal z, away from the viewer"),
    ),
}


def stored(layer: Layer) -> NDArray[np.generic]:
    """A layer as its product's bands (C, H, W), nodata where it is invalid.

    Normals are rounded to 1/4096 (0.01 degrees), which halves the file.
    """
    if isinstance(layer, Mask):
        return np.where(layer.valid, layer.ids, np.uint8(NO_CLASS))[None]
    if isinstance(layer, Depth):
        return np.where(layer.valid, layer.values, np.float32(np.nan))[None]
    rounded = np.rint(layer.xyz * _NORMAL_STEPS) / _NORMAL_STEPS
    return np.where(layer.valid, rounded, np.float32(np.nan))


def restored(data: NDArray[Any], job: SinkJob, like: Layer | None) -> Layer:
    """Bands as stored (C, H, W) as the layer again; ``like`` tells kind and unit of depth."""
    if job.layer is LayerKind.MASKS:
        return Mask(ids=data[0], valid=data[0] != NO_CLASS, table=job.table)
    valid = np.isfinite(data[0])
    if job.layer is LayerKind.NORMALS:
        return Normals(xyz=np.where(valid, data, np.float32(0.0)), valid=valid)
    if isinstance(like, Depth):
        return replace(like, values=data[0], valid=valid)
    return Depth(values=data[0], valid=valid, depth_kind=DepthKind.METRIC, unit=Unit.METRE)


class Mosaic:
    """A layer of a whole scene, filled core by core. ``first`` is a layer that was put, for its unit."""

    def __init__(self, path: Path, dataset: Dataset, job: SinkJob, product: Product, subject: str) -> None:
        self.path = path
        self.job = job
        self.subject = subject
        self.product = product
        self.first: Layer | None = None
        self._dataset = dataset

    def put(self, core: Window, layer: Layer, part: tuple[slice, slice]) -> None:
        """Store the ``part`` (rows, columns) of a layer at ``core`` of the scene."""
        self.first = self.first or layer
        self.fill(core, stored(layer)[:, *part])

    def fill(self, core: Window, data: NDArray[np.generic]) -> None:
        """Store (C, h, w) of the product's numbers at ``core`` of the scene."""
        with writing(self.subject):
            self._dataset.write(data, window=gdal_window(core))

    def close(self) -> None:
        """Complete the file on disk. OutputError if what was written did not all arrive."""
        with writing(self.subject):
            if isinstance(self.first, Depth):
                self._dataset.units = ("" if self.first.unit is Unit.ONE else self.first.unit.value,)
            self._dataset.close()
        keep_crs(self.path, self.crs, self.subject)

    @contextmanager
    def reopened(self) -> Iterator[Dataset]:
        """The complete file, for reading."""
        import rasterio

        self.close()
        with rasterio.open(self.path) as dataset:
            yield dataset

    def abandon(self) -> None:
        """Close whatever the state, and remove the file and what GDAL put beside it."""
        with gdal_env():
            self._dataset.close()
        for path in (self.path, notes_path(self.path)):
            path.unlink(missing_ok=True)

    @property
    def crs(self) -> str | None:
        """WKT of the scene's CRS, None where it has none."""
        info = self.job.info
        return info.reference.crs if isinstance(info, SceneInfo) else None

    def unit(self) -> Json:
        """Unit of the values, None where they have none."""
        return self.first.unit.value if isinstance(self.first, Depth) else None


@contextmanager
def mosaic(part: Path, job: SinkJob, product: Product | None = None) -> Iterator[Mosaic]:
    """A new mosaic in a file beside ``part``; the file is gone at the end, whatever happened.

    ``product`` None: that of the job's layer.
    """
    import rasterio

    path = part.with_name(part.name + ".mosaic")
    subject = str(final_name(part))
    product = product or PRODUCTS[job.layer]
    with writing(subject):
        dataset = rasterio.open(path, "w", **_creation(job, product))
        _annotate(dataset, job, product)
    made = Mosaic(path, dataset, job, product, subject)
    try:
        yield made
    finally:
        made.abandon()


def _creation(job: SinkJob, product: Product) -> dict[str, Any]:
    height, width = job.info.shape
    return {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": product.count,
        "dtype": product.dtype,
        "nodata": product.nodata,
        "tiled": True,
        "blockxsize": _BLOCK_PX,
        "blockysize": _BLOCK_PX,
        "interleave": "pixel",
        "compress": "deflate",
        "zlevel": 1,
        "predictor": product.predictor,
        "sparse_ok": True,
        "bigtiff": "IF_SAFER",
        **({"photometric": "palette"} if _is_classes(product) else {}),
        **(_place(job.info) if isinstance(job.info, SceneInfo) else {}),
    }


def _place(info: SceneInfo) -> dict[str, Any]:
    """The source's own georeference: CRS and transform, or control points, or RPCs."""
    from rasterio import Affine
    from rasterio.crs import CRS

    place: dict[str, Any] = {}
    if info.reference.crs is not None:
        place["crs"] = CRS.from_wkt(info.reference.crs)
    if info.reference.transform != IDENTITY:
        place["transform"] = Affine(*info.reference.transform)
    elif info.gcps:
        place["gcps"] = list(info.gcps)
        if info.gcp_crs is not None:
            place["crs"] = CRS.from_wkt(info.gcp_crs)
    if info.rpcs is not None:
        place["rpcs"] = info.rpcs
    return place


def _is_classes(product: Product) -> bool:
    return product is PRODUCTS[LayerKind.MASKS]


def _annotate(dataset: Dataset, job: SinkJob, product: Product) -> None:
    """Palette, band names and where the picture comes from."""
    for i, name in enumerate(product.names, start=1):
        dataset.set_band_description(i, name)
    tags = {
        "TIFFTAG_SOFTWARE": job.software,
        "BANANA_LAYER": job.layer.value,
        "BANANA_MODEL": job.model.name,
        "BANANA_WEIGHTS_SHA256": job.model.weights_sha256,
        "BANANA_BUDGET": f"{job.model.budget:g}",
    }
    # GDAL moves control points by half a pixel when it writes them with "Point"
    if isinstance(job.info, SceneInfo) and job.info.area_or_point and not job.info.gcps:
        tags["AREA_OR_POINT"] = job.info.area_or_point
    if _is_classes(product):
        dataset.write_colormap(1, colour_table(job))
        tags |= {f"BANANA_CLASS_{c.id}": c.name for c in job.table.classes}
    dataset.update_tags(**tags)


def colour_table(job: SinkJob) -> dict[int, tuple[int, int, int, int]]:
    """RGBA by class id; "no answer" is transparent."""
    return {c.id: (*c.rgb, 255) for c in job.table.classes} | {NO_CLASS: (0, 0, 0, 0)}


def core_of(frame: Frame) -> tuple[Window, tuple[slice, slice]]:
    """The part of the scene that a frame answers for, and where it lies in the frame's arrays."""
    rows, cols = frame.shape
    window = frame.provenance.window or Window(top=0, left=0, height=rows, width=cols)
    core = frame.provenance.core or window
    return core, core.within(window).slices()


class MosaicSink:
    """The writing half that all formats of a scene share."""

    def __init__(self, made: Mosaic) -> None:
        self.made = made

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Put the frame's core into the mosaic; frames without the layer are passed over."""
        layer = prediction.of(self.made.job.layer)
        if layer is not None:
            core, part = core_of(frame)
            self.made.put(core, layer, part)
