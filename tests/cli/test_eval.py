"""``banana eval`` on folders as people have them, with the real formats."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from banana_adapters.common import png
from PIL import Image
from pycocotools import mask as coco
from scipy import ndimage

from banana_cli import codec
from banana_cli.classes import MEDICAL, STREET
from banana_cli.cli.main import main
from banana_cli.cli.world import World, real_world
from banana_cli.types import ClassTable, Depth, DepthKind, Layer, Mask, Normals, Unit


@pytest.fixture(scope="module")
def world() -> World:
    return real_world()


@dataclass
class Run:
    """One command line: its exit status, lines of JSON, and what people see."""

    world: World
    folder: Path
    status: int = -1
    text: str = ""
    said: str = ""
    records: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, *words: object) -> Run:
        out, err = io.StringIO(), io.StringIO()
        status = main([str(w) for w in ("eval", *words)], replace(self.world, stdout=out, stderr=err))
        lines = [json.loads(line) for line in out.getvalue().splitlines() if line.startswith("{")]
        return replace(self, status=status, text=out.getvalue(), said=err.getvalue(), records=lines)

    def total(self, layer: str = "masks") -> dict[str, Any]:
        return next(r for r in self.records if r.get("total") and r["layer"] == layer)


@pytest.fixture
def run(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return Run(world, tmp_path)


def blobs(seed: int, classes: int, shape: tuple[int, int] = (40, 56)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = [ndimage.gaussian_filter(rng.normal(size=shape), 3) for _ in range(classes)]
    return np.argmax(noise, axis=0).astype(np.uint8)


def ids_png(path: str, ids: np.ndarray, palette: bool = False) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(ids)
    if palette:
        picture.putpalette(list(range(256)) * 3)
    picture.save(path)


def ours(path: str, layer: Layer, *, colours: bool = False) -> None:
    """A picture as banana writes it."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    png.save(Path(path), png.encode(layer, colours=colours), {"layer": layer.kind.value})


def mask(ids: np.ndarray, table: ClassTable = STREET) -> Mask:
    return Mask(ids=ids, valid=ids != 255, table=table)


