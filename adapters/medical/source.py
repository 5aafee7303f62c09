"""Frames out of a DICOM job: slices one by one from disk, and the surface of a volume."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from pydicom.dataset import Dataset

from banana_cli.adapter import InputItem, Source, Unreadable
from banana_cli.errors import BananaError
from banana_cli.options import ReadOptions
from banana_cli.types import Band, Frame, Json, LayerKind, Modality, Provenance, View

from .elements import hashed
from .geometry import PatientGeometry
from .header import Header, read_dataset
from .pixels import Physical, check_data, physical, stored_range, voi_window
from .plan import Cell, MedicalInfo, Plan, plan
from .volume import surface_frame
from .windows import colour_views, ct_views, named_window, robust_view, sample, view_of

_RANGE_PICTURES = 64  # pictures of a series that the robust range looks at


@contextmanager
def open_source(item: InputItem, options: ReadOptions) -> Iterator[Source]:
    """Open a job. InputError if it holds no picture; UsageError if an option cannot act on it."""
    source = MedicalSource(plan(item, options), options)
    try:
        yield source
    finally:
        source.close()


@dataclass(slots=True)
class _Files:
    """Data sets on demand; one at a time stays in memory."""

    headers: tuple[Header, ...]
    held: tuple[int, Dataset] | None = None

    def get(self, file: int) -> Dataset:
        if self.held is None or self.held[0] != file:
            self.held = None
            ds = read_dataset(self.headers[file].path, pixels=True)
            check_data(ds, self.headers[file])
            self.held = (file, ds)
        return self.held[1]


@dataclass(slots=True)
class MedicalSource:
    """An open job (``banana_cli.adapter.Source``)."""

    plan: Plan
    options: ReadOptions
    files: _Files = field(init=False)
    info: MedicalInfo = field(init=False)
    views: tuple[View, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.files = _Files(self.plan.headers)
        self.info = self.plan.info
        self.views = self._views() if self.plan.cells else ()
        self.info = replace(self.info, facts={**self.info.facts, "views": self._view_facts()})

    def close(self) -> None:
        """Let go of the file in memory."""
        self.files.held = None

    def __iter__(self) -> Iterator[Frame | Unreadable]:
        """The slices in order, then the volume's surface; a bad picture as a value."""
        if self.plan.slices:
            for index, cell in enumerate(self.plan.cells):
                try:
                    frame: Frame | Unreadable = self._frame(index, cell)
                except BananaError as exc:
                    frame = Unreadable(index=index, error=exc)
                yield frame
        if self.plan.surface is not None:
            yield self._surface(len(self.plan.cells) * self.plan.slices)

    def _surface(self, index: int) -> Frame | Unreadable:
        try:
            return surface_frame(self.plan, self.physical, index)
        except BananaError as exc:
            return Unreadable(index=index, error=exc)

    def physical(self, cell: Cell) -> Physical:
        """One picture in physical units."""
        header = self.plan.headers[cell.file]
        ds = self.files.get(cell.file)
        return physical(ds, header, cell.frame, invert=self.info.modality is not Modality.CT)

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
            provenance=Provenance(source=self.info.item.stem, index=index, extra=self._extra(cell)),
        )

    def _geometry(self, index: int, cell: Cell) -> PatientGeometry:
        return PatientGeometry(
            plane=cell.plane,
            size_mm=self.plan.size_mm,
            frame_of_reference=hashed(self.info.references.for_uid),
            slice_index=index,
        )

    def _extra(self, cell: Cell) -> dict[str, Json]:
        """``layers`` names what a frame is to answer where a volume's surface answers the rest."""
        extra: dict[str, Json] = {"frame": cell.frame}
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
            given = voi_window(self.files.get(first.file), first.frame)
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
