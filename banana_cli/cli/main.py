"""The entry point: the verbs, and the one place where errors become two lines and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, TextIO

import typer

from banana_cli import __version__
from banana_cli.cli import bench, decode, eval, export, info, models, predict, settings, tile, topics
from banana_cli.cli.console import clean, two_lines
from banana_cli.cli.world import World
from banana_cli.errors import BananaError, ExitStatus

SIGPIPE_STATUS = 141
SIGTERM_STATUS = 143
NO_SETTINGS = ("help", "models")
# typer's own usage errors; where their class lives differs between versions, their base does not
_CLICK_ERROR: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="banana",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Masks, depth and normals of dashcam video, DICOM scans and GeoTIFF scenes.",
    epilog="For research; not a medical device. Exit codes: banana help exit-codes",
)


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"banana {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and stop.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


for _module in (predict, tile, info, decode, eval, bench, export, models, topics):
    _module.register(app)


def main(argv: Sequence[str] | None = None, world: World | None = None) -> int:
    """Run the command line; returns the exit status of CONTRACT.md. Tests hand in their ``world``."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    stderr = sys.stderr if world is None else world.stderr
    try:
        if world is None:
            _prepare(loud=debug or "-v" in words or "--verbose" in words)
        return _run(words, world)
    except BananaError as exc:
        if debug:
            traceback.print_exception(exc, file=stderr)
        return _complain(two_lines(exc), exc.status, stderr)
    except _CLICK_ERROR as exc:
        return _complain(_usage(exc), ExitStatus.USAGE, stderr)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("banana: interrupted", ExitStatus.INTERRUPTED, stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains at its end
        return SIGPIPE_STATUS


def _run(words: list[str], world: World | None) -> int:
    command = typer.main.get_group(app)
    verbs = {
        name: frozenset(p.name for p in verb.params if p.name)
        for name, verb in command.commands.items()
        if name not in NO_SETTINGS
    }
    defaults = settings.load(settings.settings_files(os.environ, Path.cwd()), verbs)
    try:
        result = command.main(
            words, prog_name="banana", standalone_mode=False, default_map=defaults, obj=world
        )
    except SystemExit as exc:
        if isinstance(exc.__context__, BrokenPipeError):  # click has turned it into a bug's status
            raise exc.__context__ from None
        raise
    sys.stdout.flush()
    if result == ExitStatus.INTERRUPTED:  # typer has turned the interrupt into a number
        raise KeyboardInterrupt
    return int(result or 0)


def _usage(exc: Exception) -> str:
    message = exc.format_message() if hasattr(exc, "format_message") else str(exc)
    if type(exc).__name__ == "NoArgsIsHelpError":
        return message
    context = getattr(exc, "ctx", None)
    verb = context.command_path if context is not None else "banana"
    return f"banana: {clean(message)}\n  try: {verb} --help"


def _complain(text: str, status: int, stderr: TextIO) -> int:
    with suppress(OSError):  # nobody may read stderr any more
        stderr.write(text + "\n")
        stderr.flush()
    return int(status)


def _prepare(*, loud: bool) -> None:
    """Warnings of libraries are for --verbose; SIGTERM leaves as Ctrl-C does, with the parts removed."""
    if not loud:
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(SIGTERM_STATUS)
