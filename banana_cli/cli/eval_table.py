"""What ``banana eval`` shows: tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import io
import math
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from banana_cli.cli.console import Console

if TYPE_CHECKING:
    from rich.table import Table

    from banana_cli.metrics.judge import Judge, Total
    from banana_cli.metrics.pairs import Matched
    from banana_cli.metrics.score import ClassRow
    from banana_cli.metrics.temporal import TemporalScores

_LEAST_WIDTH = 100
_COLUMNS = (
    ("IoU", "iou"),
    ("Dice", "dice"),
    ("boundary F", "boundary_f"),
    ("PQ", "pq"),
    ("SQ", "sq"),
    ("RQ", "rq"),
)


def show(
    judge: Judge, steady: TemporalScores | None, matched: Matched | None, console: Console, *, as_json: bool
) -> None:
    """All totals, on stdout."""
    for layer, total in judge.totals.items():
        if as_json:
            console.record({"layer": layer.value, "total": True, **_facts(total), **_unmatched(matched)})
        else:
            _table(layer.value, total, console)
    if steady is not None:
        _show_steady(steady, console, as_json=as_json)


def _facts(total: Total) -> dict[str, object]:
    from banana_cli.metrics.score import numbers_of

    classes = [dataclasses.asdict(row) for row in total.sums.classes()]
    return {
        "inputs": total.cases,
        **numbers_of(total.sums),
        **({"classes": classes} if classes else {}),
        "notes": sorted(total.sums.notes),
    }


def _unmatched(matched: Matched | None) -> dict[str, object]:
    return {} if matched is None else {"missing": matched.missing, "spare": matched.spare}


def _show_steady(steady: TemporalScores, console: Console, *, as_json: bool) -> None:
    if as_json:
        console.record({"layer": "masks", "total": True, "temporal": dataclasses.asdict(steady)})
        return
    rows = [
        ("mean IoU with the mask before, carried along", f"{steady.consistency:.4f}"),
        ("pixels that changed class", f"{steady.flips:.4f}"),
    ]
    console.result(f"steadiness: {steady.pairs} pairs of frames")
    _print(_two_columns(rows), console)


def _table(layer: str, total: Total, console: Console) -> None:
    count = f"{total.cases} input" + ("" if total.cases == 1 else "s")
    rows = [(m.text, f"{m.value:.4f}") for m in total.sums.measures()]
    console.result(f"{layer}: {count}, {total.sums.pixels():,} pixels judged")
    _print(_two_columns(rows), console)
    if classes := total.sums.classes():
        _print(_class_table(classes), console)
    for note in sorted(total.sums.notes):
        console.notice(layer, note)


def _two_columns(rows: Sequence[tuple[str, str]]) -> Table:
    table = _empty("")
    table.add_column("", justify="right")
    for row in rows:
        table.add_row(*row)
    table.show_header = False
    return table


def _class_table(rows: Sequence[ClassRow]) -> Table:
    """One row a class; columns in which nothing was measured are left out."""
    table = _empty("class")
    columns = [c for c in _COLUMNS if not all(math.isnan(getattr(row, c[1])) for row in rows)]
    for title, _ in (*columns, ("pixels", "")):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(row.name, *(_number(getattr(row, name)) for _, name in columns), f"{row.pixels:,}")
    return table


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _empty(first: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(first, overflow="fold")
    return table


def _print(table: Table, console: Console) -> None:
    """The same text on a terminal and in a pipe, never narrower than the table."""
    from rich.console import Console as RichConsole

    text = io.StringIO()
    width = max(_LEAST_WIDTH, shutil.get_terminal_size().columns)
    RichConsole(file=text, width=width, color_system=None).print(table, markup=False)
    lines = (line.rstrip() for line in text.getvalue().strip("\n").splitlines())
    console.result("\n".join(line for line in lines if line) + "\n")
