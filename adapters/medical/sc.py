"""Normals as a secondary capture: RGB, (n * (.5, -.5, -.5) + .5) * 255, (0, 0, 0) without a surface."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, generate_uid

from banana_cli.adapter import SinkJob
from banana_cli.errors import OutputError
from banana_cli.types import U8, Frame, Json, Normals, Prediction

from .derived import (
    ANONYMOUS,
    MANUFACTURER,
    decimals,
    equipment,
    medical_info,
    surface_facts,
    valid_uid,
    versions,
    writing,
)
from .geometry import PatientGeometry, Plane

_SERIES = 902


class ScSink:
    """Collects the painted normals; a single picture is an SC, several are a multi-frame SC."""

    def __init__(self, part: Path, job: SinkJob) -> None:
        self.part, self.job = part, job
        self.info = medical_info(job)
        self.pictures: list[U8] = []
        self.spacing: tuple[float, float] | None = None
        self.plane: Plane | None = None
        self.facts: dict[str, Json] = {}

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Keep one picture's normals."""
        normals = prediction.of(self.job.layer)
        if not isinstance(normals, Normals):
            return
        self.pictures.append(self.job.tasks[self.job.layer].paint(normals, self.job.look))
        if isinstance(frame.geometry, PatientGeometry):
            self.plane = frame.geometry.plane
        self.facts |= surface_facts(frame)
        pitch = frame.geometry.pitch()
        if pitch is not None:
            self.spacing = (pitch.row, pitch.col)

    def finish(self) -> dict[str, Json]:
        """Write the object."""
        if not self.pictures:
            raise OutputError(
                "there are no normals to write",
                subject=self.info.item.subject,
                remedy="see the messages above",
            )
        with writing(self.info.item.subject):
            self._object().save_as(self.part)
        return {
            "encoding": "DICOM secondary capture, RGB = (n * (.5, -.5, -.5) + .5) * 255, (0, 0, 0) = none",
            "kind": "unit vectors, x right, y down, z away from the viewer",
            "unit": "1",
            "frames": len(self.pictures),
            **self.facts,
        }

    def _object(self) -> hd.sc.SCImage:
        image = hd.sc.SCImage(
            pixel_array=self.pictures[0],
            photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
            bits_allocated=8,
            coordinate_system=hd.CoordinateSystemNames.PATIENT,
            study_instance_uid=valid_uid(self.info.references.study_uid),
            series_instance_uid=generate_uid(),
            series_number=_SERIES,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            patient_id=ANONYMOUS,
            patient_name=ANONYMOUS,
            pixel_spacing=decimals(self.spacing) if self.spacing else None,
            patient_orientation=self.plane.sides() if self.plane else ("L", "F"),
            contributing_equipment=equipment(self.job),
        )
        image.SoftwareVersions = versions(self.job)
        image.DerivationDescription = "Surface normals by banana"
        image.BurnedInAnnotation = "NO"
        if self.plane is None:
            image.PatientOrientation = None
        if len(self.pictures) > 1:
            _make_multi_frame(image, self.pictures)
        return image


def _make_multi_frame(image: hd.sc.SCImage, pictures: list[U8]) -> None:
    image.SOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    image.file_meta.MediaStorageSOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    image.NumberOfFrames = len(pictures)
    image.PageNumberVector = list(range(1, len(pictures) + 1))
    image.FrameIncrementPointer = 0x00182001
    raw = np.stack(pictures).tobytes()
    image.PixelData = raw + b"\0" * (len(raw) % 2)
