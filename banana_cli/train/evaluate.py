"""Scores of weights on groups that no training saw, beside the best constant answer.

The engine that users run is what is scored: pictures at their own size, in and out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from banana_cli.classes import TABLE_OF
from banana_cli.infer import Engine
from banana_cli.metrics.masks import STREET_GROUPS, Confusion
from banana_cli.metrics.surface import DepthErrors, NormalErrors, aligned
from banana_cli.train.packs import DepthFrame, Record
from banana_cli.types import (
    F32,
    Band,
    Depth,
    DepthKind,
    Frame,
    Json,
    LayerKind,
    Mask,
    Modality,
    Normals,
    Pitch,
    Provenance,
    Unit,
    View,
)

STREET_FAR_M = 80.0
_BANDS = tuple(Band(name=n, unit="1") for n in ("first", "second", "third"))
# Name of a row, field of ``BestDepths``, whether more is better.
_DEPTHS = (("delta1", "delta1", True), ("AbsRel", "abs_rel", False))
_HEIGHTS = (("height MAE (m)", "mae", False),)
_VIEWS = tuple(View(band=i, low=0.0, high=255.0) for i in range(3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Geometry of an evaluation picture."""

    focal: float | None
    size: Pitch | None

    def focal_px(self) -> float | None:
        """Focal length in pixels."""
        return self.focal

    def pitch(self) -> Pitch | None:
        """Pixel size."""
        return self.size

    def describe(self) -> dict[str, Json]:
        """Nothing: these frames are never written."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: ``score`` of the weights and of the best constant answer."""

    source: str
    measure: str
    score: float
    constant: float
    higher_is_better: bool
    count: int

    @property
    def better(self) -> bool:
        """Whether the weights beat the constant."""
        return self.score > self.constant if self.higher_is_better else self.score < self.constant


def frame_of(record: Record) -> Frame:
    """A record as the engine sees a user's picture."""
    unit = Unit.METRE if record.modality is Modality.AERIAL else Unit.MILLIMETRE
    known = math.isfinite(record.pitch)
    size = Pitch(row=record.pitch, col=record.pitch, unit=unit) if known else None
    return _frame(
        record.pixels.transpose(2, 0, 1).astype(np.float32),
        record.modality,
        Truth(focal=record.focal_px if math.isfinite(record.focal_px) else None, size=size),
        record.name,
    )


