"""Photographs: PNG, JPEG, WebP and BMP, upright and in 0..255 whatever their depth."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from banana_cli.adapter import InputItem, Unreadable
from banana_cli.errors import InputError, UsageError, translate
from banana_cli.options import ReadOptions, VideoOptions
from banana_cli.types import F32, Bool, Domain, Frame, Json, LayerKind, Modality, Provenance

from .geometry import FILM_DIAGONAL_MM, find_camera
from .info import BANDS, MAX_PIXELS, VIEWS, PictureInfo
from .turn import from_exif

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
# A frame of as many pixels takes 0.3 GB. Real pictures of that size have less than 20 pixels a byte.
_LARGE_PIXELS, _MOST_PIXELS_A_BYTE = 25_000_000, 60
_REMEDY = "open it with another program; if it is broken, copy or export it again"
_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
_FOCAL_MM, _FOCAL_35MM = 0x920A, 0xA405
_PLANE_X, _PLANE_UNIT, _PIXELS_X = 0xA20E, 0xA210, 0xA002
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}


@dataclass(frozen=True, slots=True)
class PictureSource:
    """An open photograph: one frame."""

    info: PictureInfo

    def __iter__(self) -> Iterator[Frame | Unreadable]:
        """The one frame, or why it cannot be decoded."""
        try:
            with _border(self.info.item.subject):
                pixels, valid = _decode(self.info)
        except InputError as exc:
            yield Unreadable(index=0, error=exc)
            return
        yield Frame(
            pixels=np.ascontiguousarray(self.info.turn.apply(pixels)),
            valid=np.ascontiguousarray(self.info.turn.apply(valid)),
            bands=BANDS,
            views=VIEWS,
            modality=Modality.STREET,
            geometry=self.info.camera,
            provenance=Provenance(source=self.info.item.stem, index=0),
        )


@contextmanager
def open_picture(item: InputItem, options: ReadOptions) -> Iterator[PictureSource]:
    """Open a photograph. InputError if it cannot be read; UsageError for options of video."""
    yield PictureSource(inspect_picture(item, options))


def inspect_picture(item: InputItem, options: ReadOptions) -> PictureInfo:
    """What a photograph is, from its header."""
    _refuse_video_options(options.video, item.subject)
    with _border(item.subject), _header(item) as picture:
        # Asked for what a PNG's header lacks, Pillow would decode all of the picture to look behind it.
        absent = picture.format == "PNG" and "exif" not in picture.info
        exif = Image.Exif() if absent else picture.getexif()
        turn = from_exif(exif.get(_ORIENTATION))
        shape = turn.shape((picture.height, picture.width))
        focal = exif_focal_px(exif.get_ifd(_EXIF_IFD), max(picture.size), min(picture.size))
        frames = getattr(picture, "n_frames", 1) if picture.format != "MPO" else 1
        mode, kind = picture.mode, str(picture.format)
        bits = 16 if mode.startswith("I;16") or _png_bits(item) == 16 else 8
    camera, notices = find_camera(item.paths[0], shape, options.camera, exif_focal=focal)
    if frames > 1:
        notices = (*notices, f"the first of {frames} pictures is read")
    facts: dict[str, Json] = {
        "container": kind,
        "mode": mode,
        "bits": bits,
        "turn": turn.name.lower(),
        "camera": camera.describe(),
    }
    return PictureInfo(
        item=item,
        domain=Domain.DRIVING,
        modality=Modality.STREET,
        kind="picture",
        shape=shape,
        frames=1,
        formats=dict.fromkeys(LayerKind, "png"),
        facts=facts,
        notices=notices,
        path=item.paths[0],
        turn=turn,
        bits=bits,
        camera=camera,
    )


def _refuse_video_options(part: VideoOptions, subject: str) -> None:
    if part != VideoOptions(bonnet=part.bonnet):
        raise UsageError(
            "--start, --end, --fps, --vid-stride, --no-audio and --no-steady cannot act on a picture",
            subject=subject,
            remedy="leave them out, or run the pictures apart from the clips",
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Pillow warns of flawed EXIF, and of sizes from half of its limit on; ours is the limit itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _border(subject: str) -> Iterator[None]:
    with (
        _silent(),
        translate(
            UnidentifiedImageError,
            OSError,
            SyntaxError,  # Pillow's word for a broken PNG
            ValueError,
            MemoryError,
            cv2.error,
            Image.DecompressionBombError,
            to=InputError,
            subject=subject,
            remedy=_REMEDY,
        ),
    ):
        yield


@contextmanager
def _header(item: InputItem) -> Iterator[Image.Image]:
    """The picture with its header read and its size checked; nothing is decoded."""
    with Image.open(item.paths[0], formats=_FORMATS) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise InputError(
                f"{picture.width}x{picture.height} is more than {MAX_PIXELS} pixels",
                subject=item.subject,
                remedy="scale it down first",
            )
        _refuse_bomb(item, picture.width * picture.height)
        yield picture


def _refuse_bomb(item: InputItem, pixels: int) -> None:
    """InputError for a large picture in a file so small that it can only be one colour, or an attack."""
    size = item.paths[0].stat().st_size
    if pixels > _LARGE_PIXELS and pixels > size * _MOST_PIXELS_A_BYTE:
        raise InputError(
            f"{pixels} pixels in {size} bytes are no photograph; it is not unpacked",
            subject=item.subject,
            remedy="leave it out, or scale it down with another program",
        )


def _png_bits(item: InputItem) -> int:
    with item.paths[0].open("rb") as file:
        head = file.read(25)
    return head[24] if head.startswith(b"\x89PNG") and len(head) == 25 else 8


def _decode(info: PictureInfo) -> tuple[F32, Bool]:
    """((3, H, W) float32 in 0..255, (H, W) valid) as stored, not yet turned."""
    if info.bits == 16:
        return _decode_deep(info)
    with _header(info.item) as picture:
        clear = picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info
        rgba = np.asarray(picture.convert("RGBA" if clear else "RGB"))
    pixels = np.ascontiguousarray(rgba[..., :3].transpose(2, 0, 1), dtype=np.float32)
    valid = rgba[..., 3] > 0 if clear else np.ones(rgba.shape[:2], np.bool_)
    return pixels, valid


def _decode_deep(info: PictureInfo) -> tuple[F32, Bool]:
    # Pillow cuts 16-bit colour to 8 bits, OpenCV keeps it.
    data = np.frombuffer(info.path.read_bytes(), np.uint8)
    array = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if array is None:
        raise InputError("the picture cannot be decoded", subject=info.item.subject, remedy=_REMEDY)
    channels = array.reshape(*array.shape[:2], -1)
    alpha = channels[..., 3] if channels.shape[2] == 4 else None
    rgb = np.repeat(channels, 3, axis=2) if channels.shape[2] == 1 else channels[..., 2::-1]
    pixels = np.ascontiguousarray(rgb.transpose(2, 0, 1), dtype=np.float32)
    pixels *= np.float32(255.0 / np.iinfo(array.dtype).max)
    return pixels, np.ones(array.shape[:2], np.bool_) if alpha is None else alpha > 0


def exif_focal_px(tags: dict[int, object], long_side: int, short_side: int) -> float | None:
    """Focal length in pixels from EXIF: the 35 mm equivalent, else length and sensor; or None."""
    film = _number(tags.get(_FOCAL_35MM))
    if film is not None:
        return film / FILM_DIAGONAL_MM * math.hypot(long_side, short_side)
    focal, density = _number(tags.get(_FOCAL_MM)), _number(tags.get(_PLANE_X))
    unit = tags.get(_PLANE_UNIT, 2)
    unit_mm = _UNIT_MM.get(unit) if isinstance(unit, int) else None
    if focal is None or density is None or unit_mm is None:
        return None
    # The density counts the sensor's pixels; the picture may be scaled.
    original = _number(tags.get(_PIXELS_X)) or long_side
    return focal * density / unit_mm * long_side / max(original, 1.0)


def _number(value: object) -> float | None:
    """A positive finite number (EXIF writes 0 for unknown and 0/0 for nonsense)."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None
