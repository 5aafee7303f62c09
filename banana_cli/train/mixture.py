"""An endless, seeded stream of examples from worlds and real packs, with random access by index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from banana_cli.errors import UsageError
from banana_cli.train.augment import NETWORK_LONG, AugmentOptions, augment, cut_mix
from banana_cli.train.example import Example
from banana_cli.train.packs import Record
from banana_cli.train.splits import CLIPS, VALIDATION_SEED, Pack, check_training
from banana_cli.train.worldset import world_name
from banana_cli.types import F64, Json, Modality


class Records(Protocol):
    """A sequence of records: a tuple of a pack, or a cache that reads them when asked."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, index: int, /) -> Record:
        """The record at that place."""


@runtime_checkable
class Marked(Protocol):
    """Records that can tell apart what made them."""

    @property
    def mark(self) -> str:
        """Another text for other records."""


DEFAULT_WEIGHTS: dict[str, float] = {
    "world/street": 0.24,
    "world/aerial": 0.10,
    "world/ct": 0.03,
    "world/mr": 0.03,
    "world/xray": 0.02,
    "world/ultrasound": 0.02,
    "world/visible": 0.02,
    Pack.STREET.value: 0.26,
    Pack.CARDIAC.value: 0.05,
    "medical/body_ct_mr:ct": 0.04,
    "medical/body_ct_mr:mr": 0.03,
    Pack.CHEST.value: 0.03,
    Pack.ULTRASOUND.value: 0.04,
    Pack.FUNDUS.value: 0.03,
    Pack.AERIAL.value: 0.06,
    CLIPS: 0.15,
}
_CUT_MIX = {CLIPS: 0.5, Pack.STREET.value: 0.25}  # chance that a crop of a real street is mixed with another
_STRONG = {CLIPS: 1.0, Pack.STREET.value: 0.5}  # chance of hard changes of colour: real streets are few


class Mixture:
    """``example(i)`` depends on the seed and ``i`` alone, so a resumed run continues as if never stopped."""

    def __init__(
        self,
        cache: Mapping[Modality, Records] | None,
        packs: Mapping[Pack, Sequence[Record]] | None,
        weights: Mapping[str, float] | None = None,
        seed: int = 0,
        *,
        options: AugmentOptions | None = None,
        taught: Records | None = None,
        changes: Mapping[str, float] | None = None,
    ) -> None:
        """Sources by name: ``world/<modality>``, ``<pack>`` or ``<pack>:<modality>`` where a pack has two.

        ``weights`` gives each source its share (None: ``DEFAULT_WEIGHTS`` of the sources at hand) and
        ``changes`` other shares for some; UsageError if one is unknown or none is positive, LeakError if a
        record is held out. ``taught`` is the source ``CLIPS``: labels of a teacher, strongly augmented.
        """
        cv2.setNumThreads(1)  # forked loader workers hang on the threads of their parent's OpenCV
        sources = _sources(cache or {}, packs or {}, taught)
        shares = _shares(sources, weights, changes or {})
        self.names = tuple(shares)
        self.seed = seed
        self._sources = tuple(sources[name] for name in self.names)
        total = sum(shares.values())
        self._shares = tuple(share / total for share in shares.values())
        self._edges = _edges(self._shares)
        streets = [records[0].modality is Modality.STREET for records in self._sources]
        rest = [0.0 if s else share for s, share in zip(streets, self._shares, strict=True)]
        self._large_edges = self._edges if all(streets) else _edges(rest)
        self._options = options or AugmentOptions()

    def describe(self) -> dict[str, Json]:
        """By source its share, its count, and for what lies on disk a mark of what made it."""
        told: dict[str, Json] = {}
        for name, records, share in zip(self.names, self._sources, self._shares, strict=True):
            mark = records.mark if isinstance(records, Marked) else ""
            told[name] = {"share": round(share, 6), "count": len(records), "mark": mark}
        return told

    def pick(self, index: int) -> tuple[str, int]:
        """(name of the source, place of the record in it) of the example at ``index``."""
        source, place, _ = self._pick(index, self._edges)
        return self.names[source], place

    def example(self, index: int, *, large: bool = False) -> Example:
        """The ``index``-th example, 0, 1, 2, ... without end.

        A ``large`` one is a scan or a scene (if there is any) at the size of the network's own pictures.
        """
        source, place, rng = self._pick(index, self._large_edges if large else self._edges)
        records, name = self._sources[source], self.names[source]
        options = replace(self._options, size=NETWORK_LONG) if large else self._options
        if name not in _CUT_MIX:
            return augment(records[place], rng, options)
        # No frame of ours tells its camera: a guess must not be shown as if it were known.
        options = replace(options, hide_focal=1.0, strong=bool(rng.random() < _STRONG[name]))
        first = augment(records[place], rng, options)
        if rng.random() >= _CUT_MIX[name]:
            return first
        return cut_mix(first, augment(records[int(rng.integers(len(records)))], rng, options), rng)

    def _pick(self, index: int, edges: F64) -> tuple[int, int, np.random.Generator]:
        rng = np.random.default_rng([self.seed, index])
        source = min(int(np.searchsorted(edges, rng.random(), side="right")), len(self.names) - 1)
        return source, int(rng.integers(len(self._sources[source]))), rng


def _edges(shares: Sequence[float]) -> F64:
    """Upper bounds in (0, 1] of a draw that falls to each."""
    return np.cumsum(np.array(shares, np.float64) / sum(shares))


def _sources(
    cache: Mapping[Modality, Records], packs: Mapping[Pack, Sequence[Record]], taught: Records | None
) -> dict[str, Records]:
    sources: dict[str, Records] = {}
    for modality, world in cache.items():
        check_world_seed(world[0])
        sources[world_name(modality)] = world
    for pack, records in packs.items():
        check_training(records)
        modalities = sorted({r.modality for r in records})
        for modality in modalities:
            name = pack.value if len(modalities) == 1 else f"{pack.value}:{modality.value}"
            sources[name] = tuple(r for r in records if r.modality is modality)
    if taught is not None:
        check_training(taught[i] for i in range(len(taught)))
        sources[CLIPS] = taught
    return sources


def check_world_seed(record: Record) -> None:
    """UsageError if a world is one of those kept for validation."""
    if int(record.name) >= VALIDATION_SEED:
        raise UsageError(
            "worlds kept for validation cannot be trained on",
            subject=record.pack,
            remedy="render the training worlds without --validation",
        )


def _shares(
    sources: Mapping[str, Records], weights: Mapping[str, float] | None, changes: Mapping[str, float]
) -> dict[str, float]:
    asked = {**(DEFAULT_WEIGHTS if weights is None else weights), **changes}
    unknown = [name for name in {**(weights or {}), **changes} if name not in sources]
    shares = {name: share for name, share in asked.items() if share > 0 and name in sources}
    if unknown or not shares:
        raise UsageError(
            f"no such source: {unknown[0]}" if unknown else "no source has a positive weight",
            subject="mixture",
            remedy=f"weigh some of: {', '.join(sorted(sources)) or 'nothing (give a cache or packs)'}",
        )
    return shares
