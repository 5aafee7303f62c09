"""Files of every kind: each gives frames whose stored values are right, or one clear error."""

from __future__ import annotations

import csv
import hashlib
import math
import time
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from banana_adapters.medical import MEDICAL, codecs
from banana_adapters.medical.codecs import jpeg_decoder
from banana_adapters.medical.frames import open_file
from banana_adapters.medical.header import read_header
from banana_adapters.medical.sinks import DCM
from medical_made import frames_of, options, single, write

from banana_cli.adapter import Unreadable, read_head
from banana_cli.errors import BananaError
from banana_cli.types import LayerKind

# Decoders of lossy JPEG round their cosine transform unlike; the manifest's is GPL and an extra of ours.
LOSSY = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"}
MAX_SECONDS = 10
MAX_BYTES = 2**24
MAX_BYTES_A_PIXEL = 64  # three colours in float32, twice, and as they were stored


def rows(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "manifest.csv").open() as file:
        return [r for r in csv.DictReader(file) if (corpus / r["file"]).is_file()]


def outcome(path: Path) -> str:
    """ "frames" or the error's message; any other exception is a defect and goes through."""
    try:
        frames = [f for item in MEDICAL.group([path], root=None) for f in frames_of(item, MASKS)]
    except BananaError as exc:
        assert exc.message and exc.remedy and "\n" not in exc.message
        return exc.message
    bad = [f for f in frames if isinstance(f, Unreadable)]
    if bad:
        return bad[0].error.message
    assert frames and all(np.isfinite(f.pixels).all() for f in frames)
    return "frames"


MASKS = options(LayerKind.MASKS)


def stored(path: Path) -> np.ndarray:
    """All frames' stored values."""
    file = open_file(read_header(path))
    try:
        frames = [file.stored(k) for k in range(file.header.frames)]
    finally:
        file.close()
    return np.stack(frames) if len(frames) > 1 else frames[0]


def md5(pixels: np.ndarray, dtype: str) -> str:
    """As the manifest has it: in the byte order of the file, as pydicom keeps it."""
    return hashlib.md5(np.ascontiguousarray(pixels.astype(dtype, copy=False)).tobytes()).hexdigest()


