"""Errors a user can meet, each with the exit status of its kind.

The text is two lines: what is wrong, and what to try. Only ``banana_cli.cli`` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit codes of the command line (CONTRACT: streams and exit codes)."""

    OK = 0
    BUG = 1
    USAGE = 2
    PARTIAL = 3
    NO_INPUT = 4
    CANNOT_WRITE = 5
    WEIGHTS = 6
    INTERRUPTED = 130


class BananaError(Exception):
    """Something wrong outside the program: ``message`` says what, ``remedy`` what to try."""

    status: ExitStatus = ExitStatus.PARTIAL

    def __init__(self, message: str, *, subject: str, remedy: str) -> None:
        super().__init__(f"{subject}: {message}")
        self.message = message
        self.subject = subject
        self.remedy = remedy


class UsageError(BananaError):
    """The command line asks for something that cannot be."""

    status = ExitStatus.USAGE


class InputError(BananaError):
    """One input cannot be read; the others go on."""

    status = ExitStatus.PARTIAL


class NoInputError(BananaError):
    """Not one input can be used."""

    status = ExitStatus.NO_INPUT


class OutputError(BananaError):
    """A result cannot be written."""

    status = ExitStatus.CANNOT_WRITE


class WeightsError(BananaError):
    """Weights or a peel are missing, foreign or altered."""

    status = ExitStatus.WEIGHTS


@contextmanager
def translate(
    *kinds: type[BaseException], to: type[BananaError], subject: str, remedy: str
) -> Iterator[None]:
    """Turn a library's exceptions into ours at the border, naming the file and keeping the cause."""
    try:
        yield
    except kinds as exc:
        first = (str(exc).strip() or type(exc).__name__).splitlines()[0]
        raise to(first[:300], subject=subject, remedy=remedy) from exc
