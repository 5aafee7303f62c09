"""Our numbers beside those of the field's own code, and beside definitions followed to the letter."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from sklearn import metrics as sk

from banana_cli.metrics.boundary import BoundaryScore
from banana_cli.metrics.calibration import BINS, Calibration
from banana_cli.metrics.masks import Confusion
from banana_cli.metrics.naming import CITYSCAPES, judged
from banana_cli.metrics.panoptic import PanopticQuality, Segments
from banana_cli.metrics.surface import DepthErrors
from banana_cli.types import NO_CLASS

SEEDS = st.integers(0, 2**32 - 1)


def blobs(rng: np.random.Generator, shape: tuple[int, int], classes: int, size: float = 3.0) -> np.ndarray:
    """Class ids in regions a few pixels wide."""
    noise = [ndimage.gaussian_filter(rng.normal(size=shape), size) for _ in range(classes)]
    return np.argmax(noise, axis=0).astype(np.uint8)


def pair(seed: int, classes: int = 5, *, ignored: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A truth, partly ignored, and a prediction that is mostly right."""
    rng = np.random.default_rng(seed)
    truth = blobs(rng, (40, 52), classes)
    predicted = np.where(blobs(rng, truth.shape, 3) == 0, blobs(rng, truth.shape, classes), truth).astype(
        np.uint8
    )
    if ignored:
        truth[blobs(rng, truth.shape, 4) == 0] = NO_CLASS
    return predicted, truth


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_iou_dice_and_counts_are_those_of_scikit_learn(seed: int) -> None:
    predicted, truth = pair(seed)
    ours = Confusion(tuple((i,) for i in range(5)), 5)
    ours.add(predicted, truth)
    kept = truth != NO_CLASS
    y, x, labels = truth[kept], predicted[kept], [i for i in range(5) if (truth[kept] == i).any()]
    assert np.array_equal(ours.counts[:, :5], sk.confusion_matrix(y, x, labels=range(5)))
    assert ours.iou()[labels] == pytest.approx(sk.jaccard_score(y, x, labels=labels, average=None))
    assert ours.dice()[labels] == pytest.approx(sk.f1_score(y, x, labels=labels, average=None))
    assert ours.accuracy() == pytest.approx(sk.accuracy_score(y, x))


def test_rmse_and_mae_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = (rng.uniform(1, 60, (30, 40)).astype(np.float32) for _ in range(2))
    ours = DepthErrors()
    ours.add(predicted, truth)
    found, y, x = ours.scores(), truth.ravel(), predicted.ravel()
    assert found.rmse == pytest.approx(sk.root_mean_squared_error(y, x), rel=1e-6)
    assert found.mae == pytest.approx(sk.mean_absolute_error(y, x), rel=1e-6)
    assert found.abs_rel == pytest.approx(sk.mean_absolute_percentage_error(y, x), rel=1e-6)


def outline(mask: np.ndarray) -> np.ndarray:
    cross = ndimage.generate_binary_structure(2, 1)
    return mask & ~ndimage.binary_erosion(mask, cross, border_value=1)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(0, 4))
def test_boundary_f_is_that_of_distances_by_scipy(seed: int, tolerance: int) -> None:
    predicted, truth = pair(seed, 3, ignored=False)
    ours = BoundaryScore(3, tolerance)
    ours.add(predicted, truth)
    for c, score in enumerate(ours.scores()):
        a, b = outline(predicted == c), outline(truth == c)
        if not a.any() or not b.any():
            assert np.isnan(score) if not (a.any() or b.any()) else score == 0
            continue
        precision = (ndimage.distance_transform_edt(~b)[a] <= tolerance).mean()
        recall = (ndimage.distance_transform_edt(~a)[b] <= tolerance).mean()
        total = precision + recall
        assert score == pytest.approx(2 * precision * recall / total if total else 0)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_calibration_error_by_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sure = rng.choice([0.0, 1 / BINS, 0.2, 0.5, 0.93, 1.0, rng.random()], 300).astype(np.float32)
    right = rng.random(300) < sure
    parts = Calibration()
    for half in (slice(0, 120), slice(120, 300)):
        one = Calibration()
        one.add(sure[half], right[half])
        parts.merge(one)
    wide, expected = sure.astype(np.float64), 0.0
    for low in range(BINS):
        inside = (np.ceil(wide * BINS) == low + 1) | ((low == 0) & (wide == 0))
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - wide[inside].mean())
    assert parts.ece() == pytest.approx(expected)


