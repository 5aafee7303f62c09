"""Worlds rendered once into memory maps, so that a training run draws crops without rendering.

``python -m banana_cli.train.cache FOLDER --street 3000 --aerial 1500 --ct 400 ... --jobs 1``

Layout: ``FOLDER/<modality>/`` with ``plan.json`` (what was asked for), ``views.npy`` (N, H, W, 3) uint8,
``ids.npy`` uint8, ``depth.npy`` float16, ``normals.npy`` (N, H, W, 3) int8, where things can be counted
``instances.npy`` uint16, and ``samples.jsonl``: one line a finished sample, written after its pixels, so
that a killed run goes on where it stopped. A cache of before things were counted serves as it is; asked
for again by the command above it gets its instances, and nothing else in it is written.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from banana_cli.classes import thing_ids
from banana_cli.errors import InputError, UsageError
from banana_cli.train.packs import Record
from banana_cli.train.splits import VALIDATION_SEED
from banana_cli.train.worldset import (
    RENDER_SHAPE,
    Renderer,
    pack_normals,
    pack_views,
    render,
    renderer_mark,
    table_sets,
    world_name,
)
from banana_cli.types import Modality

_Array = tuple[str, type[np.generic], tuple[int, ...]]
_ARRAYS: tuple[_Array, ...] = (
    ("views", np.uint8, (3,)),
    ("ids", np.uint8, ()),
    ("depth", np.float16, ()),
    ("normals", np.int8, (3,)),
)
_COUNTED: _Array = ("instances", np.uint16, ())
_HALF_MAX = 65000.0
_VERSION = 1
TodoT = TypeVar("TodoT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one modality's folder holds: samples of the seeds first_seed, first_seed + 1, ...

    ``renderer`` marks the code that draws them (``worldset.renderer_mark``), empty if not known.
    """

    modality: Modality
    count: int
    shape: tuple[int, int]
    first_seed: int = 0
    version: int = _VERSION
    renderer: str = ""

    def to_json(self) -> str:
        """The plan as JSON text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan back from ``to_json``."""
        raw = json.loads(text)
        return cls(
            **{**raw, "modality": Modality(raw["modality"]), "shape": (raw["shape"][0], raw["shape"][1])}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFacts:
    """The numbers of one rendered sample; null in JSON where unknown."""

    index: int
    seed: int
    modality: Modality
    focal_px: float | None
    centre: tuple[float, float] | None
    pitch: float | None


def _open_arrays(folder: Path, mode: Literal["r", "r+"]) -> dict[str, NDArray[np.generic]]:
    names = [name for name, _, _ in (*_ARRAYS, _COUNTED)]
    paths = {name: folder / f"{name}.npy" for name in names}
    there = {name: path for name, path in paths.items() if name != _COUNTED[0] or path.exists()}
    return {name: np.load(path, mmap_mode=mode) for name, path in there.items()}


def _create(folder: Path, plan: Plan) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, dtype, tail in (*_ARRAYS, *([_COUNTED] if thing_ids(plan.modality) else [])):
        shape = (plan.count, *plan.shape, *tail)
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape).flush()
    (folder / "samples.jsonl").write_text("", encoding="utf-8")
    (folder / "plan.json").write_text(plan.to_json(), encoding="utf-8")  # last: it says the rest is there


def _prepare(folder: Path, plan: Plan) -> None:
    found = folder / "plan.json"
    if not found.exists():
        _create(folder, plan)
        return
    begun = Plan.from_json(found.read_text(encoding="utf-8"))
    if replace(begun, renderer=plan.renderer) != plan:
        raise UsageError(
            "holds samples of another plan",
            subject=str(folder),
            remedy="name another folder, or the counts and seeds of the first run",
        )
    if begun.renderer and plan.renderer != begun.renderer:
        raise UsageError(
            "holds samples that other code has rendered",
            subject=str(folder),
            remedy="name another folder, so that old and new pictures are not mixed",
        )


