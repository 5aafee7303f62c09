"""``banana info``: what a reader sees of its inputs, from headers alone; no model, no identity."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import typer

from banana_cli import sidecar
from banana_cli.adapter import SourceInfo
from banana_cli.cli.console import Console, clean
from banana_cli.cli.gather import gather, nothing_usable
from banana_cli.cli.options import InputArgs, command
from banana_cli.cli.reading import explicit_reading, read_options
from banana_cli.cli.run import console_of, world_of
from banana_cli.cli.world import World
from banana_cli.pipeline import exit_status
from banana_cli.types import Json, LayerKind

_EPILOG = """Examples:

banana info drive.mp4 scan.dcm scene.tif

banana info scans/ --json | jq .facts"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    command(
        app,
        "info",
        InputArgs,
        help="What banana sees of inputs: kind, size, frames, geometry.",
        epilog=_EPILOG,
    )(info)


def info(ctx: typer.Context, args: InputArgs) -> int:
    """Show every input; the exit status tells of those that could not be read."""
    return show(args, explicit_reading(ctx), world_of(ctx))


def show(args: InputArgs, explicit: tuple[str, ...], world: World) -> int:
    """As ``info``, in a given world."""
    with ExitStack() as stack:
        console = stack.enter_context(console_of(args, world))
        gathered = gather(args, explicit, read_options(args, frozenset(LayerKind)), world, console, stack)
        if problem := nothing_usable(gathered):
            raise problem
        for opened in gathered.opened:
            if args.as_json:
                console.record(record_of(opened.info))
            else:
                _table(opened.info, console, world)
        return exit_status(len(gathered.opened), gathered.errors)


def record_of(source: SourceInfo) -> dict[str, object]:
    """One input as JSON."""
    layers = {layer.value: name for layer, name in source.formats.items()}
    described: dict[str, object] = dict(sidecar.describe_source(source))
    return {"input": source.item.subject, **described, "layers": layers, "notices": list(source.notices)}


def _table(source: SourceInfo, console: Console, world: World) -> None:
    """A block of lines a person can read, the same on a terminal and in a pipe."""
    rows = _rows(source)
    width = max(len(name) for name, _ in rows)
    console.result(clean(source.item.subject))
    for name, text in rows:
        console.result(f"  {clean(name):<{width}}  {clean(text)}")
    for notice in source.notices:
        console.notice(source.item.subject, notice)


def _rows(source: SourceInfo) -> list[tuple[str, str]]:
    frames = "unknown" if source.frames is None else str(source.frames)
    rows = [
        ("domain", source.domain.value),
        ("kind", f"{source.kind} ({source.modality.value})"),
        ("size", f"{source.shape[1]} x {source.shape[0]} px"),
        ("frames", frames),
    ]
    rows += [
        (name.replace("_", " "), _text(value)) for name, value in source.facts.items() if value is not None
    ]
    outputs = ", ".join(f"{layer.value} ({name})" for layer, name in source.formats.items())
    return [*rows, ("outputs", outputs)]


def _text(value: Json) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(_text(v) for v in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
