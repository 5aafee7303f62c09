"""Writing clips: pictures encoded with the input's own times, its sound copied beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import NoReturn, cast

import av
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from banana_cli.atomic import final_name, writing
from banana_cli.errors import InputError
from banana_cli.types import U8, Frame, Json

from .audio import AudioCopy
from .colour import EXACT
from .info import VideoInfo
from .matroska import set_timestamp_scale, timestamp_scale_ns

# Clips of a running clock (transport streams) may begin hours after 0; a player would wait for that.
_LATEST_START_S = 60
_MOST_TIMESCALE = 2**31 - 1
_BT709, _LIMITED = 1, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How pictures are coded. ``exact``: the decoder gives the very RGB values back."""

    container: str
    codec: str
    pixel_format: str
    exact: bool
    options: dict[str, str] = field(default_factory=dict)

    def describe(self) -> dict[str, Json]:
        """Facts for the sidecar."""
        facts: dict[str, Json] = {"container": self.container, "codec": self.codec}
        facts |= {"pixel_format": self.pixel_format, "exact": self.exact}
        if not self.exact:
            facts |= {"colour_matrix": "bt709", "colour_range": "limited"}
        return facts


def h264(shape: tuple[int, int]) -> Encoding:
    """H.264 at exactly ``shape``, without B-frames, so that decode order is presentation order.

    4:2:0, which every player shows, can only crop to even sizes. A picture with an odd side is
    coded 4:4:4 instead: padding would change the size, and the container's clean-aperture box is
    ignored by most readers. Browsers' and FFmpeg's software decoders show it; some hardware does not.
    """
    even = shape[0] % 2 == 0 and shape[1] % 2 == 0
    pixel_format = "yuv420p" if even else "yuv444p"
    if "libx264" in av.codecs_available:
        options = {"crf": "18", "preset": "veryfast", "bf": "0"}
        return Encoding(
            container="mp4", codec="libx264", pixel_format=pixel_format, exact=False, options=options
        )
    for name in ("libopenh264", "h264_videotoolbox", "h264_mf"):
        if name in av.codecs_available and even:
            return Encoding(
                container="mp4", codec=name, pixel_format="yuv420p", exact=False, options={"bf": "0"}
            )
    return Encoding(
        container="mp4",
        codec="mpeg4",
        pixel_format="yuv420p",
        exact=False,
        options={"qscale": "2", "bf": "0"},
    )


def ffv1() -> Encoding:
    """FFV1 version 3, every picture a key frame, with checksums."""
    options = {"level": "3", "g": "1", "slices": "4", "slicecrc": "1", "context": "0", "coder": "1"}
    return Encoding(container="matroska", codec="ffv1", pixel_format="bgr0", exact=True, options=options)


