"""From parsed options to what readers and the model are asked; values that cannot be are refused here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence

import typer

from banana_cli.adapter import Adapter
from banana_cli.cli.options import InputArgs, WorkArgs, flag_of, given
from banana_cli.errors import UsageError
from banana_cli.options import Bonnet, CameraOptions, DicomOptions, RasterOptions, ReadOptions, VideoOptions
from banana_cli.types import LayerKind

STDIN = "-"
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def explicit_reading(ctx: typer.Context) -> tuple[str, ...]:
    """Reading options that stand on the command line."""
    return tuple(flag_of(name) for name in InputArgs.READING if given(ctx, name))


def explicit_writing(ctx: typer.Context) -> tuple[str, ...]:
    """Options for formats that stand on the command line."""
    return tuple(flag_of(name) for name in WorkArgs.WRITING if given(ctx, name))


def split(words: Sequence[str] | None) -> tuple[str, ...]:
    """Repeated options and comma lists as one list, without doubles."""
    parts = (part.strip() for word in words or () for part in word.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def wanted_classes(ctx: typer.Context, args: WorkArgs, layers: Sequence[LayerKind]) -> tuple[str, ...]:
    """The names of --classes. UsageError if there are none, or no masks are wanted to keep them in.

    In a settings file or the environment it may meet runs without masks, and means nothing there.
    """
    names, explicit = split(args.classes), given(ctx, "classes")
    if explicit and not names:
        raise UsageError("names no class", subject="--classes", remedy="say for example --classes road,car")
    if LayerKind.MASKS in layers:
        return names
    if explicit:
        raise UsageError(
            "no masks are written", subject="--classes", remedy="ask for segment too, or leave it out"
        )
    return ()


def read_options(args: InputArgs, layers: frozenset[LayerKind]) -> ReadOptions:
    """What the readers are asked. UsageError for values that cannot be."""
    _refuse_values(args)
    return ReadOptions(
        layers=layers,
        video=VideoOptions(
            start_s=args.start,
            end_s=args.end,
            fps=args.fps,
            vid_stride=args.vid_stride,
            audio=not args.no_audio,
            steady=not args.no_steady,
            bonnet=_seeks_bonnet(args),
        ),
        camera=CameraOptions(focal_px=args.focal, fov_deg=args.fov),
        raster=_raster(args),
        dicom=DicomOptions(
            window=args.window,
            view=args.view,
            surface=args.surface,
            skip_localizers=args.skip_localizers,
            anonymize=args.anonymize,
        ),
    )


def _seeks_bonnet(args: InputArgs) -> bool:
    """Not in what comes through a pipe unless asked: that is answered as it comes."""
    pipe = STDIN in (args.inputs or ())
    return args.bonnet is Bonnet.FIND or (args.bonnet is Bonnet.AUTO and not pipe)


def _raster(args: InputArgs) -> RasterOptions:
    """Bands and nodata; the model's windows too where it will run, as blocks must hold them."""
    windows = {"tile": args.tile, "overlap": args.overlap} if isinstance(args, WorkArgs) else {}
    nodata = _number("--nodata", args.nodata)
    return RasterOptions(bidx=_bands(args.bidx), nodata=nodata, sensor=args.sensor, **windows)


def _refuse_values(args: InputArgs) -> None:
    """UsageError for a number outside its range, naming the option."""
    rules: list[tuple[str, float | None, Callable[[float], bool], str]] = [
        ("--start", args.start, lambda v: v >= 0, "0 or more seconds"),
        ("--end", args.end, lambda v: v > (args.start or 0), "more than --start"),
        ("--fps", args.fps, lambda v: 0 < v < math.inf, "above 0"),
        ("--vid-stride", args.vid_stride, lambda v: v >= 1, "1 or more"),
        ("--focal", args.focal, lambda v: 0 < v < math.inf, "above 0"),
        ("--fov", args.fov, lambda v: 0 < v < 180, "between 0 and 180 degrees"),
    ]
    if isinstance(args, WorkArgs):
        rules += [
            ("--budget", args.budget, lambda v: 0 < v <= 1, "above 0 and at most 1"),
            ("--jobs", args.jobs, lambda v: v >= 1, "1 or more"),
            ("--max-failures", args.max_failures, lambda v: v >= 1, "1 or more"),
            ("--side", args.side, lambda v: 64 <= v <= 3840, "from 64 to 3840 pixels"),
            ("--tile", args.tile, lambda v: v >= 32, "32 or more pixels"),
            ("--min-zoom", args.min_zoom, lambda v: 0 <= v <= 24, "from 0 to 24"),
            (
                "--max-zoom",
                args.max_zoom,
                lambda v: (args.min_zoom or 0) <= v <= 24,
                "from 0 to 24, --min-zoom or more",
            ),
            (
                "--overlap",
                args.overlap,
                lambda v: 0 <= v < (args.tile or math.inf),
                "0 or more, less than --tile",
            ),
        ]
    for flag, value, fits, range_text in rules:
        if value is not None and not fits(value):
            raise UsageError(f"{value} is out of range", subject=flag, remedy=f"say a value {range_text}")


def _bands(words: Sequence[str] | None) -> tuple[int, ...]:
    bands = split(words)
    if not all(b.isdecimal() and int(b) > 0 for b in bands):
        raise UsageError("bands count from 1", subject="--bidx", remedy="say for example --bidx 4,3,2")
    return tuple(int(b) for b in bands)


def _number(flag: str, text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise UsageError(f"{text!r} is no number", subject=flag, remedy="say a number or nan") from None


def refuse_idle_options(explicit: Sequence[str], adapters: Iterable[Adapter]) -> None:
    """UsageError for a reading option on the command line that no input's reader obeys."""
    used = list(adapters)
    for name in explicit:
        if used and not any(name in adapter.accepts for adapter in used):
            kinds = " and ".join(sorted({a.domain.value for a in used}))
            raise UsageError(
                f"cannot act on {kinds} inputs",
                subject=f"--{name}",
                remedy="leave it out, or check the inputs",
            )


def check_device(name: str) -> str:
    """A device's name. UsageError if it is none."""
    if not _DEVICE.fullmatch(name):
        raise UsageError(
            f"{name!r} is no device", subject="--device", remedy="say auto, cpu, cuda, cuda:0 or mps"
        )
    return name
