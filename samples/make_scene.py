"""Makes samples/scene.tif: a made-up town from above, with a projection and a slanted nodata edge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from banana_cli.worlds import aerial

_SEED, _ROWS, _COLUMNS, _GSD = 14, 1200, 1500, 0.5


def main(folder: Path) -> None:
    """Write scene.tif (RGB uint8, 0.5 m, UTM 33N, nodata 0) into the folder."""
    views = aerial.sample(_SEED, _ROWS, _COLUMNS, _GSD).views
    rgb = np.rint(views * 254 + 1).astype(np.uint8)  # 0 is kept for nodata
    row, column = np.mgrid[0:_ROWS, 0:_COLUMNS]
    outside = (column < 90 - 0.06 * row) | (row < 40 - 0.02 * column)
    rgb[:, outside] = 0
    profile = {
        "driver": "GTiff",
        "width": _COLUMNS,
        "height": _ROWS,
        "count": 3,
        "dtype": "uint8",
        "crs": "EPSG:32633",
        "transform": from_origin(392000.0, 5820000.0, _GSD, _GSD),
        "nodata": 0,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "predictor": 2,
        "zlevel": 9,
        "photometric": "rgb",
    }
    with rasterio.open(folder / "scene.tif", "w", **profile) as out:
        out.write(rgb)
        out.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        out.update_tags(TIFFTAG_IMAGEDESCRIPTION="Synthetic scene, made by samples/make_scene.py")


if __name__ == "__main__":
    main(Path(__file__).resolve().parent)
