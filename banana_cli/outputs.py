"""The outputs of one input while they are written: opened, fed, kept safe, finished, told.

Everything here runs in the one thread that writes, as libraries keep state per thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from banana_cli import atomic, sidecar
from banana_cli.adapter import ResumableFormat, ResumableSink, Sink, SinkJob, SourceInfo
from banana_cli.atomic import Staged, writing
from banana_cli.classes import TABLE_OF
from banana_cli.errors import OutputError, translate
from banana_cli.events import FrameDone, Notice, OutputDone, Report
from banana_cli.jobs import SOFTWARE, Job, Output, Settings, Tally
from banana_cli.types import Frame, Json, LayerKind, ModelFacts, Prediction
from banana_cli.work import Memory, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the other thread knows at one moment: counts, notes, which model answers."""

    tally: Tally
    notes: Mapping[str, Json]
    model: ModelFacts
    bad: Json


class Outputs:
    """All outputs of one job. ``tally.done``, ``written`` and ``seconds["encode"]`` are counted here."""

    def __init__(self, job: Job, settings: Settings, report: Report, tally: Tally) -> None:
        self._job, self._settings, self._report, self._tally = job, settings, report, tally
        self._subject = job.item.subject
        self._stack = ExitStack()
        self._writers: list[Writer] = []
        self._geometry: dict[LayerKind, Json] = {}
        self._work: Work | None = None
        self._saved: Mapping[str, Json] = {}

    def keep(self, work: Work | None, saved: Mapping[str, Json] | None) -> None:
        """Keep segments in ``work``, going on from the checkpoint ``saved``."""
        self._work, self._saved = work, saved or {}
        for kind, facts in _mapping(self._saved.get("geometry")).items():
            self._geometry[LayerKind(kind)] = facts

    def write(
        self, info: SourceInfo, frame: Frame, prediction: Prediction, now: Standing, spent: float
    ) -> None:
        """Take one frame's layers, which took ``spent`` seconds to infer, and tell."""
        started = time.perf_counter()
        if not self._writers:
            self.open(info, now.model)
        given = [kind for kind in self._job.kinds if prediction.of(kind) is not None]
        self._tally.written.update(given)
        self._tally.attended += prediction.attention is not None
        for kind in given:  # a volume's surface and its slices lie differently
            if kind not in self._geometry:
                self._geometry[kind] = sidecar.describe_geometry(frame.geometry)
        for writer in self._writers:
            if writer.output.holds(prediction):
                with writing(writer.output.path):
                    writer.sink.write(frame, prediction)
        seconds = time.perf_counter() - started
        self._tally.seconds["encode"] += seconds
        self._tally.done += 1
        index, kept = frame.provenance.index, prediction.tokens_kept
        self._report(FrameDone(subject=self._subject, index=index, seconds=spent + seconds, kept=kept))

    def open(self, info: SourceInfo, model: ModelFacts) -> None:
        """Open the outputs, once the first frame has told which model answers."""
        for output in self._job.outputs:
            staged = self._stack.enter_context(Staged(output.path, overwrite=output.overwrite))
            closer = self._stack.enter_context(_Closer(output.path))
            with writing(output.path), self._whole():
                sink = closer.enter_context(self._sink(output, staged, self._sink_job(output, info, model)))
            self._writers.append(Writer(output=output, staged=staged, sink=sink, closer=closer))

    def _sink(self, output: Output, staged: Staged, job: SinkJob) -> AbstractContextManager[Sink]:
        if self._work is None or not isinstance(output.format, ResumableFormat):
            return output.format.open(staged.part, job)
        state = _mapping(self._saved.get("outputs")).get(output.path.name)
        folder = self._work.folder / output.path.name
        return output.format.resume(staged.part, job, folder, state if isinstance(state, dict) else None)

    def _whole(self) -> AbstractContextManager[None]:
        """A format that cannot go on says so by a ValueError; without a checkpoint that is a bug."""
        if self._work is None or not self._saved:
            return nullcontext()
        remedy = "run it again without --resume"
        return translate(ValueError, to=OutputError, subject=str(self._work.folder), remedy=remedy)

    def _sink_job(self, output: Output, info: SourceInfo, model: ModelFacts) -> SinkJob:
        return SinkJob(
            info=info,
            layer=output.layer,
            table=TABLE_OF[info.modality],
            look=self._settings.looks[info.modality],
            model=model,
            software=SOFTWARE,
            tasks=self._settings.tasks,
            options=self._settings.options,
            live=self._settings.live,
        )

    def checkpoint(self, work: Work, index: int, now: Standing, memory: Memory | None) -> None:
        """End a segment: all that was written is safe, and ``work`` says so."""
        started = time.perf_counter()
        states: dict[str, Json] = {}
        for writer in self._writers:
            with writing(writer.output.path):
                states[writer.output.path.name] = cast(ResumableSink, writer.sink).checkpoint()
        tally = now.tally  # it was taken before the last frames were written
        tally.done, tally.written = self._tally.done, self._tally.written.copy()
        tally.attended = self._tally.attended
        tally.seconds["encode"] = self._tally.seconds["encode"] + time.perf_counter() - started
        self._tally.seconds["encode"] = tally.seconds["encode"]
        facts: dict[str, Json] = {
            "index": index,
            "tally": tally.to_json(),
            "notes": sidecar.to_json(now.notes),
            "bad": now.bad,
            "model": sidecar.to_json(sidecar.describe_model(now.model)),
            "geometry": {kind.value: facts for kind, facts in self._geometry.items()},
            "outputs": states,
        }
        work.save(facts, memory)

    def finish(self, info: SourceInfo, now: Standing, *, complete: bool) -> None:
        """Close all outputs, put them under their names, write their sidecars and tell."""
        if not self._writers:
            self.open(info, now.model)
        for writer in self._writers:
            self._finish(writer, info, now, complete=complete)

    def _finish(self, writer: Writer, info: SourceInfo, now: Standing, *, complete: bool) -> None:
        output = writer.output
        if not self._tally.frames_of(output):
            message = f"no frame gives {output.word}, so {output.path.name} is not written"
            self._report(Notice(subject=self._subject, message=message))
            return
        started = time.perf_counter()
        with writing(output.path):
            encoding = writer.sink.finish()
            writer.closer.close()
        self._tally.seconds["encode"] += time.perf_counter() - started
        facts = self._facts(writer, encoding, info, now, complete=complete)
        side = sidecar.sidecar_path(output.path)
        with Staged(side, overwrite=output.overwrite or sidecar.read(side) is not None) as staged:
            atomic.fill(staged, sidecar.dumps(facts) + "\n")
            writer.staged.commit()
            staged.commit()
        self._report(OutputDone(subject=self._subject, path=output.path, sidecar=side, facts=facts))

    def _facts(
        self,
        writer: Writer,
        encoding: Mapping[str, Json],
        info: SourceInfo,
        now: Standing,
        *,
        complete: bool,
    ) -> dict[str, object]:
        """The sidecar of one output, in the order in which a person reads it."""
        output, tally = writer.output, self._tally
        facts: dict[str, object] = {
            "schema": sidecar.OUTPUT_SCHEMA,
            "software": SOFTWARE,
            "output": output.path.name,
            "bytes": atomic.bytes_of(writer.staged.part),
            "layer": output.word,
            "format": output.format.name,
            "complete": complete,
            "frames_done": tally.frames_of(output),
            "frames_failed": tally.failed,
            "encoding": encoding,
            "input": sidecar.describe_input(self._job.item),
            "source": sidecar.describe_source(info),
            "geometry": self._geometry.get(output.layer),
            "model": sidecar.describe_model(now.model),
            "tokens_kept": tally.tokens_kept(),
            "options": self._settings.options,
            "seconds": {k: round(v, 6) for k, v in sorted(tally.seconds.items())},
            "notes": now.notes,
            "notices": list(info.notices),
        }
        if output.layer is LayerKind.MASKS and not output.attention:
            facts["classes"] = sidecar.describe_classes(TABLE_OF[info.modality], self._settings.classes)
        return facts

    def close(self, exc: BaseException | None) -> Callable[[], None]:
        """What to do last: leaving without commit removes every part; sinks close before their parts go."""

        def last() -> None:
            self._stack.__exit__(type(exc) if exc else None, exc, None)

        return last


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
