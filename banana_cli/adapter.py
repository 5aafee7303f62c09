"""The door for domains, tasks and formats: three small contracts and their discovery.

Built-ins use the same entry points as anybody else's package:

    [project.entry-points."banana.adapters"]   name = "module:ADAPTER"
    [project.entry-points."banana.tasks"]      name = "module:TASK"
    [project.entry-points."banana.sinks"]      name = "module:FORMAT"
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from banana_cli.errors import BananaError, InputError
from banana_cli.options import ReadOptions
from banana_cli.types import (
    U8,
    ClassTable,
    Domain,
    Frame,
    Json,
    Layer,
    LayerKind,
    Modality,
    ModelFacts,
    Prediction,
    RawMaps,
)

SNIFF_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A bad frame as a value: a generator that raises is finished, this one goes on.

    ``count``: how many frames from ``index`` on it stands for.
    """

    index: int
    error: BananaError
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InputItem:
    """One job: the files that belong together, and the stem of its outputs' names.

    ``folder`` is where the outputs lie relative to the output root (the mirrored tree). ``url``: the user
    named a file on the web, of which ``paths`` holds the beginning only.
    """

    paths: tuple[Path, ...]
    stem: str
    folder: Path = Path()
    url: str | None = None

    @property
    def subject(self) -> str:
        """What error messages call this input."""
        first = str(self.paths[0])
        return first if len(self.paths) == 1 else f"{self.paths[0].parent} ({self.stem})"


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """What is known of an input before its first frame. Adapters subclass it for their own sinks.

    ``shape`` is the output's (rows, columns); ``frames`` the expected count or None; ``facts`` what
    ``banana info`` shows and the sidecar keeps (time base, spacing, CRS ...), never an identity.
    ``formats`` maps each layer that this input can give to its default format's name.
    """

    item: InputItem
    domain: Domain
    modality: Modality
    kind: str
    shape: tuple[int, int]
    frames: int | None
    formats: Mapping[LayerKind, str]
    facts: Mapping[str, Json] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


class Source(Protocol):
    """An open input."""

    @property
    def info(self) -> SourceInfo:
        """What is known before the first frame."""

    def __iter__(self) -> Iterator[Frame | Unreadable]:
        """The frames in order; a bad one as a value."""


class Adapter(Protocol):
    """One domain's reader."""

    name: str
    domain: Domain
    accepts: frozenset[str]
    """Names of the command-line options (without dashes) that this adapter obeys."""

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the content (``head``: its first SNIFF_BYTES bytes) is this adapter's."""

    def group(self, paths: Sequence[Path], *, root: Path | None) -> Sequence[InputItem]:
        """Jobs for files of this adapter; ``root`` is the folder they were found in, if one was given."""

    def inspect(self, item: InputItem, options: ReadOptions) -> SourceInfo:
        """What ``banana info`` shows; reads headers only. InputError if it cannot be read."""

    def open(self, item: InputItem, options: ReadOptions) -> AbstractContextManager[Source]:
        """Open for reading frames. InputError if it cannot be read."""


@runtime_checkable
class ReadsAddresses(Protocol):
    """An adapter that can read parts of a file on the web (``InputItem.url``); the value is True."""

    reads_addresses: bool


@runtime_checkable
class Follows(Protocol):
    """An adapter that can read some inputs while they grow (``growing.is_growing``)."""

    def follows(self, head: bytes) -> bool:
        """Whether the content is of such a kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How values are painted; fixed for a whole run, never per frame or tile."""

    depth_near: float
    depth_far: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkJob:
    """What a sink must know of the output it writes. ``live``: it is read while it is written."""

    info: SourceInfo
    layer: LayerKind
    table: ClassTable
    look: Look
    model: ModelFacts
    software: str
    tasks: Mapping[LayerKind, Task]
    options: Mapping[str, Json] = field(default_factory=dict)
    live: bool = False


class Sink(Protocol):
    """An output being written."""

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Take one frame's layer; a prediction without the sink's layer is passed over."""

    def finish(self) -> dict[str, Json]:
        """Complete the file; returns the sidecar's facts on encoding, kind and unit of values."""


class ResumableSink(Sink, Protocol):
    """An output whose written part outlives the process."""

    def checkpoint(self) -> dict[str, Json]:
        """Put everything written so far safely on the disk; what ``resume`` needs to go on from here."""


