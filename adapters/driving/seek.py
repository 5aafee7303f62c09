"""Where to begin decoding for ``--start``: the key frame before it, and that frame's number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.container import InputContainer

from .info import VideoInfo
from .probe import opened


@dataclass(frozen=True, slots=True)
class Landing:
    """Decode from the key frame at ``pts``, which is frame ``index``; None: from the beginning.

    ``dts`` is when that key frame must be decoded: containers are searched by it.
    """

    pts: int | None = None
    dts: int = 0
    index: int = 0

    def before(self, pts: int | None) -> bool:
        """Whether a decoded picture precedes the landing point and is to be dropped."""
        return self.pts is not None and pts is not None and pts < self.pts

    def reach(self, container: InputContainer, stream_index: int) -> bool:
        """Move the container there; False if it did not get there and must be opened anew."""
        if self.pts is None:
            return True
        stream = container.streams[stream_index]
        try:
            container.seek(self.dts, stream=stream, backward=True)
            first = next((p for p in container.demux(stream) if p.size), None)
            if first is None or first.pts is None or first.pts > self.pts or not first.is_keyframe:
                return False
            # The look at the first packet has consumed it.
            container.seek(self.dts, stream=stream, backward=True)
        except av.FFmpegError:
            return False
        return True


def land(info: VideoInfo) -> Landing:
    """Count the frames before the last key frame that is not after ``--start``.

    Reads packets up to there without decoding them; a clip whose packets bear no times is
    decoded from its beginning.
    """
    if not info.part.start_s or info.start_pts is None:
        return Landing()
    wanted = info.start_pts + Fraction(info.part.start_s) / info.time_base
    with opened(info.path) as container:
        return _scan(container.demux(container.streams[info.stream_index]), wanted)


def _scan(packets: Iterable[av.Packet], wanted: Fraction) -> Landing:
    count, found = 0, Landing()
    for packet in packets:
        if not packet.size or packet.is_discard:
            continue
        if packet.pts is None or packet.dts is None:
            return Landing()
        if packet.is_keyframe and packet.pts <= wanted:
            found = Landing(packet.pts, packet.dts, count)
        elif found.before(packet.pts):
            # A leading picture: shown before its key frame, stored after it.
            found = replace(found, index=found.index + 1)
        if packet.dts > wanted:
            break
        count += 1
    return found
