"""``--classes``: which classes a run keeps. Checked before the first frame, applied after the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import compress

import numpy as np

from banana_cli.adapter import SourceInfo
from banana_cli.classes import TABLE_OF, possible_ids
from banana_cli.errors import UsageError
from banana_cli.types import NO_CLASS, U8, ClassTable, Instances, LayerKind, Mask, Modality, Prediction


def chosen(names: Sequence[str], infos: Iterable[SourceInfo]) -> tuple[str, ...]:
    """The classes that ``names`` mean (upper or lower case), spelled as in the tables and sorted.

    UsageError for a name that no input can hold, and for an input that can hold none of them.
    Inputs that give no masks have no say.
    """
    inputs = [info for info in infos if LayerKind.MASKS in info.formats]
    if not names or not inputs:
        return ()
    known = {name.casefold(): name for info in inputs for name in _possible(info.modality)}
    for name in names:
        if name.casefold() not in known:
            raise _unknown(name, inputs, known.values())
    kept = {known[name.casefold()] for name in names}
    for info in inputs:
        if kept.isdisjoint(_possible(info.modality)):
            raise UsageError(
                f"--classes {','.join(sorted(kept))} leaves nothing of this {info.modality.value} input",
                subject=info.item.subject,
                remedy=f"leave it out, or add one of: {', '.join(_possible(info.modality))}",
            )
    return tuple(sorted(kept))


def _possible(modality: Modality) -> tuple[str, ...]:
    """Names of the classes that a picture of this modality can hold."""
    names = TABLE_OF[modality].names
    return tuple(names[i] for i in possible_ids(modality))


def _unknown(name: str, inputs: Sequence[SourceInfo], known: Iterable[str]) -> UsageError:
    kinds = " or ".join(sorted({info.modality.value for info in inputs}))
    return UsageError(
        f"is no class of {kinds} inputs",
        subject=f"--classes {name!r}",
        remedy=f"classes: {', '.join(known)}",
    )


def only(prediction: Prediction, names: Sequence[str]) -> Prediction:
    """The prediction with masks of these classes alone; all other pixels have no answer. () keeps all."""
    if not names or prediction.of(LayerKind.MASKS) is None:
        return prediction
    layers = tuple(_filtered(one, names) if isinstance(one, Mask) else one for one in prediction.layers)
    things = prediction.instances
    mask = prediction.of(LayerKind.MASKS)
    if things is not None and isinstance(mask, Mask):
        things = _some_things(things, [mask.table.names[c] in names for c in things.classes])
    return replace(prediction, layers=layers, instances=things)


def _some_things(things: Instances, kept: Sequence[bool]) -> Instances:
    """Those that are ``kept``, numbered anew."""
    number = np.zeros(len(things) + 1, np.uint16)
    number[1:][kept] = np.arange(1, sum(kept) + 1)
    return Instances(
        ids=number[things.ids],
        classes=tuple(compress(things.classes, kept)),
        scores=tuple(compress(things.scores, kept)),
        tracks=tuple(compress(things.tracks, kept)),
    )


def _filtered(mask: Mask, names: Sequence[str]) -> Mask:
    ids = _table(mask.table, names)[mask.ids]
    return replace(mask, ids=ids, valid=mask.valid & (ids != NO_CLASS))


def _table(table: ClassTable, names: Sequence[str]) -> U8:
    """(256,) what becomes of each id."""
    result = np.full(256, NO_CLASS, np.uint8)
    for info in table.classes:
        if info.name in names:
            result[info.id] = info.id
    return result
