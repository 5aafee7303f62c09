"""One picture from a file to files, stage by stage: what there is beside the network."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from banana_cli.clock import Clock
from banana_cli.codec import encode_depth_u16, encode_mask_u8, encode_normals_u8
from banana_cli.infer import Engine
from banana_cli.types import Depth, Frame, Json, LayerKind, Mask, Normals, Prediction

_ALL: Final = frozenset(LayerKind)
_WARM_UP: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Median ms of every stage of a picture of ``size_px``, with all layers, at one budget."""

    size_px: int
    name: str
    budget: float
    stages_ms: Mapping[str, float]

    @property
    def total_ms(self) -> float:
        """One after the other; the tool reads and writes beside the model, which is faster."""
        return sum(self.stages_ms.values())

    def to_json(self) -> dict[str, Json]:
        """For ``--json``."""
        stages: dict[str, Json] = dict(self.stages_ms)
        return {"size_px": self.size_px, "name": self.name, "budget": self.budget, "walk_ms": stages}


def make_picture(path: Path, size: int) -> None:
    """A PNG that is smooth on the left and textured on the right."""
    pixels = np.full((size, size, 3), 127, np.uint8)
    half = pixels[:, size // 2 :]
    half[:] = np.random.default_rng(1).integers(0, 255, half.shape, np.uint8)
    cv2.imwrite(str(path), pixels)


def walks(
    weights: Path,
    read: Callable[[], Frame],
    budgets: tuple[float, ...],
    runs: int,
    folder: Path,
    **load: object,
) -> Iterator[Walk]:
    """A picture that ``read`` gives at each budget and densely; files go to ``folder``."""
    for budget in (*budgets, 1.0):
        engine = Engine.load(weights, budget=budget, **load)  # type: ignore[arg-type]
        name = "dense twin" if budget == 1.0 else f"sparse {budget:g}"
        yield _walk(engine, read, runs, folder, name, budget)


def _walk(
    engine: Engine, read: Callable[[], Frame], runs: int, folder: Path, name: str, budget: float
) -> Walk:
    found: dict[str, list[float]] = defaultdict(list)
    size = 0
    for turn in range(runs + _WARM_UP):
        clock = Clock()
        frame = read()
        clock.lap("read")
        size = max(frame.shape)
        prediction = engine.predict(frame, _ALL)
        clock.lap("predict")
        pictures = _coded(prediction)
        clock.lap("codec")
        for stem, picture in pictures.items():
            cv2.imwrite(str(folder / f"{stem}.png"), picture)
        clock.lap("write")
        if turn >= _WARM_UP:
            _count(found, clock.seconds, prediction.seconds)
    stages = {stage: round(statistics.median(values) * 1e3, 2) for stage, values in found.items()}
    return Walk(size_px=size, name=name, budget=budget, stages_ms=stages)


def _count(found: dict[str, list[float]], around: Mapping[str, float], inside: Mapping[str, float]) -> None:
    """The stages of ``predict`` in its place."""
    found["read"].append(around["read"])
    for stage, seconds in inside.items():
        found[stage].append(seconds)
    for stage in ("codec", "write"):
        found[stage].append(around[stage])


def _coded(prediction: Prediction) -> dict[str, np.ndarray]:
    """Pictures by name, as the formats of the tool hold them."""
    found: dict[str, np.ndarray] = {}
    for layer in prediction.layers:
        if isinstance(layer, Mask):
            found["masks"] = encode_mask_u8(layer)[0]
        elif isinstance(layer, Depth):
            found["depth"] = encode_depth_u16(layer)[0]
        elif isinstance(layer, Normals):
            found["normals"] = np.ascontiguousarray(encode_normals_u8(layer)[..., ::-1])
    return found
