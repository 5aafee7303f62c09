"""What an input is, decided from its headers alone: frames in order, modality, geometry, facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from banana_cli.adapter import InputItem, SourceInfo
from banana_cli.errors import InputError
from banana_cli.options import ReadOptions, ViewName
from banana_cli.types import Domain, Json, LayerKind, Modality

from .archive import Place
from .codecs import jpeg_decoder
from .directory import contents_of
from .elements import hashed, number, numbers, quiet, text
from .frames import transfer_syntax
from .geometry import Plane, Stack, plane_of, stack_of
from .header import ContentsError, Header, header_of, read_dataset
from .levels import level_of
from .lossy import Lossy, lossy_of
from .pixels import check_claims, rescale_type, voi_window
from .surface import ViewGrid, view_grid

_EVEN = 0.1  # of a step; as Stack.uneven
_IDENTITY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
MIN_VOLUME = 4  # slices; fewer have no surface worth the name
_SURFACE = frozenset({LayerKind.DEPTH, LayerKind.NORMALS})
_MODALITIES: Mapping[str, Modality] = {
    "CT": Modality.CT,
    "MR": Modality.MR,
    **dict.fromkeys(("CR", "DX", "MG", "RF", "XA", "IO", "PX", "RG"), Modality.XRAY),
    **dict.fromkeys(("US", "IVUS", "BDUS"), Modality.ULTRASOUND),
    **dict.fromkeys(("ES", "XC", "OP", "GM", "SM", "DMS", "DM"), Modality.VISIBLE),
}
_COLOURFUL = frozenset({Modality.ULTRASOUND, Modality.VISIBLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One picture of an input: which of its files, and which frame in that."""

    file: int
    frame: int
    plane: Plane | None


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """UIDs that a derived object must name; they go into DICOM outputs and nowhere else."""

    study_uid: str
    series_uid: str
    for_uid: str
    modality: str
    pictures: tuple[tuple[str, str, int], ...]
    """(SOP class, SOP instance, frame from 0) of each picture."""
    lossy: Lossy | None = None
    patient: tuple[tuple[str, str], ...] = ()
    """Keyword and value of what tells whose pictures they are; () unless --no-anonymize asks for it."""


