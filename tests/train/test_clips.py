"""Frames of clips for self-training; held-out cities stay closed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from banana_cli.errors import InputError
from banana_cli.train.clips import CLIPS, extract_clips
from banana_cli.train.splits import HELD_OUT_CITIES


def write_clip(path: Path, greys: list[int]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.bit_rate = 2_000_000
        for grey in greys:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), grey, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / CLIPS).mkdir(parents=True)
    write_clip(tmp_path / CLIPS / "boston.mp4", [20 * i for i in range(11)])
    for city in HELD_OUT_CITIES:
        (tmp_path / CLIPS / f"{city}.mp4").write_bytes(b"would fail if it were opened")
    return tmp_path


def test_every_nth_frame_of_the_other_cities(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    assert extract_clips(data, out, every=4) == {"boston": 3}
    frames = np.load(out / "boston.npy")
    assert frames.shape == (3, 48, 64, 3)
    assert frames.dtype == np.uint8
    assert np.allclose(frames.mean(axis=(1, 2, 3)), [0, 80, 160], atol=8)
    assert sorted(p.name for p in out.iterdir()) == ["boston.npy"]


def test_what_is_there_is_kept(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    extract_clips(data, out, every=4)
    stamp = (out / "boston.npy").stat().st_mtime_ns
    assert extract_clips(data, out, every=4) == {"boston": 3}
    assert (out / "boston.npy").stat().st_mtime_ns == stamp


def test_a_broken_clip_and_no_clip_are_errors(data: Path, tmp_path: Path) -> None:
    (data / CLIPS / "austin.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="austin"):
        extract_clips(data, tmp_path / "frames")
    with pytest.raises(InputError, match="no clips"):
        extract_clips(tmp_path / "nowhere", tmp_path / "frames")
