"""Outputs appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from banana_cli import atomic, sidecar
from banana_cli.atomic import Staged, final_name, part_name
from banana_cli.errors import ExitStatus, OutputError


def names(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*")}


def test_part_is_hidden_beside_with_the_same_suffix(tmp_path: Path) -> None:
    part = part_name(tmp_path / "a.masks.tif", pid=7)
    assert part == tmp_path / ".a.masks.7.part.tif"
    assert part_name(Path("x/a.masks"), pid=7).parent == Path("x")


@pytest.mark.parametrize("name", ["a.masks.tif", "x/a.masks", "a", "a b.7.part.png", "frames.masks.d"])
def test_a_part_knows_its_final_name(name: str) -> None:
    assert final_name(part_name(Path(name))) == Path(name)
    assert final_name(Path(name)) == Path(name)


def test_commit_renames_with_companions(tmp_path: Path) -> None:
    final = tmp_path / "new" / "a.tif"
    with Staged(final) as staged:
        staged.part.write_text("body")
        Path(f"{staged.part}.aux.xml").write_text("side")
        assert not final.exists()
        staged.commit()
    assert names(tmp_path / "new") == {"a.tif", "a.tif.aux.xml"}
    assert final.read_text() == "body"


def test_leaving_without_commit_removes_everything(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Staged(tmp_path / "a.tif") as staged:
        staged.part.write_text("half")
        Path(f"{staged.part}.aux.xml").write_text("side")
        raise ZeroDivisionError
    with Staged(tmp_path / "folder") as staged:
        (staged.part / "deep").mkdir(parents=True)
        (staged.part / "deep" / "x").write_text("half")
    assert names(tmp_path) == set()


def test_folder_is_replaced_only_if_banana_wrote_it(tmp_path: Path) -> None:
    final = tmp_path / "a.masks"
    final.mkdir()
    (final / "diary.txt").write_text("mine")
    with pytest.raises(OutputError, match="did not write"):
        Staged(final, overwrite=True)
    side = tmp_path / "a.masks.json"
    side.write_text('{"annotations": "also mine"}')  # a foreign file of that name proves nothing
    with pytest.raises(OutputError, match="did not write"):
        Staged(final, overwrite=True)
    side.write_text(sidecar.dumps({"schema": sidecar.OUTPUT_SCHEMA}))
    with Staged(final, overwrite=True) as staged:
        staged.part.mkdir()
        (staged.part / "0.png").write_text("new")
        staged.commit()
    assert names(tmp_path) == {"a.masks", "a.masks.json", "a.masks/0.png"}


def test_refuses_to_overwrite_before_and_at_the_rename(tmp_path: Path) -> None:
    final = tmp_path / "a.png"
    with Staged(final) as staged:
        staged.part.write_text("ours")
        final.write_text("came meanwhile")
        with pytest.raises(OutputError, match="exists already"):
            staged.commit()
    assert final.read_text() == "came meanwhile" and names(tmp_path) == {"a.png"}
    with pytest.raises(OutputError, match="exists already"):
        Staged(final)
    with Staged(final, overwrite=True) as staged:
        staged.part.write_text("ours")
        staged.commit()
    assert final.read_text() == "ours"


def test_a_dangling_link_is_something_that_exists(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"):
        Staged(tmp_path / "a.png")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_system_errors_become_output_errors(tmp_path: Path, code: int) -> None:
    with pytest.raises(OutputError) as caught, atomic.writing(tmp_path / "a.png"):
        raise OSError(code, os.strerror(code))
    assert caught.value.status is ExitStatus.CANNOT_WRITE
    assert caught.value.subject == str(tmp_path / "a.png") and os.strerror(code) in caught.value.message


def test_a_parent_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        Staged(tmp_path / "file" / "deep" / "a.png")
    with pytest.raises(OutputError, match="is a file"):
        atomic.refuse_unwritable(tmp_path / "file" / "deep")


def test_a_failed_rename_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = tmp_path / "a.masks"
    final.mkdir()
    (final / "old.png").write_text("old")
    (tmp_path / "a.masks.json").write_text(sidecar.dumps({"schema": sidecar.OUTPUT_SCHEMA}))
    real = os.replace

    def fails_on_the_part(source: Path, target: Path) -> None:
        if Path(target) == final and Path(source).name.endswith(".part.masks"):
            raise OSError(errno.EIO, "I/O error")
        real(source, target)

    with Staged(final, overwrite=True) as staged:
        staged.part.mkdir()
        (staged.part / "new.png").write_text("new")
        monkeypatch.setattr(os, "replace", fails_on_the_part)
        with pytest.raises(OutputError, match="I/O error"):
            staged.commit()
    assert names(tmp_path) == {"a.masks", "a.masks/old.png", "a.masks.json"}


def test_what_a_killed_run_left_beside_its_part_goes_too(tmp_path: Path) -> None:
    final, dead = tmp_path / "s.masks.tif", part_name(tmp_path / "s.masks.tif", 2**22 + 1)
    alive = part_name(final, os.getppid())
    left = [dead, dead.with_name(dead.name + ".mosaic"), dead.with_name(dead.name + ".aux.xml")]
    kept = [
        alive.with_name(alive.name + ".mosaic"),
        tmp_path / ".s.masks.2.part.json",
        tmp_path / "s.tif.mosaic",
    ]
    for path in (*left[1:], *kept):
        path.write_text("x")
    with Staged(final):
        assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
