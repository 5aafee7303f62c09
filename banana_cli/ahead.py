"""Threads beside the model: one reads a bounded number of items ahead, one works off what was handed on.

And one in which something is begun before anybody asks for it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
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


class Begun(Generic[T]):
    """Tasks done one after the other in one other thread, each for a key by which its result is taken.

    Without ``begin`` there is no thread: ``take`` does the task itself.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._tasks: deque[tuple[object, Future[T]]] = deque()

    def __len__(self) -> int:
        """How many results were not taken yet."""
        return len(self._tasks)

    def begin(self, key: object, task: Callable[[], T]) -> None:
        """Do the task soon. The caller sees to it that few wait."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="banana-ahead")
        self._tasks.append((key, self._thread.submit(task)))

    def take(self, key: object, task: Callable[[], T]) -> T:
        """The result of what was begun for this very key, or else of ``task``; raises what that raised.

        What was begun before it and not taken is forgotten.
        """
        while self._tasks:
            known, future = self._tasks.popleft()
            if known is key:
                return future.result()
            wait([future])
        return task()


class Lane:
    """Tasks done one after the other in one other thread, at most ``depth`` of them waiting.

    What a task raises is raised by a later call, and the tasks after it are not done.
    """

    def __init__(self, *, depth: int) -> None:
        self._depth = depth
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="banana-writer")
        self._waiting: deque[Future[None]] = deque()
        self._broken = False

    def do(self, task: Callable[[], None]) -> None:
        """Hand a task on; waits while too many wait already."""
        while len(self._waiting) >= self._depth:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._run, task))

    def _run(self, task: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            task()
        except BaseException:
            self._broken = True
            raise

    def wait(self) -> None:
        """Until all tasks are done."""
        while self._waiting:
            self._waiting.popleft().result()

    def end(self, last: Callable[[], None]) -> None:
        """Drop the tasks that wait, do ``last`` in the thread, and end it."""
        for future in self._waiting:
            future.cancel()
        self._waiting.clear()
        try:
            self._thread.submit(last).result()
        finally:
            self._thread.shutdown(wait=True)
