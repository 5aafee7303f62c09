"""Help, version and info are quick: they load no torch and no file library; every verb shows examples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from banana_cli import adapter
from banana_cli.errors import ExitStatus

VERBS = ("segment", "depth", "normals", "tile", "info", "decode", "eval")
HEAVY = "torch av cv2 rasterio highdicom pydicom nibabel PIL rich.progress banana_cli.infer".split()


def loaded_after(*words: str, cwd: Path) -> tuple[int, list[str], str]:
    """Exit status, heavy modules that were loaded, and stdout of a command line in a fresh interpreter."""
    code = (
        "import sys\nfrom banana_cli.cli.main import main\n"
        f"status = main({list(words)!r})\n"
        f"print(*[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, timeout=60)
    return done.returncode, done.stderr.split("\n")[-2].split(), done.stdout


@pytest.mark.parametrize(
    "words", [("--help",), ("--version",), ("segment", "--help"), ("help", "exit-codes")]
)
def test_help_loads_nothing_heavy(words: tuple[str, ...], tmp_path: Path) -> None:
    assert loaded_after(*words, cwd=tmp_path)[:2] == (0, [])


def test_info_and_dry_run_load_no_torch(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (32, 24)).save(tmp_path / "photo.png")
    for words in (("info", "photo.png"), ("segment", "photo.png", "--dry-run")):
        status, heavy, out = loaded_after(*words, cwd=tmp_path)
        assert status == 0 and "photo.png" in out
        assert "torch" not in heavy and "banana_cli.infer" not in heavy


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_examples(verb: str, tmp_path: Path) -> None:
    out = loaded_after(verb, "--help", cwd=tmp_path)[2]
    assert f"banana {verb} " in out.partition("Examples")[2]


def test_entry_point_is_what_it_says() -> None:
    done = subprocess.run(["banana", "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("banana ") and done.returncode == 0


def test_the_topics_are_listed_and_name_all_formats_and_exit_codes(tmp_path: Path) -> None:
    topics = loaded_after("help", cwd=tmp_path)
    assert topics[0] == 0 and "formats" in topics[2]
    said = set(re.findall(r"[\w-]+", loaded_after("help", "formats", cwd=tmp_path)[2]))
    assert said >= set(adapter.formats())
    codes = {
        int(line.split()[0]) for line in loaded_after("help", "exit-codes", cwd=tmp_path)[2].splitlines()
    }
    assert codes >= set(ExitStatus)
