"""A series of a usual size, by the command itself with its weights: time and memory."""

from __future__ import annotations

import resource
import subprocess

import numpy as np
import pytest
from medical_made import save_series

SLICES, SIDE = 60, 512
MAX_CPU_SECONDS, MAX_BYTES = 30, 1.5e9  # of one core; two that are free take less by the clock


def body() -> np.ndarray:
    """(slices, rows, columns) HU: an ellipse of tissue in a skin of fat, bone and lungs in it, noise."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    rng = np.random.default_rng(0)
    slices = []
    for k in range(SLICES):
        radius = np.hypot(x / 0.8, y / (0.6 + 0.002 * k))
        hu = np.select([radius < 0.85, radius < 1], [40, -100], -1000)
        hu[np.hypot(abs(x) - 0.35, y + 0.1) < 0.2] = -850
        hu[np.hypot(x, y - 0.35) < 0.08] = 700
        slices.append(hu + rng.normal(0, 12, hu.shape))
    return np.stack(slices)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sixty_slices_take_seconds_and_little_memory(tmp_path):
    save_series(tmp_path / "ct", body(), step=(0, 0, 3), PixelSpacing=[0.8, 0.8])
    words = ["banana", "segment", tmp_path / "ct", "--with", "depth,normals", "--format", "dcm"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(w) for w in (*words, "-o", tmp_path / "out")], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert {p.name for p in (tmp_path / "out").glob("*.dcm")} == {
        f"ct.{layer}.dcm" for layer in ("masks", "depth", "normals")
    }
    assert spent < MAX_CPU_SECONDS and after.ru_maxrss * 1024 < MAX_BYTES, (spent, after.ru_maxrss)
