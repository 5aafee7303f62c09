"""Options of the verbs that read no inputs: bench, decode and export. The others' are in ``options``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from banana_cli.cli.optionlist import (
    MODEL,
    OUT,
    RUN,
    Budget,
    Device,
    Jobs,
    Model,
    OutputTo,
    Overwrite,
    PrecisionOf,
    RuntimeOf,
    Weights,
    option,
)
from banana_cli.cli.options import TalkArgs
from banana_cli.cli.options_eval import JudgedClasses
from banana_cli.options import ExportFormat, Precision, Runtime
from banana_cli.types import Modality
from banana_cli.weights_index import DEFAULT_MODEL

Sizes = Annotated[
    list[int] | None,
    option("--size", text="Side of the square picture, several times (512).", panel=RUN, metavar="PX"),
]
Runs = Annotated[
    int, option("--runs", text="Passes whose median and 95th percentile are told.", panel=RUN, metavar="N")
]
Labelled = Annotated[
    Path | None,
    option(
        "--data",
        text="A folder with images/ and labels/ (class ids, 255 none): mean IoU of every row too.",
        panel=RUN,
        metavar="FOLDER",
    ),
]
Quick = Annotated[bool, option("--quick", text="A small picture, few passes: some seconds.", panel=RUN)]

Pictures = Annotated[
    list[str] | None,
    typer.Argument(metavar="PICTURE", help="Files, or folders of frames, that banana wrote."),
]

WeightsIn = Annotated[
    Path | None,
    typer.Argument(metavar="WEIGHTS", help="Weights file; default: the installed one."),
]
ExportAs = Annotated[
    ExportFormat,
    option("--format", text="An ONNX graph, or weights in 8 or 4 bits for --weights.", panel=OUT, env=False),
]
GraphSize = Annotated[
    str,
    option(
        "--size",
        text="Picture that a graph takes, in multiples of 32.",
        panel=MODEL,
        metavar="ROWSxCOLS",
        env=False,
    ),
]
ExportTo = Annotated[
    str, option("-o", "--output", text="The file to write, or a folder for it.", panel=OUT, metavar="PATH")
]
ModalityOf = Annotated[
    Modality, option("--modality", text="Kind of picture that a graph is for.", panel=MODEL)
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchArgs(TalkArgs):
    """What bench takes."""

    size: Sizes = None
    runs: Runs = 20
    quick: Quick = False
    data: Labelled = None
    classes: JudgedClasses = None
    jobs: Jobs = None
    model: Model = DEFAULT_MODEL
    weights: Weights = None
    device: Device = "auto"
    precision: PrecisionOf = Precision.AUTO
    runtime: RuntimeOf = Runtime.TORCH


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodeArgs(TalkArgs):
    """What decode takes."""

    inputs: Pictures = None
    output: OutputTo = "."
    overwrite: Overwrite = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportArgs(TalkArgs):
    """What export takes. Its ``--format`` and ``--size`` are no settings of other verbs: other names."""

    weights: WeightsIn = None
    output: ExportTo = "."
    kind: ExportAs = ExportFormat.ONNX
    picture: GraphSize = "288x512"
    budget: Budget = None
    modality: ModalityOf = Modality.STREET
    overwrite: Overwrite = False
