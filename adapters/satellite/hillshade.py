"""``--format hillshade``: heights as they look in slanting light, a grey COG for the eye."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from banana_cli.adapter import SinkJob
from banana_cli.errors import OutputError
from banana_cli.types import F32, U8, Bool, Json, LayerKind, Pitch, Window

from .bands import gdal_window
from .cog import to_cog
from .gdal import Dataset, writing
from .heights import normals_of
from .mosaic import Mosaic, MosaicSink, Product, SceneFormat, mosaic
from .scene import SceneInfo

_LIGHT: Final = np.array([-0.5, -0.5, -np.sqrt(0.5)], np.float32)
"""Towards the light (x right, y down, z away from the viewer): from the upper left, 45 degrees high."""
_STRIP_ROWS: Final = 512
_PRODUCT: Final = Product(
    dtype="uint8", count=1, nodata=0, predictor=2, resampling="AVERAGE", names=("hillshade",)
)


class HillshadeFormat(SceneFormat):
    """8 bits, 0 = nodata, 1 = in shadow, 255 = square to the light; 181 is level ground."""

    name = "hillshade"
    ending = ".hillshade.tif"
    layers = frozenset({LayerKind.DEPTH})

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[HillshadeSink]:
        """Collect beside ``part``. OutputError if a pixel's size on the ground is not known."""
        pitch = job.info.reference.pitch() if isinstance(job.info, SceneInfo) else None
        if pitch is None:
            raise OutputError(
                "a hillshade needs the size of a pixel in metres, which the scene does not tell",
                subject=job.info.item.subject,
                remedy="choose --format tif",
            )
        with mosaic(part, job) as made:
            yield HillshadeSink(made, part, pitch)


HILLSHADE = HillshadeFormat()


class HillshadeSink(MosaicSink):
    """One hillshade being written."""

    def __init__(self, made: Mosaic, part: Path, pitch: Pitch) -> None:
        super().__init__(made)
        self._part = part
        self._pitch = pitch

    def finish(self) -> dict[str, Json]:
        """Shade the mosaic strip by strip, then turn it into a COG."""
        import rasterio

        self.made.close()
        grey = self.made.path.with_suffix(".grey")
        try:
            with writing(self.made.subject), rasterio.open(self.made.path) as heights:
                profile = {**heights.profile, "dtype": "uint8", "nodata": 0, "predictor": 2}
                with rasterio.open(grey, "w", **profile) as out:
                    out.set_band_description(1, _PRODUCT.names[0])
                    for strip in _strips(heights.shape):
                        out.write(self._shaded(heights, strip), 1, window=gdal_window(strip))
            overviews = to_cog(grey, self._part, self.made, _PRODUCT)
        finally:
            grey.unlink(missing_ok=True)
        return {
            "encoding": "uint8",
            "kind": "hillshade",
            "light": "from the picture's upper left, 45 degrees high",
            "container": "COG",
            "nodata": 0,
            "overviews": list(overviews),
        }

    def _shaded(self, heights: Dataset, strip: Window) -> U8:
        above = min(strip.top, 1)
        below = min(heights.height - strip.bottom, 1)
        seen = Window(top=strip.top - above, left=0, height=strip.height + above + below, width=strip.width)
        values = heights.read(1, window=gdal_window(seen))
        return shade(values, np.isfinite(values), self._pitch)[above : above + strip.height]


def shade(height_m: F32, valid: Bool, pitch: Pitch) -> U8:
    """Cosine to the light of a height field (H, W), 1 to 255; 0 where there is none."""
    normals = normals_of(height_m, valid, pitch)
    lit = np.einsum("chw,c->hw", normals.xyz, _LIGHT)
    grey: U8 = np.where(valid, np.clip(np.rint(1 + 254 * lit), 1, 255), 0).astype(np.uint8)
    return grey


def _strips(shape: tuple[int, int]) -> Iterator[Window]:
    for top in range(0, shape[0], _STRIP_ROWS):
        yield Window(top=top, left=0, height=min(_STRIP_ROWS, shape[0] - top), width=shape[1])
