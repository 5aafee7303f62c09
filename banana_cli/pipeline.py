"""One straight line: frames of an input -> layers -> outputs, whole or not at all.

Nothing here knows a file format, a terminal or torch: readers, formats and the predictor come as
values, news goes out through one ``Report``. A reader thread stays a few frames ahead of the model.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from banana_cli import __version__, atomic, keep, sidecar
from banana_cli.adapter import (
    Adapter,
    InputItem,
    Look,
    Sink,
    SinkFormat,
    SinkJob,
    SourceInfo,
    Task,
    Unreadable,
)
from banana_cli.ahead import read_ahead
from banana_cli.atomic import Staged, writing
from banana_cli.classes import TABLE_OF
from banana_cli.errors import BananaError, ExitStatus, InputError, OutputError, translate
from banana_cli.events import FrameDone, FrameFailed, InputFailed, InputStarted, Notice, OutputDone, Report
from banana_cli.options import ReadOptions
from banana_cli.types import Frame, Geometry, Json, LayerKind, Modality, ModelFacts, Prediction

SOFTWARE = f"banana {__version__}"
READ_AHEAD = 2
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
NO_MODEL = ModelFacts(name="none (measured)", weights_sha256="", budget=1.0, precision="fp32", device="cpu")


class OnError(StrEnum):
    """What follows a bad input: the next one, or the end."""

    SKIP = "skip"
    STOP = "stop"


class Predictor(Protocol):
    """The model as the pipeline sees it."""

    @property
    def facts(self) -> ModelFacts:
        """Which weights answer."""

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        """All layers of ``kinds`` from one pass; measured ones are passed through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file (or folder) to write."""

    layer: LayerKind
    format: SinkFormat
    path: Path
    overwrite: bool = False


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

    ``classes``: names of those that masks keep, () for all.
    """

    read: ReadOptions
    tasks: Mapping[LayerKind, Task]
    looks: Mapping[Modality, Look] = field(default_factory=lambda: LOOKS)
    classes: tuple[str, ...] = ()
    on_error: OnError = OnError.SKIP
    max_failures: int | None = None
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """What one input cost so far: frames, seconds per stage, tokens."""

    done: int = 0
    failed: int = 0
    kept: float = 0.0
    modelled: int = 0
    written: Counter[LayerKind] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, other: Tally) -> None:
        """Take in what another input cost."""
        self.done += other.done
        self.failed += other.failed
        self.kept += other.kept
        self.modelled += other.modelled
        self.written.update(other.written)
        for stage, seconds in other.seconds.items():
            self.seconds[stage] += seconds

    def tokens_kept(self) -> float | None:
        """Mean share of the dense tokens over the frames that the model saw; None if it saw none."""
        return self.kept / self.modelled if self.modelled else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run did: finished outputs, failures, and the exit status they make.

    ``stopped``: inputs may be left that were not tried.
    """

    outputs: tuple[OutputDone, ...] = ()
    failures: tuple[InputFailed, ...] = ()
    total: Tally = field(default_factory=Tally)
    stopped: bool = False
    status: ExitStatus = ExitStatus.OK


def run(jobs: Iterable[Job], predictor: Predictor, settings: Settings, report: Report) -> RunResult:
    """Walk all jobs; a bad input is reported and the next one follows, unless settings say stop.

    Raises WeightsError and anything that is a bug; errors of inputs and outputs become the status.
    """
    outputs: list[OutputDone] = []
    failures: list[InputFailed] = []

    def listen(event: object) -> None:
        if isinstance(event, OutputDone):
            outputs.append(event)
        report(event)  # type: ignore[arg-type]

    stopped, total = False, Tally()
    for job in jobs:
        tally = Tally()
        try:
            run_job(job, predictor, settings, listen, tally)
        except (InputError, OutputError) as exc:
            failure = InputFailed(subject=job.item.subject, error=exc)
            failures.append(failure)
            report(failure)
        total.add(tally)
        if stopped := _enough(len(failures), settings):
            break
    return RunResult(
        outputs=tuple(outputs),
        failures=tuple(failures),
        total=total,
        stopped=stopped,
        status=exit_status(len(outputs), [f.error for f in failures], stopped=stopped),
    )


def _enough(failures: int, settings: Settings) -> bool:
    limit = 1 if settings.on_error is OnError.STOP else settings.max_failures
    return limit is not None and failures >= limit


def exit_status(outputs: int, errors: Sequence[BananaError], *, stopped: bool = False) -> ExitStatus:
    """The contract's exit code: 5 beats 3, and 4 means that no input at all was of use."""
    if not errors:
        return ExitStatus.OK
    if any(e.status is ExitStatus.CANNOT_WRITE for e in errors):
        return ExitStatus.CANNOT_WRITE
    return ExitStatus.PARTIAL if outputs or stopped else ExitStatus.NO_INPUT