def check(corpus: Path, step: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in rows(corpus)[::step]:
        path = corpus / row["file"]
        start = time.process_time()
        result, memory = bounded(path)
        assert time.process_time() - start < MAX_SECONDS, row["file"]
        assert memory < MAX_BYTES + MAX_BYTES_A_PIXEL * claimed(row), (row["file"], memory)
        counts["output" if result == "frames" else "clear error"] += 1
        if row["decode"] == "ok":
            assert result == "frames", (row["file"], result)
            counts[compared(path, row)] += 1
        elif result == "frames":
            counts["more than the manifest's reader"] += 1
        if result == "frames":
            assert MEDICAL.sniff(path, read_head(path)), row["file"]
    return counts


def bounded(path: Path) -> tuple[str, int]:
    """The outcome, and the most memory that arrays, bytes and objects took on the way."""
    tracemalloc.start()
    try:
        return outcome(path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def claimed(row: dict[str, str]) -> int:
    sizes = [row[name] or "1" for name in ("Rows", "Columns", "NumberOfFrames")]
    return math.prod(int(size) if size.isdigit() else 0 for size in sizes) if row["Rows"] else 0


def compared(path: Path, row: dict[str, str]) -> str:
    pixels = stored(path)
    assert "x".join(map(str, pixels.shape)) == row["pix_shape"], row["file"]
    if md5(pixels, row["pix_dtype"]) == row["pix_md5"]:
        return "md5 equal"
    assert jpeg_decoder(row["ts"]) == "libjpeg-turbo", row["file"]
    return "lossy JPEG, rounded otherwise"


@pytest.mark.timeout(120)
def test_every_eighth_file_of_the_corpus(shared_data):
    counts = check(shared_data / "corpus" / "dicom", 8)
    assert counts["output"] >= 33 and counts["md5 equal"] >= 30


@pytest.mark.slow
def test_the_whole_corpus(shared_data, capsys):
    counts = check(shared_data / "corpus" / "dicom", 1)
    with capsys.disabled():
        print(f"\n{dict(counts)}")  # noqa: T201 - the counts are what this test is run for
    assert counts["output"] + counts["clear error"] == 410
    assert counts["md5 equal"] + counts["lossy JPEG, rounded otherwise"] == 302
    assert counts["md5 equal"] >= (302 if exact() else 282)


def exact() -> bool:
    """Whether the extra `dicom-exact` is installed."""
    return jpeg_decoder("1.2.840.10008.1.2.4.50") == "libjpeg"


@pytest.mark.skipif(not exact(), reason="the extra dicom-exact is not installed")
def test_with_the_extra_every_lossy_jpeg_is_exact(shared_data):
    corpus = shared_data / "corpus" / "dicom"
    lossy = [row for row in rows(corpus) if row["ts"] in LOSSY and row["decode"] == "ok"]
    assert len(lossy) >= 20
    assert Counter(compared(corpus / row["file"], row) for row in lossy) == {"md5 equal": len(lossy)}


def test_what_the_extra_refuses_is_decoded_without_it(shared_data, monkeypatch):
    """As if it were installed: pydicom then finds no such decoder, which is a refusal like any other."""
    path = shared_data / "corpus/dicom/pydicom__pydicom/src/pydicom/data/test_files/SC_rgb_jpeg_dcmtk.dcm"
    plain = stored(path)
    monkeypatch.setattr(codecs, "jpeg_decoder", lambda _: "libjpeg")
    monkeypatch.setattr(codecs, "_EXACT", "none of pydicom's")
    assert np.abs(stored(path).astype(int) - plain).max() <= (3 if exact() else 0)


def test_the_facts_name_the_decoder_of_a_lossy_picture(shared_data):
    folder = shared_data / "corpus/dicom/pydicom__pydicom/src/pydicom/data/test_files"
    said = [
        MEDICAL.inspect(single(folder / name), MASKS).facts.get("jpeg_decoder")
        for name in ("SC_rgb_jpeg_dcmtk.dcm", "CT_small.dcm")
    ]
    assert said == ["libjpeg" if exact() else "libjpeg-turbo", None]


def test_lossy_jpeg_of_8_bits_is_what_another_decoder_says(shared_data):
    """Pillow's, to one level of the grey pictures and three of colour (twelve where chroma is halved)."""
    corpus, seen = shared_data / "corpus" / "dicom", 0
    for row in rows(corpus):
        if row["ts"] not in LOSSY or row["BitsStored"] != "8" or row["decode"] != "ok":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(corpus / row["file"])
            decoder = pydicom.pixels.get_decoder(row["ts"])
            other = decoder.as_array(ds, decoding_plugin="pillow")[0].astype(int)
        away = np.abs(stored(corpus / row["file"]).astype(int) - other)
        assert away.max() <= 3 and away.mean() < 0.05, row["file"]
        seen += 1
    assert seen >= 18


def test_lossy_jpeg_of_12_bits_is_the_picture_that_was_compressed(shared_data):
    folder = shared_data / "corpus/dicom/pydicom__pylibjpeg-data/ljdata/ds"
    lossy = stored(folder / "JPEGExtended/RG2_JPLY_fixed.dcm").astype(float)
    plain = stored(folder / "JPEGLS/RG2_JLSN.dcm").astype(float)
    assert np.corrcoef(lossy.ravel(), plain.ravel())[0, 1] > 0.995
    assert abs(lossy - plain).mean() < 8


def test_a_dicomdir_stands_for_the_files_that_it_lists(shared_data):
    folder = shared_data / "corpus/dicom/pydicom__pydicom/src/pydicom/data/test_files/dicomdirtests"
    items = MEDICAL.group([folder / "DICOMDIR"], root=None)
    listed = {path for item in items for path in item.paths}
    assert len(listed) == 31 and all(path.is_file() for path in listed)
    assert max(len(item.paths) for item in items) > 1
    (empty,) = MEDICAL.group([folder / "DICOMDIR-empty.dcm"], root=None)
    with pytest.raises(BananaError, match="DICOMDIR"):
        MEDICAL.inspect(empty, MASKS)
    assert not any(isinstance(f, Unreadable) for item in items for f in frames_of(item, MASKS))


@pytest.mark.parametrize("name", ["sparse-labelmap-noppv.dcm", "sparse-labelmap-ppv5.dcm"])
def test_a_label_map_named_itself_can_be_written_as_dicom(shared_data, tmp_path, name):
    path = shared_data / "corpus/dicom/QIICR__dcmqi/data/segmentations" / name
    written = write(single(path), tmp_path / "out", MASKS, (DCM,))
    assert pydicom.dcmread(written["masks.dcm"][0]).NumberOfFrames >= 1


def test_a_segmentation_named_itself_is_read_with_a_warning(shared_data):
    folder = shared_data / "corpus/dicom/ImagingDataCommons__highdicom/data/test_files"
    info = MEDICAL.inspect(single(folder / "seg_image_ct_binary.dcm"), MASKS)
    assert any("segmentation" in notice for notice in info.notices)
