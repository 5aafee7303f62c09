"""What the numbers of a truth mean, and which of a prediction's classes answer them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from banana_cli.classes import AERIAL, MEDICAL, STREET, thing_ids
from banana_cli.errors import UsageError, translate
from banana_cli.metrics.masks import STREET_GROUPS
from banana_cli.types import NO_CLASS, U8, ClassTable, Json, Modality

OTHER: Final = "other"
"""The name of what is none of the judged classes: predicting one of them there is a false alarm."""
MOST: Final = 253
_FOREIGN: Final = 254
_MAX_BYTES: Final = 16 << 20

# The numbers of Cityscapes' labels that its benchmark judges; the street table has the same names.
_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_CITYSCAPES_ALL = 34
_THINGS: Final = {
    table.name: frozenset(table.names[i] for i in thing_ids(modality))
    for table, modality in ((STREET, Modality.STREET), (AERIAL, Modality.AERIAL))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """``names`` by stored number; numbers in ``ignored`` are not judged.

    ``members``: the predicted classes that a name stands for; without an entry "a/b" stands for both.
    ``things``: classes whose members can be counted.
    """

    names: Mapping[int, str]
    ignored: frozenset[int] = frozenset()
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    things: frozenset[str] = _THINGS["street"]

    @classmethod
    def of(cls, table: ClassTable) -> Numbering:
        """The ids of a table of ours."""
        return cls(names=dict(enumerate(table.names)), things=_THINGS.get(table.name, frozenset()))

    def in_order(self) -> tuple[str, ...]:
        """Names by number, "" for numbers without one."""
        return tuple(self.names.get(i, "") for i in range(max(self.names, default=-1) + 1))


def _street_groups() -> Numbering:
    return Numbering(
        names={i: name for name, ids in STREET_GROUPS for i in ids},
        members={name: tuple(STREET.names[i] for i in ids) for name, ids in STREET_GROUPS},
    )


CITYSCAPES: Final = Numbering(
    names=dict(zip(_CITYSCAPES_IDS, STREET.names, strict=False)),
    ignored=frozenset(range(_CITYSCAPES_ALL)) - frozenset(_CITYSCAPES_IDS),
)
NUMBERINGS: Final[dict[str, Numbering]] = {
    "street": Numbering.of(STREET),
    "medical": Numbering.of(MEDICAL),
    "aerial": Numbering.of(AERIAL),
    "cityscapes": CITYSCAPES,
    "street-groups": _street_groups(),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """The classes that are judged, and how stored numbers become their indices.

    An index is 0..n-1, ``other`` = n for what is none of them, 255 for what is not judged. ``things``:
    indices of classes whose members can be counted.
    """

    names: tuple[str, ...]
    truth: U8
    members: Mapping[str, int]
    things: frozenset[int]

    @property
    def other(self) -> int:
        """The index of what is no judged class."""
        return len(self.names)

    def of_truth(self, ids: U8) -> U8:
        """(H, W) stored numbers -> indices. ValueError for a number without a meaning."""
        found = self.truth[ids]
        if (found == _FOREIGN).any():
            raise ValueError(f"{int(ids[found == _FOREIGN][0])} is no number of a class")
        return found

    def of_prediction(self, ids: U8, names: Sequence[str] | None) -> U8:
        """(H, W) class ids of a table ``names`` (None: numbers of the truth) -> indices, 255 = no answer."""
        if names is None:
            table = np.where(self.truth == _FOREIGN, np.uint8(self.other), self.truth)
        else:
            table = np.full(256, self.other, np.uint8)
            table[: len(names)] = [self.members.get(name, self.other) for name in names]
        table[NO_CLASS] = NO_CLASS
        return table[ids]

    def unknown_to(self, names: Sequence[str]) -> list[str]:
        """Judged classes that a table cannot answer."""
        known = {self.members[name] for name in names if name in self.members}
        return [name for i, name in enumerate(self.names) if i not in known]


def judged(numbering: Numbering, only: Sequence[str] = ()) -> Judged:
    """All classes of a numbering, or ``only`` those: the others then become "other".

    UsageError if a name of ``only`` is no class, or there are too many classes.
    """
    every = list(dict.fromkeys(name for name in numbering.names.values() if name != OTHER))
    if foreign := [name for name in only if name not in every]:
        raise UsageError(
            f"{', '.join(map(repr, foreign))} is no class here",
            subject="--classes",
            remedy=f"classes: {', '.join(every)}",
        )
    names = tuple(name for name in every if name in only or not only)
    if not 0 < len(names) <= MOST:
        raise UsageError(
            f"{len(names)} classes cannot be judged", subject="--classes", remedy=f"name 1 to {MOST} classes"
        )
    place = {name: index for index, name in enumerate(names)}
    truth = np.full(256, _FOREIGN, np.uint8)
    for number, name in numbering.names.items():
        truth[number] = place.get(name, len(names))
    truth[[*numbering.ignored, NO_CLASS]] = NO_CLASS
    members = {
        part: index
        for name, index in place.items()
        for part in (name, *numbering.members.get(name, name.split("/")))
    }
    things = frozenset(members[part] for part in members if part in numbering.things)
    return Judged(names=names, truth=truth, members=members, things=things)


def by_number() -> Judged:
    """Where nobody tells what numbers mean: each is a class of its own."""
    return judged(Numbering(names={i: f"class {i}" for i in range(MOST)}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What ``--classes`` says: what the numbers of the truth mean (None: nothing said), which are judged."""

    numbering: Numbering | None = None
    only: tuple[str, ...] = ()

    def resolve(self, *candidates: Numbering | None) -> Judged:
        """The judged classes: by this choice, else by the first candidate that is known, else by number."""
        known = next((n for n in (self.numbering, *candidates) if n is not None), None)
        if known is not None:
            return judged(known, self.only)
        if self.only:
            raise UsageError(
                "nothing tells the numbers of these classes",
                subject=f"--classes {','.join(self.only)}",
                remedy="say --classes 0=background,1=lung, or name a table or a JSON file",
            )
        return by_number()


