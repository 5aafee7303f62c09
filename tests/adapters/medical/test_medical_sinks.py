"""What is written lies where it was in the patient, says who made it, and names nobody."""

from __future__ import annotations

import errno
from pathlib import Path

import highdicom as hd
import nibabel
import numpy as np
import pydicom
import pytest
from banana_adapters.medical.derived import writing
from medical_back import TO_LPS, nii_nibabel, seg_volume
from medical_made import (
    SECRET_BIRTH,
    SECRET_ID,
    SECRET_NAME,
    enhanced,
    folder_items,
    options,
    save,
    save_series,
    single,
    write,
)

from banana_cli.classes import MEDICAL as TABLE
from banana_cli.errors import UsageError
from banana_cli.types import LayerKind, Modality

MASKS = options(LayerKind.MASKS)


def block_volume():
    """Air with a block of bone away from the middle, and the block's centre as (slice, row, column)."""
    voxels = np.full((6, 9, 11), -500)
    voxels[3:5, 1:3, 6:10] = 500
    return voxels, np.array((3.5, 1.5, 7.5))


def test_segments_are_coded_coloured_and_signed(tmp_path):
    voxels, _ = block_volume()
    paths = save_series(tmp_path / "s", voxels)
    (item,) = folder_items(tmp_path)
    path, facts = write(item, tmp_path / "out", MASKS)["masks.dcm"]
    seg = hd.seg.segread(path)
    labels = [seg.get_segment_description(n).segment_label for n in seg.segment_numbers]
    assert (
        labels == list(facts["segments"].values()) == ["air", "fat", "soft tissue", "bone", "lung", "tumour"]
    )
    for n in seg.segment_numbers:
        text = seg.get_segment_description(n)
        info = TABLE.classes[TABLE.id_of(text.segment_label)]
        assert (text.segmented_property_category.value, text.segmented_property_type.value) == tuple(
            code for code, _ in info.snomed
        )
        assert text.segmented_property_type.scheme_designator == "SCT"
        assert text.algorithm_type.value == "AUTOMATIC"
        assert text.algorithm_identification.name == "banana"
        colour = hd.color.CIELabColor.from_dicom_value(text.RecommendedDisplayCIELabValue).to_rgb()
        assert np.abs(np.subtract(colour, info.rgb)).max() <= 2
    assert seg.FrameOfReferenceUID == "1.2.3.3" and seg.StudyInstanceUID == "1.2.3.1"
    sources = {pydicom.dcmread(p).SOPInstanceUID for p in paths}
    series = seg.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == "1.2.3.2"
    assert {r.ReferencedSOPInstanceUID for r in series.ReferencedInstanceSequence} == sources
    assert seg.SegmentationType == "BINARY" and seg.NumberOfFrames == 6 + 2


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 3, 4, 0, 2, 1)])
def test_enhanced_files_are_segmented_frame_by_frame(tmp_path, order):
    voxels, (k, row, col) = block_volume()
    positions = [[1, 2, 3.0 * place] for place in order]
    stored = (voxels[list(order)] + 1000).astype(np.uint16)
    path = enhanced(tmp_path / "e.dcm", stored, positions, [1] * 6)
    written = write(single(path), tmp_path / "out", MASKS)
    expected = (1 + 2 * col, 2 + 2 * row, 3 * k)
    for points in (seg_volume(written["masks.dcm"][0], "bone"), nii_nibabel(written["masks.nii"][0], "bone")):
        np.testing.assert_allclose(points.mean(axis=0), expected, atol=0.01)


def test_a_single_slice_gives_all_three_objects(tmp_path):
    pixels = np.arange(30, dtype=np.int16).reshape(5, 6) * 10 - 100
    tags = {"PixelSpacing": [0.5, 0.7], "ImagePositionPatient": [3, 4, 5], "PixelPaddingValue": -100}
    item = single(save(tmp_path / "a.dcm", pixels, **tags))
    written = write(item, tmp_path / "out")
    pm = hd.imread(written["depth.dcm"][0])
    values = np.frombuffer(pm.FloatPixelData, "<f4").reshape(5, 6)
    np.testing.assert_allclose(values.ravel()[1:], pixels.ravel()[1:] / 10, rtol=1e-6)
    assert np.isnan(values[0, 0])
    shared = pm.SharedFunctionalGroupsSequence[0]
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == [0.5, 0.7]
    place = pm.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    assert list(place.ImagePositionPatient) == [3, 4, 5]
    mapping = shared.RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "mm"
    assert mapping.RealWorldValueSlope == 1 and mapping.RealWorldValueIntercept == 0
    sc = pydicom.dcmread(written["normals.dcm"][0])
    assert tuple(sc.pixel_array[1, 1]) == (128, 128, 255) and tuple(sc.pixel_array[0, 0]) == (0, 0, 0)
    assert list(sc.PixelSpacing) == [0.5, 0.7] and list(sc.PatientOrientation) == ["L", "P"]
    assert seg_volume(written["masks.dcm"][0], "air").min(axis=0)[2] == 5


