"""``banana bench``: speed and memory of the model, sparse beside dense, in one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from banana_cli.cli.console import Console
from banana_cli.cli.options_tools import BenchArgs
from banana_cli.cli.reading import check_device
from banana_cli.cli.run import talking
from banana_cli.cli.world import World
from banana_cli.errors import ExitStatus, UsageError
from banana_cli.events import FrameDone, InputStarted

if TYPE_CHECKING:
    from banana_cli.bench import BenchOptions, Row

MULTIPLE = 32
_QUICK_SIZES, _QUICK_RUNS = (256,), 5
_PASS = FrameDone(subject="bench", index=0, seconds=0.0, kept=1.0)
_HEAD = f"{'':<24}{'tokens':>8}{'median':>10}{'p95':>10}{'Mpx/s':>8}{'dense is':>10}{'peak':>10}"
_EPILOG = """Examples:

banana bench --quick

banana bench --size 512 --size 1024 --json > bench.jsonl

banana bench --device cuda --precision bf16

banana bench --runtime onnx                               # ONNX Runtime beside torch"""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    text = "Speed and memory of the model: sparse, dense and baselines in one run."
    talking(app, "bench", BenchArgs, bench, help=text, epilog=_EPILOG)


def bench(args: BenchArgs, world: World, console: Console) -> int:
    """Measure and show; nothing is written."""
    options = _options(args, world)
    from banana_cli.bench import Bench  # torch: only once the options are known to be good

    meter = Bench(options)
    machine = meter.machine()
    if not args.as_json:
        console.result(", ".join(f"{k} {v}" for k, v in machine.items() if v is not None))
    console.expect(1)
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
    return ExitStatus.OK


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
    peak = "" if row.peak_mb is None else f"{row.peak_mb:.0f} MB"
    return (
        f"{row.name:<24}{row.tokens:>8}{row.median_ms:>7.1f} ms{row.p95_ms:>7.1f} ms"
        f"{row.megapixels_per_s:>8.2f}{row.dense_over_this:>9.2f}x{peak:>10}"
    )
