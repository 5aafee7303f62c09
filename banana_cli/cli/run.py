"""One run of the model over inputs: what segment, depth, normals and tile have in common."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import typer

from banana_cli import keep, plan, sidecar
from banana_cli.adapter import LiveFormat, ThingFormat
from banana_cli.atomic import part_name
from banana_cli.cli import runfile
from banana_cli.cli.console import Console, Manner, clean
from banana_cli.cli.gather import Gathered, gather, nothing_usable
from banana_cli.cli.options import ArgsT, TalkArgs, WorkArgs, command
from banana_cli.cli.reading import check_device, read_options
from banana_cli.cli.world import EngineOptions, LazyEngine, World, real_world
from banana_cli.errors import ExitStatus, InputError, UsageError, WeightsError
from banana_cli.events import Event, InputFailed
from banana_cli.growing import Outflow
from banana_cli.options import ReadOptions
from banana_cli.pipeline import Job, OnError, Predictor, RunResult, Settings, exit_status, run
from banana_cli.types import Json, LayerKind
from banana_cli.weights_index import sha256_of

STDOUT = "-"
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,7}$")
Refuse = Callable[[Sequence[plan.Opened]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a verb wants of all inputs. ``refuse`` may object to the inputs themselves."""

    args: WorkArgs
    layers: tuple[LayerKind, ...]
    formats: tuple[str, ...]
    classes: tuple[str, ...] = ()
    explicit: tuple[str, ...] = ()
    writing: tuple[str, ...] = ()
    attention: bool = False
    refuse: Refuse | None = None


@dataclass(slots=True)
class Work:
    """What is left to do, and how many outputs an earlier run has done."""

    jobs: list[Job] = field(default_factory=list)
    left_out: int = 0


def console_of(args: TalkArgs, world: World) -> Console:
    """The console that the options ask for."""
    manner = Manner(as_json=args.as_json, quiet=args.quiet, verbose=args.verbose, debug=args.debug)
    return Console(manner, stdout=world.stdout, stderr=world.stderr, environ=world.environ)


def world_of(ctx: typer.Context) -> World:
    """The world that a test put into the context, else the real one."""
    return ctx.obj if isinstance(ctx.obj, World) else real_world()


def talking(
    app: typer.Typer,
    name: str,
    kind: type[ArgsT],
    work: Callable[[ArgsT, World, Console], int],
    **kwargs: Any,  # noqa: ANN401
) -> None:
    """Register a verb that needs its options, the world and a console, and gives its exit status."""

    def verb(ctx: typer.Context, args: ArgsT) -> int:
        world = world_of(ctx)
        with console_of(args, world) as console:
            return work(args, world, console)

    command(app, name, kind, **kwargs)(verb)


def execute(order: Order, world: World) -> ExitStatus:
    """Find, plan, check, run, close. Errors of the whole run are raised, those of inputs reported."""
    args = order.args
    read = read_options(args, frozenset(order.layers))
    with ExitStack() as stack:
        console = stack.enter_context(console_of(args, world))
        _refuse_stdout(args, world)
        gathered = gather(args, order.explicit, read, world, console, stack)
        gathered.leave_out_empty(console)
        if problem := nothing_usable(gathered):
            raise problem
        if not gathered.opened:
            return exit_status(0, gathered.errors)
        if order.refuse is not None:
            order.refuse(gathered.opened)
        classes = keep.chosen(order.classes, (one.info for one in gathered.opened))
        options = _options_in_force(args, order, read) | {"classes": list(classes)}
        target = _target(args, stack)
        work = _plan(order, options, gathered, target, world, console)
        if args.output == STDOUT:
            _refuse_unstreamable(work)
            for output in (output for job in work.jobs for output in job.outputs):
                console.rename(output.path, STDOUT)
        if args.dry_run:
            return _say_plan(work, gathered, console)
        settings = Settings(
            read=read,
            tasks=world.tasks,
            classes=classes,
            on_error=args.on_error,
            max_failures=args.max_failures,
            options=options,
            resume=args.resume,
            live=args.output == STDOUT,
        )
        outflow = _outflow(args, work, world)
        result = _run(work, gathered, order, settings, world, console, outflow)
        _close(order, options, target, work, result, world, console, outflow)
        return result.status