class ClipWriter:
    """One clip being written; ``close`` in every case, ``finish`` to complete it."""

    def __init__(self, part: Path, info: VideoInfo, encoding: Encoding) -> None:
        self._part, self._info, self._encoding = part, info, encoding
        self._audio = AudioCopy(info)
        self._scaler = VideoReformatter()
        self._durations: dict[int, int] = {}
        self._count = 0
        self._repaired = 0
        self._first_pts: int | None = None
        self._last_pts: int | None = None
        self._origin = 0
        self._end = Fraction(0)
        self._scale_ns = timestamp_scale_ns(info.time_base) if encoding.container == "matroska" else None
        self._container: OutputContainer = av.open(
            str(part), "w", format=encoding.container, container_options=self._container_options()
        )
        try:
            self._stream = self._video_stream()
            self._audio.attach(self._container, "mp4" if encoding.container == "mp4" else "mkv")
        except BaseException:
            self.close()
            raise

    def _container_options(self) -> dict[str, str]:
        # Packets come in order already; the muxer need not hold any back for a sparse sound track.
        options = {"fflags": "+bitexact", "max_interleave_delta": "100000"}
        if self._encoding.container == "matroska":
            # Sound may begin before 0 (an encoder's run-up); the format can say so, nothing need move.
            return options | {"write_crc32": "0", "avoid_negative_ts": "disabled"}
        # Ticks of the track are the input's; the edit list that begins it must be able to say them too.
        ticks = self._info.time_base.denominator
        common = lcm(ticks, *(t.rate_hz for t in self._info.audio if t.rate_hz))
        movie = next((m for m in (lcm(common, 1000), common) if m <= _MOST_TIMESCALE), ticks)
        scales = {"video_track_timescale": str(ticks), "movie_timescale": str(movie)}
        return options | {"movflags": "+faststart"} | (scales if ticks <= _MOST_TIMESCALE else {})

    def _video_stream(self) -> av.VideoStream:
        info, encoding = self._info, self._encoding
        added = self._container.add_stream(
            encoding.codec, rate=_output_rate(info), options=dict(encoding.options)
        )
        stream = cast(av.VideoStream, added)
        context = stream.codec_context
        stream.height, stream.width = info.shape
        stream.pix_fmt = encoding.pixel_format
        context.time_base = info.time_base
        context.sample_aspect_ratio = info.sample_aspect
        if not encoding.exact:
            context.color_range = _LIMITED
            context.colorspace = context.color_primaries = context.color_trc = _BT709
        return stream

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with writing(final_name(self._part)):
            try:
                yield
            except av.FFmpegError as exc:
                raise OSError(exc.errno, exc.strerror) from exc

    def write(self, rgb: U8, frame: Frame) -> None:
        """Add the picture (H, W, 3) with the time of ``frame``. OutputError if it cannot be written."""
        pts, duration = frame_ticks(frame)
        duration = duration or self._usual_duration()
        if self._first_pts is None:
            self._begin(pts)
        self._last_pts = pts
        self._count += 1
        self._repaired += bool(frame.provenance.extra.get("time_repaired"))
        self._durations[pts - self._origin] = duration
        self._end = (pts + duration) * self._info.time_base
        picture = self._picture(rgb)
        picture.pts = pts - self._origin
        picture.time_base = self._info.time_base
        with self._writing():
            self._mux(self._stream.encode(picture))

    def _usual_duration(self) -> int:
        rate = self._info.average_rate
        return max(1, round(1 / (rate * self._info.time_base))) if rate else 1

    def _begin(self, pts: int) -> None:
        base = self._info.time_base
        self._first_pts = pts
        cut = self._info.part.start_s is not None
        late = pts * base > _LATEST_START_S
        self._origin = pts if cut or late else 0
        scale = Fraction(1) if self._scale_ns is None else Fraction(self._scale_ns, 1_000_000)
        since = pts * base if cut else None
        self._audio.start(since, self._origin * base, scale)

    def _picture(self, rgb: U8) -> av.VideoFrame:
        picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        if self._encoding.exact:
            return self._scaler.reformat(picture, format=self._encoding.pixel_format, threads=1)
        picture = self._scaler.reformat(
            picture,
            format=self._encoding.pixel_format,
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=EXACT,
            threads=1,
        )
        picture.color_range = _LIMITED
        picture.colorspace = picture.color_primaries = picture.color_trc = _BT709
        return picture

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            ticks = packet.pts
            self._audio.feed(self._container, (ticks + self._origin) * self._info.time_base)
            packet.duration = self._durations.pop(ticks, 0)
            self._retime(packet)
            self._container.mux_one(packet)

    def _retime(self, packet: av.Packet) -> None:
        """Express a packet in the unit that the Matroska file will have in the end."""
        if self._scale_ns is None:
            return
        unit = Fraction(self._scale_ns, 1_000_000_000)
        step = self._info.time_base / unit
        packet.duration = round((packet.pts + packet.duration) * step) - round(packet.pts * step)
        packet.pts = packet.dts = round(packet.pts * step)
        packet.time_base = Fraction(1, 1000)  # what the muxer believes

    def finish(self) -> dict[str, Json]:
        """Complete the file; facts for the sidecar. InputError if no frame came, OutputError."""
        if self._first_pts is None:
            self._refuse()
        with self._writing():
            self._mux(self._stream.encode(None))
            self._audio.feed(self._container, self._end if self._info.part.end_s is not None else None)
            self._container.close()
        if self._scale_ns is not None:
            set_timestamp_scale(self._part, self._scale_ns)
        self._audio.close()
        return self._facts()

    def _refuse(self) -> NoReturn:
        raise InputError(
            "not one frame could be read, so there is no clip to write",
            subject=self._info.item.subject,
            remedy="look at the clip with `banana info`",
        )

    def _facts(self) -> dict[str, Json]:
        base = self._info.time_base
        times: dict[str, Json] = {
            "first_pts": self._first_pts,
            "count": self._count,
            "time_base": str(base),
            "shift_ticks": self._origin,
            "repaired": self._repaired,
        }
        if self._scale_ns is not None:
            unit = Fraction(self._scale_ns, 1_000_000_000)
            times["file_time_base"] = str(unit)
            times["time_error_ms"] = 0.0 if (base / unit).denominator == 1 else float(unit * 500)
        return {
            **self._encoding.describe(),
            "frames": self._count,
            "fps": self._measured_rate(),
            "times": times,
            **self._audio.facts(),
        }

    def _measured_rate(self) -> float | None:
        """Frames per second from the first frame to the last, as written."""
        if self._count < 2 or self._first_pts is None or self._last_pts is None:
            return None
        return float((self._count - 1) / ((self._last_pts - self._first_pts) * self._info.time_base))

    def close(self) -> None:
        """Let go of everything; what is not finished by now stays incomplete."""
        # An unfinished clip is thrown away; its muxer may complain about what is missing.
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()
        self._audio.close()


def _output_rate(info: VideoInfo) -> Fraction:
    """About how many frames a second will come; encoders want to know, the times are each frame's own."""
    rate = info.average_rate
    usable = rate if rate and 0 < rate <= 1000 else Fraction(30)
    kept = usable / info.part.vid_stride
    if info.part.fps is not None:
        kept = min(kept, Fraction(info.part.fps))
    return max(kept, Fraction(1, 1000)).limit_denominator(65535)


def frame_ticks(frame: Frame) -> tuple[int, int]:
    """(time stamp, duration) of a frame of this adapter, in ticks of its clip's time base."""
    extra = frame.provenance.extra
    pts, duration = extra.get("pts"), extra.get("duration")
    if not isinstance(pts, int) or not isinstance(duration, int):
        raise TypeError("the frame is none of a clip: it has no time stamp")
    return pts, duration
