"""Text of clips: lines that a stop does not change, and that other programs read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from banana_adapters.driving import DRIVING
from banana_adapters.driving.records import COCO_VIDEO, MOT, NDJSON
from banana_adapters.driving.sinks import MP4_TRACKS
from banana_adapters.driving.views import colour_of, over_tracks

from banana_cli import pipeline
from banana_cli.classes import STREET
from banana_cli.errors import UsageError
from banana_cli.follow import Follow
from banana_cli.options import ReadOptions, VideoOptions
from banana_cli.pipeline import Job, Output, Settings, run
from banana_cli.types import Depth, Frame, Instances, LayerKind, Mask, Prediction

from .clips import Recipe, make
from .fakes import TASKS, part_of
from .fakes import job as sink_job
from .fakes import predict as plain
from .test_resume import Killed, Model, tree

SHAPE, FRAMES = (96, 128), 40  # libx264 itself may differ from run to run below that
FORMS = (NDJSON, MOT, COCO_VIDEO, MP4_TRACKS)
CAR, PERSON = 13, 11


def truth(index: int) -> np.ndarray:
    """A car that drives to the right, a person that stands, each in its class; all else is road."""
    ids = np.zeros(SHAPE, np.uint8)
    ids[10:20, index : index + 16] = CAR
    ids[24:46, 40:48] = PERSON
    return ids


@dataclass
class Street(Model):
    """Exact masks, and a depth of 7 m."""

    frames: list[int] = field(default_factory=list)

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        index = frame.provenance.index
        if self.dies is not None and index >= self.dies:
            raise Killed
        made = plain(frame)
        mask = Mask(ids=truth(index), valid=np.ones(SHAPE, np.bool_), table=STREET)
        depth = replace(made.get(Depth), values=np.full(SHAPE, 7, np.float32), valid=mask.valid)
        return replace(made, layers=(mask, depth))


@pytest.fixture(autouse=True, scope="module")
def _short_segments() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "SEGMENT_FRAMES", 10)
        yield


def clip(folder: Path) -> Path:
    return make(folder / "street.mp4", Recipe(size=SHAPE, pts=[i * 512 for i in range(FRAMES)]))


def go(path: Path, out: Path, dies: int | None = None) -> None:
    (item,) = DRIVING.group([path], root=None)
    info = DRIVING.inspect(item, ReadOptions(layers=frozenset(LayerKind)))
    outputs = tuple(
        Output(
            layer=LayerKind.MASKS,
            format=form,
            path=out / f"street.masks{form.suffix(LayerKind.MASKS, info)}",
        )
        for form in FORMS
    )
    settings = Settings(read=ReadOptions(layers=frozenset(LayerKind)), tasks=TASKS, resume=True)
    job = Job(item=item, adapter=DRIVING, outputs=outputs)
    result = run([job], Follow(Street(dies=dies)), settings, lambda event: None)
    assert not result.failures


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    go(clip(folder), folder / "out")
    return folder


@pytest.mark.parametrize("dies", [5, 13, 39])
def test_killed_and_resumed_is_the_same(made: Path, dies: int, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        go(made / "street.mp4", tmp_path / "out", dies)
    go(made / "street.mp4", tmp_path / "out")
    found, wanted = tree(tmp_path / "out"), tree(made / "out")
    assert found.keys() == wanted.keys()
    for name, data in wanted.items():
        if f"{name}.json" in wanted:  # sidecars tell times
            assert found[name] == data, name


def test_a_line_a_frame(made: Path) -> None:
    lines = [json.loads(line) for line in (made / "out/street.masks.ndjson").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(FRAMES))
    assert lines[3]["pts"] == 3 * 512 and lines[3]["time_s"] == pytest.approx(3 * 512 / 15360)
    for index, line in enumerate(lines):
        ids = truth(index)
        assert line["classes"]["car"] == pytest.approx((ids == CAR).mean(), abs=1e-6)
        assert sum(line["classes"].values()) == pytest.approx(1, abs=1e-5)
        by_class = {thing["class"]: thing for thing in line["things"]}
        assert by_class["car"]["box"] == [index, 10, 16, 10]
        assert by_class["person"]["pixels"] == 22 * 8 and by_class["person"]["depth_m"] == 7.0
        assert len({thing["track"] for thing in line["things"]}) == 2
    assert len({tuple(sorted(t["track"] for t in line["things"])) for line in lines}) == 1


def test_rows_as_motchallenge_has_them(made: Path) -> None:
    rows = np.loadtxt(made / "out/street.masks.mot.txt", delimiter=",")
    assert rows.shape == (2 * FRAMES, 10)
    assert set(rows[:, 0]) == set(range(1, FRAMES + 1)) and set(rows[:, 1]) == {1, 2}
    car = rows[rows[:, 4] == 16]
    assert np.array_equal(car[:, 2], np.arange(FRAMES) + 1) and (car[:, 3] == 11).all()
    assert (rows[:, 7:] == -1).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_coco_reads_the_regions_back(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    coco = COCO(str(made / "out/street.masks.coco-video.json"))
    capsys.readouterr()
    assert len(coco.imgs) == FRAMES and len(coco.anns) == 2 * FRAMES
    for image in coco.imgs.values():
        ids = truth(image["frame_id"])
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])):
            here = coco.annToMask(annotation) > 0
            assert np.array_equal(here, ids == annotation["category_id"] - 1)
            assert annotation["area"] == here.sum()
    tracks = coco.dataset["tracks"]
    assert sorted(t["category_id"] for t in tracks) == [PERSON + 1, CAR + 1]
    assert {a["track_id"] for a in coco.anns.values()} == {t["id"] for t in tracks}
    assert coco.dataset["videos"][0]["length"] == FRAMES


def test_lines_are_there_at_once_for_who_reads_along(tmp_path: Path) -> None:
    (item,) = DRIVING.group([clip(tmp_path)], root=None)
    read = ReadOptions(layers=frozenset(LayerKind))
    with DRIVING.open(item, read) as source:
        job = replace(sink_job(source.info, LayerKind.MASKS), live=True)
        part = part_of(tmp_path, ".ndjson")
        follow = Follow(Street())
        with NDJSON.open(part, job) as sink:
            for count, frame in enumerate(source, start=1):
                assert isinstance(frame, Frame)
                sink.write(frame, follow.predict(frame, frozenset(LayerKind)))
                assert len(part.read_text().splitlines()) == count
            sink.finish()


def test_frames_that_stand_alone_cannot_be_followed(tmp_path: Path) -> None:
    (item,) = DRIVING.group([clip(tmp_path)], root=None)
    ask = ReadOptions(layers=frozenset(LayerKind), video=VideoOptions(steady=False))
    info = DRIVING.inspect(item, ask)
    for form in FORMS:
        with pytest.raises(UsageError, match="--no-steady"):
            form.suffix(LayerKind.MASKS, info)


def test_the_colour_follows_the_number() -> None:
    picture = np.full((*SHAPE, 3), 100, np.uint8)
    ids = np.zeros(SHAPE, np.uint16)
    ids[20:30, 5:25], ids[34:44, 30:60] = 1, 2
    one = over_tracks(picture, Instances(ids=ids, classes=(CAR, CAR), scores=(1.0, 1.0), tracks=(4, 9)))
    swapped = ids.copy()
    swapped[ids > 0] = 3 - ids[ids > 0]
    two = over_tracks(picture, Instances(ids=swapped, classes=(CAR, CAR), scores=(1.0, 1.0), tracks=(9, 4)))
    assert np.array_equal(one, two)
    unknown = over_tracks(picture, Instances(ids=ids, classes=(CAR, CAR), scores=(1.0, 1.0), tracks=(0, 0)))
    assert np.array_equal(unknown, picture)
    assert len({colour_of(n) for n in range(1, 60)}) == 59
