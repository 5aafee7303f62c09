"""Files on the web that the user named: their beginning, their size and their date, without the rest."""

from __future__ import annotations

import os
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from banana_cli.errors import InputError

_SCHEMES: Final = ("http://", "https://")
_HEAD_BYTES: Final = 4096
_PATIENCE_S: Final = 20
_PARTIAL: Final = 206
_REMEDY: Final = "check the address, or download the file and name that"


def is_address(word: str) -> bool:
    """Whether a word of the command line is an address, not the name of a file."""
    return word.lower().startswith(_SCHEMES)


def shown(url: str) -> str:
    """An address as it may be told: without what follows "?", where keys to it may stand."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def stand_in(url: str, folder: Path) -> Path:
    """A file in ``folder`` with the name, the first bytes, the size and the date of the one on the web.

    InputError if it is not to be had, or only as a whole.
    """
    parts = _checked(url)
    path = folder / _name(parts)
    try:
        with _answer(url) as answer:
            if answer.status != _PARTIAL:
                raise InputError(
                    "its server does not give parts of files", subject=shown(url), remedy="download it first"
                )
            path.write_bytes(answer.read(_HEAD_BYTES))
            _take_after(path, answer)
    except (OSError, HTTPException) as exc:  # urllib's errors are OSErrors
        raise InputError(f"cannot be fetched ({_reason(exc)})", subject=shown(url), remedy=_REMEDY) from exc
    return path


def _checked(url: str) -> SplitResult:
    with suppress(ValueError):
        parts = urlsplit(url)
        if (
            parts.hostname
            and parts.username is None
            and not set(url) & set(' "<>\\^`{|}')
            and url.isprintable()
        ):
            return parts
    raise InputError("is no address that banana can use", subject=shown_or(url), remedy=_REMEDY)


def shown_or(url: str) -> str:
    """``shown``, also of what is no address at all."""
    try:
        return shown(url)
    except ValueError:
        return "the address"


def _answer(url: str) -> HTTPResponse:
    from urllib.request import Request, urlopen

    head = {"Range": f"bytes=0-{_HEAD_BYTES - 1}", "User-Agent": "banana", "Accept-Encoding": "identity"}
    answer: HTTPResponse = urlopen(Request(url, headers=head), timeout=_PATIENCE_S)
    return answer


def _take_after(path: Path, answer: HTTPResponse) -> None:
    """The size (as a hole) and the date, where the server tells them."""
    size = str(answer.headers.get("Content-Range", "")).rpartition("/")[2]
    with suppress(OSError):
        if size.isdecimal():
            os.truncate(path, int(size))
    with suppress(TypeError, ValueError, OverflowError, OSError):
        when = parsedate_to_datetime(str(answer.headers.get("Last-Modified"))).timestamp()
        os.utime(path, (when, when))


def _name(parts: SplitResult) -> str:
    """The file's name in an address, fit to be a file's name here."""
    name = PurePosixPath(unquote(parts.path)).name.replace("\\", "_").lstrip(".")
    return "".join(c for c in name if c.isprintable())[-120:] or "remote"


def _reason(exc: BaseException) -> str:
    from urllib.error import HTTPError, URLError

    if isinstance(exc, HTTPError):
        return f"the server says {exc.code} {exc.reason}"
    reason = exc.reason if isinstance(exc, URLError) else exc
    strerror = reason.strerror if isinstance(reason, OSError) else None
    return strerror or str(reason) or type(exc).__name__
