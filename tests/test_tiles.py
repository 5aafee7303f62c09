"""The lattice of looks: every pixel is answered for, an identity stays one, no cut of the work is seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banana_cli.tiles import Carry, Grid, Lattice, Mosaic, holds, overlap_of
from banana_cli.types import Looks, ShapeError, Window


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    tile = draw(st.integers(4, 24))
    shape = (draw(st.integers(1, 90)), draw(st.integers(1, 90)))
    overlap = draw(st.integers(0, tile // 2))
    phases = st.integers(0, tile - overlap - 1)
    return Grid(shape=shape, tile=tile, overlap=overlap, phase=(draw(phases), draw(phases)))


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
def test_looks_lie_on_the_lattice_and_inside_the_scene_at_full_size(grid: Grid) -> None:
    for tile in grid.tiles():
        for axis, span in enumerate((tile.rows, tile.cols)):
            length = grid.shape[axis]
            phase = grid.phase[axis] if length > grid.tile else 0
            assert 0 <= span.start <= span.first < span.last <= span.stop <= length
            assert span.first == 0 or (span.first + phase) % grid.stride == 0
            assert span.stop - span.start == min(grid.tile, length)


@settings(deadline=None, max_examples=60)
@given(grids(), st.data())
def test_a_cut_out_part_is_looked_at_alike_away_from_its_edges(grid: Grid, data: st.DataObject) -> None:
    """The phase of a part is the scene's and how far into the scene it begins."""
    cut = [data.draw(st.integers(0, length - 1)) for length in grid.shape]
    phase = ((grid.phase[0] + cut[0]) % grid.stride, (grid.phase[1] + cut[1]) % grid.stride)
    shape = (grid.shape[0] - cut[0], grid.shape[1] - cut[1])
    if min(*shape, *grid.shape) <= grid.tile:
        return  # seen whole, from its own corner
    part = Grid(shape=shape, tile=grid.tile, overlap=grid.overlap, phase=phase)
    there = {(t.seen.top - cut[0], t.seen.left - cut[1]): t for t in grid.tiles()}
    for tile in part.tiles():
        at = (tile.seen.top, tile.seen.left)
        touching = any(
            w in (0, length - grid.tile) for w, length in zip(at, shape, strict=True)
        )  # moved back inside
        assert touching or (there[at].answers.height, there[at].answers.width) == (
            tile.answers.height,
            tile.answers.width,
        )


def distorted(values: np.ndarray) -> np.ndarray:
    """A model whose answer depends on where a pixel lies in its look, as a network's does."""
    rows, cols = np.indices(values.shape[1:])
    return (values + np.sin(rows) * 0.3 + np.cos(cols) * 0.1 + values.mean()).astype(np.float32)


def answered(grid: Grid, scene: np.ndarray, part: Window, carry: Carry | None = None) -> tuple[Mosaic, int]:
    """A part from what its window holds only, and how many looks were made for it."""
    seen, made = grid.seen(part), 0
    held = scene[:, *seen.slices()]
    mosaic = Mosaic(part, channels=2)
    for tile in grid.tiles(part):
        known = carry.find(tile, part) if carry else None
        if known is not None:
            mosaic.add(tile, known[1], known[0])
            continue
        assert holds(seen, tile.seen), "the halo must hold every look of the core"
        values, made = distorted(held[:, *tile.seen.within(seen).slices()]), made + 1
        mosaic.add(tile, values)
        if carry:
            carry.put(tile, part, values)
    return mosaic, made


@settings(deadline=None, max_examples=60)
@given(grids(), st.integers(1, 70), st.integers(1, 70), st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_work_in_parts_of_any_size_at_any_offset_equals_the_whole(
    grid: Grid, rows: int, cols: int, top: int, left: int, carried: bool
) -> None:
    scene = picture(grid.shape)
    full, needed = answered(grid, scene, whole(grid.shape))
    want, carry, looks, made = full.result(), Carry(), Looks(), 0
    ends = [
        sorted({0, length, *range(start % step, length, step)})
        for length, step, start in zip(grid.shape, (rows, cols), (top, left), strict=True)
    ]
    for y, bottom in zip(ends[0], ends[0][1:], strict=False):
        for x, right in zip(ends[1], ends[1][1:], strict=False):
            part = Window(top=y, left=x, height=bottom - y, width=right - x)
            carry.enter(looks, "same channels", part)
            mosaic, new = answered(grid, scene, part, carry if carried else None)
            assert np.array_equal(mosaic.result(), want[:, *part.slices()])
            made += new
    assert not carried or made == needed, "no look is made twice"


def test_what_was_carried_from_another_scene_is_forgotten() -> None:
    grid, carry = Grid(shape=(10, 40), tile=16, overlap=4), Carry()
    first, second = Window(top=0, left=0, height=10, width=12), Window(top=0, left=12, height=10, width=12)
    looks = Looks()
    for after, known in ((looks, True), (Looks(), False), (None, False)):
        carry.enter(looks, 1, first)
        answered(grid, picture(grid.shape), first, carry)
        carry.enter(after, 1, second)
        assert (carry.find(next(grid.tiles(second)), second) is not None) == known
    carry.enter(looks, 1, first)
    answered(grid, picture(grid.shape), first, carry)
    carry.enter(looks, 2, second)
    assert carry.find(next(grid.tiles(second)), second) is None, "other channels"


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    tile = draw(st.integers(4, 12))
    overlap, f = draw(st.integers(0, tile // 2)), draw(st.integers(1, 5))
    phases = st.integers(0, (tile - overlap) * f - 1)
    looks = Looks(tile=tile, overlap=overlap, shrink=f, phase=(draw(phases), draw(phases)))
    return Lattice(shape=(draw(st.integers(1, 200)), draw(st.integers(1, 200))), looks=looks)


@settings(deadline=None, max_examples=80)
@given(lattices(), st.data())
def test_a_window_holds_what_a_core_needs_and_a_core_has_its_place(
    lattice: Lattice, data: st.DataObject
) -> None:
    (rows, cols), f = lattice.shape, lattice.looks.shrink
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    core = Window(
        top=top,
        left=left,
        height=data.draw(st.integers(1, rows - top)),
        width=data.draw(st.integers(1, cols - left)),
    )
    window, part, place = lattice.window(core), lattice.part(core), lattice.place(core)
    assert holds(whole(lattice.shape), window) and holds(window, core)
    assert (place.height, place.width) == (core.height, core.width)
    assert holds(Window(top=0, left=0, height=part.height * f, width=part.width * f), place)
    assert holds(lattice.under(window), lattice.grid.seen(part))


def test_an_impossible_grid_is_refused() -> None:
    for wrong in (
        {"shape": (0, 3)},
        {"shape": (9, 9), "tile": 0},
        {"shape": (9, 9), "tile": 8, "overlap": 5},
        {"shape": (9, 9), "tile": 8, "overlap": 4, "phase": (4, 0)},
    ):
        with pytest.raises(ShapeError):
            Grid(**wrong)  # type: ignore[arg-type]


def test_windows_that_only_touch_share_nothing() -> None:
    a = Window(top=0, left=0, height=4, width=4)
    assert overlap_of(a, Window(top=4, left=0, height=2, width=2)) is None
    assert overlap_of(a, Window(top=3, left=2, height=9, width=1)) == Window(top=3, left=2, height=1, width=1)