def test_a_surface_map_lies_on_its_viewing_plane(tmp_path):
    voxels = np.full((12, 16, 16), -1000)
    voxels[3:9, 4:12, 4:12] = 40
    save_series(tmp_path / "s", voxels, step=(0, 0, 2), origin=(10, 20, 30))
    (item,) = folder_items(tmp_path)
    written = write(item, tmp_path / "out")
    pm = hd.imread(written["depth.dcm"][0])
    shared = pm.SharedFunctionalGroupsSequence[0]
    assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == [1, 0, 0, 0, 0, -1]
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == [1, 1]
    place = pm.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    np.testing.assert_allclose(place.ImagePositionPatient, (10, 19.5, 30 + 2 * 11 + 0.5))
    values = np.frombuffer(pm.FloatPixelData, "<f4").reshape(pm.Rows, pm.Columns)
    assert 4 <= np.nanmin(values) <= 4.5 and (pm.Rows, pm.Columns) == (24, 16)
    image = nibabel.load(written["depth.nii"][0])
    data = np.asarray(image.dataobj)[..., 0]
    i, j = np.argwhere(np.isfinite(data)).mean(axis=0)
    middle = (TO_LPS @ image.affine @ (i, j, 0, 1))[:3]
    np.testing.assert_allclose(middle, (17.5, 19.5, 41), atol=0.6)
    assert written["depth.nii"][1]["unit"] == "mm"


def test_several_normals_are_one_multi_frame_capture(tmp_path):
    save_series(tmp_path / "s", np.full((3, 5, 6), 40))
    (item,) = folder_items(tmp_path)
    sc = pydicom.dcmread(write(item, tmp_path / "out")["normals.dcm"][0])
    assert sc.NumberOfFrames == 3 and sc.pixel_array.shape == (3, 5, 6, 3)
    assert (sc.pixel_array == (128, 128, 255)).all()


def test_no_output_names_the_patient(tmp_path):
    voxels, _ = block_volume()
    dates = {
        "StudyDate": "20190817",
        "AccessionNumber": "ACC-9911",
        "StudyID": "ST-77",
        "InstitutionName": "Heim",
    }
    save_series(tmp_path / "s", np.repeat(voxels, 2, axis=0), **dates)
    (item,) = folder_items(tmp_path)
    written = write(item, tmp_path / "out")
    assert len(written) == 5
    secrets = (SECRET_NAME, SECRET_ID, SECRET_BIRTH, "Gertrud", "20190817", "ACC-9911", "ST-77", "Heim")
    for path, facts in written.values():
        data = path.read_bytes() + repr(facts).encode() + path.name.encode()
        assert not [s for s in secrets if s.encode() in data]
    for name in ("masks.dcm", "depth.dcm", "normals.dcm"):
        ds = pydicom.dcmread(written[name][0])
        made = ds.ContributingEquipmentSequence[0]
        assert ds.PatientName == "ANONYMOUS" and made.Manufacturer == "banana"
        assert any("weights " + "ab" * 20 in v for v in made.SoftwareVersions)


def test_facts_hold_no_identity_and_no_uid(tmp_path):
    from banana_adapters.medical import MEDICAL

    save_series(tmp_path / "s", np.full((5, 6, 7), 40))
    (item,) = folder_items(tmp_path)
    info = MEDICAL.inspect(item, options())
    shown = repr(info)
    for secret in (SECRET_NAME, SECRET_ID, SECRET_BIRTH, "1.2.3."):
        assert secret not in shown
    assert info.facts["slices"] == 5 and info.facts["orientation"] == "L\\P"
    assert info.facts["layer_frames"] == {"masks": 5, "depth": 1, "normals": 1}


