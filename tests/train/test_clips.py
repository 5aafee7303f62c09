"""Frames of clips for self-training; held-out cities stay closed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from banana_cli.errors import InputError
from banana_cli.train.clips import CLIPS_FOLDER, frames_of, training_clips
from banana_cli.train.splits import HELD_OUT_CITIES
from tests.train.clipdata import greys, make_data


def test_frames_in_order_and_no_held_out_city(tmp_path: Path) -> None:
    data = make_data(tmp_path, {"boston": greys(11), "austin": greys(3)})
    clips = training_clips(data)
    assert [c.stem for c in clips] == ["austin", "boston"]
    assert {p.stem for p in (data / CLIPS_FOLDER).iterdir()} == {"austin", "boston", *HELD_OUT_CITIES}
    frames = list(frames_of(clips[1]))
    assert {(f.shape, f.dtype.name) for f in frames} == {((48, 64, 3), "uint8")}
    assert np.allclose([f.mean() for f in frames], 20 * np.arange(11), atol=8)


def test_a_broken_clip_and_no_clip_are_errors(tmp_path: Path) -> None:
    broken = tmp_path / "austin.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(InputError, match="austin"):
        list(frames_of(broken))
    with pytest.raises(InputError, match="no clips"):
        training_clips(tmp_path / "nowhere")
