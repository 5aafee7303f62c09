"""The masks of a clip beside its pictures: which mask belongs to which frame."""

from __future__ import annotations

from collections.abc import Iterable

from banana_cli.errors import InputError
from banana_cli.metrics.files import Formats, Item, Kind, sheets
from banana_cli.metrics.temporal import TemporalConsistency, TemporalScores, grey_of
from banana_cli.types import NO_CLASS, U8, Frame


class Steadiness:
    """Temporal consistency of masks, fed with the frames of their clip in order."""

    def __init__(self, masks: Iterable[Item], formats: Formats) -> None:
        self._masks = {item.key[-1]: item for item in masks if item.kind is Kind.MASKS}
        self._formats = formats
        self._consistency = TemporalConsistency(NO_CLASS)

    @property
    def left(self) -> int:
        """Masks whose frame has not come yet."""
        return len(self._masks)

    def add(self, name: str, frame: Frame) -> bool:
        """The next frame, whose mask is called ``name``; whether there is one. If not, the next follows none.

        InputError if the mask is of another size.
        """
        item = self._masks.pop(name, None)
        if item is None:
            self._consistency.cut()
            return False
        ids: U8 = next(sheets(item, Kind.MASKS, self._formats)).values.astype("uint8", copy=False)
        try:
            self._consistency.add(grey_of(frame.pixels), ids)
        except ValueError as exc:
            raise InputError(str(exc), subject=str(item.path), remedy="name the clip it was made of") from exc
        return True

    def scores(self) -> TemporalScores:
        """The numbers so far."""
        return self._consistency.scores()
