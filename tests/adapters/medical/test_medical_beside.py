"""Which slices are given to the model as neighbours of which."""

from __future__ import annotations

import numpy as np
import pytest
from banana_adapters.medical.beside import with_neighbours
from medical_made import folder_items, frames_of, options, save_series

from banana_cli.adapter import Unreadable
from banana_cli.errors import InputError
from banana_cli.types import LayerKind

MASKS = options(LayerKind.MASKS)


def neighbours(frames):
    return [[other.provenance.index for other in f.beside] for f in frames]


def slices(folder, **where):
    count = len(where.get("offsets", range(5)))
    save_series(folder / "s", np.zeros((count, 6, 7)), **where)
    (item,) = folder_items(folder)
    return frames_of(item, MASKS)


def test_slices_have_those_before_and_after_them(tmp_path):
    frames = slices(tmp_path, step=(0, 0, 3))
    assert neighbours(frames) == [[1], [0, 2], [1, 3], [2, 4], [3]]
    assert not any(other.beside for f in frames for other in f.beside)
    assert frames[1].beside[1].pixels is frames[2].pixels  # so that a model can know it again


@pytest.mark.parametrize(
    "where, expected",
    [
        ({"step": (0, 0, 11)}, [[]] * 5),  # too far apart
        ({"step": (0, 2, 3)}, [[]] * 5),  # a tilted gantry shifts them by two pixels
        ({"step": (0, 0.5, 3)}, [[1], [0, 2], [1, 3], [2, 4], [3]]),
        ({"step": (0, 0, 3), "offsets": [0, 1, 5, 6]}, [[1], [0], [3], [2]]),  # a gap
        ({"step": (0, 0, 3), "Modality": "US"}, [[]] * 5),
    ],
)
def test_only_slices_that_are_close_and_on_the_same_pixels_count(tmp_path, where, expected):
    assert neighbours(slices(tmp_path, **where)) == expected


def test_a_slice_that_cannot_be_read_parts_its_neighbours(tmp_path):
    frames = slices(tmp_path, step=(0, 0, 3))
    bad = Unreadable(index=2, error=InputError("broken", subject="x", remedy="none"))
    items = list(with_neighbours([*frames[:2], bad, *frames[3:]]))
    assert items[2] is bad and neighbours(items[:2] + items[3:]) == [[1], [0], [4], [3]]
