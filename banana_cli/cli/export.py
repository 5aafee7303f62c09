"""``banana export``: the model as an ONNX graph, or weights with fewer bits."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from banana_cli.cli.console import Console
from banana_cli.cli.options import command, given
from banana_cli.cli.options_tools import ExportArgs
from banana_cli.cli.run import console_of, world_of
from banana_cli.cli.world import World
from banana_cli.errors import ExitStatus, UsageError
from banana_cli.options import ExportFormat
from banana_cli.weights_index import DEFAULT_MODEL

if TYPE_CHECKING:
    from banana_cli.export import ExportOptions

_OF_GRAPHS = {"picture": "--size", "budget": "--budget", "modality": "--modality"}
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_EPILOG = """Examples:

banana export -o street.onnx                              # 288x512, what 16:9 video is seen at

banana export --modality ct --size 512x512 -o ct.onnx

banana export --format int8 -o small.safetensors          # then: banana segment --weights small.safetensors

A graph's metadata ("banana", JSON) tells what its inputs and outputs mean. Graphs need the extra onnx."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    text = "The model as a file for other programs (ONNX), or smaller weights (int8, int4)."
    command(app, "export", ExportArgs, help=text, epilog=_EPILOG)(export)


def export(ctx: typer.Context, args: ExportArgs) -> int:
    """Write one file."""
    world = world_of(ctx)
    explicit = tuple(flag for name, flag in _OF_GRAPHS.items() if given(ctx, name))
    with ExitStack() as stack:
        console = stack.enter_context(console_of(args, world))
        return _write(_options(args, explicit, world), args, console)


def _write(options: ExportOptions, args: ExportArgs, console: Console) -> int:
    from banana_cli.export import export  # torch: only once the options are known to be good

    facts = export(options)
    if args.as_json:
        console.record(facts)
    else:
        console.result(f"{facts['path']}: {facts['format']}, {options.target.stat().st_size / 1e6:.2f} MB")
    return ExitStatus.OK


def _options(args: ExportArgs, explicit: tuple[str, ...], world: World) -> ExportOptions:
    if args.kind is not ExportFormat.ONNX and explicit:
        raise UsageError(f"cannot act on {args.kind} weights", subject=explicit[0], remedy="leave it out")
    if args.budget is not None and not 0 < args.budget <= 1:
        raise UsageError(
            f"{args.budget:g} is no share", subject="--budget", remedy="choose a number above 0, up to 1"
        )
    size = _SIZE.fullmatch(args.picture)
    if size is None:
        raise UsageError("is no ROWSxCOLUMNS", subject=f"--size {args.picture}", remedy="try --size 288x512")
    named = None if args.weights is None or str(args.weights) == "default" else args.weights
    weights = world.resolve_weights(named, DEFAULT_MODEL)
    from banana_cli.export import ExportOptions

    return ExportOptions(
        weights=weights,
        target=_target(args, weights),
        format=args.kind,
        size=(int(size[1]), int(size[2])),
        budget=args.budget,
        modality=args.modality,
        overwrite=args.overwrite,
    )


def _target(args: ExportArgs, weights: Path) -> Path:
    """The file that -o names, or one in the folder that it names."""
    suffix = ".onnx" if args.kind is ExportFormat.ONNX else ".safetensors"
    path = Path(args.output)
    if args.output.endswith("/") or path.is_dir():
        more = "" if args.kind is ExportFormat.ONNX else f"-{args.kind}"
        return path / f"{weights.stem}{more}{suffix}"
    if path.suffix != suffix:
        raise UsageError(f"does not end in {suffix}", subject=f"-o {args.output}", remedy="name it so")
    return path
