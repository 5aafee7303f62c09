"""What people see on stderr, and the lines of ``--json`` on stdout.

Bars only on a terminal; file names and messages of hostile files are shown without control characters.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

from banana_cli import sidecar
from banana_cli.errors import BananaError
from banana_cli.events import (
    Event,
    FrameDone,
    FrameFailed,
    InputFailed,
    InputStarted,
    Notice,
    OutputDone,
)
from banana_cli.pipeline import RunResult

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

NO_BARS = ("CI", "NO_COLOR")


def clean(text: str) -> str:
    """One line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def two_lines(error: BananaError) -> str:
    """What is wrong, and what to try."""
    return f"banana: {clean(error.subject)}: {clean(error.message)}\n  try: {clean(error.remedy)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How much is said and where."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    debug: bool = False


class Console:
    """Draws events. Use as a context: leaving it takes the bar away."""

    def __init__(self, manner: Manner, *, stdout: TextIO, stderr: TextIO, environ: Mapping[str, str]) -> None:
        self.manner = manner
        self._out, self._err, self._environ = stdout, stderr, environ
        self._progress: Progress | None = None
        self._bar: TaskID | None = None
        self._seen: set[tuple[str, str]] = set()
        self._started = time.perf_counter()
        self._names: dict[str, str] = {}
        self._inputs = 0
        self._input = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object = None, exc: object = None, trace: object = None) -> None:
        self.clear()
        if isinstance(exc, BananaError):  # on its way to the last lines of all
            self._correct(exc)

    def clear(self) -> None:
        """Take the bar away, before a result on the same terminal."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def rename(self, path: Path, name: str) -> None:
        """Call a temporary file from now on what the user calls it."""
        self._names[str(path)] = name

    def _correct(self, error: BananaError) -> None:
        error.subject, error.message = self._known(error.subject), self._known(error.message)

    def _known(self, text: str) -> str:
        for path, name in self._names.items():
            text = text.replace(path, name)
        return text

    def expect(self, inputs: int) -> None:
        """Say how many inputs will come; a bar appears where there is a terminal for it."""
        self._inputs = inputs
        if self._draws():
            self._progress = _make_progress(self._err)
            self._progress.start()

    def _draws(self) -> bool:
        plain = any(self._environ.get(name) for name in NO_BARS) or self._environ.get("TERM") == "dumb"
        return self._err.isatty() and not plain and not self.manner.quiet

    def report(self, event: Event) -> None:
        """Take one event of the pipeline."""
        match event:
            case InputStarted():
                self._begin(event)
            case FrameDone():
                self._advance()
            case FrameFailed():
                self._bad_frame(event)
            case OutputDone():
                self._output(event)
            case InputFailed():
                self.problem(event.error)
            case Notice():
                self.notice(event.subject, event.message)

    def problem(self, error: BananaError) -> None:
        """Two lines on an error; the traceback too if it was asked for."""
        self._correct(error)
        if self.manner.debug:
            self._say("".join(traceback.format_exception(error)).rstrip())
        self._say(two_lines(error))

    def notice(self, subject: str, message: str) -> None:
        """Something to know, once."""
        if not self.manner.quiet and (subject, message) not in self._seen:
            self._seen.add((subject, message))
            self._say(f"note: {clean(subject)}: {clean(message)}")

    def line(self, text: str) -> None:
        """A line for people."""
        if not self.manner.quiet:
            self._say(clean(text))

    def result(self, text: str) -> None:
        """A line of the result itself, on stdout, at once."""
        self._out.write(self._known(text) + "\n")
        self._out.flush()

    def record(self, facts: Mapping[str, object]) -> None:
        """One JSON object on a line of stdout."""
        self.result(sidecar.dumps(facts, indent=None))

    def _say(self, text: str) -> None:
        text = self._known(text)
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            self._err.write(text + "\n")
            self._err.flush()

    def _begin(self, event: InputStarted) -> None:
        self._input += 1
        if self._progress is not None:
            if self._bar is not None:
                self._progress.remove_task(self._bar)
            name = clean(Path(event.subject).name)
            place = f"[{self._input}/{self._inputs}] " if self._inputs > 1 else ""
            self._bar = self._progress.add_task(place + name, total=event.total)

    def _advance(self) -> None:
        if self._progress is not None and self._bar is not None:
            self._progress.advance(self._bar)

    def _bad_frame(self, event: FrameFailed) -> None:
        if self.manner.verbose:
            self._say(f"note: {clean(event.subject)}: frame {event.index}: {clean(event.error.message)}")

    def _output(self, event: OutputDone) -> None:
        if self.manner.as_json:
            self.record({"path": str(event.path), "sidecar": str(event.sidecar), **event.facts})
        else:
            note = "" if event.facts.get("complete", True) else " (incomplete)"
            self.line(f"{event.path}{note}")

    def summary(self, result: RunResult) -> None:
        """The last line of a run; in a log, what failed altogether has been told already."""
        if result.failures and not result.outputs and not self._err.isatty():
            return
        total = result.total
        parts = [
            f"{_many(len(result.outputs), 'output')}, {_many(total.done, 'frame')}"
            f" in {time.perf_counter() - self._started:.1f} s"
        ]
        stages = {name: total.seconds.get(name, 0.0) for name in ("decode", "infer", "encode")}
        if total.done and sum(stages.values()) > 0:
            slowest = max(stages, key=lambda name: stages[name])
            parts.append(
                ", ".join(f"{name} {s:.1f} s" for name, s in stages.items()) + f" (limit: {slowest})"
            )
        kept = total.tokens_kept()
        if kept is not None:
            parts.append(f"{kept:.0%} of tokens kept")
        if total.seconds.get("load", 0) >= 0.05:
            parts.append(f"{total.seconds['load']:.1f} s to load the model")
        if result.failures:
            parts.append(f"{len(result.failures)} failed")
        self.line("; ".join(parts))

    def details(self, result: RunResult) -> None:
        """Seconds of every stage, for --verbose."""
        if self.manner.verbose:
            for name, seconds in sorted(result.total.seconds.items()):
                self.line(f"  {name}: {seconds:.3f} s")


def _many(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


def _make_progress(stream: TextIO) -> Progress:
    from rich.console import Console as RichConsole
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Frames a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=RichConsole(file=stream), transient=True)