@runtime_checkable
class ResumableFormat(Protocol):
    """A ``SinkFormat`` that can go on where a killed run was."""

    def resume(
        self, part: Path, job: SinkJob, work: Path, state: Mapping[str, Json] | None
    ) -> AbstractContextManager[ResumableSink]:
        """As ``open``, but segments are kept in the folder ``work`` (it may not be there yet).

        ``state`` is what ``checkpoint`` gave (None: begin anew); what ``work`` holds beyond it is dropped.
        ValueError if ``work`` does not hold what ``state`` says.
        """


@runtime_checkable
class LiveFormat(Protocol):
    """A ``SinkFormat`` whose ``live`` jobs write a file that only grows (``live`` is True)."""

    live: bool


@runtime_checkable
class ThingFormat(Protocol):
    """A ``SinkFormat`` that needs ``Prediction.instances`` (``things`` is True)."""

    things: bool


class SinkFormat(Protocol):
    """A format that ``--format`` can name."""

    name: str
    domains: frozenset[Domain]
    layers: frozenset[LayerKind]

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """ ".mp4" and so on; "" where the output is a folder."""

    def open(self, part: Path, job: SinkJob) -> AbstractContextManager[Sink]:
        """Write to ``part``, a temporary name beside the final one; the pipeline renames it."""


@runtime_checkable
class StoredFormat(Protocol):
    """A ``SinkFormat`` whose files can be read back as they are, whoever wrote them."""

    def stored(self, path: Path) -> Stored:
        """The numbers of one file. InputError if it is none of this format."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """Numbers as a file holds them, of any shape; ``facts``: what it tells of their code, {} if nothing."""

    numbers: NDArray[np.generic]
    facts: Mapping[str, Json] = field(default_factory=dict)


class Task(Protocol):
    """One kind of output."""

    name: str
    layer: LayerKind

    def decode(self, raw: RawMaps, frame: Frame, table: ClassTable) -> Layer:
        """Raw maps of the network at the frame's size -> the layer, masked by ``frame.valid``."""

    def paint(self, layer: Layer, look: Look) -> U8:
        """The layer as a picture (H, W, 3) RGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A plugin that could not be loaded, and why."""

    name: str
    group: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plugins:
    """Everything found behind one door."""

    found: Mapping[str, object]
    broken: tuple[Broken, ...]


def discover(group: str) -> Plugins:
    """Load all entry points of a group; a broken one is a value, not the end of the run."""
    found: dict[str, object] = {}
    broken: list[Broken] = []
    for point in sorted(entry_points(group=group), key=lambda p: p.name):
        try:
            found[point.name] = point.load()
        except Exception as exc:  # a foreign package may raise anything at import
            broken.append(Broken(name=point.name, group=group, reason=f"{type(exc).__name__}: {exc}"))
    return Plugins(found, tuple(broken))


def adapters() -> dict[str, Adapter]:
    """All adapters that load, by name."""
    return cast(dict[str, Adapter], dict(discover("banana.adapters").found))


def formats() -> dict[str, SinkFormat]:
    """All formats that load, by name."""
    return cast(dict[str, SinkFormat], dict(discover("banana.sinks").found))


def tasks() -> dict[str, Task]:
    """All tasks that load, by name."""
    return cast(dict[str, Task], dict(discover("banana.tasks").found))


def read_head(path: Path) -> bytes:
    """The first bytes of a file, for sniffing."""
    try:
        with path.open("rb") as file:
            return file.read(SNIFF_BYTES)
    except OSError as exc:
        raise InputError(
            exc.strerror or str(exc), subject=str(path), remedy="check the path and its permissions"
        ) from exc


_NUMBER = re.compile(r"%(0?)(\d*)d")


def numbered(pattern: Path) -> list[tuple[int, Path]]:
    """Files of a numbered pattern (``frame_%06d.png``), in order of their numbers; [] if it is none.

    As in FFmpeg: ``%06d`` is six digits or more with leading zeros, ``%d`` a number without.
    """
    parts = _NUMBER.split(pattern.name)
    if len(parts) != 4:
        return []
    before, zeros, width, after = parts
    least = int(width or 1) if zeros and width else 1
    wanted = re.compile(rf"{re.escape(before)}(\d{{{min(least, 99)},}}){re.escape(after)}")
    found = []
    try:
        names = os.listdir(pattern.parent)
    except OSError:
        return []
    for name in names:
        match = wanted.fullmatch(name)
        if match and (len(match[1]) <= least or match[1][0] != "0"):
            found.append((int(match[1]), pattern.with_name(name)))
    return sorted(found)