def _facts(line: str) -> SampleFacts | None:
    try:
        raw = json.loads(line)
        centre = raw["centre"] and (float(raw["centre"][0]), float(raw["centre"][1]))
        return SampleFacts(**{**raw, "modality": Modality(raw["modality"]), "centre": centre})
    except (ValueError, KeyError, TypeError):
        return None  # the last line of a killed run


def _read_facts(folder: Path) -> dict[int, SampleFacts]:
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return {facts.index: facts for facts in map(_facts, lines) if facts is not None}


def _write_sample(folder: Path, plan: Plan, renderer: Renderer, index: int) -> SampleFacts:
    """Render one sample into its row (in a worker process)."""
    seed = plan.first_seed + index
    sample = renderer(plan.modality, seed, plan.shape)
    arrays = _open_arrays(folder, "r+")
    arrays["views"][index] = pack_views(sample.views)
    arrays["ids"][index] = sample.ids
    arrays["depth"][index] = np.clip(sample.depth, -_HALF_MAX, _HALF_MAX).astype(np.float16)
    arrays["normals"][index] = pack_normals(sample.normals)
    if _COUNTED[0] in arrays:
        arrays[_COUNTED[0]][index] = sample.instances
    return SampleFacts(
        index=index,
        seed=seed,
        modality=plan.modality,
        focal_px=sample.focal_px,
        centre=sample.centre,
        pitch=None if sample.pitch is None else sample.pitch.row,
    )


def _write_instances(folder: Path, plan: Plan, renderer: Renderer, facts: SampleFacts) -> SampleFacts:
    """Render a finished sample again for its instances; UsageError if it is not the same picture."""
    sample = renderer(plan.modality, facts.seed, plan.shape)
    ids = np.load(folder / "ids.npy", mmap_mode="r")
    if not np.array_equal(ids[facts.index], sample.ids):
        raise UsageError(
            "holds samples that other code has rendered",
            subject=str(folder),
            remedy="render a new cache; this one cannot get instances",
        )
    np.load(_unfinished(folder), mmap_mode="r+")[facts.index] = sample.instances
    return facts


def _unfinished(folder: Path) -> Path:
    return folder / f".{_COUNTED[0]}.part.npy"


def _complete(
    folder: Path,
    plan: Plan,
    renderer: Renderer,
    jobs: int,
    progress: Callable[[Iterable[SampleFacts], int, int], Iterable[SampleFacts]] | None,
) -> None:
    """Give a cache of before things were counted its instances; a killed attempt begins again."""
    name, dtype, tail = _COUNTED
    if not thing_ids(plan.modality) or (folder / f"{name}.npy").exists():
        return
    done = list(_read_facts(folder).values())
    part, shape = _unfinished(folder), (plan.count, *plan.shape, *tail)
    np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape).flush()
    finished: Iterable[SampleFacts] = _work(partial(_write_instances, folder, plan, renderer), done, jobs)
    if progress is not None:
        finished = progress(finished, 0, len(done))
    for _ in finished:
        pass
    part.replace(folder / f"{name}.npy")


def _work(task: Callable[[TodoT], SampleFacts], todo: Sequence[TodoT], jobs: int) -> Iterator[SampleFacts]:
    if jobs < 2:
        yield from map(task, todo)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for future in as_completed([pool.submit(task, one) for one in todo]):
            yield future.result()


def build(
    folder: Path,
    plan: Plan,
    *,
    jobs: int = 1,
    renderer: Renderer = render,
    progress: Callable[[Iterable[SampleFacts], int, int], Iterable[SampleFacts]] | None = None,
) -> None:
    """Render what ``folder/<modality>`` lacks of the plan; UsageError if it holds another plan's samples.

    ``progress(samples, done, total)`` may wrap the samples as they come.
    """
    target = folder / plan.modality.value
    _prepare(target, plan)
    _complete(target, plan, renderer, jobs, progress)
    done = _read_facts(target)
    todo = [i for i in range(plan.count) if i not in done]
    finished: Iterable[SampleFacts] = _work(partial(_write_sample, target, plan, renderer), todo, jobs)
    if progress is not None:
        finished = progress(finished, len(done), plan.count)
    with (target / "samples.jsonl").open("a", encoding="utf-8") as log:
        log.write("\n" if log.tell() else "")  # closes a line that a kill may have left open
        for facts in finished:
            log.write(json.dumps(asdict(facts)) + "\n")
            log.flush()


