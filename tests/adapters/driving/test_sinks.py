"""Writing clips: frames out = frames in, at the same times, at the same size, with the same sound."""

from __future__ import annotations

import json
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from banana_adapters.driving import DRIVING
from banana_adapters.driving.info import VideoInfo
from banana_adapters.driving.sinks import FRAMES, MKV, MP4, MP4_BESIDE, MP4_OVERLAY
from PIL import Image

from banana_cli.adapter import SinkFormat
from banana_cli.classes import STREET
from banana_cli.codec import (
    STREET_RGB,
    DepthCode,
    decode_depth_u16,
    decode_normals_u8,
    depth_to_rgb,
    encode_normals_u8,
    mask_to_rgb,
    rgb_to_depth,
)
from banana_cli.errors import InputError, OutputError, UsageError
from banana_cli.options import ReadOptions, VideoOptions
from banana_cli.types import Depth, Frame, Json, LayerKind, Mask, Normals, Prediction

from .clips import IRREGULAR, Recipe, frames_of, make, pictures_of, sound_of
from .fakes import job, part_of, predict


class Run:
    """A clip taken through a sink with fake predictions."""

    def __init__(self, path: Path, form: SinkFormat, layer: LayerKind, out: Path, part: VideoOptions) -> None:
        (item,) = DRIVING.group([path], root=None)
        ask = ReadOptions(layers=frozenset(LayerKind), video=part)
        self.times: list[Fraction] = []
        self.predictions: list[Prediction] = []
        with DRIVING.open(item, ask) as source:
            assert isinstance(source.info, VideoInfo)
            self.info = source.info
            self.out = part_of(out, form.suffix(layer, source.info))
            with form.open(self.out, job(source.info, layer)) as sink:
                for frame in source:
                    assert isinstance(frame, Frame)
                    self._take(frame)
                    sink.write(frame, predict(frame))
                self.facts: dict[str, Json] = sink.finish()

    def _take(self, frame: Frame) -> None:
        pts, base = frame.provenance.extra["pts"], frame.provenance.extra["time_base"]
        assert isinstance(pts, int) and isinstance(base, list)
        self.times.append(pts * Fraction(*base))
        if len(self.predictions) < 3:
            self.predictions.append(predict(frame))


def through(
    path: Path,
    form: SinkFormat,
    out: Path,
    layer: LayerKind = LayerKind.MASKS,
    part: VideoOptions | None = None,
) -> Run:
    return Run(path, form, layer, out, part or VideoOptions())


def ticks(times: list[Fraction], base: Fraction) -> list[int]:
    return [round(t / base) for t in times]


RECIPES = {
    "constant.mp4": Recipe(audio="aac"),
    "irregular.mp4": Recipe(pts=IRREGULAR, audio="aac"),
    "ntsc.mp4": Recipe(base=Fraction(1001, 30000), pts=tuple(range(12)), audio="libmp3lame"),
    "fine.mp4": Recipe(base=Fraction(1, 1_000_000), pts=[0, 33367, 33370, 90001, 100000], audio="libopus"),
    "odd.mp4": Recipe(size=(47, 63), pixel_format="yuv444p"),
    "odd_rows.mp4": Recipe(size=(47, 64), pixel_format="yuv444p"),
    "turned.mp4": Recipe(size=(48, 80), turn_degrees=90, audio="aac"),
    "ten.mp4": Recipe(pixel_format="yuv420p10le"),
    "full.mp4": Recipe(full_range=True, matrix=1),
    "late.mp4": Recipe(pts=[15360 + i * 512 for i in range(12)], audio="aac"),
    "late.ts": Recipe(
        container="mpegts", base=Fraction(1, 90000), pts=[123_456 + i * 3003 for i in range(12)]
    ),
    "sound.mkv": Recipe(
        container="matroska", base=Fraction(1, 1000), pts=(0, 33, 34, 90, 400, 401), audio="flac"
    ),
    "clip.webm": Recipe(
        container="webm", codec="libvpx-vp9", base=Fraction(1, 1000), pts=range(0, 400, 33), audio="libopus"
    ),
    "old.avi": Recipe(
        container="avi", codec="mpeg4", base=Fraction(1, 30), pts=range(12), audio="libmp3lame"
    ),
    "camera.mov": Recipe(container="mov", audio="pcm_s16le"),
}


