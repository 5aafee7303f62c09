"""A small domain, two formats and a model of nothing: the command line's world without torch or codecs.

A fake input is text: ``FAKE rows columns frames`` and, if wanted, ``bad=I`` (frame I is unreadable),
``lost=N`` (and stands for N),
``cut=I`` (the reader fails at frame I), ``only=depth`` (frames answer that alone), ``turns=1`` (frames answer
one layer in turn, each with a pitch of its own), ``empty=1`` (nothing in it is wanted), ``measured=depth``,
``slow=S`` (seconds a frame takes to read).
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from banana_cli.adapter import InputItem, SinkJob, SourceInfo, Unreadable
from banana_cli.classes import TABLE_OF
from banana_cli.cli.main import main
from banana_cli.cli.world import EngineOptions, World
from banana_cli.errors import InputError, WeightsError
from banana_cli.options import ReadOptions
from banana_cli.types import (
    Band,
    Depth,
    DepthKind,
    Domain,
    Frame,
    Json,
    Layer,
    LayerKind,
    Mask,
    Modality,
    ModelFacts,
    Normals,
    Pitch,
    Prediction,
    Provenance,
    Unit,
    View,
)

ALL = frozenset(LayerKind)


@dataclass(frozen=True)
class FlatGeometry:
    pitch_m: float = 2.0

    def focal_px(self) -> float | None:
        return None

    def pitch(self) -> Pitch | None:
        return Pitch(row=2.0, col=2.0, unit=Unit.METRE)

    def describe(self) -> dict[str, Json]:
        return {"pitch_m": self.pitch_m, "skew": float("nan")}


@dataclass(frozen=True, slots=True)
class Script:
    rows: int
    columns: int
    frames: int
    extra: dict[str, str]


def parse(path: Path) -> Script:
    word, rows, columns, frames, *extra = path.read_text().split()
    if word != "FAKE":
        raise InputError("is no fake", subject=str(path), remedy="write FAKE")
    return Script(int(rows), int(columns), int(frames), dict(e.split("=") for e in extra))


def layer_of(kind: LayerKind, frame_shape: tuple[int, int], value: int, modality: Modality) -> Layer:
    valid = np.ones(frame_shape, np.bool_)
    if kind is LayerKind.MASKS:
        return Mask(ids=np.full(frame_shape, value % 3, np.uint8), valid=valid, table=TABLE_OF[modality])
    if kind is LayerKind.DEPTH:
        values = np.full(frame_shape, value, np.float32)
        return Depth(values=values, valid=valid, depth_kind=DepthKind.METRIC, unit=Unit.METRE)
    xyz = np.zeros((3, *frame_shape), np.float32)
    xyz[2] = -1
    return Normals(xyz=xyz, valid=valid)


@dataclass(frozen=True)
class FakeSource:
    info: SourceInfo
    script: Script
    path: Path

    def __iter__(self) -> Iterator[Frame | Unreadable]:
        extra = self.script.extra
        for i in range(self.script.frames):
            time.sleep(float(extra.get("slow", 0)))
            if extra.get("cut") == str(i):
                raise InputError("ends too early", subject=str(self.path), remedy="copy it again")
            if extra.get("bad") in (str(i), "all"):
                error = InputError("is damaged", subject=str(self.path), remedy="copy it again")
                yield Unreadable(index=i, error=error, count=int(extra.get("lost", 1)))
            else:
                yield self.frame(i)

    def frame(self, index: int) -> Frame:
        shape = (self.script.rows, self.script.columns)
        extra = self.script.extra
        only = list(LayerKind)[index % 3].value if "turns" in extra else extra.get("only")
        facts: dict[str, Json] = {"layers": [only]} if only else {}
        measured = [LayerKind(extra["measured"])] if "measured" in extra else []
        return Frame(
            pixels=np.zeros((1, *shape), np.float32),
            valid=np.ones(shape, np.bool_),
            bands=(Band(name="grey", unit="1"),),
            views=(View(band=0, low=0, high=1),),
            modality=self.info.modality,
            geometry=FlatGeometry(2.0 + index if "turns" in extra else 2.0),
            provenance=Provenance(source="fake", index=index, extra=facts),
            measured=tuple(layer_of(k, shape, 9, self.info.modality) for k in measured),
        )


@dataclass(frozen=True)
class FakeAdapter:
    name: str = "fake"
    domain: Domain = Domain.DRIVING
    modality: Modality = Modality.STREET
    magic: bytes = b"FAKE"
    accepts: frozenset[str] = frozenset({"start", "fps"})

    def sniff(self, path: Path, head: bytes) -> bool:
        return head.startswith(self.magic)

    def group(self, paths: Sequence[Path], *, root: Path | None) -> Sequence[InputItem]:
        return [
            InputItem(paths=(p,), stem=p.stem, folder=p.parent.relative_to(root) if root else Path())
            for p in paths
        ]

    def inspect(self, item: InputItem, options: ReadOptions) -> SourceInfo:
        script = parse(item.paths[0])
        return SourceInfo(
            item=item,
            domain=self.domain,
            modality=self.modality,
            kind="fake clip",
            shape=(script.rows, script.columns),
            frames=script.frames,
            formats={kind: "txt" for kind in LayerKind if _gives(script, kind)},
            facts={"rate": 25.0},
            notices=("focal length unknown",) if "notice" in script.extra else (),
        )

    @contextmanager
    def open(self, item: InputItem, options: ReadOptions) -> Iterator[FakeSource]:
        yield FakeSource(self.inspect(item, options), parse(item.paths[0]), item.paths[0])


def _gives(script: Script, kind: LayerKind) -> bool:
    return script.extra.get("lacks") != kind.value and "empty" not in script.extra


@dataclass
class FakeSink:
    part: Path
    job: SinkJob
    folder: bool
    fail_at: int | None
    lines: list[str] = field(default_factory=list)

    def write(self, frame: Frame, prediction: Prediction) -> None:
        layer = prediction.of(self.job.layer)
        if layer is None:
            return
        if self.fail_at == len(self.lines):
            raise OSError(28, "No space left on device")
        self.lines.append(f"{frame.provenance.index} {layer.valid.shape}")
        self._save()

    def finish(self) -> dict[str, Json]:
        self.lines.append("end")
        self._save()
        return {"kind": "metric", "unit": "m", "scale": float("inf")}

    def _save(self) -> None:
        if self.folder:
            self.part.mkdir(exist_ok=True)
            (self.part / f"{len(self.lines):06d}.txt").write_text(self.lines[-1])
        else:
            self.part.write_text("\n".join(self.lines))
            self.part.with_name(self.part.name + ".aux").write_text("aux")


@dataclass(frozen=True)
class FakeFormat:
    name: str = "txt"
    ending: str = ".txt"
    domains: frozenset[Domain] = frozenset(Domain)
    layers: frozenset[LayerKind] = ALL
    fail_at: int | None = None

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        return self.ending

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[FakeSink]:
        yield FakeSink(part, job, not self.ending, self.fail_at)


@dataclass
class FakeEngine:
    asked: list[tuple[int, frozenset[LayerKind]]] = field(default_factory=list)
    facts: ModelFacts = ModelFacts(
        name="fake", weights_sha256="0" * 64, budget=0.5, precision="fp32", device="cpu"
    )

    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        self.asked.append((frame.provenance.index, kinds))
        given = {layer.kind: layer for layer in frame.measured}
        layers = [
            given.get(k) or layer_of(k, frame.shape, frame.provenance.index, frame.modality) for k in kinds
        ]
        return Prediction(
            layers=tuple(layers), tokens_kept=0.5, seconds={"model": 0.001}, notes={"focal": "guessed"}
        )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class BytesOut(io.TextIOWrapper):
    """A text stream over bytes, as stdout is."""

    def __init__(self) -> None:
        self.kept = io.BytesIO()
        super().__init__(self.kept, encoding="utf-8", write_through=True)

    @property
    def text(self) -> str:
        return self.kept.getvalue().decode()


class Fakes:
    """A world, and everything that happened in it."""

    def __init__(self, stdin: bytes = b"") -> None:
        self.engine = FakeEngine()
        self.loaded: list[EngineOptions] = []
        self.out = BytesOut()
        self.err = io.StringIO()
        self.stdin = io.BytesIO(stdin)
        self.formats = {
            "txt": FakeFormat(),
            "frames": FakeFormat(name="frames", ending=""),
            "full": FakeFormat(name="full", ending=".full", fail_at=1),
            "maskonly": FakeFormat(name="maskonly", ending=".mo", layers=frozenset({LayerKind.MASKS})),
            "scan": FakeFormat(name="scan", ending=".scan", domains=frozenset({Domain.MEDICAL})),
        }
        self.adapters = {
            "fake": FakeAdapter(),
            "scan": FakeAdapter(
                name="scan",
                domain=Domain.MEDICAL,
                modality=Modality.CT,
                magic=b"SCAN",
                accepts=frozenset({"window"}),
            ),
        }
        self.weights_missing = False

    def load(self, options: EngineOptions) -> FakeEngine:
        self.loaded.append(options)
        return self.engine

    def weights(self, path: Path | None, name: str) -> Path:
        if self.weights_missing:
            raise WeightsError("missing", subject="weights", remedy="reinstall")
        return path or Path("fake.safetensors")

    def world(self) -> World:
        return World(
            adapters=self.adapters,
            formats=self.formats,
            tasks={},
            broken=(),
            load_engine=self.load,
            resolve_weights=self.weights,
            stdin=self.stdin,
            stdout=self.out,
            stderr=self.err,
            environ={},
        )

    @property
    def records(self) -> list[dict[str, Json]]:
        return [json.loads(line) for line in self.out.text.splitlines()]


def put(path: Path, text: str = "FAKE 4 6 3") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def tree(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def banana(fakes: Fakes, *words: str | Path) -> int:
    return main([str(w) for w in words], fakes.world())


def complaint(fakes: Fakes) -> list[str]:
    return fakes.err.getvalue().splitlines()
