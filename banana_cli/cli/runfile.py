"""``run.json``: what closes a run in its output folder."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from banana_cli import sidecar
from banana_cli.cli.console import Console
from banana_cli.pipeline import SOFTWARE, RunResult
from banana_cli.types import Json

_LIBRARIES = ("numpy", "torch", "av", "highdicom", "pydicom", "rasterio", "opencv-python-headless")


def run_name(shard: str | None) -> str:
    """run.json, or one name a shard, so that shards do not replace each other's."""
    return "run.json" if shard is None else f"run.{shard.replace('/', '-of-')}.json"


def write(
    folder: Path, options: Mapping[str, Json], result: RunResult, *, shard: str | None, console: Console
) -> None:
    """Write or replace the folder's run.json; a file of that name that is not ours is left alone."""
    path = folder / run_name(shard)
    if path.exists() and sidecar.read(path) is None:
        console.notice(str(path), "is not banana's, so this run has no record")
        return
    sidecar.write(path, _facts(folder, options, result), overwrite=True)


def _facts(folder: Path, options: Mapping[str, Json], result: RunResult) -> dict[str, object]:
    total = result.total
    return {
        "schema": sidecar.RUN_SCHEMA,
        "software": SOFTWARE,
        "versions": {"python": platform.python_version(), **_versions()},
        "options": options,
        "outputs": [_relative(o.path, folder) for o in result.outputs],
        "failures": [
            {"input": Path(f.subject).name, "error": f.error.message, "remedy": f.error.remedy}
            for f in result.failures
        ],
        "frames_done": total.done,
        "frames_failed": total.failed,
        "tokens_kept": total.tokens_kept(),
        "seconds": {k: round(v, 6) for k, v in sorted(total.seconds.items())},
        "exit_status": int(result.status),
    }


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
