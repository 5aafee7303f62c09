"""How well numbers follow things: IDF1 and switches, by masks (IoU of a half), over a whole clip."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from banana_cli.types import U16, Instances


@dataclass
class Identity:
    """Counts over frames; ``add`` them in order. After ``patience`` frames unseen a thing is another one."""

    least_px: int = 0
    patience: int = 1_000_000
    frames: int = 0
    truths: int = 0
    told: int = 0
    found: int = 0
    switches: int = 0
    pairs: Counter[tuple[int, int]] = field(default_factory=Counter)
    seen: Counter[int] = field(default_factory=Counter)
    given: Counter[int] = field(default_factory=Counter)
    last: dict[int, int] = field(default_factory=dict)
    when: dict[int, int] = field(default_factory=dict)
    again: Counter[int] = field(default_factory=Counter)
    names: dict[int, int] = field(default_factory=lambda: {0: 0})

    def add(self, truth: U16, answer: Instances) -> None:
        """One frame: true numbers (H, W), 0 = none; things below ``least_px`` count neither way."""
        self.frames += 1
        truth = self._renamed(truth)
        area = np.bincount(truth.ravel())
        tracks = np.array([0, *answer.tracks], np.int64)[answer.ids]
        told = np.bincount(tracks.ravel())
        both = defaultdict(int, _shared(truth, tracks))
        pairs = sorted(((n / (area[t] + told[k] - n), t, k) for (t, k), n in both.items()), reverse=True)
        matched = [(t, k) for iou, t, k in pairs if iou >= 0.5]  # at IoU above a half no two are rivals
        small = {int(t) for t in np.flatnonzero(area) if area[t] < self.least_px}
        excused = {k for t, k in matched if t in small} | self._mostly(both, told, small)
        for t in np.flatnonzero(area):
            if t and t not in small:
                self.seen[int(t)] += 1
        for k in np.flatnonzero(told):
            if k and k not in excused:
                self.given[int(k)] += 1
        for t, k in matched:
            if t not in small:
                self.found += 1
                self.pairs[t, k] += 1
                self.switches += self.last.get(t, k) != k
                self.last[t] = k

    def _renamed(self, truth: U16) -> np.ndarray:
        """Numbers with how often each was away for long."""
        area = np.bincount(truth.ravel())
        name = np.arange(len(area))
        for t in np.flatnonzero(area):
            if t and area[t] >= self.least_px:
                if self.frames - self.when.get(int(t), self.frames) > self.patience:
                    self.again[int(t)] += 1
                self.when[int(t)] = self.frames
            name[t] += 100_000 * self.again[int(t)]
        return self._small(name)[truth]

    def _small(self, name: np.ndarray) -> np.ndarray:
        """The same names as small numbers, always the same."""
        for value in name:
            self.names.setdefault(int(value), len(self.names))
        return np.array([self.names[int(value)] for value in name])

    def _mostly(self, both: dict[tuple[int, int], int], told: np.ndarray, small: set[int]) -> set[int]:
        """Numbers that lie mostly on things too small to count."""
        on = Counter[int]()
        for (t, k), n in both.items():
            on[k] += n * (t in small)
        return {k for k, n in on.items() if n > 0.5 * told[k]}

    @property
    def idf1(self) -> float:
        """2 IDTP / (truths + answers), numbers paired so that it is greatest."""
        rows, cols = sorted(self.seen), sorted(self.given)
        table = np.array([[self.pairs[t, k] for k in cols] for t in rows]).reshape(len(rows), len(cols))
        best = table[linear_sum_assignment(table, maximize=True)].sum() if table.size else 0
        return float(2 * best / max(1, sum(self.seen.values()) + sum(self.given.values())))

    @property
    def switches_per_100(self) -> float:
        """Switches of number in a hundred frames."""
        return 100 * self.switches / max(1, self.frames)


def _shared(truth: np.ndarray, tracks: np.ndarray) -> Iterable[tuple[tuple[int, int], int]]:
    where = (truth > 0) & (tracks > 0)
    pairs, counts = np.unique(np.stack([truth[where], tracks[where]]), axis=1, return_counts=True)
    return [((int(t), int(k)), int(n)) for (t, k), n in zip(pairs.T, counts, strict=True)]