def run_job(job: Job, predictor: Predictor, settings: Settings, report: Report, tally: Tally) -> None:
    """One input all the way, counted in ``tally``. InputError or OutputError: only usable outputs stand.

    A reader that fails after some good frames leaves outputs of those, marked incomplete.
    """
    with closing(read_ahead(lambda: _read(job, settings), depth=READ_AHEAD)) as items:
        walk = _Walk(job=job, predictor=predictor, settings=settings, report=report, tally=tally)
        with walk:
            walk.through(items)


def _read(job: Job, settings: Settings) -> Generator[SourceInfo | Frame | Unreadable, None, None]:
    """Open, read and close in one thread: file libraries keep state per thread."""
    border = translate(
        OSError, MemoryError, to=InputError, subject=job.item.subject, remedy="check that the file is whole"
    )
    with border, job.adapter.open(job.item, settings.read) as source:
        yield source.info
        yield from source


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    """One output being written; ``closer`` closes its sink."""

    output: Output
    staged: Staged
    sink: Sink
    closer: _Closer


class _Closer(ExitStack):
    """Closes a sink. After an error, a failure to close is not told: the error itself is."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def __exit__(self, *exc: object) -> None:
        with writing(self._path) if exc[0] is None else suppress(OSError):
            super().__exit__(*exc)  # type: ignore[arg-type]


class _Walk:
    """The state of one input on its way through."""

    def __init__(
        self, *, job: Job, predictor: Predictor, settings: Settings, report: Report, tally: Tally
    ) -> None:
        self._job, self._predictor, self._settings, self._report = job, predictor, settings, report
        self._subject = job.item.subject
        self._stack = ExitStack()
        self._tally = tally
        self._writers: list[_Writer] = []
        self._info: SourceInfo | None = None
        self._geometry: dict[LayerKind, Geometry] = {}
        self._first_bad: Unreadable | None = None
        self._model = NO_MODEL
        self._notes: dict[str, Json] = {}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        # Leaving without commit removes every part; sinks close before their parts go.
        self._stack.__exit__(*exc)  # type: ignore[arg-type]

    def through(self, items: Iterator[tuple[SourceInfo | Frame | Unreadable, float]]) -> None:
        """Take everything the reader gives, then finish the outputs."""
        broken: InputError | None = None
        try:
            for item, seconds in items:
                self._tally.seconds["decode"] += seconds
                self._take(item)
        except InputError as exc:
            if not self._tally.done or self._settings.on_error is OnError.STOP:
                raise
            broken = exc
        if not self._tally.done:
            raise self._unusable()
        lost = broken or self._lost()
        for writer in self._writers:
            self._finish(writer, complete=lost is None)
        if lost is not None:
            raise lost

    def _take(self, item: SourceInfo | Frame | Unreadable) -> None:
        if isinstance(item, SourceInfo):
            self._info = item
            self._report(InputStarted(subject=self._subject, total=item.frames))
            for message in item.notices:
                self._report(Notice(subject=self._subject, message=message))
        elif isinstance(item, Unreadable):
            self._skip(item)
        else:
            self._frame(item)

    def _skip(self, item: Unreadable) -> None:
        self._tally.failed += item.count
        self._first_bad = self._first_bad or item
        self._report(FrameFailed(subject=self._subject, index=item.index, error=item.error))
        if self._settings.on_error is OnError.STOP:
            raise item.error

    def _frame(self, frame: Frame) -> None:
        started, loaded = time.perf_counter(), self._tally.seconds["load"]
        kinds = answers(frame, self._job.kinds)
        prediction = keep.only(self._predict(frame, kinds), self._settings.classes)
        inferred = time.perf_counter()
        if not self._writers:
            self._open()
        given = [kind for kind in self._job.kinds if prediction.of(kind) is not None]
        self._tally.written.update(given)
        for kind in given:  # a volume's surface and its slices lie differently
            self._geometry.setdefault(kind, frame.geometry)
        for writer in self._writers:
            if writer.output.layer in given:
                with writing(writer.output.path):
                    writer.sink.write(frame, prediction)
        now = time.perf_counter()
        self._tally.seconds["infer"] += inferred - started - (self._tally.seconds["load"] - loaded)
        self._tally.seconds["encode"] += now - inferred
        self._tally.done += 1
        self._report(
            FrameDone(
                subject=self._subject,
                index=frame.provenance.index,
                seconds=now - started,
                kept=prediction.tokens_kept,
            )
        )

    def _predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        measured = tuple(layer for layer in frame.measured if layer.kind in kinds)
        if kinds == {layer.kind for layer in measured}:
            return Prediction(layers=measured, tokens_kept=0.0, seconds={})
        self._model = self._load()
        prediction = self._predictor.predict(frame, kinds)
        self._tally.kept += prediction.tokens_kept
        self._tally.modelled += 1
        for stage, seconds in prediction.seconds.items():
            self._tally.seconds[f"infer.{stage}"] += seconds
        for name, note in prediction.notes.items():
            self._notes.setdefault(name, note)
        return prediction

    def _load(self) -> ModelFacts:
        """The model's facts; the first time it is loaded for them, which is a stage of its own."""
        started = time.perf_counter()
        facts = self._predictor.facts
        self._tally.seconds["load"] += time.perf_counter() - started
        return facts

    def _open(self) -> None:
        """Open the outputs once the first frame has told which model answers."""
        if self._info is None:
            raise TypeError("a source gave a frame before its info")
        for output in self._job.outputs:
            staged = self._stack.enter_context(Staged(output.path, overwrite=output.overwrite))
            closer = self._stack.enter_context(_Closer(output.path))
            with writing(output.path):
                opened = output.format.open(staged.part, self._sink_job(output, self._info))
                sink = closer.enter_context(opened)
            self._writers.append(_Writer(output=output, staged=staged, sink=sink, closer=closer))

    def _sink_job(self, output: Output, info: SourceInfo) -> SinkJob:
        return SinkJob(
            info=info,
            layer=output.layer,
            table=TABLE_OF[info.modality],
            look=self._settings.looks[info.modality],
            model=self._model,
            software=SOFTWARE,
            tasks=self._settings.tasks,
            options=self._settings.options,
        )

    def _unusable(self) -> BananaError:
        if self._first_bad is not None:
            return self._first_bad.error
        return InputError("holds no frame", subject=self._subject, remedy="look at it with `banana info`")

    def _lost(self) -> InputError | None:
        """What to say of an input whose outputs stand but lack frames."""
        if self._first_bad is None:
            return None
        error, failed = self._first_bad.error, self._tally.failed
        many = self._first_bad.count > 1  # its own message counts them then
        lost = "parts of it" if many else f"{failed} of {failed + self._tally.done} frames"
        message = f"{lost} could not be read ({error.message})"
        return InputError(message, subject=self._subject, remedy=error.remedy)

    def _finish(self, writer: _Writer, *, complete: bool) -> None:
        """Close one output, put it under its name, write its sidecar and tell."""
        output = writer.output
        if not self._tally.written[output.layer]:
            message = f"no frame gives {output.layer.value}, so {output.path.name} is not written"
            self._report(Notice(subject=self._subject, message=message))
            return
        started = time.perf_counter()
        with writing(output.path):
            encoding = writer.sink.finish()
            writer.closer.close()
        self._tally.seconds["encode"] += time.perf_counter() - started
        facts = self._facts(output, encoding, complete=complete)
        side = sidecar.sidecar_path(output.path)
        with Staged(side, overwrite=output.overwrite or sidecar.read(side) is not None) as staged:
            atomic.fill(staged, sidecar.dumps(facts) + "\n")
            writer.staged.commit()
            staged.commit()
        self._report(OutputDone(subject=self._subject, path=output.path, sidecar=side, facts=facts))

    def _facts(self, output: Output, encoding: Mapping[str, Json], *, complete: bool) -> dict[str, object]:
        """The sidecar of one output, in the order in which a person reads it."""
        if self._info is None:
            raise TypeError("an output was finished before its input was opened")
        tally = self._tally
        facts: dict[str, object] = {
            "schema": sidecar.OUTPUT_SCHEMA,
            "software": SOFTWARE,
            "output": output.path.name,
            "layer": output.layer,
            "format": output.format.name,
            "complete": complete,
            "frames_done": tally.written[output.layer],
            "frames_failed": tally.failed,
            "encoding": encoding,
            "input": sidecar.describe_input(self._job.item),
            "source": sidecar.describe_source(self._info),
            "geometry": sidecar.describe_geometry(self._geometry.get(output.layer)),
            "model": sidecar.describe_model(self._model),
            "tokens_kept": tally.tokens_kept(),
            "options": self._settings.options,
            "seconds": {k: round(v, 6) for k, v in sorted(tally.seconds.items())},
            "notes": self._notes,
            "notices": list(self._info.notices),
        }
        if output.layer is LayerKind.MASKS:
            facts["classes"] = sidecar.describe_classes(TABLE_OF[self._info.modality], self._settings.classes)
        return facts


def answers(frame: Frame, wanted: frozenset[LayerKind]) -> frozenset[LayerKind]:
    """The wanted layers that this frame is for; a reader may restrict them by ``extra["layers"]``."""
    listed = frame.provenance.extra.get("layers")
    if not isinstance(listed, list | tuple):
        return wanted
    return wanted & {LayerKind(str(name)) for name in listed}
