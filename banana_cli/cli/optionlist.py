"""Every option once: its spelling, its help, its environment variable."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from banana_cli.options import Bonnet, Precision, Runtime, Sensor, ViewName
from banana_cli.pipeline import OnError
from banana_cli.types import Domain

_INPUT, OUT, RUN, MODEL = "Inputs", "Outputs", "Running", "Model"
_VIDEO, _GEO, _DICOM, _TALK = "Video and pictures", "GeoTIFF", "DICOM", "Messages"

PANELS = (OUT, _INPUT, MODEL, RUN, _VIDEO, _DICOM, _GEO, _TALK)


class DepthEncoding(StrEnum):
    """How pictures store depth."""

    KITTI16 = "kitti16"
    RGB = "rgb"


class Task(StrEnum):
    """Tasks by the verb that does them."""

    SEGMENT = "segment"
    DEPTH = "depth"
    NORMALS = "normals"


def env_of(flag: str) -> str:
    """The environment variable of an option: --vid-stride -> BANANA_VID_STRIDE."""
    return "BANANA_" + flag.lstrip("-").upper().replace("-", "_")


def option(*flags: str, text: str, panel: str, metavar: str | None = None, env: bool = True) -> Any:  # noqa: ANN401
    """A named option; ``env``: its environment variable counts too."""
    long = next(f for f in flags if f.startswith("--")).split("/")[0]
    return typer.Option(
        *flags,
        help=text,
        rich_help_panel=panel,
        metavar=metavar,
        envvar=env_of(long) if env else None,
        show_envvar=False,
    )


Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="INPUT", help="Files, folders (with all below), globs, or - for bytes on stdin."),
]
FilesFrom = Annotated[
    str | None,
    option(
        "--files-from", text="Read more input names from a file (- for stdin).", panel=_INPUT, metavar="FILE"
    ),
]
Null = Annotated[
    bool, option("-0", "--null", text="Names in --files-from end with NUL.", panel=_INPUT, env=False)
]
DomainOf = Annotated[
    Domain | None,
    option("--domain", text="Read inputs as this kind; default: told by their content.", panel=_INPUT),
]
Shard = Annotated[
    str | None,
    option(
        "--shard",
        text="Only every N-th input, from the I-th: 1/4, 2/4 ... on four machines.",
        panel=_INPUT,
        metavar="I/N",
    ),
]

With = Annotated[
    list[str] | None,
    option(
        "--with",
        text="Also write these: segment, depth, normals. The model runs once for all.",
        panel=OUT,
        metavar="TASK,...",
    ),
]
Attention = Annotated[
    bool, option("--attention", text="Also write STEM.attention: where the model looked closely.", panel=OUT)
]
Tasks = Annotated[
    list[str] | None,
    option("--tasks", text="Which of segment, depth, normals (default: all).", panel=OUT, metavar="TASK,..."),
]
OutputTo = Annotated[
    str,
    option(
        "-o",
        "--output",
        text="Folder for the outputs, a file name for a single one, or - for its bytes on stdout.",
        panel=OUT,
        metavar="PATH",
    ),
]
Formats = Annotated[
    list[str] | None,
    option(
        "--format",
        text="Formats, several at once (mp4,png); default: the input's own kind. See banana help formats.",
        panel=OUT,
        metavar="NAME,...",
    ),
]
DepthStored = Annotated[
    DepthEncoding,
    option(
        "--depth-encoding", text="How png and frames hold depth: 16 bits, or colours that decode.", panel=OUT
    ),
]
Classes = Annotated[
    list[str] | None,
    option(
        "--classes",
        text="Keep only these classes in the masks (road,'traffic light'); every other pixel has no answer"
        " (255). A wrong name lists all.",
        panel=OUT,
        metavar="NAME,...",
    ),
]
Overwrite = Annotated[bool, option("--overwrite", text="Replace outputs that exist.", panel=OUT)]
Resume = Annotated[
    bool,
    option(
        "--resume",
        text="Skip what an earlier run with the same options finished, and go on inside a clip.",
        panel=OUT,
    ),
]
DryRun = Annotated[
    bool, option("--dry-run", text="Say what would be written, and stop.", panel=OUT, env=False)
]

Jobs = Annotated[
    int | None,
    option("-j", "--jobs", text="Threads for the model (default: all cores).", panel=RUN, metavar="N"),
]
OnErrorDo = Annotated[
    OnError, option("--on-error", text="After a bad input: go on with the next, or stop.", panel=RUN)
]
MaxFailures = Annotated[
    int | None, option("--max-failures", text="Stop after so many bad inputs.", panel=RUN, metavar="N")
]

Model = Annotated[
    str, option("--model", text="Model by name (banana models list).", panel=MODEL, metavar="NAME")
]
Weights = Annotated[
    Path | None,
    option("--weights", text="Weights file instead of the installed one.", panel=MODEL, metavar="FILE"),
]
Device = Annotated[
    str, option("--device", text="auto, cpu, cuda, cuda:N or mps.", panel=MODEL, metavar="NAME")
]
PrecisionOf = Annotated[Precision, option("--precision", text="Arithmetic of the model.", panel=MODEL)]
RuntimeOf = Annotated[
    Runtime,
    option(
        "--runtime",
        text="What computes: torch, or onnx (CPU, fp32, needs the extra onnx; each new size of picture takes"
        " some seconds once).",
        panel=MODEL,
    ),
]
Budget = Annotated[
    float | None,
    option(
        "--budget",
        text="Share of the dense tokens kept, above 0 to 1: less is faster. Outputs keep their size; default:"
        " what the model was made for (nano: 0.27).",
        panel=MODEL,
        metavar="SHARE",
    ),
]
Side = Annotated[
    int | None,
    option(
        "--side",
        text="Longest side at which a frame or scan is looked at, in pixels (X-ray, ultrasound: 13/16 of it);"
        " a larger picture is scaled down for the look, its outputs are not. Default: what the model was made"
        " for (nano: 512); up to twice that far and thin things are seen better; at most 3840.",
        panel=MODEL,
        metavar="PX",
    ),
]
Tile = Annotated[
    int | None,
    option(
        "--tile",
        text="Side of the model's windows in pixels; of scenes, of the part worked on at once, which changes"
        " no answer.",
        panel=MODEL,
        metavar="PX",
    ),
]
Overlap = Annotated[
    int | None,
    option("--overlap", text="Pixels that neighbouring windows share.", panel=MODEL, metavar="PX"),
]
Seed = Annotated[int, option("--seed", text="Seed of everything random.", panel=MODEL, metavar="N")]

Start = Annotated[
    float | None,
    option("--start", text="Begin at this second of the clip.", panel=_VIDEO, metavar="SECONDS"),
]
End = Annotated[
    float | None, option("--end", text="Stop before this second.", panel=_VIDEO, metavar="SECONDS")
]
Fps = Annotated[
    float | None,
    option(
        "--fps",
        text="At most so many frames a second; of numbered pictures (%06d.png), how many there are.",
        panel=_VIDEO,
        metavar="RATE",
    ),
]
VidStride = Annotated[int, option("--vid-stride", text="Every n-th frame.", panel=_VIDEO, metavar="N")]
NoAudio = Annotated[bool, option("--no-audio", text="Write videos without sound.", panel=_VIDEO)]
NoSteady = Annotated[
    bool,
    option(
        "--no-steady",
        text="Each frame on its own: no filter along the optical flow, a new guess of the focal length.",
        panel=_VIDEO,
    ),
]
BonnetOf = Annotated[
    Bonnet,
    option(
        "--bonnet",
        text="auto: the own car at the lower edge of a clip file is found and has no answer; find: through a"
        " pipe too, whose first 24 seconds are awaited before the first answer; keep: it is a part of the"
        " picture.",
        panel=_VIDEO,
    ),
]
Focal = Annotated[
    float | None, option("--focal", text="Focal length in pixels of the input.", panel=_VIDEO, metavar="PX")
]
Fov = Annotated[
    float | None,
    option("--fov", text="Horizontal field of view, in place of --focal.", panel=_VIDEO, metavar="DEGREES"),
]
Bidx = Annotated[
    list[str] | None,
    option("--bidx", text="Bands to read, counted from 1 (4,3,2).", panel=_GEO, metavar="N,..."),
]
Nodata = Annotated[
    str | None,
    option("--nodata", text="Value that is no data (a number or nan).", panel=_GEO, metavar="VALUE"),
]
SensorOf = Annotated[
    Sensor,
    option(
        "--sensor",
        text="What took the scene: which bands, which scaling. auto: by the bands' names.",
        panel=_GEO,
    ),
]
MinZoom = Annotated[
    int | None,
    option(
        "--min-zoom", text="Coarsest level of web tiles (default: shows the whole).", panel=_GEO, metavar="Z"
    ),
]
MaxZoom = Annotated[
    int | None,
    option(
        "--max-zoom", text="Finest level of web tiles (default: shows every pixel).", panel=_GEO, metavar="Z"
    ),
]
TilingScheme = Annotated[
    str | None,
    option(
        "--tiling-scheme",
        text="Grid of web tiles: WebMercatorQuad, or another that morecantile knows (xyz only).",
        panel=_GEO,
        metavar="NAME",
    ),
]
WindowOf = Annotated[
    str | None,
    option(
        "--window",
        text="Display window: a name (lung, bone, ...) or centre/width.",
        panel=_DICOM,
        metavar="C/W",
    ),
]
ViewFrom = Annotated[
    ViewName,
    option(
        "--view",
        text=f"Side from which a volume's surface is seen: {', '.join(ViewName)}.",
        panel=_DICOM,
        metavar="SIDE",
    ),
]
SurfaceOf = Annotated[
    str,
    option(
        "--surface",
        text="Which surface of a volume depth and normals are of: skin, bone, or a value (HU for CT).",
        panel=_DICOM,
        metavar="skin|bone|HU",
    ),
]
SkipLocalizers = Annotated[
    bool, option("--skip-localizers", text="Leave localizers (scout images) out.", panel=_DICOM)
]

Anonymize = Annotated[
    bool,
    option(
        "--anonymize/--no-anonymize",
        text="Outputs carry nobody's name, ID or birth date. Without it DICOM outputs keep the patient's, and"
        " sidecars show UIDs.",
        panel=_DICOM,
    ),
]

AsJson = Annotated[
    bool, option("--json", text="One JSON object a line on stdout for each result.", panel=_TALK)
]
Quiet = Annotated[bool, option("-q", "--quiet", text="Errors only.", panel=_TALK)]
Verbose = Annotated[
    bool, option("-v", "--verbose", text="Also times, warnings and every bad frame.", panel=_TALK)
]
Debug = Annotated[bool, option("--debug", text="A traceback with every error.", panel=_TALK)]