@pytest.mark.parametrize("form", [MP4, MKV], ids=lambda f: f.name)
@pytest.mark.parametrize("name", RECIPES)
def test_frames_times_size_and_sound_are_kept(name: str, form: SinkFormat, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    path = make(tmp_path / name, recipe)
    run = through(path, form, tmp_path)
    got = frames_of(run.out)
    assert len(got) == len(run.times) == len(recipe.pts)
    base = run.info.time_base
    assert ticks([t for t, _ in got], base) == ticks(run.times, base)
    if form is MP4:
        assert [t for t, _ in got] == run.times
    assert {size for _, size in got} == {run.info.shape}
    before, after = sound_of(path), sound_of(run.out)
    assert [data for data, _ in before] == [data for data, _ in after]
    assert all(abs(a - b) < Fraction(1, 1000) for (_, a), (_, b) in zip(before, after, strict=True))
    assert bool(before) == (recipe.audio is not None)
    assert run.facts["frames"] == len(recipe.pts)
    assert run.facts["audio"] == ("copied" if recipe.audio else "none")


def test_an_mp4_plays_widely(tmp_path: Path) -> None:
    run = through(make(tmp_path / "a.mp4", Recipe(audio="aac")), MP4, tmp_path)
    data = run.out.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
    with av.open(str(run.out)) as clip:
        stream = clip.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.color_range, context.colorspace) == (1, 1)
        assert stream.time_base == Fraction(1, 15360)
        packets = [(p.pts, p.dts) for p in clip.demux(stream) if p.size]
    assert all(pts == dts for pts, dts in packets)


def test_the_view_shows_what_the_task_painted(tmp_path: Path) -> None:
    run = through(make(tmp_path / "a.mp4", Recipe(size=(96, 128))), MP4, tmp_path)
    for shown, wanted in zip(pictures_of(run.out)[:3], run.predictions, strict=True):
        painted = mask_to_rgb(wanted.get(Mask)).astype(int)
        # Away from edges, where 4:2:0 blurs.
        for row, col in ((20, 20), (70, 20), (50, 100)):
            assert np.abs(shown[row, col].astype(int) - painted[row, col]).max() <= 6


@pytest.mark.parametrize("layer", LayerKind)
@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_the_picture_stands_beside_its_layer(layer: LayerKind, size: tuple[int, int], tmp_path: Path) -> None:
    odd = "yuv444p" if size[0] % 2 else "yuv420p"
    path = make(tmp_path / "a.mp4", Recipe(size=size, pixel_format=odd, audio="aac"))
    run = through(path, MP4_BESIDE, tmp_path, layer)
    got, alone = pictures_of(run.out), pictures_of(through(path, MP4, tmp_path, layer).out)
    assert {g.shape for g in got} == {(size[0], 2 * size[1], 3)} and len(got) == 20
    inner = np.s_[4:-4, 4:-4]  # colours bleed at edges
    for mine, view, truth in zip(got, alone, pictures_of(path), strict=True):
        left, right = np.split(mine.astype(int), 2, axis=1)
        assert np.abs(left - truth)[inner].mean() < 5 and np.abs(right - view)[inner].mean() < 5


def test_an_overlay_is_the_picture_with_colours(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe())
    got = pictures_of(through(path, MP4_OVERLAY, tmp_path).out)
    colours, truth = pictures_of(through(path, MP4, tmp_path).out), pictures_of(path)
    for mine, paint, picture in zip(got, colours, truth, strict=True):
        wanted = 0.55 * picture + 0.45 * paint
        assert np.abs(mine - wanted)[4:20, 4:28].mean() < 6


