"""Whether a picture lost detail to its compression: whatever is derived from it must say so for ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset

from .elements import numbers, text, texts

_ALWAYS: Mapping[str, str] = {f"1.2.840.10008.1.2.4.{n}": "ISO_10918_1" for n in (50, 51)}
_METHODS = frozenset(
    f"ISO_{n}" for n in ("10918_1", "14495_1", "15444_1", "15444_15", "13818_2", "14496_10", "23008_2")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lossy:
    """How often a picture was compressed with loss: by which factors and methods, as far as it is known."""

    ratios: tuple[float, ...]
    methods: tuple[str, ...]


def lossy_of(ds: Dataset, syntax: str) -> Lossy | None:
    """What a header says of it; None for a picture that lost nothing."""
    own = _ALWAYS.get(syntax)
    if own is None and text(ds, "LossyImageCompression") != "01":
        return None
    methods = tuple(m for m in texts(ds, "LossyImageCompressionMethod") if m in _METHODS)
    ratios = tuple(float(f"{r:.6g}") for r in numbers(ds, "LossyImageCompressionRatio"))
    return Lossy(ratios=ratios, methods=methods or ((own,) if own else ()))


def mark_lossy(ds: Dataset, lossy: Lossy | None) -> None:
    """Say it in an object."""
    if lossy is None:
        return
    ds.LossyImageCompression = "01"
    if lossy.ratios:
        ds.LossyImageCompressionRatio = list(lossy.ratios)
    if lossy.methods:
        ds.LossyImageCompressionMethod = list(lossy.methods)
