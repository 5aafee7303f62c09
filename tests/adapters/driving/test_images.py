"""Photographs: upright, in 0..255, with their camera; and files that lie."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from banana_adapters.driving import DRIVING
from banana_adapters.driving.geometry import CameraSource
from banana_adapters.driving.images import exif_focal_px
from banana_adapters.driving.info import PictureInfo
from banana_adapters.driving.turn import Turn
from PIL import Image, ImageOps

from banana_cli.adapter import SourceInfo, Unreadable, read_head
from banana_cli.errors import InputError, UsageError
from banana_cli.options import ReadOptions, VideoOptions
from banana_cli.types import Frame, LayerKind

ASK = ReadOptions(layers=frozenset(LayerKind))


def read(path: Path, ask: ReadOptions = ASK) -> tuple[SourceInfo, list[Frame | Unreadable]]:
    assert DRIVING.sniff(path, read_head(path))
    (item,) = DRIVING.group([path], root=None)
    with DRIVING.open(item, ask) as source:
        return source.info, list(source)


def frame_of(path: Path) -> Frame:
    _, (frame,) = read(path)
    assert isinstance(frame, Frame)
    return frame


def noise(shape: tuple[int, ...], dtype: type = np.uint8, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.webp"])
def test_lossless_pictures_come_bit_for_bit(name: str, tmp_path: Path) -> None:
    rgb = noise((13, 21, 3))
    Image.fromarray(rgb).save(tmp_path / name, lossless=True)
    frame = frame_of(tmp_path / name)
    assert np.array_equal(frame.pixels, rgb.transpose(2, 0, 1))
    assert frame.valid.all()


def test_a_suffix_is_not_believed(tmp_path: Path) -> None:
    rgb = noise((13, 21, 3))
    Image.fromarray(rgb).save(tmp_path / "a.jpg", format="PNG")
    assert np.array_equal(frame_of(tmp_path / "a.jpg").pixels, rgb.transpose(2, 0, 1))


def test_jpeg_is_close(tmp_path: Path) -> None:
    rgb = np.full((16, 16, 3), (200, 60, 90), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(frame_of(tmp_path / "a.jpg").pixels.mean(axis=(1, 2)) - (200, 60, 90)).max() < 2


@pytest.mark.parametrize("turn", Turn)
def test_exif_orientation(turn: Turn, tmp_path: Path) -> None:
    rgb = noise((6, 9, 3))
    exif = Image.Exif()
    exif[0x0112] = int(turn)
    Image.fromarray(rgb).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    info, (frame,) = read(tmp_path / "a.png")
    assert isinstance(frame, Frame)
    assert info.shape == frame.shape == upright.shape[:2]
    assert np.array_equal(frame.pixels, upright.transpose(2, 0, 1))


@pytest.mark.parametrize("turn", Turn)
def test_display_matrices_are_the_same_turns(turn: Turn) -> None:
    from banana_adapters.driving.turn import from_display_matrix

    # Where pixel (x, y) goes, read off the turned picture, must be the matrix.
    size = 4
    numbers = np.arange(size * size).reshape(size, size)
    turned = turn.apply(numbers)

    def goes(x: int, y: int) -> np.ndarray:
        row, col = np.argwhere(turned == numbers[y, x])[0]
        return np.array([col, row])

    a, b = goes(1, 0) - goes(0, 0)
    c, d = goes(0, 1) - goes(0, 0)
    matrix = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], "<i4")
    assert from_display_matrix(matrix.tobytes()) is turn


def test_alpha_is_validity(tmp_path: Path) -> None:
    rgba = noise((9, 11, 4))
    rgba[..., 3] = 255
    rgba[2:4, 3:5, 3] = 0
    rgba[6, 6, 3] = 1
    Image.fromarray(rgba).save(tmp_path / "a.png")
    frame = frame_of(tmp_path / "a.png")
    assert np.array_equal(frame.valid, rgba[..., 3] > 0)
    assert np.array_equal(frame.pixels, rgba[..., :3].transpose(2, 0, 1))


def test_grey_palette_and_bilevel(tmp_path: Path) -> None:
    grey = noise((8, 8))
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(frame_of(tmp_path / "grey.png").pixels, np.stack([grey] * 3))
    picture = Image.fromarray(grey % 4)
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    picture.save(tmp_path / "palette.png", transparency=2)
    frame = frame_of(tmp_path / "palette.png")
    assert np.array_equal(frame.pixels[0], (grey % 4) * 30.0 + 10)
    assert np.array_equal(frame.valid, grey % 4 != 2)
    Image.fromarray(grey > 99).save(tmp_path / "two.png")
    assert np.array_equal(frame_of(tmp_path / "two.png").pixels[1], (grey > 99) * 255.0)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_kept(channels: int, tmp_path: Path) -> None:
    array = noise((7, 9, channels), np.uint16)
    if channels == 4:
        array[..., 3] = np.where(array[..., 3] > 30000, 65535, 0)
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), array)
    frame = frame_of(path)
    rgb = array[..., 2::-1] if channels > 1 else np.repeat(array, 3, axis=2)
    assert np.abs(frame.pixels - rgb.transpose(2, 0, 1) / 257.0).max() < 1e-3
    assert np.array_equal(frame.valid, array[..., 3] > 0 if channels == 4 else np.ones((7, 9), bool))


def test_focal_length_from_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 28
    Image.fromarray(noise((300, 400, 3))).save(tmp_path / "a.jpg", exif=exif)
    info, _ = read(tmp_path / "a.jpg")
    assert isinstance(info, PictureInfo)
    # 28 mm on 43.27 mm of film, 500 px of picture.
    assert info.camera.focal_px() == pytest.approx(28 / 43.2666 * 500, rel=1e-4)
    assert info.camera.source is CameraSource.EXIF


def test_focal_length_from_the_sensor() -> None:
    # 4 mm behind 800 pixels a millimetre; the picture is half the sensor's size.
    tags: dict[int, object] = {0x920A: 4.0, 0xA20E: 800.0, 0xA210: 4, 0xA002: 4000}
    assert exif_focal_px(tags, 2000, 1500) == pytest.approx(1600.0)
    assert exif_focal_px({0xA405: 0, 0x920A: 4.0}, 2000, 1500) is None
    assert exif_focal_px({0xA405: float("nan")}, 2000, 1500) is None


@pytest.mark.parametrize("part", [{"start_s": 1.0}, {"fps": 5.0}, {"vid_stride": 2}, {"audio": False}])
def test_options_of_video_are_refused(part: dict[str, float], tmp_path: Path) -> None:
    Image.fromarray(noise((4, 4, 3))).save(tmp_path / "a.png")
    with pytest.raises(UsageError):
        read(tmp_path / "a.png", ReadOptions(layers=frozenset(), video=VideoOptions(**part)))


def test_a_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    for side in (15_000, 60_000):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        path = tmp_path / "bomb.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
        with pytest.raises(InputError):
            read(path)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_bomb_that_does_unpack_is_refused_too(bits: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    flat = np.zeros((6000, 6000), np.uint8 if bits == 8 else np.uint16)
    assert cv2.imwrite(str(path), flat)
    assert path.stat().st_size < 300_000
    (item,) = DRIVING.group([path], root=None)
    with pytest.raises(InputError, match="no photograph"):
        DRIVING.inspect(item, ASK)


def test_a_large_picture_is_no_bomb(tmp_path: Path) -> None:
    # Above the size where Pillow begins to warn.
    path = tmp_path / "wide.png"
    Image.new("L", (30_000, 3_100)).save(path, compress_level=0)
    (item,) = DRIVING.group([path], root=None)
    assert DRIVING.inspect(item, ASK).shape == (3_100, 30_000)


def test_a_broken_picture_is_a_value(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        Image.fromarray(noise((64, 64, 3))).save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        _, (item,) = read(tmp_path / name)
        assert isinstance(item, Unreadable)
        assert isinstance(item.error, InputError)


@pytest.mark.parametrize(
    "head",
    [
        b"II*\0" + bytes(200),
        b"MM\0*" + bytes(200),
        bytes(128) + b"DICM" + bytes(64),
        b"\xff\xd8\xff" + bytes(125) + b"DICM",
        b"\0\0\0\x18ftypheic" + bytes(64),
        b"\0\0\0\x18ftypM4A " + bytes(64),
        b"BM is short for benchmark, and this is a text",
        b"G" + bytes(1000),
        b"%PDF-1.7",
        b"",
    ],
)
def test_other_peoples_files_are_left_alone(head: bytes) -> None:
    assert not DRIVING.sniff(Path("a.mp4"), head)


def test_flawed_exif_is_passed_over_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\x7f\x06\0\0\0\0\0\0\0"
    Image.fromarray(noise((8, 8, 3))).save(path, exif=exif)
    assert frame_of(path).shape == (8, 8)  # a warning is an error here