@dataclass(frozen=True, kw_only=True)
class MedicalInfo(SourceInfo):
    """What the DICOM sinks need beyond the facts: planes of the pictures, in order, and references."""

    planes: tuple[Plane | None, ...] = ()
    matrix: tuple[int, int] = (0, 0)
    stack: Stack | None = None
    references: References = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that reading needs."""

    info: MedicalInfo
    headers: tuple[Header, ...]
    cells: tuple[Cell, ...]
    slices: bool
    surface: ViewGrid | None
    size_mm: tuple[float, float] | None
    unit: str


def plan(item: InputItem, options: ReadOptions, places: Sequence[Place]) -> Plan:
    """Read the headers of a job, whose files are at ``places``. InputError where it is no picture."""
    try:
        first = read_dataset(places[0])
    except ContentsError:
        raise _useless(item) from None
    headers = [header_of(first, places[0])]
    check_claims(headers[0])
    for place in places[1:]:
        headers.append(header_of(read_dataset(place), place))
        check_claims(headers[-1])
    with quiet():
        return _Planner(item, options, first, tuple(headers)).plan()


def _useless(item: InputItem) -> InputError:
    """What to say of a DICOMDIR: it is a job of its own only where what it lists is not there."""
    contents = contents_of(item.paths[0])
    listed = contents.missing + len(contents.files)
    missing = f"{contents.missing} of the {listed} files that it lists are not in its folder"
    message = f"is a DICOMDIR: {missing if listed else 'it lists no files'}"
    remedy = "copy the whole medium, or give the folder that holds its files"
    return InputError(message, subject=item.subject, remedy=remedy)


class _Planner:
    """One pass over the headers; collects notices on the way."""

    def __init__(
        self, item: InputItem, options: ReadOptions, first: Dataset, headers: tuple[Header, ...]
    ) -> None:
        self.item, self.options, self.ds, self.headers = item, options, first, headers
        self.notices: list[str] = []
        self.h = headers[0]

    def plan(self) -> Plan:
        modality = self.modality()
        cells = self.cells()
        stack = self.stack(cells)
        skip = self.options.dicom.skip_localizers and self.h.localizer
        if skip:
            self.notices.append("a localizer, left out as asked")
            cells = ()
        volume = (
            stack if stack and len(cells) >= MIN_VOLUME and modality in (Modality.CT, Modality.MR) else None
        )
        wanted = self.options.layers
        grid = self.grid(volume, modality) if volume and wanted & _SURFACE else None
        slices = grid is None or LayerKind.MASKS in wanted
        size = self.pixel_size(cells)
        self.warn(stack)
        matrix = (self.h.rows, self.h.columns)
        info = MedicalInfo(
            item=self.item,
            domain=Domain.MEDICAL,
            modality=modality,
            kind=self.kind(),
            shape=grid.shape if grid and not slices else matrix,
            frames=len(cells) if slices else 1,
            formats={} if skip else _formats(modality, stack is not None and not self.h.masks),
            facts=self.facts(modality, cells, stack, size, volume is not None),
            notices=tuple(self.notices),
            planes=tuple(c.plane for c in cells),
            matrix=matrix,
            stack=stack,
            references=self.references(cells),
        )
        unit = self.unit(modality)
        return Plan(
            info=info, headers=self.headers, cells=cells, slices=slices, surface=grid, size_mm=size, unit=unit
        )

    def kind(self) -> str:
        if len(self.headers) > 1:
            return "series"
        return "multi-frame" if self.h.frames > 1 else "picture"

    def modality(self) -> Modality:
        h = self.h
        given = _MODALITIES.get(h.modality)
        if h.colour:
            if given in _COLOURFUL and given is not None:
                return given
            self.guess(Modality.VISIBLE, "its pixels have colours")
            return Modality.VISIBLE
        if given is not None:
            return given
        if rescale_type(self.ds) == "HU":
            self.guess(Modality.CT, "it is rescaled to HU")
            return Modality.CT
        self.guess(Modality.MR, "its pixels are grey and of no known scale")
        return Modality.MR

    def guess(self, taken: Modality, why: str) -> None:
        if self.h.masks:
            self.notices.append("a segmentation and no scan: its marks are read as if they were a picture")
            return
        name = self.h.modality[:16] if self.h.modality.isalnum() else "missing"
        self.notices.append(f"modality {name} is none that the model knows: taken as {taken.value}, as {why}")

    def cells(self) -> tuple[Cell, ...]:
        if len(self.headers) > 1:
            return tuple(Cell(file=k, frame=0, plane=h.plane) for k, h in enumerate(self.headers))
        if self.h.frames == 1 and self.h.plane is not None:
            return (Cell(file=0, frame=0, plane=self.h.plane),)
        return tuple(Cell(file=0, frame=k, plane=plane_of(self.ds, k)) for k in range(self.h.frames))

    def stack(self, cells: Sequence[Cell]) -> Stack | None:
        planes = [c.plane for c in cells if c.plane is not None]
        return stack_of(planes) if planes and len(planes) == len(cells) else None

    def grid(self, stack: Stack, modality: Modality) -> ViewGrid:
        asked = self.options.dicom
        level = level_of(asked.surface, modality, self.item.subject)
        return view_grid(stack, (self.h.rows, self.h.columns), ViewName(asked.view), level)

    def unit(self, modality: Modality) -> str:
        if modality is Modality.CT:
            return "HU"
        return "1"

    def pixel_size(self, cells: Sequence[Cell]) -> tuple[float, float] | None:
        if cells and cells[0].plane is not None:
            return cells[0].plane.spacing
        for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
            size = numbers(self.ds, keyword)
            if len(size) == 2 and min(size) > 0:
                if keyword == "ImagerPixelSpacing":
                    self.notices.append("pixel size is that at the detector, not in the patient")
                return (size[0], size[1])
        if not self.h.colour:
            self.notices.append("no pixel size is given: nothing can be measured in mm")
        return None

    def warn(self, stack: Stack | None) -> None:
        if text(self.ds, "BurnedInAnnotation").upper() == "YES":
            self.notices.append("its tag says that text is burned into the pixels; it may name the patient")
        if text(self.ds, "RecognizableVisualFeatures").upper() == "YES":
            self.notices.append("its tag says that the patient can be recognised in the pixels")
        if not self.options.dicom.anonymize:
            self.notices.append("not anonymized, as asked: DICOM outputs tell whose pictures these are")
        if stack is None:
            if self.kind() == "series":
                self.notices.append("the slices are not one stack of parallel planes")
            return
        if stack.uneven:
            steps, missing = stack.steps, missing_slices(stack)
            gaps = f"about {missing} slices are missing: " if missing else ""
            self.notices.append(
                f"{gaps}slices are {steps.min():.3g} to {steps.max():.3g} mm apart: positions are kept, "
                "a surface is interpolated across the gaps"
            )

    def references(self, cells: Sequence[Cell]) -> References:
        pictures = tuple(
            (self.headers[c.file].sop_class, self.headers[c.file].sop_uid, c.frame) for c in cells
        )
        h = self.h
        return References(
            study_uid=h.study_uid,
            series_uid=h.series_uid,
            for_uid=h.for_uid,
            modality=h.modality,
            pictures=pictures,
            lossy=lossy_of(self.ds, transfer_syntax(self.ds)),
            patient=() if self.options.dicom.anonymize else tuple((k, text(self.ds, k)) for k in _IDENTITY),
        )

    def facts(
        self,
        modality: Modality,
        cells: Sequence[Cell],
        stack: Stack | None,
        size: tuple[float, float] | None,
        volume: bool,
    ) -> dict[str, Json]:
        facts: dict[str, Json] = {"modality": self.h.modality, "read_as": modality.value}
        facts |= self.picture_facts(cells, size)
        facts |= self.geometry_facts(cells, stack)
        if not self.options.dicom.anonymize:
            facts |= {
                "study_uid": self.h.study_uid,
                "series_uid": self.h.series_uid,
                "frame_of_reference_uid": self.h.for_uid,
            }
        if volume:
            facts["surface_view"] = self.options.dicom.view.value
            facts["surface_of"] = self.options.dicom.surface
            facts["layer_frames"] = {"masks": len(cells), "depth": 1, "normals": 1}
        return facts

    def picture_facts(self, cells: Sequence[Cell], size: tuple[float, float] | None) -> dict[str, Json]:
        h = self.h
        window, syntax = voi_window(self.ds, 0), transfer_syntax(self.ds)
        decoder = jpeg_decoder(syntax)
        return {
            "sop_class": UID(h.sop_class).name if UID(h.sop_class).is_valid else "",
            "transfer_syntax": syntax.name,
            **({"jpeg_decoder": decoder} if decoder else {}),
            "photometric": h.photometric,
            "rows": h.rows,
            "columns": h.columns,
            "slices" if h.frames == 1 else "frames": len(cells),
            "bits_allocated": h.bits[0],
            "bits_stored": h.bits[1],
            "signed": h.signed,
            "spacing_mm": list(size) if size else None,
            "series_number": h.series_number,
            "series_sha256": hashed(h.series_uid),
            "localizer": h.localizer,
            "voi_window": {"centre": window[0], "width": window[1]} if window else None,
        }

    def geometry_facts(self, cells: Sequence[Cell], stack: Stack | None) -> dict[str, Json]:
        facts: dict[str, Json] = {}
        if cells and cells[0].plane is not None:
            facts["orientation"] = cells[0].plane.label()
            facts["frame_of_reference_sha256"] = hashed(self.h.for_uid)
        thickness = number(self.ds, "SliceThickness")
        if thickness:
            facts["slice_thickness_mm"] = thickness
        if stack and len(stack.planes) > 1:
            steps = stack.steps
            facts["slice_step_mm"] = round(float(steps.mean()), 4)
            facts["slice_step_range_mm"] = [round(float(steps.min()), 4), round(float(steps.max()), 4)]
            facts["tilt_deg"] = round(stack.tilt_deg, 3)
            if missing := missing_slices(stack):
                facts["missing_slices"] = missing
        return facts


def missing_slices(stack: Stack) -> int:
    """How many slices the gaps of an otherwise even stack have room for; 0 where it is merely uneven."""
    if not stack.uneven:
        return 0
    share = stack.steps / np.median(stack.steps)
    whole = np.rint(share)
    even = whole.min() >= 1 and np.abs(share - whole).max() < _EVEN
    return int((whole - 1).sum()) if even else 0


def _formats(modality: Modality, in_patient: bool) -> dict[LayerKind, str]:
    name = "dcm" if in_patient else "png"
    if modality is Modality.ULTRASOUND:
        return {LayerKind.MASKS: name}
    return dict.fromkeys(LayerKind, name)
