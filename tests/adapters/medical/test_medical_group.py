"""Which files make a job, in which order, under which name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from banana_adapters.medical import MEDICAL
from medical_made import dataset, folder_items, frames_of, options, save, save_series, single

from banana_cli.errors import InputError
from banana_cli.inputs import Readers, find
from banana_cli.types import LayerKind

VOXELS = np.arange(5 * 4 * 6).reshape(5, 4, 6)


def test_slices_are_ordered_by_place_and_not_by_name(tmp_path):
    paths = save_series(tmp_path / "s", VOXELS, step=(0, 0, 3))
    order = np.random.default_rng(1).permutation(len(paths))
    for path in paths:
        path.rename(path.with_suffix(".tmp"))
    for k, path in enumerate(paths):
        path.with_suffix(".tmp").rename(tmp_path / "s" / f"{order[k]}.dcm")
    (item,) = folder_items(tmp_path)
    frames = frames_of(item)
    np.testing.assert_array_equal(np.stack([f.pixels[0] for f in frames]), VOXELS)
    assert [f.provenance.index for f in frames] == list(range(5))
    assert [f.geometry.plane.position[2] for f in frames] == [0, 3, 6, 9, 12]


def test_a_mixed_folder_falls_into_its_series(tmp_path):
    save_series(tmp_path / "in" / "x", VOXELS, SeriesInstanceUID="1.2.3.10", SeriesNumber=1)
    for k, path in enumerate(
        save_series(tmp_path / "o", VOXELS, SeriesInstanceUID="1.2.3.11", SeriesNumber=2)
    ):
        shutil.move(path, tmp_path / "in" / "x" / f"o{k}.dcm")
    sagittal = {"right": (0, 1, 0), "down": (0, 0, -1), "step": (1, 0, 0)}
    for k, path in enumerate(
        save_series(tmp_path / "p", VOXELS[:2], SeriesInstanceUID="1.2.3.10", **sagittal)
    ):
        shutil.move(path, tmp_path / "in" / "x" / f"p{k}.dcm")
    save(tmp_path / "in" / "x" / "lone.dcm", np.ones((3, 3), np.uint16), SeriesInstanceUID="1.2.3.12")
    items = folder_items(tmp_path / "in")
    assert sorted(len(i.paths) for i in items) == [1, 2, 5, 5]
    assert {i.folder for i in items} == {Path("x")}
    stems = [i.stem for i in items]
    assert len(set(stems)) == 4 and "lone" in stems and sum(s.startswith("x_s") for s in stems) == 3


def test_one_series_alone_is_named_after_its_folder(tmp_path):
    save_series(tmp_path / "study" / "ct chest", VOXELS)
    (item,) = folder_items(tmp_path / "study")
    assert (item.stem, item.folder) == ("ct chest", Path("ct chest"))
    (item,) = MEDICAL.group(
        sorted((tmp_path / "study" / "ct chest").iterdir()), root=tmp_path / "study/ct chest"
    )
    assert (item.stem, item.folder) == ("ct chest", Path())


def test_files_named_one_by_one_are_series_too(tmp_path):
    paths = save_series(tmp_path / "chest", VOXELS)
    lone = save(tmp_path / "chest" / "lone.dcm", np.ones((3, 3), np.uint16), SeriesInstanceUID="1.2.3.12")
    (item,) = MEDICAL.group(paths[::-1], root=None)
    assert item.paths == tuple(paths) and (item.stem, item.folder) == ("chest", Path())
    items = MEDICAL.group([*paths, lone, tmp_path / "none.dcm"], root=None)
    assert sorted(len(i.paths) for i in items) == [1, 1, 5]


def test_different_spacing_is_another_series(tmp_path):
    save_series(tmp_path / "s", VOXELS)
    for path in save_series(tmp_path / "t", VOXELS, PixelSpacing=[2, 2]):
        shutil.move(path, tmp_path / "s" / f"t{path.name}")
    assert sorted(len(i.paths) for i in folder_items(tmp_path / "s")) == [5, 5]


def test_phases_at_one_place_are_series_of_their_own(tmp_path):
    for phase in range(3):
        for path in save_series(tmp_path / str(phase), VOXELS + phase, TemporalPositionIdentifier=phase + 1):
            (tmp_path / "s").mkdir(exist_ok=True)
            shutil.move(path, tmp_path / "s" / f"{9 - phase}{path.name}")
    items = folder_items(tmp_path / "s")
    assert [len(i.paths) for i in items] == [5, 5, 5]
    for phase, item in enumerate(items):
        np.testing.assert_array_equal(np.stack([f.pixels[0] for f in frames_of(item)]), VOXELS + phase)


def test_copies_of_a_picture_are_not_stacked(tmp_path):
    ds = dataset(np.ones((3, 3), np.int16))
    for name in ("a.dcm", "b.dcm"):
        ds.save_as(tmp_path / name, enforce_file_format=True)
    assert [len(i.paths) for i in folder_items(tmp_path)] == [1, 1]


def test_multi_frame_files_and_unreadable_ones_are_their_own_jobs(tmp_path):
    save_series(tmp_path, VOXELS)
    save(tmp_path / "multi.dcm", VOXELS.astype(np.uint16))
    (tmp_path / "bad.dcm").write_bytes(b"no DICOM at all")
    assert sorted(len(i.paths) for i in folder_items(tmp_path)) == [1, 1, 5]


def test_names_hold_no_uid_and_do_not_collide(tmp_path):
    pixels = np.ones((3, 3), np.uint16)
    for name in ("CT.1.2.840.113619.2.55", "CT.1.2.840.113619.2.56", "a.dcm", "a.ima", "noext"):
        save(tmp_path / name, pixels, ImagePositionPatient=None)
    stems = [i.stem for i in folder_items(tmp_path)]
    assert len(set(stems)) == 5 and {"a_dcm", "a_ima", "noext"} < set(stems)
    assert not any("1.2.840" in s for s in stems)


def test_localizers_are_left_out_on_request(tmp_path):
    save_series(tmp_path / "s", VOXELS)
    tags = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ImagePositionPatient": [9, 9, 9]}
    save(tmp_path / "s" / "scout.dcm", VOXELS[0].astype(np.int16), **tags)
    items = folder_items(tmp_path)
    kept = [frames_of(i, options(LayerKind.MASKS, skip_localizers=True)) for i in items]
    assert sorted(map(len, kept)) == [0, 5]
    assert sorted(len(frames_of(i)) for i in items) == [1, 5]
    scout = items[[len(k) for k in kept].index(0)]
    info = MEDICAL.inspect(scout, options(LayerKind.MASKS, skip_localizers=True))
    assert info.formats == {} and info.frames == 0 and any("left out" in n for n in info.notices)


def test_a_scout_that_only_its_description_gives_away_is_left_out_too(tmp_path):
    pixels = VOXELS[0].astype(np.int16)
    path = save(
        tmp_path / "a.dcm", VOXELS[0].astype(np.int16), Modality="MR", SeriesDescription="3-plane Loc"
    )
    info = MEDICAL.inspect(single(path), options(LayerKind.MASKS, skip_localizers=True))
    assert info.facts["localizer"] and info.frames == 0
    path = save(tmp_path / "b.dcm", pixels, SeriesDescription="local recurrence, axial")
    assert not MEDICAL.inspect(single(path), options()).facts["localizer"]


@pytest.mark.parametrize(
    "offsets, missing, told",
    [
        ((0, 1, 2, 3, 4), None, ""),
        ((0, 1, 2, 5, 6), 2, "about 2 slices are missing: slices are 1 to 3 mm apart"),
        ((0, 1, 2.4, 3.1, 5), None, "slices are 0.7 to 1.9 mm apart"),
    ],
)
def test_gaps_and_uneven_spacing_are_reported(tmp_path, offsets, missing, told):
    save_series(tmp_path / "s", VOXELS, offsets=offsets)
    (item,) = folder_items(tmp_path / "s")
    info = MEDICAL.inspect(item, options())
    assert info.facts.get("missing_slices") == missing
    assert [n.split(": positions")[0] for n in info.notices] == ([told] if told else [])


def test_info_counts_the_slices_and_not_the_view_of_their_surface(tmp_path):
    save_series(tmp_path / "s", VOXELS)
    (item,) = folder_items(tmp_path / "s")
    assert MEDICAL.inspect(item, options()).frames == 5
    assert MEDICAL.inspect(item, options(LayerKind.DEPTH)).frames == 1


@pytest.mark.parametrize(
    "series, count, step", [("ct", 51, 3.27), ("mr", 47, 3.27), ("ct_abdomen_j2k", 20, 2.0)]
)
def test_the_real_series(shared_data, series, count, step):
    root = shared_data / "medical" / "series"
    (item,) = MEDICAL.group(sorted((root / series).iterdir(), reverse=True), root=root)
    info = MEDICAL.inspect(item, options(LayerKind.MASKS))
    assert item.stem == series and info.kind == "series" and info.frames == count
    assert info.facts["slice_step_mm"] == pytest.approx(step, abs=1e-3) and not info.notices
    assert info.facts["spacing_mm"] == pytest.approx([0.9766] * 2, abs=1e-3)
    with MEDICAL.open(item, options(LayerKind.MASKS)) as source:
        first = next(iter(source))
    assert first.shape == info.shape and first.valid.all()
    assert np.isfinite(first.pixels).all() and np.ptp(first.pixels) > 100


def test_real_series_mixed_in_one_folder_come_apart(shared_data, tmp_path):
    for series in ("ct", "mr", "ct_abdomen_j2k"):
        for path in sorted((shared_data / "medical/series" / series).iterdir())[::4]:
            shutil.copy(path, tmp_path / f"{path.name}.{series[-2:]}")
    assert sorted(len(i.paths) for i in folder_items(tmp_path)) == [5, 12, 13]


def test_a_single_file_keeps_its_stem(tmp_path):
    assert single(save(tmp_path / "chest one.dcm", np.ones((3, 3), np.uint16))).stem == "chest one"


def test_a_folder_s_reports_and_masks_are_in_no_job_but_damaged_pictures_are(tmp_path):
    save_series(tmp_path, VOXELS)
    blank = {"Rows": None, "Columns": None}
    report = "1.2.840.10008.5.1.4.1.1.88.11"
    save(tmp_path / "report.dcm", VOXELS[0].astype(np.int16), SOPClassUID=report, Modality="SR", **blank)
    plan = "1.2.840.10008.5.1.4.1.1.481.3"
    save(tmp_path / "plan.dcm", VOXELS[0].astype(np.int16), SOPClassUID=plan, Modality="RTSTRUCT", **blank)
    seg = "1.2.840.10008.5.1.4.1.1.66.4"
    save(tmp_path / "seg.dcm", VOXELS.astype(np.uint8), SOPClassUID=seg, Modality="SEG")
    damaged = save(tmp_path / "damaged.dcm", VOXELS[0].astype(np.int16), **blank)
    items = folder_items(tmp_path)
    assert sorted(len(i.paths) for i in items) == [1, 5]
    assert [i.paths for i in items if len(i.paths) == 1] == [(damaged,)]
    for name in ("report", "plan"):
        with pytest.raises(InputError):
            MEDICAL.inspect(single(tmp_path / f"{name}.dcm"), options(LayerKind.MASKS))


def test_a_folder_of_reports_alone_holds_nothing_and_says_what_was_passed_over(tmp_path):
    save_series(tmp_path / "ct", VOXELS)
    blank = {"Rows": None, "Columns": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}
    save(tmp_path / "sr" / "report.dcm", VOXELS[0].astype(np.int16), Modality="SR", **blank)
    readers = Readers(adapters={"medical": MEDICAL})
    both = find([str(tmp_path)], readers)
    assert (len(both.found), both.failed, both.passed_over) == (1, [], 1)
    alone = find([str(tmp_path / "sr")], readers)
    assert not alone.found and len(alone.failed) == 1 and alone.passed_over == 1


def test_a_missing_picture_of_an_echo_is_not_replaced_by_another_echo(tmp_path):
    for echo in range(2):
        for path in save_series(tmp_path / str(echo), VOXELS + 1000 * echo, EchoTime=10 * (echo + 1)):
            (tmp_path / "s").mkdir(exist_ok=True)
            shutil.move(path, tmp_path / "s" / f"{echo}_{path.name}")
    (tmp_path / "s" / "0_002.dcm").unlink()
    first, second = (
        np.stack([f.pixels[0] for f in frames_of(item)]) for item in folder_items(tmp_path / "s")
    )
    np.testing.assert_array_equal(first, np.delete(VOXELS, 2, axis=0))
    np.testing.assert_array_equal(second, VOXELS + 1000)
