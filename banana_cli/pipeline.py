"""One straight line: frames of an input -> layers -> outputs, whole or not at all.

Nothing here knows a file format, a terminal or torch: readers, formats and the predictor come as
values, news goes out through one ``Report``. A reader thread stays a few frames ahead of the model, a
writer thread a few behind. A long clip is written in segments that outlive a kill, see ``work``.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from banana_cli import keep, sidecar
from banana_cli.adapter import ResumableFormat, SourceInfo, Unreadable
from banana_cli.ahead import Lane, read_ahead
from banana_cli.errors import BananaError, ExitStatus, InputError, OutputError, translate
from banana_cli.events import FrameFailed, InputFailed, InputStarted, Notice, OutputDone, Report
from banana_cli.jobs import LOOKS, NO_MODEL, SOFTWARE, Job, OnError, Output, Settings, Tally
from banana_cli.options import Done, ReadOptions
from banana_cli.outputs import Outputs, Standing
from banana_cli.recall import Recall
from banana_cli.types import Frame, Json, LayerKind, ModelFacts, Prediction
from banana_cli.work import SEGMENT_FRAMES, Memory, Work

READ_AHEAD = 2
RECALL_PARTS = 4
WRITE_BEHIND = 2
__all__ = [
    "LOOKS",
    "NO_MODEL",
    "READ_AHEAD",
    "SOFTWARE",
    "Job",
    "OnError",
    "Output",
    "Predictor",
    "Remembering",
    "RunResult",
    "Settings",
    "Tally",
    "answers",
    "exit_status",
    "run",
    "run_job",
]


_Item = SourceInfo | Frame | Unreadable


class Predictor(Protocol):
    """The model as the pipeline sees it."""

    @property
    def facts(self) -> ModelFacts:
        """Which weights answer."""

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        """All layers of ``kinds`` from one pass; measured ones are passed through."""


@runtime_checkable
class Remembering(Protocol):
    """A predictor whose answers depend on earlier frames of the clip (steady outputs)."""

    def memory(self) -> Memory | None:
        """Arrays that say all that it keeps in mind after the last frame; None if nothing."""

    def remember(self, memory: Memory) -> None:
        """Go on as if it had seen the frames before; ``memory`` is what ``memory()`` gave."""


@runtime_checkable
class Expecting(Protocol):
    """A predictor that can begin with a frame of a clip while the one before is finished."""

    def expect(self, frame: Frame, kinds: frozenset[LayerKind]) -> None:
        """``predict`` will be asked for this, in the order of these calls, and before the next ``memory``."""


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

    A reader that fails after some good frames leaves outputs of those, marked incomplete. What was whole
    when the process was stopped in another way stays for ``--resume``.
    """
    with closing(_work_of(job, settings)) as work:
        past = _past(work, predictor, tally) if settings.resume else None
        read = replace(settings.read, done=past.done if past else None)
        with closing(read_ahead(lambda: _read(job, read), depth=READ_AHEAD)) as items:
            walk = _Walk(job, predictor, settings, report, tally)
            with walk:
                walk.keep(work, past)
                walk.through(items)


def _work_of(job: Job, settings: Settings) -> Work:
    """The job's work folder; of no use where one of its formats cannot go on."""
    usable = not settings.live and all(isinstance(o.format, ResumableFormat) for o in job.outputs)
    stamps = [p.stat().st_mtime_ns for p in job.item.paths if p.exists()]
    fingerprint: dict[str, Json] = {
        "software": SOFTWARE,
        "input": sidecar.describe_input(job.item),
        "changed": sha256(repr(stamps).encode()).hexdigest(),
        "options": sidecar.to_json(settings.options),
    }
    return Work.beside(job.outputs[0].path, job.item.stem, fingerprint, usable=usable)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """Where an earlier run was: its last checkpoint."""

    facts: Mapping[str, Json]
    done: Done
    model: ModelFacts
    bad: Unreadable | None


def _past(work: Work, predictor: Predictor, tally: Tally) -> _Past | None:
    """The checkpoint to go on from, taken into ``tally`` and the predictor; None: begin anew."""
    facts = work.last()
    if facts is None:
        return None
    try:
        index, before = int(str(facts["index"])), Tally.from_json(facts["tally"])
        bad = _bad_from(facts["bad"])
    except (KeyError, TypeError, ValueError):
        return None
    model = NO_MODEL
    if facts.get("model") != sidecar.describe_model(model):
        model = predictor.facts
        if facts.get("model") != sidecar.describe_model(model):
            return None
        memory = work.memory(facts)
        if memory is not None and isinstance(predictor, Remembering):
            predictor.remember(memory)
    tally.add(before)
    return _Past(facts=facts, done=Done(index=index, clean=not before.failed), model=model, bad=bad)


def _bad_to(bad: Unreadable | None) -> Json:
    if bad is None:
        return None
    error = bad.error
    told: list[Json] = [error.message, error.subject, error.remedy]
    return {"index": bad.index, "count": bad.count, "error": told}


