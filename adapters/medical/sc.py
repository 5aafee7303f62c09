"""Pictures for a hospital's viewer as a secondary capture: normals, painted depth, masks over the scan.

RGB; normals are (n * (.5, -.5, -.5) + .5) * 255 and (0, 0, 0) without a surface. Where the pictures
have a place in the patient, it is written.
"""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, generate_uid

from banana_cli.adapter import SinkJob
from banana_cli.errors import OutputError
from banana_cli.paint import over, paint_frame
from banana_cli.types import U8, Frame, Json, Layer, LayerKind, Mask, Prediction

from .derived import (
    ANONYMOUS,
    MANUFACTURER,
    decimals,
    equipment,
    made_by,
    medical_info,
    pixel_measures,
    place_uid,
    plane_orientation,
    plane_position,
    save,
    study_uid,
    surface_facts,
    thickness_mm,
    versions,
    writing,
)
from .geometry import PatientGeometry, Plane, same_grid
from .lossy import mark_lossy

_SERIES = {LayerKind.MASKS: 903, LayerKind.DEPTH: 904, LayerKind.NORMALS: 902}
_NAMES = {
    LayerKind.MASKS: "Masks over the picture",
    LayerKind.DEPTH: "Depth, painted",
    LayerKind.NORMALS: "Surface normals",
}
_ENCODINGS: dict[LayerKind, dict[str, Json]] = {
    LayerKind.MASKS: {"encoding": "DICOM secondary capture, RGB, a view", "kind": "masks over the picture"},
    LayerKind.DEPTH: {"encoding": "DICOM secondary capture, RGB, a view", "kind": "painted depth"},
    LayerKind.NORMALS: {
        "encoding": "DICOM secondary capture, RGB = (n * (.5, -.5, -.5) + .5) * 255, (0, 0, 0) = none",
        "kind": "unit vectors, x right, y down, z away from the viewer",
        "unit": "1",
    },
}


class ScSink:
    """Collects the painted pictures; a single one is an SC, several are a multi-frame SC."""

    def __init__(self, part: Path, job: SinkJob) -> None:
        self.part, self.job = part, job
        self.info = medical_info(job)
        self.pictures: list[U8] = []
        self.planes: list[Plane | None] = []
        self.spacing: tuple[float, float] | None = None
        self.facts: dict[str, Json] = {}

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Keep one picture."""
        layer = prediction.of(self.job.layer)
        if layer is None:
            return
        self.pictures.append(self._painted(frame, layer))
        self.planes.append(frame.geometry.plane if isinstance(frame.geometry, PatientGeometry) else None)
        self.facts |= surface_facts(frame)
        pitch = frame.geometry.pitch()
        if pitch is not None:
            self.spacing = (pitch.row, pitch.col)

    def _painted(self, frame: Frame, layer: Layer) -> U8:
        colours = self.job.tasks[self.job.layer].paint(layer, self.job.look)
        return over(paint_frame(frame), colours, layer) if isinstance(layer, Mask) else colours

    def finish(self) -> dict[str, Json]:
        """Write the object."""
        if not self.pictures:
            raise OutputError(
                f"there are no {self.job.layer.value} to write",
                subject=self.info.item.subject,
                remedy="see the messages above",
            )
        with writing(self.info.item.subject):
            save(self._object(), self.part, self.info)
        return {**_ENCODINGS[self.job.layer], "frames": len(self.pictures), **self.facts}

    def _object(self) -> hd.sc.SCImage:
        plane = self.planes[0]
        image = hd.sc.SCImage(
            pixel_array=self.pictures[0],
            photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
            bits_allocated=8,
            coordinate_system=hd.CoordinateSystemNames.PATIENT,
            study_instance_uid=study_uid(self.info),
            series_instance_uid=generate_uid(),
            series_number=_SERIES[self.job.layer],
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            patient_id=ANONYMOUS,
            patient_name=ANONYMOUS,
            pixel_spacing=decimals(self.spacing) if self.spacing else None,
            patient_orientation=plane.sides() if plane else ("L", "F"),
            contributing_equipment=equipment(self.job),
        )
        image.SoftwareVersions = versions(self.job)
        image.SeriesDescription = f"{_NAMES[self.job.layer]} by banana"
        image.DerivationDescription = f"{_NAMES[self.job.layer]} by {made_by(self.job)}"
        image.BurnedInAnnotation = "YES" if self._shows_text() else "NO"
        image.RecognizableVisualFeatures = "YES" if self.facts else "NO"  # of a surface: it may be a face
        mark_lossy(image, self.info.references.lossy)
        if plane is None:
            image.PatientOrientation = None
        if len(self.pictures) > 1:
            _make_multi_frame(image, self.pictures)
        self._place(image)
        return image

    def _shows_text(self) -> bool:
        """Whether text that is burned into the source shows through."""
        return self.job.layer is LayerKind.MASKS and any("burned" in n for n in self.info.notices)

    def _place(self, image: hd.sc.SCImage) -> None:
        """Write where the pictures lie, if all of them lie alike somewhere."""
        planes = [p for p in self.planes if p is not None]
        if len(planes) < len(self.planes) or not all(same_grid(planes[0], p) for p in planes):
            return
        image.FrameOfReferenceUID = place_uid(self.info)
        image.PositionReferenceIndicator = None
        if len(planes) == 1:
            image.ImagePositionPatient = decimals(planes[0].position)
            image.ImageOrientationPatient = decimals(planes[0].orientation)
            image.SliceThickness = thickness_mm(self.info)
            return
        shared = Dataset()
        shared.PixelMeasuresSequence = pixel_measures(planes[0], thickness_mm(self.info))
        shared.PlaneOrientationSequence = plane_orientation(planes[0])
        image.SharedFunctionalGroupsSequence = [shared]
        image.PerFrameFunctionalGroupsSequence = [_positioned(p) for p in planes]
        del image.PatientOrientation  # one for all frames; the functional groups say it of each


def _positioned(plane: Plane) -> Dataset:
    group = Dataset()
    group.PlanePositionSequence = plane_position(plane)
    return group


def _make_multi_frame(image: hd.sc.SCImage, pictures: list[U8]) -> None:
    image.SOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    image.file_meta.MediaStorageSOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    image.NumberOfFrames = len(pictures)
    image.PageNumberVector = list(range(1, len(pictures) + 1))
    image.FrameIncrementPointer = 0x00182001
    raw = b"".join(p.tobytes() for p in pictures)
    image.PixelData = raw + b"\0" * (len(raw) % 2)
