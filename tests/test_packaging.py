"""What the wheel holds, read from pyproject: all data files of all packages, no tests, no samples."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
TOOL = PYPROJECT["tool"]["setuptools"]
DATA: dict[str, list[str]] = TOOL["package-data"]


def folder_of(package: str) -> Path:
    top, *below = package.split(".")
    return REPOSITORY.joinpath(TOOL["package-dir"].get(top, top), *below)


def data_files(package: str) -> list[Path]:
    """Files that are no modules; caches and other hidden things are nobody's."""
    files = (p for p in folder_of(package).iterdir() if p.is_file() and not p.name.startswith("."))
    return sorted(p for p in files if p.suffix not in (".py", ".pyc"))


@pytest.mark.parametrize("package", TOOL["packages"])
def test_every_data_file_is_packed(package: str) -> None:
    patterns = [*DATA.get(package, ()), *DATA.get("*", ())]
    left_out = [p.name for p in data_files(package) if not any(fnmatch(p.name, g) for g in patterns)]
    assert left_out == []


@pytest.mark.parametrize("package", sorted(DATA))
def test_every_pattern_finds_something(package: str) -> None:
    assert package in TOOL["packages"]
    for pattern in DATA[package]:
        assert list(folder_of(package).glob(pattern)), pattern


def test_the_weights_travel_with_their_index_and_licences() -> None:
    index = tomllib.loads((folder_of("banana_weights") / "index.toml").read_text())
    packed = {p.name for p in data_files("banana_weights")}
    named = {entry["file"] for entry in index["weights"]}
    assert named and packed >= named | {"index.toml", "LICENSES.md"}


def test_types_are_told_and_tests_stay_at_home() -> None:
    for top in ("banana_cli", "banana_adapters"):
        assert (folder_of(top) / "py.typed").is_file()
    assert not {p.split(".")[0] for p in TOOL["packages"]} - {
        "banana_cli",
        "banana_adapters",
        "banana_weights",
    }
    for name in PYPROJECT["project"]["license-files"]:
        assert (REPOSITORY / name).is_file()


def test_every_entry_point_is_in_a_package_that_is_packed() -> None:
    groups = {"scripts": PYPROJECT["project"]["scripts"], **PYPROJECT["project"]["entry-points"]}
    for points in groups.values():
        for target in points.values():
            module = target.partition(":")[0]
            package, _, name = module.rpartition(".")
            inside = folder_of(package) / f"{name}.py" if package in TOOL["packages"] else None
            assert module in TOOL["packages"] or (inside is not None and inside.is_file()), target