def test_mkv_is_exact(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe(size=(33, 47), pixel_format="yuv444p"))
    for layer in LayerKind:
        folder = tmp_path / layer.value
        folder.mkdir()
        run = through(
            path,
            MKV,
            folder,
            layer,
        )
        shown = pictures_of(run.out)
        for picture, wanted in zip(shown[:3], run.predictions, strict=True):
            assert np.array_equal(picture, expected(wanted, layer))
    assert run.facts["codec"] == "ffv1"


def expected(prediction: Prediction, layer: LayerKind) -> np.ndarray:
    if layer is LayerKind.MASKS:
        return mask_to_rgb(prediction.get(Mask))
    if layer is LayerKind.DEPTH:
        return depth_to_rgb(prediction.get(Depth))[0]
    return encode_normals_u8(prediction.get(Normals))


def test_depth_comes_back_from_mkv(tmp_path: Path) -> None:
    run = through(make(tmp_path / "a.mp4", Recipe()), MKV, tmp_path, LayerKind.DEPTH)
    values, valid = rgb_to_depth(pictures_of(run.out)[0], STREET_RGB)
    truth = run.predictions[0].get(Depth)
    assert np.array_equal(valid, truth.valid)
    assert np.abs(values[valid] / truth.values[valid] - 1).max() < 0.02
    assert (run.facts["encoding"], run.facts["unit"], run.facts["kind"]) == ("banana-rgb", "m", "metric")


def test_mkv_says_its_own_length(tmp_path: Path) -> None:
    run = through(make(tmp_path / "a.mp4", Recipe(audio="aac")), MKV, tmp_path)
    with av.open(str(run.out)) as clip:
        assert clip.duration / 1e6 == pytest.approx(20 / 30, abs=0.05)
        texts = [s.metadata["DURATION"] for s in clip.streams]
    assert all(t.startswith("00:00:00.6") for t in texts)


def test_frames_are_numbered_by_the_source(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe(pts=IRREGULAR))
    part = VideoOptions(vid_stride=3)
    for layer in LayerKind:
        out = tmp_path / layer.value
        out.mkdir()
        run = through(path, FRAMES, out, layer, part)
        names = sorted(p.name for p in run.out.glob("*.png"))
        assert names == ["000000.png", "000003.png", "000006.png", "000009.png"]
        index = json.loads((run.out / "index.json").read_text())
        assert [f["pts"] for f in index["frames"]] == [0, 8, 300, 1000]
        assert [f["file"] for f in index["frames"]] == names
        check_png(run, run.out / "000003.png", layer)


def check_png(run: Run, path: Path, layer: LayerKind) -> None:
    wanted = run.predictions[1]
    with Image.open(path) as picture:
        picture.load()
        facts = json.loads(picture.text["banana"])
        array = np.asarray(picture)
        mode = picture.mode
    if layer is LayerKind.MASKS:
        assert mode == "P"
        assert np.array_equal(array, wanted.get(Mask).ids)
    elif layer is LayerKind.DEPTH:
        assert array.dtype == np.uint16
        values, valid = decode_depth_u16(array, DepthCode.from_facts(facts))
        assert np.array_equal(valid, wanted.get(Depth).valid)
        assert np.abs(values - wanted.get(Depth).values)[valid].max() <= 1 / 512
    else:
        truth, got = wanted.get(Normals), decode_normals_u8(array)
        assert (truth.xyz * got.xyz).sum(axis=0)[truth.valid].min() > 0.9999


def test_a_cut_begins_at_zero_with_its_sound(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe(pts=[i * 512 for i in range(60)], audio="aac"))
    for form in (MP4, MKV):
        run = through(path, form, tmp_path, part=VideoOptions(start_s=0.5, end_s=1.0))
        got = [t for t, _ in frames_of(run.out)]
        assert ticks(got, run.info.time_base) == [i * 512 for i in range(15)]
        assert run.facts["times"]["shift_ticks"] == 15 * 512
        source, copied = sound_of(path), sound_of(run.out)
        inside = [d for d, t in source if Fraction(1, 2) <= t < 1]
        assert [d for d, _ in copied] == inside
        moved = {d: t for d, t in source}
        assert all(abs(moved[d] - Fraction(1, 2) - t) < Fraction(1, 1000) for d, t in copied)


