"""Shared fixtures: where the real data lies, and a user's folder of nobody."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command does, before torch is loaded
# The `banana` of the interpreter that runs the tests, also where its environment was not activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data packs (../shared/data) are not here")
    return folder


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test never sees the settings, the weights or the terminal of whoever runs it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache-home"))
    for name in ("BANANA_WEIGHTS", "BANANA_DEVICE", "BANANA_BUDGET", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
