"""What the walk is given, and what it counts: jobs, settings, a tally."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from banana_cli import __version__
from banana_cli.adapter import Adapter, InputItem, Look, SinkFormat, Task
from banana_cli.options import ReadOptions
from banana_cli.types import Json, LayerKind, Modality, ModelFacts, Prediction

SOFTWARE = f"banana {__version__}"
_BODY_MM = Look(depth_near=0.0, depth_far=400.0)
_SHARE = Look(depth_near=0.0, depth_far=1.0)
LOOKS: Mapping[Modality, Look] = {
    Modality.STREET: Look(depth_near=3.0, depth_far=100.0),
    Modality.AERIAL: Look(depth_near=0.0, depth_far=40.0),
    Modality.CT: _BODY_MM,
    Modality.MR: _BODY_MM,
    Modality.XRAY: _SHARE,
    Modality.ULTRASOUND: _SHARE,
    Modality.VISIBLE: Look(depth_near=0.0, depth_far=100.0),  # mm where a pixel's size is known
}
"""How values are painted, one range a modality, in the unit of its depth; never per frame."""
ATTENTION = "attention"
"""The word in the names of pictures of where the tokens went."""
NO_MODEL = ModelFacts(name="none (measured)", weights_sha256="", budget=1.0, precision="fp32", device="cpu")


class OnError(StrEnum):
    """What follows a bad input: the next one, or the end."""

    SKIP = "skip"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file (or folder) to write. ``attention``: it shows where the tokens went for ``layer``."""

    layer: LayerKind
    format: SinkFormat
    path: Path
    overwrite: bool = False
    attention: bool = False

    @property
    def word(self) -> str:
        """What it holds, as in its name."""
        return ATTENTION if self.attention else self.layer.value

    def holds(self, prediction: Prediction) -> bool:
        """Whether a prediction has something for it."""
        if self.attention:
            return prediction.attention is not None
        return prediction.of(self.layer) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One input with everything that is to be written of it."""

    item: InputItem
    adapter: Adapter
    outputs: tuple[Output, ...]

    @property
    def kinds(self) -> frozenset[LayerKind]:
        """The layers that the outputs need."""
        return frozenset(o.layer for o in self.outputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for all inputs of a run. ``options`` are kept in sidecars as the options in force.

    ``classes``: names of those that masks keep, () for all. ``resume``: go on where a killed run was.
    ``live``: outputs are read while they are written, so nothing of them may be changed later.
    """

    read: ReadOptions
    tasks: Mapping[LayerKind, Task]
    looks: Mapping[Modality, Look] = field(default_factory=lambda: LOOKS)
    classes: tuple[str, ...] = ()
    on_error: OnError = OnError.SKIP
    max_failures: int | None = None
    options: Mapping[str, Json] = field(default_factory=dict)
    resume: bool = False
    live: bool = False


@dataclass(slots=True)
class Tally:
    """What one input cost so far: frames, seconds per stage, tokens."""

    done: int = 0
    failed: int = 0
    kept: float = 0.0
    modelled: int = 0
    attended: int = 0
    written: Counter[LayerKind] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, other: Tally) -> None:
        """Take in what another input cost."""
        self.done += other.done
        self.failed += other.failed
        self.kept += other.kept
        self.modelled += other.modelled
        self.attended += other.attended
        self.written.update(other.written)
        for stage, seconds in other.seconds.items():
            self.seconds[stage] += seconds

    def frames_of(self, output: Output) -> int:
        """Frames that an output holds."""
        return self.attended if output.attention else self.written[output.layer]

    def copy(self) -> Tally:
        """The same counts, apart from these."""
        copy = Tally()
        copy.add(self)
        return copy

    def tokens_kept(self) -> float | None:
        """Mean share of the dense tokens over the frames that the model saw; None if it saw none."""
        return self.kept / self.modelled if self.modelled else None

    def to_json(self) -> dict[str, Json]:
        """All counts; ``from_json`` gives them back exactly."""
        return {
            "done": self.done,
            "failed": self.failed,
            "kept": self.kept,
            "modelled": self.modelled,
            "attended": self.attended,
            "written": {kind.value: count for kind, count in self.written.items()},
            "seconds": dict(self.seconds),
        }

    @classmethod
    def from_json(cls, value: Json) -> Tally:
        """Inverse of ``to_json``; KeyError, TypeError or ValueError if it is none."""
        facts = _object(value)
        tally = cls(
            done=_whole(facts["done"]),
            failed=_whole(facts["failed"]),
            kept=_real(facts["kept"]),
            modelled=_whole(facts["modelled"]),
            attended=_whole(facts["attended"]),
        )
        for kind, count in _object(facts["written"]).items():
            tally.written[LayerKind(kind)] = _whole(count)
        for stage, seconds in _object(facts["seconds"]).items():
            tally.seconds[stage] = _real(seconds)
        return tally


def _whole(value: Json) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no number")
    return value


def _real(value: Json) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no object")
    return value
