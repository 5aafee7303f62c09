"""Which frames of a clip a user asked for."""

from __future__ import annotations

from fractions import Fraction

from .info import VideoInfo


class Chooser:
    """Which frames ``--start --end --fps --vid-stride`` keep; exact in fractions."""

    def __init__(self, info: VideoInfo) -> None:
        part = info.part
        self._base = info.time_base
        self._origin = info.start_pts
        self._start = _seconds(part.start_s) or Fraction(0)
        self._end = _seconds(part.end_s)
        self._step = None if part.fps is None else 1 / Fraction(part.fps).limit_denominator(1_000_000)
        self._stride = part.vid_stride
        self._seen = 0
        self._due: Fraction | None = None

    def _since_start(self, pts: int) -> Fraction:
        if self._origin is None:
            self._origin = pts
        return (pts - self._origin) * self._base

    def past(self, pts: int) -> bool:
        """Whether this and all later frames lie behind ``--end`` (the end itself is out)."""
        return self._end is not None and self._since_start(pts) >= self._end

    def wants(self, pts: int) -> bool:
        """Whether the frame is kept; ask once a frame, in order."""
        time = self._since_start(pts)
        if time < self._start:
            return False
        seen, self._seen = self._seen, self._seen + 1
        if seen % self._stride:
            return False
        if self._step is None:
            return True
        if self._due is None:
            self._due = time
        if time < self._due:
            return False
        while self._due <= time:
            self._due += self._step
        return True


def _seconds(value: float | None) -> Fraction | None:
    return None if value is None else Fraction(value).limit_denominator(1_000_000_000)
