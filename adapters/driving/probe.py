"""Opening clips safely, and what their headers and first picture tell."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
from av.container import InputContainer

from banana_cli.adapter import InputItem
from banana_cli.errors import InputError, UsageError, translate
from banana_cli.growing import GrowingFile, is_growing
from banana_cli.options import ReadOptions, VideoOptions
from banana_cli.types import Domain, Json, LayerKind, Modality

from .colour import read_colour
from .geometry import PinholeCamera, find_camera
from .info import MAX_PIXELS, AudioTrack, Colour, VideoInfo
from .turn import Turn, from_display_matrix

# Only local files, and no format that points to further files (playlists, concat lists, image patterns).
_PROTOCOLS = "file"
_FORMATS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,flv,asf,ogg,mxf,yuv4mpegpipe,ivf,nut,"
    "mp4,m4a,3gp,3g2,mj2"
)
REMEDY = "play it with another program; if it is broken, copy or convert it again"
_FIRST_PACKETS = 600
_INDEX_SAMPLE = 4096
_MOST_THREADS = 4


@contextmanager
def reading(subject: str) -> Iterator[None]:
    """FFmpeg's errors as InputError."""
    with translate(av.FFmpegError, OSError, ValueError, to=InputError, subject=subject, remedy=REMEDY):
        yield


def open_container(path: Path) -> InputContainer:
    """An ``av`` input container for a local file, whatever its name looks like."""
    options = {"protocol_whitelist": _PROTOCOLS, "format_whitelist": _FORMATS}
    if is_growing(path):
        growing: InputContainer = av.open(
            GrowingFile(path), options={"format_whitelist": _FORMATS}, metadata_errors="replace"
        )
        return growing
    # "file:" keeps names such as "concat:a|b" or "http://..." from being anything but names.
    container: InputContainer = av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace")
    return container


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """``open_container`` that is closed again."""
    container = open_container(path)
    try:
        yield container
    finally:
        container.close()


def set_threads(stream: av.VideoStream) -> None:
    """Decode on all cores, but not on so many that frames pile up in memory."""
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(_MOST_THREADS, av_cpus())


def av_cpus() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def inspect_video(item: InputItem, options: ReadOptions) -> VideoInfo:
    """What a clip is. InputError if it cannot be read or has no picture; UsageError for bad options."""
    check_part(options.video, item.subject)
    with reading(item.subject), opened(item.paths[0]) as container:
        stream, notices = best_stream(container, item.subject)
        first = _first_frame(container, stream, item.subject)
        return _info(item, options, container, stream, first, notices)


def check_part(part: VideoOptions, subject: str) -> None:
    """UsageError unless start, end, fps and stride make sense together."""
    for name, value, least in (("start", part.start_s, 0.0), ("end", part.end_s, 0.0)):
        if value is not None and not (math.isfinite(value) and value >= least):
            raise UsageError(
                f"--{name} {value} is no time", subject=subject, remedy="give seconds, 0 or more"
            )
    if part.end_s is not None and part.end_s <= (part.start_s or 0.0):
        raise UsageError(
            f"--end {part.end_s} is not after --start {part.start_s or 0.0}",
            subject=subject,
            remedy="give an --end that is later",
        )
    if part.fps is not None and not (math.isfinite(part.fps) and part.fps > 0):
        raise UsageError(
            f"--fps {part.fps} is no rate", subject=subject, remedy="give frames per second above 0"
        )
    if part.vid_stride < 1:
        raise UsageError(
            f"--vid-stride {part.vid_stride} is no step", subject=subject, remedy="give 1 or more"
        )


def best_stream(container: InputContainer, subject: str) -> tuple[av.VideoStream, tuple[str, ...]]:
    """The stream to read: no cover picture, the default one first, then the largest."""
    streams = [s for s in container.streams.video if not _is_cover(s) and s.codec_context is not None]
    if not streams:
        raise InputError(
            "there is no video in this file", subject=subject, remedy="give a file that has a video stream"
        )

    def rank(stream: av.VideoStream) -> tuple[bool, int, int]:
        default = bool(stream.disposition & stream.disposition.__class__.default)
        return default, stream.width * stream.height, -stream.index

    best = max(streams, key=rank)
    if len(streams) == 1:
        return best, ()
    return best, (f"{len(streams)} video streams; stream {best.index} ({best.width}x{best.height}) is read",)


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & stream.disposition.__class__.attached_pic)


@dataclass(frozen=True, slots=True)
class _First:
    shape: tuple[int, int]
    colour: Colour
    turn: Turn | None
    interlaced: bool
    transfer: int


def _first_frame(container: InputContainer, stream: av.VideoStream, subject: str) -> _First:
    """Properties of the first picture that can be decoded; only it knows the true size and colours."""
    _check_size(stream.width, stream.height, subject)
    stream.thread_type = "SLICE"  # frame threads would ask for more packets before the first picture
    for packet in islice(container.demux(stream), _FIRST_PACKETS):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames:
            return _properties(frame)
    raise InputError("not one picture of the video can be decoded", subject=subject, remedy=REMEDY)


