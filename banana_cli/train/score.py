"""Score weights from the shell: ``python -m banana_cli.train.score WEIGHTS --data ../shared/data``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from banana_cli.infer import Engine
from banana_cli.train.cache import open_cache
from banana_cli.train.evaluate import BestDepths, Row, SourceScore, markdown, score_lidar, score_source
from banana_cli.train.packs import Record, load_all, load_depth_check
from banana_cli.train.splits import VALIDATION_SEED, LeakError, check_disjoint, split
from banana_cli.types import Modality


def real_rows(engine: Engine, data: Path) -> list[Row]:
    """Held-out groups of every labelled pack, by modality."""
    rows: list[Row] = []
    for pack, records in load_all(data).items():
        train, held_out = split(records)
        check_disjoint(train, held_out)
        for modality in sorted({r.modality for r in train}):
            mine = [r for r in train if r.modality is modality]
            theirs = [r for r in held_out if r.modality is modality]
            rows += score_source(engine, f"{pack.value} ({modality.value})", mine, theirs)
    return rows


def world_rows(engine: Engine, train: Path, validation: Path, limit: int) -> list[Row]:
    """Worlds of seeds that no training used; constants from the training worlds."""
    rows: list[Row] = []
    trained = open_cache(train)
    for modality, world in open_cache(validation).items():
        if world.plan.first_seed < VALIDATION_SEED:
            raise LeakError(
                "holds worlds that training may have seen",
                subject=str(validation),
                remedy="render them with --validation",
            )
        mine: list[Record] = [trained[modality][i] for i in range(min(100, len(trained[modality])))]
        theirs = (world[i] for i in range(min(limit, len(world))))
        rows += score_source(engine, f"world/{modality.value}", mine, theirs)
    return rows


def street_constants(train: Path) -> BestDepths:
    """The best constants of the training streets, for LiDAR frames."""
    world = open_cache(train)[Modality.STREET]
    return SourceScore("street", [world[i] for i in range(min(100, len(world)))]).best_depths


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table; ``--json`` for lines that a program reads."""
    parser = argparse.ArgumentParser(description="Score weights on what no training saw.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, help="the labelled packs (shared/data)")
    parser.add_argument("--cache", type=Path, help="rendered training worlds")
    parser.add_argument("--validation", type=Path, help="rendered validation worlds")
    parser.add_argument("--budget", type=float, help="share of dense tokens (default: the weights' own)")
    parser.add_argument("--limit", type=int, default=60, help="validation worlds of each modality")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    engine = Engine.load(asked.weights, budget=asked.budget)
    rows = real_rows(engine, asked.data) if asked.data else []
    if asked.cache and asked.validation:
        rows += world_rows(engine, asked.cache, asked.validation, asked.limit)
    if asked.cache and asked.data:
        rows += score_lidar(engine, load_depth_check(asked.data), street_constants(asked.cache))
    text = "\n".join(json.dumps(asdict(r)) for r in rows) if asked.json else markdown(rows)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
