"""Whatever the file: frames, or one clear error; never another exception."""

from __future__ import annotations

import io
import shutil
import time
import tracemalloc

import numpy as np
import pytest
from banana_adapters.medical import MEDICAL
from banana_adapters.medical.frames import open_file
from banana_adapters.medical.header import read_header
from imagecodecs import jpeg2k_encode
from medical_made import dataset, frames_of, options, save, save_series, single
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit

from banana_cli.adapter import Unreadable, read_head
from banana_cli.errors import BananaError, InputError
from banana_cli.types import LayerKind

PIXELS = np.arange(64 * 64, dtype=np.int16).reshape(64, 64)


def failure(path) -> BananaError:
    """The one error that reading a file ends with."""
    try:
        frames = frames_of(single(path))
    except InputError as exc:
        return exc
    (bad,) = frames
    assert isinstance(bad, Unreadable)
    return bad.error


def test_sniffing_goes_by_content(tmp_path):
    whole = save(tmp_path / "picture.jpg", PIXELS)
    assert MEDICAL.sniff(whole, read_head(whole))
    bare = tmp_path / "bare"
    bare.write_bytes(whole.read_bytes()[132:])
    assert MEDICAL.sniff(bare, read_head(bare))
    for junk in (
        b"",
        b"just some text, renamed to .dcm",
        b"II*\0" + bytes(200),
        b"\x89PNG\r\n\x1a\n" + bytes(200),
    ):
        assert not MEDICAL.sniff(tmp_path / "x.dcm", junk)


def test_a_file_without_preamble_reads_alike(tmp_path):
    whole = save(tmp_path / "whole.dcm", PIXELS)
    bare = tmp_path / "bare.dcm"
    bare.write_bytes(whole.read_bytes()[132:])
    np.testing.assert_array_equal(frames_of(single(bare))[0].pixels[0], PIXELS)


@pytest.mark.parametrize("content", [b"", b"text renamed to dcm\n" * 50, b"\0" * 500, b"\xff" * 5000])
def test_what_is_no_dicom(tmp_path, content):
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    error = failure(path)
    assert error.subject == str(path) and error.remedy and "\n" not in error.message


def test_a_missing_file(tmp_path):
    assert "No such file" in failure(tmp_path / "none.dcm").message


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files(tmp_path, keep):
    path = save(tmp_path / "a.dcm", PIXELS)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    assert failure(path).message


def test_no_pixels(tmp_path):
    ds = dataset(PIXELS, Modality="SR", Rows=None, Columns=None)
    del ds.PixelData
    ds.save_as(tmp_path / "sr.dcm", enforce_file_format=True)
    assert "holds no pixels" in failure(tmp_path / "sr.dcm").message
    ds = dataset(PIXELS)
    del ds.PixelData
    ds.save_as(tmp_path / "empty.dcm", enforce_file_format=True)
    assert "holds no pixels" in failure(tmp_path / "empty.dcm").message


@pytest.mark.parametrize(
    "tags",
    [
        {"Rows": 65535, "Columns": 65535},
        {"NumberOfFrames": 2_000_000_000},
        {"Rows": 6000, "Columns": 6000},
        {"SamplesPerPixel": 7},
        {"Rows": 0},
    ],
)
def test_absurd_claims_are_refused_before_memory_is_taken(tmp_path, tags):
    start = time.process_time()
    assert failure(save(tmp_path / "a.dcm", PIXELS, **tags)).message
    assert time.process_time() - start < 2


