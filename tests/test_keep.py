"""--classes: what is left of a mask, and which names are refused for which inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from banana_cli import codec, keep
from banana_cli.adapter import InputItem, SourceInfo
from banana_cli.classes import AERIAL, STREET, TABLES
from banana_cli.errors import UsageError
from banana_cli.types import (
    NO_CLASS,
    ClassTable,
    Depth,
    DepthKind,
    Domain,
    LayerKind,
    Mask,
    Modality,
    Prediction,
    Unit,
)


def mask_of(table: ClassTable) -> Mask:
    """Every class twice, once where there is no data."""
    ids = np.stack([np.arange(len(table), dtype=np.uint8), np.full(len(table), NO_CLASS, np.uint8)])
    return Mask(ids=ids, valid=ids != NO_CLASS, table=table)


def info(
    modality: Modality, domain: Domain, *, layers: tuple[LayerKind, ...] = tuple(LayerKind)
) -> SourceInfo:
    return SourceInfo(
        item=InputItem(paths=(Path(f"{modality.value}.in"),), stem=modality.value),
        domain=domain,
        modality=modality,
        kind="picture",
        shape=(2, 3),
        frames=1,
        formats={layer: "png" for layer in layers},
    )


STREETS, SCENE = info(Modality.STREET, Domain.DRIVING), info(Modality.AERIAL, Domain.SATELLITE)
CT = info(Modality.CT, Domain.MEDICAL)


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (table, names)
        for table in TABLES.values()
        for k in range(len(table))
        for names in (table.names[k : k + 1], table.names[:k] + table.names[k + 1 :])
    ],
)
def test_exactly_the_kept_classes_stay_and_decode(table: ClassTable, names: tuple[str, ...]) -> None:
    before = mask_of(table)
    prediction = Prediction(layers=(before,), tokens_kept=1.0, seconds={})
    after = keep.only(prediction, names).get(Mask)
    kept = [table.id_of(name) for name in names]
    assert np.array_equal(after.ids, np.where(np.isin(before.ids, kept), before.ids, NO_CLASS))
    assert np.array_equal(after.valid, after.ids != NO_CLASS)
    stored, _ = codec.encode_mask_u8(after)
    decoded = codec.decode_mask_u8(stored, table)
    assert np.array_equal(decoded.ids, after.ids) and np.array_equal(decoded.valid, after.valid)
    assert before.ids[0].tolist() == list(range(len(table)))


def test_other_layers_and_no_names_pass_untouched() -> None:
    values = np.ones((2, len(AERIAL)), np.float32)
    valid = np.ones(values.shape, np.bool_)
    depth = Depth(values=values, valid=valid, depth_kind=DepthKind.METRIC, unit=Unit.METRE)
    both = Prediction(layers=(depth, mask_of(AERIAL)), tokens_kept=1.0, seconds={"model": 1.0})
    assert keep.only(both, ()) is both
    alone = Prediction(layers=(depth,), tokens_kept=1.0, seconds={})
    assert keep.only(alone, ("road",)) is alone
    some = keep.only(both, ("water",))
    assert some.get(Depth) is depth and some.seconds == both.seconds
    assert some.get(Mask).valid.sum() == 1


def test_names_are_spelled_and_ordered_as_in_the_tables() -> None:
    assert keep.chosen(["Traffic LIGHT", "car", "CAR"], [STREETS]) == ("car", "traffic light")
    assert keep.chosen([], [STREETS]) == ()
    assert keep.chosen(["vehicle", "car", "road"], [STREETS, SCENE]) == ("car", "road", "vehicle")


@pytest.mark.parametrize("name", ["lorry", "car ", "left ventricle", "background"])
def test_a_name_that_no_input_can_hold_lists_those_that_can_be(name: str) -> None:
    with pytest.raises(UsageError, match="is no class of ct inputs") as refused:
        keep.chosen(["bone", name], [CT])
    assert refused.value.remedy == "classes: air, fat, soft tissue, bone, lung, tumour"
    assert name in refused.value.subject


def test_an_input_of_which_nothing_would_be_left_is_named() -> None:
    with pytest.raises(UsageError, match="leaves nothing of this ct input") as refused:
        keep.chosen(["car"], [STREETS, CT])
    assert refused.value.subject == "ct.in" and "bone" in refused.value.remedy


def test_inputs_without_masks_have_no_say() -> None:
    scout = info(Modality.CT, Domain.MEDICAL, layers=(LayerKind.DEPTH,))
    assert keep.chosen(["car"], [STREETS, scout]) == ("car",)
    assert keep.chosen(["car"], [scout]) == ()


def test_every_street_class_can_be_named() -> None:
    assert set(keep.chosen([n.upper() for n in STREET.names], [STREETS])) == set(STREET.names)
