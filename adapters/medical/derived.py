"""What the DICOM objects that banana writes have in common: whose they are, and what made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
from highdicom.image import is_multiframe_image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from banana_cli.adapter import SinkJob
from banana_cli.errors import BananaError, OutputError, UsageError
from banana_cli.types import Frame, Json, Modality

from .elements import quiet
from .geometry import Plane, Stack
from .lossy import mark_lossy
from .plan import MedicalInfo
from .sinks import placeless

MANUFACTURER = "banana"
SERIAL = "0"
ANONYMOUS = "ANONYMOUS"
REMEDY = "choose --format npy or png"
_PARAMETER = 64  # characters of a long string (LO)
# of one picture a file, and of several
_CLASSES: Mapping[bool, Mapping[Modality, UID]] = {
    False: {Modality.CT: CTImageStorage, Modality.MR: MRImageStorage},
    True: {Modality.CT: EnhancedCTImageStorage, Modality.MR: EnhancedMRImageStorage},
}
_OTHER_CLASSES = {
    False: SecondaryCaptureImageStorage,
    True: MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A source as the derived object needs it: planes, references, and nobody's identity."""

    stack: Stack
    images: list[Dataset]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Uids:
    study: str
    series: str
    place: str


def medical_info(job: SinkJob) -> MedicalInfo:
    """The job's input. UsageError if it is of another domain."""
    if not isinstance(job.info, MedicalInfo):
        raise UsageError(
            "DICOM and NIfTI are written for medical inputs only",
            subject=job.info.item.subject,
            remedy="choose a format of this domain",
        )
    return job.info


def origin(info: MedicalInfo) -> Origin:
    """Stand-ins for the source pictures. UsageError where they lie nowhere in the patient."""
    if info.stack is None:
        raise placeless(info)
    refs = info.references
    uids = _Uids(study=study_uid(info), series=_uid(info, refs.series_uid, "series"), place=place_uid(info))
    files: dict[str, list[int]] = {}
    for k, (_, sop, _) in enumerate(info.references.pictures):
        files.setdefault(sop or str(k), []).append(k)
    one_file = len(files) == 1
    images = (
        [_multi_frame(info, uids)]
        if one_file
        else [_single_frame(info, k, uids) for k in range(len(info.planes))]
    )
    return Origin(stack=info.stack, images=images)


def surface_facts(frame: Frame) -> dict[str, Json]:
    """How a volume's surface was found and where its picture lies; {} for other frames."""
    if not frame.measured:
        return {}
    facts = {k: v for k, v in frame.provenance.extra.items() if k != "layers"}
    return {"surface": {**facts, **frame.geometry.describe()}}


def _base(info: MedicalInfo, k: int, uids: _Uids) -> Dataset:
    sop_class, sop_uid, _ = info.references.pictures[k]
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = _known_class(sop_class, info)
    ds.SOPInstanceUID = _uid(info, sop_uid, f"picture {k}")
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uids.study, uids.series
    ds.FrameOfReferenceUID = uids.place
    ds.Modality = info.references.modality or "OT"
    ds.PatientID, ds.PatientName = ANONYMOUS, ANONYMOUS
    for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(ds, keyword, None)
    ds.PositionReferenceIndicator = None
    ds.Rows, ds.Columns = info.matrix
    mark_lossy(ds, info.references.lossy)
    return ds


def _known_class(given: str, info: MedicalInfo) -> str:
    """A picture's class, or one like it: highdicom's tables lack some, and some take no frames."""
    several = len(info.planes) > 1 and len({uid for _, uid, _ in info.references.pictures}) == 1
    probe = Dataset()
    probe.SOPClassUID = given
    try:
        if is_multiframe_image(probe) or not several:
            return given
    except KeyError:
        pass
    return str(_CLASSES[several].get(info.modality, _OTHER_CLASSES[several]))


def study_uid(info: MedicalInfo) -> str:
    """The study that the input's outputs belong to, one for all of them."""
    return _uid(info, info.references.study_uid, "study")


def place_uid(info: MedicalInfo) -> str:
    """The frame of reference of the input and of its outputs."""
    return _uid(info, info.references.for_uid, "frame of reference")


def _uid(info: MedicalInfo, uid: str, role: str) -> str:
    """The UID itself, or where it is none (a text could name the patient) a stand-in, always the same one."""
    with quiet():
        if uid and UID(uid).is_valid:
            return uid
    refs = info.references
    pictures = (
        f"{sop} {frame} {plane}" for (_, sop, frame), plane in zip(refs.pictures, info.planes, strict=True)
    )
    known = [refs.study_uid, refs.series_uid, refs.for_uid, info.item.stem, *pictures]
    return str(generate_uid(entropy_srcs=[role, *known]))


def _single_frame(info: MedicalInfo, k: int, uids: _Uids) -> Dataset:
    ds, plane = _base(info, k, uids), info.planes[k]
    if plane is not None:
        ds.ImagePositionPatient = decimals(plane.position)
        ds.ImageOrientationPatient = decimals(plane.orientation)
        ds.PixelSpacing = decimals(plane.spacing)
    ds.SliceThickness = thickness_mm(info)
    return ds


