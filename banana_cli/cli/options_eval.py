"""Options of ``banana eval``. Those that other verbs have too are in ``options``."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from banana_cli.cli.optionlist import option
from banana_cli.cli.options import TalkArgs

_JUDGE = "Judging"


class LayerName(StrEnum):
    """What can be judged."""

    MASKS = "masks"
    DEPTH = "depth"
    HEIGHTS = "heights"
    NORMALS = "normals"


Predictions = Annotated[
    Path | None,
    typer.Argument(
        metavar="PREDICTIONS",
        help="What banana or another program wrote: a folder (with all below) or a file.",
    ),
]
Truth = Annotated[
    Path | None,
    typer.Argument(
        metavar="TRUTH",
        help="A folder or a file: class ids, Cityscapes, KITTI depth, .npy, .tif, or COCO JSON.",
    ),
]
LayerOf = Annotated[
    LayerName | None,
    option(
        "--layer", text="Judge this alone, and take files that do not tell for it.", panel=_JUDGE, env=False
    ),
]
JudgedClasses = Annotated[
    list[str] | None,
    option(
        "--classes",
        text="What the numbers of the truth mean: a table (street, street-groups, cityscapes, medical,"
        " aerial), a JSON file, or 0=background,1=lung. Names alone (road,sky): only these are judged.",
        panel=_JUDGE,
        metavar="NAME,...",
    ),
]
Tolerance = Annotated[
    int,
    option("--tolerance", text="How far boundaries may lie apart, in pixels.", panel=_JUDGE, metavar="PX"),
]
MaxDepth = Annotated[
    float | None,
    option(
        "--max-depth",
        text="Truths farther away are not judged (80 is usual on streets).",
        panel=_JUDGE,
        metavar="LENGTH",
    ),
]
Align = Annotated[
    bool,
    option(
        "--align", text="Scale each depth to the median of its truth, as relative ones are.", panel=_JUDGE
    ),
]
Clip = Annotated[
    Path | None,
    option(
        "--clip",
        text="The clip that masks were made of: how steady are they along its optical flow?",
        panel=_JUDGE,
        metavar="INPUT",
        env=False,
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalArgs(TalkArgs):
    """What eval takes."""

    predictions: Predictions = None
    truth: Truth = None
    layer: LayerOf = None
    classes: JudgedClasses = None
    tolerance: Tolerance = 2
    max_depth: MaxDepth = None
    align: Align = False
    clip: Clip = None
