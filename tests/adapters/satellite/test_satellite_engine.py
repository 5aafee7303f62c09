"""Reader and engine together: no cut of the work, no place of a part and no nodata is seen in the answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from banana_adapters.satellite import SATELLITE
from rasterio import Affine
from rasterio.enums import ColorInterp, Resampling
from scenery import item_of, write_scene

from banana_cli.classes import AERIAL
from banana_cli.infer import Engine, EngineOptions
from banana_cli.model.net import Features, Head, NetInput, NetOutput
from banana_cli.options import RasterOptions, ReadOptions
from banana_cli.types import NO_CLASS, Depth, Frame, LayerKind, Mask, Modality, ModelFacts

RNG = np.random.default_rng(5)
FACTS = ModelFacts(name="glass", weights_sha256="0" * 64, budget=1.0, precision="fp32", device="cpu")


class Smudged:
    """A see-through network whose answer also depends on the whole look and on a pixel's place in it."""

    def __init__(self) -> None:
        self.looks = 0
        self.pitches: set[float] = set()

    def features(self, inp: NetInput, budget: float) -> Features:
        self.looks += len(inp.image)
        self.pitches |= {round(float(p), 3) for p in inp.log_pitch}
        empty = torch.zeros(len(inp.image), 1)
        return Features(f4=inp.image, registers=empty, score=empty, kept=budget)

    def read(self, features: Features, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        image = features.f4
        place = 0.2 * torch.arange(image.shape[-2]).sin()[:, None] + image.mean((1, 2, 3), keepdim=True)
        seen = image[:, :1] + place
        logits = torch.cat([torch.cos(1.1 * k + 9 * seen) for k in range(len(AERIAL))], 1)
        return NetOutput(
            logits=logits if Head.LOGITS in heads else None,
            depth_code=image[:, :1] if Head.DEPTH in heads else None,
            normals=None,
            log_focal=torch.zeros(len(image)),
            kept=features.kept,
        )


def answer(
    path: Path, tile: int | None = None, net: Smudged | None = None, engine: Engine | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Classes and heights of a whole scene."""
    engine = engine or Engine(net or Smudged(), FACTS, EngineOptions())
    asked = ReadOptions(layers=frozenset(LayerKind), raster=RasterOptions(tile=tile))
    with SATELLITE.open(item_of(path), asked) as source:
        ids = np.full(source.info.shape, 77, np.uint8)
        heights = np.full(source.info.shape, -77.0, np.float32)
        for frame in source:
            assert isinstance(frame, Frame) and frame.provenance.core and frame.provenance.window
            found = engine.predict(frame, frozenset({LayerKind.MASKS, LayerKind.DEPTH}))
            here = frame.provenance.core.within(frame.provenance.window).slices()
            ids[frame.provenance.core.slices()] = found.get(Mask).ids[here]
            heights[frame.provenance.core.slices()] = found.get(Depth).values[here]
    return ids, heights


def photograph(rows: int, cols: int) -> np.ndarray:
    coarse = RNG.integers(1, 254, (3, rows // 16 + 1, cols // 16 + 1), np.uint8)
    return coarse.repeat(16, 1).repeat(16, 2)[:, :rows, :cols]


@pytest.mark.parametrize(("gsd", "size"), [(1.0, (1190, 1033)), (0.1, (1000, 1400))])
def test_the_size_of_the_work_changes_no_pixel_and_no_look_is_made_twice(
    tmp_path: Path, gsd: float, size: tuple[int, int]
) -> None:
    transform = Affine(gsd, 0, 500_000 + 321 * gsd, 0, -gsd, 5_000_000)
    path = write_scene(tmp_path / "s.tif", photograph(*size), transform=transform)
    nets = [Smudged() for _ in range(4)]
    whole, *others = [answer(path, tile, net) for tile, net in zip((9999, 256, 512, 1024), nets, strict=True)]
    assert not (whole[0] == 77).any()
    for ids, heights in others:
        assert np.array_equal(ids, whole[0])
        np.testing.assert_array_equal(heights, whole[1])
    assert len({net.looks for net in nets}) == 1


def test_a_part_of_a_scene_is_answered_like_the_scene_away_from_its_edges(tmp_path: Path) -> None:
    data, far = photograph(1800, 1700), 512
    path = write_scene(tmp_path / "s.tif", data)
    with rasterio.open(path) as scene:
        transform = scene.transform @ Affine.translation(37, 100)
    part = write_scene(tmp_path / "part.tif", data[:, 100:, 37:], transform=transform)
    (whole, _), (cut, _) = answer(path), answer(part)
    assert np.array_equal(whole[100 + far :, 37 + far :], cut[far:, far:])
    moved = write_scene(tmp_path / "moved.tif", data[:, 100:, 37:])
    assert not np.array_equal(whole[100 + far :, 37 + far :], answer(moved)[0][far:, far:])


def test_a_drones_picture_is_worked_on_shrunk_and_answered_at_its_own_size(tmp_path: Path) -> None:
    """Classes of fields that are large in working pixels come out at the file's own pixels."""
    net, gsd = Smudged(), 0.05
    data = np.zeros((3, 1300, 1500), np.uint8)
    data[:, 300:900, 600:1200] = 255
    path = write_scene(tmp_path / "s.tif", data, transform=Affine(gsd, 0, 500_000.15, 0, -gsd, 5_000_000.1))
    _, heights = answer(path, net=net)
    assert net.pitches == {round(float(np.log(0.3)), 3)}
    bright = heights > heights.max() / 3
    wrong = bright != (data[0] > 0)
    rows, cols = np.nonzero(wrong)
    near = np.minimum.reduce(
        [np.abs(rows - 300), np.abs(rows - 900), np.abs(cols - 600), np.abs(cols - 1200)]
    )
    assert near.size == 0 or near.max() <= 6
    assert wrong.mean() < 0.01


def with_holes(path: Path, kind: str, hole: np.ndarray, gsd: float) -> Path:
    """A scene of 3 bands without data in ``hole``, said in one of the ways in which files say it."""
    data = photograph(*hole.shape)
    more: dict[str, object] = {"transform": Affine(gsd, 0, 500_000, 0, -gsd, 5_000_000)}
    if kind == "mask":
        return write_scene(path, data, mask=np.where(hole, 0, 255).astype(np.uint8), **more)
    if kind == "alpha":
        alpha = np.where(hole, 0, 255).astype(np.uint8)[None]
        colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
        return write_scene(path, np.concatenate([data, alpha]), colorinterp=colours, **more)
    value = float(kind)
    kept = data.astype("float32" if np.isnan(value) or value < 0 else "uint8")
    kept[:, hole] = value
    return write_scene(path, kept, nodata=value, **more)


@pytest.mark.parametrize("kind", ["0", "255", "-9999", "nan", "mask", "alpha"])
@pytest.mark.parametrize("gsd", [1.0, 0.1])
def test_nodata_has_no_answer_and_all_else_has_one(tmp_path: Path, kind: str, gsd: float) -> None:
    hole = np.zeros((700, 640), np.bool_)
    hole[:100], hole[300:420, 100:500] = True, True
    hole |= RNG.random(hole.shape) < 0.1
    hole[500:, 600:] = True
    hole[650, 630] = False  # one pixel far from the others
    ids, heights = answer(with_holes(tmp_path / "s.tif", kind, hole, gsd), tile=512)
    np.testing.assert_array_equal(ids == NO_CLASS, hole)
    np.testing.assert_array_equal(np.isnan(heights), hole)


def test_a_frame_that_is_missing_is_only_looked_at_again(tmp_path: Path) -> None:
    """What was carried over is no more than saved work: frames in any order give the same."""
    path = write_scene(tmp_path / "s.tif", photograph(1000, 1400))
    asked = ReadOptions(layers=frozenset(LayerKind), raster=RasterOptions(tile=448))
    with SATELLITE.open(item_of(path), asked) as source:
        frames = [frame for frame in source if isinstance(frame, Frame)]
    engine, kinds = Engine(Smudged(), FACTS, EngineOptions()), frozenset({LayerKind.MASKS})
    straight = [engine.predict(frame, kinds).get(Mask).ids for frame in frames]
    for order in (range(len(frames))[::-1], range(1, len(frames), 2)):
        for k in order:
            assert np.array_equal(engine.predict(frames[k], kinds).get(Mask).ids, straight[k])
    alone = replace(
        frames[3], provenance=replace(frames[3].provenance, looks=replace(frames[3].provenance.looks))
    )
    assert np.array_equal(engine.predict(alone, kinds).get(Mask).ids, straight[3])


@pytest.mark.slow
def test_the_shipped_weights_answer_alike_whatever_the_tiles(tmp_path: Path, shared_data: Path) -> None:
    """A real scene, enlarged to several looks a side: whole, in tiles, and a part that begins elsewhere."""
    source = shared_data / "satellite" / "scenes" / "m_4709963_se_14_1_20090818.tif"
    with rasterio.open(source) as scene:
        size = (2 * scene.height, 2 * scene.width)
        data = scene.read([1, 2, 3], out_shape=(3, *size), resampling=Resampling.cubic)
        place = {"crs": scene.crs, "transform": scene.transform @ Affine.scale(0.5)}
    engine = Engine.load(device="cpu", precision="fp32", threads=1)
    path = write_scene(tmp_path / "s.tif", data, **place)
    whole, heights = answer(path, 9999, engine=engine)
    for tile in (256, 512, 1024):
        ids, others = answer(path, tile, engine=engine)
        wrong = ids != whole
        assert wrong.mean() < 1e-5  # the order of sums, where two classes are equally likely
        assert max(wrong.sum(axis=0).max(), wrong.sum(axis=1).max()) <= 3  # and none of it on a line
        np.testing.assert_allclose(others, heights, atol=0.02)
    top, left, far = 101, 37, 512
    moved = {**place, "transform": place["transform"] @ Affine.translation(left, top)}
    cut, _ = answer(write_scene(tmp_path / "part.tif", data[:, top:, left:], **moved), engine=engine)
    inside = (slice(top + far, None), slice(left + far, None))
    assert (cut[far:, far:] != whole[inside]).mean() < 1e-5
