"""The door to GDAL: silent, bounded and local. Everything that opens a raster comes through here."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from banana_cli.errors import InputError, OutputError

from .content import Container

Dataset = Any
"""A rasterio dataset (rasterio has no types)."""

CACHE_BYTES: Final = 256 << 20
MAX_BLOCK_BYTES: Final = 256 << 20
MAX_PIXELS: Final = 1 << 36
_NO_SPACE_BYTES: Final = 1 << 20
READ_REMEDY: Final = "check the file with gdalinfo; if it is damaged, fetch it again"
WRITE_REMEDY: Final = "check free space and permissions of the output folder"

_UNKNOWN_PLACE: Final = re.compile(
    r"[,;]?\s*(?:\b(?:at|on|for|in)\s+)?(?:row|scanline|line|strip|tile|block)\s+(?:4294967295|-1)\b"
)

_SETTINGS: Final[dict[str, object]] = {
    "GDAL_CACHEMAX": CACHE_BYTES,
    "CPL_DEBUG": False,
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE": "SIBLING_OR_CHILD_OF_VRT_PATH",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{noext-none}",
    "GDAL_HTTP_MAX_RETRY": 0,
    "GDAL_HTTP_TIMEOUT": 1,
    "PROJ_NETWORK": "OFF",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GDAL_MAX_DATASET_POOL_SIZE": 64,
    "OSR_USE_NON_DEPRECATED": "NO",
}


def library_errors() -> tuple[type[BaseException], ...]:
    """What GDAL and rasterio raise over a bad file: translated wherever one is touched."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import CRSError, RasterioError

    return (RasterioError, CPLE_BaseError, CRSError, OSError, ValueError, OverflowError, MemoryError)


_REMOTE: Final[dict[str, object]] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_TIMEOUT": 60,
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
    "GDAL_HTTP_USERAGENT": "banana",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": True,
    "VSI_CACHE": True,
}
"""What differs for a file whose address the user named: it alone is fetched, nothing beside it."""


def address(url: str) -> str:
    """An address as GDAL names it."""
    return f"/vsicurl/{url}"


@contextmanager
def gdal_env(url: str | None = None) -> Iterator[None]:
    """GDAL with a bounded cache, no Python in VRTs and nothing printed; no network but for ``url``."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.session import DummySession

    # without any handler Python prints a library's warnings on stderr
    log = logging.getLogger("rasterio")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.Env(session=DummySession(), **_settings(url)):
            yield


def _settings(url: str | None) -> dict[str, object]:
    if url is None:
        return _SETTINGS
    kept = {name: value for name, value in _SETTINGS.items() if name != "CPL_VSIL_CURL_ALLOWED_EXTENSIONS"}
    return {**kept, **_REMOTE, "CPL_VSIL_CURL_ALLOWED_FILENAME": address(url)}


@contextmanager
def reading(subject: str, url: str | None = None) -> Iterator[None]:
    """GDAL's environment, with everything that goes wrong inside turned into an InputError."""
    with gdal_env(url):
        try:
            yield
        except library_errors() as exc:
            raise InputError(first_cause(exc, subject), subject=subject, remedy=READ_REMEDY) from exc


@contextmanager
def writing(subject: str, *, needs: int = 0) -> Iterator[None]:
    """GDAL's environment; what goes wrong becomes an OutputError, also where GDAL only logs it.

    GDAL writes late: a full disk may show first when a file is closed, and then not as an exception.
    It seldom tells a full disk from other trouble, so the free space is compared with the bytes that
    the step ``needs``.
    """
    _silence_libtiff()
    failures = _Failures()
    log = logging.getLogger("rasterio")
    log.addHandler(failures)
    try:
        with gdal_env():
            yield
    except library_errors() as exc:
        raise _unwritten(first_cause(exc, subject), subject, needs) from exc
    finally:
        log.removeHandler(failures)
    if failures.messages:
        raise _unwritten(plain(failures.messages[0], subject), subject, needs)


