"""No group is ever on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banana_cli.train.splits import (
    HELD_OUT,
    LeakError,
    Pack,
    check_disjoint,
    check_training,
    group_of,
    is_held_out,
    split,
)


@dataclass(frozen=True)
class Item:
    pack: str
    group: str
    name: str


@pytest.mark.parametrize(
    ("pack", "stem", "group"),
    [
        (Pack.STREET, "san_francisco_0320", "san_francisco"),
        (Pack.CARDIAC, "SC_HF_NI_36_IM_0001_0149", "SC_HF_NI_36"),
        (Pack.CARDIAC, "SC_N_02_IM_0001_0149", "SC_N_02"),
        (Pack.BODY, "STS_022_mr_001", "STS_022"),
        (Pack.CHEST, "ieee334_thnov10p5641g006_c", "ieee334"),
        (Pack.CHEST, "ieee331b_0badc0de", "ieee331"),
        (Pack.CHEST, "ieee331a_0badc0de", "ieee331"),
        (Pack.ULTRASOUND, "0013", "block0"),
        (Pack.ULTRASOUND, "0081", "block0"),
        (Pack.ULTRASOUND, "0014", "block1"),
        (Pack.ULTRASOUND, "0082", "block1"),
        (Pack.ULTRASOUND, "0129", "block0"),
        (Pack.FUNDUS, "Image_03L", "03"),
        (Pack.AERIAL, "tile2_image_part_001", "tile2"),
    ],
)
def test_groups_come_from_names(pack: Pack, stem: str, group: str) -> None:
    assert group_of(pack, stem) == group


def test_tiles_that_show_the_same_ground_are_one_group() -> None:
    groups = {n: group_of(Pack.AERIAL, f"tile{n}_image_part_001") for n in (1, 2, 3, 4, 5, 7, 8)}
    assert groups[1] == groups[3]
    assert groups[4] == groups[7] == groups[8]
    assert len(set(groups.values())) == 4


def test_a_foreign_name_is_refused() -> None:
    with pytest.raises(Exception, match="group"):
        group_of(Pack.BODY, "picture")


items = st.builds(
    lambda pack, group, name: Item(pack.value, group, name),
    st.sampled_from(list(Pack)),
    st.sampled_from(sorted({g for groups in HELD_OUT.values() for g in groups}) + ["a", "b"]),
    st.text("xyz", max_size=3),
)


@given(st.lists(items, unique=True))
def test_a_split_loses_nothing_and_leaks_nothing(records: list[Item]) -> None:
    train, validation = split(records)
    assert sorted(map(repr, train + validation)) == sorted(map(repr, records))
    assert not {(r.pack, r.group) for r in train} & {(r.pack, r.group) for r in validation}
    check_training(train)
    assert all(is_held_out(r) for r in validation)


def test_a_shared_group_raises_and_is_named() -> None:
    train = [Item(Pack.STREET.value, "boston", "boston_0001")]
    validation = [Item(Pack.STREET.value, "boston", "boston_0002")]
    with pytest.raises(LeakError, match="boston"):
        check_disjoint(train, validation)
    check_disjoint(train, [Item(Pack.CARDIAC.value, "boston", "x")])  # the same word in another pack


def test_a_held_out_group_may_not_be_trained_on() -> None:
    city = sorted(HELD_OUT[Pack.STREET])[0]
    with pytest.raises(LeakError, match=city):
        check_training([Item(Pack.STREET.value, city, "x")])


def _fingerprint(path: Path) -> np.ndarray:
    small = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (64, 64), interpolation=cv2.INTER_AREA)
    detail = small.astype(np.float32) - cv2.GaussianBlur(small.astype(np.float32), (0, 0), 8)
    return ((detail - detail.mean()) / detail.std()).ravel() / 64


@pytest.mark.parametrize("pack", [Pack.ULTRASOUND, Pack.CARDIAC, Pack.STREET, Pack.AERIAL])
def test_no_held_out_picture_has_a_double_in_training(shared_data: Path, pack: Pack) -> None:
    pictures = sorted((shared_data / pack.value / "images").glob("*.jpg"))
    prints = np.stack([_fingerprint(p) for p in pictures])
    held_out = np.array([group_of(pack, p.stem) in HELD_OUT[pack] for p in pictures])
    assert (prints[held_out] @ prints[~held_out].T).max() < 0.7


def test_every_held_out_group_exists_and_is_a_fair_part(shared_data: Path) -> None:
    for pack, held_out in HELD_OUT.items():
        stems = [p.stem for p in (shared_data / pack.value / "labels").glob("*.png")]
        groups = [group_of(pack, stem) for stem in stems]
        assert held_out <= set(groups), pack
        share = sum(g in held_out for g in groups) / len(groups)
        assert 0.12 < share < 0.25, (pack, share)
