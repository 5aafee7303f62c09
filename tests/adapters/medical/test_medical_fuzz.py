"""Mutated files: an output or one clear error within seconds; no crash, no file outside the output folder."""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from medical_fuzz import mutated
from test_medical_identity import banana

MAX_SECONDS = 10
MAX_SEED_BYTES = 200_000
BATCH = 100
MAX_MEMORY = 3 * 2**30


def seeds(shared: Path) -> list[bytes]:
    """One small file of each kind: transfer syntax, photometric interpretation, bits, frames or one."""
    folder = shared / "corpus" / "dicom"
    kinds: dict[tuple[str, ...], Path] = {}
    with (folder / "manifest.csv").open() as file:
        for row in csv.DictReader(file):
            path = folder / row["file"]
            if row["px"] == "[]" or not path.is_file() or path.stat().st_size > MAX_SEED_BYTES:
                continue
            many = str(row["NumberOfFrames"] not in ("", "1"))
            key = (row["ts"], row["PhotometricInterpretation"], row["BitsAllocated"], many)
            kinds.setdefault(key, path)
    return [path.read_bytes() for _, path in sorted(kinds.items())]


def attempt(data: bytes, number: int, folder: Path) -> tuple[int, float]:
    """Exit status of a run over one file, and its seconds; anything outside ``folder/out`` is a defect."""
    source = folder / "in" / f"{number}.dcm"
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(data)
    start = time.process_time()  # of a busy machine the wall clock tells nothing
    formats = "dcm" if number % 3 == 0 else "npy,png"
    words = ["segment", source, "--with", "depth,normals", "--domain", "medical", "--format", formats]
    status, said = banana(*words, "--overwrite", "-o", folder / "out")
    seconds = time.process_time() - start
    assert "Traceback" not in said and status in (0, 2, 3, 4), (number, status, said)
    source.unlink()
    return status, seconds


def fuzz(given: list[bytes], numbers: range, folder: Path) -> Counter[int]:
    statuses: Counter[int] = Counter()
    for number in numbers:
        status, seconds = attempt(mutated(given, number), number, folder)
        assert seconds < MAX_SECONDS, (number, seconds)
        statuses[status] += 1
    assert {p.name for p in folder.iterdir()} <= {"in", "out"} and not list((folder / "in").iterdir())
    return statuses


def test_mutations_are_always_the_same_and_differ():
    given = [bytes(range(256)) * 20]
    made = [mutated(given, k) for k in range(30)]
    assert made == [mutated(given, k) for k in range(30)] and len(set(made)) > 20


def test_sixty_mutated_files(shared_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    statuses = fuzz(seeds(shared_data), range(0, 2000, 34), tmp_path)
    assert statuses[0] >= 5 and statuses[4] >= 10


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_thousand_mutated_files(shared_data, tmp_path, capsys):
    """In batches, each a process of its own with bounded memory: a decoder that crashes takes it along."""
    statuses: Counter[int] = Counter()
    for start in range(0, 2000, BATCH):
        folder = tmp_path / str(start)
        folder.mkdir()
        words = [sys.executable, "-W", "error::ResourceWarning", __file__, shared_data, start, folder]
        done = subprocess.run(
            [str(w) for w in words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (start, done.returncode, done.stderr[-3000:])
        statuses.update(
            {int(k): int(n) for k, n in (w.split("=") for w in done.stdout.split()[-1].split(","))}
        )
    with capsys.disabled():
        print(f"\nexit statuses of mutated files: {dict(statuses)}")  # noqa: T201
    assert sum(statuses.values()) == 2000


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    shared, first, folder = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    counts = fuzz(seeds(shared), range(first, first + BATCH), folder)
    print(",".join(f"{k}={n}" for k, n in counts.items()))  # noqa: T201
