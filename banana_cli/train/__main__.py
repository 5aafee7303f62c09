"""Train from the shell: ``python -m banana_cli.train RUN --data ../shared/data --cache .cache/worlds``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import torch

from banana_cli.infer import Engine
from banana_cli.model.net import BananaNet
from banana_cli.model.weights import load_model
from banana_cli.train.augment import AugmentOptions
from banana_cli.train.cache import open_cache
from banana_cli.train.mixture import Mixture, Records
from banana_cli.train.packs import load_all
from banana_cli.train.splits import Pack, split
from banana_cli.train.standing import with_standing_depth
from banana_cli.train.taught import Taught
from banana_cli.train.trainer import Recipe, Run


def _share(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    return name, float(value)  # argparse names the option if this is no number


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Options of a run; every field of ``Recipe`` is one."""
    parser = argparse.ArgumentParser(description="Train the network; run again to go on after a stop.")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--data", type=Path, help="the labelled packs (shared/data)")
    parser.add_argument("--cache", type=Path, help="rendered worlds (python -m banana_cli.train.cache)")
    parser.add_argument("--start-from", type=Path, help="weights to begin with")
    parser.add_argument("--taught", type=Path, help="labels of a teacher (python -m banana_cli.train.teach)")
    parser.add_argument(
        "--standing", type=Path, metavar="WEIGHTS", help="real streets get their depth where things stand"
    )
    parser.add_argument(
        "--share",
        type=_share,
        action="append",
        default=[],
        metavar="SOURCE=SHARE",
        help="other than the mixture's own",
    )
    parser.add_argument("--threads", type=int, help="cores for the network")
    parser.add_argument("--workers", type=int, default=1, help="processes that make examples")
    for field in fields(Recipe):
        flag, default = f"--{field.name.replace('_', '-')}", field.default
        if isinstance(default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=default)
        else:
            parser.add_argument(flag, type=type(default), default=default)
    return parser.parse_args(argv)


def _grow(net: BananaNet) -> None:
    """Parts that older weights lack; untrained ones change no answer."""
    if not net.things:
        net.add_things()
    if net.fine is None:
        net.add_fine()


def main(argv: Sequence[str] | None = None) -> None:
    """Train on whatever of packs and worlds is given."""
    asked = parse(argv)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    recipe = Recipe(**{f.name: getattr(asked, f.name) for f in fields(Recipe)})
    packs = {p: split(records)[0] for p, records in load_all(asked.data).items()} if asked.data else None
    cache = open_cache(asked.cache) if asked.cache else None
    taught: Records | None = Taught(asked.taught) if asked.taught else None
    if asked.standing:
        engine = Engine.load(asked.standing)
        if packs:
            packs[Pack.STREET] = with_standing_depth(engine, packs[Pack.STREET])
        if taught:
            taught = with_standing_depth(engine, [taught[i] for i in range(len(taught))])
    examples = Mixture(
        cache,
        packs,
        seed=recipe.seed,
        options=AugmentOptions(size=recipe.size),
        taught=taught,
        changes=dict(asked.share),
    )
    net = load_model(asked.start_from, fuse=False)[0] if asked.start_from else None
    if net is not None:
        _grow(net)
    run = Run(recipe, asked.run, net, examples.describe())
    run.go(examples, workers=asked.workers, quiet=not sys.stderr.isatty())


if __name__ == "__main__":
    main()
