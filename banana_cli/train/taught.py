"""The pack that a teacher labelled (``banana_cli.train.teach``): memory maps -> records.

Layout: ``FOLDER/taught.json`` and for each city ``<city>_frames.npy`` (N, H, W, 3) uint8,
``<city>_ids.npy`` (N, H, W) uint8 class ids and ``<city>_confidence.npy`` (N, H, W) uint8, 255 = 1.0. A
label is an id whose confidence reaches the threshold of its class, so thresholds can change without a
teacher. The frames show unblurred faces and plates: the folder must stay out of the repository.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from banana_cli.classes import STREET
from banana_cli.errors import InputError
from banana_cli.train.packs import STREET_SETS, Record
from banana_cli.train.splits import CLIPS
from banana_cli.types import NO_CLASS, U8, Modality

FACTS = "taught.json"
ARRAYS = ("frames", "ids", "confidence")
_REMEDY = "make it with python -m banana_cli.train.teach"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaughtFacts:
    """Who taught what: ``frames`` are the places in each city's clip, ``least`` the lowest confidence
    (0..255, 256 = never) that a class is believed with, by its id."""

    weights_sha256: str
    frames: dict[str, tuple[int, ...]]
    least: tuple[int, ...]

    def to_json(self) -> str:
        """The facts as JSON text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> TaughtFacts:
        """The facts back from ``to_json``; ValueError, KeyError or TypeError if it is something else."""
        raw = json.loads(text)
        least = tuple(int(v) for v in raw["least"])
        if len(least) != len(STREET):
            raise ValueError("other classes")
        frames = {str(city): tuple(int(i) for i in places) for city, places in raw["frames"].items()}
        return cls(weights_sha256=str(raw["weights_sha256"]), frames=frames, least=least)


def array_path(folder: Path, city: str, name: str) -> Path:
    """Where an array of ``ARRAYS`` of a city lies."""
    return folder / f"{city}_{name}.npy"


def believed(ids: U8, confidence: U8, least: tuple[int, ...]) -> U8:
    """Labels: the id where the confidence suffices for its class, else 255."""
    enough = confidence >= np.array(least, np.uint16)[ids]
    return np.where(enough, ids, np.uint8(NO_CLASS))


class Taught:
    """The frames of a taught pack as records; picklable, its maps are opened in each process."""

    def __init__(self, folder: Path) -> None:
        """InputError if the folder holds no taught pack or not all of it."""
        try:
            self.facts = TaughtFacts.from_json((folder / FACTS).read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise InputError("not a taught pack", subject=str(folder), remedy=_REMEDY) from exc
        self._folder = folder
        self._rows = [(city, row) for city, places in self.facts.frames.items() for row in range(len(places))]
        self._maps: dict[str, dict[str, NDArray[np.uint8]]] = {}
        missing = [c for c in self.facts.frames if not array_path(folder, c, ARRAYS[-1]).exists()]
        if missing or not self._rows:
            raise InputError(
                f"lacks the frames of {missing[0]}" if missing else "holds no frames",
                subject=str(folder),
                remedy=_REMEDY,
            )

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_maps": {}}  # a memory map would travel as all of its bytes

    @property
    def mark(self) -> str:
        """The teacher, and what of it is believed."""
        return sha256(self.facts.to_json().encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Record:
        """The ``index``-th frame; its group is the city, its camera unknown, and it has no depth."""
        city, row = self._rows[index]
        if city not in self._maps:
            self._maps[city] = {n: np.load(array_path(self._folder, city, n), mmap_mode="r") for n in ARRAYS}
        frames, ids, confidence = (np.asarray(self._maps[city][n][row]) for n in ARRAYS)
        return Record(
            name=f"{city}_{self.facts.frames[city][row]:04d}",
            pack=CLIPS,
            group=city,
            modality=Modality.STREET,
            pixels=frames,
            label=believed(ids, confidence, self.facts.least),
            sets=STREET_SETS,
        )
