"""Sound packets of the input, copied unchanged into an output as its pictures arrive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction

import av
from av.container import InputContainer, OutputContainer

from banana_cli.types import Json

from .info import VideoInfo
from .probe import open_container


class AudioCopy:
    """Feeds the sound of a clip to a muxer, never further ahead than the pictures."""

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        self._source: InputContainer | None = None
        self._targets: dict[int, av.stream.Stream] = {}
        self._run_up_s: dict[int, Fraction] = {}
        self._left_out: list[str] = []
        self._packets: Iterator[av.Packet] = iter(())
        self._held: av.Packet | None = None
        self._count = 0
        self._since: Fraction | None = None
        self._shift = Fraction(0)
        self._scale = Fraction(1)
        self._problem = ""

    def attach(self, output: OutputContainer, container_name: str, *, live: bool = False) -> None:
        """Open the input's sound and declare its streams in the output.

        A ``live`` mp4 begins with a header that must know the sound; a transport stream's AAC tells it
        in its packets only, so that is left out.
        """
        if not self._info.audio:
            return
        self._source = source = open_container(self._info.path)
        for track in self._info.audio:
            stream = source.streams[track.index]
            if live and track.codec == "aac" and not stream.codec_context.extradata:
                self._left_out.append("aac of a transport stream cannot be in a growing mp4")
                continue
            try:
                target = output.add_stream_from_template(stream)
            except ValueError:
                self._left_out.append(f"{track.codec} cannot be in {container_name}")
                continue
            target.metadata.update(stream.metadata)
            self._targets[track.index] = target
            self._run_up_s[track.index] = _opus_run_up_s(stream)

    def start(self, since: Fraction | None, shift: Fraction, scale: Fraction) -> None:
        """Begin: leave out what lies before ``since`` seconds, move the rest ``shift`` seconds earlier.

        ``scale`` stretches the muxer's clock: its second counts ``scale`` real ones.
        """
        self._since, self._shift, self._scale = since, shift, scale
        source = self._source
        if source is None or not self._targets:
            return
        if since is not None:
            # Into the right part of the file; packets that are too early are dropped below.
            with suppress(av.FFmpegError):
                source.seek(max(0, int(since * av.time_base)), backward=True)
        streams = [source.streams[index] for index in self._targets]
        self._packets = source.demux(streams)
        self._held = self._next()

    def _next(self) -> av.Packet | None:
        """The next packet of the wanted part that has a time, or None at the end."""
        try:
            for packet in self._packets:
                if packet.size and packet.pts is not None and not self._early(packet):
                    return packet
        except av.FFmpegError as exc:
            self._problem = f"the sound ends where the file is damaged ({exc.strerror or exc})"
        return None

    def _early(self, packet: av.Packet) -> bool:
        return self._since is not None and packet.pts * packet.time_base < self._since

    def feed(self, output: OutputContainer, until: Fraction | None) -> None:
        """Mux packets before ``until`` seconds of the input (None: all)."""
        while self._held is not None:
            packet = self._held
            if until is not None and packet.pts * packet.time_base >= until:
                return
            self._mux(output, packet)
            self._held = self._next()

    def _mux(self, output: OutputContainer, packet: av.Packet) -> None:
        base = packet.time_base
        target = self._targets[packet.stream_index]
        shift = round(self._shift / base) - self._run_up(packet.stream_index, base)
        packet.pts -= shift
        if packet.dts is not None:
            packet.dts -= shift
        packet.time_base = base / self._scale
        packet.stream = target
        output.mux_one(packet)
        self._count += 1

    def _run_up(self, index: int, base: Fraction) -> int:
        """What the Matroska muxer will get wrong, in ticks: it adds Opus' run-up on its own clock."""
        if self._scale == 1:
            return 0
        # It rounds to its milliseconds, of which each is ``scale`` real ones.
        added = round(self._run_up_s[index] * 1000) * self._scale / 1000
        return round((self._run_up_s[index] - added) / base)

    def close(self) -> None:
        """Close the input; more than once does no harm."""
        if self._source is not None:
            self._source.close()
            self._source = None
        self._packets, self._held = iter(()), None

    def facts(self) -> dict[str, Json]:
        """What became of the sound."""
        if not self._info.audio:
            return {"audio": "none"}
        facts: dict[str, Json] = {"audio": "copied" if self._targets else "left out"}
        facts["audio_packets"] = self._count
        if self._left_out:
            facts["audio_left_out"] = list(self._left_out)
        if self._problem:
            facts["audio_problem"] = self._problem
        return facts


def _opus_run_up_s(stream: av.AudioStream) -> Fraction:
    """Seconds that an Opus decoder throws away at the beginning; 0 for other codecs."""
    context = stream.codec_context
    head = bytes(context.extradata or b"")
    if context.name not in ("opus", "libopus") or not head.startswith(b"OpusHead"):
        return Fraction(0)
    return Fraction(int.from_bytes(head[10:12], "little"), 48_000)
