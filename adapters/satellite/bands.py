"""Which bands of a raster become a frame, and which of their pixels hold data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.errors import InputError, UsageError
from banana_cli.options import RasterOptions, Sensor
from banana_cli.types import F32, U8, Bool, Window

from .gdal import Dataset
from .sensors import bands_of, sensor_of

_SANE: Final = 1e30  # beyond it a float is a filler (such as the lowest float32), not a measurement
_MAX_LOOKUPS: Final = 50_000
_COLOURS: Final = ("red", "green", "blue")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Channels:
    """``indexes``: 1-based bands, one or three. ``palette`` (N, 4) RGBA turns one band into three.

    ``full_scale``: largest value of 8-bit data, which needs no scaling; None: scale by the scene.
    """

    indexes: tuple[int, ...]
    names: tuple[str, ...]
    dtype: str
    palette: U8 | None
    nodata_override: float | None
    full_scale: float | None
    sensor: Sensor

    @property
    def is_complex(self) -> bool:
        """Whether the magnitude is taken."""
        return self.dtype.startswith("complex")


def choose(dataset: Dataset, asked: RasterOptions, subject: str) -> Channels:
    """The bands asked for, else the sensor's, else red, green and blue, else the first three or one."""
    sensor = sensor_of(dataset, asked.sensor)
    if asked.bidx:
        indexes = _asked(dataset, asked.bidx, subject)
    else:
        indexes = bands_of(dataset, sensor, subject) or _default_indexes(dataset)
    dtype = str(dataset.dtypes[indexes[0] - 1])
    palette = _palette(dataset, indexes)
    names = ("red", "green", "blue") if palette is not None else tuple(_name(dataset, i) for i in indexes)
    return Channels(
        indexes=indexes,
        names=names,
        dtype=dtype,
        palette=palette,
        nodata_override=asked.nodata,
        full_scale=255.0 if palette is not None else _full_scale(dataset, indexes),
        sensor=sensor,
    )


def _asked(dataset: Dataset, bidx: tuple[int, ...], subject: str) -> tuple[int, ...]:
    if len(bidx) not in (1, 3):
        raise UsageError(
            f"--bidx names {len(bidx)} bands", subject=subject, remedy="name one band or three, such as 4,3,2"
        )
    outside = [i for i in bidx if not 1 <= i <= dataset.count]
    if outside:
        raise InputError(
            f"has no band {outside[0]}; its bands are 1 to {dataset.count}",
            subject=subject,
            remedy="choose other bands with --bidx",
        )
    return bidx


def _default_indexes(dataset: Dataset) -> tuple[int, ...]:
    meaning = [c.name for c in dataset.colorinterp]
    if set(_COLOURS) <= set(meaning):
        return tuple(meaning.index(c) + 1 for c in _COLOURS)
    names = [str(d or "").strip().lower() for d in dataset.descriptions]
    if set(_COLOURS) <= set(names):  # stacks of satellite bands often run blue, green, red
        return tuple(names.index(c) + 1 for c in _COLOURS)
    colours = [i + 1 for i, name in enumerate(meaning) if name != "alpha"] or [1]
    return tuple(colours[:3]) if len(colours) >= 3 else tuple(colours[:1])


def _name(dataset: Dataset, index: int) -> str:
    return str(dataset.descriptions[index - 1] or dataset.colorinterp[index - 1].name)


def _palette(dataset: Dataset, indexes: tuple[int, ...]) -> U8 | None:
    """The colour table of a single paletted 8-bit band, all 256 entries, RGBA."""
    if len(indexes) != 1 or dataset.dtypes[indexes[0] - 1] != "uint8":
        return None
    if dataset.colorinterp[indexes[0] - 1].name != "palette":
        return None
    try:
        colours = dataset.colormap(indexes[0])
    except ValueError:  # rasterio's way to say that there is no table
        return None
    table = np.zeros((256, 4), np.uint8)
    for value, rgba in colours.items():
        if 0 <= value < 256:
            table[value] = rgba
    return table


def _full_scale(dataset: Dataset, indexes: tuple[int, ...]) -> float | None:
    if any(dataset.dtypes[i - 1] != "uint8" for i in indexes):
        return None
    bits = dataset.tags(indexes[0], ns="IMAGE_STRUCTURE").get("NBITS", "8")
    return float(2 ** min(8, max(1, int(bits)))) - 1 if bits.isdigit() else 255.0


