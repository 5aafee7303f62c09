"""Metrics against cases worked out by hand, and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from banana_cli.classes import STREET
from banana_cli.metrics.boundary import BoundaryScore
from banana_cli.metrics.masks import STREET_GROUPS, Confusion
from banana_cli.metrics.surface import DepthErrors, NormalErrors
from banana_cli.train.packs import STREET_SETS

SINGLE = ((0,), (1,), (2,))


def u8(*values: int) -> np.ndarray:
    return np.array([values], np.uint8)


def test_iou_and_dice_by_hand() -> None:
    confusion = Confusion(SINGLE, 3)
    confusion.add(u8(0, 0, 1, 1, 2, 0), u8(0, 1, 1, 1, 255, 0))
    assert confusion.iou()[:2].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert confusion.dice()[:2].tolist() == pytest.approx([0.8, 0.8])
    assert math.isnan(confusion.iou()[2])  # neither there nor predicted where it counts
    assert confusion.mean_iou() == pytest.approx(2 / 3)
    assert confusion.accuracy() == pytest.approx(0.8)


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    confusion = Confusion(SINGLE, 3)
    confusion.add(u8(0, 2), u8(0, 0))
    assert confusion.iou()[2] == 0
    assert confusion.mean_iou() == pytest.approx((0.5 + 0) / 2)


def test_no_answer_is_wrong_but_no_false_alarm() -> None:
    confusion = Confusion(SINGLE, 3)
    confusion.add(u8(255, 0), u8(0, 0))
    assert confusion.iou()[0] == 0.5
    assert np.isnan(confusion.iou()[1:]).all()


def test_any_class_of_the_set_is_right() -> None:
    confusion = Confusion(((0, 5), (2,)), 6)
    #              right  right  wrong  right  false alarm of label 0
    confusion.add(u8(0, 5, 2, 2, 5), u8(0, 0, 0, 1, 1))
    hits, misses, alarms = 2, 1, 1
    assert confusion.iou()[0] == pytest.approx(hits / (hits + misses + alarms))
    assert confusion.iou()[1] == pytest.approx(1 / (1 + 1 + 1))


def test_overlapping_sets_raise_no_alarm_for_a_right_answer() -> None:
    confusion = Confusion(((0, 1), (1, 2)), 3)
    confusion.add(u8(1, 1), u8(0, 1))
    assert confusion.iou().tolist() == [1, 1]


@settings(max_examples=50, deadline=None)
@given(
    truth=arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 1, 2, 255])),
    answer=arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 1, 2, 255])),
)
def test_properties(truth: np.ndarray, answer: np.ndarray) -> None:
    whole, parts, perfect = (Confusion(SINGLE, 3) for _ in range(3))
    whole.add(answer, truth)
    for row in range(7):
        parts.add(answer[row], truth[row])
    assert np.array_equal(whole.counts, parts.counts)
    iou, dice = whole.iou(), whole.dice()
    known = np.isfinite(iou)
    assert np.allclose(dice[known], 2 * iou[known] / (1 + iou[known]))
    kept = truth != 255
    for c in range(3):
        a, b = (answer == c) & kept, (truth == c) & kept
        union = (a | b).sum()
        assert math.isnan(iou[c]) if union == 0 else iou[c] == pytest.approx((a & b).sum() / union)
    perfect.add(np.where(truth == 255, 0, truth).astype(np.uint8), truth)
    assert np.nanmin(np.append(perfect.iou(), 1)) == 1


def test_the_ten_groups_are_those_of_the_street_table() -> None:
    names = STREET.names
    found = {name: {names[i] for i in ids} for name, ids in STREET_GROUPS}
    assert len(found) == 10
    assert sorted(i for _, ids in STREET_GROUPS for i in ids) == list(range(20))
    assert found["vehicles"] == {"car", "truck", "bus", "train", "motorcycle", "bicycle"}
    assert found["sidewalk and terrain"] == {"sidewalk", "terrain"}
    assert found["building, wall and fence"] == {"building", "wall", "fence"}
    assert found["traffic sign and light"] == {"traffic sign", "traffic light"}
    assert found["person and rider"] == {"person", "rider"}


def test_grouping_forgives_inside_a_group_only() -> None:
    fine = Confusion(STREET_SETS, 20)
    car, truck, pole, road = (STREET.id_of(n) for n in ("car", "truck", "pole", "road"))
    fine.add(u8(car, truck, pole, road, 255), u8(truck, car, car, road, road))
    coarse = fine.grouped(STREET_GROUPS)
    by_name = dict(zip([n for n, _ in STREET_GROUPS], coarse.iou().tolist(), strict=True))
    assert by_name["vehicles"] == pytest.approx(2 / 3)
    assert by_name["pole"] == 0
    assert by_name["road"] == 0.5
    assert coarse.counts.sum() == fine.counts.sum()


def test_grouping_equals_scoring_the_grouped_pictures() -> None:
    rng = np.random.default_rng(0)
    truth, answer = (rng.integers(0, 20, (40, 40)).astype(np.uint8) for _ in range(2))
    table = np.full(256, 255, np.uint8)
    for place, (_, ids) in enumerate(STREET_GROUPS):
        table[list(ids)] = place
    fine, direct = Confusion(STREET_SETS, 20), Confusion(tuple((i,) for i in range(10)), 10)
    fine.add(answer, truth)
    direct.add(table[answer], table[truth])
    assert np.array_equal(fine.grouped(STREET_GROUPS).counts, direct.counts)


def test_a_set_across_groups_cannot_be_grouped() -> None:
    with pytest.raises(ValueError, match="group"):
        Confusion(((0, 1),), 2).grouped((("a", (0,)), ("b", (1,))))


def test_sizes_and_labels_are_checked() -> None:
    confusion = Confusion(SINGLE, 3)
    with pytest.raises(ValueError, match="size"):
        confusion.add(u8(0, 0), u8(0))
    with pytest.raises(ValueError, match="outside"):
        confusion.add(u8(0), u8(7))


def test_the_best_constant_uses_the_sets() -> None:
    confusion = Confusion(((0,), (1, 3), (2, 3)), 4)
    confusion.add(u8(0, 0, 0, 0, 0, 0, 0), u8(0, 0, 0, 1, 1, 2, 2))
    assert confusion.best_constant() == 3


def f32(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def test_depth_by_hand() -> None:
    errors = DepthErrors(high=80)
    errors.add(f32(10, 10, 30, 5, 1), f32(10, 8, 20, 90, np.nan))
    scores = errors.scores()
    assert scores.pixels == 3
    assert scores.delta1 == pytest.approx(1 / 3)  # 1.25 itself is not below 1.25
    assert scores.abs_rel == pytest.approx((0 + 0.25 + 0.5) / 3)
    assert scores.rmse == pytest.approx(math.sqrt((0 + 4 + 100) / 3))
    assert scores.mae == pytest.approx(4)


def test_depth_without_an_answer_is_wrong() -> None:
    errors = DepthErrors()
    errors.add(f32(np.nan, -3, 0, 2), f32(2, 2, 2, 2))
    assert errors.scores().delta1 == 0.25
    assert errors.scores().mae == pytest.approx((2 + 5 + 2) / 4)
    assert math.isnan(DepthErrors().scores().delta1)


def test_heights_of_zero_count_when_asked_for() -> None:
    errors = DepthErrors(low=-math.inf)
    errors.add(f32(1, 2, 3), f32(0, -1, 3))
    assert errors.scores().mae == pytest.approx(4 / 3)
    assert errors.scores().pixels == 3


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (4, 5), elements=st.floats(0.5, 70, width=32)), st.floats(1.01, 3.0))
def test_a_scaled_depth_has_that_relative_error(truth: np.ndarray, factor: float) -> None:
    errors = DepthErrors()
    errors.add((truth * factor).astype(np.float32), truth)
    assert errors.scores().abs_rel == pytest.approx(factor - 1, rel=1e-4, abs=1e-5)
    if abs(factor - 1.25) > 1e-3:
        assert errors.scores().delta1 == (1.0 if factor < 1.25 else 0.0)


def normals(*vectors: tuple[float, float, float]) -> np.ndarray:
    return np.array(vectors, np.float32).T.reshape(3, 1, -1)


def test_normals_by_hand() -> None:
    errors = NormalErrors()
    tilt = (math.sin(math.radians(30)), 0.0, -math.cos(math.radians(30)))
    forward = (0.0, 0.0, -1.0)
    errors.add(normals(forward, tilt, (0, 0, 2), forward), normals(forward, forward, forward, (0, 0, 0)))
    assert errors.pixels == 3
    assert errors.mean_deg() == pytest.approx((0 + 30 + 180) / 3, abs=1e-4)
    assert errors.median_deg() == pytest.approx(30, abs=0.1)


def test_a_normal_of_no_length_is_as_wrong_as_chance() -> None:
    errors = NormalErrors()
    errors.add(normals((0, 0, 0)), normals((0, 0, -1)))
    assert errors.mean_deg() == pytest.approx(90)
    assert math.isnan(NormalErrors().mean_deg())
    assert math.isnan(NormalErrors().median_deg())


def test_the_streamed_median_is_the_median() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(3, 20, 21)).astype(np.float32) for _ in range(2))
    errors = NormalErrors()
    for row in range(20):
        errors.add(a[:, row : row + 1], b[:, row : row + 1])
    cosine = (a * b).sum(0) / np.linalg.norm(a, axis=0) / np.linalg.norm(b, axis=0)
    exact = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    assert errors.median_deg() == pytest.approx(float(np.median(exact)), abs=0.5)
    assert errors.mean_deg() == pytest.approx(float(exact.mean()), abs=1e-3)


def halves(edge: int) -> np.ndarray:
    picture = np.zeros((20, 40), np.uint8)
    picture[:, edge:] = 1
    return picture


@pytest.mark.parametrize(("shift", "score"), [(0, 1.0), (1, 1.0), (2, 1.0), (3, 0.0), (6, 0.0)])
def test_boundaries_within_the_tolerance_count(shift: int, score: float) -> None:
    boundary = BoundaryScore(2, tolerance=2)
    boundary.add(halves(20 + shift), halves(20))
    assert boundary.scores().tolist() == [score, score]


def test_a_missing_and_an_invented_boundary() -> None:
    boundary = BoundaryScore(3)
    boundary.add(np.zeros((20, 40), np.uint8), halves(20))
    assert boundary.scores()[1] == 0
    assert math.isnan(boundary.scores()[2])
    alone = BoundaryScore(2)
    alone.add(np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8))
    assert math.isnan(alone.mean())


def test_boundary_f_by_hand() -> None:
    truth, answer = halves(20), halves(20)
    answer[:10] = 0
    answer[:10, 30:] = 1  # the upper half of the edge is ten pixels off
    boundary = BoundaryScore(2, tolerance=1)
    boundary.add(answer, truth)
    ours = np.zeros((20, 40), bool)
    ours[10:, 20] = ours[:10, 30] = ours[10, 20:30] = True
    precision = 11 / ours.sum()  # rows 10.. at column 20, and (10, 21) beside it
    recall = 11 / 20  # rows 10.. and row 9 one above
    assert boundary.scores()[1] == pytest.approx(2 * precision * recall / (precision + recall))


def test_boundaries_of_ignored_regions_do_not_count() -> None:
    truth = halves(20)
    truth[:, 18:22] = 255
    boundary = BoundaryScore(2, tolerance=1)
    boundary.add(halves(20), truth)
    assert np.isnan(boundary.scores()).all()


def test_the_three_deltas_by_hand() -> None:
    errors = DepthErrors()
    errors.add(f32(1.2, 1.3, 1.6, 2.0), f32(1, 1, 1, 1))
    scores = errors.scores()
    assert (scores.delta1, scores.delta2, scores.delta3) == (0.25, 0.5, 0.75)


def test_shares_of_angles_are_exact_at_the_usual_limits() -> None:
    errors = NormalErrors()
    angles = np.radians([11.2, 11.3, 22.4, 22.6, 29.9, 30.1])
    tilted = [(math.sin(a), 0.0, -math.cos(a)) for a in angles]
    errors.add(normals(*tilted), normals(*[(0, 0, -1)] * 6))
    shares = [errors.share_below(limit) for limit in (11.25, 22.5, 30.0)]
    assert shares == pytest.approx([1 / 6, 3 / 6, 5 / 6])
    assert math.isnan(NormalErrors().share_below(30))


def test_merged_parts_are_the_whole() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 3, (2, 2, 20, 24)).astype(np.uint8)
    maps = rng.uniform(1, 9, (2, 2, 3, 20, 24)).astype(np.float32)
    wholes = (Confusion(SINGLE, 3), BoundaryScore(3), DepthErrors(), NormalErrors())
    parts = (Confusion(SINGLE, 3), BoundaryScore(3), DepthErrors(), NormalErrors())
    for i in range(2):
        one = (Confusion(SINGLE, 3), BoundaryScore(3), DepthErrors(), NormalErrors())
        for confusion, boundary, depth, angles in (wholes, one):
            confusion.add(*ids[i])
            boundary.add(*ids[i])
            depth.add(maps[i, 0, 0], maps[i, 1, 0])
            angles.add(*maps[i])
        for whole, part in zip(parts, one, strict=True):
            whole.merge(part)
    assert parts[0].iou().tolist() == wholes[0].iou().tolist()
    assert parts[1].scores().tolist() == wholes[1].scores().tolist()
    assert parts[2].scores() == wholes[2].scores()
    assert (parts[3].mean_deg(), parts[3].median_deg()) == (wholes[3].mean_deg(), wholes[3].median_deg())
