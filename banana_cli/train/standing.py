"""Real street frames with a depth target: a teacher's ground, carried up what stands on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from tqdm import tqdm

from banana_cli.infer import Engine
from banana_cli.train.evaluate import frame_of
from banana_cli.train.packs import Record
from banana_cli.train.stand import standing_depth
from banana_cli.types import F32, U8, Depth, LayerKind

_NO_CLASS: Final = 255


def with_standing_depth(
    engine: Engine, records: Sequence[Record], *, quiet: bool = True
) -> tuple[Record, ...]:
    """Street records with ``depth`` and, from the median guess over their group, ``focal_px``.

    Depth is known on the ground and on what stands on it only; normals stay unknown.
    """
    seen = [_ground(engine, record) for record in tqdm(records, disable=quiet, unit="frame", desc="teacher")]
    focals = _median_focals(zip((r.group for r in records), (focal for _, focal in seen), strict=True))
    taught = []
    for record, (depth, guess) in zip(records, seen, strict=True):
        focal = focals[record.group]
        target = standing_depth(street_ids(record), depth * np.float32(focal / guess), focal)
        taught.append(replace(record, depth=target.astype(np.float16), focal_px=focal))
    return tuple(taught)


def street_ids(record: Record) -> U8:
    """The label as ids of the street's table; 255 where a set holds several classes."""
    table = np.full(256, _NO_CLASS, np.uint8)
    for place, members in enumerate(record.sets):
        if len(members) == 1:
            table[place] = members[0]
    ids: U8 = table[record.label]
    return ids


def _ground(engine: Engine, record: Record) -> tuple[F32, float]:
    """The teacher's depth in m at the record's size, and the focal length that it guessed."""
    result = engine.predict(frame_of(record), frozenset({LayerKind.DEPTH}))
    return result.get(Depth).values, float(str(result.notes["focal_px"]))


def _median_focals(guesses: Iterable[tuple[str, float]]) -> dict[str, float]:
    """One camera a group: every frame of a clip was taken by the same."""
    by_group: dict[str, list[float]] = defaultdict(list)
    for group, focal in guesses:
        by_group[group].append(focal)
    return {group: float(np.median(focals)) for group, focals in by_group.items()}
