"""A look through a clip before its first frame: small pictures from all over it, to find the own bonnet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from typing import Final, cast

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Interpolation, VideoReformatter

from banana_cli.adapter import Unreadable
from banana_cli.growing import is_growing
from banana_cli.types import U8, Frame

from .bonnet import WIDTH, Bonnet, Search
from .info import VideoInfo
from .probe import opened, set_threads

_EVERY: Final = Fraction(1, 6)
"""Seconds from picture to picture."""
_WHOLE_S: Final = 24
"""Clips up to here are looked through from their beginning; longer ones at ``_PLACES``."""
_PLACES, _PLACE_S = 8, 3
_MOST_FRAMES: Final = 900  # that are decoded, whatever a header says of times
_LEAST_COLS: Final = 160
_TALLEST: Final = 3  # rows a column


def find_bonnet(info: VideoInfo) -> Bonnet | None:
    """The own car in the clip, the same whichever part of it is read; None if it is not seen or not sure.

    What cannot be decoded is passed over: the run itself will tell.
    """
    rows, cols = info.shape
    if cols < _LEAST_COLS or rows > _TALLEST * cols:
        return None
    search = Search()
    with suppress(av.FFmpegError, OSError, ValueError), opened(info.path) as container:
        for grey in _pictures(info, container):
            search.add(grey)
            if search.is_full:
                break
    return search.found(info.shape)


def bonnet_in(shape: tuple[int, int], frames: Iterable[Frame | Unreadable]) -> Bonnet | None:
    """The same for frames (rows, columns) of numbered pictures."""
    search, size = Search(), (WIDTH, round(WIDTH * shape[0] / shape[1]))
    if shape[1] < _LEAST_COLS or shape[0] > _TALLEST * shape[1]:
        return None
    for frame in frames:
        if isinstance(frame, Frame):
            grey = np.rint(frame.pixels.mean(0)).astype(np.uint8)
            search.add(cast(U8, cv2.resize(grey, size, interpolation=cv2.INTER_AREA)))
        if search.is_full:
            break
    return search.found(shape)


def _pictures(info: VideoInfo, container: InputContainer) -> Iterator[U8]:
    stream = next(s for s in container.streams.video if s.index == info.stream_index)
    set_threads(stream)
    stream.codec_context.skip_frame = "NONREF"  # others are of no less use, and cheaper
    small = _Small(info)
    places = _places(info)
    for place in places:
        if place is not None:
            container.seek(place, stream=stream, backward=True)
        seconds, most = (_PLACE_S, _MOST_FRAMES // _PLACES) if len(places) > 1 else (_WHOLE_S, _MOST_FRAMES)
        yield from map(small, _spaced(islice(container.decode(stream), most), info.time_base, seconds))


def _places(info: VideoInfo) -> list[int | None]:
    """Ticks from where to look; None: from where the clip begins, as in one that is still coming."""
    frames, rate = info.header_frames, info.average_rate
    if is_growing(info.path) or not frames or not rate or info.start_pts is None or frames / rate <= _WHOLE_S:
        return [None]
    ticks = frames / rate / info.time_base
    return [info.start_pts + round(ticks * k / _PLACES) for k in range(_PLACES)]


def _spaced(pictures: Iterator[av.VideoFrame], base: Fraction, seconds: int) -> Iterator[av.VideoFrame]:
    """Pictures that are ``_EVERY`` apart or more, of so many seconds."""
    first = due = None
    for picture in pictures:
        if picture.pts is None or picture.is_corrupt:
            continue
        now = picture.pts * base
        first = now if first is None else first
        if now - first > seconds:
            return
        if due is None or now >= due:
            due = now + _EVERY
            yield picture


class _Small:
    """Pictures of a clip upright, grey and ``WIDTH`` wide."""

    def __init__(self, info: VideoInfo) -> None:
        rows, cols = info.shape
        self._turn = info.turn
        self._size = info.turn.shape((round(WIDTH * rows / cols), WIDTH))  # swaps are their own inverse
        self._scaler = VideoReformatter()

    def __call__(self, picture: av.VideoFrame) -> U8:
        rows, cols = self._size
        grey = self._scaler.reformat(
            picture, width=cols, height=rows, format="gray", interpolation=Interpolation.AREA
        )
        return np.ascontiguousarray(self._turn.apply(grey.to_ndarray()))
