"""Files of every kind: each gives frames whose stored values are right, or one clear error."""

from __future__ import annotations

import csv
import hashlib
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from banana_adapters.medical import MEDICAL
from banana_adapters.medical.header import header_of, read_dataset
from banana_adapters.medical.pixels import decode
from medical_made import frames_of, options, single

from banana_cli.adapter import Unreadable, read_head
from banana_cli.errors import BananaError
from banana_cli.types import LayerKind

LOSSY = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"}  # decoders differ by rounding
MAX_SECONDS = 10


def rows(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "manifest.csv").open() as file:
        return [r for r in csv.DictReader(file) if (corpus / r["file"]).is_file()]


def outcome(path: Path) -> str:
    """ "frames" or the error's message; any other exception is a defect and goes through."""
    try:
        frames = frames_of(single(path), options(LayerKind.MASKS))
    except BananaError as exc:
        assert exc.message and exc.remedy and "\n" not in exc.message
        return exc.message
    bad = [f for f in frames if isinstance(f, Unreadable)]
    if bad:
        return bad[0].error.message
    assert all(np.isfinite(f.pixels).all() for f in frames)
    return "frames"


def stored_md5(path: Path) -> str:
    """The hash of all frames' stored values, in the byte order of the file as pydicom keeps it."""
    ds = read_dataset(path, pixels=True)
    header = header_of(ds, path)
    frames = [decode(ds, header, k) for k in range(header.frames)]
    stored = np.stack(frames) if len(frames) > 1 else frames[0]
    return hashlib.md5(np.ascontiguousarray(stored).tobytes()).hexdigest()


def check(corpus: Path, step: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in rows(corpus)[::step]:
        path = corpus / row["file"]
        start = time.perf_counter()
        result = outcome(path)
        assert time.perf_counter() - start < MAX_SECONDS, row["file"]
        counts["output" if result == "frames" else "clear error"] += 1
        if result != "frames":
            segmentation = "segmentation" in result
            counts["a segmentation, refused"] += segmentation
            assert row["decode"] != "ok" or segmentation, (row["file"], result)
            continue
        assert MEDICAL.sniff(path, read_head(path)), row["file"]
        if row["decode"] != "ok":
            counts["more than the manifest's reader"] += 1
        elif row["ts"] in LOSSY:
            counts["lossy"] += 1
        elif row["pix_dtype"].startswith(">") and "32x" not in row["pix_shape"]:
            counts["big endian"] += 1
        else:
            assert stored_md5(path) == row["pix_md5"], row["file"]
            counts["md5 equal"] += 1
    return counts


@pytest.mark.timeout(120)
def test_every_eighth_file_of_the_corpus(shared_data):
    counts = check(shared_data / "corpus" / "dicom", 8)
    assert counts["output"] >= 30 and counts["md5 equal"] >= 25


@pytest.mark.slow
def test_the_whole_corpus(shared_data, capsys):
    counts = check(shared_data / "corpus" / "dicom", 1)
    with capsys.disabled():
        print(f"\n{dict(counts)}")  # noqa: T201 - the counts are what this test is run for
    assert counts["output"] + counts["clear error"] == 410
