"""Outputs read back by the tools of the field: where a class's or a map's pixels lie, in patient mm."""

from __future__ import annotations

import highdicom as hd
import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk

from banana_cli.classes import MEDICAL as TABLE

TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def frame_points(ds, k: int, index: np.ndarray) -> np.ndarray:
    """(N, 3) mm of (row, column) indices of a multi-frame object's frame, by its own functional groups."""
    shared, own = ds.SharedFunctionalGroupsSequence[0], ds.PerFrameFunctionalGroupsSequence[k]

    def group(name):
        return (own if name in own else shared)[name].value[0]

    place = np.array(group("PlanePositionSequence").ImagePositionPatient, float)
    turn = np.array(group("PlaneOrientationSequence").ImageOrientationPatient, float)
    rows, cols = (float(v) for v in group("PixelMeasuresSequence").PixelSpacing)
    return place + index[:, :1] * turn[3:] * rows + index[:, 1:] * turn[:3] * cols


def seg_frames(path, label: str) -> np.ndarray:
    """Voxels of a segment, each frame at its own place."""
    seg = hd.seg.segread(path)
    (number,) = (n for n in seg.segment_numbers if seg.get_segment_description(n).segment_label == label)
    points = []
    for k, pixels in enumerate(np.atleast_3d(seg.pixel_array).reshape(-1, seg.Rows, seg.Columns)):
        own = seg.PerFrameFunctionalGroupsSequence[k]
        of = own if "SegmentIdentificationSequence" in own else seg.SharedFunctionalGroupsSequence[0]
        if of.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number:
            points.append(frame_points(seg, k, np.argwhere(pixels)))
    return np.concatenate(points)


def seg_volume(path, label: str) -> np.ndarray:
    """Voxels of a segment of an even stack, by highdicom's own volume and affine."""
    seg = hd.seg.segread(path)
    numbers = [n for n in seg.segment_numbers if seg.get_segment_description(n).segment_label == label]
    volume = seg.get_volume(segment_numbers=numbers)
    return volume.map_indices_to_reference(np.argwhere(volume.array[..., 0] > 0))


def pm_points(path, low: float, high: float) -> np.ndarray:
    """Pixels of a parametric map whose value lies in a range, each frame at its own place."""
    pm = pydicom.dcmread(path)
    maps = np.frombuffer(pm.FloatPixelData, "<f4").reshape(-1, pm.Rows, pm.Columns)
    return np.concatenate(
        [frame_points(pm, k, np.argwhere((low <= m) & (m <= high))) for k, m in enumerate(maps)]
    )


def nii_nibabel(path, label: str) -> np.ndarray:
    """Voxels of a class by nibabel; sform and qform are checked to say the same."""
    image = nibabel.load(path)
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
    np.testing.assert_allclose(image.get_sform(), image.get_qform(), atol=1e-3)
    index = np.argwhere(np.asarray(image.dataobj) == TABLE.id_of(label))
    return nibabel.affines.apply_affine(TO_LPS @ image.affine, index)


def pm_volume(path, low: float, high: float) -> np.ndarray:
    """The same by highdicom's own volume and affine: maps of an even stack."""
    volume = hd.imread(path).get_volume(dtype=np.float64)
    return volume.map_indices_to_reference(np.argwhere((low <= volume.array) & (volume.array <= high)))


def nii_sitk(path, low: float, high: float) -> np.ndarray:
    """Voxels whose value lies in a range by SimpleITK, which takes right-angled grids only."""
    return _sitk_points(path, lambda values: (low <= values) & (values <= high))


def sc_sitk(path) -> np.ndarray:
    """Voxels of a capture unlike its first, by SimpleITK, which reads no packed bits and no floats."""
    return _sitk_points(path, lambda rgb: (rgb != rgb[0, 0, 0]).any(axis=-1))


def _sitk_points(path, chosen) -> np.ndarray:
    image = sitk.ReadImage(str(path))
    index = np.argwhere(chosen(sitk.GetArrayFromImage(image)))[:, ::-1]
    return np.array([image.TransformIndexToPhysicalPoint([int(v) for v in i]) for i in index])
