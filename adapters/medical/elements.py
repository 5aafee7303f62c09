"""Values of DICOM elements, taken without trust: malformed is the same as absent."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager

import pydicom
from pydicom.dataset import Dataset

from banana_cli.errors import BananaError, InputError

REMEDY = "check that the file is complete; dcmdump or another viewer may tell more"


@contextmanager
def quiet() -> Iterator[None]:
    """Libraries warn of the data's flaws; what matters of them becomes a notice of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def hashed(uid: str) -> str:
    """A UID as sidecars may show it: equal UIDs stay equal, the UID itself stays unknown."""
    return hashlib.sha256(uid.encode()).hexdigest()[:16] if uid else ""


@contextmanager
def parsing(subject: str, what: str) -> Iterator[None]:
    """Turn whatever a library raises over hostile bytes into one InputError; ours pass through."""
    try:
        with quiet():
            yield
    except BananaError:
        raise
    except MemoryError as exc:
        raise InputError(f"{what}: it asks for too much memory", subject=subject, remedy=REMEDY) from exc
    except Exception as exc:
        raise InputError(f"{what}: {_reason(exc)}", subject=subject, remedy=REMEDY) from exc


def _reason(exc: Exception) -> str:
    """What a library says in one line: the last of its lines, which names the cause."""
    said = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (lines[-1] if lines else type(exc).__name__)[:200]


def value(ds: Dataset, keyword: str) -> object:
    """An element's value, or None where it is absent, empty or malformed."""
    try:
        with quiet():
            found = ds.get(keyword)
    except Exception:  # pydicom parses on access and raises whatever the bytes provoke
        return None
    return None if found is None or (isinstance(found, Sized) and len(found) == 0) else found


def text(ds: Dataset, keyword: str) -> str:
    """A value as stripped text; the first of several; "" where there is none."""
    return next(iter(texts(ds, keyword)), "")


def texts(ds: Dataset, keyword: str) -> list[str]:
    """All values of an element as text."""
    found = value(ds, keyword)
    if found is None or isinstance(found, pydicom.Sequence):  # damage can turn any element into one
        return []
    items = found if isinstance(found, Sequence) and not isinstance(found, str | bytes) else [found]
    return [str(v).strip(" \x00") for v in items]


def numbers(ds: Dataset, keyword: str) -> tuple[float, ...]:
    """All values of an element as finite numbers; () where one of them is none."""
    try:
        found = tuple(float(v) for v in texts(ds, keyword))
    except ValueError:
        return ()
    return found if all(map(math.isfinite, found)) else ()


def number(ds: Dataset, keyword: str) -> float | None:
    """The first value as a finite number, or None."""
    return next(iter(numbers(ds, keyword)), None)


def whole(ds: Dataset, keyword: str) -> int | None:
    """The first value as an integer, or None."""
    found = number(ds, keyword)
    return None if found is None else int(found)


def first_item(ds: Dataset, keyword: str, index: int = 0) -> Dataset | None:
    """An item of a sequence, or None where the sequence or the item is missing."""
    found = value(ds, keyword)
    if not isinstance(found, pydicom.Sequence) or index >= len(found):
        return None
    item = found[index]
    return item if isinstance(item, Dataset) else None
