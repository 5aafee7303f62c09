"""The scores of one picture or of all: what is added up for each layer, and what is told of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from banana_cli.metrics.boundary import BoundaryScore
from banana_cli.metrics.calibration import Calibration
from banana_cli.metrics.files import CITY_STEP, Kind, Sheet
from banana_cli.metrics.masks import I64, Confusion, mean_known
from banana_cli.metrics.naming import Judged
from banana_cli.metrics.panoptic import PanopticQuality, Segments
from banana_cli.metrics.surface import DepthErrors, NormalErrors, aligned
from banana_cli.types import NO_CLASS, U8, Json, Unit

Page = Mapping[Kind, Sheet]
"""What is known of one picture, all of one size."""
NORMAL_SHARES_DEG: Final = (11.25, 22.5, 30.0)
_METRES: Final = {Unit.METRE: 1.0, Unit.MILLIMETRE: 1e-3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number: ``key`` in JSON, ``text`` for people."""

    key: str
    text: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """The numbers of one class, NaN where there is nothing to measure; ``pixels`` of the truth."""

    name: str
    pixels: int
    iou: float
    dice: float
    boundary_f: float
    pq: float
    sq: float
    rq: float


class Sums(Protocol):
    """What is added up over pictures; ``notes``: what people should know of the numbers."""

    notes: set[str]

    def add(self, ours: Page, theirs: Page) -> None:
        """Add the prediction and the truth of one picture. ValueError if they cannot be compared."""

    def merge(self, other: Any) -> None:  # noqa: ANN401
        """Count what ``other``, of the same type, has counted too."""

    def pixels(self) -> int:
        """How many pixels were judged."""

    def measures(self) -> tuple[Measure, ...]:
        """The numbers over everything added; NaN ones are left out."""

    def classes(self) -> tuple[ClassRow, ...]:
        """The numbers of each class that is there, best IoU first."""


class MaskSums:
    """Masks, and instances and confidences where they are given."""

    def __init__(self, judged: Judged, tolerance: int) -> None:
        """``tolerance`` of boundaries in pixels."""
        count = len(judged.names)
        self.notes: set[str] = set()
        self._judged = judged
        # The last row holds what is none of the classes: every answer there is a false alarm.
        self._confusion = Confusion((*((i,) for i in range(count)), ()), count)
        self._boundary = BoundaryScore(count, tolerance)
        self._calibration = Calibration()
        self._panoptic = PanopticQuality(count)

    def add(self, ours: Page, theirs: Page) -> None:
        """As ``Sums``."""
        told = ours[Kind.MASKS].numbering
        names = told.in_order() if told is not None else None
        if names is not None and (unknown := self._judged.unknown_to(names)):
            self.notes.add(f"no prediction can say {', '.join(unknown)}")
        predicted = self._judged.of_prediction(_ids(ours), names)
        truth = self._judged.of_truth(_ids(theirs))
        self._confusion.add(predicted, truth)
        self._boundary.add(predicted, truth)
        if Kind.CONFIDENCE in ours:
            kept = truth != NO_CLASS
            sure = ours[Kind.CONFIDENCE].values[kept].astype(np.float32)
            self._calibration.add(sure, predicted[kept] == truth[kept])
        if Kind.INSTANCES in ours and Kind.INSTANCES in theirs:
            mine = self._segments(ours, predicted, crowds=False)
            self._panoptic.add(mine, self._segments(theirs, truth, crowds=True))

    def _segments(self, page: Page, classes: U8, *, crowds: bool) -> Segments:
        count, things = len(self._judged.names), self._judged.things
        return Segments.of(classes, _members(page[Kind.INSTANCES]), things, count, crowds=crowds)

    def merge(self, other: MaskSums) -> None:
        """As ``Sums``."""
        self.notes |= other.notes
        self._confusion.merge(other._confusion)
        self._boundary.merge(other._boundary)
        self._calibration.merge(other._calibration)
        self._panoptic.merge(other._panoptic)

    def pixels(self) -> int:
        """As ``Sums``."""
        return int(self._confusion.counts.sum())

    def measures(self) -> tuple[Measure, ...]:
        """As ``Sums``."""
        counts, found = self._confusion.counts, self._panoptic
        labelled = int(counts[:-1].sum())
        right = float(np.trace(counts[:-1])) / labelled if labelled else math.nan
        things = sorted(self._judged.things)
        stuff = [i for i in range(len(self._judged.names)) if i not in things]
        return _known(
            ("miou", "mean IoU", mean_known(self._confusion.iou()[:-1])),
            ("dice", "mean Dice", mean_known(self._confusion.dice()[:-1])),
            ("accuracy", "pixels right", right),
            ("boundary_f", "boundary F", self._boundary.mean()),
            ("pq", "PQ", mean_known(found.pq())),
            ("sq", "SQ", mean_known(found.sq())),
            ("rq", "RQ", mean_known(found.rq())),
            ("pq_things", "PQ of things", mean_known(found.pq()[things])),
            ("pq_stuff", "PQ of stuff", mean_known(found.pq()[stuff])),
            ("ece", "calibration error", self._calibration.ece()),
        )

    def classes(self) -> tuple[ClassRow, ...]:
        """As ``Sums``."""
        pixels = self._confusion.counts.sum(axis=1)
        iou, dice, edge = self._confusion.iou(), self._confusion.dice(), self._boundary.scores()
        pq, sq, rq = self._panoptic.pq(), self._panoptic.sq(), self._panoptic.rq()
        rows = [
            ClassRow(
                name=name,
                pixels=int(pixels[i]),
                iou=float(iou[i]),
                dice=float(dice[i]),
                boundary_f=float(edge[i]),
                pq=float(pq[i]),
                sq=float(sq[i]),
                rq=float(rq[i]),
            )
            for i, name in enumerate(self._judged.names)
            if not math.isnan(iou[i])
        ]
        return tuple(sorted(rows, key=lambda row: -row.iou))


