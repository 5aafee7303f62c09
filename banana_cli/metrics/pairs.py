"""Which prediction answers which truth: the same picture by its name, of the same kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from banana_cli.metrics.files import LAYERS, Formats, Item, Kind, guess


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All files of one picture (or of one array of pictures), by kind; heights are of the kind depth."""

    name: str
    predicted: Mapping[Kind, Item]
    truth: Mapping[Kind, Item]

    def layers(self, only: Kind | None = None) -> list[Kind]:
        """What can be judged: ``only`` that, if it can be."""
        both = [kind for kind in LAYERS if kind in self.predicted and kind in self.truth]
        if only is not None:
            return [only] if _paired(only) in both else []
        return [self._layer(kind) for kind in both]

    def _layer(self, kind: Kind) -> Kind:
        """Depth is of heights where either side says so."""
        return Kind.HEIGHTS if Kind.HEIGHTS in (self.predicted[kind].kind, self.truth[kind].kind) else kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Cases in order of name; ``missing``: truths without a prediction; ``spare``: the other way round."""

    cases: tuple[Case, ...]
    missing: tuple[str, ...]
    spare: tuple[str, ...]


@dataclass(slots=True)
class _Picture:
    key: tuple[str, ...]
    items: dict[Kind, Item] = field(default_factory=dict)


def told(items: Sequence[Item], formats: Formats) -> list[Item]:
    """The items with their kinds: those that no name tells are what the first of them is found to hold."""
    first = next((item for item in items if item.kind is None), None)
    if first is None:
        return list(items)
    kind = guess(first, formats)
    return [replace(item, kind=item.kind or kind) for item in items]


def called(name: str, items: Iterable[Item]) -> list[Item]:
    """The items under one name: for two files that a user has put side by side."""
    return [replace(item, key=(name,)) for item in items]


def match(predicted: Iterable[Item], truth: Iterable[Item], only: Kind | None = None) -> Matched:
    """Pair by name, and by the folders above where a name is not enough; ``only`` one layer, if given."""
    ours, theirs = _pictures(predicted), _pictures(truth)
    wanted = set(LAYERS) if only is None else {_paired(only)}
    kinds = {k for p in ours for k in p.items} & {k for p in theirs for k in p.items} & wanted
    ours = [p for p in ours if kinds & set(p.items)]
    theirs = [p for p in theirs if kinds & set(p.items)]
    by_stem: dict[str, list[_Picture]] = defaultdict(list)
    for picture in ours:
        by_stem[picture.key[-1]].append(picture)
    rivals: dict[str, int] = defaultdict(int)
    for picture in theirs:
        rivals[picture.key[-1]] += 1
    cases, missing, used = [], [], set()
    for picture in theirs:
        candidates = by_stem[picture.key[-1]]
        found = _nearest(picture, candidates, alone=rivals[picture.key[-1]] == 1)
        name = "/".join(picture.key)
        if found is not None:
            used.add(found.key)
            cases.append(Case(name=name, predicted=found.items, truth=picture.items))
        lacking = kinds & set(picture.items) - set(found.items if found else ())
        missing += [f"{name} ({kind})" for kind in sorted(lacking)]
    spare = tuple("/".join(p.key) for p in ours if p.key not in used)
    return Matched(cases=tuple(cases), missing=tuple(missing), spare=spare)


def _pictures(items: Iterable[Item]) -> list[_Picture]:
    """Files grouped by picture; of two files of one kind the first counts."""
    found: dict[tuple[str, ...], _Picture] = {}
    for item in items:
        if item.kind is not None:
            found.setdefault(item.key, _Picture(item.key)).items.setdefault(_paired(item.kind), item)
    return sorted(found.values(), key=lambda p: p.key)


def _paired(kind: Kind) -> Kind:
    """Heights are a kind of depth: a file may not tell which it holds."""
    return Kind.DEPTH if kind is Kind.HEIGHTS else kind


def _nearest(picture: _Picture, candidates: Sequence[_Picture], *, alone: bool) -> _Picture | None:
    """The one candidate whose folders agree furthest; where names repeat, a folder at least must agree."""
    if len(candidates) == 1 and alone:
        return candidates[0]
    agree = [_shared_tail(picture.key, c.key) for c in candidates]
    best = max(agree, default=0)
    full = [c for c, shared in zip(candidates, agree, strict=True) if shared == best]
    whole = len(full) == 1 and full[0].key == picture.key
    return full[0] if len(full) == 1 and (best > 1 or whole) else None


def _shared_tail(a: Sequence[str], b: Sequence[str]) -> int:
    count = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        count += 1
    return count
