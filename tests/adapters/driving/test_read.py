"""Reading clips: every frame, its time, its orientation, its colours; and broken files."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from banana_adapters.driving import DRIVING
from banana_adapters.driving.geometry import CalibratedCamera, CameraSource, find_camera
from banana_adapters.driving.info import VideoInfo
from banana_adapters.driving.read import _Clock, _Shot
from hypothesis import given
from hypothesis import strategies as st

from banana_cli.adapter import SourceInfo, Unreadable, read_head
from banana_cli.errors import InputError, UsageError
from banana_cli.options import CameraOptions, ReadOptions, VideoOptions
from banana_cli.types import Frame, LayerKind, Lens

from .clips import IRREGULAR, Recipe, frames_of, make, picture, pictures_of


def options(**video: object) -> ReadOptions:
    return ReadOptions(layers=frozenset(LayerKind), video=VideoOptions(**video))


def read(path: Path, ask: ReadOptions | None = None) -> tuple[SourceInfo, list[Frame | Unreadable]]:
    (item,) = DRIVING.group([path], root=None)
    with DRIVING.open(item, ask or options()) as source:
        return source.info, list(source)


def good(path: Path, ask: ReadOptions | None = None) -> list[Frame]:
    _, items = read(path, ask)
    assert all(isinstance(i, Frame) for i in items)
    return [i for i in items if isinstance(i, Frame)]


def pts(frames: list[Frame]) -> list[object]:
    return [f.provenance.extra["pts"] for f in frames]


RECIPES = {
    "constant.mp4": Recipe(),
    "irregular.mp4": Recipe(pts=IRREGULAR),
    "thirds.mp4": Recipe(base=Fraction(1, 90000), pts=[i * 3003 for i in range(12)]),
    "odd.mp4": Recipe(size=(47, 63), pixel_format="yuv444p"),
    "sound.mkv": Recipe(
        container="matroska", base=Fraction(1, 1000), pts=(0, 33, 34, 90, 400, 401), audio="libopus"
    ),
    "clip.ts": Recipe(container="mpegts", base=Fraction(1, 90000), pts=[i * 3003 for i in range(12)]),
    "clip.avi": Recipe(container="avi", codec="mpeg4", base=Fraction(1, 30), pts=tuple(range(12))),
    "clip.webm": Recipe(
        container="webm", codec="libvpx-vp9", base=Fraction(1, 1000), pts=tuple(range(0, 400, 33))
    ),
    "ten.mp4": Recipe(codec="libx264", pixel_format="yuv420p10le"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_frame_comes_at_its_own_time(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    path = make(tmp_path / name, recipe)
    assert DRIVING.sniff(path, read_head(path))
    frames = good(path)
    truth = frames_of(path)
    assert len(frames) == len(recipe.pts) == len(truth)
    got = [f.provenance.extra["pts"] * Fraction(*f.provenance.extra["time_base"]) for f in frames]
    assert got == [t for t, _ in truth]
    steps = [b - a for a, b in zip(got, got[1:], strict=False)]
    wanted = [(b - a) * recipe.base for a, b in zip(recipe.pts, recipe.pts[1:], strict=False)]
    assert steps == wanted
    assert [f.provenance.index for f in frames] == list(range(len(frames)))
    assert {f.shape for f in frames} == {recipe.size}


def test_info_agrees_with_the_clip(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe(audio="aac"))
    (item,) = DRIVING.group([path], root=None)
    info = DRIVING.inspect(item, options())
    assert isinstance(info, VideoInfo)
    assert (info.shape, info.frames, info.time_base) == ((48, 64), 20, Fraction(1, 15360))
    assert info.facts["frame_times"] == "constant"
    assert info.facts["average_rate"] == "30"
    assert [t.codec for t in info.audio] == ["aac"]
    assert set(info.formats.values()) == {"mp4"}
    irregular = make(tmp_path / "b.mp4", Recipe(pts=IRREGULAR))
    (item,) = DRIVING.group([irregular], root=None)
    assert DRIVING.inspect(item, options()).facts["frame_times"] == "variable"


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_is_applied_to_pixels(degrees: int, tmp_path: Path) -> None:
    upright = good(make(tmp_path / "up.mp4", Recipe()))
    turned = good(make(tmp_path / "turned.mp4", Recipe(turn_degrees=degrees)))
    assert len(turned) == len(upright)
    for a, b in zip(upright, turned, strict=True):
        # FFmpeg's angle counts counter-clockwise, as NumPy's.
        assert np.array_equal(np.rot90(a.pixels, degrees // 90, axes=(1, 2)), b.pixels)


def yuv_clip(path: Path, *, yuv: tuple[int, int, int], bits: int, matrix: int, full: bool) -> Path:
    """Three frames of one colour, without loss."""
    name = "yuv420p" if bits == 8 else "yuv420p10le"
    with av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream("ffv1", rate=25, options={"level": "3"})
        stream.width, stream.height, stream.pix_fmt = 32, 16, name
        stream.codec_context.color_range = 2 if full else 1
        stream.codec_context.colorspace = matrix
        for i in range(3):
            frame = av.VideoFrame(32, 16, name)
            frame.pts = i
            for plane, value in zip(frame.planes, yuv, strict=True):
                kind = np.uint8 if bits == 8 else np.dtype("<u2")
                plane.update(np.full(plane.buffer_size // np.dtype(kind).itemsize, value, kind).tobytes())
            frame.color_range = 2 if full else 1
            frame.colorspace = matrix
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return path


WEIGHTS = {5: (0.299, 0.114), 1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}


def rgb_of(yuv: tuple[int, int, int], bits: int, matrix: int, *, full: bool) -> np.ndarray:
    """The definition: ITU-R BT.601, 709 and 2020."""
    red, blue = WEIGHTS[matrix]
    step, top = 1 << (bits - 8), (1 << bits) - 1
    luma = yuv[0] / top if full else (yuv[0] / step - 16) / 219
    cb, cr = ((v - 128 * step) / (top if full else 224 * step) for v in yuv[1:])
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.clip([r, g, b], 0, 1) * 255


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("full", [False, True])
def test_colours_follow_matrix_range_and_depth(bits: int, matrix: int, full: bool, tmp_path: Path) -> None:
    for number, eight in enumerate([(180, 90, 160), (60, 150, 110), (235, 128, 128), (16, 128, 128)]):
        yuv = tuple(v << (bits - 8) for v in eight)
        path = yuv_clip(tmp_path / f"{number}.mkv", yuv=yuv, bits=bits, matrix=matrix, full=full)
        frame = good(path)[1]
        assert np.abs(frame.pixels[:, 8, 16] - rgb_of(yuv, bits, matrix, full=full)).max() < 0.8


def test_ten_bits_are_more_than_eight(tmp_path: Path) -> None:
    path = yuv_clip(tmp_path / "a.mkv", yuv=(601, 512, 512), bits=10, matrix=1, full=False)
    value = float(good(path)[0].pixels[0, 8, 8])
    assert abs(value - (601 / 4 - 16) / 219 * 255) < 0.05


@pytest.mark.parametrize(
    ("ask", "kept"),
    [
        ({"start_s": 0.25}, range(8, 20)),
        ({"end_s": 0.25}, range(0, 8)),
        ({"start_s": 0.3, "end_s": 0.5}, range(9, 15)),
        ({"vid_stride": 3}, range(0, 20, 3)),
        ({"start_s": 0.3, "vid_stride": 4}, range(9, 20, 4)),
        ({"fps": 10.0}, range(0, 20, 3)),
        ({"fps": 20.0}, [0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]),
        ({"fps": 1000.0}, range(20)),
    ],
)
@pytest.mark.parametrize("container", ["mp4", "mpegts", "avi"])
def test_parts_of_a_clip(ask: dict[str, float], kept: range, container: str, tmp_path: Path) -> None:
    recipe = {
        "mp4": Recipe(),
        "mpegts": Recipe(container="mpegts", base=Fraction(1, 90000), pts=[i * 3000 for i in range(20)]),
        "avi": Recipe(container="avi", codec="mpeg4", base=Fraction(1, 30), pts=range(20)),
    }[container]
    path = make(tmp_path / f"a.{container}", recipe)
    whole = good(path)
    part = good(path, options(**ask))
    assert [f.provenance.index for f in part] == list(kept)
    for frame in part:
        same = whole[frame.provenance.index]
        assert frame.provenance.extra["pts"] == same.provenance.extra["pts"]
        assert np.array_equal(frame.pixels, same.pixels)


@given(start=st.floats(0, 0.6), length=st.floats(0.001, 0.5))
def test_start_and_end_are_exact(
    start: float, length: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "exact.mp4"
    if not path.exists():
        make(path, Recipe(size=(16, 16)))
    wanted = [i for i in range(20) if Fraction(start) <= Fraction(i, 30) < Fraction(start + length)]
    close = any(abs(i / 30 - e) < 1e-8 for i in range(20) for e in (start, start + length) if e)
    got = [f.provenance.index for f in good(path, options(start_s=start, end_s=start + length))]
    assert close or got == wanted


@pytest.mark.parametrize(
    "bad",
    [{"start_s": -1.0}, {"start_s": 2.0, "end_s": 1.0}, {"fps": 0.0}, {"vid_stride": 0}, {"end_s": 0.0}],
)
def test_senseless_parts_are_refused(bad: dict[str, float], tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe(pts=(0, 512)))
    with pytest.raises(UsageError):
        read(path, options(**bad))


def test_a_truncated_clip_gives_what_is_there(tmp_path: Path) -> None:
    # The index stands in front, the pictures behind it are cut.
    whole = make(tmp_path / "whole.mp4", Recipe(pts=[i * 512 for i in range(60)], size=(144, 256)))
    fast = tmp_path / "fast.mp4"
    with (
        av.open(str(whole)) as src,
        av.open(str(fast), "w", format="mp4", container_options={"movflags": "faststart"}) as out,
    ):
        target = out.add_stream_from_template(src.streams.video[0])
        for packet in src.demux(src.streams.video[0]):
            if packet.size:
                packet.stream = target
                out.mux(packet)
    data = fast.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 3 // 5])
    _, items = read(cut)
    frames = [i for i in items if isinstance(i, Frame)]
    bad = [i for i in items if isinstance(i, Unreadable)]
    assert 5 < len(frames) < 60
    assert len(bad) == 1
    assert f"cut short: {60 - len(frames)} of 60 frames" in bad[0].error.message
    assert pts(frames) == [i * 512 for i in range(len(frames))]
    for index in range(0, len(frames) - 4, 5):
        assert (
            abs(
                float(frames[index].pixels[:, 10, 200].mean()) - float(picture(index, (144, 256))[10, 200, 0])
            )
            < 6
        )


def test_damaged_packets_are_values_and_reading_goes_on(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.mkv",
        Recipe(
            container="matroska",
            codec="ffv1",
            pixel_format="bgr0",
            base=Fraction(1, 1000),
            pts=range(0, 400, 40),
            options={"level": "3", "slicecrc": "1"},
        ),
    )
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as clip:
        packets = [bytes(p) for p in clip.demux(clip.streams.video[0]) if p.size]
    at, size = data.find(packets[4]), len(packets[4])
    data[at + 12 : at + size] = b"\xff" * (size - 12)
    path.write_bytes(data)
    _, items = read(path)
    bad = [i for i in items if isinstance(i, Unreadable)]
    frames = [i for i in items if isinstance(i, Frame)]
    assert len(bad) == 1
    assert bad[0].index == 4
    assert pts(frames) == [i * 40 for i in range(10) if i != 4]


def test_frames_that_the_decoder_swallows_are_told(tmp_path: Path) -> None:
    recipe = Recipe(options={"bf": "0", "g": "5"}, size=(144, 256))
    path = make(tmp_path / "a.mp4", recipe)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as clip:
        packets = [bytes(p) for p in clip.demux(clip.streams.video[0]) if p.size]
    at = data.find(packets[6])
    data[at + 8 : at + len(packets[6])] = bytes(len(packets[6]) - 8)
    path.write_bytes(data)
    _, items = read(path)
    frames = [i for i in items if isinstance(i, Frame)]
    bad = [i for i in items if isinstance(i, Unreadable)]
    assert bad
    told = sum(int(b.error.message.split()[0]) if "gave no" in b.error.message else 1 for b in bad)
    assert len(frames) + told == len(recipe.pts)
    assert set(pts(frames)) < set(recipe.pts)


@pytest.mark.parametrize(
    "content", [b"", b"hello, I am a text\n" * 500, b"\0\0\0\x18ftypisom" + b"\0" * 4000]
)
def test_files_that_are_no_clips_are_input_errors(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    (item,) = DRIVING.group([path], root=None)
    with pytest.raises(InputError) as caught:
        DRIVING.inspect(item, options())
    assert "a.mp4" in caught.value.subject
    with pytest.raises(InputError), DRIVING.open(item, options()):
        pass


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    make(tmp_path / "secret.ts", Recipe(container="mpegts", base=Fraction(1, 90000), pts=(0, 3000)))
    path = tmp_path / "a.mp4"
    path.write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n")
    assert not DRIVING.sniff(path, read_head(path))
    from banana_adapters.driving.probe import open_container

    with pytest.raises(av.FFmpegError):
        open_container(path)


def test_sound_only_has_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        stream.layout = "mono"
        for packet in stream.encode(frame) + stream.encode(None):
            out.mux(packet)
    with pytest.raises(InputError, match="no video"):
        read(path)


def test_the_larger_of_two_streams_is_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w", format="matroska") as out:
        streams = []
        for size in ((32, 16), (64, 48)):
            stream = out.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            streams.append(stream)
        for index in range(3):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(
                    picture(index, (stream.height, stream.width)), format="rgb24"
                )
                frame.pts = index
                for packet in stream.encode(frame):
                    out.mux(packet)
        for stream in streams:
            for packet in stream.encode(None):
                out.mux(packet)
    info, items = read(path)
    assert info.shape == (48, 64)
    assert len(items) == 3
    assert any("2 video streams" in n for n in info.notices)


def test_camera_from_options_file_and_nothing(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe(pts=(0, 512)))
    assert good(path)[0].geometry.focal_px() is None
    given_focal = ReadOptions(layers=frozenset(), camera=CameraOptions(focal_px=70.0))
    assert good(path, given_focal)[0].geometry.focal_px() == 70.0
    view = ReadOptions(layers=frozenset(), camera=CameraOptions(fov_deg=90.0))
    assert good(path, view)[0].geometry.focal_px() == pytest.approx(32.0)
    side = tmp_path / "a.calibration.json"
    side.write_text('{"K": [[100, 0, 64], [0, 100, 48], [0, 0, 1]], "size": [128, 96], "dist": [0.1]}')
    info, _ = read(path)
    assert isinstance(info, VideoInfo)
    assert info.camera.focal_px() == pytest.approx(50.0)
    assert info.camera.source is CameraSource.FILE
    assert any("a.calibration.json" in n for n in info.notices)
    side.write_text('{"K": "no"}')
    info, _ = read(path)
    assert isinstance(info, VideoInfo)
    assert info.camera.focal_px() is None
    assert any("not used" in n for n in info.notices)
    with pytest.raises(UsageError):
        read(path, ReadOptions(layers=frozenset(), camera=CameraOptions(fov_deg=180.0)))


def test_a_calibrated_camera_knows_every_ray(shared_data: Path, tmp_path: Path) -> None:
    calibration = shared_data / "driving/samples/test_video.calibration.json"
    camera, _ = find_camera(calibration.with_name("test_video.mp4"), (540, 960), CameraOptions())
    assert isinstance(camera, CalibratedCamera) and isinstance(camera, Lens)
    facts = json.loads(calibration.read_text())
    x, y = np.meshgrid(np.linspace(0, 959, 40), np.linspace(0, 539, 30))
    rays = np.stack([*(axis.ravel() for axis in camera.rays(x, y)), np.ones(x.size)], axis=-1)
    seen, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), np.array(facts["K"]), np.array(facts["dist"]))
    # The calibration is of pictures of 1280 x 720; pixels there are three quarters as large.
    back = (seen[:, 0] + 0.5) * 0.75 - 0.5
    # OpenCV takes five steps towards it and no more.
    assert np.abs(back - np.stack([x.ravel(), y.ravel()], axis=-1)).max() < 0.6
    bent = np.stack(camera.rays(x, y)) - np.stack(replace(camera, distortion=()).rays(x, y))
    assert np.abs(bent).max() > 0.05  # and without distortion it would be another


@pytest.mark.parametrize("dist", [[0.1] * 15, ["x"], [float("nan")], 3])
def test_a_distortion_that_cannot_be_is_not_used(dist: object, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe(pts=(0, 512)))
    text = json.dumps({"K": [[100, 0, 64], [0, 100, 48], [0, 0, 1]], "size": [128, 96], "dist": dist})
    (tmp_path / "a.calibration.json").write_text(text)
    info, _ = read(path)
    assert isinstance(info, VideoInfo) and info.camera.focal_px() is None


def moving(path: Path, *, interlaced: bool, count: int = 10) -> Path:
    """A bright bar that moves two pixels from field to field."""
    with av.open(str(path), "w") as out:
        params = "tff=1" if interlaced else "bframes=0"
        stream = out.add_stream("libx264", rate=25, options={"crf": "5", "x264-params": params})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(count):
            fields = np.full((2, 64, 96, 3), 30, np.uint8)
            for field in (0, 1):
                at = 4 * i + 2 * field * interlaced + 10
                fields[field, :, at : at + 16] = 220
            fields[0, 1::2] = fields[1, 1::2]
            frame = av.VideoFrame.from_ndarray(fields[0], format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def combed(frame: Frame) -> float:
    """How much neighbouring lines differ."""
    grey = frame.pixels.mean(axis=0)
    return float(np.abs(np.diff(grey, axis=0)).mean())


def test_interlaced_pictures_are_made_whole_one_for_one(tmp_path: Path) -> None:
    path = moving(tmp_path / "fields.mp4", interlaced=True)
    info, items = read(path)
    frames = [f for f in items if isinstance(f, Frame)]
    truth = frames_of(path)
    assert len(frames) == len(items) == len(truth) == 10
    assert [f.provenance.time_s for f in frames] == [float(t) for t, _ in truth]
    assert [f.provenance.index for f in frames] == list(range(10))
    woven = [np.abs(np.diff(rgb.astype(float).mean(axis=2), axis=0)).mean() for rgb in pictures_of(path)]
    assert all(combed(f) < 0.35 * w for f, w in zip(frames[1:-1], woven[1:-1], strict=True))
    assert any("interlaced" in n for n in info.notices)
    progressive, _ = read(moving(tmp_path / "whole.mp4", interlaced=False))
    assert not any("interlaced" in n for n in progressive.notices)


def test_a_folder_is_mirrored(tmp_path: Path) -> None:
    path = tmp_path / "day" / "one" / "a.mp4"
    (item,) = DRIVING.group([path], root=tmp_path)
    assert (item.stem, item.folder) == ("a", Path("day/one"))


def test_a_picture_of_another_size_is_a_value(tmp_path: Path) -> None:
    parts = [
        make(tmp_path / f"{size[0]}.h264", Recipe(container="h264", size=size, pts=range(0, 5 * 512, 512)))
        for size in ((48, 64), (32, 32))
    ]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(p.read_bytes() for p in parts))
    _, items = read(path)
    assert [isinstance(i, Frame) for i in items] == [True] * 5 + [False] * 5


@given(st.lists(st.one_of(st.none(), st.integers(-50, 400)), max_size=60), st.integers(1, 40))
def test_repaired_times_rise_and_good_ones_stay(stamps: list[int | None], nominal: int) -> None:
    clock = _Clock(nominal)
    out = [t for i, p in enumerate(stamps) for t in clock.take(_Shot(i, p, 0, None))]
    out += clock.flush(None)
    assert [t.index for t in out] == list(range(len(stamps)))
    assert all(a.pts < b.pts for a, b in zip(out, out[1:], strict=False))
    assert all(t.repaired or t.pts == stamps[t.index] for t in out)


def test_lost_times_are_put_between_their_neighbours() -> None:
    clock = _Clock(40)
    shots = [_Shot(i, p, 0, None) for i, p in enumerate([0, 40, 40, 120, None, None, 240])]
    out = [t.pts for s in shots for t in clock.take(s)]
    assert out == [0, 40, 80, 120, 160, 200, 240]


def test_the_door_is_cheap() -> None:
    code = (
        "import sys; import banana_adapters.driving, banana_adapters.driving.sinks;"
        "print([m for m in ('av', 'cv2', 'PIL', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
