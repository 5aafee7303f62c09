"""Every `banana` command that the README shows is run, in order, as a user would type it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY


def shell_lines(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("banana ")]


def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    commands = shell_lines((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    assert len(commands) >= 10
    (tmp_path / "samples").symlink_to(REPOSITORY / "samples")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    quick = [c.replace("dashcam.mp4 ", "dashcam.mp4 --end 1 ") for c in commands]
    script = "set -eo pipefail\n" + "\n".join(quick)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for name in (
        "out/dashcam.depth.mp4",
        "out/scene.masks.tif",
        "out2/scene.masks.geojson",
        "out3/piped.png",
    ):
        assert (tmp_path / name).stat().st_size > 0