def _properties(frame: av.VideoFrame) -> _First:
    return _First(
        shape=(frame.height, frame.width),
        colour=read_colour(frame),
        turn=frame_turn(frame),
        interlaced=bool(frame.interlaced_frame),
        transfer=int(frame.color_trc),
    )


def frame_turn(frame: av.VideoFrame) -> Turn | None:
    """The display matrix of a decoded frame as a turn; None if it is none of the eight."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return from_display_matrix(bytes(data))
    return Turn.NONE


def _check_size(width: int, height: int, subject: str) -> None:
    if width < 1 or height < 1:
        raise InputError("the video has no size", subject=subject, remedy=REMEDY)
    if width * height > MAX_PIXELS:
        raise InputError(
            f"pictures of {width}x{height} are more than {MAX_PIXELS} pixels",
            subject=subject,
            remedy="scale it down first",
        )


def _info(
    item: InputItem,
    options: ReadOptions,
    container: InputContainer,
    stream: av.VideoStream,
    first: _First,
    notices: tuple[str, ...],
) -> VideoInfo:
    turn = first.turn or Turn.NONE
    shape = turn.shape(first.shape)
    camera, camera_notices = find_camera(item.paths[0], shape, options.camera)
    audio = tuple(_track(s) for s in container.streams.audio if s.codec_context is not None)
    aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    return VideoInfo(
        item=item,
        domain=Domain.DRIVING,
        modality=Modality.STREET,
        kind="video",
        shape=shape,
        frames=_expected(container, stream, options.video),
        formats=dict.fromkeys(LayerKind, "mp4"),
        facts=_facts(container, stream, first, audio, camera),
        notices=notices + camera_notices + _notices(first, aspect),
        path=item.paths[0],
        stream_index=stream.index,
        time_base=stream.time_base,
        start_pts=stream.start_time,
        average_rate=stream.average_rate or None,
        header_frames=stream.frames or None,
        stored_shape=first.shape,
        turn=turn,
        sample_aspect=1 / aspect if turn.swaps else aspect,
        colour=first.colour,
        audio=audio if options.video.audio else (),
        camera=camera,
        part=options.video,
    )


def _expected(container: InputContainer, stream: av.VideoStream, part: VideoOptions) -> int | None:
    """Frames to come, where a header with a table of samples says it; a hint, never trusted."""
    header = stream.frames if container.format.name.startswith("mov") else 0
    if not header or part.start_s is not None or part.end_s is not None or part.fps is not None:
        return None
    return -(-header // part.vid_stride)


def _track(stream: av.VideoStream) -> AudioTrack:
    context = stream.codec_context
    return AudioTrack(
        index=stream.index, codec=context.name, rate_hz=context.sample_rate or 0, channels=context.channels
    )


_HDR = {16: "PQ", 18: "HLG"}


def _notices(first: _First, aspect: Fraction) -> tuple[str, ...]:
    told = []
    if first.turn is None:
        told.append("the display matrix is no quarter turn; it is not applied")
    if first.interlaced:
        told.append(
            "the video is interlaced; each picture is made whole of one field and its neighbours (bwdif)"
        )
    if first.transfer in _HDR:
        told.append(f"the brightness is coded in {_HDR[first.transfer]} (HDR); it is not mapped to SDR")
    if aspect != 1:
        told.append(
            f"pixels are not square ({aspect.numerator}:{aspect.denominator}); they are not resampled"
        )
    return tuple(told)


def _facts(
    container: InputContainer,
    stream: av.VideoStream,
    first: _First,
    audio: tuple[AudioTrack, ...],
    camera: PinholeCamera,
) -> dict[str, Json]:
    base, rate = stream.time_base, stream.average_rate
    return {
        "container": container.format.name,
        "codec": stream.codec_context.name,
        "stored_size": [first.shape[1], first.shape[0]],
        "turn": (first.turn or Turn.NONE).name.lower(),
        "duration_s": _duration(container, stream),
        "header_frames": stream.frames or None,
        "average_rate": None if not rate else str(rate),
        "frame_times": _spacing(stream),
        "time_base": str(base),
        "start_pts": stream.start_time,
        "colour": first.colour.describe(),
        "interlaced": first.interlaced,
        "audio": [t.describe() for t in audio],
        "camera": camera.describe(),
    }


def _duration(container: InputContainer, stream: av.VideoStream) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _spacing(stream: av.VideoStream) -> str:
    """ "constant" or "variable", from the container's index where it has one, else from its two rates."""
    try:
        stamps = [entry.timestamp for entry in islice(stream.index_entries, _INDEX_SAMPLE)]
    except (AttributeError, IndexError):
        stamps = []
    steps = [b - a for a, b in pairwise(stamps)]
    if len(steps) > 1:
        return "constant" if max(steps) - min(steps) <= 1 else "variable"
    return "constant" if stream.average_rate == stream.base_rate else "variable"
