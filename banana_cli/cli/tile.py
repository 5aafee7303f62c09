"""``banana tile``: a scene's layers as a mosaic and as tiles with an index."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from banana_cli.cli.optionlist import Task
from banana_cli.cli.options import TileArgs, command
from banana_cli.cli.predict import layers_of
from banana_cli.cli.reading import explicit_reading, explicit_writing, split, wanted_classes
from banana_cli.cli.run import Order, execute, world_of
from banana_cli.errors import UsageError
from banana_cli.plan import Opened
from banana_cli.types import Domain, LayerKind

FORMATS = ("tif", "tiles")
ELSEWHERE = frozenset(
    {
        "start",
        "end",
        "fps",
        "vid_stride",
        "no_audio",
        "no_steady",
        "bonnet",
        "focal",
        "fov",
        "side",
        "window",
        "view",
        "surface",
        "skip_localizers",
        "anonymize",
    }
)
_EPILOG = """Examples:

banana tile scene.tif                       # scene.masks.tif, scene.masks/, depth and normals likewise

banana tile scenes/ --tasks segment --format tif,tiles,geojson -o out/

banana tile scene.tif --tile 512 --overlap 64 --bidx 4,3,2"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    text = "Cut GeoTIFF scenes into tiles, run the tasks, write tiles, a seamless mosaic and an index."
    command(app, "tile", TileArgs, without=ELSEWHERE, help=text, epilog=_EPILOG)(tile)


def tile(ctx: typer.Context, args: TileArgs) -> int:
    """Run all three tasks, or those of --tasks, on scenes."""
    layers = _layers(args.tasks)
    order = Order(
        args=args,
        layers=layers,
        formats=split(args.format) or FORMATS,
        classes=wanted_classes(ctx, args, layers),
        explicit=explicit_reading(ctx),
        writing=explicit_writing(ctx),
        refuse=refuse_others,
    )
    return execute(order, world_of(ctx))


def _layers(tasks: list[str] | None) -> tuple[LayerKind, ...]:
    names = split(tasks)
    if not names:
        return tuple(LayerKind)
    known = {task.value: task for task in Task}
    if names[0] not in known:
        raise UsageError("is no task", subject=f"--tasks {names[0]}", remedy=f"tasks: {', '.join(known)}")
    return layers_of(known[names[0]], tasks)


def refuse_others(opened: Sequence[Opened]) -> None:
    """UsageError if an input is no scene."""
    for one in opened:
        if one.info.domain is not Domain.SATELLITE:
            raise UsageError(
                f"is no scene ({one.info.kind})",
                subject=one.found.item.subject,
                remedy="use banana segment, depth or normals",
            )