def test_no_audio_leaves_it_out(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe(audio="aac"))
    run = through(path, MP4, tmp_path, part=VideoOptions(audio=False))
    assert sound_of(run.out) == []
    assert run.facts["audio"] == "none"


def test_sound_that_mp4_cannot_hold_is_told(tmp_path: Path) -> None:
    recipe = Recipe(container="avi", codec="mpeg4", base=Fraction(1, 30), pts=range(6), audio="adpcm_ms")
    run = through(make(tmp_path / "a.avi", recipe), MP4, tmp_path)
    assert run.facts["audio"] == "left out"
    assert "adpcm_ms" in str(run.facts["audio_left_out"])
    assert len(frames_of(run.out)) == 6


def test_a_running_clock_is_set_back(tmp_path: Path) -> None:
    first = 90_000 * 3600
    recipe = Recipe(container="mpegts", base=Fraction(1, 90000), pts=[first + i * 3000 for i in range(6)])
    run = through(make(tmp_path / "a.ts", recipe), MP4, tmp_path)
    assert ticks([t for t, _ in frames_of(run.out)], Fraction(1, 90000)) == [i * 3000 for i in range(6)]
    assert run.facts["times"]["shift_ticks"] > first // 2


@pytest.mark.parametrize("form", [MP4, MKV, FRAMES], ids=lambda f: f.name)
def test_nothing_stays_open_after_an_error(form: SinkFormat, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe(audio="aac"))
    (item,) = DRIVING.group([path], root=None)
    with DRIVING.open(item, ReadOptions(layers=frozenset())) as source:
        out = part_of(tmp_path, form.suffix(LayerKind.MASKS, source.info))
        frames = iter(source)
        with pytest.raises(RuntimeError), form.open(out, job(source.info, LayerKind.MASKS)) as sink:
            frame = next(frames)
            assert isinstance(frame, Frame)
            sink.write(frame, predict(frame))
            raise RuntimeError("the disk is on fire")
    open_now = [f.path for f in psutil.Process().open_files()]
    assert not [p for p in open_now if str(tmp_path) in p]


@pytest.mark.parametrize("form", [MP4, MKV, FRAMES], ids=lambda f: f.name)
def test_no_frame_makes_no_clip(form: SinkFormat, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe())
    (item,) = DRIVING.group([path], root=None)
    info = DRIVING.inspect(item, ReadOptions(layers=frozenset()))
    with form.open(part_of(tmp_path, form.suffix(LayerKind.MASKS, info)), job(info, LayerKind.MASKS)) as sink:
        with pytest.raises(InputError, match="not one frame"):
            sink.finish()


