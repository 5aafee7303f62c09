"""Frames out of a DICOM job: slices one by one from disk, and the surface of a volume."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from banana_cli.adapter import InputItem, Source, Unreadable
from banana_cli.errors import BananaError
from banana_cli.options import ReadOptions
from banana_cli.types import Band, Frame, Json, LayerKind, Modality, Provenance, View

from .archive import opened
from .beside import with_neighbours
from .elements import hashed
from .frames import OpenFile, open_file
from .geometry import PatientGeometry
from .header import Header
from .pixels import Physical, physical, stored_range, voi_window
from .plan import Cell, MedicalInfo, Plan, plan
from .volume import surface_frame
from .windows import colour_views, ct_views, named_window, robust_view, sample, view_of

_RANGE_PICTURES = 64  # pictures of a series that the robust range looks at


@contextmanager
def open_source(item: InputItem, options: ReadOptions) -> Iterator[Source]:
    """Open a job. InputError if it holds no picture; UsageError if an option cannot act on it."""
    with opened(item) as places:
        planned = plan(item, options, places)
        with closing(_Files(planned.headers)) as files:
            yield MedicalSource(planned, options, files)


@dataclass(slots=True)
class _Files:
    """Files on demand; one at a time is open."""

    headers: tuple[Header, ...]
    held: tuple[int, OpenFile] | None = None

    def get(self, file: int) -> OpenFile:
        if self.held is None or self.held[0] != file:
            self.close()
            self.held = (file, open_file(self.headers[file]))
        return self.held[1]

    def close(self) -> None:
        if self.held is not None:
            self.held[1].close()
            self.held = None


@dataclass(slots=True)
class MedicalSource:
    """An open job (``banana_cli.adapter.Source``)."""

    plan: Plan
    options: ReadOptions
    files: _Files
    info: MedicalInfo = field(init=False)
    views: tuple[View, ...] = field(init=False)
    extents: dict[int, float] = field(init=False)

    def __post_init__(self) -> None:
        self.info = self.plan.info
        self.extents = _extents(self.info)
        self.views = self._views() if self.plan.cells else ()
        self.info = replace(self.info, facts={**self.info.facts, "views": self._view_facts()})

    def __iter__(self) -> Iterator[Frame | Unreadable]:
        """The slices in order, then the volume's surface; a bad picture as a value."""
        if self.plan.slices:
            volume = self.info.stack is not None and self.info.modality in (Modality.CT, Modality.MR)
            yield from with_neighbours(self._pictures()) if volume else self._pictures()
        if self.plan.surface is not None:
            yield self._surface(len(self.plan.cells) * self.plan.slices)

    def _pictures(self) -> Iterator[Frame | Unreadable]:
        for index, cell in enumerate(self.plan.cells):
            try:
                frame: Frame | Unreadable = self._frame(index, cell)
            except BananaError as exc:
                frame = Unreadable(index=index, error=exc)
            yield frame

    def _surface(self, index: int) -> Frame | Unreadable:
        try:
            return surface_frame(self.plan, self.physical, index)
        except BananaError as exc:
            return Unreadable(index=index, error=exc)

    def physical(self, cell: Cell) -> Physical:
        """One picture in physical units."""
        return physical(self.files.get(cell.file), cell.frame, invert=self.info.modality is not Modality.CT)

    def _frame(self, index: int, cell: Cell) -> Frame:
        picture = self.physical(cell)
        colour = picture.values.shape[0] == 3
        names = (
            ("red", "green", "blue") if colour else (self.plan.unit if self.plan.unit == "HU" else "grey",)
        )
        return Frame(
            pixels=picture.values,
            valid=picture.valid,
            bands=tuple(Band(name=n, unit=self.plan.unit) for n in names),
            views=self.views,
            modality=self.info.modality,
            geometry=self._geometry(index, cell),
            provenance=Provenance(source=self.info.item.stem, index=index, extra=self._extra(index, cell)),
        )

    def _geometry(self, index: int, cell: Cell) -> PatientGeometry:
        return PatientGeometry(
            plane=cell.plane,
            size_mm=self.plan.size_mm,
            frame_of_reference=hashed(self.info.references.for_uid),
            slice_index=index,
        )

    def _extra(self, index: int, cell: Cell) -> dict[str, Json]:
        """``layers`` names what a frame is to answer where a volume's surface answers the rest."""
        extra: dict[str, Json] = {"frame": cell.frame}
        if index in self.extents:
            extra["extent_mm"] = self.extents[index]
        if cell.plane is not None:
            extra["offset_mm"] = round(cell.plane.offset, 4)
        if self.plan.surface is not None:
            extra["layers"] = [LayerKind.MASKS.value]
        return extra

    def _views(self) -> tuple[View, ...]:
        modality, window = self.info.modality, self.options.dicom.window
        colour = self.plan.headers[0].colour
        if window is not None:
            subject = self.info.item.subject
            return (named_window(window, modality, colour=colour, subject=subject),)
        if colour:
            return colour_views()
        if modality is Modality.CT:
            return ct_views()
        if not self.plan.slices:
            return (View(band=0, low=0.0, high=1.0),)
        return (self._grey_view(),)

    def _grey_view(self) -> View:
        first = self.plan.cells[0]
        if self.info.modality in (Modality.XRAY, Modality.ULTRASOUND):
            picture = self.physical(first)
            given = voi_window(self.files.get(first.file).ds, first.frame)
            if given and self.info.modality is Modality.XRAY:
                centre = given[0] if picture.flip is None else picture.flip - given[0]
                return view_of(centre, given[1])
            low, high = stored_range(self.plan.headers[0])
            if self.info.modality is Modality.ULTRASOUND and low < high:
                return View(band=0, low=float(low), high=float(high))
        return self._robust()

    def _robust(self) -> View:
        cells = self.plan.cells
        chosen = np.unique(
            np.linspace(0, len(cells) - 1, min(len(cells), _RANGE_PICTURES)).round().astype(int)
        )
        samples = []
        for k in chosen:
            try:
                picture = self.physical(cells[k])
            except BananaError:
                if len(cells) == 1:
                    raise
                continue
            samples.append(sample(picture.values[0][picture.valid]))
        return robust_view(samples)

    def _view_facts(self) -> Json:
        return [{"band": v.band, "low": v.low, "high": v.high} for v in self.views]


def _extents(info: MedicalInfo) -> dict[int, float]:
    """How thick a slab each picture of a stack stands for, in mm; a lone one as thick as it says."""
    if info.stack is None:
        return {}
    if len(info.stack.order) == 1:
        given = info.facts.get("slice_thickness_mm")
        return {0: given} if isinstance(given, float) and given > 0 else {}
    return {k: round(float(mm), 6) for k, mm in zip(info.stack.order, info.stack.extents(), strict=True)}
