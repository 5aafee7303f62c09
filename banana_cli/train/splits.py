"""Which groups of each real pack are held out for validation; a change here voids every earlier number.

The choice was made once, from names and label shares only, before any model was trained: the two cities
whose pixel shares of the ten evaluation groups lie nearest to those of all cities, the overlap group of
aerial_dubai with the most even classes, and patients of every kind spread over the numbering.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

from banana_cli.errors import UsageError


class Pack(StrEnum):
    """The real labelled packs; the value is the folder below ``shared/data``."""

    STREET = "driving/roadwork_labels"
    CARDIAC = "medical/cardiac_mr"
    BODY = "medical/body_ct_mr"
    CHEST = "medical/chest_xray"
    ULTRASOUND = "medical/ultrasound"
    FUNDUS = "medical/fundus"
    AERIAL = "satellite/aerial_dubai"


HELD_OUT: dict[Pack, frozenset[str]] = {
    Pack.STREET: frozenset({"jacksonville", "philadelphia"}),
    Pack.CARDIAC: frozenset(
        {"SC_HF_I_04", "SC_HF_NI_11", "SC_HF_NI_34", "SC_HYP_07", "SC_HYP_40", "SC_N_06"}
    ),
    Pack.BODY: frozenset(
        {"STS_003", "STS_008", "STS_013", "STS_018", "STS_023", "STS_028", "STS_033", "STS_038"}
    ),
    Pack.CHEST: frozenset(
        {"ieee222", "ieee226", "ieee235", "ieee244", "ieee249", "ieee258", "ieee263", "ieee268", "ieee334"}
    ),
    Pack.ULTRASOUND: frozenset({"block0"}),
    Pack.FUNDUS: frozenset({"03", "08"}),
    Pack.AERIAL: frozenset({"tile2"}),
}

HELD_OUT_CITIES = HELD_OUT[Pack.STREET]
CLIPS = "driving/roadwork_clips"  # frames of the clips that a teacher labelled; group = city
VALIDATION_SEED = 1_000_000_000  # worlds from this seed on are for validation, those below for training

# The ultrasound pack is three ordered lists laid end to end: picture n < 40 shows nearly the same as
# picture 40 + 3 n (image correlation up to 0.8), and a few pictures are doubles of one far away. Blocks are
# cut in that common order, so that no picture correlates above 0.62 with one of another side of the split.
_FIRST_LIST = 40
_LAST_OF_BLOCK0 = 81
_BLOCK = 25
_DOUBLES_OF_BLOCK0 = frozenset({129, 179})
_OVERLAPS = {"1": "tile1+3", "3": "tile1+3", "4": "tile4+7+8", "7": "tile4+7+8", "8": "tile4+7+8"}


class LeakError(UsageError):
    """A group is in the training and in the validation set: the numbers would be worth nothing."""


class Grouped(Protocol):
    """Anything that knows its pack and its group."""

    @property
    def pack(self) -> str:
        """Value of a ``Pack``, or the name of a world."""

    @property
    def group(self) -> str:
        """Whatever may not be split: a city, a patient, a block of names."""

    @property
    def name(self) -> str:
        """The record's own name."""


GroupedT = TypeVar("GroupedT", bound=Grouped)


def _first(pattern: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def group(stem: str) -> str:
        found = compiled.match(stem)
        if found is None:
            raise UsageError(
                "the name does not tell its group", subject=stem, remedy="use the pack's own file names"
            )
        return found.group(1)

    return group


def _block(stem: str) -> str:
    number = int(stem)
    place = number if number >= _FIRST_LIST else _FIRST_LIST + 3 * number
    if place <= _LAST_OF_BLOCK0 or number in _DOUBLES_OF_BLOCK0:
        return "block0"
    return f"block{1 + (place - _LAST_OF_BLOCK0 - 1) // _BLOCK}"


def _tile(stem: str) -> str:
    number = _first(r"tile(\d+)_")(stem)
    return _OVERLAPS.get(number, f"tile{number}")


_GROUP_OF: dict[Pack, Callable[[str], str]] = {
    Pack.STREET: _first(r"(.+)_\d+$"),
    Pack.CARDIAC: _first(r"(SC_[A-Z_]+_\d+)_IM_"),
    Pack.BODY: _first(r"(STS_\d+)_"),
    Pack.CHEST: _first(r"(ieee\d+)"),  # 331a and 331b count as one patient
    Pack.ULTRASOUND: _block,
    Pack.FUNDUS: _first(r"Image_(\d\d)"),
    Pack.AERIAL: _tile,
}


def group_of(pack: Pack, stem: str) -> str:
    """Group of a file name without its suffix; UsageError if the name has another form."""
    return _GROUP_OF[pack](stem)


def is_held_out(record: Grouped) -> bool:
    """True if the record belongs to a group that no training may see."""
    known = {**{p.value: groups for p, groups in HELD_OUT.items()}, CLIPS: HELD_OUT_CITIES}
    return record.group in known.get(record.pack, frozenset())


def split(records: Iterable[GroupedT]) -> tuple[tuple[GroupedT, ...], tuple[GroupedT, ...]]:
    """(training, validation) by the fixed held-out groups."""
    kept = tuple(records)
    train = tuple(r for r in kept if not is_held_out(r))
    return train, tuple(r for r in kept if is_held_out(r))


def check_training(train: Iterable[Grouped]) -> None:
    """LeakError if a record of a held-out group is among the training records."""
    leaked = sorted({f"{r.pack}:{r.group}" for r in train if is_held_out(r)})
    if leaked:
        _leak(leaked)


def check_disjoint(train: Sequence[Grouped], validation: Sequence[Grouped]) -> None:
    """LeakError if any group, or any record by name, is in both."""
    both = {(r.pack, r.group) for r in train} & {(r.pack, r.group) for r in validation}
    names = {(r.pack, r.name) for r in train} & {(r.pack, r.name) for r in validation}
    if both or names:
        _leak(sorted({f"{pack}:{what}" for pack, what in both | names}))


def _leak(what: Sequence[str]) -> None:
    raise LeakError(
        f"in training and validation at once: {', '.join(what[:8])}",
        subject="training data",
        remedy="split with banana_cli.train.splits.split, by group and never by picture",
    )
