"""The own car: found by its outline where the world goes by, and nowhere else."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from banana_adapters.driving import DRIVING, glance
from banana_adapters.driving.bonnet import LEAST, Bonnet, Search
from PIL import Image

from banana_cli.adapter import SourceInfo
from banana_cli.growing import Inflow
from banana_cli.options import Done, ReadOptions, VideoOptions
from banana_cli.types import U8, Bool, Frame

SIZE = (202, 360)
ENOUGH = LEAST + 12


def texture(rng: np.random.Generator) -> np.ndarray:
    """(H, W) something like a street, of 60 to 200 grey levels."""
    noise = cv2.GaussianBlur(rng.normal(size=SIZE), (0, 0), 2.5)
    return 130 + 25 * noise / noise.std()


def arch(height: float, bulge: float = 0.3) -> Bool:
    """What lies below a flat arch that takes ``height`` of the picture in its middle."""
    x = np.linspace(-1, 1, SIZE[1])
    top = SIZE[0] * (1 - height * (1 - bulge * x**2))
    return np.arange(SIZE[0])[:, None] + 0.5 >= top[None]


@dataclass(frozen=True, kw_only=True)
class World:
    """What a camera sees: all is new in every picture, but the bonnet's place and what is said here."""

    bonnet: float = 0.0
    mirror: bool = True
    stands: bool = False
    lanes: bool = False
    leader: bool = False
    seam: bool = False

    def pictures(self, count: int) -> list[U8]:
        return [self._picture(k) for k in range(count)]

    def _picture(self, k: int) -> U8:
        rng = np.random.default_rng(1 if self.stands else k)
        seen = texture(rng)
        if self.lanes:
            for end in (-0.2, 0.3, 0.7, 1.2):
                cv2.line(seen, (180, 80), (int(end * SIZE[1]), SIZE[0]), 230.0, 3)
        if self.leader:
            seen[110:175, 110:250] = texture(np.random.default_rng(7))[110:175, 110:250] - 60
        if self.seam:
            seen[182:] += 1.5
        if self.stands:
            noise = np.random.default_rng(k)
            seen += noise.normal(size=SIZE) * 4
            left = k * 40 % 400 - 60
            seen[60:150, max(0, left) : left + 60] = 40
        if self.bonnet:
            own = arch(self.bonnet)
            paint = texture(np.random.default_rng(1000 + k * self.mirror))
            seen = np.where(own, 60 + 0.35 * paint, seen)
        return seen.clip(0, 255).astype(np.uint8)


def found(world: World, count: int = ENOUGH) -> Bonnet | None:
    search = Search()
    for grey in world.pictures(count):
        search.add(grey)
    return search.found(SIZE)


def iou(a: Bool, b: Bool) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("height", [0.05, 0.12, 0.19])
@pytest.mark.parametrize("mirror", [True, False])
def test_a_bonnet_is_found_though_it_mirrors_the_world(height: float, mirror: bool) -> None:
    bonnet = found(World(bonnet=height, mirror=mirror))
    assert bonnet is not None
    assert iou(bonnet.cover, arch(height)) > (0.8 if height < 0.1 else 0.9)
    assert bonnet.describe()["share"] == pytest.approx(arch(height).mean(), abs=0.012)


@pytest.mark.parametrize(
    "world",
    [
        World(),
        World(lanes=True),
        World(leader=True),
        World(seam=True),
        World(stands=True),
        World(stands=True, lanes=True, leader=True),
    ],
    ids=str,
)
def test_nothing_else_is_taken_for_one(world: World) -> None:
    assert found(world) is None


def test_from_a_car_that_stands_nothing_is_told() -> None:
    search = Search()
    for grey in World(bonnet=0.12, stands=True).pictures(ENOUGH):
        search.add(grey)
    assert search.moved < LEAST
    assert search.found(SIZE) is None


def test_pictures_of_a_stop_tell_nothing_new() -> None:
    drives, stops = World(bonnet=0.12).pictures(ENOUGH), World(bonnet=0.12, stands=True).pictures(40)
    with_stop, without = Search(), Search()
    for grey in [*drives[:30], *stops, *drives[30:]]:
        with_stop.add(grey)
    for grey in drives:
        without.add(grey)
    one, other = with_stop.found(SIZE), without.found(SIZE)
    assert one is not None
    assert other is not None
    assert iou(one.cover, other.cover) > 0.97


