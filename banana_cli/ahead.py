"""Reading ahead: an iterator that runs in its own thread, a bounded number of items before its user."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Stream = Generator[T, None, None]
_POLL_S = 0.1
_FAREWELL_S = 5.0


@dataclass(frozen=True, slots=True)
class _Item(Generic[T]):
    value: T
    seconds: float


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


def read_ahead(make: Callable[[], Stream[T]], *, depth: int) -> Stream[tuple[T, float]]:
    """Items of ``make()`` in order, each with the seconds it took, at most ``depth`` waiting.

    The iterator is made, advanced and closed in one thread. What it raises is raised here, in its
    place in the order. Closing this generator early stops and closes it too.
    """
    items: queue.Queue[_Item[T] | _End] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    reader = threading.Thread(target=_read, args=(make, items, stop), name="banana-reader", daemon=True)
    reader.start()
    try:
        while isinstance(entry := items.get(), _Item):
            yield entry.value, entry.seconds
        if entry.error is not None:
            raise entry.error
    finally:
        stop.set()
        reader.join(_FAREWELL_S)  # a library stuck in a read must not keep the program


def _read(make: Callable[[], Stream[T]], items: queue.Queue[_Item[T] | _End], stop: threading.Event) -> None:
    error: BaseException | None = None
    try:
        with closing(make()) as source:
            _pass_on(source, items, stop)
    except BaseException as exc:  # whatever it is, it is raised again where the items are used
        error = exc
    _put(items, _End(error), stop)


def _pass_on(source: Stream[T], items: queue.Queue[_Item[T] | _End], stop: threading.Event) -> None:
    started = time.perf_counter()
    for value in source:
        if not _put(items, _Item(value, time.perf_counter() - started), stop):
            return
        started = time.perf_counter()


def _put(items: queue.Queue[_Item[T] | _End], entry: _Item[T] | _End, stop: threading.Event) -> bool:
    """Wait for room; False once nobody takes items any more."""
    while not stop.is_set():
        try:
            items.put(entry, timeout=_POLL_S)
            return True
        except queue.Full:
            continue
    return False