def _refuse_stdout(args: WorkArgs, world: World) -> None:
    if args.output != STDOUT:
        return
    if args.as_json:
        raise UsageError("stdout cannot hold both", subject="-o - --json", remedy="leave one of them out")
    if world.stdout.isatty():
        raise UsageError("stdout is a terminal", subject="-o -", remedy="redirect it into a file or a pipe")


def _refuse_unstreamable(work: Work) -> None:
    outputs = [output for job in work.jobs for output in job.outputs]
    if len(outputs) > 1:
        raise UsageError(
            f"takes one output, not {len(outputs)}", subject="-o -", remedy="ask for one layer of one input"
        )
    if outputs and outputs[0].path.name.endswith(f".{outputs[0].layer.value}"):
        raise UsageError("cannot take a folder", subject="-o -", remedy="name another --format")


def _outflow(args: WorkArgs, work: Work, world: World) -> Outflow | None:
    """What passes the one output to stdout while it is written, where format and system allow it."""
    outputs = [output for job in work.jobs for output in job.outputs]
    if args.output != STDOUT or os.name != "posix" or not outputs:
        return None
    if not (isinstance(outputs[0].format, LiveFormat) and outputs[0].format.live):
        return None
    return Outflow(part_name(outputs[0].path), world.stdout.buffer)


def _engine_options(order: Order, world: World) -> EngineOptions:
    args = order.args
    return EngineOptions(
        weights=world.resolve_weights(args.weights, args.model),
        device=check_device(args.device),
        precision=args.precision.value,
        budget=args.budget,
        seed=args.seed,
        threads=args.jobs,
        side=args.side,
        tile=args.tile,
        overlap=args.overlap,
        attention=order.attention,
        runtime=args.runtime,
    )


def _options_in_force(args: WorkArgs, order: Order, read: ReadOptions) -> dict[str, Json]:
    """What the outputs depend on: kept in sidecars, compared by --resume. No folders, no loudness."""
    return {
        "layers": [layer.value for layer in order.layers],
        "depth_encoding": args.depth_encoding.value,
        "min_zoom": args.min_zoom,
        "max_zoom": args.max_zoom,
        "tiling_scheme": args.tiling_scheme,
        "model": args.model,
        "weights": args.weights.name if args.weights else None,
        "device": check_device(args.device),
        "precision": args.precision.value,
        "runtime": args.runtime.value,
        "budget": args.budget,
        "side": args.side,
        "tile": args.tile,
        "overlap": args.overlap,
        "seed": args.seed,
        "domain": sidecar.to_json(args.domain),
        "video": sidecar.to_json(asdict(read.video)),
        "camera": sidecar.to_json(asdict(read.camera)),
        "raster": sidecar.to_json(asdict(read.raster)),
        "dicom": sidecar.to_json(asdict(read.dicom)),
    }


def _target(args: WorkArgs, stack: ExitStack) -> plan.Target:
    """Where the outputs go. A word with a suffix names a file, unless it is a folder or ends with a slash."""
    if args.output == STDOUT:
        return plan.Target(folder=Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="banana-"))))
    path = Path(args.output)
    is_folder = args.output.endswith(("/", "\\")) or path.is_dir() or not _SUFFIX.search(path.name)
    return plan.Target(folder=path) if is_folder else plan.Target(folder=path.parent, file=path)


def _plan(
    order: Order,
    options: dict[str, Json],
    gathered: Gathered,
    target: plan.Target,
    world: World,
    console: Console,
) -> Work:
    """Jobs for all inputs, checked: no collisions, nothing in the way, nothing done twice."""
    args = order.args
    wish = plan.Wish(
        layers=order.layers,
        formats=order.formats,
        overwrite=args.overwrite,
        resume=args.resume,
        attention=order.attention,
        options=options,
        weights_sha256=_weights_now(args, world) if args.resume else None,
    )
    plan.refuse_unknown(order.formats, world.formats)
    jobs: list[Job] = []
    kept: list[plan.Opened] = []
    for opened in list(gathered.opened):
        try:
            jobs.append(plan.job_of(opened, wish, target, world.formats, inputs=len(gathered.opened)))
            kept.append(opened)
            if told := plan.lacking(opened, wish):
                console.notice(opened.found.item.subject, told)
        except InputError as exc:
            gathered.fail(exc, console)
    plan.refuse_idle(order.writing, jobs)
    plan.refuse_collisions(jobs)
    work = Work()
    for job, opened in zip(jobs, kept, strict=True):
        settled = [plan.settle(output, opened, wish) for output in job.outputs]
        todo = tuple(output for output in settled if output is not None)
        work.left_out += len(settled) - len(todo)
        if todo:
            work.jobs.append(replace(job, outputs=todo))
    plan.refuse_existing(work.jobs)
    return work


