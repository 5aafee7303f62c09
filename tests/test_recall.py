"""Answers that outlive a kill: they come back as they were, and a part that was cut short does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from banana_cli.classes import AERIAL
from banana_cli.recall import Recall
from banana_cli.types import (
    Band,
    Depth,
    DepthKind,
    Frame,
    Instances,
    LayerKind,
    Mask,
    Modality,
    Normals,
    Prediction,
    Provenance,
    Unit,
    View,
    Window,
)

from .cli.fakes import FlatGeometry

ABOUT = {"model": "nano", "kinds": ["masks"]}
ALL = frozenset(LayerKind)
CHANCE = np.random.default_rng(4)
INSIDE = (slice(2, 8), slice(1, 6))


def frame(index: int, measured: tuple[Normals, ...] = ()) -> Frame:
    return Frame(
        pixels=np.zeros((1, 9, 7), np.float32),
        valid=np.ones((9, 7), np.bool_),
        bands=(Band(name="grey", unit="1"),),
        views=(View(band=0, low=0, high=1),),
        modality=Modality.AERIAL,
        geometry=FlatGeometry(),
        provenance=Provenance(
            source="s",
            index=index,
            window=Window(top=10, left=20, height=9, width=7),
            core=Window(top=12, left=21, height=6, width=5),
            scene_shape=(100, 100),
        ),
        measured=measured,
    )


def prediction(*more: Normals) -> Prediction:
    valid = CHANCE.random((9, 7)) < 0.8
    ids = np.where(valid, CHANCE.integers(0, len(AERIAL), (9, 7)), 255).astype(np.uint8)
    values = np.where(valid, CHANCE.random((9, 7)), np.nan).astype(np.float32)
    mask = Mask(ids=ids, valid=valid, table=AERIAL, confidence=CHANCE.integers(0, 255, (9, 7), np.uint8))
    height = Depth(values=values, valid=valid, depth_kind=DepthKind.METRIC, unit=Unit.METRE, note="ü")
    things = Instances(
        ids=CHANCE.integers(0, 3, (9, 7)).astype(np.uint16), classes=(1, 1), scores=(0.25, 0.5)
    )
    return Prediction(
        instances=things,
        layers=(*more, mask, height),
        tokens_kept=0.1 + 0.2,
        seconds={"model": 1.5},
        notes={"focal": [1, None]},
    )


def seen(layer: object) -> list[object]:
    """What a layer says inside the core: outside it nobody answers."""
    arrays = [getattr(layer, name, None) for name in ("ids", "valid", "confidence", "values", "xyz")]
    told = [
        str(getattr(layer, name, None))
        for name in ("table", "unit", "depth_kind", "note", "classes", "scores")
    ]
    return [type(layer), *(a if a is None else a[..., *INSIDE].tobytes() for a in arrays), *told]


def same(a: Prediction, b: Prediction) -> bool:
    facts = [(p.tokens_kept, dict(p.seconds), dict(p.notes)) for p in (a, b)]
    said = [[seen(x) for x in (*p.layers, p.instances)] for p in (a, b)]
    return facts[0] == facts[1] and said[0] == said[1]


def test_answers_come_back_and_only_to_those_who_ask_the_same(tmp_path: Path) -> None:
    said = [prediction() for _ in range(3)]
    first = Recall(tmp_path / "answers", ABOUT, resume=False)
    for i, one in enumerate(said):
        assert first.get(frame(i), ALL) is None
        first.put(frame(i), one)
    again = Recall(tmp_path / "answers", ABOUT, resume=True)
    assert len(again) == 3 and again.get(frame(7), ALL) is None
    found = [again.get(frame(i), ALL) for i in range(3)]
    assert all(same(a, b) for a, b in zip(said, found, strict=True))
    assert not found[0].layers[0].valid[0].any()
    again.put(frame(3), said[0])
    for about, resume, count in ((ABOUT, True, 4), ({**ABOUT, "model": "large"}, True, 0), (ABOUT, False, 0)):
        other = Recall(tmp_path / "answers", about, resume=resume)
        assert len(other) == count


def test_a_part_cut_or_bent_anywhere_gives_the_whole_answer_or_none(tmp_path: Path) -> None:
    folder, said = tmp_path / "answers", prediction()
    Recall(folder, ABOUT, resume=False).put(frame(0), said)
    (path,) = folder.glob("*.npz")
    whole = path.read_bytes()
    again = Recall(folder, ABOUT, resume=True)
    assert same(again.get(frame(0), ALL), said)
    lost = 0
    places = range(0, len(whole), 3)
    for at in places:
        bent = whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :]
        for data in (whole[:at], bent):
            path.write_bytes(data)
            found = again.get(frame(0), ALL)
            assert found is None or same(found, said)
            lost += found is None
    assert len(places) < lost < 2 * len(places)
    again.put(frame(0), said)
    assert same(again.get(frame(0), ALL), said)


@pytest.mark.parametrize("left", ["", "{", '{"kinds": []}'])
def test_a_folder_whose_beginning_was_cut_short_is_begun_anew(tmp_path: Path, left: str) -> None:
    folder = tmp_path / "answers"
    Recall(folder, ABOUT, resume=False).put(frame(0), prediction())
    (folder / "about.json").write_text(left)
    again = Recall(folder, ABOUT, resume=True)
    assert len(again) == 0 and again.get(frame(0), ALL) is None
    again.put(frame(0), prediction())
    assert len(Recall(folder, ABOUT, resume=True)) == 1


def test_a_part_that_was_being_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recall = Recall(tmp_path / "answers", ABOUT, resume=False)
    recall.put(frame(0), prediction())
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            recall.put(frame(1), prediction())
    again = Recall(tmp_path / "answers", ABOUT, resume=True)
    assert len(again) == 1 and again.get(frame(1), ALL) is None


def test_what_a_frame_brings_along_is_not_kept_but_given_again(tmp_path: Path) -> None:
    up = np.zeros((3, 9, 7), np.float32)
    up[2] = -1
    measured = Normals(xyz=up, valid=np.ones((9, 7), np.bool_))
    recall = Recall(tmp_path / "answers", ABOUT, resume=False)
    recall.put(frame(0, (measured,)), prediction(measured))
    again = Recall(tmp_path / "answers", ABOUT, resume=True)
    found = again.get(frame(0, (measured,)), ALL)
    assert found.layers[0] is measured and len(found.layers) == 3


def test_a_disk_that_refuses_ends_the_keeping_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall = Recall(tmp_path / "answers", ABOUT, resume=False)
    recall.put(frame(0), prediction())
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    recall.put(frame(1), prediction())
    recall.put(frame(2), prediction())
    assert not (tmp_path / "answers").exists() and recall.get(frame(0), ALL) is None
    nowhere = Recall(tmp_path / "no" / "answers", ABOUT, resume=True)
    nowhere.put(frame(0), prediction())
    assert len(nowhere) == 0
