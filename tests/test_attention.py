"""Where the tokens went: each pixel's cell, its ends, parts of scenes, and what the command writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from banana_cli.attention import SceneCells, of_picture, pasted
from banana_cli.fit import Fit, plan_fit
from banana_cli.infer import EngineOptions
from banana_cli.infer_video import VideoEngine
from banana_cli.model.net import BananaNet
from banana_cli.model.tokens import Grid, build_tree, cell_levels, grid_maps, plan_tokens
from banana_cli.paint import CELL_COLOURS, over_cells
from banana_cli.tiles import Lattice
from banana_cli.types import Attention, Looks, Modality, Window
from tests.conftest import REPOSITORY
from tests.glass import ALL, FACTS, MASKS, frame_of
from tests.here import Here
from tests.model.test_net import make_input, make_net

SAMPLES = REPOSITORY / "samples"


def levels_of(rows: int, cols: int, seed: int, budget: float = 0.27) -> np.ndarray:
    """Levels (8-px cells, raster order) of a random tree."""
    plan = plan_tokens(Grid(rows, cols), budget)
    gain = torch.rand(1, plan.grid.n8, generator=torch.Generator().manual_seed(seed))
    levels = cell_levels(build_tree(gain, plan).own_row, plan)
    curve = grid_maps(plan.grid, levels.device).curve8
    return levels.index_select(1, curve).view(4 * rows, 4 * cols).numpy()


def whole(levels: np.ndarray) -> Attention:
    size = (8 * levels.shape[0], 8 * levels.shape[1])
    return of_picture(levels, Fit(source=size, inner=size, padded=size))


def tokens_in(told: Attention) -> float:
    """Every token covers side x side pixels."""
    return float((1.0 / np.square(told.side[told.side > 0].astype(float))).sum())


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 99), st.sampled_from([0.1, 0.27, 0.6, 1.0]))
def test_cells_are_as_many_as_tokens_and_end_where_they_end(
    rows: int, cols: int, seed: int, b: float
) -> None:
    told = whole(levels_of(rows, cols, seed, b))
    assert round(tokens_in(told), 6) == plan_tokens(Grid(rows, cols), b).count
    y, x = np.indices(told.side.shape)
    expected = ((y + 1) % told.side == 0) | ((x + 1) % told.side == 0)
    assert np.array_equal(told.edge, expected)
    for k in (16, 32):  # a cell is whole: all of its pixels tell the same
        big = told.side.reshape(told.side.shape[0] // k, k, -1, k)
        assert ((big == k).all((1, 3)) | (big != k).all((1, 3))).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(20, 200), st.integers(20, 200), st.integers(0, 9))
def test_a_scaled_picture_asks_the_cell_under_each_pixel(height: int, width: int, seed: int) -> None:
    fit = plan_fit((height, width), side=96)
    levels = levels_of(fit.padded[0] // 32, fit.padded[1] // 32, seed)
    told = of_picture(levels, fit)
    assert told.side.shape == (height, width)
    for y, x in ((0, 0), (height - 1, width - 1), (height // 2, width // 3)):
        cell = int((y + 0.5) * fit.scale_y / 8), int((x + 0.5) * fit.scale_x / 8)
        assert told.side[y, x] == 8 << levels[cell]


@pytest.mark.parametrize(("shrink", "phase"), [(1, (0, 0)), (1, (13, 40)), (2, (0, 0)), (3, (7, 22))])
def test_parts_of_a_scene_tell_what_the_whole_does(shrink: int, phase: tuple[int, int]) -> None:
    looks = Looks(tile=64, overlap=16, shrink=shrink, phase=phase)
    lattice = Lattice(shape=(150 * shrink, 130 * shrink), looks=looks)
    rows, cols = lattice.shape
    cells = SceneCells()
    cells.enter(looks)
    for seed, tile in enumerate(lattice.grid.tiles()):
        cells.put(tile, levels_of(2, 2, seed))
    all_of_it = cells.of_part(lattice, Window(top=0, left=0, height=rows, width=cols))
    assert (all_of_it.side > 0).all()
    for core in (
        Window(top=0, left=0, height=61, width=cols),
        Window(top=61, left=17, height=rows - 61, width=50),
    ):
        part = cells.of_part(lattice, core)
        assert np.array_equal(part.side, all_of_it.side[core.slices()])
        assert np.array_equal(part.edge, all_of_it.edge[core.slices()])
    cells.enter(replace(looks))  # another scene of the same looks
    assert not cells.of_part(lattice, Window(top=0, left=0, height=9, width=9)).side.any()


def test_a_part_is_pasted_where_it_lies() -> None:
    part = whole(levels_of(1, 1, 0))
    told = pasted(part, Window(top=3, left=5, height=32, width=32), (40, 50))
    assert np.array_equal(told.side[3:35, 5:37], part.side) and not told.side[:3].any()
    assert not told.edge[:, :5].any() and told.edge.sum() == part.edge.sum()


def test_the_picture_is_dimmed_with_borders_in_the_colour_of_their_level() -> None:
    told = pasted(whole(levels_of(2, 2, 1)), Window(top=0, left=0, height=64, width=64), (80, 64))
    picture = over_cells(np.full((80, 64, 3), 200, np.uint8), told)
    assert (picture[64:] == 200).all()
    for side, colour in CELL_COLOURS.items():
        assert (picture[told.edge & (told.side == side)] == colour).all()
    assert (picture[~told.edge & (told.side > 0)] == 110).all()


def engine(net: BananaNet, **options: object) -> VideoEngine:
    chosen = {"budget": 0.3, "side": 128} | options
    return VideoEngine(net, FACTS, EngineOptions(**chosen))  # type: ignore[arg-type]


def test_the_engine_tells_only_when_asked_and_answers_alike() -> None:
    net, frame = make_net(), frame_of(make_input(64, 96).image[0].numpy())
    silent, told = engine(net).predict(frame, ALL), engine(net, attention=True).predict(frame, ALL)
    assert silent.attention is None and told.attention is not None
    assert np.array_equal(silent.layers[0].ids, told.layers[0].ids)  # type: ignore[union-attr]
    assert round(tokens_in(told.attention)) == round(told.tokens_kept * 8 * 12)


def test_a_scene_in_tiles_is_told_everywhere_but_where_there_is_nothing() -> None:
    valid = np.ones((160, 192), bool)
    valid[:, 150:] = False
    frame = frame_of(make_input(160, 192).image[0].numpy(), Modality.AERIAL, valid=valid)
    told = engine(make_net(), attention=True, tile=64, overlap=8).predict(frame, MASKS).attention
    assert told is not None and told.side.shape == (160, 192)
    assert (told.side[:, :150] > 0).all() and not told.side[:, 180:].any()


def test_a_clip_keeps_the_cells_of_what_did_not_change() -> None:
    still = make_input(256, 256).image[0].numpy()
    moved = still.copy()
    moved[:, :8, :8] = 1
    video, said = engine(make_net(), attention=True, side=256), []
    for index, pixels in enumerate((still, still, moved)):
        shot = frame_of(pixels * 255, clip="c")
        views = tuple(replace(v, high=255) for v in shot.views)
        place = replace(shot.provenance, index=index)
        said.append(video.predict(replace(shot, views=views, provenance=place), MASKS))
    first, same, part = (one.attention for one in said)
    assert first is not None and same is not None and part is not None
    assert said[1].tokens_kept == 0 < said[2].tokens_kept < said[0].tokens_kept / 2
    assert np.array_equal(first.side, same.side)
    assert np.array_equal(first.side[:, 64:], part.side[:, 64:]) and (part.side > 0).all()
    assert not np.array_equal(first.side[:64, :64], part.side[:64, :64])


def test_the_command_writes_a_picture_and_leaves_the_masks_alone(tmp_path: Path) -> None:
    here = Here()
    source = SAMPLES / "scan.dcm"
    (plain,) = here("segment", source, "--format", "png", "-o", tmp_path / "a", "--json")
    told = here("segment", source, "--format", "png", "--attention", "-o", tmp_path / "b", "--json")
    assert [Path(line["path"]).name for line in told] == ["scan.masks.png", "scan.attention.png"]
    masks = [np.asarray(Image.open(line["path"])) for line in (plain, told[0])]
    assert np.array_equal(*masks)
    picture = np.asarray(Image.open(told[1]["path"]))
    assert picture.shape == (*masks[0].shape, 3)
    share = {k: (picture == np.array(c, np.uint8)).all(-1).mean() for k, c in CELL_COLOURS.items()}
    assert all(part > 0.01 for part in share.values())
    facts = json.loads((tmp_path / "b" / "scan.attention.png.json").read_text())
    assert (facts["layer"], facts["frames_done"], "classes" in facts) == ("attention", 1, False)


def test_a_clip_becomes_a_clip(tmp_path: Path) -> None:
    words = ("--end", "0.15", "--no-audio", "--attention", "--format", "png", "-o", tmp_path, "--json")
    told = Here()("segment", SAMPLES / "dashcam.mp4", *words)
    assert [Path(line["path"]).name for line in told] == ["dashcam.masks", "dashcam.attention.mp4"]
    with av.open(told[1]["path"]) as clip:
        frames = sum(1 for _ in clip.decode(video=0))
    assert frames == len(list(Path(told[0]["path"]).glob("*.png"))) > 1