def instances(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return blobs(rng, shape, 4, 4.0).astype(np.int64)


Part = tuple[int, set[int], bool]  # class, pixels, crowd
THINGS = {1, 3}


def cut(classes: np.ndarray, numbers: np.ndarray, *, truth: bool) -> list[Part]:
    """Segments of classes 0..3 as sets of pixels."""
    found: dict[tuple[int, int], set[int]] = {}
    for place, (c, n) in enumerate(zip(classes.ravel().tolist(), numbers.ravel().tolist(), strict=True)):
        number = n if c in THINGS else 0
        if c < 4 and (truth or c not in THINGS or number):
            found.setdefault((c, number), set()).add(place)
    return [(c, pixels, c in THINGS and n == 0) for (c, n), pixels in found.items()]


def brute_pq(mine: list[Part], true: list[Part], void: set[int]) -> dict[int, list[float]]:
    """[IoU of matches, matches, false, missed] by class: every pair of segments is compared."""
    stats: dict[int, list[float]] = {c: [0, 0, 0, 0] for c in range(4)}
    hit_mine, hit_true = set(), set()
    for (i, (c, p, _)), (j, (d, t, crowd)) in itertools.product(enumerate(mine), enumerate(true)):
        iou = len(p & t) / len((p - void) | t)
        if c == d and not crowd and iou > 0.5:
            stats[c][0] += iou
            stats[c][1] += 1
            hit_mine.add(i)
            hit_true.add(j)
    for i, (c, p, _) in enumerate(mine):
        excused = void.union(*(t for d, t, crowd in true if crowd and d == c))
        stats[c][2] += i not in hit_mine and len(p & excused) <= 0.5 * len(p)
    for j, (d, _, crowd) in enumerate(true):
        stats[d][3] += j not in hit_true and not crowd
    return stats


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_panoptic_quality_is_that_of_sets_of_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, truth = pair(seed, 4)
    truth[blobs(rng, truth.shape, 6) == 0] = 4  # what is none of the classes
    mine, true = instances(rng, truth.shape), instances(rng, truth.shape)
    mine = np.where(blobs(rng, truth.shape, 3) == 0, mine, true)
    quality = PanopticQuality(4)
    quality.add(
        Segments.of(predicted, mine, THINGS, 4, crowds=False),
        Segments.of(truth, true, THINGS, 4, crowds=True),
    )
    void = set(np.flatnonzero(truth.ravel() == NO_CLASS).tolist())
    expected = brute_pq(cut(predicted, mine, truth=False), cut(truth, true, truth=True), void)
    for c, (iou, hits, false, missed) in expected.items():
        weight = hits + (false + missed) / 2
        assert quality.pq()[c] == pytest.approx(iou / weight if weight else np.nan, nan_ok=True)
        assert quality.rq()[c] == pytest.approx(hits / weight if weight else np.nan, nan_ok=True)
        mean = iou / hits if hits else 0
        assert quality.sq()[c] == pytest.approx(mean if weight else np.nan, nan_ok=True)


IDS = [0, 3, 7, 8, 11, 23, 24, 26, 33]


def cityscapes(folder: Path, noise: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Label and instance pictures of three frames in Cityscapes' layout, and their arrays.

    With ``noise`` a part of each is wrong, and every member of a thing is told apart.
    """
    place = folder / "gtFine" / "val" / "town"
    place.mkdir(parents=True)
    made = []
    for frame in range(3):
        rng = np.random.default_rng(frame)
        shape = (48, 64)
        ids = np.array(IDS, np.uint8)[blobs(rng, shape, len(IDS))]
        number = blobs(rng, shape, 3, 5.0).astype(np.int32)  # 0: a group
        if noise:
            wrong = rng.random((6, 8)).repeat(8, 0).repeat(8, 1) < noise
            ids = np.where(wrong, np.array(IDS, np.uint8)[blobs(rng, shape, len(IDS))], ids)
            number += 1
        whole = np.where(np.isin(ids, [24, 26, 33]) & (number > 0), ids * np.int32(1000) + number, ids)
        stem = f"town_{frame:06d}_000019_gtFine"
        Image.fromarray(ids).save(place / f"{stem}_labelIds.png")
        Image.fromarray(whole.astype(np.uint16)).save(place / f"{stem}_instanceIds.png")
        made.append((ids, whole))
    return made


THEIRS = "cityscapesscripts.evaluation."


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Modules of cityscapesScripts, which CI installs alone: what else it wants draws and turns boxes."""
    if find_spec("pyquaternion") is None:
        stand_in = ModuleType("pyquaternion")
        stand_in.Quaternion = object  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "pyquaternion", stand_in)
    return lambda name: pytest.importorskip(f"{THEIRS}{name}", reason="make installs it")


def test_iou_is_that_of_cityscapes_scripts(tmp_path: Path, scripts: Callable[[str], ModuleType]) -> None:
    theirs = scripts("evalPixelLevelSemanticLabeling")
    truth, guess = (cityscapes(tmp_path / side, noise) for side, noise in (("truth", 0), ("guess", 0.4)))
    classes, ours = judged(CITYSCAPES), Confusion(tuple((i,) for i in range(19)), 19)
    theirs.args.evalInstLevelScore, theirs.args.quiet = False, True
    matrix = theirs.generateMatrix(theirs.args)
    for frame, ((ids, _), (seen, _)) in enumerate(zip(truth, guess, strict=True)):
        name = f"gtFine/val/town/town_{frame:06d}_000019_gtFine_labelIds.png"
        files = (str(tmp_path / side / name) for side in ("guess", "truth"))
        theirs.evaluatePair(*files, matrix, {}, {}, theirs.args)
        ours.add(classes.of_prediction(seen, None), classes.of_truth(ids))
    for index, label in enumerate(sorted(CITYSCAPES.names)):
        expected = theirs.getIouScoreForLabel(label, matrix, theirs.args)
        assert ours.iou()[index] == pytest.approx(expected, nan_ok=True), label


def test_panoptic_quality_is_that_of_cityscapes_scripts(
    tmp_path: Path, scripts: Callable[[str], ModuleType]
) -> None:
    theirs = scripts("evalPanopticSemanticLabeling")
    from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic

    truth, guess = (cityscapes(tmp_path / side, noise) for side, noise in (("truth", 0), ("guess", 0.4)))
    classes, ours = judged(CITYSCAPES), PanopticQuality(19)
    for (ids, whole), (seen, parts) in zip(truth, guess, strict=True):
        a, b = classes.of_prediction(seen, None), classes.of_truth(ids)
        mine, true = (np.where(p < 1000, 0, p) for p in (parts, whole))
        ours.add(
            Segments.of(a, mine, classes.things, 19, crowds=False),
            Segments.of(b, true, classes.things, 19, crowds=True),
        )
    made = []
    for side in ("truth", "guess"):
        convert2panoptic(str(tmp_path / side / "gtFine"), str(tmp_path / side), setNames=["val"])
        made.append(json.loads((tmp_path / side / "cityscapes_panoptic_val.json").read_text()))
    folders = [str(tmp_path / side / "cityscapes_panoptic_val") for side in ("truth", "guess")]
    pairs = list(zip(made[0]["annotations"], made[1]["annotations"], strict=True))
    found = theirs.pq_compute_single_core(0, pairs, *folders, {c["id"]: c for c in made[0]["categories"]})
    for index, label in enumerate(sorted(CITYSCAPES.names)):
        weight = found[label].tp + (found[label].fp + found[label].fn) / 2
        expected = found[label].iou / weight if weight else np.nan
        assert ours.pq()[index] == pytest.approx(expected, nan_ok=True), label
    assert (ours.pq() > 0).sum() >= 4