class CachedWorld:
    """The finished samples of one modality, as records over memory maps; picklable, opened per process."""

    def __init__(self, folder: Path) -> None:
        """Open ``FOLDER/<modality>``; InputError if it is no cache or has no finished sample."""
        try:
            self.plan = Plan.from_json((folder / "plan.json").read_text(encoding="utf-8"))
            self._facts = [facts for _, facts in sorted(_read_facts(folder).items())]
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise InputError("not a cache of worlds", subject=str(folder), remedy=_REMEDY) from exc
        if not self._facts:
            raise InputError("no finished sample", subject=str(folder), remedy=_REMEDY)
        self._folder = folder
        self._arrays: dict[str, NDArray[np.generic]] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_arrays": {}}  # a memory map would travel as all of its bytes

    @property
    def mark(self) -> str:
        """Seeds and renderer."""
        return f"{self.plan.version}:{self.plan.first_seed}:{self.plan.renderer}"

    def __len__(self) -> int:
        return len(self._facts)

    def __getitem__(self, index: int) -> Record:
        """The record of the ``index``-th finished sample; its arrays are views of the maps."""
        if not self._arrays:
            self._arrays = _open_arrays(self._folder, "r")
        facts, arrays = self._facts[index], self._arrays
        row = facts.index
        return Record(
            name=str(facts.seed),
            pack=world_name(facts.modality),
            group=str(facts.seed),
            modality=facts.modality,
            pixels=np.asarray(arrays["views"][row]),
            label=np.asarray(arrays["ids"][row]),
            sets=table_sets(facts.modality),
            depth=np.asarray(arrays["depth"][row]),
            normals=np.asarray(arrays["normals"][row]),
            focal_px=math.nan if facts.focal_px is None else facts.focal_px,
            pitch=math.nan if facts.pitch is None else facts.pitch,
            centre=facts.centre,
            instances=np.asarray(arrays[_COUNTED[0]][row]) if _COUNTED[0] in arrays else None,
        )


_REMEDY = "make it with python -m banana_cli.train.cache"


def open_cache(folder: Path) -> dict[Modality, CachedWorld]:
    """Every modality of which ``folder`` holds a finished sample; InputError if there is none."""
    begun = [m for m in Modality if (folder / m.value / "plan.json").exists()]
    found = {m: CachedWorld(folder / m.value) for m in begun if _read_facts(folder / m.value)}
    if not found:
        raise InputError("no cache of worlds here", subject=str(folder), remedy=_REMEDY)
    return found


def plans(counts: Mapping[Modality, int], *, validation: bool = False) -> list[Plan]:
    """A plan for each modality asked for; validation worlds have seeds that no training world has."""
    first = VALIDATION_SEED if validation else 0
    return [
        Plan(modality=m, count=n, shape=RENDER_SHAPE[m], first_seed=first, renderer=renderer_mark(m))
        for m, n in counts.items()
        if n
    ]


def _bar(plan: Plan, samples: Iterable[SampleFacts], done: int, total: int) -> Iterable[SampleFacts]:
    hidden = not sys.stderr.isatty()
    bar = tqdm(samples, desc=plan.modality.value, initial=done, total=total, unit="picture", disable=hidden)
    return cast(Iterable[SampleFacts], bar)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line: fill a folder with rendered worlds."""
    parser = argparse.ArgumentParser(description="Render worlds into a folder of memory maps; resumable.")
    parser.add_argument("folder", type=Path)
    for modality in Modality:
        parser.add_argument(f"--{modality.value}", type=int, default=0, metavar="N")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes")
    parser.add_argument("--validation", action="store_true", help="seeds that training never uses")
    asked = parser.parse_args(argv)
    counts = {m: int(getattr(asked, m.value)) for m in Modality}
    for plan in plans(counts, validation=asked.validation):
        build(asked.folder, plan, jobs=asked.jobs, progress=partial(_bar, plan))


if __name__ == "__main__":
    main()
