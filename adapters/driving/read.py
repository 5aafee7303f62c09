"""Frames of a clip: in presentation order, with the times that the file gives them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import av
import numpy as np
from av.container import InputContainer

from banana_cli.adapter import InputItem, Unreadable
from banana_cli.errors import InputError
from banana_cli.options import ReadOptions
from banana_cli.types import Frame, Json, Modality, Provenance

from .bonnet import Bonnet
from .choose import Chooser
from .colour import ToRgb
from .glance import find_bonnet
from .info import BANDS, VIEWS, VideoInfo, with_bonnet
from .probe import REMEDY, inspect_video, open_container, reading, set_threads
from .seek import Landing, land, land_after
from .weave import Weaver

# Frames without a usable time that wait for the next good one; more are spaced evenly without it.
_WAIT_FOR_TIME = 8
_MOST_BAD_READS = 64


@dataclass(frozen=True, slots=True)
class _Shot:
    """A decoded picture; ``pts`` and ``duration`` in ticks of the stream's time base."""

    index: int
    pts: int | None
    duration: int
    picture: av.VideoFrame
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class _Timed(_Shot):
    pts: int


class VideoSource:
    """An open clip; iterate once."""

    def __init__(
        self,
        info: VideoInfo,
        container: InputContainer,
        landing: Landing,
        *,
        done: int = -1,
        bonnet: Bonnet | None = None,
    ) -> None:
        self._info = info
        self._own = None if bonnet is None else bonnet.cover
        self._valid = np.ones(info.shape, np.bool_) if bonnet is None else ~bonnet.cover
        self._done = done
        self._container = container
        self._landing = landing
        self._stream = container.streams[info.stream_index]
        self._rgb = ToRgb(info.colour)
        # The index of these files counts packets; other headers do not, or only guess.
        self._counted = container.format.name.startswith("mov")
        self._packets = 0
        self._hidden = 0  # packets that the file itself declares not to be shown

    @property
    def info(self) -> VideoInfo:
        """What is known before the first frame."""
        return self._info

    def __iter__(self) -> Iterator[Frame | Unreadable]:
        """The frames in presentation order; a damaged one as a value.

        At most a few decoded pictures are held at a time, whatever the clip's length.
        """
        for shot in self._selected(self._retimed(_woven(self._decoded()))):
            if shot.index > self._done:
                yield shot if isinstance(shot, Unreadable) else self._frame(shot)

    def _bad(self, index: int, message: str, count: int = 1) -> Unreadable:
        error = InputError(message, subject=self._info.item.subject, remedy=REMEDY)
        return Unreadable(index=index, error=error, count=count)

    def _decoded(self) -> Iterator[_Shot | Unreadable]:
        """All pictures from the landing point on; errors of the decoder as values."""
        set_threads(self._stream)
        index = self._landing.index
        for packet in self._demuxed():
            if isinstance(packet, str):
                yield self._bad(index, packet)
                index += 1
                continue
            try:
                pictures = packet.decode()
            except av.FFmpegError as exc:
                yield self._bad(index, f"frame {index} cannot be decoded ({exc.strerror or exc})")
                index += 1
                continue
            for picture in pictures:
                if self._landing.before(picture.pts):
                    continue
                yield self._shot(index, picture)
                index += 1
        yield from self._missing(index)

    def _demuxed(self) -> Iterator[av.Packet | str]:
        """Packets of the stream, and a text where the container itself is broken."""
        bad = 0
        while bad < _MOST_BAD_READS:
            try:
                for packet in self._container.demux(self._stream):
                    if packet.is_corrupt and self._counted:
                        continue  # the file ends within it; ``_missing`` tells
                    self._hidden += bool(packet.size and packet.is_discard)
                    self._packets += bool(packet.size and not packet.is_discard)
                    yield packet
                return
            except av.FFmpegError as exc:
                bad += 1
                yield f"the file is damaged here ({exc.strerror or exc})"

    def _missing(self, index: int) -> Iterator[Unreadable]:
        """One value if the file ends before what its header promises, or if the decoder swallowed frames."""
        promised = self._info.header_frames
        if not self._counted or self._landing.pts is not None or not promised:
            return
        if self._packets + self._hidden < promised:
            lost = promised - self._packets - self._hidden
            yield self._bad(index, f"the file is cut short: {lost} of {promised} frames are missing", lost)
        elif index < self._packets:
            lost = self._packets - index
            yield self._bad(index, f"{lost} of {promised} frames gave no picture", lost)

    def _shot(self, index: int, picture: av.VideoFrame) -> _Shot | Unreadable:
        if (picture.height, picture.width) != self._info.stored_shape:
            rows, cols = self._info.stored_shape
            return self._bad(index, f"frame {index} is {picture.width}x{picture.height}, not {cols}x{rows}")
        if picture.is_corrupt:
            return self._bad(index, f"frame {index} is damaged")
        return _Shot(index, picture.pts, picture.duration or 0, picture)

    def _nominal(self) -> int:
        """Ticks from a frame to the next at the average rate, at least one."""
        rate = self._info.average_rate
        return max(1, round(1 / (rate * self._info.time_base))) if rate else 1

    def _retimed(self, shots: Iterator[_Shot | Unreadable]) -> Iterator[_Timed | Unreadable]:
        """Give every picture a time later than the last; missing and repeated times are interpolated."""
        clock = _Clock(self._nominal())
        for shot in shots:
            if isinstance(shot, Unreadable):
                yield from clock.flush(None)
                yield shot
            else:
                yield from clock.take(shot)
        yield from clock.flush(None)

    def _selected(self, shots: Iterator[_Timed | Unreadable]) -> Iterator[_Timed | Unreadable]:
        chooser = Chooser(self._info)
        for shot in shots:
            if isinstance(shot, Unreadable):
                yield shot
                continue
            if chooser.past(shot.pts):
                return
            if chooser.wants(shot.pts):
                yield shot

    def _frame(self, shot: _Timed) -> Frame:
        info = self._info
        pixels = np.ascontiguousarray(info.turn.apply(self._rgb(shot.picture)))
        base = info.time_base
        extra: dict[str, Json] = {
            "pts": shot.pts,
            "time_base": [base.numerator, base.denominator],
            "duration": shot.duration,
        }
        if shot.repaired:
            extra["time_repaired"] = True
        return Frame(
            pixels=pixels,
            valid=self._valid,
            shown=self._own,
            bands=BANDS,
            views=VIEWS,
            modality=Modality.STREET,
            geometry=info.camera,
            provenance=Provenance(
                source=info.item.stem,
                index=shot.index,
                clip=str(info.path) if info.part.steady else None,
                time_s=float(shot.pts * base),
                extra=extra,
            ),
        )