def _multi_frame(info: MedicalInfo, uids: _Uids) -> Dataset:
    """One file; places both at the top and in functional groups, as one frame may be of either kind."""
    ds = _single_frame(info, 0, uids) if len(info.planes) == 1 else _base(info, 0, uids)
    planes = [p for p in info.planes if p is not None]
    ds.NumberOfFrames = len(planes)
    shared = Dataset()
    shared.PixelMeasuresSequence = pixel_measures(planes[0], thickness_mm(info))
    shared.PlaneOrientationSequence = hd.PlaneOrientationSequence("PATIENT", decimals(planes[0].orientation))
    ds.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for plane in planes:
        frame = Dataset()
        frame.PlanePositionSequence = plane_position(plane)
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = frames
    return ds


def decimals(values: Sequence[float]) -> list[float]:
    """Numbers that fit a decimal string of 16 characters, to a nanometre."""
    return [round(float(v), 9) if abs(v) < 1000 else round(float(v), 6) for v in values]


def thickness_mm(info: MedicalInfo) -> float:
    """How thick a slice is: as given, else as far as slices are apart, else as a pixel is wide."""
    given = info.facts.get("slice_thickness_mm")
    if isinstance(given, float) and given > 0:
        return round(given, 6)
    steps = info.stack.steps if info.stack is not None else ()
    pitch = info.planes[0].spacing[0] if info.planes and info.planes[0] else 1.0
    return round(float(np.median(steps)) if len(steps) else pitch, 6)


def pixel_measures(plane: Plane, thickness: float) -> hd.PixelMeasuresSequence:
    """A plane's pixel size as a functional group."""
    return hd.PixelMeasuresSequence(decimals(plane.spacing), thickness)


def plane_position(plane: Plane) -> hd.PlanePositionSequence:
    """A plane's place as a functional group."""
    return hd.PlanePositionSequence("PATIENT", decimals(plane.position))


def plane_orientation(plane: Plane) -> hd.PlaneOrientationSequence:
    """A plane's directions as a functional group."""
    return hd.PlaneOrientationSequence("PATIENT", decimals(plane.orientation))


def save(ds: Dataset, part: Path, info: MedicalInfo) -> None:
    """Write an object; where --no-anonymize asked for it, with whose pictures these are."""
    _restore_class(ds, info)
    for keyword, value in info.references.patient:
        ds.SpecificCharacterSet = "ISO_IR 192"
        setattr(ds, keyword, value)
    ds.save_as(part)


def _restore_class(ds: Dataset, info: MedicalInfo) -> None:
    """Let references name the sources' own class where another stood in for it."""
    given = info.references.pictures[0][0] if info.references.pictures else ""
    stand_in = _known_class(given, info)
    if given == stand_in or not given or not UID(given).is_valid:
        return
    for element in ds.iterall():
        if element.keyword == "ReferencedSOPClassUID" and element.value == stand_in:
            element.value = given


def equipment(job: SinkJob) -> list[hd.ContributingEquipment]:
    """The statement that an algorithm made this, which one, and with which weights."""
    return [
        hd.ContributingEquipment(
            manufacturer=MANUFACTURER,
            purpose_of_reference=codes.DCM.ProcessingEquipment,
            manufacturer_model_name=job.model.name[:_PARAMETER],
            software_versions=versions(job),
            contribution_description="For research, not a medical device",
        )
    ]


def signed(job: SinkJob, series_number: int) -> dict[str, object]:
    """What highdicom's segmentations and maps are told alike: UIDs of their own, and what made them."""
    return {
        "series_instance_uid": generate_uid(),
        "series_number": series_number,
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": job.model.name[:_PARAMETER],
        "software_versions": versions(job),
        "device_serial_number": SERIAL,
        "contributing_equipment": equipment(job),
    }


def versions(job: SinkJob) -> list[str]:
    """Software and weights; measured layers need none."""
    sha256 = job.model.weights_sha256
    return [job.software[:_PARAMETER], f"weights {sha256[:48]}" if sha256 else "no weights: measured"]


def made_by(job: SinkJob) -> str:
    """In one line that an algorithm made this, which one and with which weights."""
    sha256 = job.model.weights_sha256
    return f"{job.software} (algorithm), weights {sha256[:16] or 'none'}, not a medical device"


def algorithm(job: SinkJob) -> hd.AlgorithmIdentificationSequence:
    """The algorithm of a segment."""
    return hd.AlgorithmIdentificationSequence(
        name="banana",
        family=codes.DCM.ArtificialIntelligence,
        version=job.software[:_PARAMETER],
        parameters={"model": job.model.name, "weights_sha256": job.model.weights_sha256},
    )


@contextmanager
def writing(subject: str) -> Iterator[None]:
    """Turn the libraries' exceptions into an OutputError; ours and those of the disk pass through."""
    try:
        with quiet():
            yield
    except BananaError:
        raise
    except OSError as exc:  # of the disk, not of the data: told by whoever knows the output's name
        raise _first_cause(exc) from exc
    except Exception as exc:  # highdicom raises whatever the data provoke
        first = (str(exc) or type(exc).__name__).splitlines()[0][:200]
        raise OutputError(f"cannot be written as DICOM: {first}", subject=subject, remedy=REMEDY) from exc


def _first_cause(exc: OSError) -> OSError:
    """The disk's own words: pydicom raises it again without its number and with a traceback in its text."""
    cause: BaseException | None = exc
    while cause is not None and not (isinstance(cause, OSError) and cause.errno):
        cause = cause.__cause__ or cause.__context__
    return cause if isinstance(cause, OSError) else exc