def _bad_from(facts: Json) -> Unreadable | None:
    """Inverse of ``_bad_to``; KeyError, TypeError or ValueError if it is none."""
    if facts is None:
        return None
    if not isinstance(facts, dict) or not isinstance(facts["error"], list):
        raise TypeError("no bad frame")
    message, subject, remedy = (str(part) for part in facts["error"])
    error = InputError(message, subject=subject, remedy=remedy)
    return Unreadable(index=int(str(facts["index"])), error=error, count=int(str(facts["count"])))


def _read(job: Job, read: ReadOptions) -> Generator[SourceInfo | Frame | Unreadable, None, None]:
    """Open, read and close in one thread: file libraries keep state per thread."""
    border = translate(
        OSError, MemoryError, to=InputError, subject=job.item.subject, remedy="check that the file is whole"
    )
    with border, job.adapter.open(job.item, read) as source:
        yield source.info
        yield from source


class _Walk:
    """The state of one input on its way through: this thread asks the model, ``lane`` writes."""

    def __init__(
        self, job: Job, predictor: Predictor, settings: Settings, report: Report, tally: Tally
    ) -> None:
        self._job, self._predictor, self._settings, self._report = job, predictor, settings, report
        self._subject = job.item.subject
        self._tally = tally
        self._outputs = Outputs(job, settings, report, tally)
        self._lane = Lane(depth=WRITE_BEHIND)
        self._work: Work | None = None
        self._past: _Past | None = None
        self._info: SourceInfo | None = None
        self._first_bad: Unreadable | None = None
        self._model = NO_MODEL
        self._notes: dict[str, Json] = {}
        self._handed = tally.done
        self._last: tuple[int, Standing] | None = None
        self._folder: Work | None = None
        self._recall: Recall | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lane.end(self._outputs.close(exc))
        if isinstance(exc, InputError):
            self._let_go()  # a second try would end in the same place

    def _let_go(self) -> None:
        """Remove what was kept for a later run."""
        if self._folder is not None and (self._work is not None or self._recall is not None):
            self._folder.clear()

    def keep(self, work: Work, past: _Past | None) -> None:
        """Keep segments of a long clip, or answers for a large scene, in ``work``; go on from ``past``."""
        self._folder = work
        self._work = work if work.usable else None
        self._past = past
        if past is None:
            return
        self._handed, self._model, self._first_bad = self._tally.done, past.model, past.bad
        notes = past.facts.get("notes")
        self._notes = dict(notes) if isinstance(notes, dict) else {}

    def through(self, items: Iterator[tuple[SourceInfo | Frame | Unreadable, float]]) -> None:
        """Take everything the reader gives, then finish the outputs."""
        broken: InputError | None = None
        try:
            for item in self._foreseen(items):
                self._take(item)
        except InputError as exc:
            if not self._handed or self._settings.on_error is OnError.STOP:
                raise
            broken = exc
        if not self._handed:
            raise self._unusable()
        self._finish(broken)

    def _foreseen(self, items: Iterator[tuple[_Item, float]]) -> Iterator[_Item]:
        """What the reader gives; frames of a clip one late, so that the model can begin with the next one."""
        late: Frame | None = None
        try:
            for item, seconds in items:
                self._tally.seconds["decode"] += seconds
                if late is not None and (not isinstance(item, Frame) or self._ends_segment()):
                    yield late  # its checkpoint knows nothing of later frames
                    late = None
                begun = isinstance(item, Frame) and self._expect(item)
                if late is not None:
                    yield late
                late = item if begun and isinstance(item, Frame) else None
                if late is None:
                    yield item
        except InputError:
            if late is not None:
                yield late
            raise
        if late is not None:
            yield late

    def _ends_segment(self) -> bool:
        """Whether a checkpoint follows the next frame that is handed on."""
        return self._work is not None and (self._handed + 1) % SEGMENT_FRAMES == 0

    def _expect(self, frame: Frame) -> bool:
        """Let the model begin with a frame, if it is one for that."""
        kinds, predictor = answers(frame, self._job.kinds), self._predictor
        done = self._is_done(frame.provenance.index)
        if done or not kinds or frame.provenance.clip is None or not isinstance(predictor, Expecting):
            return False
        self._load()
        predictor.expect(frame, kinds)
        return True

    def _finish(self, broken: InputError | None) -> None:
        self._lane.wait()
        if self._info is None:
            raise broken or self._unusable()
        lost = broken or self._lost()
        if self._work is not None and self._last is not None:
            self._checkpoint(*self._last, None)
        info, now = self._info, self._standing()
        self._lane.do(lambda: self._outputs.finish(info, now, complete=lost is None))
        self._lane.wait()
        self._let_go()
        if lost is not None:
            raise lost

    def _take(self, item: SourceInfo | Frame | Unreadable) -> None:
        if isinstance(item, SourceInfo):
            self._begin(item)
        elif self._is_done(item.index if isinstance(item, Unreadable) else item.provenance.index):
            return
        elif isinstance(item, Unreadable):
            self._skip(item)
        else:
            self._frame(item)

    def _is_done(self, index: int) -> bool:
        return self._past is not None and index <= self._past.done.index

    def _begin(self, info: SourceInfo) -> None:
        self._info = info
        self._report(InputStarted(subject=self._subject, total=info.frames))
        for message in info.notices:
            self._report(Notice(subject=self._subject, message=message))
        if self._past is not None:
            message = f"goes on where an earlier run was, after {self._handed} frames"
            self._report(Notice(subject=self._subject, message=message))
        elif self._work is not None and (info.frames is None or info.frames > SEGMENT_FRAMES):
            self._work.hold()
            self._work.empty()
        else:
            self._work = None
        if self._work is not None:
            self._outputs.keep(self._work, self._past.facts if self._past else None)

    def _skip(self, item: Unreadable) -> None:
        self._tally.failed += item.count
        self._first_bad = self._first_bad or item
        event = FrameFailed(subject=self._subject, index=item.index, error=item.error)
        self._lane.do(lambda: self._report(event))  # in its place among the frames that are done
        if self._settings.on_error is OnError.STOP:
            raise item.error

    def _frame(self, frame: Frame) -> None:
        if self._info is None:
            raise TypeError("a source gave a frame before its info")
        started, loaded = time.perf_counter(), self._tally.seconds["load"]
        prediction = keep.only(self._predict(frame, answers(frame, self._job.kinds)), self._settings.classes)
        spent = time.perf_counter() - started - (self._tally.seconds["load"] - loaded)
        self._tally.seconds["infer"] += spent
        info, now, index = self._info, self._standing(), frame.provenance.index
        if isinstance(message := frame.provenance.extra.get("notice"), str):
            self._report(Notice(subject=self._subject, message=message))
        self._lane.do(lambda: self._outputs.write(info, frame, prediction, now, spent))
        self._handed += 1
        self._last = index, now
        if self._work is not None and self._handed % SEGMENT_FRAMES == 0:
            self._checkpoint(index, now, self._memory())

    def _standing(self) -> Standing:
        bad = _bad_to(self._first_bad)
        return Standing(tally=self._tally.copy(), notes=dict(self._notes), model=self._model, bad=bad)

    def _memory(self) -> Memory | None:
        return self._predictor.memory() if isinstance(self._predictor, Remembering) else None

    def _checkpoint(self, index: int, now: Standing, memory: Memory | None) -> None:
        work = self._work
        if work is not None:
            self._lane.do(lambda: self._outputs.checkpoint(work, index, now, memory))

    def _predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        measured = tuple(layer for layer in frame.measured if layer.kind in kinds)
        if kinds == {layer.kind for layer in measured}:
            return Prediction(layers=measured, tokens_kept=0.0, seconds={})
        self._model = self._load()
        prediction = self._recalled(frame, kinds) or self._answered(frame, kinds)
        self._tally.kept += prediction.tokens_kept
        self._tally.modelled += 1
        for stage, seconds in prediction.seconds.items():
            self._tally.seconds[f"infer.{stage}"] += seconds
        self._notes.update(prediction.notes)  # the last word on a clip counts (its focal length)
        return prediction

    def _recalled(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction | None:
        """What an earlier run was told of a part of a scene."""
        if self._recall is None and self._is_large(frame):
            self._recall = self._begin_recall()
        known = self._recall.get(frame, kinds) if self._recall is not None else None
        if known is not None:
            self._tally.seconds["infer"] += sum(known.seconds.values())
        return known

    def _answered(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        prediction, recall = self._predictor.predict(frame, kinds), self._recall
        if recall is not None:
            self._lane.do(lambda: recall.put(frame, prediction))
        return prediction

    def _is_large(self, frame: Frame) -> bool:
        """Whether a frame is a part of a scene that takes long enough to be worth keeping answers for."""
        parts = self._info.frames if self._info is not None else None
        return frame.provenance.scene_shape is not None and (parts or 0) >= RECALL_PARTS

    def _begin_recall(self) -> Recall | None:
        shown = any(output.attention for output in self._job.outputs)  # which is not kept with the answers
        if self._folder is None or self._settings.live or shown:
            return None
        model = sidecar.to_json(sidecar.describe_model(self._model))
        about: dict[str, Json] = {"model": model, "kinds": sidecar.to_json(self._job.kinds)}
        recall = self._folder.recall(about, resume=self._settings.resume)
        if recall:
            message = f"goes on where an earlier run was: {len(recall)} of its parts are answered"
            self._report(Notice(subject=self._subject, message=message))
        return recall

    def _load(self) -> ModelFacts:
        """The model's facts; the first time it is loaded for them, which is a stage of its own."""
        started = time.perf_counter()
        facts = self._predictor.facts
        self._tally.seconds["load"] += time.perf_counter() - started
        return facts

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


def answers(frame: Frame, wanted: frozenset[LayerKind]) -> frozenset[LayerKind]:
    """The wanted layers that this frame is for; a reader may restrict them by ``extra["layers"]``."""
    listed = frame.provenance.extra.get("layers")
    if not isinstance(listed, list | tuple):
        return wanted
    return wanted & {LayerKind(str(name)) for name in listed}
