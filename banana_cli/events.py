"""What the core tells its caller while it works: a closed union of frozen values.

The core never prints. It calls one ``Report`` function; ``banana_cli.cli.console`` draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from banana_cli.errors import BananaError


@dataclass(frozen=True, slots=True, kw_only=True)
class InputStarted:
    """An input was opened; ``total`` frames are expected (None: unknown)."""

    subject: str
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameDone:
    """One frame went all the way; ``kept`` is the share of the dense tokens that it used (0..1)."""

    subject: str
    index: int
    seconds: float
    kept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFailed:
    """One frame could not be read; its neighbours go on."""

    subject: str
    index: int
    error: BananaError


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDone:
    """A finished output stands under its final name."""

    subject: str
    path: Path
    sidecar: Path
    facts: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFailed:
    """An input was given up; the others go on."""

    subject: str
    error: BananaError


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a user should know that is no error (a guess, a warning of the data)."""

    subject: str
    message: str


Event = InputStarted | FrameDone | FrameFailed | OutputDone | InputFailed | Notice
Report = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A report that says nothing."""
