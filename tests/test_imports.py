"""Who may import whom, as a table; and that pyproject lists the packages that are there."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"banana_cli": ROOT / "banana_cli", "banana_adapters": ROOT / "adapters"}

# A module imports only modules of a lower level (a package is one module).
LEVEL = {
    "__version__": 0,
    "types": 0,
    "errors": 0,
    "heap": 0,
    "clock": 0,
    "events": 1,
    "options": 1,
    "classes": 1,
    "specs": 1,
    "tiles": 1,
    "fit": 1,
    "codec": 1,
    "layers": 1,
    "votes": 1,
    "pieces": 1,
    "runs": 1,
    "instances": 2,
    "tracking": 1,
    "ahead": 1,
    "address": 1,
    "growing": 1,
    "atomic": 1,
    "weights_index": 1,
    "adapter": 2,
    "intake": 2,
    "attention": 2,
    "model": 2,
    "worlds": 2,
    "recall": 2,
    "paint": 3,
    "keep": 3,
    "sidecar": 3,
    "jobs": 3,
    "work": 3,
    "tasks": 4,
    "metrics": 4,
    "inputs": 4,
    "outputs": 4,
    "pipeline": 5,
    "plan": 6,
    "follow": 6,
    "infer_decode": 5,
    "infer_asked": 5,
    "infer": 6,
    "infer_video": 7,
    "infer_volume": 8,
    "bench": 8,
    "bench_memory": 1,
    "bench_scored": 7,
    "bench_walk": 7,
    "export": 5,
    "train": 7,
    "cli": 9,
    "__main__": 10,
}
FOR_ADAPTERS = {
    "instances",
    "pieces",
    "runs",
    "types",
    "errors",
    "adapter",
    "options",
    "classes",
    "events",
    "codec",
    "paint",
    "atomic",
    "tiles",
    "__version__",
    "growing",
}
# The walk takes the model as a value; it must not know where it comes from.
NEVER = {"pipeline": {"model", "tasks", "infer"}, "cli": {"model", "train", "worlds"}}

LIBRARIES = {
    "torch": {
        "model",
        "infer",
        "infer_video",
        "infer_volume",
        "infer_decode",
        "train",
        "bench",
        "bench_memory",
    },
    "onnxruntime": {"model"},
    "safetensors": {"model", "train"},
    "typer": {"cli"},
    "rich": {"cli"},
    "click": set(),
    "timm": {"train"},
    "tqdm": {"cli", "train"},
    "av": {"driving", "train"},
    "pydicom": {"medical"},
    "highdicom": {"medical"},
    "nibabel": {"medical"},
    "imagecodecs": {"medical"},
    "rasterio": {"satellite"},
    "shapely": {"satellite"},
    "pmtiles": {"satellite"},
    "morecantile": {"satellite"},
    "PIL": {"common", "driving", "satellite"},
    "cv2": {
        "bench_walk",
        "common",
        "driving",
        "medical",
        "satellite",
        "model",
        "train",
        "worlds",
        "instances",
        "votes",
        "metrics",
    },
    "pycocotools": {"metrics", "runs"},
    "scipy": {"tracking"},
}
ANYWHERE = {"numpy"}


def modules() -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of every module."""
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            yield ".".join(parts).removesuffix(".__init__"), path


def imported(name: str, path: Path, source: str) -> Iterator[str]:
    """Absolute dotted names that a module imports, inside functions too."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base == "banana_cli":
                yield from (f"banana_cli.{alias.name}" for alias in node.names)
            else:
                yield base


def trespasses(name: str, path: Path, source: str) -> list[str]:
    """What a module imports and should not."""
    package, _, rest = name.partition(".")
    own = rest.split(".")[0] or "__version__"
    found = []
    for target in imported(name, path, source):
        top, _, below = target.partition(".")
        other = below.split(".")[0]
        if top in ("banana_adapters", "adapters"):
            bad = package != "banana_adapters" or (other != own and own != "__version__")
        elif top == "banana_cli" and package == "banana_adapters":
            bad = other not in FOR_ADAPTERS
        elif top == "banana_cli":
            bad = other != own and (LEVEL[other] >= LEVEL[own] or other in NEVER.get(own, ()))
        elif top in LIBRARIES:
            bad = own not in LIBRARIES[top]
        else:
            bad = top not in ANYWHERE and top not in sys.stdlib_module_names
        if bad:
            found.append(f"{name} imports {target}")
    return found


def test_nobody_imports_above_or_beside() -> None:
    everything = list(modules())
    assert len(everything) > 40
    assert [t for name, path in everything for t in trespasses(name, path, path.read_text())] == []


def test_one_module_alone_knows_the_second_runtime() -> None:
    found = [
        name
        for name, path in modules()
        if any(t.split(".")[0] == "onnxruntime" for t in imported(name, path, path.read_text()))
    ]
    assert found == ["banana_cli.model.runtime_onnx"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("banana_cli.pipeline", "import rich"),
        ("banana_cli.pipeline", "from banana_cli.infer import Engine"),
        ("banana_cli.types", "import torch"),
        ("banana_cli.errors", "from banana_cli import cli"),
        ("banana_cli.cli.run", "def f():\n    import torch"),
        ("banana_cli.tasks.depth", "import rasterio"),
        ("banana_cli.inputs", "import banana_adapters.driving"),
        ("banana_adapters.medical.header", "from banana_cli.model.net import BananaNet"),
        ("banana_adapters.medical.header", "from ..satellite import scene"),
        ("banana_adapters.satellite.scene", "import requests"),
    ],
)
def test_the_table_catches(name: str, line: str) -> None:
    assert trespasses(name, Path("x.py"), line)


def test_pyproject_lists_the_packages_that_are_there() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {name for name, path in modules() if path.name == "__init__.py"}
    assert sorted(listed) == sorted(there | {"banana_weights"})