def depth(values: np.ndarray, note: str = "") -> Depth:
    return Depth(
        values=values.astype(np.float32),
        valid=np.isfinite(values),
        depth_kind=DepthKind.METRIC,
        unit=Unit.METRE,
        note=note,
    )


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_our_masks_beside_plain_labels(run: Run) -> None:
    truths, guesses = [blobs(i, 4) for i in range(3)], [blobs(i // 2, 4) for i in range(3)]
    for i, (truth, guess) in enumerate(zip(truths, guesses, strict=True)):
        ids_png(f"labels/town/f{i}.png", truth, palette=i == 1)
        ours(f"out/town/f{i}.masks.png", mask(guess))
    done = run("out", "labels", "--json")
    assert done.status == 0 and done.said == ""
    t, g = np.stack(truths), np.stack(guesses)
    rows = {row["name"]: row for row in done.total()["classes"]}
    assert list(rows) == sorted(rows, key=lambda name: -rows[name]["iou"])
    for c, name in enumerate(STREET.names[:4]):
        assert rows[name]["iou"] == pytest.approx(iou(g == c, t == c))
        assert rows[name]["pixels"] == (t == c).sum()
    assert done.total()["miou"] == pytest.approx(np.mean([r["iou"] for r in rows.values()]))
    assert done.total()["accuracy"] == pytest.approx((t == g).mean())
    each = [r for r in done.records if "input" in r]
    assert [r["input"] for r in each] == ["town/f0", "town/f1", "town/f2"] and each[0]["miou"] == 1
    assert sum(r["pixels"] for r in each) == done.total()["pixels"] == t.size
    table = run("out", "labels").text
    assert "mean IoU" in table and "sidewalk" in table and "PQ" not in table


def test_a_thing_compared_with_itself_is_perfect(run: Run) -> None:
    ids = blobs(0, 6)
    ids[:5] = 255
    ours("out/a.masks.png", mask(ids))
    ours("out/a.depth.png", depth(ids + 3.0), colours=True)
    xyz = np.zeros((3, 40, 56), np.float32)
    xyz[2] = -1
    ours("out/a.normals.png", Normals(xyz=xyz, valid=np.ones((40, 56), bool)))
    done = run("out", "out", "--json")
    assert done.status == 0
    masks = done.total("masks")
    assert masks["miou"] == masks["dice"] == masks["boundary_f"] == masks["accuracy"] == 1
    assert done.total("depth")["delta1"] == 1 and done.total("depth")["rmse"] == 0
    assert done.total("normals")["mean_deg"] < 1e-3 and done.total("normals")["below_11_25"] == 1


def test_missing_spare_and_bad_pairs_are_told(run: Run) -> None:
    for name in ("a", "b", "c", "d"):
        ids_png(f"labels/{name}.png", blobs(0, 3))
    for name in ("a", "c", "d", "e"):
        ours(f"out/{name}.masks.png", mask(blobs(0, 3) if name != "c" else blobs(0, 3, (40, 55))))
    Path("out/d.masks.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    done = run("out", "labels", "--json")
    assert done.status == 3 and done.total()["inputs"] == 1
    assert "1 of 4 have no prediction: b (masks)" in done.said
    assert "the prediction is 55 x 40 pixels, the truth 56 x 40" in done.said
    assert "d.masks.png" in done.said and "1 without truth: e" in done.said
    assert done.total()["missing"] == ["b (masks)"] and done.total()["spare"] == ["e"]
    spare = run("out/a.masks.png", "labels/a.png")
    assert spare.status == 0 and "1 input," in spare.text


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("out",), 2, "nothing to compare"),
        (("out", "nowhere"), 3, "No such file"),
        (("out", "empty"), 4, "holds no .png"),
        (("out", "strangers"), 4, "no file of it fits"),
        (("out", "labels", "--classes", "roda,road"), 2, "'roda' is no class"),
        (("out", "labels", "--classes", "x=road"), 2, "starts with no number"),
        (("out", "labels", "--classes", "none.json"), 2, "none.json"),
        (("out", "labels", "--tolerance", "-1"), 2, "0 to 100"),
        (("out", "labels", "--max-depth", "0"), 2, "above 0"),
        (("out", "labels", "--classes", "0=road,1=sky"), 4, "2 is no number of a class"),
        (("out", "broken.json"), 3, "COCO"),
    ],
)
def test_what_cannot_be(run: Run, words: tuple[str, ...], status: int, said: str) -> None:
    ids_png("labels/a.png", blobs(0, 3))
    ids_png("strangers/b.png", blobs(0, 3))
    ours("out/a.masks.png", mask(blobs(1, 3)))
    Path("empty").mkdir()
    Path("broken.json").write_text('{"images": [{"id": 1}], "annotations": [], "categories": []}')
    done = run(*words)
    assert (done.status, done.text) == (status, "")
    assert said in done.said and done.said.count("\n") >= 2


def test_numbers_of_the_truth_get_names(run: Run) -> None:
    lung = MEDICAL.id_of("lung")
    guess = np.where(blobs(0, 2) == 1, lung, 0).astype(np.uint8)
    guess[:6] = MEDICAL.id_of("bone")
    truth = blobs(1, 2)
    ours("out/x.masks.png", mask(guess, MEDICAL))
    ids_png("labels/x.png", truth)
    Path("pack.json").write_text('{"classes": ["background", "lung"], "ignore": 255}')
    expected = iou(guess == lung, truth == 1)
    for words in (("0=background,1=lung",), ("pack.json",), ("0=other,1=lung",), ("pack.json,lung",)):
        rows = {r["name"]: r for r in run("out", "labels", "--json", "--classes", *words).total()["classes"]}
        assert rows["lung"]["iou"] == pytest.approx(expected), words
        assert ("background" in rows) == (len(words[0].split("background")) > 1 or words == ("pack.json",))
    either = run("out", "labels", "--json", "--classes", "0=background/bone,1=lung").total()
    rows = {r["name"]: r["iou"] for r in either["classes"]}
    assert rows["background/bone"] == pytest.approx(iou(guess != lung, truth == 0))


def test_groups_of_classes(run: Run) -> None:
    car, truck, road = (STREET.id_of(n) for n in ("car", "truck", "road"))
    truth, guess = np.full((4, 4), road, np.uint8), np.full((4, 4), road, np.uint8)
    truth[:2], guess[:2] = car, truck
    ids_png("labels/x.png", truth)
    ours("out/x.masks.png", mask(guess))
    assert run("out", "labels", "--json").total()["miou"] == pytest.approx(1 / 3)
    assert run("out", "labels", "--json", "--classes", "street-groups").total()["miou"] == 1


