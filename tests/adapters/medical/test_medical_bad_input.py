"""Whatever the file: frames, or one clear error; never another exception."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
from banana_adapters.medical import MEDICAL
from medical_made import dataset, frames_of, options, save, save_series, single
from pydicom.uid import DeflatedExplicitVRLittleEndian

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


def test_a_segmentation_is_no_picture(tmp_path):
    path = save(tmp_path / "a.dcm", PIXELS, SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", Modality="SEG")
    assert "segmentation" in failure(path).message


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
    start = time.perf_counter()
    assert failure(save(tmp_path / "a.dcm", PIXELS, **tags)).message
    assert time.perf_counter() - start < 2


def test_a_bad_slice_does_not_end_the_series(tmp_path):
    paths = save_series(tmp_path / "s", np.zeros((6, 8, 8)))
    paths[2].write_bytes(paths[2].read_bytes()[:-40])
    (item,) = MEDICAL.group(paths, root=tmp_path)
    frames = frames_of(item)
    assert [isinstance(f, Unreadable) for f in frames] == [k == 2 for k in range(6)]
    (surface,) = frames_of(item, options(LayerKind.DEPTH))
    assert isinstance(surface, Unreadable) and "truncated" in surface.error.message


def test_a_dicomdir_is_refused_by_name(tmp_path):
    path = save(tmp_path / "DICOMDIR", PIXELS, SOPClassUID="1.2.840.10008.1.3.10")
    assert "DICOMDIR" in failure(path).message


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
