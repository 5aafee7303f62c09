"""Accuracy beside speed: mean IoU on labelled pictures of every way to choose tokens, with its spread.

The spread is that of a paired bootstrap over pictures: the same draws for all ways, so that a difference
between two of them is judged on the same pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np

from banana_cli.infer import Engine
from banana_cli.metrics.masks import Confusion
from banana_cli.metrics.naming import Choice, Judged, Numbering
from banana_cli.model.net import BananaNet, Features, Head, NetInput, NetOutput, Routing
from banana_cli.types import U8, Frame, Json, LayerKind, Mask, Modality

_DRAWS: Final = 1000
_MASKS: Final = frozenset({LayerKind.MASKS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A picture with the class ids (H, W) of its truth; ``numbering``: what they mean, if that is told."""

    name: str
    frame: Frame
    truth: U8
    numbering: Numbering | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Mean IoU in % of one way over all pictures; ``low`` to ``high`` holds 95 % of the draws.

    ``gain`` is how much better it is than the dense twin, in points, with its own interval.
    """

    name: str
    budget: float
    pictures: int
    miou: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float

    def to_json(self) -> dict[str, Json]:
        """For ``--json``."""
        return cast("dict[str, Json]", asdict(self))


@dataclass(frozen=True, slots=True)
class _Routed:
    """A network whose tokens are chosen in another way."""

    net: BananaNet
    routing: Routing

    def features(self, inp: NetInput, budget: float) -> Features:
        """As the network's."""
        return self.net.features(inp, budget, self.routing)

    def read(self, features: Features, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        """As the network's."""
        return self.net.read(features, modality, heads)


_WAYS: Final = (("random routing", Routing.RANDOM), ("by image gradients", Routing.GRADIENT))
_DENSE: Final = "dense twin"


class Scored:
    """Runs every way on every picture and counts classes."""

    def __init__(
        self, weights: Path, budgets: tuple[float, ...], choice: Choice, *, device: str, precision: str
    ) -> None:
        """WeightsError or UsageError as when the engine loads."""
        loaded = Engine.load(weights, device=device, precision=precision)
        ways = [(f"sparse {b:g}", Routing.LEARNED, b) for b in budgets]
        ways += [(name, routing, budgets[0]) for name, routing in _WAYS]
        ways += [("uniform 16 px", Routing.UNIFORM, 0.25), (_DENSE, Routing.LEARNED, 1.0)]
        self.budgets = {name: budget for name, _, budget in ways}
        self._engines = {
            name: loaded.through(lambda net, to=routing: _Routed(cast(BananaNet, net), to), budget)  # type: ignore[misc]
            for name, routing, budget in ways
        }
        self._choice = choice
        self._judged: Judged | None = None
        self._counts: dict[str, list[Confusion]] = {name: [] for name in self._engines}

    def ways(self) -> int:
        """How many passes a picture takes."""
        return len(self._engines)

    def add(self, picture: Labelled, told: Callable[[], None] = lambda: None) -> None:
        """Count one picture in every way. ValueError if sizes differ or a number has no meaning."""
        for name, engine in self._engines.items():
            mask = engine.predict(picture.frame, _MASKS).get(Mask)
            self._counts[name].append(self._count(mask, picture))
            told()

    def _count(self, mask: Mask, picture: Labelled) -> Confusion:
        ours = Numbering.of(mask.table)
        if self._judged is None:
            self._judged = self._choice.resolve(picture.numbering, ours)
        judged, count = self._judged, len(self._judged.names)
        confusion = Confusion((*((i,) for i in range(count)), ()), count)
        predicted = judged.of_prediction(np.where(mask.valid, mask.ids, np.uint8(255)), ours.in_order())
        confusion.add(predicted, judged.of_truth(picture.truth))
        return confusion

    def scores(self, seed: int = 0) -> Iterator[Score]:
        """The rows, in the order of the ways."""
        pictures = len(self._counts[_DENSE])
        if not pictures:
            return
        draws = np.random.default_rng(seed).multinomial(pictures, [1 / pictures] * pictures, _DRAWS)
        weights = np.concatenate([np.ones((1, pictures), np.int64), draws])
        found = {name: _mious(counts, weights) for name, counts in self._counts.items()}
        for name, mious in found.items():
            gains = mious - found[_DENSE]
            yield Score(
                name=name,
                budget=self.budgets[name],
                pictures=pictures,
                miou=_rounded(mious[0]),
                low=_quantile(mious, 0.025),
                high=_quantile(mious, 0.975),
                gain=_rounded(gains[0]),
                gain_low=_quantile(gains, 0.025),
                gain_high=_quantile(gains, 0.975),
            )


def _mious(counts: Iterable[Confusion], weights: np.ndarray) -> np.ndarray:
    """Mean IoU in % for each row of ``weights`` (draws, pictures): how often each picture was drawn."""
    each = list(counts)
    drawn = np.tensordot(weights, np.stack([c.counts for c in each]), 1)
    total = Confusion(each[0].sets, each[0].classes)
    found = []
    for one in drawn:
        total.counts = one
        known = total.iou()[:-1]
        known = known[np.isfinite(known)]
        found.append(100 * known.mean() if known.size else math.nan)
    return np.array(found)


def _rounded(value: float) -> float:
    return round(float(value), 2)


def _quantile(values: np.ndarray, share: float) -> float:
    """Of the draws alone: the first value is that of the pictures as they are."""
    return _rounded(float(np.nanquantile(values[1:], share)))