def test_plain_numbers_without_any_names(run: Run) -> None:
    np.save("a.npy", blobs(0, 3).astype(np.int64))
    done = run("a.npy", "a.npy", "--json")
    assert [r["name"] for r in done.total()["classes"]] == ["class 0", "class 1", "class 2"]


def test_cityscapes_with_instances(run: Run) -> None:
    ids = np.full((20, 30), 7, np.uint8)
    ids[5:15, 3:10] = ids[5:15, 15:25] = 26
    ids[:2] = 0
    whole = ids.astype(np.uint16)
    whole[5:15, 3:10], whole[5:15, 15:25] = 26001, 26002
    stem = "gtFine/val/town/town_000000_000019_gtFine"
    ids_png(f"{stem}_labelIds.png", ids)
    ids_png(f"{stem}_instanceIds.png", whole)
    ids_png(f"{stem}_color.png", ids)
    guess = np.full((20, 30), STREET.id_of("road"), np.uint8)
    guess[5:15, 3:10] = STREET.id_of("car")
    number = np.where(guess == STREET.id_of("car"), 1, 0).astype(np.uint16)
    ours("out/town/town_000000_000019_leftImg8bit.masks.png", mask(guess))
    ids_png("out/town/town_000000_000019_leftImg8bit.instances.png", number)
    done = run("out", "gtFine", "--json")
    assert done.status == 0 and done.total()["pixels"] == 18 * 30
    rows = {r["name"]: r for r in done.total()["classes"]}
    assert rows["car"]["iou"] == pytest.approx(70 / 170)
    road = 540 - 170
    assert rows["road"]["iou"] == pytest.approx(road / (road + 100))
    assert rows["car"]["rq"] == pytest.approx(1 / 1.5) and rows["car"]["sq"] == 1
    assert rows["road"]["pq"] == pytest.approx(road / (road + 100))
    assert done.total()["pq_things"] == rows["car"]["pq"]


def test_depth_in_the_layout_of_kitti(run: Run) -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(2, 100, (20, 30))
    truth[rng.random(truth.shape) < 0.5] = 0
    stored = np.rint(truth * 256).astype(np.uint16)
    for drive, factor in (("d1", 1.1), ("d2", 1.5)):
        folder = f"kitti/{drive}_sync/proj_depth/groundtruth/image_02"
        ids_png(f"{folder}/0000000005.png", stored)
        Path(f"out/{drive}_sync/image_02/data").mkdir(parents=True)
        metres = np.where(stored, stored / 256 * factor, 7.0).astype(np.float32)
        np.save(f"out/{drive}_sync/image_02/data/0000000005.depth.npy", metres)
    done = run("out", "kitti", "--json", "--max-depth", 80)
    assert done.status == 0
    judged = ((stored > 0) & (stored <= 80 * 256)).sum()
    total, each = done.total("depth"), [r for r in done.records if "input" in r]
    assert total["pixels"] == 2 * judged and total["delta1"] == 0.5 and total["delta2"] == 1
    assert [round(r["abs_rel"], 4) for r in each] == [0.1, 0.5]
    aligned = run("out", "kitti", "--json", "--align").total("depth")
    assert aligned["abs_rel"] < 1e-5 and "scaled to the median" in aligned["notes"][0]


def test_heights_of_a_geotiff(run: Run) -> None:
    import rasterio

    truth = np.linspace(0, 9, 600, dtype=np.float32).reshape(20, 30)
    truth[0] = -9999
    Path("truth").mkdir()
    profile = {"driver": "GTiff", "height": 20, "width": 30, "count": 1, "dtype": "float32", "nodata": -9999}
    transform = rasterio.Affine(2, 0, 10, 0, -2, 50)
    with rasterio.open("truth/s.tif", "w", transform=transform, **profile) as file:
        file.write(truth, 1)
    ours("out/s.depth.png", depth(np.maximum(truth, 0) + 1, codec.HEIGHT_NOTE))
    done = run("out", "truth", "--json", "--layer", "heights")
    assert done.total("heights")["mae"] == pytest.approx(1, abs=0.01)
    assert done.total("heights")["pixels"] == 19 * 30 and "delta1" not in done.total("heights")


