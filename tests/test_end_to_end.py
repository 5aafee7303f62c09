"""The three lines that everything is for, on the samples with the shipped weights, re-opened elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import highdicom
import numpy as np
import pydicom
import pytest
import rasterio
from PIL import Image

from tests import reopen
from tests.conftest import REPOSITORY
from tests.here import Here

SAMPLES = REPOSITORY / "samples"
BANANA = Path(sys.executable).with_name("banana")


@pytest.fixture(scope="module")
def here() -> Here:
    return Here()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of the sample clip through the installed console command."""
    folder = tmp_path_factory.mktemp("video")
    env = {k: v for k, v in os.environ.items() if not k.startswith("BANANA_")}
    words = [
        BANANA,
        "segment",
        SAMPLES / "dashcam.mp4",
        "--with",
        "depth,normals",
        "--end",
        "1",
        "-o",
        folder,
    ]
    done = subprocess.run(
        [*map(str, words), "--json"], env=env, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["layer"] for line in done.stdout.splitlines()] == ["masks", "depth", "normals"]
    return folder


@pytest.mark.parametrize("layer", ["masks", "depth", "normals"])
def test_a_clip_keeps_its_frames_times_and_sound(video: Path, layer: str) -> None:
    clip = video / f"dashcam.{layer}.mp4"
    source, size = reopen.times(SAMPLES / "dashcam.mp4")
    ours, our_size = reopen.times(clip)
    assert our_size == size
    assert ours == [t for t in source if t < 1]
    packets = reopen.sound(SAMPLES / "dashcam.mp4")
    kept = reopen.sound(clip)
    assert kept == packets[: len(kept)] and abs(float(kept[-1][0]) - 1) < 0.1
    facts = reopen.sidecar(clip)
    assert facts["frames_done"] == 25 and facts["encoding"]["exact"] is False
    assert not list(video.glob(".*"))


def test_a_slice_becomes_a_parametric_map(here: Here, tmp_path: Path) -> None:
    here("depth", SAMPLES / "scan.dcm", "-o", tmp_path)
    source = pydicom.dcmread(SAMPLES / "scan.dcm")
    written = pydicom.dcmread(tmp_path / "scan.depth.dcm")
    assert written.SOPClassUID == "1.2.840.10008.5.1.4.1.1.30"
    image = highdicom.imread(tmp_path / "scan.depth.dcm")
    reopen.same_study(written, source)
    reopen.no_person(written, source)
    shared, frame = (
        written.SharedFunctionalGroupsSequence[0],
        written.PerFrameFunctionalGroupsSequence[0],
    )
    assert shared.PixelMeasuresSequence[0].PixelSpacing == source.PixelSpacing
    assert reopen.position(frame, written).tolist() == source.ImagePositionPatient
    values = image.get_volume(apply_real_world_transform=True).array[0]  # get_frame fails on floats
    facts = reopen.sidecar(tmp_path / "scan.depth.dcm")
    known = values[np.isfinite(values)]
    assert facts["encoding"]["unit"] == "mm"
    assert 0 <= known.min() < known.max() < source.Columns * float(source.PixelSpacing[0])


def test_a_series_becomes_segments_and_a_volume(here: Here, tmp_path: Path) -> None:
    here("segment", SAMPLES / "series", "-o", tmp_path, "--format", "dcm,nii")
    slices = reopen.sorted_slices(SAMPLES / "series")
    seg = reopen.segments(tmp_path / "series.masks.dcm", slices)
    labels = reopen.same_space(tmp_path / "series.masks.nii", slices)
    names = reopen.sidecar(tmp_path / "series.masks.nii")["classes"]["classes"]
    reopen.sidecar(tmp_path / "series.masks.dcm")
    by_name = {row["name"]: row["id"] for row in names}
    uid_of = [s.SOPInstanceUID for s in slices]
    for number in seg.segment_numbers:
        segment = seg.get_segment_description(number)
        planes = seg.get_pixels_by_source_instance(
            uid_of, segment_numbers=[number], assert_missing_frames_are_empty=True
        )[..., 0]
        stored = labels == by_name[segment.segment_label]
        assert planes.any()
        assert np.array_equal(planes.astype(bool), stored.transpose(2, 1, 0)), segment.segment_label


