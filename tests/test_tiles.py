"""The grid of tiles: every pixel is answered for, an identity stays one, blocks agree with the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from banana_cli.tiles import Grid, Mosaic, overlap_of
from banana_cli.types import ShapeError, Window


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    tile = draw(st.integers(4, 24))
    shape = (draw(st.integers(1, 90)), draw(st.integers(1, 90)))
    return Grid(shape=shape, tile=tile, overlap=draw(st.integers(0, tile // 2)))


def whole(shape: tuple[int, int]) -> Window:
    return Window(top=0, left=0, height=shape[0], width=shape[1])


def picture(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(grids())
def test_stitching_what_was_cut_is_the_identity(grid: Grid) -> None:
    scene = picture(grid.shape)
    mosaic = Mosaic(whole(grid.shape), channels=2)
    for tile in grid.tiles():
        mosaic.add(tile, scene[:, *tile.seen.slices()])
    assert mosaic.covered().all()
    assert np.allclose(mosaic.result(), scene, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(grids())
def test_weights_are_positive_and_add_up_to_one(grid: Grid) -> None:
    total = np.zeros(grid.shape)
    for tile in grid.tiles():
        weights = tile.weights()
        assert (weights > 0).all()
        total[tile.answers.slices()] += weights
    assert np.allclose(total, 1, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(grids())
def test_tiles_lie_on_the_global_grid_and_inside_the_scene(grid: Grid) -> None:
    for tile in grid.tiles():
        for span, length in ((tile.rows, grid.shape[0]), (tile.cols, grid.shape[1])):
            assert 0 <= span.start <= span.first < span.last <= span.stop <= length
            assert span.first % grid.stride == 0
            assert span.stop - span.start <= grid.tile
            assert span.stop - span.start > min(grid.tile, length) - max(grid.overlap, 1)
    corners = [(t.seen.top, t.seen.left) for t in grid.tiles()]
    assert len(set(corners)) == len(corners)


def distorted(tile_values: np.ndarray) -> np.ndarray:
    """A model whose answer depends on where a pixel lies in its tile, as a network's does."""
    rows, cols = np.indices(tile_values.shape[1:])
    return (tile_values + np.sin(rows) * 0.3 + np.cos(cols) * 0.1 + tile_values.mean()).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(grids(), st.integers(1, 3), st.data())
def test_a_block_of_the_scene_equals_the_whole(grid: Grid, many: int, data: st.DataObject) -> None:
    assume(min(grid.shape) > 1)
    scene, step = picture(grid.shape), many * grid.stride
    full = Mosaic(whole(grid.shape), channels=2)
    for tile in grid.tiles():
        full.add(tile, distorted(scene[:, *tile.seen.slices()]))
    top = data.draw(st.integers(0, (grid.shape[0] - 1) // step)) * step
    left = data.draw(st.integers(0, (grid.shape[1] - 1) // step)) * step
    core = Window(
        top=top, left=left, height=min(step, grid.shape[0] - top), width=min(step, grid.shape[1] - left)
    )
    top, left = max(0, core.top - grid.stride), max(0, core.left - grid.stride)
    block = Window(
        top=top,
        left=left,
        height=min(core.bottom + grid.stride, grid.shape[0]) - top,
        width=min(core.right + grid.stride, grid.shape[1]) - left,
    )
    part = Mosaic(core, channels=2)
    for tile in grid.tiles(core):
        assert overlap_of(tile.seen, block) == tile.seen, "the halo must hold every tile of the core"
        part.add(tile, distorted(scene[:, *block.slices()][:, *tile.seen.within(block).slices()]))
    assert np.array_equal(part.result(), full.result()[:, *core.slices()])


def test_an_impossible_grid_is_refused() -> None:
    for wrong in (
        {"shape": (0, 3)},
        {"shape": (9, 9), "tile": 0},
        {"shape": (9, 9), "tile": 8, "overlap": 5},
    ):
        with pytest.raises(ShapeError):
            Grid(**wrong)  # type: ignore[arg-type]


def test_windows_that_only_touch_share_nothing() -> None:
    a = Window(top=0, left=0, height=4, width=4)
    assert overlap_of(a, Window(top=4, left=0, height=2, width=2)) is None
    assert overlap_of(a, Window(top=3, left=2, height=9, width=1)) == Window(top=3, left=2, height=1, width=1)
