"""Read a DICOM header without trusting it: every value is checked, none is an identity."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom import filereader
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from banana_cli.errors import InputError

from .archive import Place
from .elements import number, parsing, quiet, text, texts, whole
from .geometry import Plane, plane_of

MAX_INFLATED_BYTES = 2**30
_TELLING = 4  # digits of a number that can be somebody's
_META_BYTES = 2**16  # where the transfer syntax of a file stands
_PIECE_BYTES = 2**20
_DICOMDIR = "1.2.840.10008.1.3.10"
_MASKS = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
_SCOUT = re.compile(r"\b(locali[sz]ers?|loc|scout|topogram|survey|surview|3[ -]?plane)\b")


class ContentsError(InputError):
    """A DICOMDIR: it only lists other files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What grouping and planning need of one file; UIDs stay in memory and are only written as references."""

    path: Place
    modality: str
    sop_class: str
    sop_uid: str
    study_uid: str
    series_uid: str
    for_uid: str
    series_number: int | None
    instance: int | None
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    bits: tuple[int, int]
    signed: bool
    image_type: tuple[str, ...]
    localizer: bool
    plane: Plane | None
    acquisition: tuple[float, ...]

    @property
    def masks(self) -> bool:
        """Whether the file is a segmentation: marks on another picture."""
        return self.sop_class in _MASKS

    @property
    def mosaic(self) -> bool:
        """Whether a volume's slices are tiled in one picture, as Siemens writes functional MR."""
        return "MOSAIC" in self.image_type

    @property
    def pictures(self) -> bool:
        """Whether the file can hold pictures to look at: no report, plan, table of contents or mask."""
        if self.masks:
            return False
        with quiet():
            name = UID(self.sop_class).name if self.sop_class else ""
        return bool(self.rows or self.columns) or not name or "Image Storage" in name

    @property
    def colour(self) -> bool:
        """Whether a pixel has a colour once decoded."""
        return self.samples == 3 or self.photometric == "PALETTE COLOR"


@dataclass(slots=True)
class _Bounded:
    """A file that takes no more memory than it has bytes left, whatever length an element claims."""

    file: BinaryIO
    size: int

    def read(self, size: int = -1) -> bytes:
        """At most what is left."""
        if size > _PIECE_BYTES:
            size = min(size, max(self.size - self.file.tell(), 0))
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """As a file's."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """As a file's."""
        return self.file.tell()


def read_dataset(place: Place) -> Dataset:
    """The header of a file. InputError if it is no DICOM or cannot be parsed."""
    with parsing(str(place), "cannot be read"), place.open("rb") as file:
        return parsed(file, place)


def parsed(file: BinaryIO, place: Place) -> Dataset:
    """The data set before its pixels, where the file then stands; a deflated one is read whole."""
    source = _Bounded(file, place.stat().st_size) if isinstance(place, Path) else file
    deflated = _check_inflated(source, place)
    dataset = pydicom.dcmread(source, force=True, stop_before_pixels=not deflated)
    if text(dataset.get("file_meta") or Dataset(), "MediaStorageSOPClassUID") == _DICOMDIR:
        raise ContentsError(
            "is a DICOMDIR, a table of contents without pictures",
            subject=str(place),
            remedy="give the folder that it describes instead",
        )
    if not any(tag.group >= 0x0008 and not tag.is_private for tag in dataset.keys()):
        raise InputError("is not DICOM", subject=str(place), remedy="leave it out, or name its domain")
    return dataset


def _check_inflated(file: BinaryIO | _Bounded, place: Place) -> bool:
    """Whether a file is deflated: pydicom then inflates it whole, so InputError where it is too large."""
    meta = file.read(_META_BYTES)
    file.seek(0)
    if DeflatedExplicitVRLittleEndian.encode() not in meta:
        return False
    filereader.read_preamble(file, force=True)
    filereader.read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, vr, length: tag.group != 2
    )
    inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while piece := inflater.unconsumed_tail or file.read(_PIECE_BYTES):
        size += len(inflater.decompress(piece, _PIECE_BYTES))
        if size > MAX_INFLATED_BYTES:
            message = f"is deflated from more than {MAX_INFLATED_BYTES >> 20} MiB"
            raise InputError(message, subject=str(place), remedy="store it without deflation first")
    file.seek(0)
    return True


def read_header(place: Place) -> Header:
    """The header of a file. InputError if it cannot be parsed."""
    with parsing(str(place), "cannot be read"):
        return header_of(read_dataset(place), place)


def header_of(ds: Dataset, place: Place) -> Header:
    """The checked values of a data set."""
    image_type = tuple(v.upper() for v in texts(ds, "ImageType"))
    meta = ds.get("file_meta") or Dataset()
    acquisition = ("TemporalPositionIdentifier", "AcquisitionNumber", "EchoTime", "DiffusionBValue")
    return Header(
        path=place,
        modality=text(ds, "Modality").upper(),
        sop_class=text(ds, "SOPClassUID") or text(meta, "MediaStorageSOPClassUID"),
        sop_uid=text(ds, "SOPInstanceUID") or text(meta, "MediaStorageSOPInstanceUID"),
        study_uid=text(ds, "StudyInstanceUID"),
        series_uid=text(ds, "SeriesInstanceUID"),
        for_uid=text(ds, "FrameOfReferenceUID"),
        series_number=_series_number(ds),
        instance=whole(ds, "InstanceNumber"),
        rows=whole(ds, "Rows") or 0,
        columns=whole(ds, "Columns") or 0,
        frames=max(whole(ds, "NumberOfFrames") or 1, 1),
        samples=whole(ds, "SamplesPerPixel") or 1,
        photometric=text(ds, "PhotometricInterpretation").upper(),
        bits=(whole(ds, "BitsAllocated") or 0, whole(ds, "BitsStored") or 0),
        signed=whole(ds, "PixelRepresentation") == 1,
        image_type=image_type,
        localizer="LOCALIZER" in image_type
        or _SCOUT.search(text(ds, "SeriesDescription").lower()) is not None,
        plane=plane_of(ds),
        acquisition=tuple(number(ds, k) or 0.0 for k in acquisition),
    )


def _series_number(ds: Dataset) -> int | None:
    """The number that names and sidecars show; None where somebody wrote the patient's into it."""
    number = whole(ds, "SeriesNumber")
    same = number is not None and len(str(number)) >= _TELLING and str(number) in text(ds, "PatientID")
    return None if same else number
