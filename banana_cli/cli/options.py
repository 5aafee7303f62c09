"""What each verb takes: the fields of a dataclass, spelled as in ``optionlist``, become its parameters.

A verb is a few lines, and an option is spelled the same everywhere.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, get_type_hints

import typer

from banana_cli.cli import optionlist as o
from banana_cli.options import Bonnet, Precision, Runtime, Sensor, ViewName
from banana_cli.pipeline import OnError
from banana_cli.weights_index import DEFAULT_MODEL


@dataclasses.dataclass(frozen=True, kw_only=True)
class TalkArgs:
    """What every verb takes."""

    as_json: o.AsJson = False
    quiet: o.Quiet = False
    verbose: o.Verbose = False
    debug: o.Debug = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputArgs(TalkArgs):
    """What every verb that reads inputs takes; ``READING`` are the options that only some domains obey."""

    READING: ClassVar[tuple[str, ...]] = (
        "start",
        "end",
        "fps",
        "vid_stride",
        "no_audio",
        "no_steady",
        "bonnet",
        "focal",
        "fov",
        "bidx",
        "nodata",
        "sensor",
        "window",
        "view",
        "surface",
        "skip_localizers",
        "anonymize",
    )
    inputs: o.Words = None
    files_from: o.FilesFrom = None
    null: o.Null = False
    domain: o.DomainOf = None
    shard: o.Shard = None
    start: o.Start = None
    end: o.End = None
    fps: o.Fps = None
    vid_stride: o.VidStride = 1
    no_audio: o.NoAudio = False
    no_steady: o.NoSteady = False
    bonnet: o.BonnetOf = Bonnet.AUTO
    focal: o.Focal = None
    fov: o.Fov = None
    bidx: o.Bidx = None
    nodata: o.Nodata = None
    sensor: o.SensorOf = Sensor.AUTO
    window: o.WindowOf = None
    view: o.ViewFrom = ViewName.ANTERIOR
    surface: o.SurfaceOf = "skin"
    skip_localizers: o.SkipLocalizers = False
    anonymize: o.Anonymize = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkArgs(InputArgs):
    """What every verb that runs the model takes; ``WRITING`` are options that only some formats obey."""

    WRITING: ClassVar[tuple[str, ...]] = ("depth_encoding", "min_zoom", "max_zoom", "tiling_scheme")

    output: o.OutputTo = "."
    format: o.Formats = None
    depth_encoding: o.DepthStored = o.DepthEncoding.KITTI16
    min_zoom: o.MinZoom = None
    max_zoom: o.MaxZoom = None
    tiling_scheme: o.TilingScheme = None
    classes: o.Classes = None
    overwrite: o.Overwrite = False
    resume: o.Resume = False
    dry_run: o.DryRun = False
    jobs: o.Jobs = None
    on_error: o.OnErrorDo = OnError.SKIP
    max_failures: o.MaxFailures = None
    model: o.Model = DEFAULT_MODEL
    weights: o.Weights = None
    device: o.Device = "auto"
    precision: o.PrecisionOf = Precision.AUTO
    runtime: o.RuntimeOf = Runtime.TORCH
    budget: o.Budget = None
    side: o.Side = None
    tile: o.Tile = None
    overlap: o.Overlap = None
    seed: o.Seed = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunArgs(WorkArgs):
    """What segment, depth and normals take."""

    with_: o.With = None
    attention: o.Attention = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class TileArgs(WorkArgs):
    """What tile takes."""

    tasks: o.Tasks = None


ArgsT = TypeVar("ArgsT", bound=TalkArgs)


def command(
    app: typer.Typer,
    name: str,
    kind: type[ArgsT],
    *,
    without: frozenset[str] = frozenset(),
    **kwargs: Any,  # noqa: ANN401
) -> Callable[[Callable[[typer.Context, ArgsT], int]], Callable[[typer.Context, ArgsT], int]]:
    """Register a verb whose options are the fields of ``kind``; its result is the exit status.

    Fields named in ``without`` are no options of this verb and keep their defaults.
    """

    def register(verb: Callable[[typer.Context, ArgsT], int]) -> Callable[[typer.Context, ArgsT], int]:
        def call(ctx: typer.Context, **values: Any) -> int:  # noqa: ANN401
            return verb(ctx, kind(**values))

        call.__signature__ = _signature(kind, without)  # type: ignore[attr-defined]
        call.__doc__ = verb.__doc__
        app.command(name, **kwargs)(call)
        return verb

    return register


def _signature(kind: type[TalkArgs], without: frozenset[str]) -> inspect.Signature:
    hints: Mapping[str, Any] = get_type_hints(kind, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    fields = [
        inspect.Parameter(f.name, keyword, default=f.default, annotation=hints[f.name])
        for f in dataclasses.fields(kind)
        if f.name not in without
    ]
    return inspect.Signature([context, *sorted(fields, key=_place)])


def _place(parameter: inspect.Parameter) -> int:
    """Help shows what matters most first, whatever the order of inheritance."""
    (option,) = parameter.annotation.__metadata__
    panel = option.rich_help_panel
    return o.PANELS.index(panel) if panel in o.PANELS else -1


def given(ctx: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line itself (not in the environment or a file)."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def flag_of(name: str) -> str:
    """The spelling of a parameter: vid_stride -> vid-stride."""
    return name.rstrip("_").replace("_", "-")
