"""The inputs of a run: names from the command line, lists and stdin; found, grouped, headers read."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from banana_cli import inputs, plan
from banana_cli.adapter import SNIFF_BYTES, Broken, Follows, ReadsAddresses, read_head
from banana_cli.address import is_address, shown, stand_in
from banana_cli.cli.console import Console
from banana_cli.cli.options import InputArgs
from banana_cli.cli.reading import STDIN, refuse_idle_options
from banana_cli.cli.world import World
from banana_cli.errors import BananaError, InputError, NoInputError, UsageError
from banana_cli.growing import Inflow
from banana_cli.inputs import Found
from banana_cli.options import ReadOptions


@dataclass(slots=True)
class Gathered:
    """Inputs whose headers could be read, and the errors of the others."""

    opened: list[plan.Opened] = field(default_factory=list)
    errors: list[BananaError] = field(default_factory=list)
    left_out: int = 0

    def fail(self, error: BananaError, console: Console) -> None:
        """Tell of an input that is of no use and go on."""
        self.errors.append(error)
        console.problem(error)

    def leave_out_empty(self, console: Console) -> None:
        """Drop inputs that hold nothing by the user's own wish (such as --skip-localizers)."""
        for one in [one for one in self.opened if one.info.frames == 0 and not one.info.formats]:
            self.opened.remove(one)
            reason = "; ".join(one.info.notices) or "holds nothing that was asked for"
            console.notice(one.found.item.subject, reason)
            self.left_out += 1


def gather(
    args: InputArgs,
    explicit: Sequence[str],
    read: ReadOptions,
    world: World,
    console: Console,
    stack: ExitStack,
) -> Gathered:
    """All inputs, headers read. UsageError if none is named or an option cannot act on any of them."""
    gathered = Gathered()
    found = _find(args, world, console, stack, gathered)
    for failed in found.failed:
        gathered.fail(failed.error, console)
    mine = inputs.shard(found.found, args.shard) if args.shard else found.found
    refuse_idle_options(explicit, (f.adapter for f in mine))
    for one in mine:
        _open(one, read, gathered, console)
    return gathered


def _find(
    args: InputArgs, world: World, console: Console, stack: ExitStack, gathered: Gathered
) -> inputs.Finding:
    words = [*(args.inputs or ()), *_listed(args, world)]
    if not words:
        raise UsageError("no input is named", subject="INPUT", remedy="name files or folders; see --help")
    if args.inputs and STDIN in args.inputs:
        if args.files_from == STDIN:
            raise UsageError("stdin cannot be both", subject="-", remedy="name a file with --files-from")
        spooled = _spool(args, world, stack)
        console.rename(spooled, STDIN)
        words = [str(spooled) if word == STDIN else word for word in words]
    readers = inputs.Readers(adapters=world.adapters, broken=_broken_readers(world), domain=args.domain)
    words, urls = _on_the_web(words, readers, gathered, console, stack)
    finding = inputs.find(words, readers)
    finding.found = [_from(one, urls) for one in finding.found]
    if finding.passed_over:
        count = finding.passed_over
        files = "1 file of another kind was" if count == 1 else f"{count} files of other kinds were"
        console.line(f"note: {files} passed over")
    if finding.own and not finding.found:
        console.line(f"note: {finding.own} outputs of earlier runs were passed over")
    return finding


def _on_the_web(
    words: list[str], readers: inputs.Readers, gathered: Gathered, console: Console, stack: ExitStack
) -> tuple[list[str], dict[Path, str]]:
    """The words with stand-ins in the place of addresses, and what those stand for."""
    local: list[str] = []
    urls: dict[Path, str] = {}
    for word in dict.fromkeys(words):
        if not is_address(word):
            local.append(word)
            continue
        try:
            path = stand_in(word, _folder(stack))
            console.rename(path, shown(word))
            _refuse_whole(readers.named(path), word)
        except InputError as exc:
            gathered.fail(exc, console)
            continue
        urls[path] = word
        local.append(glob.escape(str(path)))
    return local, urls


def _folder(stack: ExitStack) -> Path:
    """A new folder that goes with the run."""
    folder = tempfile.TemporaryDirectory(prefix="banana-", ignore_cleanup_errors=True)
    return Path(stack.enter_context(folder))


def _refuse_whole(adapter: object, url: str) -> None:
    if not isinstance(adapter, ReadsAddresses):
        raise InputError(
            "only GeoTIFF is read from an address", subject=shown(url), remedy="download it and name the file"
        )


def _from(found: Found, urls: dict[Path, str]) -> Found:
    url = urls.get(found.item.paths[0])
    return found if url is None else replace(found, item=replace(found.item, url=url))


def _broken_readers(world: World) -> list[Broken]:
    return [b for b in world.broken if b.group == "banana.adapters"]


def _listed(args: InputArgs, world: World) -> list[str]:
    if args.files_from is None:
        return []
    if args.files_from == STDIN:
        return inputs.read_list(world.stdin.read(), null=args.null)
    try:
        return inputs.read_list(Path(args.files_from).read_bytes(), null=args.null)
    except OSError as exc:
        raise UsageError(
            f"cannot be read ({exc.strerror})", subject=args.files_from, remedy="check --files-from"
        ) from exc


def _spool(args: InputArgs, world: World, stack: ExitStack) -> Path:
    """The bytes of stdin as a file, as readers need to seek. Who can follows it while it grows."""
    if world.stdin.isatty():
        raise UsageError("stdin is a terminal", subject="-", remedy="pipe a file into banana")
    path = _folder(stack) / "stdin"
    inflow = Inflow(world.stdin, path)
    stack.callback(inflow.close)
    inflow.wait(SNIFF_BYTES)
    readers = inputs.Readers(adapters=world.adapters, domain=args.domain)
    adapter = readers.of(path) if path.stat().st_size else None
    if not _follows(adapter, read_head(path)):
        inflow.wait()
    return path


def _follows(adapter: object, head: bytes) -> bool:
    return isinstance(adapter, Follows) and adapter.follows(head)


def _open(found: Found, read: ReadOptions, gathered: Gathered, console: Console) -> None:
    try:
        gathered.opened.append(plan.inspect(found, read))
    except InputError as exc:
        gathered.fail(exc, console)


def nothing_usable(gathered: Gathered) -> NoInputError | None:
    """The error of a run without any input, where no other error has said so."""
    if gathered.opened or gathered.errors:
        return None
    if gathered.left_out:
        return NoInputError(
            "every one was left out as asked",
            subject="inputs",
            remedy="drop the option that leaves them out",
        )
    return NoInputError("there is nothing to do", subject="inputs", remedy="check the list and the --shard")
