"""Open an output with the tools of its own field and hold it against its input; used by end-to-end tests."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import highdicom
import nibabel
import numpy as np
import pydicom
import rasterio
from rio_cogeo.cogeo import cog_validate

SIDECAR_KEYS = {
    "schema",
    "software",
    "output",
    "layer",
    "format",
    "complete",
    "frames_done",
    "frames_failed",
    "encoding",
    "input",
    "source",
    "geometry",
    "model",
    "tokens_kept",
    "options",
    "seconds",
    "notes",
    "notices",
}


def sidecar(output: Path) -> dict[str, Any]:
    """The sidecar of an output, with its keys checked; no value may tell where a file lies."""
    text = output.with_name(output.name + ".json").read_text(encoding="utf-8")
    facts = json.loads(text, parse_constant=lambda word: (_ for _ in ()).throw(ValueError(word)))
    assert set(facts) >= SIDECAR_KEYS, SIDECAR_KEYS - set(facts)
    assert facts["schema"] == "banana-output-1"
    assert facts["output"] == output.name
    assert facts["complete"] is True and facts["frames_failed"] == 0
    assert len(facts["model"]["weights_sha256"]) == 64
    assert facts["tokens_kept"] is None or 0 < facts["tokens_kept"] <= 1
    assert ("classes" in facts) == (facts["layer"] == "masks")
    folders = [s for s in strings(facts) if s.startswith(("/", "~")) or str(Path.home()) + "/" in s]
    assert not folders, folders
    return facts


def strings(value: Any) -> list[str]:
    """All strings of a JSON value, keys too."""
    if isinstance(value, dict):
        return [s for k, v in value.items() for s in (k, *strings(v))]
    if isinstance(value, list):
        return [s for v in value for s in strings(v)]
    return [value] if isinstance(value, str) else []


def times(path: Path) -> tuple[list[Fraction], tuple[int, int]]:
    """Time of every frame that decodes, in seconds, and the size (width, height) of the pictures."""
    with av.open(str(path)) as container:
        frames = [
            (f.pts * f.time_base, (f.width, f.height)) for f in container.decode(container.streams.video[0])
        ]
    assert len({size for _, size in frames}) == 1
    return [time for time, _ in frames], frames[0][1]


def sound(path: Path) -> list[tuple[Fraction, bytes]]:
    """Time and bytes of every packet of the first audio stream; none if there is no stream."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        packets = container.demux(container.streams.audio[0])
        return [(p.pts * p.time_base, bytes(p)) for p in packets if p.size]


def same_times(source: list[Fraction], output: list[Fraction], step: Fraction) -> bool:
    """As many frames, each at the time of its source but for a shift common to all, within a tick."""
    shift = output[0] - source[0]
    return len(source) == len(output) and all(
        abs(o - s - shift) <= step for s, o in zip(source, output, strict=True)
    )


def no_person(dataset: pydicom.Dataset, source: pydicom.Dataset) -> None:
    """Neither the name nor the number of the source's patient is in the output, at any depth."""
    told = {str(source.get(k, "")) for k in ("PatientName", "PatientID")} - {"", "ANONYMOUS"}
    found = [e.tag for e in dataset.iterall() if e.VR not in ("OB", "OW", "SQ") and str(e.value) in told]
    assert not found, found


def same_study(dataset: pydicom.Dataset, source: pydicom.Dataset) -> None:
    """Of the same study and frame of reference, at the same number of pixels."""
    for key in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if source.get(key):
            assert dataset.get(key) == source.get(key), key
    assert (dataset.Rows, dataset.Columns) == (source.Rows, source.Columns)


def segments(path: Path, slices: list[pydicom.Dataset]) -> highdicom.seg.Segmentation:
    """A SEG on the source's geometry: every slice of the source is referenced and lies where it lay."""
    seg = highdicom.seg.segread(path)
    same_study(seg, slices[0])
    no_person(seg, slices[0])
    told = {s.SOPInstanceUID or s.file_meta.MediaStorageSOPInstanceUID for s in slices}
    assert {uid for _, _, uid in seg.get_source_image_uids()} <= told
    places = {tuple(np.round(position(f, seg), 3)) for f in seg.PerFrameFunctionalGroupsSequence}
    assert places <= {tuple(np.round(np.array(s.ImagePositionPatient, float), 3)) for s in slices}
    return seg


def position(frame: pydicom.Dataset, whole: pydicom.Dataset) -> np.ndarray:
    """Position of a frame of a multi-frame object, its own or the shared one."""
    group = (
        frame if "PlanePositionSequence" in frame else whole.get("SharedFunctionalGroupsSequence", [None])[0]
    )
    return np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)


def volume_affine(slices: list[pydicom.Dataset]) -> np.ndarray:
    """Index (column, row, slice) to RAS millimetres, from the first and last slice of a sorted series."""
    first, last = (np.array(s.ImagePositionPatient, float) for s in (slices[0], slices[-1]))
    row, column = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
    down, right = (float(v) for v in slices[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * right, column * down
    affine[:3, 2] = (last - first) / max(len(slices) - 1, 1)
    affine[:3, 3] = first
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def sorted_slices(folder: Path) -> list[pydicom.Dataset]:
    """The images of one series along their normal."""
    slices = [pydicom.dcmread(p, stop_before_pixels=True) for p in folder.rglob("*") if p.is_file()]
    row, column = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(row, column)
    return sorted(slices, key=lambda s: float(normal @ np.array(s.ImagePositionPatient, float)))


def same_space(path: Path, slices: list[pydicom.Dataset]) -> np.ndarray:
    """A NIfTI volume on the source's voxels, whichever way it counts them; returns its values."""
    image = nibabel.load(path)
    values = np.asanyarray(image.dataobj)
    assert sorted(values.shape) == sorted((slices[0].Columns, slices[0].Rows, len(slices)))
    ours, theirs = (
        corners(image.affine, values.shape),
        corners(volume_affine(slices), (slices[0].Columns, slices[0].Rows, len(slices))),
    )
    np.testing.assert_allclose(ours, theirs, atol=0.05)
    return values


def corners(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The eight corner voxels in millimetres, in an order of their own."""
    ends = np.array(np.meshgrid(*[[0, n - 1] for n in shape], [1])).reshape(4, -1)
    points = np.round((affine @ ends)[:3].T, 2) + 0.0
    return points[np.lexsort(points.T)]


def raster(path: Path, source: Path) -> rasterio.profiles.Profile:
    """A valid COG on the source's grid, with data exactly where the source has it."""
    valid, errors, _ = cog_validate(str(path))
    assert valid, errors
    with rasterio.open(path) as ours, rasterio.open(source) as theirs:
        assert (ours.width, ours.height) == (theirs.width, theirs.height)
        assert ours.crs == theirs.crs
        assert ours.transform.almost_equals(theirs.transform, 1e-9)
        assert np.array_equal(ours.dataset_mask() > 0, theirs.dataset_mask() > 0)
        return ours.profile
