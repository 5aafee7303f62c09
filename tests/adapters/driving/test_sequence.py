"""Numbered pictures as one clip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from banana_adapters.driving import DRIVING
from banana_adapters.driving.info import VideoInfo
from banana_adapters.driving.sinks import FRAMES, MKV, MP4
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from banana_cli.adapter import Unreadable, numbered
from banana_cli.inputs import Readers, find
from banana_cli.options import Done, ReadOptions, VideoOptions
from banana_cli.types import Frame, LayerKind

from .clips import Recipe, frames_of, make, picture
from .fakes import job, part_of, predict


def save(path: Path, index: int, size: tuple[int, int] = (20, 30)) -> Path:
    Image.fromarray(picture(index, size)).save(path)
    return path


def clip(pattern: Path, **ask: object) -> tuple[VideoInfo, list[Frame | Unreadable]]:
    (item,) = DRIVING.group([pattern], root=None)
    done = ask.pop("done", None)
    read = ReadOptions(layers=frozenset(), video=VideoOptions(**ask), done=done)
    with DRIVING.open(item, read) as source:
        info = source.info
        assert isinstance(info, VideoInfo)
        assert DRIVING.inspect(item, read) == info
        return info, list(source)


def indices(frames: list[Frame | Unreadable]) -> list[int]:
    return [f.index if isinstance(f, Unreadable) else f.provenance.index for f in frames]


def times(frames: list[Frame | Unreadable]) -> list[float | None]:
    return [f.provenance.time_s for f in frames if isinstance(f, Frame)]


def test_pictures_come_in_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (12, 9, 10, 11):
        save(tmp_path / f"cam {number:04d}.png", number)
    (tmp_path / "cam 00011.png.txt").write_text("no")
    info, frames = clip(tmp_path / "cam %04d.png")
    assert (info.item.stem, info.kind, info.frames, info.shape) == ("cam", "image sequence", 4, (20, 30))
    assert indices(frames) == [9, 10, 11, 12]
    assert times(frames) == [0, 0.04, 0.08, 0.12]
    for frame, number in zip(frames, (9, 10, 11, 12), strict=True):
        assert isinstance(frame, Frame)
        assert np.array_equal(frame.pixels, picture(number, (20, 30)).transpose(2, 0, 1))
    assert any("25 pictures a second" in n for n in info.notices)


def test_a_gap_in_the_numbers_is_a_gap_in_time(tmp_path: Path) -> None:
    for number in (1, 2, 5):
        save(tmp_path / f"{number}.png", number)
    info, frames = clip(tmp_path / "%d.png", fps=10.0)
    assert times(frames) == [0, 0.1, 0.4] and not info.notices
    assert info.item.stem == tmp_path.name


def test_parts_and_what_was_done(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path / f"{number:03d}.png", number)
    pattern = tmp_path / "%03d.png"
    assert indices(clip(pattern, start_s=0.2, end_s=0.4)[1]) == [5, 6, 7, 8, 9]
    assert indices(clip(pattern, vid_stride=7)[1]) == [0, 7, 14]
    assert indices(clip(pattern, vid_stride=7, done=Done(index=7, clean=True))[1]) == [14]


def test_bad_and_odd_pictures_are_values(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", number)
    save(tmp_path / "1.png", 1, (20, 31))
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:60])
    _, frames = clip(tmp_path / "%d.png")
    assert [type(f) for f in frames] == [Frame, Unreadable, Unreadable, Frame]
    assert indices(frames) == [0, 1, 2, 3]


def test_what_banana_writes_keeps_its_times(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe(pts=[0, 512, 600, 2000]))
    (item,) = DRIVING.group([path], root=None)
    with DRIVING.open(item, ReadOptions(layers=frozenset())) as source:
        with FRAMES.open(part_of(tmp_path, ""), job(source.info, LayerKind.NORMALS)) as sink:
            for frame in source:
                assert isinstance(frame, Frame)
                sink.write(frame, predict(frame))
            sink.finish()
    info, frames = clip(part_of(tmp_path, "") / "%06d.png")
    assert times(frames) == [float(t) for t, _ in frames_of(path)]
    assert info.time_base == Fraction(1, 15360)


@pytest.mark.parametrize("form", [MP4, MKV], ids=lambda f: f.name)
def test_a_clip_is_made_of_them(form: object, tmp_path: Path) -> None:
    for number in range(5):
        save(tmp_path / f"{number}.png", number)
    info, frames = clip(tmp_path / "%d.png", fps=30000 / 1001)
    out = part_of(tmp_path, f".{form.name}")
    with form.open(out, job(info, LayerKind.MASKS)) as sink:
        for frame in frames:
            assert isinstance(frame, Frame)
            sink.write(frame, predict(frame))
        sink.finish()
    got = [t for t, _ in frames_of(out)]
    step = 1 / Fraction(30000 / 1001).limit_denominator(1_000_000)
    assert [round(t / step) for t in got] == [0, 1, 2, 3, 4]
    assert {size for _, size in frames_of(out)} == {(20, 30)}


def test_the_command_line_finds_them(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"f{number}.png", number)
    readers = Readers(adapters={"driving": DRIVING})
    finding = find([str(tmp_path / "f%d.png")], readers)
    assert [len(f.item.paths) for f in finding.found] == [3] and not finding.failed
    assert find([str(tmp_path / "g%d.png")], readers).failed
    (tmp_path / "f%d.png").write_bytes((tmp_path / "f1.png").read_bytes())
    finding = find([str(tmp_path / "f%d.png")], readers)
    assert [len(f.item.paths) for f in finding.found] == [1]  # a file of that very name


@given(st.integers(0, 12), st.lists(st.integers(0, 10**8), min_size=1, unique=True, max_size=5))
def test_every_number_that_the_pattern_prints_is_found(width: int, numbers: list[int]) -> None:
    import tempfile

    pattern = f"a.%0{width}d.b" if width else "a.%d.b"
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            Path(folder, pattern % number).touch()
        assert [n for n, _ in numbered(Path(folder, pattern))] == sorted(numbers)