def test_few_pictures_are_not_enough() -> None:
    assert found(World(bonnet=0.12), LEAST - 1) is None


def test_a_picture_without_any_edge_is_passed_over() -> None:
    search = Search()
    search.add(np.zeros(SIZE, np.uint8))
    assert search.moved == 0


# --- in clips -----------------------------------------------------------------------------------


def film(path: Path, pictures: list[U8]) -> Path:
    """Six pictures a second, so that each is looked at."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=6, options={"g": "12", "bf": "0"})
        video.height, video.width, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.time_base = Fraction(1, 6)
        for k, grey in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, -1), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 6)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def read(path: Path, *, done: Done | None = None, **ask: object) -> tuple[SourceInfo, list[Frame]]:
    (item,) = DRIVING.group([path], root=None)
    options = ReadOptions(layers=frozenset(), video=VideoOptions(**ask), done=done)
    with DRIVING.open(item, options) as source:
        return source.info, [frame for frame in source if isinstance(frame, Frame)]


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("own") / "drive.mp4", World(bonnet=0.12).pictures(ENOUGH))


def test_the_bonnet_of_a_clip_has_no_answer_from_the_first_frame_on(drive: Path) -> None:
    info, frames = read(drive, bonnet=True)
    assert len(frames) == ENOUGH
    assert iou(~frames[0].valid, arch(0.12)) > 0.9
    assert all(np.array_equal(f.valid, frames[0].valid) for f in frames)
    assert frames[0].shown is not None
    assert np.array_equal(frames[0].shown, ~frames[0].valid)
    assert info.facts["bonnet"] == {
        "share": round(float((~frames[0].valid).mean()), 4),
        "rows": [int((~frames[0].valid).any(1).argmax()), SIZE[0]],
    }
    assert any("--bonnet keep" in notice for notice in info.notices)


def test_it_is_the_same_whichever_part_is_read(drive: Path) -> None:
    whole = read(drive, bonnet=True)[1]
    part = read(drive, bonnet=True, start_s=5.0, end_s=6.0)[1]
    resumed = read(drive, bonnet=True, done=Done(index=ENOUGH - 5, clean=True))[1]
    assert 0 < len(part) < 10
    assert len(resumed) == 4
    for frame in (*part, *resumed):
        assert np.array_equal(frame.valid, whole[0].valid)


def test_a_long_clip_is_looked_at_in_places(drive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "_WHOLE_S", 5)
    looked = []
    add = Search.add
    monkeypatch.setattr(Search, "add", lambda self, grey: (looked.append(grey), add(self, grey)))
    assert iou(~read(drive, bonnet=True)[1][0].valid, arch(0.12)) > 0.9
    assert len(looked) > ENOUGH


class Trickle(io.BytesIO):
    """A pipe from which a clip comes in pieces."""

    def read1(self, size: int | None = -1) -> bytes:
        time.sleep(0.002)
        return super().read1(5000)


def test_through_a_pipe_it_is_the_one_of_the_file(tmp_path: Path) -> None:
    clip = film(tmp_path / "drive.ts", World(bonnet=0.12).pictures(ENOUGH))
    comes = tmp_path / "pipe.ts"
    inflow = Inflow(Trickle(clip.read_bytes()), comes)
    inflow.wait(5000)
    info, frames = read(comes, bonnet=True)
    inflow.wait()
    assert len(frames) == ENOUGH
    assert info.facts["bonnet"] == read(clip, bonnet=True)[0].facts["bonnet"] is not None
    assert iou(~frames[0].valid, arch(0.12)) > 0.9


def test_it_may_be_kept(drive: Path) -> None:
    info, frames = read(drive)
    assert all(f.valid.all() and f.shown is None for f in frames)
    assert "bonnet" not in info.facts


def test_a_clip_without_one_says_so(tmp_path: Path) -> None:
    info, frames = read(film(tmp_path / "none.mp4", World(lanes=True).pictures(ENOUGH)), bonnet=True)
    assert info.facts["bonnet"] is None
    assert frames[0].valid.all()


def test_numbered_pictures_are_a_clip_too(tmp_path: Path) -> None:
    for k, grey in enumerate(World(bonnet=0.12).pictures(ENOUGH)):
        Image.fromarray(grey).save(tmp_path / f"f{k:03}.png", compress_level=1)
    info, frames = read(tmp_path / "f%03d.png", bonnet=True)
    assert iou(~frames[0].valid, arch(0.12)) > 0.9
    assert info.facts["bonnet"] is not None