def test_arrays_of_many_pictures(run: Run) -> None:
    truth = np.stack([blobs(i, 3) for i in range(4)])
    guess = np.stack([blobs(i // 2, 3) for i in range(4)])
    np.save("clip.masks.npy", guess)
    np.save("clip.npy", truth)
    done = run("clip.masks.npy", "clip.npy", "--json", "--classes", "street")
    assert done.total()["pixels"] == truth.size and done.total()["inputs"] == 1
    assert done.total()["accuracy"] == pytest.approx((truth == guess).mean())
    np.save("short.npy", truth[:2])
    done = run("clip.masks.npy", "short.npy")
    assert done.status == 4 and "different numbers of pictures" in done.said


def test_normals_as_floats_and_as_colours(run: Run) -> None:
    tilt = np.radians(20)
    flat = np.zeros((3, 8, 9), np.float32)
    flat[2] = -1
    tilted = np.zeros((8, 9, 3), np.float32)
    tilted[..., 0], tilted[..., 2] = np.sin(tilt), -np.cos(tilt)
    ours("out/a.normals.png", Normals(xyz=flat, valid=np.ones((8, 9), bool)))
    Path("truth").mkdir()
    np.save("truth/a.npy", tilted)
    total = run("out", "truth", "--json").total("normals")
    assert total["mean_deg"] == pytest.approx(20, abs=0.3)
    assert (total["below_11_25"], total["below_22_5"], total["below_30"]) == (0, 1, 1)


def test_confidences_give_the_calibration_error(run: Run) -> None:
    truth, guess = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    guess[:4] = 1  # 60 % right, said to be 80 % sure
    ids_png("labels/a.png", truth)
    ours("out/a.masks.png", mask(guess))
    ids_png("out/a.confidence.png", np.full((10, 10), 204, np.uint8))
    assert run("out", "labels", "--json").total()["ece"] == pytest.approx(0.2)


def runs(counts: object) -> dict[str, object]:
    return {"size": [30, 40], "counts": counts}


def test_coco_polygons_and_runs(run: Run) -> None:
    shape = (30, 40)
    square = [[5, 5, 15, 5, 15, 20, 5, 20]]
    other = np.zeros(shape, np.uint8, order="F")
    other[2:8, 25:35] = 1
    crowd = np.zeros(shape, np.uint8, order="F")
    crowd[22:, :10] = 1
    counts = np.diff(np.flatnonzero(np.diff(np.r_[2, crowd.ravel(order="F"), 2]))).tolist()
    truth = {
        "images": [{"id": 7, "file_name": "sub/x.jpg", "height": 30, "width": 40}],
        "categories": [{"id": 18, "name": "car"}, {"id": 90, "name": "person"}],
        "annotations": [
            {"image_id": 7, "category_id": 18, "segmentation": square},
            {"image_id": 7, "category_id": 90, "segmentation": runs(coco.encode(other)["counts"].decode())},
            {"image_id": 7, "category_id": 90, "iscrowd": 1, "segmentation": runs(counts)},
        ],
    }
    Path("truth.json").write_text(json.dumps(truth))
    with pytest.warns(DeprecationWarning):
        drawn = coco.decode(coco.merge(coco.frPyObjects(square, *shape))).astype(bool)
    car, person, road = (STREET.id_of(n) for n in ("car", "person", "road"))
    guess = np.full(shape, road, np.uint8)
    guess[drawn] = car
    guess[2:8, 25:32] = person
    guess[12:14, 30:34] = car  # on what is no annotation
    number = np.where(guess == road, 0, 1).astype(np.uint16)
    number[2:8, 25:32] = 2
    number[12:14, 30:34] = 3
    ours("out/sub/x.masks.png", mask(guess))
    ids_png("out/sub/x.instances.png", number)
    done = run("out", "truth.json", "--json")
    assert done.status == 0, done.said
    rows = {r["name"]: r for r in done.total()["classes"]}
    assert rows["car"]["iou"] == pytest.approx(iou(guess == car, drawn))
    assert rows["person"]["iou"] == pytest.approx(iou(guess == person, (other | crowd) > 0))
    # the crowd is nobody's miss; a car where none is annotated is a false one
    assert rows["person"]["rq"] == 1 and rows["person"]["sq"] == pytest.approx(7 / 10)
    assert rows["car"]["rq"] == pytest.approx(1 / 1.5)


@pytest.mark.parametrize(
    "segmentation",
    [
        [[0, 0, 1e30, 0, 5, 5]],
        [[1, 2]],
        [],
        {"size": [9, 9], "counts": [81]},
        {"size": [30, 40], "counts": [-5, 1205]},
        {"size": [30, 40], "counts": "oooooooooo"},
        "x",
        None,
    ],
)
def test_hostile_annotations_are_errors_of_their_image(run: Run, segmentation: object) -> None:
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 30, "width": 40} for i in (1, 2)],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{"image_id": 1, "category_id": 1, "segmentation": segmentation}],
    }
    Path("truth.json").write_text(json.dumps(truth))
    for name in (1, 2):
        ours(f"out/{name}.masks.png", mask(np.zeros((30, 40), np.uint8)))
    done = run("out", "truth.json")
    assert done.status == 3 and "1.jpg" in done.said


