"""The installed command on real files that are wrong: exit codes, two lines, nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from banana_cli.cli.main import main

from .fakes import Fakes

ROOT = str(Path(__file__).resolve().parents[2])


def banana(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["banana", *words], cwd=cwd, capture_output=True, text=True, timeout=120)


def photo(path: Path) -> Path:
    from PIL import Image

    pixels = np.linspace(0, 255, 40 * 64 * 3).reshape(40, 64, 3).astype(np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")
    return path


def parts(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if ".part" in p.name]


def test_every_wrong_file_has_its_two_lines(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello")
    whole = photo(tmp_path / "whole.png").read_bytes()
    (tmp_path / "truncated.png").write_bytes(whole[:20])
    (tmp_path / "header.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\4\0")
    (tmp_path / "head.tif").write_bytes(b"II*\0\x08\0\0\0")
    names = ["missing.png", "empty.mp4", "text.mp4", "truncated.png", "header.dcm", "head.tif"]
    done = banana(tmp_path, "info", *names)
    lines = done.stderr.splitlines()
    assert done.returncode == 4 and done.stdout == "", done.stderr
    assert len(lines) == 2 * len(names)
    for name, first, second in zip(names, lines[::2], lines[1::2], strict=True):
        assert first.startswith(f"banana: {name}: ") and second.startswith("  try: ")
    both = banana(tmp_path, "info", "whole.png", *names)
    assert both.returncode == 3 and "64 x 40 px" in both.stdout


def test_content_and_not_the_suffix_decides(tmp_path: Path) -> None:
    photo(tmp_path / "photo.tif")
    done = banana(tmp_path, "info", "photo.tif")
    assert done.returncode == 0 and "driving" in done.stdout


def test_a_folder_where_a_file_is(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    (tmp_path / "out").write_text("a file")
    done = banana(tmp_path, "segment", "a.png", "-o", "out/deep")
    assert done.returncode == 5 and len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("weights", ["nowhere.safetensors", "junk.safetensors"])
def test_missing_and_foreign_weights(
    tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    photo(tmp_path / "a.png")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    assert main(["segment", "a.png", "--weights", weights]) == 6
    *_, first, second = capsys.readouterr().err.splitlines()
    assert weights in first and second.startswith("  try: ")
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "junk.safetensors"}


def test_debug_shows_the_traceback_and_nothing_else_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "missing", "--debug"]) == 4
    assert "Traceback" in capsys.readouterr().err
    assert main(["info", "missing", "-v"]) == 4
    assert "Traceback" not in capsys.readouterr().err


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    for words in (["info", "a.png"], ["info", "--json", "a.png"], ["--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as closed:
            done = subprocess.run(
                [sys.executable, "-m", "banana_cli", *words],
                cwd=tmp_path,
                stdout=closed,
                stderr=subprocess.PIPE,
                timeout=60,
            )
        assert (done.returncode, done.stderr) == (141, b""), words


_WITH_FAKES = """
import sys
from dataclasses import replace
from banana_cli.cli.main import main
from tests.cli.fakes import Fakes
sys.exit(main(sys.argv[1:], replace(Fakes().world(), stdout=sys.stdout, stderr=sys.stderr)))
"""


@pytest.mark.parametrize(("words", "lines"), [(("-o", "-"), "-\n"), (("-o", "out", "--json"), "")])
def test_a_reader_that_leaves_ends_a_run_quietly(tmp_path: Path, words: tuple[str, ...], lines: str) -> None:
    (tmp_path / "a.clip").write_text("FAKE 4 6 3")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-c", _WITH_FAKES, "segment", "a.clip", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": ROOT},
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (141, lines)
    assert not parts(tmp_path)


_START = """
import sys
class Stop:
    def find_spec(self, name, path, target=None):
        if name == "banana_cli.cli.main":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stop())
from banana_cli.__main__ import entry
entry()
"""
_END = """
import atexit, os, signal, sys
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
sys.argv = ["banana", "--version"]
from banana_cli.__main__ import entry
entry()
"""


@pytest.mark.parametrize(
    ("code", "status", "told"), [(_START, 130, "banana: interrupted\n"), (_END, -signal.SIGINT, "")]
)
def test_interrupts_at_the_start_and_the_end(code: str, status: int, told: str) -> None:
    """Dying of the signal itself is 130 for a shell."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (status, told)


_SLOW = """
import signal, sys
from banana_cli.cli.main import main, _prepare
from tests.cli.fakes import Fakes
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored for the suite
_prepare(loud=False)
fakes = Fakes()
sys.exit(main(["segment", "slow.clip", "-o", "out"], fakes.world()))
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupts_leave_no_part(tmp_path: Path, number: int, status: int) -> None:
    (tmp_path / "slow.clip").write_text("FAKE 4 6 1000 slow=0.05")
    run = subprocess.Popen(
        [sys.executable, "-c", _SLOW], cwd=tmp_path, env={**os.environ, "PYTHONPATH": ROOT}
    )
    deadline = time.monotonic() + 30
    while not parts(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert parts(tmp_path)
    run.send_signal(number)
    assert run.wait(timeout=30) == status
    assert not parts(tmp_path) and not list(tmp_path.glob("out/slow.masks*"))


def test_broken_plugins_are_named_where_they_matter(tmp_path: Path) -> None:
    from dataclasses import replace

    from banana_cli.adapter import Broken

    (tmp_path / "scan.xyz").write_text("nobody's")
    fakes = Fakes()
    broken = (Broken(name="xyz", group="banana.adapters", reason="ImportError: no xyz"),)
    assert main(["info", str(tmp_path / "scan.xyz")], replace(fakes.world(), broken=broken)) == 4
    assert "mend the plugin xyz (ImportError: no xyz)" in fakes.err.getvalue()
