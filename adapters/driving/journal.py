"""Encoded pictures on the disk before there is a clip: what a kill leaves, the next run goes on with."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO

import av

_HEAD = struct.Struct("<qqqqB")


class Journal:
    """A file of packets that only grows; ``size`` bytes of an earlier run are kept, the rest is cut off."""

    def __init__(self, path: Path, size: int | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        if size is not None and (not path.exists() or path.stat().st_size < size):
            raise ValueError("the segments of the earlier run are damaged")
        self._file: IO[bytes] = path.open("ab")
        self._file.truncate(size or 0)

    def add(self, packet: av.Packet, duration: int) -> None:
        """Append a packet."""
        data = bytes(packet)
        self._file.write(_HEAD.pack(packet.pts, packet.dts, duration, len(data), packet.is_keyframe))
        self._file.write(data)

    def sync(self) -> int:
        """Make everything so far safe on the disk; its size."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._path.stat().st_size

    def packets(self, base: Fraction) -> Iterator[av.Packet]:
        """All packets in order, counted in ``base``."""
        self._file.flush()
        with self._path.open("rb") as file:
            while head := file.read(_HEAD.size):
                pts, dts, duration, size, key = _HEAD.unpack(head)
                packet = av.Packet(file.read(size))
                packet.pts, packet.dts, packet.duration = pts, dts, duration
                packet.time_base, packet.is_keyframe = base, bool(key)
                yield packet

    def close(self) -> None:
        """Close the file; more than once does no harm."""
        self._file.close()