@pytest.mark.parametrize("fmt", ["dcm", "nii"])
def test_a_picture_outside_of_a_patient_is_refused_clearly(tmp_path, fmt):
    tags = {"Modality": "DX", "ImagePositionPatient": None, "ImageOrientationPatient": None}
    item = single(save(tmp_path / "a.dcm", np.ones((4, 4), np.uint16), **tags))
    with pytest.raises(UsageError, match="place in a patient"):
        write(item, tmp_path / "out", MASKS)


def test_every_code_is_that_of_the_standard():
    from pydicom.sr.codedict import codes

    known = {}
    for name in codes.SCT.dir():
        code = getattr(codes.SCT, name)
        known.setdefault(code.value, set()).add(code.meaning.lower())
    fat = {"adipose tissue"}  # the standard's other word for the same code
    for info in TABLE.classes:
        for code, meaning in info.snomed or ():
            assert meaning.lower() in known[code] | (fat if code == "55603005" else set()), (code, meaning)


def test_every_modality_has_coded_classes():
    from banana_cli.classes import possible_ids

    for modality in (Modality.CT, Modality.MR, Modality.XRAY, Modality.ULTRASOUND, Modality.VISIBLE):
        assert all(i == 0 or TABLE.classes[i].snomed for i in possible_ids(modality))


@pytest.mark.parametrize("sop_class", ["481.2", "30", "7", "2.1", "128"])
def test_one_frame_of_any_class_can_be_a_source(tmp_path, sop_class):
    """Classes whose IOD allows frames want functional groups even of one; the others want none."""
    uid = f"1.2.840.10008.5.1.4.1.1.{sop_class}"
    path = save(tmp_path / "a.dcm", np.full((4, 5), 40, np.int16), SOPClassUID=uid, NumberOfFrames=1)
    written = write(single(path), tmp_path / "out", MASKS)
    assert len(seg_volume(written["masks.dcm"][0], "bone")) == 20


@pytest.mark.parametrize("sop_class", ["66.7", "2", "999.1"])
def test_several_frames_of_any_class_can_be_a_source(tmp_path, sop_class):
    """A label map, which pydicom does not know; a CT, one frame by the standard; and what is none."""
    uid = f"1.2.840.10008.5.1.4.1.1.{sop_class}"
    places = [[1, 2, 3.0 * k] for k in range(5)]
    path = enhanced(tmp_path / "e.dcm", np.full((5, 6, 7), 2000, np.uint16), places, [1] * 5)
    ds = pydicom.dcmread(path)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uid
    ds.save_as(path)
    written = write(single(path), tmp_path / "out", MASKS)
    seg = hd.seg.segread(written["masks.dcm"][0])
    assert len(seg_volume(written["masks.dcm"][0], "bone")) == 5 * 6 * 7
    (source,) = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert (source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID) == (uid, ds.SOPInstanceUID)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
def test_a_full_disk_is_told_as_the_disk_tells_it(tmp_path):
    """pydicom raises such an error again with a traceback as its text and without its number."""
    made = save(tmp_path / "a.dcm", np.zeros((8, 9), np.int16))
    with pytest.raises(OSError) as told, writing("a.dcm"):
        pydicom.dcmread(made).save_as("/dev/full")
    assert told.value.errno == errno.ENOSPC
    assert "\n" not in str(told.value)


def test_a_lone_slice_is_as_thick_in_nifti_as_it_says(tmp_path):
    item = single(save(tmp_path / "in.dcm", np.zeros((4, 6), np.int16), SliceThickness=5))
    path, _ = write(item, tmp_path, MASKS)["masks.nii"]
    assert nibabel.load(path).header.get_zooms() == pytest.approx((1, 1, 5))


def test_a_study_uid_that_is_a_text_goes_nowhere(tmp_path):
    source = save(tmp_path / "in.dcm", np.zeros((4, 6), np.int16), StudyInstanceUID="1.2.3.4.5.6.77")
    source.write_bytes(source.read_bytes().replace(b"1.2.3.4.5.6.77", b"GEHEIM GERTRUD"))
    item = single(source)
    for path, _ in write(item, tmp_path / "out", options()).values():
        assert b"GEHEIM" not in path.read_bytes()