def _frame(pixels: F32, modality: Modality, truth: Truth, name: str) -> Frame:
    return Frame(
        pixels=np.ascontiguousarray(pixels),
        valid=np.ones(pixels.shape[1:], np.bool_),
        bands=_BANDS,
        views=_VIEWS,
        modality=modality,
        geometry=truth,
        provenance=Provenance(source=name, index=0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BestDepths:
    """The constant depths that score best, a different one by each measure; NaN without any depth."""

    mae: float
    delta1: float
    abs_rel: float


class DepthPair:
    """Depth errors of the weights beside those of the constants, each judged by its own measure."""

    def __init__(self, best: BestDepths, low: float, high: float) -> None:
        """``low`` and ``high`` as for ``DepthErrors``."""
        self._best = best
        self._ours = DepthErrors(low, high)
        self._flat = {f.name: DepthErrors(low, high) for f in fields(BestDepths)}

    def add(self, values: F32, truth: F32, *, align: bool = False) -> None:
        """(H, W) each; ``align``: only the shape is judged, all answers get the truth's own median."""
        self._ours.add(aligned(values, truth) if align else values, truth)
        for measure, errors in self._flat.items():
            flat = np.full_like(truth, getattr(self._best, measure))
            errors.add(aligned(flat, truth) if align else flat, truth)

    def scores(self, measure: str) -> tuple[float, float]:
        """(weights, constant) by a field of ``BestDepths``; NaN if nothing was judged."""
        ours, flat = (errors.scores() for errors in (self._ours, self._flat[measure]))
        return getattr(ours, measure), getattr(flat, measure)


@dataclass(slots=True)
class _Sums:
    """What is added up over one source, for the weights and for a constant."""

    confusion: Confusion
    normals: NormalErrors


class SourceScore:
    """Everything measured on one pack or world."""

    def __init__(self, name: str, train: Sequence[Record]) -> None:
        """``train`` records of the same source give the constants."""
        first = train[0]
        self.name, self.modality, self.sets = name, first.modality, first.sets
        self.count = 0
        self._ours, self._flat = self._sums(), self._sums()
        votes = Confusion(self.sets, len(TABLE_OF[self.modality]))
        for record in train:
            votes.add(np.zeros_like(record.label), record.label)
        self._class = votes.best_constant()
        low, high = _judged(self.modality)
        self.best_depths = best_depths(train, low, high)
        self._depth = DepthPair(self.best_depths, low, high)
        self._normal = _mean_normal(train)

    def _sums(self) -> _Sums:
        return _Sums(Confusion(self.sets, len(TABLE_OF[self.modality])), NormalErrors())

    def add(self, engine: Engine, record: Record) -> None:
        """Score one picture."""
        kinds = {LayerKind.MASKS}
        kinds |= {LayerKind.DEPTH} if record.depth is not None else set()
        kinds |= {LayerKind.NORMALS} if record.normals is not None else set()
        prediction = engine.predict(frame_of(record), frozenset(kinds))
        self.count += 1
        self._ours.confusion.add(prediction.get(Mask).ids, record.label)
        self._flat.confusion.add(np.full_like(record.label, self._class), record.label)
        if record.depth is not None and prediction.of(LayerKind.DEPTH):
            depth = prediction.get(Depth)
            align = depth.depth_kind is DepthKind.RELATIVE and self.modality is not Modality.XRAY
            self._depth.add(depth.values, record.depth.astype(np.float32), align=align)
        if record.normals is not None and prediction.of(LayerKind.NORMALS):
            normals = record.normals.transpose(2, 0, 1).astype(np.float32) / np.float32(127)
            self._ours.normals.add(prediction.get(Normals).xyz, normals)
            flat = np.broadcast_to(self._normal[:, None, None], normals.shape).astype(np.float32)
            self._flat.normals.add(flat, normals)

    def rows(self) -> list[Row]:
        """All measures of this source."""
        return [*self._mask_rows(), *self._depth_rows(), *self._normal_rows()]

    def _row(self, measure: str, score: float, constant: float, *, higher: bool = True) -> Row:
        return Row(
            source=self.name,
            measure=measure,
            score=score,
            constant=constant,
            higher_is_better=higher,
            count=self.count,
        )

    def _mask_rows(self) -> list[Row]:
        ours, flat = self._ours.confusion, self._flat.confusion
        if self.modality is Modality.STREET:
            ours, flat = ours.grouped(STREET_GROUPS), flat.grouped(STREET_GROUPS)
            names = [name for name, _ in STREET_GROUPS]
            each, other = ours.iou(), flat.iou()
            rows = [self._row("mIoU, ten groups", ours.mean_iou(), flat.mean_iou())]
            word = "IoU"
        else:
            names = ["/".join(TABLE_OF[self.modality].names[c] for c in ids) for ids in self.sets]
            each, other, word = ours.dice(), flat.dice(), "Dice"
            rows = [self._row("mIoU", ours.mean_iou(), flat.mean_iou())]
        pairs = zip(names, each.tolist(), other.tolist(), strict=True)
        return rows + [self._row(f"{word} {n}", a, b) for n, a, b in pairs if not math.isnan(a + b)]

    def _depth_rows(self) -> list[Row]:
        rows = [
            self._row(name, *self._depth.scores(measure), higher=higher)
            for name, measure, higher in (_HEIGHTS if self.modality is Modality.AERIAL else _DEPTHS)
        ]
        return [row for row in rows if not math.isnan(row.score)]

    def _normal_rows(self) -> list[Row]:
        ours, flat = self._ours.normals, self._flat.normals
        if not ours.pixels:
            return []
        return [
            self._row("normal angle, mean (deg)", ours.mean_deg(), flat.mean_deg(), higher=False),
            self._row("normal angle, median (deg)", ours.median_deg(), flat.median_deg(), higher=False),
        ]


def _judged(modality: Modality) -> tuple[float, float]:
    """The truths that are judged lie above the first number, up to the second."""
    low = -math.inf if modality is Modality.AERIAL else 1e-3
    return low, STREET_FAR_M if modality is Modality.STREET else math.inf


def _even(records: Sequence[Record]) -> Sequence[Record]:
    """About 400 of them, spread over all groups: packs are sorted by city or patient."""
    return records[:: max(1, len(records) // 400)]


def best_depths(records: Sequence[Record], low: float, high: float) -> BestDepths:
    """The best constants over truths in (low, high]; ``delta1`` and ``abs_rel`` look at those above 0."""
    parts = [r.depth[::8, ::8].astype(np.float32).ravel() for r in _even(records) if r.depth is not None]
    every = np.sort(np.concatenate(parts)).astype(np.float64) if parts else np.zeros(0)
    known = every[(every > low) & (every <= high) & np.isfinite(every)]
    above = known[known > 0]
    if not above.size:
        middle = float(np.median(known)) if known.size else math.nan
        return BestDepths(mae=middle, delta1=math.nan, abs_rel=math.nan)
    # A mean of |c - d| / d is least at the median of d weighted by 1 / d.
    weights = np.cumsum(1 / above)
    centres = np.geomspace(above[0], above[-1], 500)
    within = np.searchsorted(above, centres * 1.25) - np.searchsorted(above, centres / 1.25)
    return BestDepths(
        mae=float(np.median(known)),
        delta1=float(centres[np.argmax(within)]),
        abs_rel=float(above[np.searchsorted(weights, weights[-1] / 2)]),
    )


def _mean_normal(records: Sequence[Record]) -> F32:
    total = np.zeros(3)
    for record in _even(records):
        if record.normals is not None:
            total += record.normals.reshape(-1, 3).sum(0, dtype=np.float64)
    length = float(np.linalg.norm(total))
    return (total / length if length else np.array([0.0, 0.0, -1.0])).astype(np.float32)


def score_source(engine: Engine, name: str, train: Sequence[Record], held_out: Iterable[Record]) -> list[Row]:
    """Rows of one source; constants come from ``train``, scores from ``held_out``."""
    score = SourceScore(name, train)
    for record in held_out:
        score.add(engine, record)
    return score.rows()


def score_lidar(engine: Engine, frames: Sequence[DepthFrame], best: BestDepths) -> list[Row]:
    """Metric depth against LiDAR with the focal length given, and without; up to 80 m."""
    rows: list[Row] = []
    for given in (True, False):
        pair = DepthPair(best, *_judged(Modality.STREET))
        for frame in frames:
            truth = Truth(focal=frame.focal_px if given else None, size=None)
            seen = _frame(frame.image * np.float32(255), Modality.STREET, truth, frame.name)
            values = engine.predict(seen, frozenset({LayerKind.DEPTH})).get(Depth).values
            pair.add(values, frame.depth)
        source = f"driving/depth_check, focal {'given' if given else 'estimated'}"
        for name, measure, higher in _DEPTHS:
            score, constant = pair.scores(measure)
            row = Row(
                source=source,
                measure=name,
                score=score,
                constant=constant,
                higher_is_better=higher,
                count=len(frames),
            )
            rows.append(row)
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table, with a mark where a constant is better."""
    lines = ["| source | n | measure | score | constant |", "|---|---|---|---|---|"]
    for row in rows:
        mark = "" if row.better else " (worse)"
        lines.append(
            f"| {row.source} | {row.count} | {row.measure} | {row.score:.3f}{mark} | {row.constant:.3f} |"
        )
    return "\n".join(lines)
