"""Where to begin decoding for ``--start``: the key frame before it, and that frame's number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


# More leading pictures than any codec allows: a key frame's own number is not known before they came.
_LEADING = 32


def land_after(info: VideoInfo, index: int) -> Landing:
    """The last key frame that surely comes before frame ``index + 1``, for a clip whose first part is sound.

    From the beginning if times are missing, repeated or out of order, or if a packet is damaged: then
    frames can only be counted by decoding them.
    """
    if info.start_pts is None:
        return Landing()
    seen: set[int] = set()
    count, found = 0, Landing()
    with opened(info.path) as container:
        for packet in _sound(container.demux(container.streams[info.stream_index])):
            if packet is None or packet.pts in seen:
                return Landing()
            seen.add(packet.pts)
            if packet.is_keyframe and count + _LEADING <= index:
                found = Landing(packet.pts, packet.dts, count)
            elif found.before(packet.pts):
                found = replace(found, index=found.index + 1)
            count += 1
            if count > index:
                break
    return found


def _sound(packets: Iterable[av.Packet]) -> Iterator[av.Packet | None]:
    """Packets that are shown; None, and no more, at the first that is not as it should be."""
    try:
        for packet in packets:
            if not packet.size or packet.is_discard:
                continue
            if packet.pts is None or packet.dts is None or packet.is_corrupt:
                yield None
                return
            yield packet
    except av.FFmpegError:
        yield None


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