def test_a_header_that_claims_a_gigabyte_takes_none(tmp_path):
    path = save(tmp_path / "a.dcm", np.zeros((8, 8), np.int16), ImageComments="x" * 10)
    head, tail = path.read_bytes().split(b"\x20\x00\x00\x40LT\x0a\x00", 1)
    path.write_bytes(head + b"\x20\x00\x00\x40UT\0\0" + (2**30).to_bytes(4, "little") + tail)
    failure(path)  # what is imported on the way is not counted
    tracemalloc.start()
    failure(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_a_bad_slice_does_not_end_the_series(tmp_path):
    paths = save_series(tmp_path / "s", np.zeros((6, 8, 8)))
    paths[2].write_bytes(paths[2].read_bytes()[:-40])
    (item,) = MEDICAL.group(paths, root=tmp_path)
    frames = frames_of(item)
    assert [isinstance(f, Unreadable) for f in frames] == [k == 2 for k in range(6)]
    (surface,) = frames_of(item, options(LayerKind.DEPTH))
    assert isinstance(surface, Unreadable) and "truncated" in surface.error.message


def test_a_dicomdir_that_lists_nothing_says_so(tmp_path):
    path = save(tmp_path / "DICOMDIR", PIXELS, SOPClassUID="1.2.840.10008.1.3.10")
    assert "DICOMDIR: it lists no files" in failure(path).message


def compressed(path, stream: bytes, syntax: str, **tags):
    """A file that says it is 64 x 64, around a codestream that may say otherwise."""
    ds = dataset(np.zeros((64, 64), np.uint8), **tags)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"
    ds.save_as(path, enforce_file_format=True)
    return path


def jpeg(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def j2k(pixels: np.ndarray) -> bytes:
    return jpeg2k_encode(pixels, codecformat="j2k", reversible=True)


@pytest.mark.parametrize(
    "syntax, encode", [(JPEG2000Lossless, j2k), (JPEGBaseline8Bit, jpeg)], ids=["j2k", "jpeg"]
)
def test_a_codestream_larger_than_its_header_is_refused_before_it_is_decoded(
    tmp_path, monkeypatch, syntax, encode
):
    good = compressed(tmp_path / "good.dcm", encode(np.full((64, 64), 9, np.uint8)), syntax)
    assert abs(frames_of(single(good))[0].pixels - 9).max() < 1
    bomb = compressed(tmp_path / "bomb.dcm", encode(np.zeros((2048, 1024), np.uint8)), syntax)
    monkeypatch.setattr("banana_adapters.medical.frames.get_decoder", None)
    monkeypatch.setattr("banana_adapters.medical.codecs.find", None)
    assert "decodes to 2048 x 1024, its header says 64 x 64" in failure(bomb).message


def test_a_jpeg_picture_without_its_end_is_not_filled_up_with_grey(tmp_path):
    stream = jpeg(np.random.default_rng(1).integers(0, 255, (64, 64)).astype(np.uint8))
    path = compressed(tmp_path / "a.dcm", stream[: len(stream) // 2], JPEGBaseline8Bit)
    assert "no end" in failure(path).message


def test_frames_are_read_one_at_a_time(tmp_path):
    path = save(tmp_path / "a.dcm", np.arange(64 * 256 * 256, dtype=np.uint32).reshape(64, 256, 256) % 4000)
    file = open_file(read_header(path))
    tracemalloc.start()
    try:
        for k in (63, 0, 31):
            assert file.stored(k)[0, 0] == k * 65536 % 4000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        file.close()
    assert peak < 4 * 256 * 256 * 4 < path.stat().st_size / 10


def test_a_mosaic_is_refused_clearly(tmp_path):
    path = save(tmp_path / "a.dcm", PIXELS, Modality="MR", ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    with pytest.raises(InputError, match="mosaic") as caught:
        MEDICAL.inspect(single(path), options())
    assert "dcm2niix" in caught.value.remedy


def test_flipped_bytes_never_crash(tmp_path):
    good = save(tmp_path / "good.dcm", PIXELS, WindowCenter=40, WindowWidth=400).read_bytes()
    rng = np.random.default_rng(11)
    for k in range(150):
        data = bytearray(good)
        for _ in range(rng.integers(1, 6)):
            data[rng.integers(128, 1200)] = rng.integers(256)
        path = tmp_path / f"{k}.dcm"
        path.write_bytes(data)
        try:
            frames_of(single(path), options())
            MEDICAL.inspect(single(path), options())
        except BananaError as exc:
            assert exc.message and exc.remedy


def test_no_permission_or_a_folder(tmp_path):
    (tmp_path / "folder.dcm").mkdir()
    assert failure(tmp_path / "folder.dcm").message
    shutil.rmtree(tmp_path / "folder.dcm")


def test_a_small_file_that_inflates_without_end_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.dcm"
    ds = dataset(np.zeros((64, 64), np.uint16))
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    assert len(frames_of(single(path))) == 1
    monkeypatch.setattr("banana_adapters.medical.header.MAX_INFLATED_BYTES", 4096)
    with pytest.raises(InputError, match="deflated"):
        frames_of(single(path))


def test_millions_of_claimed_frames_are_refused_before_they_are_planned(tmp_path):
    path = save(tmp_path / "a.dcm", np.zeros((1, 1), np.uint16), NumberOfFrames=50_000_000)
    with pytest.raises(InputError, match="too many"):
        MEDICAL.inspect(single(path), options())