def _woven(shots: Iterator[_Shot | Unreadable]) -> Iterator[_Shot | Unreadable]:
    """From the first interlaced picture on, whole pictures in place of woven fields; as many as come."""
    weaver = Weaver()
    waiting: deque[_Shot] = deque()

    def ready(pictures: list[av.VideoFrame]) -> Iterator[_Shot]:
        for picture in pictures:
            yield replace(waiting.popleft(), picture=picture)

    for shot in shots:
        if isinstance(shot, Unreadable):
            yield from ready(weaver.flush())
            yield shot
        elif waiting or shot.picture.interlaced_frame:
            waiting.append(shot)
            yield from ready(weaver.push(shot.picture))
        else:
            yield shot
    yield from ready(weaver.flush())


class _Clock:
    """Makes times strictly increasing; holds pictures with a bad time until the next good one."""

    def __init__(self, nominal: int) -> None:
        self._nominal = nominal
        self._last: int | None = None
        self._waiting: deque[_Shot] = deque()

    def take(self, shot: _Shot) -> Iterator[_Timed]:
        """The pictures whose time is now known, in order."""
        if shot.pts is None or (self._last is not None and shot.pts <= self._last):
            self._waiting.append(shot)
            if len(self._waiting) >= _WAIT_FOR_TIME:
                yield from self.flush(None)
            return
        yield from self.flush(shot.pts)
        # A run of repaired times may have overtaken this one.
        late = self._last is not None and shot.pts <= self._last
        pts = (self._last or 0) + 1 if late else shot.pts
        yield self._timed(shot, pts, repaired=late)

    def flush(self, until: int | None) -> Iterator[_Timed]:
        """Spread the waiting pictures evenly up to ``until``, or by the average rate."""
        count = len(self._waiting)
        last = self._last if self._last is not None else -self._nominal
        if until is not None and until - last > count:
            if self._last is None:
                last = until - self._nominal * (count + 1)
            times = [last + (until - last) * (i + 1) // (count + 1) for i in range(count)]
        else:
            times = [last + self._nominal * (i + 1) for i in range(count)]
        for pts in times:
            yield self._timed(self._waiting.popleft(), pts, repaired=True)

    def _timed(self, shot: _Shot, pts: int, *, repaired: bool) -> _Timed:
        self._last = pts
        return _Timed(shot.index, pts, shot.duration, shot.picture, repaired)


@contextmanager
def open_video(item: InputItem, options: ReadOptions) -> Iterator[VideoSource]:
    """Open a clip for reading. InputError if it cannot be read; UsageError for bad options."""
    info = inspect_video(item, options)
    bonnet = find_bonnet(info) if options.video.bonnet else None
    if options.video.bonnet:
        info = with_bonnet(info, bonnet)
    with reading(item.subject):
        landing = _landing(info, options)
        container = open_container(info.path)
        if not landing.reach(container, info.stream_index):
            container.close()
            landing, container = Landing(), open_container(info.path)
    try:
        done = options.done.index if options.done else -1
        yield VideoSource(info, container, landing, done=done, bonnet=bonnet)
    finally:
        container.close()


def _landing(info: VideoInfo, options: ReadOptions) -> Landing:
    """Where decoding begins. What chooses frames counts them, so a part of a clip is counted from its own."""
    done, part = options.done, info.part
    if done is None or not done.clean or part.fps is not None or part.vid_stride != 1 or part.start_s:
        return land(info)
    return land_after(info, done.index)


__all__ = ["VideoSource", "open_video"]
