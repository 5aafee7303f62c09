"""Writing clips: pictures encoded with the input's own times, its sound copied beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import NoReturn, cast

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from banana_cli.atomic import final_name, writing
from banana_cli.errors import InputError
from banana_cli.types import U8, Frame, Json

from .audio import AudioCopy
from .colour import EXACT
from .info import VideoInfo
from .journal import Journal
from .matroska import set_timestamp_scale, timestamp_scale_ns

# Clips of a running clock (transport streams) may begin hours after 0; a player would wait for that.
_LATEST_START_S = 60
_MOST_TIMESCALE = 2**31 - 1
_BT709, _LIMITED = 1, 1
_PHOTOGRAPH = {"crf": "18", "preset": "veryfast"}
# Nothing to please the eye with: half the time at the same error, for a quarter more bytes.
_DRAWN = {"crf": "22", "preset": "superfast", "x264-params": "no-psy=1:aq-mode=0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How pictures are coded. ``exact``: the decoder gives the very RGB values back.

    ``live``: the file is read while it grows, so it comes in fragments and nothing of it changes later.
    ``wide``: pictures of the clip's size side by side in each of the coded ones.
    """

    container: str
    codec: str
    pixel_format: str
    exact: bool
    options: dict[str, str] = field(default_factory=dict)
    live: bool = False
    wide: int = 1

    def describe(self) -> dict[str, Json]:
        """Facts for the sidecar."""
        facts: dict[str, Json] = {"container": self.container, "codec": self.codec}
        facts |= {"pixel_format": self.pixel_format, "exact": self.exact}
        if not self.exact:
            facts |= {"colour_matrix": "bt709", "colour_range": "limited"}
        return facts


def h264(shape: tuple[int, int], *, live: bool = False, wide: int = 1, drawn: bool = False) -> Encoding:
    """H.264 at exactly ``shape``, ``wide`` times as wide, without B-frames: packets come in order of time.

    4:2:0, which every player shows, can only crop to even sizes. A picture with an odd side is
    coded 4:4:4 instead: padding would change the size, and the container's clean-aperture box is
    ignored by most readers. Browsers' and FFmpeg's software decoders show it; some hardware does not.
    ``drawn``: colours of a layer alone, without the grain of a photograph.
    """
    even = shape[0] % 2 == 0 and shape[1] * wide % 2 == 0
    pixel_format = "yuv420p" if even else "yuv444p"
    if "libx264" in av.codecs_available:
        options = {**(_DRAWN if drawn else _PHOTOGRAPH), "bf": "0"}
        options |= {"tune": "zerolatency"} if live else {}
        return Encoding(
            container="mp4",
            codec="libx264",
            pixel_format=pixel_format,
            exact=False,
            options=options,
            live=live,
            wide=wide,
        )
    for name in ("libopenh264", "h264_videotoolbox", "h264_mf"):
        if name in av.codecs_available and even:
            return Encoding(
                container="mp4",
                codec=name,
                pixel_format="yuv420p",
                exact=False,
                options={"bf": "0"},
                live=live,
                wide=wide,
            )
    return Encoding(
        container="mp4",
        codec="mpeg4",
        pixel_format="yuv420p",
        exact=False,
        options={"qscale": "2", "bf": "0"},
        live=live,
        wide=wide,
    )


def ffv1() -> Encoding:
    """FFV1 version 3, every picture a key frame, with checksums."""
    options = {"level": "3", "g": "1", "slices": "4", "slicecrc": "1", "context": "0", "coder": "1"}
    return Encoding(container="matroska", codec="ffv1", pixel_format="bgr0", exact=True, options=options)


@dataclass(slots=True)
class _Told:
    """What is known of the pictures so far, in ticks; ``origin`` is taken off all times."""

    first_pts: int | None = None
    last_pts: int = 0
    end: int = 0
    origin: int = 0
    count: int = 0
    repaired: int = 0

    def to_json(self) -> dict[str, Json]:
        """As the state of a checkpoint."""
        return dict(asdict(self))

    @classmethod
    def from_json(cls, state: Mapping[str, Json]) -> _Told:
        """Inverse of ``to_json``. ValueError if it is none."""
        told = cls()
        for name in cls.__slots__:
            value = state.get(name)
            if not isinstance(value, int):
                raise ValueError(f"the earlier run does not say its {name}")
            setattr(told, name, value)
        return told


