"""What the loaders give of the real packs, and the labels that follow from HU."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from banana_cli.classes import AERIAL, MEDICAL, TABLE_OF, possible_ids
from banana_cli.errors import InputError
from banana_cli.train.packs import (
    AERIAL_SETS,
    CARDIAC_SETS,
    CT_SETS,
    LOADERS,
    MR_TUMOUR_SETS,
    Record,
    body_mask,
    ct_label,
    depth_below_skin,
    load_body,
    load_cardiac,
    load_depth_check,
    load_street,
    scale_mr,
    window_ct,
)
from banana_cli.train.splits import Pack, check_disjoint, split
from banana_cli.types import Modality

COUNTS = {
    Pack.STREET: 91,
    Pack.CARDIAC: 526,
    Pack.BODY: 348,  # 357, less the MR slices without any signal
    Pack.CHEST: 90,
    Pack.ULTRASOUND: 204,
    Pack.FUNDUS: 20,
    Pack.AERIAL: 63,
}


@pytest.mark.parametrize("pack", list(Pack))
def test_real_packs(shared_data: Path, pack: Pack) -> None:
    records = LOADERS[pack](shared_data)
    assert len(records) == COUNTS[pack]
    seen = {m: np.zeros(256, np.int64) for m in {r.modality for r in records}}
    for record in records:
        seen[record.modality] += np.bincount(record.label[::4, ::4].ravel(), minlength=256)
        assert not (set(np.unique(record.label)) - {255} - set(range(len(record.sets)))), record.name
        allowed = set(possible_ids(record.modality))
        assert all(set(ids) <= allowed for ids in record.sets)
        assert record.pixels.std() > 1, record.name
    for modality, counts in seen.items():
        if modality is not Modality.STREET:  # there rider, bus, train and two-wheelers are missing
            sets = next(r.sets for r in records if r.modality is modality)
            assert (counts[: len(sets)] > 0).all()
    train, validation = split(records)
    assert validation
    check_disjoint(train, validation)


def test_other_means_every_class_the_pack_does_not_label() -> None:
    for sets in (CARDIAC_SETS, MR_TUMOUR_SETS):
        other, own = sets
        assert not set(other) & set(own)
        assert set(other) | set(own) == set(possible_ids(Modality.MR))
    assert CT_SETS[0] == (MEDICAL.id_of("air"), MEDICAL.id_of("lung"))
    assert AERIAL.id_of("vehicle") in AERIAL_SETS[2]
    assert sorted(i for s in AERIAL_SETS for i in s) == list(possible_ids(Modality.AERIAL))


def test_labels_sit_on_what_they_name(shared_data: Path) -> None:
    """Were a class order wrong, these plain facts of light and place would not hold."""
    street = load_street(shared_data)
    rows = {c: [] for c in ("road", "sky")}
    for record in street:
        for name, found in rows.items():
            y = np.nonzero(record.label == TABLE_OF[Modality.STREET].id_of(name))[0]
            found.append(y.mean() / record.shape[0] if y.size else np.nan)
    assert np.nanmean(rows["sky"]) < 0.35 < 0.55 < np.nanmean(rows["road"])
    ultrasound = LOADERS[Pack.ULTRASOUND](shared_data)
    grey = [
        [r.pixels[..., 0][r.label == i].astype(float).mean() for i in (1, 2)]
        for r in ultrasound
        if all((r.label == i).any() for i in (1, 2))
    ]
    nerve, vessel = np.mean(grey, axis=0)
    assert nerve > vessel + 10  # a vessel is dark inside
    aerial = np.concatenate(
        [r.pixels[::5, ::5][r.label[::5, ::5] == 3] for r in LOADERS[Pack.AERIAL](shared_data)]
    )
    green = aerial.astype(float).mean(axis=0)
    assert green[1] > green[0] - 5  # vegetation


def test_ct_tissues_of_the_pack_obey_their_windows(shared_data: Path) -> None:
    for record in load_body(shared_data)[:160:20]:
        assert record.modality is Modality.CT
        folder = shared_data / Pack.BODY.value
        stored = cv2.imread(str(folder / "images" / f"{record.name}.png"), cv2.IMREAD_UNCHANGED)
        hu = stored.astype(np.float32) - 1024
        assert hu[record.label == 0].max() < -500
        assert record.label[(hu > 200) & (record.label != 4)].min(initial=3) == 3
        assert np.array_equal(record.pixels, window_ct(hu))
        assert record.pitch == pytest.approx(1.0, abs=0.2)
        inside = np.isfinite(record.depth)
        assert inside.any()
        assert (hu[inside & (record.depth < 1.5 * record.pitch)] > -300).all()


def test_mr_slices_of_a_patient_share_one_scale(shared_data: Path) -> None:
    records = load_cardiac(shared_data)
    patient = [r for r in records if r.group == records[0].group]
    folder = shared_data / Pack.CARDIAC.value / "images"
    values = [cv2.imread(str(folder / f"{r.name}.jpg"), cv2.IMREAD_UNCHANGED) for r in patient]
    scales: dict[int, set[int]] = {}
    for record, stored in zip(patient, values, strict=True):
        assert (record.pixels == record.pixels[..., :1]).all()
        for value in (20, 60, 100):
            scales.setdefault(value, set()).update(np.unique(record.pixels[stored == value]).tolist())
    assert all(len(found) == 1 for found in scales.values())


def test_ct_label_by_hand() -> None:
    hu = np.array([[-1000, -501, -500, -190, -100, -30, -29, 0, 150, 151, 200, 201, 40]], np.float32)
    tumour = np.zeros(hu.shape, np.bool_)
    tumour[0, -1] = True
    expected = [0, 0, 255, 1, 1, 1, 2, 2, 2, 255, 255, 3, 4]
    assert ct_label(hu, tumour)[0].tolist() == expected


def test_windows_by_hand() -> None:
    hu = np.array([[-1350, -600, -450, -160, 40, 150, 240, 300, 1050]], np.float32)
    got = window_ct(hu)[0].astype(float) / 255
    assert np.allclose(got[:, 0], [0, 0, 0, 0, 0.5, 0.775, 1, 1, 1], atol=0.003)
    assert np.allclose(got[[0, 1, 5], 1], [0, 0.5, 1], atol=0.003)
    assert np.allclose(got[[2, 7, 8], 2], [0, 0.5, 1], atol=0.003)


def disc(radius: float, size: int, centre: tuple[float, float]) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    away = np.hypot(x - centre[0], y - centre[1])
    return np.where(away < radius, np.float32(50), np.float32(-1000))


def test_depth_below_the_skin_of_a_disc() -> None:
    hu = disc(40, 101, (50, 50))
    depth = depth_below_skin(hu, 0.5)
    y, x = np.mgrid[:101, :101]
    exact = (40 - np.hypot(x - 50, y - 50)) * 0.5
    inside = hu > 0
    assert np.isnan(depth[~inside]).all()
    assert np.abs(depth - exact)[inside].max() < 0.8  # a pixel's half diagonal and the staircase


def test_holes_and_small_parts_are_no_skin() -> None:
    hu = disc(40, 101, (50, 50))
    hollow = hu.copy()
    hollow[45:56, 40:61] = -900  # gas inside
    hollow[2:6, 2:6] = 60  # a thing beside the body
    assert np.array_equal(depth_below_skin(hollow, 1.0), depth_below_skin(hu, 1.0), equal_nan=True)
    assert not body_mask(hollow)[3, 3]


def test_depth_is_unknown_where_the_picture_cuts_the_body() -> None:
    hu = disc(40, 101, (50, 0))
    depth = depth_below_skin(hu, 1.0)
    assert np.isnan(depth[0, 50])
    assert depth[30, 50] == pytest.approx(10, abs=1)
    whole = np.full((30, 30), 40, np.float32)
    assert np.isnan(depth_below_skin(whole, 1.0)).all()
    assert np.isnan(depth_below_skin(whole - 1000, 1.0)).all()


def test_scale_mr_by_hand() -> None:
    assert scale_mr(np.array([[-5, 0, 50, 100, 400]]), 0, 100)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_the_depth_check_is_metric(shared_data: Path) -> None:
    frames = load_depth_check(shared_data)
    assert len(frames) == 6
    for frame in frames:
        known = np.isfinite(frame.depth)
        assert 0.001 < known.mean() < 0.2
        assert frame.depth[known].min() > 1
        assert frame.image.shape == (3, *frame.depth.shape)
        assert frame.image.max() <= 1
        assert frame.focal_px > 2000


def _street_pack(folder: Path, label: np.ndarray) -> Path:
    pack = folder / Pack.STREET.value
    for part in ("images", "labels"):
        (pack / part).mkdir(parents=True)
    cv2.imwrite(str(pack / "images" / "town_0001.jpg"), np.full((8, 9, 3), 90, np.uint8))
    cv2.imwrite(str(pack / "labels" / "town_0001.png"), label)
    return pack


def test_colours_are_rgb(tmp_path: Path) -> None:
    pack = _street_pack(tmp_path, np.zeros((8, 9), np.uint8))
    cv2.imwrite(str(pack / "images" / "town_0001.jpg"), np.full((8, 9, 3), (250, 10, 10), np.uint8))  # blue
    (record,) = load_street(tmp_path)
    assert record.pixels[0, 0, 2] > 200 > record.pixels[0, 0, 0]
    assert record.image.shape == (3, 8, 9)
    assert record.group == "town"


def test_a_foreign_label_is_an_error(tmp_path: Path) -> None:
    _street_pack(tmp_path, np.full((8, 9), 77, np.uint8))
    with pytest.raises(InputError, match="77"):
        load_street(tmp_path)


def test_a_missing_or_broken_picture_is_an_error(tmp_path: Path) -> None:
    pack = _street_pack(tmp_path, np.zeros((8, 9), np.uint8))
    picture = pack / "images" / "town_0001.jpg"
    picture.write_bytes(b"not a picture")
    with pytest.raises(InputError, match="readable"):
        load_street(tmp_path)
    picture.unlink()
    with pytest.raises(InputError, match="town_0001"):
        load_street(tmp_path)


def test_an_empty_mr_slice_is_dropped(tmp_path: Path) -> None:
    pack = tmp_path / Pack.BODY.value
    for part in ("images", "labels"):
        (pack / part).mkdir(parents=True)
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8) * 50
    for stem, values in (("STS_001_mr_001", ramp), ("STS_001_mr_002", 0 * ramp)):
        cv2.imwrite(str(pack / "images" / f"{stem}.png"), values)
        cv2.imwrite(str(pack / "labels" / f"{stem}.png"), np.zeros((8, 8), np.uint8))
    spacing = {s: {"spacing_mm": [1.5, 1.5]} for s in ("STS_001_mr_001", "STS_001_mr_002")}
    (pack / "slices.json").write_text(json.dumps(spacing))
    (record,) = load_body(tmp_path)
    assert (record.name, record.pitch, record.modality) == ("STS_001_mr_001", 1.5, Modality.MR)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Record(
            name="x",
            pack="p",
            group="g",
            modality=Modality.CT,
            pixels=np.zeros((4, 4, 3), np.uint8),
            label=np.zeros((4, 5), np.uint8),
            sets=((0,),),
        )