def read_pixels(dataset: Dataset, channels: Channels, window: Window) -> tuple[F32, Bool]:
    """Pixels (C, H, W) in the file's own numbers (palettes resolved) and where they hold data (H, W)."""
    stored = stored_blocks(dataset, channels, window)
    if stored is not None and not stored.any():
        return np.zeros((len(channels.names), *stored.shape), np.float32), stored
    raw, valid = read_raw(dataset, channels, gdal_window(window))
    if stored is not None:
        valid &= stored | (raw != 0).any(axis=0)
    return as_float(channels, raw), valid


def read_raw(
    dataset: Dataset,
    channels: Channels,
    window: Any,  # noqa: ANN401 (rasterio has no types)
    out_shape: tuple[int, int] | None = None,
) -> tuple[NDArray[np.generic], Bool]:
    """Values as stored (magnitudes of complex ones), and where they hold data; may be decimated."""
    indexes = list(channels.indexes)
    shape = None if out_shape is None else (len(indexes), *out_shape)
    raw = dataset.read(indexes, window=window, out_shape=shape)
    if channels.is_complex:
        raw = np.abs(raw)
    valid = _mask(dataset, channels, window, shape, raw)
    if raw.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            valid &= (np.abs(raw) < _SANE).all(axis=0)
    if channels.palette is not None:
        valid &= channels.palette[raw[0], 3] > 0
    return raw, valid


def _mask(
    dataset: Dataset,
    channels: Channels,
    window: Any,  # noqa: ANN401
    shape: tuple[int, ...] | None,
    raw: NDArray[np.generic],
) -> Bool:
    """The dataset's own mask (nodata, mask band, alpha), with the user's nodata in place of the file's."""
    flags = [{f.name for f in dataset.mask_flag_enums[i - 1]} for i in channels.indexes]
    valid = np.ones(raw.shape[1:], np.bool_)
    if all("per_dataset" in f for f in flags):
        first = None if shape is None else shape[1:]
        valid &= dataset.read_masks(channels.indexes[0], window=window, out_shape=first) > 0
    elif channels.nodata_override is None and not all("all_valid" in f for f in flags):
        masks = dataset.read_masks(list(channels.indexes), window=window, out_shape=shape)
        valid &= masks.any(axis=0)
    if channels.nodata_override is not None and not np.isnan(channels.nodata_override):
        valid &= (raw != channels.nodata_override).any(axis=0)
    return valid


def as_float(channels: Channels, raw: NDArray[np.generic]) -> F32:
    """Stored values (C, H, W) as float32, a palette's band as its three colours."""
    if channels.palette is not None:
        return np.ascontiguousarray(channels.palette[raw[0], :3].transpose(2, 0, 1), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        return raw.astype(np.float32)


def gdal_window(window: Window) -> Any:  # noqa: ANN401
    """A window in rasterio's order."""
    from rasterio.windows import Window as GdalWindow

    return GdalWindow(window.left, window.top, window.width, window.height)


def stored_blocks(dataset: Dataset, channels: Channels, window: Window) -> Bool | None:
    """(H, W) False where a sparse tiled TIFF never stored a block; None where that cannot be asked.

    GDAL would make up zeros there; a scene's empty ground must not be answered.
    """
    index = channels.indexes[0]
    rows, cols = dataset.block_shapes[index - 1]
    if dataset.driver != "GTiff" or not 1 < cols < dataset.width:
        return None
    across = range(window.left // cols, -(-window.right // cols))
    down = range(window.top // rows, -(-window.bottom // rows))
    if len(across) * len(down) > _MAX_LOOKUPS:
        return None
    stored = np.ones((window.height, window.width), np.bool_)
    for i in down:
        for j in across:
            if not _has_block(dataset, index, i, j):
                top, left = max(0, i * rows - window.top), max(0, j * cols - window.left)
                stored[top : (i + 1) * rows - window.top, left : (j + 1) * cols - window.left] = False
    return stored


def _has_block(dataset: Dataset, index: int, i: int, j: int) -> bool:
    from rasterio.errors import RasterBlockError

    try:
        return int(dataset.block_size(index, i, j)) > 0
    except RasterBlockError:
        return False