def test_a_picture_makes_no_clip(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    (item,) = DRIVING.group([path], root=None)
    info = DRIVING.inspect(item, ReadOptions(layers=frozenset()))
    for form in (MP4, MKV, FRAMES):
        with pytest.raises(UsageError):
            form.suffix(LayerKind.MASKS, info)
        with pytest.raises(UsageError), form.open(tmp_path / ".a.mp4", job(info, LayerKind.MASKS)):
            pass


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    size = (64, 96)
    path = make(tmp_path / "long.mp4", Recipe(size=size, pts=range(0, 3000 * 512, 512), audio="aac"))
    process = psutil.Process()
    (item,) = DRIVING.group([path], root=None)
    early = late = 0
    with DRIVING.open(item, ReadOptions(layers=frozenset())) as source:
        with MP4.open(part_of(tmp_path, ".mp4"), job(source.info, LayerKind.MASKS)) as sink:
            for count, frame in enumerate(source):
                assert isinstance(frame, Frame)
                sink.write(frame, predict(frame))
                if count == 600:
                    early = process.memory_info().rss
            late = process.memory_info().rss
            assert sink.finish()["frames"] == 3000
    # 2400 decoded frames would be 177 MB, as float.
    assert late - early < 12e6


REAL = ["driving/samples/solidWhiteRight.mp4", "driving/samples/test_video.mp4"]
CITIES = ["driving/roadwork/clips/boston.mp4", "driving/roadwork/clips/houston.mp4"]


@pytest.mark.parametrize("name", REAL)
def test_real_clips_with_sound(name: str, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / name
    run = through(path, MP4, tmp_path, part=VideoOptions(end_s=1.0))
    truth = [t for t, _ in frames_of(path) if t < 1]
    assert run.times == truth
    assert [t for t, _ in frames_of(run.out)] == truth
    wanted = [d for d, t in sound_of(path) if t < truth[-1] + Fraction(1, 25)]
    assert [d for d, _ in sound_of(run.out)] == wanted


@pytest.mark.parametrize("name", CITIES)
@pytest.mark.parametrize("form", [MP4, MKV], ids=lambda f: f.name)
def test_real_cities(name: str, form: SinkFormat, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / name
    run = through(path, form, tmp_path, LayerKind.DEPTH, VideoOptions(end_s=1.0))
    truth = [t for t, _ in frames_of(path) if t < 1]
    assert run.times == truth
    got = [t for t, _ in frames_of(run.out)]
    assert ticks(got, Fraction(1, 15360)) == ticks(truth, Fraction(1, 15360))


ALL_CITIES = (
    "boston charlotte chicago columbus detroit houston indianapolis jacksonville minneapolis philadelphia "
    "san_antonio san_francisco"
).split()


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL + [f"driving/roadwork/clips/{city}.mp4" for city in ALL_CITIES])
def test_every_real_clip_whole(name: str, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / name
    (item,) = DRIVING.group([path], root=None)
    outs = {form: part_of(tmp_path, f".{form.name}") for form in (MP4, MKV)}
    with ExitStack() as stack:
        source = stack.enter_context(DRIVING.open(item, ReadOptions(layers=frozenset())))
        assert isinstance(source.info, VideoInfo)
        base, shape = source.info.time_base, source.info.shape
        sinks = [
            stack.enter_context(form.open(out, job(source.info, LayerKind.MASKS)))
            for form, out in outs.items()
        ]
        nothing = Mask(ids=np.zeros(shape, np.uint8), valid=np.ones(shape, np.bool_), table=STREET)
        prediction = Prediction(layers=(nothing,), tokens_kept=1.0, seconds={})
        for frame in source:
            assert isinstance(frame, Frame)
            for sink in sinks:
                sink.write(frame, prediction)
        for sink in sinks:
            sink.finish()
    truth, sound = frames_of(path), [d for d, _ in sound_of(path)]
    for out in outs.values():
        got = frames_of(out)
        assert ticks([t for t, _ in got], base) == ticks([t for t, _ in truth], base)
        assert [s for _, s in got] == [s for _, s in truth]
        assert [d for d, _ in sound_of(out)] == sound


@pytest.mark.parametrize("form", [MP4, MKV], ids=lambda f: f.name)
def test_a_full_disk_is_told(form: SinkFormat, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe())
    out = part_of(tmp_path, f".{form.name}")
    out.symlink_to("/dev/full")
    with pytest.raises(OutputError) as caught:
        through(path, form, tmp_path)
    assert caught.value.message == "cannot write (No space left on device)"
    assert caught.value.subject == str(tmp_path / f"out.{form.name}")


def test_a_stride_is_told_to_the_encoder(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe())
    run = through(path, MKV, tmp_path, part=VideoOptions(vid_stride=3))
    assert run.facts["fps"] == pytest.approx(10)
    with av.open(str(run.out)) as clip:
        assert float(clip.streams.video[0].guessed_rate) == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("degrees", [None, 90])
def test_pixels_that_are_not_square_stay_so(degrees: int | None, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Recipe(aspect=Fraction(4, 3), turn_degrees=degrees))
    run = through(path, MP4, tmp_path)
    with av.open(str(run.out)) as clip:
        aspect = clip.streams.video[0].sample_aspect_ratio
    assert aspect == (Fraction(4, 3) if degrees is None else Fraction(3, 4))
    assert any("not square" in n for n in run.info.notices)
