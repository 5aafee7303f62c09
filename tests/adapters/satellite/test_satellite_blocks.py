"""Blocks: cores partition the scene, and their windows hold every tile that the engine will ask for."""

from __future__ import annotations

import numpy as np
from banana_adapters.satellite.blocks import Tiling, block_count, blocks
from hypothesis import example, given, settings
from hypothesis import strategies as st

from banana_cli.tiles import Grid

SIZES = st.one_of(
    st.integers(1, 600), st.integers(1, 12_000), st.sampled_from([1792, 1793, 2240, 2241, 4032, 4033])
)
TILINGS = st.sampled_from(
    [Tiling(), Tiling(tile=256, overlap=32), Tiling(tile=1024, overlap=64), Tiling(tile=128, overlap=64)]
)


@settings(max_examples=60, deadline=None)
@given(rows=SIZES, cols=SIZES, tiling=TILINGS)
def test_cores_cover_each_pixel_once(rows: int, cols: int, tiling: Tiling) -> None:
    seen = np.zeros((rows, cols), np.uint8)
    found = list(blocks((rows, cols), tiling))
    for block in found:
        seen[block.core.slices()] += 1
    assert (seen == 1).all()
    assert [b.index for b in found] == list(range(block_count((rows, cols), tiling)))


@settings(max_examples=300, deadline=None)
@given(length=st.integers(1, 30_000), tiling=TILINGS)
@example(length=2241, tiling=Tiling())
def test_windows_hold_every_tile_of_their_core(length: int, tiling: Tiling) -> None:
    """Along one axis; the grid is a product of two."""
    grid = Grid(shape=(1, length), tile=tiling.tile, overlap=tiling.overlap)
    for block in blocks((1, length), tiling):
        for tile in grid.tiles(block.core):
            assert block.window.left <= tile.seen.left, (block, tile)
            assert tile.seen.right <= block.window.right, (block, tile)


@settings(max_examples=100, deadline=None)
@given(length=st.integers(1, 10**9), tiling=TILINGS)
def test_a_window_is_bounded_and_on_the_grid(length: int, tiling: Tiling) -> None:
    first = next(blocks((1, length), tiling))
    assert first.window.width <= tiling.core + 448 + 2 * tiling.tile
    assert first.core.left == 0
    assert first.core.right == length or first.core.right % tiling.stride == 0