@cache
def _silence_libtiff() -> None:
    """Take the voice from the libtiff that rasterio brings: it prints, beside what it tells GDAL."""
    import ctypes

    import rasterio

    package = Path(rasterio.__file__).parent
    for path in (*package.parent.glob("rasterio.libs/libtiff*"), *package.glob(".dylibs/libtiff*")):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(str(path)).TIFFSetErrorHandler(None)


def _unwritten(cause: str, subject: str, needs: int) -> OutputError:
    with suppress(OSError):
        if shutil.disk_usage(Path(subject).parent).free < max(needs, _NO_SPACE_BYTES):
            cause = f"cannot write ({os.strerror(errno.ENOSPC)})"
            remedy = "free some space, or name another folder with -o"
            return OutputError(cause, subject=subject, remedy=remedy)
    return OutputError(cause, subject=subject, remedy=WRITE_REMEDY)


class _Failures(logging.Handler):
    """Collects what GDAL reports as errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.messages.append(record.getMessage()[:300])


def first_cause(exc: BaseException, subject: str = "") -> str:
    """One line of the exception at the bottom: the ones above only say "see previous exception"."""
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return plain(str(exc).strip() or type(exc).__name__, subject)


def plain(text: str, subject: str) -> str:
    """The first line of GDAL's message without what the user is told anyway, or should not be.

    That is the file's own name, names of library functions, and numbers that only mean "unknown".
    """
    line = text.strip().splitlines()[0]
    stem, suffix = re.escape(Path(subject).stem), re.escape(Path(subject).suffix)
    name = rf"\.?{stem}(?:\.\d+\.part)?{suffix}(?:\.mosaic)?"  # or its temporary names
    shorter = re.sub(rf"^(?:(?:.*[/\\])?{name}'?[:,]?\s*)+", "", line) if stem else line
    shorter = re.sub(r"^(?:TIFF|_TIFF|VSI)\w+(?:\(\))?:\s*", "", shorter)
    shorter = _UNKNOWN_PLACE.sub("", shorter).strip(" :;,")
    return (shorter or line)[:300]


def open_raster(path: Path | str, container: Container, subject: str) -> Dataset:
    """Open a local raster (or GDAL's name of one) with its own driver only; InputError if it is of no use.

    The caller closes it. Must be called inside ``reading``.
    """
    import rasterio

    name = path.absolute() if isinstance(path, Path) else path
    dataset = rasterio.open(name, driver=container.value)
    try:
        _check_size(dataset, subject)
        _check_blocks(dataset, subject)
    except BaseException:
        dataset.close()
        raise
    return dataset


def _check_size(dataset: Dataset, subject: str) -> None:
    if dataset.count < 1 or min(dataset.shape) < 1:
        raise InputError("holds no raster band", subject=subject, remedy="name a file with pixels")
    if dataset.width * dataset.height > MAX_PIXELS:
        raise InputError(
            f"{dataset.width} x {dataset.height} pixels are more than banana takes in one scene",
            subject=subject,
            remedy="cut the scene, for example with gdal_translate -srcwin",
        )


def _check_blocks(dataset: Dataset, subject: str) -> None:
    """A block is decoded whole, however small the window: refuse what cannot be."""
    import numpy as np

    rows, cols = dataset.block_shapes[0]
    rows, cols = min(rows, dataset.height), min(cols, dataset.width)
    interleaved = dataset.count if _pixel_interleaved(dataset) else 1
    size = rows * cols * interleaved * max(np.dtype(_plain(d)).itemsize for d in dataset.dtypes)
    if size > MAX_BLOCK_BYTES:
        raise InputError(
            f"is stored in blocks of {cols} x {rows} x {interleaved} ({size >> 20} MiB each)",
            subject=subject,
            remedy="store it in tiles first: gdal_translate -of COG IN OUT",
        )


def _pixel_interleaved(dataset: Dataset) -> bool:
    return str(dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE", "PIXEL")).upper() == "PIXEL"


def _plain(dtype: str) -> str:
    return "complex64" if dtype == "complex_int16" else dtype
