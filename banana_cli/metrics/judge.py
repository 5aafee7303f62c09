"""Cases into scores: files read, sizes compared, numbers added up. One picture in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

from banana_cli.errors import InputError
from banana_cli.metrics.files import Formats, Item, Kind, Sheet, sheets
from banana_cli.metrics.naming import Choice, Judged
from banana_cli.metrics.pairs import Case
from banana_cli.metrics.score import DepthSums, MaskSums, NormalSums, Page, Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How to judge: ``only`` one layer; boundaries within ``tolerance`` pixels; no truth beyond ``far``.

    ``align``: each depth is first scaled to the median of its truth, as relative ones always are.
    """

    classes: Choice = field(default_factory=Choice)
    only: Kind | None = None
    tolerance: int = 2
    far: float = math.inf
    align: bool = False


@dataclass(slots=True)
class Total:
    """All scores of one layer so far."""

    sums: Sums
    cases: int = 0


class Judge:
    """Adds up the scores of cases, layer by layer."""

    def __init__(self, rules: Rules, formats: Formats) -> None:
        self.rules = rules
        self._formats = formats
        self._judged: Judged | None = None
        self.totals: dict[Kind, Total] = {}

    def add(self, case: Case) -> dict[Kind, Sums]:
        """Judge one case; its own scores by layer. InputError if it cannot be, and then nothing is added."""
        found = {layer: self._scores(case, layer) for layer in case.layers(self.rules.only)}
        for layer, sums in found.items():
            total = self.totals.setdefault(layer, Total(self._new(layer, {}, {})))
            total.sums.merge(sums)
            total.cases += 1
        return found

    def _scores(self, case: Case, layer: Kind) -> Sums:
        sums: Sums | None = None
        for ours, theirs in _pages(case, layer, self._formats):
            sums = sums or self._new(layer, ours, theirs)
            try:
                sums.add(ours, theirs)
            except ValueError as exc:
                raise InputError(
                    str(exc), subject=case.name, remedy="say what the numbers mean with --classes"
                ) from exc
        if sums is None:
            raise InputError("holds no picture", subject=case.name, remedy="leave it out")
        return sums

    def _new(self, layer: Kind, ours: Page, theirs: Page) -> Sums:
        if layer is Kind.NORMALS:
            return NormalSums()
        if layer is not Kind.MASKS:
            return DepthSums(heights=layer is Kind.HEIGHTS, far=self.rules.far, align=self.rules.align)
        if self._judged is None:  # the first pair tells of all
            told = (page[Kind.MASKS].numbering for page in (theirs, ours))
            self._judged = self.rules.classes.resolve(*told)
        return MaskSums(self._judged, self.rules.tolerance)


def _pages(case: Case, layer: Kind, formats: Formats) -> Iterator[tuple[Page, Page]]:
    """The pictures of a case, both sides. InputError if one side has more, or sizes differ."""
    kind = Kind.DEPTH if layer is Kind.HEIGHTS else layer
    more = {Kind.INSTANCES, Kind.CONFIDENCE} if layer is Kind.MASKS else set()
    sides = [_walk(items, {kind} | more & set(items), formats) for items in (case.predicted, case.truth)]
    for ours, theirs in zip_longest(*sides):
        if ours is None or theirs is None:
            raise InputError(
                "prediction and truth hold different numbers of pictures",
                subject=case.name,
                remedy="compare arrays of the same frames",
            )
        sizes = {sheet.size for page in (ours, theirs) for sheet in page.values()}
        if len(sizes) > 1:
            mine, true = ours[kind].size, theirs[kind].size
            raise InputError(
                f"the prediction is {mine[1]} x {mine[0]} pixels, the truth {true[1]} x {true[0]}",
                subject=case.name,
                remedy="predict at the size of the truth; nothing is resized here",
            )
        yield ours, theirs


def _walk(items: Mapping[Kind, Item], kinds: set[Kind], formats: Formats) -> Iterator[dict[Kind, Sheet]]:
    """The pictures of one side, all kinds of one together, until the shortest ends."""
    wanted = sorted(kinds)
    for found in zip(*(sheets(items[kind], kind, formats) for kind in wanted), strict=False):
        yield dict(zip(wanted, found, strict=True))