class ClipWriter:
    """One clip being written; ``close`` in every case, ``finish`` to complete it.

    With a ``journal`` the coded pictures wait there, and the clip itself is made of them by ``finish``;
    ``state`` is what ``checkpoint`` of an earlier writer gave.
    """

    def __init__(
        self,
        part: Path,
        info: VideoInfo,
        encoding: Encoding,
        *,
        journal: Journal | None = None,
        state: Mapping[str, Json] | None = None,
    ) -> None:
        self._part, self._info, self._encoding, self._journal = part, info, encoding, journal
        self._audio = AudioCopy(info)
        self._scaler = VideoReformatter()
        self._durations: dict[int, int] = {}
        self._last: tuple[U8, av.VideoFrame] | None = None  # a picture and what the encoder gets of it
        self._told = _Told.from_json(state) if state else _Told()
        self._scale_ns = timestamp_scale_ns(info.time_base) if encoding.container == "matroska" else None
        self._encoder: av.VideoCodecContext | None = None
        self._container: OutputContainer | None = None
        self._started = False
        if journal is None:
            self._begin()

    def _begin(self) -> None:
        """Open the file and declare its streams."""
        self._container = av.open(
            str(self._part), "w", format=self._encoding.container, container_options=self._container_options()
        )
        try:
            rate = _output_rate(self._info)
            added = self._container.add_stream(
                self._encoding.codec, rate=rate, options=dict(self._encoding.options)
            )
            self._stream = cast(av.VideoStream, added)
            self._describe(self._stream.codec_context)
            name = "mp4" if self._encoding.container == "mp4" else "mkv"
            self._audio.attach(self._container, name, live=self._encoding.live)
        except BaseException:
            self.close()
            raise

    def _container_options(self) -> dict[str, str]:
        # Packets come in order already; the muxer need not hold any back for a sparse sound track.
        options = {"fflags": "+bitexact", "max_interleave_delta": "100000"}
        if self._encoding.live:
            flags = "+delay_moov+default_base_moof+frag_keyframe"
            scale = {"video_track_timescale": str(self._info.time_base.denominator)}
            return options | scale | {"movflags": flags, "frag_duration": "200000", "flush_packets": "1"}
        if self._encoding.container == "matroska":
            # Sound may begin before 0 (an encoder's run-up); the format can say so, nothing need move.
            return options | {"write_crc32": "0", "avoid_negative_ts": "disabled"}
        # Ticks of the track are the input's; the edit list that begins it must be able to say them too.
        ticks = self._info.time_base.denominator
        common = lcm(ticks, *(t.rate_hz for t in self._info.audio if t.rate_hz))
        movie = next((m for m in (lcm(common, 1000), common) if m <= _MOST_TIMESCALE), ticks)
        scales = {"video_track_timescale": str(ticks), "movie_timescale": str(movie)}
        return options | {"movflags": "+faststart"} | (scales if ticks <= _MOST_TIMESCALE else {})

    def _describe(self, context: av.VideoCodecContext) -> None:
        """Say what the pictures are; the encoder and the stream that carries its packets must agree."""
        info, encoding = self._info, self._encoding
        context.height, context.width = info.shape[0], info.shape[1] * encoding.wide
        context.pix_fmt = encoding.pixel_format
        context.time_base = info.time_base
        context.sample_aspect_ratio = info.sample_aspect
        if not encoding.exact:
            context.color_range = _LIMITED
            context.colorspace = context.color_primaries = context.color_trc = _BT709

    def _new_encoder(self) -> av.VideoCodecContext:
        context = cast(av.VideoCodecContext, av.CodecContext.create(self._encoding.codec, "w"))
        context.framerate = _output_rate(self._info)
        context.bit_rate = 0
        context.options = dict(self._encoding.options)
        context.flags |= Flags.global_header
        self._describe(context)
        return context

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with writing(final_name(self._part)):
            try:
                yield
            except av.FFmpegError as exc:
                raise OSError(exc.errno, exc.strerror) from exc

    def write(self, rgb: U8, frame: Frame) -> None:
        """Add the picture (H, W, 3) with the time of ``frame``. OutputError if it cannot be written.

        The very array of the last call is that picture again: it may not have been written into.
        """
        pts, duration = frame_ticks(frame)
        duration = duration or self._usual_duration()
        told = self._told
        if told.first_pts is None:
            told.first_pts = pts
            told.origin = self._origin(pts)
        told.last_pts, told.end = pts, pts + duration
        told.count += 1
        told.repaired += bool(frame.provenance.extra.get("time_repaired"))
        self._durations[pts - told.origin] = duration
        if self._last is None or self._last[0] is not rgb:
            self._last = rgb, self._picture(rgb)
        picture = self._last[1]
        picture.pts = pts - told.origin
        picture.time_base = self._info.time_base
        if self._encoder is None:
            self._encoder = self._new_encoder()
        with self._writing():
            self._take(self._encoder.encode(picture))

    def _usual_duration(self) -> int:
        rate = self._info.average_rate
        return max(1, round(1 / (rate * self._info.time_base))) if rate else 1

    def _origin(self, pts: int) -> int:
        """What is taken off all times: a cut clip begins at 0, and so does one of a running clock."""
        late = pts * self._info.time_base > _LATEST_START_S
        return pts if late or self._info.part.start_s is not None else 0

    def _start_audio(self) -> None:
        told, base = self._told, self._info.time_base
        scale = Fraction(1) if self._scale_ns is None else Fraction(self._scale_ns, 1_000_000)
        cut = self._info.part.start_s is not None and told.first_pts is not None
        since = (told.first_pts or 0) * base if cut else None
        self._audio.start(since, told.origin * base, scale)

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

    def _take(self, packets: list[av.Packet]) -> None:
        """Packets of the encoder go into the journal, or else into the clip."""
        for packet in packets:
            duration = self._durations.pop(packet.pts, 0)
            if self._journal is not None:
                self._journal.add(packet, duration)
            else:
                packet.duration = duration
                self._mux(packet)

    def _mux(self, packet: av.Packet) -> None:
        if self._container is None:
            raise TypeError("a packet came before the file was opened")
        if not self._started:
            self._start_audio()
            self._started = True
        self._audio.feed(self._container, (packet.pts + self._told.origin) * self._info.time_base)
        packet.stream = self._stream
        self._retime(packet)
        self._container.mux_one(packet)

    def _flush(self) -> None:
        """Take what the encoder still holds; the next picture begins a new run of it."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            self._take(encoder.encode(None))

    def checkpoint(self) -> dict[str, Json]:
        """End a segment: all pictures so far are in the journal, safe on the disk. Facts to go on from."""
        if self._journal is None:
            raise TypeError("a clip without a journal has no checkpoints")
        with self._writing():
            self._flush()
            return {**self._told.to_json(), "bytes": self._journal.sync()}

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
        if self._told.first_pts is None:
            self._refuse()
        with self._writing():
            self._flush()
            if self._journal is not None:
                self._begin()
                for packet in self._journal.packets(self._info.time_base):
                    self._mux(packet)
            if self._container is not None:
                end = self._told.end * self._info.time_base
                self._audio.feed(self._container, end if self._info.part.end_s is not None else None)
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
        base, told = self._info.time_base, self._told
        times: dict[str, Json] = {
            "first_pts": told.first_pts,
            "count": told.count,
            "time_base": str(base),
            "shift_ticks": told.origin,
            "repaired": told.repaired,
        }
        if self._scale_ns is not None:
            unit = Fraction(self._scale_ns, 1_000_000_000)
            times["file_time_base"] = str(unit)
            times["time_error_ms"] = 0.0 if (base / unit).denominator == 1 else float(unit * 500)
        return {
            **self._encoding.describe(),
            "frames": told.count,
            "fps": self._measured_rate(),
            "times": times,
            **self._audio.facts(),
        }

    def _measured_rate(self) -> float | None:
        """Frames per second from the first frame to the last, as written."""
        told = self._told
        if told.count < 2 or told.first_pts is None:
            return None
        return float((told.count - 1) / ((told.last_pts - told.first_pts) * self._info.time_base))

    def close(self) -> None:
        """Let go of everything; what is not finished by now stays incomplete."""
        # An unfinished clip is thrown away; its muxer may complain about what is missing.
        with suppress(av.FFmpegError, OSError, ValueError):
            if self._container is not None:
                self._container.close()
        if self._journal is not None:
            self._journal.close()
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
