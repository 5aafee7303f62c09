"""Which file answers which: names as layouts of data sets have them."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

import pytest

from banana_cli.metrics.files import Item, Kind, find, plain_key
from banana_cli.metrics.pairs import match


def item(path: str, kind: Kind = Kind.MASKS) -> Item:
    return Item(path=Path(path), key=plain_key(PurePath(path)), kind=kind)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("a.masks.png", "a.png"),
        ("town/a_leftImg8bit.masks.png", "val/town/a_gtFine_labelIds.png"),
        ("a.png", "a_gtCoarse_labelTrainIds.png"),
        ("clip.masks/000012.png", "clip/000012.png"),
        ("d_sync_image_0000000005_image_02.depth.png", "d_sync_groundtruth_depth_0000000005_image_02.png"),
        ("2011/d_sync/image_02/data/0000000005.png", "d_sync/proj_depth/groundtruth/image_02/0000000005.png"),
    ],
)
def test_the_same_picture_has_the_same_name(ours: str, theirs: str) -> None:
    matched = match([item(ours), item("z/other.png")], [item(theirs)])
    assert len(matched.cases) == 1 and matched.missing == () and matched.spare == ("z/other",)


def test_folders_tell_equal_names_apart() -> None:
    ours = [item("out/one/7.png"), item("out/two/7.png")]
    matched = match(ours, [item("labels/two/7.png"), item("labels/one/7.png"), item("labels/three/7.png")])
    assert [(c.name, c.predicted[Kind.MASKS].path.parent.name) for c in matched.cases] == [
        ("labels/one/7", "one"),
        ("labels/two/7", "two"),
    ]
    assert matched.missing == ("labels/three/7 (masks)",)


def test_a_name_that_could_be_two_is_none() -> None:
    matched = match([item("x/a/7.png"), item("y/a/7.png")], [item("a/7.png")])
    assert matched.cases == () and matched.missing == ("a/7 (masks)",)


def test_each_kind_is_missed_for_itself() -> None:
    ours = [item("a.masks.png"), item("b.masks.png"), item("b.depth.png", Kind.DEPTH)]
    theirs = [item(f"{n}.{k}.png", k) for n in "ab" for k in (Kind.MASKS, Kind.DEPTH, Kind.NORMALS)]
    matched = match(ours, theirs)
    assert [c.layers() for c in matched.cases] == [[Kind.MASKS], [Kind.MASKS, Kind.DEPTH]]
    assert matched.missing == ("a (depth)",)  # nobody predicted normals at all


def test_what_is_no_layer_is_passed_over(tmp_path: Path) -> None:
    views = ("a.masks.overlay.png", "a.attention.png", "a_gtFine_color.png", "v.masks.png")
    for name in ("a.masks.png", *views, ".b.masks.png", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    facts = {"schema": "banana-output-1", "encoding": {"encoding": "view"}}
    (tmp_path / "v.masks.png.json").write_text(json.dumps(facts))
    assert [i.path.name for i in find(tmp_path)] == ["a.masks.png"]