def parse(words: Iterable[str]) -> Choice:
    """``--classes``: a table, a JSON file, names by number (1=road), or names. UsageError if it is none."""
    parts = [p.strip() for word in words for p in word.split(",") if p.strip()]
    choice = Choice()
    numbers: dict[int, str] = {}
    for part in parts:
        number, equals, name = part.partition("=")
        if part in NUMBERINGS:
            choice = replace(choice, numbering=NUMBERINGS[part])
        elif part.lower().endswith(".json"):
            choice = replace(choice, numbering=read(Path(part)))
        elif equals:
            numbers[_number(number, part)] = name.strip()
        else:
            choice = replace(choice, only=(*choice.only, part))
    return replace(choice, numbering=Numbering(names=numbers)) if numbers else choice


def _number(text: str, part: str) -> int:
    if not text.strip().isdecimal() or not int(text) < NO_CLASS:
        raise UsageError("starts with no number below 255", subject=f"--classes {part}", remedy="say 1=road")
    return int(text)


def read(path: Path) -> Numbering:
    """The classes that a JSON file tells: a sidecar of ours, a COCO file, a list of names.

    UsageError if it tells none.
    """
    remedy = 'its "classes" should be a list of names, or of {"id": 1, "name": "road"}'
    with translate(OSError, ValueError, RecursionError, to=UsageError, subject=str(path), remedy=remedy):
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("is too large for a list of classes")
        return from_json(json.loads(path.read_text(encoding="utf-8")))


def from_json(facts: Json) -> Numbering:
    """The classes of a JSON value. ValueError if it tells none."""
    rows = facts
    while isinstance(rows, dict):
        rows = rows.get("classes", rows.get("categories"))
    if not isinstance(rows, list) or not rows:
        raise ValueError("tells no classes")
    names = dict(_row(i, row) for i, row in enumerate(rows))
    ignored = facts.get("ignore") if isinstance(facts, dict) else None
    if any(not 0 <= i < NO_CLASS for i in names):
        raise ValueError("a number of a class is not within 0..254")
    unused = frozenset({ignored}) if isinstance(ignored, int) and 0 <= ignored <= NO_CLASS else frozenset()
    table = str(facts.get("table")) if isinstance(facts, dict) else ""
    return Numbering(
        names={i: n for i, n in names.items() if i not in unused},
        ignored=unused,
        things=_THINGS.get(table, _THINGS[STREET.name]),
    )


def _row(place: int, row: Json) -> tuple[int, str]:
    if isinstance(row, str):
        return place, row
    if isinstance(row, dict) and isinstance(row.get("id"), int) and isinstance(row.get("name"), str):
        return int(str(row["id"])), str(row["name"])
    raise ValueError(f"{row!r} is no class")
