"""From the words on a command line to jobs: files found, domains told by content, files grouped.

A file that was named must be of use, or it is an error of its own; a file that merely lies in a
named folder is passed over and counted.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from banana_cli import sidecar
from banana_cli.adapter import Adapter, Broken, InputItem, numbered, read_head
from banana_cli.errors import BananaError, InputError, UsageError
from banana_cli.types import Domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An input that an adapter reads."""

    item: InputItem
    adapter: Adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A named input that is of no use, and why."""

    subject: str
    error: BananaError


@dataclass(slots=True)
class Finding:
    """All inputs of a run; ``passed_over`` counts files in folders that no adapter takes into a job."""

    found: list[Found] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    passed_over: int = 0
    own: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """The adapters to ask, in order; with ``domain`` only its adapter is asked, and believes a named file."""

    adapters: Mapping[str, Adapter]
    broken: Sequence[Broken] = ()
    domain: Domain | None = None

    def of(self, path: Path) -> Adapter | None:
        """Who reads a file, by its content. InputError if the file itself cannot be read."""
        head = read_head(path)
        return next((a for a in self._asked() if head and _sniffs(a, path, head)), None)

    def named(self, path: Path) -> Adapter:
        """Who reads a file, or numbered files, that the user named. InputError if nobody does."""
        if not os.path.lexists(path):
            path = next((first for _, first in numbered(path)), path)
        if path.is_file() and not path.stat().st_size:
            raise InputError("is empty", subject=str(path), remedy="check where it came from; copy it again")
        if path.exists() and not path.is_file():
            raise InputError("is no regular file", subject=str(path), remedy="give its bytes on stdin, as -")
        adapter = self.of(path) or next((a for a in self._asked() if self.domain), None)
        if adapter is None:
            raise InputError(self._unknown(), subject=str(path), remedy=self._remedy())
        return adapter

    def _asked(self) -> list[Adapter]:
        return [a for a in self.adapters.values() if self.domain in (None, a.domain)]

    def _unknown(self) -> str:
        return "its content is no video, picture, DICOM or GeoTIFF that banana reads"

    def _remedy(self) -> str:
        if self.broken:
            return "; ".join(f"mend the plugin {b.name} ({b.reason})" for b in self.broken)
        return "convert it, or name its domain with --domain driving|medical|satellite"


def _sniffs(adapter: Adapter, path: Path, head: bytes) -> bool:
    try:
        return adapter.sniff(path, head)
    except BananaError:
        return False


def find(words: Sequence[str], readers: Readers) -> Finding:
    """Jobs for all inputs in the order of the words, and the named ones that are of no use."""
    finding = Finding()
    seen: set[Path] = set()
    loose: dict[str, list[Path]] = {}
    for path in _expand(words):
        if path.is_dir():
            _settle(loose, readers, finding)
            _walk_folder(path, readers, finding, seen)
        else:
            _take_named(path, readers, finding, seen, loose)
    _settle(loose, readers, finding)
    return finding


def _settle(loose: dict[str, list[Path]], readers: Readers, finding: Finding) -> None:
    """Group the named files so far; what belongs together may lie in several files."""
    for name, paths in loose.items():
        finding.found += _group(readers.adapters[name], paths, None, finding)
    loose.clear()


def _expand(words: Iterable[str]) -> Iterator[Path]:
    """Words as paths; a quoted glob is expanded here, a file whose name looks like one is a file."""
    for word in words:
        if not glob.has_magic(word) or os.path.lexists(word):
            yield Path(word)
            continue
        matches = sorted(glob.glob(word, recursive=True))
        yield from map(Path, matches or [word])


def _take_named(
    path: Path, readers: Readers, finding: Finding, seen: set[Path], loose: dict[str, list[Path]]
) -> None:
    if path in seen:
        return
    seen.add(path)
    try:
        adapter = readers.named(path)
    except BananaError as exc:
        finding.failed.append(Failed(subject=str(path), error=exc))
        return
    loose.setdefault(_name_of(adapter, readers), []).append(path)


def _name_of(adapter: Adapter, readers: Readers) -> str:
    return next(name for name, a in readers.adapters.items() if a is adapter)


def _walk_folder(root: Path, readers: Readers, finding: Finding, seen: set[Path]) -> None:
    """Everything below a folder, grouped by the adapter that reads it."""
    mine: dict[str, list[Path]] = {}
    before = len(finding.found) + len(finding.failed)
    named = False
    for path in _files_below(root, finding):
        if path in seen:
            named = True
            continue
        seen.add(path)
        try:
            adapter = readers.of(path)
        except InputError as exc:
            finding.failed.append(Failed(subject=str(path), error=exc))
            continue
        if adapter is None:
            finding.passed_over += 1
        else:
            mine.setdefault(_name_of(adapter, readers), []).append(path)
    for name, paths in mine.items():
        _group_below(root, readers.adapters[name], paths, finding)
    if before == len(finding.found) + len(finding.failed) and not named:
        error = InputError(
            "holds nothing that banana reads", subject=str(root), remedy="see `banana info --help`"
        )
        finding.failed.append(Failed(subject=str(root), error=error))


def _group_below(root: Path, adapter: Adapter, paths: list[Path], finding: Finding) -> None:
    """Group the files of a folder; those that the adapter puts into no job are passed over."""
    failed = len(finding.failed)
    found = _group(adapter, paths, root, finding)
    finding.found += found
    if failed == len(finding.failed):
        finding.passed_over += len(set(paths).difference(*(one.item.paths for one in found)))


def _files_below(root: Path, finding: Finding) -> Iterator[Path]:
    """Files in order of name, without hidden ones and without what an earlier run wrote."""
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        sidecars = {n.removesuffix(".json") for n in names if n.endswith(".json")}
        own = {n for n in sidecars & {*names, *folders} if sidecar.read(here / f"{n}.json")}
        finding.own += len(own)
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n not in own)
        skipped = own | {f"{n}.json" for n in own}
        for name in sorted(n for n in names if not n.startswith(".") and n not in skipped):
            if (here / name).is_file():
                yield here / name


def _group(adapter: Adapter, paths: list[Path], root: Path | None, finding: Finding) -> list[Found]:
    try:
        items = adapter.group(paths, root=root)
    except BananaError as exc:
        finding.failed.append(Failed(subject=exc.subject, error=exc))
        return []
    return [Found(item=item, adapter=adapter) for item in items if _is_name(item, finding)]


def _is_name(item: InputItem, finding: Finding) -> bool:
    """A stem is one plain file name, and the folder lies below the output folder."""
    plain = item.stem not in ("", ".", "..") and not set(item.stem) & {"/", "\\", "\0"}
    if plain and not item.folder.is_absolute() and ".." not in item.folder.parts:
        return True
    error = InputError("its name cannot name an output", subject=item.subject, remedy="rename it")
    finding.failed.append(Failed(subject=item.subject, error=error))
    return False


def read_list(text: bytes, *, null: bool) -> list[str]:
    """File names of a ``--files-from`` list, one a line or NUL-separated; empty lines are nothing."""
    names = text.split(b"\0") if null else text.splitlines()
    return [os.fsdecode(name) for name in names if name.strip()]


def shard(found: Sequence[Found], part: str) -> list[Found]:
    """Every N-th input from the I-th ("I/N", 1-based). UsageError if that is no such pair."""
    index, _, count = part.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise UsageError(
            f"{part!r} is no share of the inputs", subject="--shard", remedy="say --shard 1/4 ... --shard 4/4"
        )
    return list(found[int(index) - 1 :: int(count)])
