"""``banana models``: which weights are installed, where, and whether they are what they were."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import typer

from banana_cli import sidecar, weights_index
from banana_cli.cli.optionlist import AsJson

_EPILOG = "Weights are looked for in this order: --weights, BANANA_WEIGHTS, the installed ones."
Name = Annotated[str, typer.Argument(metavar="NAME", help="Which model.")]


def register(app: typer.Typer) -> None:
    """Add the verb with its three parts."""
    models = typer.Typer(
        name="models", help="List, find and verify weights.", no_args_is_help=True, epilog=_EPILOG
    )
    models.command("list")(show)
    models.command("path")(path)
    models.command("verify")(verify)
    app.add_typer(models)


def show(as_json: AsJson = False) -> None:
    """One line a model: name, size, licence, file."""
    for entry in weights_index.read_index(weights_index.installed_folder()):
        facts = entry.to_json()
        plain = f"{entry.name:<10} {entry.bytes / 1e6:7.2f} MB  {entry.licence:<12} {entry.path.name}"
        _say(sidecar.dumps(facts, indent=None) if as_json else plain)


def path(name: Name = weights_index.DEFAULT_MODEL, as_json: AsJson = False) -> None:
    """Where the weights of a model lie."""
    file = weights_index.resolve(None, name)
    _say(sidecar.dumps({"name": name, "path": str(file)}, indent=None) if as_json else str(file))


def verify(as_json: AsJson = False) -> None:
    """Compare every file with the index; exit 6 if one is missing or was altered."""
    for entry in weights_index.read_index(weights_index.installed_folder()):
        weights_index.verify(entry)
        facts = {**dataclasses.asdict(entry), "verified": True}
        _say(sidecar.dumps(facts, indent=None) if as_json else f"{entry.name}: intact")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
