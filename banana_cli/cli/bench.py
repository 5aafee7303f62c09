"""``banana bench``: speed and memory of the model, sparse beside dense, in one run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

from banana_cli.cli import bench_data
from banana_cli.cli.bench_data import Pair, frame_of, labelled
from banana_cli.cli.console import Console
from banana_cli.cli.options_tools import BenchArgs
from banana_cli.cli.reading import check_device, split
from banana_cli.cli.run import talking
from banana_cli.cli.world import World
from banana_cli.errors import BananaError, ExitStatus, InputError, UsageError
from banana_cli.events import FrameDone, InputStarted
from banana_cli.pipeline import exit_status
from banana_cli.types import Json

if TYPE_CHECKING:
    from banana_cli.bench import BenchOptions, Row
    from banana_cli.bench_scored import Score

MULTIPLE = 32
_QUICK_SIZES, _QUICK_RUNS = (256,), 5
_PASS = FrameDone(subject="bench", index=0, seconds=0.0, kept=1.0)
_COLUMNS = f"{'tokens':>8}{'median':>10}{'p95':>10}{'Mpx/s':>8}{'dense is':>10}{'tensors':>10}{'process':>10}"
_HEAD = f"{'':<24}{_COLUMNS}"
_SCORES = f"{'':<24}{'mean IoU, %':>14}{'95 % of draws':>18}{'to dense twin':>16}{'95 % of draws':>20}"
_EPILOG = """Examples:

banana bench --quick

banana bench --size 512 --size 1024 --json > bench.jsonl

banana bench --device cuda --precision bf16

banana bench --runtime onnx                               # ONNX Runtime beside torch

banana bench --data labelled/                             # accuracy too: labelled/images, /labels"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    text = "Speed and memory of the model: sparse, dense and baselines in one run."
    talking(app, "bench", BenchArgs, bench, help=text, epilog=_EPILOG)


def bench(args: BenchArgs, world: World, console: Console) -> int:
    """Measure and show; nothing is kept."""
    # The profiler that counts memory would tell on stderr when it starts; it listens while torch is loaded.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    options = _options(args, world)
    pairs = bench_data.pairs(args.data) if args.data else []
    from banana_cli.bench import Bench  # torch: only once the options are known to be good

    meter = Bench(options)
    machine = meter.machine()
    if not args.as_json:
        console.result(", ".join(f"{k} {v}" for k, v in machine.items() if v is not None))
    console.expect(2 if pairs else 1)
    console.report(InputStarted(subject="bench", total=meter.passes()))
    size = 0
    for row in meter.rows(lambda: console.report(_PASS)):
        if args.as_json:
            console.record({**row.to_json(), **machine})
            continue
        if row.size_px != size:
            size = row.size_px
            console.result(f"\n{size} x {size} px\n{_HEAD}")
        console.result(_line(row))
        if args.verbose:
            console.result(f"{'':<4}{_stages(row.stages_ms)}")
    _walks(options, args, world, console, machine)
    return _scored(pairs, options, args, world, console) if pairs else ExitStatus.OK


def _walks(
    options: BenchOptions, args: BenchArgs, world: World, console: Console, machine: Mapping[str, Json]
) -> None:
    """One picture from a file to files, sparse and dense."""
    from banana_cli.bench_walk import make_picture, walks

    size = options.sizes[0]
    with TemporaryDirectory() as name:
        folder = Path(name)
        picture = folder / "picture.png"
        make_picture(picture, size)
        found = walks(
            options.weights,
            lambda: frame_of(picture, world),
            options.budgets[:1],
            options.runs,
            folder,
            device=options.device,
            precision=options.precision,
        )
        for walk in found:
            if args.as_json:
                console.record({**walk.to_json(), **machine})
            else:
                told = f"{walk.name}, file to files {walk.total_ms:.1f} ms"
                console.result(f"\n{told}: {_stages(walk.stages_ms)}")


def _scored(pairs: list[Pair], options: BenchOptions, args: BenchArgs, world: World, console: Console) -> int:
    """Mean IoU of every way on labelled pictures; those that cannot be judged are told and left out."""
    from banana_cli.bench_scored import Scored
    from banana_cli.metrics import naming

    choice = naming.parse(split(args.classes))
    scored = Scored(
        options.weights, options.budgets, choice, device=options.device, precision=options.precision
    )
    console.report(InputStarted(subject=str(args.data), total=len(pairs) * scored.ways()))
    errors: list[BananaError] = []
    for pair in pairs:
        try:
            scored.add(labelled(pair, world), lambda: console.report(_PASS))
        except (InputError, ValueError) as exc:
            errors.append(_unjudged(pair, exc))
            console.problem(errors[-1])
    if not args.as_json:
        console.result(f"\n{args.data}, {len(pairs) - len(errors)} pictures\n{_SCORES}")
    for score in scored.scores():
        if args.as_json:
            console.record(score.to_json())
        else:
            console.result(_score_line(score))
    return exit_status(len(pairs) - len(errors), errors)


def _unjudged(pair: Pair, exc: Exception) -> BananaError:
    if isinstance(exc, BananaError):
        return exc
    return InputError(
        str(exc), subject=str(pair.truth.path), remedy="say what the numbers mean with --classes"
    )


def _options(args: BenchArgs, world: World) -> BenchOptions:
    sizes = tuple(args.size or ())
    if any(s < MULTIPLE or s % MULTIPLE for s in sizes):
        raise UsageError(
            "is no multiple of 32", subject=f"--size {max(sizes)}", remedy="try --size 512 or 1024"
        )
    if args.runs < 1:
        raise UsageError("must be 1 or more", subject=f"--runs {args.runs}", remedy="leave it out for 20")
    weights = world.resolve_weights(args.weights, args.model)
    device = check_device(args.device)
    from banana_cli.bench import BenchOptions

    return BenchOptions(
        weights=weights,
        sizes=sizes or (_QUICK_SIZES if args.quick else (512,)),
        runs=_QUICK_RUNS if args.quick else args.runs,
        device=device,
        precision=args.precision.value,
        threads=args.jobs,
        runtime=args.runtime,
    )


def _line(row: Row) -> str:
    peak, process = ("" if mb is None else f"{mb:.0f} MB" for mb in (row.peak_mb, row.process_mb))
    return (
        f"{row.name:<24}{row.tokens:>8}{row.median_ms:>7.1f} ms{row.p95_ms:>7.1f} ms"
        f"{row.megapixels_per_s:>8.2f}{row.dense_over_this:>9.2f}x{peak:>10}{process:>10}"
    )


def _stages(stages: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {ms:.1f}" for name, ms in stages.items())


def _score_line(score: Score) -> str:
    around = f"{score.low:.1f} to {score.high:.1f}"
    gain = f"{score.gain_low:+.1f} to {score.gain_high:+.1f}"
    return f"{score.name:<24}{score.miou:>14.1f}{around:>18}{score.gain:>+16.1f}{gain:>20}"