def test_kept_classes_alone_reach_segments_and_volume(here: Here, tmp_path: Path) -> None:
    here("segment", SAMPLES / "scan.dcm", "--format", "dcm,npy", "-o", tmp_path / "all")
    here("segment", SAMPLES / "scan.dcm", "--format", "dcm,npy", "--classes", "Bone,air", "-o", tmp_path)
    before, after = np.load(tmp_path / "all/scan.masks.npy"), np.load(tmp_path / "scan.masks.npy")
    facts = reopen.sidecar(tmp_path / "scan.masks.dcm")
    ids = {row["name"]: row["id"] for row in facts["classes"]["classes"]}
    kept = [ids[name] for name in facts["classes"]["kept"]]
    assert sorted(kept) == sorted([ids["bone"], ids["air"]])
    assert np.array_equal(after, np.where(np.isin(before, kept), before, 255)) and (after == 255).any()
    written = highdicom.seg.segread(tmp_path / "scan.masks.dcm")
    used = {
        f.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for f in written.PerFrameFunctionalGroupsSequence
    }
    names = {written.get_segment_description(n).segment_label for n in used}
    assert names == {name for name in ("bone", "air") if (before == ids[name]).any()}


def test_a_scene_becomes_cogs_and_tiles(here: Here, tmp_path: Path) -> None:
    here("tile", SAMPLES / "scene.tif", "-o", tmp_path)
    for layer, bands, kind in (("masks", 1, "uint8"), ("depth", 1, "float32"), ("normals", 3, "float32")):
        profile = reopen.raster(tmp_path / f"scene.{layer}.tif", SAMPLES / "scene.tif")
        assert (profile["count"], profile["dtype"]) == (bands, kind)
        reopen.sidecar(tmp_path / f"scene.{layer}.tif")
        reopen.sidecar(tmp_path / f"scene.{layer}")
    with rasterio.open(tmp_path / "scene.masks.tif") as masks:
        classes = reopen.sidecar(tmp_path / "scene.masks.tif")["classes"]["classes"]
        colours = masks.colormap(1)
        assert all(list(colours[row["id"]][:3]) == row["rgb"] for row in classes)
        mosaic = masks.read(1)
        assert set(np.unique(mosaic)) <= {row["id"] for row in classes} | {255}
        assert mosaic_of_tiles(tmp_path / "scene.masks", mosaic.shape) == pytest.approx(mosaic)


def mosaic_of_tiles(folder: Path, shape: tuple[int, int]) -> np.ndarray:
    """The tiles put back in place by the rows and columns of their names."""
    whole = np.full(shape, 255, np.uint8)
    for path in sorted(folder.glob("r*_c*.png")):
        row, column = (int(part[1:]) for part in path.stem.split("_"))
        with Image.open(path) as picture:
            tile = np.asarray(picture)
        patch = whole[row : row + tile.shape[0], column : column + tile.shape[1]]
        patch[...] = tile[: patch.shape[0], : patch.shape[1]]
    return whole


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame of the sample clip as a picture, of an odd size."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    with av.open(str(SAMPLES / "dashcam.mp4")) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="rgb24")
    Image.fromarray(pixels[:251, :397]).save(path)
    return path


def test_a_picture_decodes_to_what_was_written(here: Here, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    here("segment", photo, "--with", "depth,normals", "--format", "png,npy", "-o", out)
    pictures = [out / f"photo.{layer}.png" for layer in ("masks", "depth", "normals")]
    here("decode", *pictures, "-o", tmp_path / "back")
    labels, depth, normals = (
        (np.load(out / f"{p.stem}.npy"), np.load(tmp_path / "back" / f"{p.stem}.npy")) for p in pictures
    )
    with Image.open(pictures[0]) as picture:
        assert picture.mode == "P" and picture.size == (397, 251)
        assert np.array_equal(np.asarray(picture), labels[0])
    assert labels[0].shape == (251, 397) and np.array_equal(*labels)
    assert np.array_equal(np.isfinite(depth[0]), np.isfinite(depth[1])) and np.isfinite(depth[0]).any()
    assert np.nanmax(np.abs(np.minimum(depth[0], 65535 / 256) - depth[1])) <= 0.5 / 256 + 1e-6  # 16 bits end
    cosine = (normals[0] * normals[1]).sum(axis=0)
    known = np.abs(normals[0]).sum(axis=0) > 0
    assert known.any() and np.degrees(np.arccos(np.clip(cosine[known], -1, 1))).max() <= 1
    for path in pictures:
        reopen.sidecar(path)


def test_a_shift_of_the_start_is_no_change_of_time() -> None:
    source = [Fraction(n, 25) for n in range(5)]
    moved = [t + Fraction(1, 3) for t in source]
    assert reopen.same_times(source, moved, Fraction(1, 1000))
    assert not reopen.same_times(source, moved[:-1], Fraction(1, 1000))
    assert not reopen.same_times(source, [t * 2 for t in source], Fraction(1, 1000))
