"""A predictor whose masks come with countable things, numbered so that they keep their number in a clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.classes import kin_of, thing_ids
from banana_cli.instances import counted
from banana_cli.pipeline import Expecting, Predictor, Remembering
from banana_cli.tracking.tracker import Tracker
from banana_cli.types import F32, Frame, LayerKind, Mask, ModelFacts, Prediction

_USUAL_RATE: Final = 30.0  # frames a second of a clip that tells no times
_OURS: Final = "follow."


@dataclass(slots=True, eq=False)
class _Clip:
    name: str
    index: int
    tracker: Tracker


class Follow:
    """Any predictor, and the things of its masks as ``Prediction.instances``; one clip at a time."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._clip: _Clip | None = None
        self._memory: Mapping[str, NDArray[np.generic]] | None = None

    @property
    def facts(self) -> ModelFacts:
        """Which weights answer."""
        return self._predictor.facts

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        """As the predictor does, with instances where there are masks, with tracks in a clip."""
        prediction = self._predictor.predict(frame, kinds)
        mask = prediction.of(LayerKind.MASKS)
        if not isinstance(mask, Mask) or not thing_ids(frame.modality):
            return prediction
        found = counted(prediction, mask, frame.modality)
        if frame.provenance.clip is None:
            return replace(prediction, instances=found)
        place = frame.provenance
        time_s = place.index / _USUAL_RATE if place.time_s is None else place.time_s
        tracker = self._tracker(frame)
        flow = None if prediction.flow is None else _doubled(prediction.flow)
        return replace(prediction, instances=tracker.step(found, flow, time_s, frame.pixels))

    def expect(self, frame: Frame, kinds: frozenset[LayerKind]) -> None:
        """As the predictor does."""
        if isinstance(self._predictor, Expecting):
            self._predictor.expect(frame, kinds)

    def _tracker(self, frame: Frame) -> Tracker:
        """That of the clip that the frame goes on, or a new one."""
        place, clip = frame.provenance, self._clip
        if clip is None or clip.name != place.clip or clip.index >= place.index:
            tracker = self._recalled(str(place.clip), place.index, frame) or Tracker(kin_of(frame.modality))
            clip = _Clip(str(place.clip), place.index, tracker)
        clip.index = place.index
        self._clip, self._memory = clip, None
        return clip.tracker

    def _recalled(self, name: str, index: int, frame: Frame) -> Tracker | None:
        kept = self._memory
        if kept is None or str(kept["clip"]) != name or int(kept["index"]) >= index:
            return None
        return Tracker.from_arrays(kept, kin_of(frame.modality))

    def memory(self) -> Mapping[str, NDArray[np.generic]] | None:
        """What the predictor keeps in mind, and who is who."""
        inner = self._predictor.memory() if isinstance(self._predictor, Remembering) else None
        clip = self._clip
        if clip is None:
            return inner
        ours = clip.tracker.to_arrays() | {"clip": np.array(clip.name), "index": np.array(clip.index)}
        return {**(inner or {}), **{f"{_OURS}{name}": array for name, array in ours.items()}}

    def remember(self, memory: Mapping[str, NDArray[np.generic]]) -> None:
        """Take back what ``memory`` gave."""
        ours = {name.removeprefix(_OURS): a for name, a in memory.items() if name.startswith(_OURS)}
        rest = {name: a for name, a in memory.items() if not name.startswith(_OURS)}
        self._clip, self._memory = None, ours or None
        if rest and isinstance(self._predictor, Remembering):
            self._predictor.remember(rest)


def _doubled(flow: F32) -> F32:
    """The flow at twice the size: regions are compared on a finer grid than it is measured on."""
    return np.repeat(np.repeat(flow, 2, axis=0), 2, axis=1) * np.float32(2)
