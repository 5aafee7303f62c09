"""``--classes``: which classes a run keeps. Checked before the first frame, applied after the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from banana_cli.adapter import SourceInfo
from banana_cli.classes import TABLE_OF, possible_ids
from banana_cli.errors import UsageError
from banana_cli.types import NO_CLASS, U8, ClassTable, LayerKind, Mask, Modality, Prediction


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
    layers = (_filtered(layer, names) if isinstance(layer, Mask) else layer for layer in prediction.layers)
    return replace(prediction, layers=tuple(layers))


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
