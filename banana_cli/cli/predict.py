"""The verbs that run the model: segment, depth, normals."""

from __future__ import annotations

from collections.abc import Callable

import typer

from banana_cli.cli.optionlist import Task
from banana_cli.cli.options import RunArgs, command
from banana_cli.cli.reading import explicit_reading, explicit_writing, split, wanted_classes
from banana_cli.cli.run import Order, execute, world_of
from banana_cli.errors import UsageError
from banana_cli.types import LayerKind

_MORE = "\n\nFormats: banana help formats. Options in the environment or a file: banana help settings."
LAYER_OF = {Task.SEGMENT: LayerKind.MASKS, Task.DEPTH: LayerKind.DEPTH, Task.NORMALS: LayerKind.NORMALS}

_SEGMENT = """Examples:

banana segment drive.mp4                          # drive.masks.mp4

banana segment drive.mp4 --with depth,normals -o out/

banana segment scans/ --format dcm,nii -o out/    # the tree of scans/ is mirrored

banana segment scene.tif -o roads.tif --classes road --budget 0.2"""
_DEPTH = """Examples:

banana depth drive.mp4 --fov 90                   # metres along the optical axis

banana depth ct-series/ --view anterior -o out/   # millimetres from the viewing plane

banana depth photo.jpg -o - > depth.png           # 16 bit, value / 256 = metres"""
_NORMALS = """Examples:

banana normals drive.mp4 --format frames -o out/

banana normals scene.tif --with depth

find . -name '*.jpg' -print0 | banana normals --files-from - -0 -o out/"""


def layers_of(first: Task, more: list[str] | None) -> tuple[LayerKind, ...]:
    """The verb's own layer and those of --with. UsageError for a task that does not exist."""
    names = split(more)
    known = {task.value: task for task in Task}
    for name in names:
        if name not in known:
            raise UsageError("is no task", subject=f"--with {name}", remedy=f"tasks: {', '.join(known)}")
    wanted = {LAYER_OF[first], *(LAYER_OF[known[name]] for name in names)}
    return tuple(layer for layer in LayerKind if layer in wanted)


def _verb(task: Task) -> Callable[[typer.Context, RunArgs], int]:
    def call(ctx: typer.Context, args: RunArgs) -> int:
        layers = layers_of(task, args.with_)
        order = Order(
            args=args,
            layers=layers,
            formats=split(args.format),
            classes=wanted_classes(ctx, args, layers),
            explicit=explicit_reading(ctx),
            writing=explicit_writing(ctx),
            attention=args.attention,
        )
        return execute(order, world_of(ctx))

    return call


def register(app: typer.Typer) -> None:
    """Add the three verbs."""
    texts = {
        Task.SEGMENT: ("Class masks of videos, pictures, scans and scenes.", _SEGMENT),
        Task.DEPTH: ("Depth: metres in videos, pictures and scenes, millimetres in scans.", _DEPTH),
        Task.NORMALS: ("Surface normals, as unit vectors.", _NORMALS),
    }
    for task, (text, epilog) in texts.items():
        command(app, task.value, RunArgs, help=text, epilog=epilog + _MORE)(_verb(task))
