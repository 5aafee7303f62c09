"""What the shipped weights must not get wrong on real frames, whatever their scores are."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from banana_cli.classes import STREET
from banana_cli.infer import Engine
from banana_cli.types import LayerKind, Mask, Modality
from tests.conftest import REPOSITORY
from tests.glass import Camera, frame_of

WEIGHTS = REPOSITORY / "weights/banana-nano.safetensors"


def picture(clip: Path, place: int) -> np.ndarray:
    """(3, H, W) in [0, 1]."""
    with av.open(str(clip)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == place:
                return frame.to_ndarray(format="rgb24").transpose(2, 0, 1) / np.float32(255)
    raise ValueError(f"{clip} has no frame {place}")


@pytest.mark.parametrize(
    "name", ["samples/solidWhiteRight", "roadwork/clips/boston", "roadwork/clips/houston"]
)
def test_the_road_ahead_is_no_sky(name: str, shared_data: Path) -> None:
    """Smooth asphalt in coarse tokens was taken for sky as long as these shared a chunk with those of sky."""
    frame = frame_of(picture(shared_data / f"driving/{name}.mp4", 10), Modality.STREET, camera=Camera())
    mask = Engine.load(WEIGHTS).predict(frame, frozenset({LayerKind.MASKS})).get(Mask)
    low = mask.ids[int(0.65 * mask.ids.shape[0]) :]
    assert (low == STREET.id_of("sky")).mean() < 0.001
    assert (low == STREET.id_of("road")).mean() > 0.4
