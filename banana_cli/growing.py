"""Files that are read while they are written: bytes from a pipe, and results on their way into one.

While a file grows, a marker stands beside it (``<name>.growing``), so that any reader can tell that the
end of the file is not the end of the data.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import BinaryIO

_CHUNK = 1 << 20
_POLL_S = 0.005


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.growing")


def is_growing(path: Path) -> bool:
    """Whether more may come."""
    return _marker(path).exists()


class Inflow:
    """Bytes of a pipe on their way into a file, in a thread of its own."""

    def __init__(self, source: BinaryIO, path: Path) -> None:
        self._source, self._path = source, path
        self._size = 0
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._pour, name="banana-inflow", daemon=True)
        path.touch()
        _marker(path).touch()
        self._thread.start()

    def _pour(self) -> None:
        read = getattr(self._source, "read1", self._source.read)  # what is there, not a whole chunk
        try:
            with self._path.open("wb", buffering=0) as file:
                while not self._stop.is_set() and (data := read(_CHUNK)):
                    file.write(data)
                    self._size += len(data)
        except BaseException as exc:  # told where the bytes are waited for
            self._error = exc
        finally:
            _marker(self._path).unlink(missing_ok=True)

    def wait(self, size: int | None = None) -> None:
        """Until so many bytes are there (None: all). Raises what went wrong on the way."""
        while self._thread.is_alive() and (size is None or self._size < size):
            self._thread.join(_POLL_S if size is not None else 0.1)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Let readers find the end; a source that never ends is left to itself."""
        self._stop.set()
        _marker(self._path).unlink(missing_ok=True)


class GrowingFile:
    """A file for reading that waits at its end until there is more, or nothing more can come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self.name = path.name

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, at least one but at the very end."""
        while True:
            growing = is_growing(self._path)  # asked first: what is missed now is seen by the next read
            data: bytes = self._file.read(size)
            if data or not growing:
                return data
            time.sleep(_POLL_S)

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file; -1 for the end while nobody knows it."""
        if whence == 2 and is_growing(self._path):
            return -1
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    __del__ = close  # libraries that are handed a file object do not close it


class Outflow:
    """A file that grows, on its way into a pipe, in a thread of its own; it may not be there yet."""

    def __init__(self, path: Path, sink: BinaryIO) -> None:
        self._path, self._sink = path, sink
        self._error: BaseException | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._pour, name="banana-outflow", daemon=True)
        self._thread.start()

    def _pour(self) -> None:
        try:
            while not self._path.exists() and not self._done.wait(_POLL_S):
                pass
            if self._path.exists():
                with self._path.open("rb", buffering=0) as file:
                    self._follow(file)
            self._sink.flush()
        except BaseException as exc:  # raised by check
            self._error = exc

    def _follow(self, file: BinaryIO) -> None:
        while True:
            done = self._done.is_set()  # asked first: all of it stands in the file then
            while data := file.read(_CHUNK):
                self._sink.write(data)
                self._sink.flush()
            if done:
                return
            self._done.wait(_POLL_S * 4)

    def check(self) -> None:
        """Raise what went wrong, such as a reader that left."""
        if self._error is not None:
            raise self._error

    def finish(self, final: Path) -> None:
        """The file is complete, under this name: pass the rest on. Raises what went wrong."""
        self._path = final
        self._done.set()
        self._thread.join()
        self.check()