def _ids(page: Page) -> U8:
    return page[Kind.MASKS].values.astype(np.uint8, copy=False)


def _members(sheet: Sheet) -> I64:
    """Numbers of instances, 0 for none."""
    numbers = sheet.values.astype(np.int64)
    return np.where(numbers < CITY_STEP, 0, numbers) if sheet.classed else numbers


class DepthSums:
    """Depth, or heights where 0 is a value."""

    def __init__(self, *, heights: bool, far: float = math.inf, align: bool = False) -> None:
        """Truths beyond ``far`` are not judged; with ``align`` all depths get the median of their truth."""
        self.notes: set[str] = set()
        self._heights, self._align = heights, align
        self._kind = Kind.DEPTH
        self._errors = DepthErrors(-math.inf if heights else 1e-3, far)

    def add(self, ours: Page, theirs: Page) -> None:
        """As ``Sums``; a prediction in another unit is converted, a relative one scaled."""
        mine, true = ours[Kind.DEPTH], theirs[Kind.DEPTH]
        values, truth = mine.values.astype(np.float32), true.values.astype(np.float32)
        if self._align or mine.relative != true.relative:
            self.notes.add("each prediction was scaled to the median of its truth")
            values = aligned(values, truth)
        elif mine.unit is not true.unit and mine.unit is not None and true.unit is not None:
            values = values * np.float32(_METRES[mine.unit] / _METRES[true.unit])
        self._errors.add(values, truth)

    def merge(self, other: DepthSums) -> None:
        """As ``Sums``."""
        self.notes |= other.notes
        self._errors.merge(other._errors)

    def pixels(self) -> int:
        """As ``Sums``."""
        return self._errors.scores().pixels

    def measures(self) -> tuple[Measure, ...]:
        """As ``Sums``."""
        found = self._errors.scores()
        rmse, mae = ("rmse", "RMSE", found.rmse), ("mae", "MAE", found.mae)
        if self._heights:
            return _known(mae, rmse)
        return _known(
            ("delta1", "delta1 (within 1.25)", found.delta1),
            ("delta2", "delta2 (within 1.56)", found.delta2),
            ("delta3", "delta3 (within 1.95)", found.delta3),
            ("abs_rel", "AbsRel", found.abs_rel),
            rmse,
            mae,
        )

    def classes(self) -> tuple[ClassRow, ...]:
        """None."""
        return ()


class NormalSums:
    """Angles of normals."""

    def __init__(self) -> None:
        self.notes: set[str] = set()
        self._errors = NormalErrors()

    def add(self, ours: Page, theirs: Page) -> None:
        """As ``Sums``."""
        mine, true = (page[Kind.NORMALS].values.astype(np.float32) for page in (ours, theirs))
        self._errors.add(mine, true)

    def merge(self, other: NormalSums) -> None:
        """As ``Sums``."""
        self._errors.merge(other._errors)

    def pixels(self) -> int:
        """As ``Sums``."""
        return self._errors.pixels

    def measures(self) -> tuple[Measure, ...]:
        """As ``Sums``."""
        shares = (
            (f"below_{deg:g}".replace(".", "_"), f"below {deg:g} deg", self._errors.share_below(deg))
            for deg in NORMAL_SHARES_DEG
        )
        return _known(
            ("mean_deg", "mean angle (deg)", self._errors.mean_deg()),
            ("median_deg", "median angle (deg)", self._errors.median_deg()),
            *shares,
        )

    def classes(self) -> tuple[ClassRow, ...]:
        """None."""
        return ()


def _known(*measures: tuple[str, str, float]) -> tuple[Measure, ...]:
    return tuple(Measure(key=k, text=t, value=v) for k, t, v in measures if not math.isnan(v))


def numbers_of(sums: Sums) -> dict[str, Json]:
    """The numbers by key."""
    return {"pixels": sums.pixels(), **{m.key: m.value for m in sums.measures()}}