def _weights_now(args: WorkArgs, world: World) -> str | None:
    """Digest of the weights that would answer; None without any, which measured layers do not need."""
    try:
        return sha256_of(world.resolve_weights(args.weights, args.model))
    except WeightsError:
        return None


def _say_plan(work: Work, gathered: Gathered, console: Console) -> ExitStatus:
    for job in work.jobs:
        for output in job.outputs:
            if console.manner.as_json:
                facts = {"input": job.item.subject, "layer": output.word, "format": output.format.name}
                console.record({**facts, "path": str(output.path)})
            else:
                console.result(clean(f"{job.item.subject} -> {output.path} ({output.format.name})"))
    return exit_status(len(work.jobs), gathered.errors)


def _run(
    work: Work,
    gathered: Gathered,
    order: Order,
    settings: Settings,
    world: World,
    console: Console,
    outflow: Outflow | None,
) -> RunResult:
    """Run the jobs; inputs that failed before count as the run's failures."""
    early = tuple(InputFailed(subject=e.subject, error=e) for e in gathered.errors)
    left = None if settings.max_failures is None else settings.max_failures - len(early)
    if early and (settings.on_error is OnError.STOP or (left is not None and left <= 0)):
        status = exit_status(work.left_out, gathered.errors, stopped=bool(work.jobs))
        return RunResult(failures=early, status=status, stopped=True)
    if not work.jobs:
        return RunResult(failures=early, status=exit_status(work.left_out, gathered.errors))
    counted = _counted(work)
    options = replace(_engine_options(order, world), instances=counted)
    engine = _followed(LazyEngine(lambda: world.load_engine(options)), counted=counted)
    console.expect(len(work.jobs))

    def report(event: Event) -> None:
        console.report(event)
        if outflow is not None:
            outflow.check()  # whoever reads may have left

    result = run(work.jobs, engine, replace(settings, max_failures=left), report)
    failures = (*early, *result.failures)
    errors = [f.error for f in failures]
    status = exit_status(len(result.outputs) + work.left_out, errors, stopped=result.stopped)
    return replace(result, failures=failures, status=status)


def _counted(work: Work) -> bool:
    """Whether a format asks for countable things."""
    formats = [output.format for job in work.jobs for output in job.outputs]
    return any(isinstance(f, ThingFormat) and f.things for f in formats)


def _followed(engine: Predictor, *, counted: bool) -> Predictor:
    """The engine, and somebody to follow things where they are counted."""
    if not counted:
        return engine
    from banana_cli.follow import Follow

    return Follow(engine)


def _close(
    order: Order,
    options: dict[str, Json],
    target: plan.Target,
    work: Work,
    result: RunResult,
    world: World,
    console: Console,
    outflow: Outflow | None,
) -> None:
    """The bytes for stdout, or run.json; then the last line."""
    if work.left_out:
        console.line(f"note: {work.left_out} outputs were done already")
    if outflow is not None:
        outflow.finish(work.jobs[0].outputs[0].path)
    elif order.args.output == STDOUT:
        for output in result.outputs:
            if output.path.is_dir():  # some formats write a folder for some inputs only
                raise UsageError("cannot take a folder", subject="-o -", remedy="name another --format")
            with output.path.open("rb") as file:
                shutil.copyfileobj(file, world.stdout.buffer)
        world.stdout.flush()
    elif result.outputs:
        runfile.write(target.folder, options, result, shard=order.args.shard, console=console)
    console.__exit__()
    console.summary(result)
    console.details(result)
