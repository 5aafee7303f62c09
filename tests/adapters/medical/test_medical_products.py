"""What a hospital's software is given: valid, coloured, in its place, and the same in every form."""

from __future__ import annotations

import csv
import json

import highdicom as hd
import nibabel
import numpy as np
import pydicom
import pytest
from banana_adapters.common.overlay import OVERLAY
from banana_adapters.common.stats import CSV, JSON
from banana_adapters.medical.lossy import lossy_of
from banana_adapters.medical.sinks import DCM, LABELMAP, NII, SC
from medical_back import frame_points, seg_volume
from medical_made import enhanced, folder_items, options, save, save_series, single, write
from medical_valid import complaints

from banana_cli.errors import InputError, UsageError
from banana_cli.types import LayerKind

ALL = (DCM, LABELMAP, SC)
MASKS = options(LayerKind.MASKS)


def series(folder, slices=6, **tags):
    voxels = np.full((slices, 9, 11), -500)
    voxels[slices // 2 :, 1:3, 6:10] = 500
    save_series(folder / "s", voxels, step=(0, 0, 2.5), PixelSpacing=[0.8, 1.3], **tags)
    return folder_items(folder)[0]


PLACES = [[1, 2, 3.0 * k] for k in range(5)]
SOURCES = {
    "volume": lambda folder: series(folder),
    "three slices": lambda folder: series(folder, 3, Modality="MR"),
    "one slice": lambda folder: single(save(folder / "a.dcm", np.zeros((4, 6), np.int16), SliceThickness=5)),
    "no identity": lambda folder: series(folder, 3, StudyInstanceUID=None, FrameOfReferenceUID=None),
    "enhanced": lambda folder: single(
        enhanced(
            folder / "e.dcm",
            np.full((5, 6, 7), 2000, np.uint16),
            [[1, 2, 3.0 * k] for k in range(5)],
            [1] * 5,
        )
    ),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_object_is_valid_and_says_what_made_it(tmp_path, source):
    written = write(SOURCES[source](tmp_path), tmp_path / "out", formats=ALL)
    assert len(written) == 7
    assert {name: complaints(path) for name, (path, _) in written.items()} == dict.fromkeys(written, [])
    read = [pydicom.dcmread(path, stop_before_pixels=True) for path, _ in written.values()]
    assert len({ds.StudyInstanceUID for ds in read}) == len({ds.FrameOfReferenceUID for ds in read}) == 1
    assert len({ds.SeriesInstanceUID for ds in read}) == len({ds.SOPInstanceUID for ds in read}) == 7
    for ds in read:
        (made,) = (e for e in ds.ContributingEquipmentSequence if e.Manufacturer == "banana")
        assert "research, not a medical device" in made.ContributionDescription
        assert made.SoftwareVersions == ["banana 0.1.0", f"weights {'ab' * 24}"]
        if "SegmentSequence" not in ds:
            assert "banana 0.1.0 (algorithm), weights abababab" in ds.DerivationDescription
            continue
        for segment in (s for s in ds.SegmentSequence if s.SegmentNumber):  # 0 is the background
            (by,) = segment.SegmentationAlgorithmIdentificationSequence
            assert segment.SegmentAlgorithmType == "AUTOMATIC" and by.AlgorithmVersion == "banana 0.1.0"
            assert "ab" * 32 in by.AlgorithmParameters


def test_what_comes_of_lossy_pictures_says_so(tmp_path):
    lossy = {"LossyImageCompression": "01", "LossyImageCompressionRatio": 12.5}
    item = series(tmp_path, 3, **lossy, LossyImageCompressionMethod="ISO_15444_1")
    written = write(item, tmp_path / "out", formats=ALL)
    assert {name: complaints(path) for name, (path, _) in written.items()} == dict.fromkeys(written, [])
    for name in ("masks.dcm", "masks.labelmap.dcm", "masks.sc.dcm", "normals.dcm"):
        ds = pydicom.dcmread(written[name][0])
        said = ds.LossyImageCompression, ds.LossyImageCompressionRatio, ds.LossyImageCompressionMethod
        assert said == ("01", 12.5, "ISO_15444_1"), name


def test_a_baseline_jpeg_is_lossy_though_its_header_is_silent():
    assert lossy_of(pydicom.Dataset(), "1.2.840.10008.1.2.4.50").methods == ("ISO_10918_1",)
    assert lossy_of(pydicom.Dataset(), "1.2.840.10008.1.2.4.90") is None


def test_the_check_of_objects_finds_faults(tmp_path):
    path, _ = write(series(tmp_path), tmp_path / "out", MASKS)["masks.dcm"]
    faults = {
        "lacks Modality": lambda ds: delattr(ds, "Modality"),
        "Manufacturer is empty": lambda ds: setattr(ds, "Manufacturer", ""),
        "knows no KVP": lambda ds: setattr(ds, "KVP", "90"),
        "knows no SegmentSequence/KVP": lambda ds: setattr(ds.SegmentSequence[0], "KVP", "90"),
        "PlanePositionSequence is not there once": lambda ds: delattr(
            ds.PerFrameFunctionalGroupsSequence[1], "PlanePositionSequence"
        ),
        "PixelMeasuresSequence is not there once": lambda ds: setattr(
            ds.PerFrameFunctionalGroupsSequence[0],
            "PixelMeasuresSequence",
            ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence,
        ),
        "common-instance-reference: lacks": lambda ds: delattr(
            ds.ReferencedSeriesSequence[0], "SeriesInstanceUID"
        ),
        "SegmentNumber": lambda ds: delattr(ds.SegmentSequence[0], "SegmentNumber"),
    }
    for text, spoil in faults.items():
        ds = pydicom.dcmread(path)
        spoil(ds)
        ds.save_as(tmp_path / "spoiled.dcm")
        assert [c for c in complaints(tmp_path / "spoiled.dcm") if text in c], text
    long = path.read_bytes().replace(b"0.8\\1.3 ", b"0.8\\1,3 ")
    (tmp_path / "spoiled.dcm").write_bytes(long)
    assert complaints(tmp_path / "spoiled.dcm")


def test_a_label_map_says_what_the_binary_segments_say(tmp_path):
    written = write(series(tmp_path), tmp_path / "out", MASKS, (DCM, LABELMAP))
    binary, labels = written["masks.dcm"][0], written["masks.labelmap.dcm"][0]
    seg = hd.seg.segread(labels)
    assert seg.segmentation_type.value == "LABELMAP" and seg.NumberOfFrames == 6
    np.testing.assert_allclose(seg_volume(labels, "bone"), seg_volume(binary, "bone"))
    assert len(seg_volume(labels, "bone")) == 3 * 2 * 4


@pytest.mark.parametrize("slices", [1, 3, 6])
def test_captures_lie_where_their_pictures_lie(tmp_path, slices):
    written = write(series(tmp_path, slices), tmp_path / "out", formats=(SC,))
    masks = pydicom.dcmread(written["masks.sc.dcm"][0])
    assert masks.pixel_array.shape[-3:] == (9, 11, 3) and masks.FrameOfReferenceUID == "1.2.3.3"
    if slices == 1:
        assert list(masks.ImagePositionPatient) == [0, 0, 0] and list(masks.PatientOrientation) == ["L", "P"]
        return
    corners = [frame_points(masks, k, np.array([[0, 0]]))[0] for k in range(slices)]
    np.testing.assert_allclose(corners, [(0, 0, 2.5 * k) for k in range(slices)])
    bone, air = masks.pixel_array[-1, 1, 7].astype(int), masks.pixel_array[0, 5, 3].astype(int)
    assert (bone > 180).all() and abs(int(air[2]) - 0.45 * 230) <= 1  # grey white; black under the air's tint
    depth = pydicom.dcmread(written["depth.sc.dcm"][0])
    assert depth.FrameOfReferenceUID == "1.2.3.3" and "weights abababab" in depth.DerivationDescription
    assert depth.RecognizableVisualFeatures == ("YES" if slices == 6 else "NO")
    if slices == 6:  # one view of the surface, head up
        assert list(depth.ImageOrientationPatient) == [1, 0, 0, 0, 0, -1]


def test_text_burned_into_the_source_shows_through_the_masks(tmp_path):
    written = write(series(tmp_path, BurnedInAnnotation="YES"), tmp_path / "out", formats=(SC,))
    says = {name: pydicom.dcmread(path).BurnedInAnnotation for name, (path, _) in written.items()}
    assert says == {"masks.sc.dcm": "YES", "depth.sc.dcm": "NO", "normals.sc.dcm": "NO"}


def test_an_overlay_is_grey_under_its_colours(tmp_path):
    path, _ = write(series(tmp_path), tmp_path / "out", MASKS, (OVERLAY,))["masks.overlay"]
    from PIL import Image

    picture = np.asarray(Image.open(path / "000005.png")).astype(float)
    tint = np.array((240, 240, 220))  # bone's colour over white
    np.testing.assert_allclose(picture[1, 7], 255 * 0.55 + tint * 0.45, atol=1)


def test_statistics_give_millilitres_areas_and_mean_hu(tmp_path):
    """Slices at 0, 2, 4 and 10 mm stand for 2, 2, 4 and 6 mm of the patient."""
    voxels = np.full((4, 10, 10), -500)
    voxels[1:, :4, :5] = (100, 200, 300, 400, 500)
    where = {"step": (0, 0, 2), "offsets": [0, 1, 2, 5], "PixelSpacing": [0.5, 2.0]}
    save_series(tmp_path / "s", voxels, **where)
    (item,) = folder_items(tmp_path)
    written = write(item, tmp_path / "out", MASKS, (CSV, JSON))
    with written["masks.csv"][0].open() as file:
        rows = [row for row in csv.DictReader(file) if row["class"] == "bone"]
    assert [row["frame"] for row in rows] == ["0", "1", "2", "3", "all"]
    assert [row["pixels"] for row in rows] == ["0", "20", "20", "20", "60"]
    assert [row["area"] for row in rows] == ["0", "20", "20", "20", ""]
    assert [row["volume_ml"] for row in rows] == ["0", "0.04", "0.08", "0.12", "0.24"]
    assert [row["mean"] for row in rows] == ["", "300", "300", "300", "300"] and rows[0]["mean_unit"] == "HU"
    path, facts = written["masks.stats.json"]
    again = [row for row in json.loads(path.read_text())["rows"] if row["class"] == "bone"]
    assert again[-1]["volume_ml"] == 0.24 and again[-1]["area"] is None and again[1]["mean"] == 300
    assert list(again[0]) == facts["columns"] and len(again) == 5


def test_a_tilted_slab_is_as_thick_as_its_slices_are_apart(tmp_path):
    save_series(tmp_path / "s", np.full((4, 10, 10), 400), step=(0, 3, 2))
    (item,) = folder_items(tmp_path)
    path, _ = write(item, tmp_path / "out", MASKS, (JSON,))["masks.stats.json"]
    rows = json.loads(path.read_text())["rows"]
    (bone,) = (r for r in rows if r["frame"] == "all" and r["class"] == "bone")
    assert bone["volume_ml"] == pytest.approx(4 * 100 * 2 / 1000)


@pytest.mark.parametrize("thickness", [None, 5])
def test_a_lone_slice_has_a_volume_only_if_it_says_how_thick_it_is(tmp_path, thickness):
    item = single(save(tmp_path / "a.dcm", np.full((4, 6), 400, np.int16), SliceThickness=thickness))
    path, _ = write(item, tmp_path / "out", MASKS, (JSON,))["masks.stats.json"]
    (bone,) = (r for r in json.loads(path.read_text())["rows"] if r["class"] == "bone")
    assert bone["volume_ml"] == (thickness and 0.12) and bone["area"] == 24


def test_nifti_says_what_made_it(tmp_path):
    path, _ = write(series(tmp_path), tmp_path / "out", MASKS, (NII,))["masks.nii"]
    said = nibabel.load(path).header["descrip"].tobytes().rstrip(b"\0").decode()
    assert said == "banana 0.1.0 (algorithm), weights abababababababab, not a medical device"


@pytest.mark.parametrize(
    "surface, modality, error",
    [("bone", "MR", InputError), ("skull", "CT", UsageError), ("nan", "CT", UsageError)],
)
def test_surfaces_that_cannot_be_are_refused_with_the_header(tmp_path, surface, modality, error):
    from banana_adapters.medical import MEDICAL

    item = series(tmp_path, Modality=modality)
    with pytest.raises(error, match="surface|bone"):
        MEDICAL.inspect(item, options(surface=surface))