def test_masks_that_move_with_the_picture_are_steady(run: Run) -> None:
    rng = np.random.default_rng(0)
    wide = ndimage.gaussian_filter(rng.uniform(0, 255, (120, 200, 3)), (2, 2, 0))
    wide = ((wide - wide.min()) / np.ptp(wide) * 255).astype(np.uint8)
    regions = blobs(3, 4, (120, 200))
    for i in range(4):
        at = slice(3 * i, 3 * i + 160)
        ids_png(f"clip/{i:03d}.png", np.ascontiguousarray(wide[:, at]))
        ours(f"steady/{i:03d}.masks.png", mask(np.ascontiguousarray(regions[:, at])))
        ours(f"random/{i:03d}.masks.png", mask(blobs(i, 4, (120, 160))))
    steady, random = (run(f, "--clip", "clip", "--json").total()["temporal"] for f in ("steady", "random"))
    assert steady["pairs"] == 3 and steady["consistency"] > 0.97 and steady["flips"] < 0.02
    assert random["consistency"] < 0.5 and random["flips"] > 0.3
    assert "3 pairs of frames" in run("steady", "--clip", "clip").text
    Path("steady/001.masks.png").unlink()
    Path("steady/002.masks.png").unlink()
    done = run("steady", "--clip", "clip")
    assert done.status == 4 and "no two frames" in done.said


def test_coco_as_banana_writes_it_gives_instances(run: Run) -> None:
    car, road = STREET.id_of("car"), STREET.id_of("road")
    ids = np.full((30, 40), road, np.uint8)
    ids[5:15, 4:14] = ids[5:15, 20:30] = car
    categories = [{"id": c.id + 1, "name": c.name, "isthing": int(c.id == car)} for c in STREET.classes]
    for name in ("x", "y"):
        regions = [(car, np.s_[5:15, 4:14]), (car, np.s_[5:15, 20:30])]
        annotations = []
        for c, where in regions[: 1 if name == "y" else 2]:
            part = np.zeros(ids.shape, np.uint8, order="F")
            part[where] = 1
            counts = coco.encode(part)["counts"].decode()
            annotations.append({"image_id": 1, "category_id": c + 1, "segmentation": runs(counts)})
        part = np.asfortranarray(ids == road).astype(np.uint8, order="F")
        counts = coco.encode(part)["counts"].decode()
        annotations.append({"image_id": 1, "category_id": road + 1, "segmentation": runs(counts)})
        image = {"id": 1, "file_name": f"{name}.jpg", "height": 30, "width": 40}
        facts = {"images": [image], "annotations": annotations, "categories": categories}
        Path("out/town").mkdir(parents=True, exist_ok=True)
        Path(f"out/town/{name}.masks.coco.json").write_text(json.dumps(facts))
        ids_png(f"gtFine/town/{name}_gtFine_labelIds.png", np.where(ids == road, 7, 26).astype(np.uint8))
        whole = np.where(ids == road, 7, 26001).astype(np.uint16)
        whole[5:15, 20:30] = 26002
        ids_png(f"gtFine/town/{name}_gtFine_instanceIds.png", whole)
    done = run("out", "gtFine", "--json")
    assert done.status == 0, done.said
    rows = {r["name"]: r for r in done.total()["classes"]}
    assert rows["road"]["pq"] == 1 and rows["car"]["iou"] == pytest.approx(3 / 4)
    assert rows["car"]["rq"] == pytest.approx(3 / 3.5) and rows["car"]["sq"] == 1
