"""The corpus of 649 TIFF files of every kind: each gives frames or one clear error."""

from __future__ import annotations

import csv
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import psutil
import pytest
from banana_adapters.satellite import SATELLITE
from scenery import item_of, options

from banana_cli.adapter import Unreadable, read_head
from banana_cli.errors import InputError
from banana_cli.types import Frame

MOST_FRAMES = 12
LONGEST_S = 20.0  # of this process: a hang is caught by the suite's own limit


def outcome(path: Path, row: dict[str, str]) -> str:
    """ "frames", "partly", "unreadable" or "error"; anything else that is raised fails the test."""
    if not SATELLITE.sniff(path, read_head(path)):
        return "not ours"
    try:
        with SATELLITE.open(item_of(path), options()) as source:
            found = list(islice(source, MOST_FRAMES))
            if row["result"] == "ok" and "warped" not in source.info.facts:
                assert source.info.shape == (int(row["height"]), int(row["width"])), path
    except InputError as exc:
        assert exc.message and exc.remedy and "Traceback" not in exc.message
        return "error"
    bad = sum(isinstance(f, Unreadable) for f in found)
    assert all(f.pixels.shape[1:] == f.valid.shape for f in found if isinstance(f, Frame))
    return "frames" if not bad else "unreadable" if bad == len(found) else "partly"


def walk(folder: Path, step: int) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    start = psutil.Process().memory_info().rss
    with (folder / "index.csv").open() as file:
        rows = list(csv.DictReader(file))[::step]
    for row in rows:
        began = time.process_time()
        result = row["result"] if row["result"] in ("ok", "huge") else "broken"
        # a VRT opens without its sources, which the corpus lacks
        result = "lacks sources" if row["driver"] == "VRT" else result
        counts[result, outcome(folder / row["file"], row)] += 1
        assert time.process_time() - began < LONGEST_S, row["file"]
        assert psutil.Process().memory_info().rss - start < 700 << 20, row["file"]
    return counts


def check(counts: Counter[tuple[str, str]]) -> None:
    assert {seen for result, seen in counts if result == "ok"} == {"frames"}
    assert {seen for result, seen in counts if result == "lacks sources"} <= {"error"}
    assert {seen for result, seen in counts if result == "broken"} <= {"error", "unreadable", "frames"}
    # the one that has no tiles at all is an empty scene, not a broken one
    assert counts["broken", "frames"] <= 1


def test_every_tenth_file(shared_data: Path) -> None:
    check(walk(shared_data / "corpus" / "geotiff", 10))


@pytest.mark.slow
def test_every_file(shared_data: Path) -> None:
    counts = walk(shared_data / "corpus" / "geotiff", 1)
    check(counts)
    assert counts["ok", "frames"] == 597
