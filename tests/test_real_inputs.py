"""The three lines on the real inputs of ../shared/data (minutes; not part of the suite)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pydicom
import pytest
import rasterio
from PIL import Image

from banana_cli.classes import TABLE_OF
from banana_cli.cli.world import EngineOptions
from banana_cli.types import NO_CLASS, Frame, LayerKind, Mask, ModelFacts, Prediction
from tests import reopen
from tests.conftest import REPOSITORY
from tests.here import Here

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning"),
]  # real files make libraries warn
DATA = REPOSITORY.parent / "shared" / "data"


def found(*patterns: str) -> list[str]:
    """Inputs below the real data, by their relative path; none where the data is not."""
    return sorted(str(p.relative_to(DATA)) for pattern in patterns for p in DATA.glob(pattern))


CLIPS = found("driving/samples/*.mp4", "driving/roadwork/clips/*.mp4")
SERIES = [name for name in found("medical/series/*") if (DATA / name).is_dir()]
SCENES = found("satellite/scenes/*.tif")


@dataclass(frozen=True)
class Quick:
    """Answers class 0 everywhere: the way through reader, clock and writer without the model's time."""

    facts: ModelFacts = ModelFacts(
        name="quick", weights_sha256="0" * 64, budget=1.0, precision="fp32", device="cpu"
    )

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        """One mask."""
        ids = np.where(frame.valid, 0, NO_CLASS).astype(np.uint8)
        mask = Mask(ids=ids, valid=frame.valid, table=TABLE_OF[frame.modality])
        return Prediction(layers=(mask,), tokens_kept=1.0, seconds={})


def quick(options: EngineOptions) -> Quick:
    """A loader of no weights."""
    return Quick()


@pytest.fixture(scope="module")
def here() -> Here:
    return Here()


@pytest.fixture(autouse=True)
def _wall(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    with capsys.disabled():
        sys.stderr.write(f"\n{request.node.name}: {time.perf_counter() - started:.1f} s ")


@pytest.mark.parametrize("name", CLIPS)
def test_every_frame_of_a_clip_keeps_its_time(name: str, tmp_path: Path) -> None:
    source = DATA / name
    Here(quick)("segment", source, "--format", "mp4,mkv,frames", "-o", tmp_path)
    theirs, same = reopen.times(source)
    with av.open(str(source)) as clip:
        base = clip.streams.video[0].time_base
    sound = [data for _, data in reopen.sound(source)]
    for ending in (".mp4", ".mkv"):
        output = tmp_path / f"{source.stem}.masks{ending}"
        ours, size = reopen.times(output)
        assert size == same
        assert [round(t / base) for t in ours] == [t / base for t in theirs]
        assert [data for _, data in reopen.sound(output)] == sound
        reopen.sidecar(output)
    folder = tmp_path / f"{source.stem}.masks"
    rows = json.loads((folder / "index.json").read_bytes())["frames"]
    assert [row["pts"] * Fraction(*row["time_base"]) for row in rows] == theirs
    assert sorted(p.name for p in folder.glob("*.png")) == [row["file"] for row in rows]
    with Image.open(folder / rows[-1]["file"]) as picture:
        assert picture.size == same
    reopen.sidecar(folder)


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_through_the_model(name: str, tmp_path: Path, here: Here) -> None:
    source = DATA / name
    stride = 30 if "roadwork" in name else 10
    here("segment", source, "--with", "depth,normals", "--vid-stride", str(stride), "-o", tmp_path)
    theirs, same = reopen.times(source)
    for layer in ("masks", "depth", "normals"):
        ours, size = reopen.times(tmp_path / f"{source.stem}.{layer}.mp4")
        assert size == same
        assert reopen.same_times(theirs[::stride], ours, Fraction(1, 10_000))
        reopen.sidecar(tmp_path / f"{source.stem}.{layer}.mp4")


@pytest.mark.parametrize("name", SERIES)
def test_a_series_through_the_model(name: str, tmp_path: Path, here: Here) -> None:
    folder = DATA / name
    here("segment", folder, "--with", "depth,normals", "--format", "dcm,nii,png", "-o", tmp_path)
    slices = reopen.sorted_slices(folder)
    (masks,) = tmp_path.glob("*.masks.dcm")
    reopen.segments(masks, slices)
    (volume,) = tmp_path.glob("*.masks.nii")
    labels = reopen.same_space(volume, slices)
    assert 1 < len(np.unique(labels))
    for path in tmp_path.glob("*.dcm"):
        written = pydicom.dcmread(path)
        reopen.no_person(written, slices[0])
        assert written.StudyInstanceUID == (slices[0].StudyInstanceUID or written.StudyInstanceUID)
        reopen.sidecar(path)
    assert {p.name.split(".")[-2] for p in tmp_path.glob("*.dcm")} == {"masks", "depth", "normals"}


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_through_the_model(name: str, tmp_path: Path, here: Here) -> None:
    source = DATA / name
    here("tile", source, "-o", tmp_path)
    for layer in ("masks", "depth", "normals"):
        path = tmp_path / f"{source.stem}.{layer}.tif"
        reopen.raster(path, source)
        reopen.sidecar(path)
    with rasterio.open(tmp_path / f"{source.stem}.masks.tif") as masks:
        assert masks.colormap(1)
