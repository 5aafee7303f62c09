"""What a clip shows, as text: a line a frame (``ndjson``), MOTChallenge (``mot``), COCO (``coco-video``).

All of them are written as lines that outlive a kill; COCO's one object is made of them at the end.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from banana_cli.adapter import ResumableSink, SinkJob, SourceInfo
from banana_cli.errors import UsageError
from banana_cli.runs import coded
from banana_cli.types import ClassTable, Depth, Frame, Instances, Json, LayerKind, Mask, Prediction

from .mux import frame_ticks
from .sinks import ClipFormat, followed

Box = tuple[int, int, int, int]


class Lines:
    """A file of lines that only grows; ``size`` bytes of an earlier run are kept, the rest is cut off."""

    def __init__(self, path: Path, size: int | None, *, live: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if size is not None and (not path.exists() or path.stat().st_size < size):
            raise ValueError("the lines of the earlier run are damaged")
        self.path, self._live = path, live
        self._file: IO[bytes] = path.open("ab")
        self._file.truncate(size or 0)

    def put(self, line: str) -> None:
        """Append a line; at once where somebody reads along."""
        self._file.write(line.encode("utf-8") + b"\n")
        if self._live:
            self._file.flush()

    def sync(self) -> int:
        """Make everything so far safe on the disk; its size."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self.path.stat().st_size

    def close(self) -> None:
        """Close the file; more than once does no harm."""
        self._file.close()


class _Style(Protocol):
    """What the lines of a format say, and what becomes of them."""

    def lines(self, frame: Frame, mask: Mask, prediction: Prediction) -> Iterator[str]:
        """Those of one frame."""

    def whole(self, lines: Path, part: Path) -> None:
        """Make the output of the lines, which may be the same file."""

    def facts(self) -> dict[str, Json]:
        """For the sidecar."""


class _RecordSink:
    """Writes frame by frame; nothing but the open file is kept."""

    def __init__(self, style: _Style, lines: Lines, part: Path, state: Mapping[str, Json] | None) -> None:
        self._style, self._lines, self._part = style, lines, part
        count = (state or {}).get("count")
        self._count = count if isinstance(count, int) else 0

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Add one frame; a prediction without masks is passed over."""
        mask = prediction.of(LayerKind.MASKS)
        if isinstance(mask, Mask):
            self._count += 1
            for line in self._style.lines(frame, mask, prediction):
                self._lines.put(line)

    def checkpoint(self) -> dict[str, Json]:
        """Put the lines so far safely on the disk."""
        return {"bytes": self._lines.sync(), "count": self._count}

    def finish(self) -> dict[str, Json]:
        """Complete the file."""
        self._lines.close()
        self._style.whole(self._lines.path, self._part)
        return {"kind": "records", "frames": self._count, **self._style.facts()}


class _Ndjson:
    """A JSON object a frame: shares of the classes, and the things with their tracks."""

    def __init__(self, job: SinkJob) -> None:
        pass

    def lines(self, frame: Frame, mask: Mask, prediction: Prediction) -> Iterator[str]:
        """One."""
        pts, _ = frame_ticks(frame)
        place = frame.provenance
        facts: dict[str, Json] = {"frame": place.index, "time_s": place.time_s, "pts": pts}
        facts |= {"time_base": place.extra["time_base"], "classes": _shares(mask, frame)}
        if prediction.instances is not None:
            depth = prediction.of(LayerKind.DEPTH)
            things = list(_things(prediction.instances, mask.table))
            if isinstance(depth, Depth):
                for number, thing in enumerate(things, start=1):
                    thing["depth_m"] = _middle(depth, prediction.instances.ids == number)
            facts["things"] = list(things)
        yield json.dumps(facts, ensure_ascii=False, allow_nan=False)

    def whole(self, lines: Path, part: Path) -> None:
        """The lines are the output."""
        _same(lines, part)

    def facts(self) -> dict[str, Json]:
        """For the sidecar."""
        return {"encoding": "ndjson", "schema": "banana-frames-1"}


class _Mot:
    """A row a thing and frame as MOTChallenge wants results: frames and pixels from 1, -1 for no world."""

    def __init__(self, job: SinkJob) -> None:
        pass

    def lines(self, frame: Frame, mask: Mask, prediction: Prediction) -> Iterator[str]:
        """One a thing that has its number."""
        for track, score, (left, top, width, height) in _boxes(prediction.instances):
            numbers = (frame.provenance.index + 1, track, left + 1, top + 1, width, height)
            yield ",".join(map(str, numbers)) + f",{score:.4f},-1,-1,-1"

    def whole(self, lines: Path, part: Path) -> None:
        """The lines are the output."""
        _same(lines, part)

    def facts(self) -> dict[str, Json]:
        """For the sidecar."""
        columns: list[Json] = [
            "frame",
            "id",
            "bb_left",
            "bb_top",
            "bb_width",
            "bb_height",
            "conf",
            "x",
            "y",
            "z",
        ]
        return {"encoding": "mot", "columns": columns}


class _Coco:
    """COCO with ``videos`` and ``tracks`` (as TAO has them); regions as compressed runs."""

    def __init__(self, job: SinkJob) -> None:
        self._info, self._table = job.info, job.table

    def lines(self, frame: Frame, mask: Mask, prediction: Prediction) -> Iterator[str]:
        """One: the image, and a list of its annotations, whose numbers are given at the end."""
        index = frame.provenance.index
        rows, cols = frame.shape
        image: dict[str, Json] = {
            "id": index + 1,
            "video_id": 1,
            "frame_id": index,
            "width": cols,
            "height": rows,
        }
        image |= {"file_name": f"{index:06d}.png", "time_s": frame.provenance.time_s}
        regions = list(_regions(prediction.instances, index + 1)) if prediction.instances else []
        yield json.dumps({"image": image, "annotations": regions}, allow_nan=False)

    def whole(self, lines: Path, part: Path) -> None:
        """One object: images, then annotations, then the tracks that were met."""
        target = part.with_name(f"{part.name}.whole") if lines == part else part
        info, classes = self._info, self._table.classes
        video: dict[str, Json] = {"id": 1, "name": info.item.stem, "width": info.shape[1]}
        categories: list[Json] = [{"id": c.id + 1, "name": c.name} for c in classes]
        with target.open("w", encoding="utf-8") as out:
            out.write('{"info": {"description": "made by banana"},\n"images": [')
            count = _list(out, (json.dumps(one["image"]) for one in _read(lines)))
            out.write('],\n"annotations": [')
            tracks: dict[int, Counter[int]] = {}
            _list(out, _numbered(lines, tracks))
            told = [
                {"id": track, "video_id": 1, "category_id": kinds.most_common(1)[0][0]}
                for track, kinds in sorted(tracks.items())
            ]
            video |= {"height": info.shape[0], "length": count}
            rest = {"videos": [video], "categories": categories, "tracks": told}
            out.write("],\n" + json.dumps(rest)[1:] + "\n")
        if target != part:
            os.replace(target, part)

    def facts(self) -> dict[str, Json]:
        """For the sidecar."""
        return {"encoding": "coco", "category_id": "class id + 1", "segmentation": "compressed RLE"}


def _list(out: IO[str], items: Iterator[str]) -> int:
    """Write the items of a list, one a line; how many there were."""
    count = 0
    for count, item in enumerate(items, start=1):
        out.write(("\n" if count == 1 else ",\n") + item)
    return count


def _read(lines: Path) -> Iterator[dict[str, Any]]:
    with lines.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _numbered(lines: Path, tracks: dict[int, Counter[int]]) -> Iterator[str]:
    """The annotations with their numbers; ``tracks`` takes in what class each was how often."""
    number = 0
    for one in _read(lines):
        for annotation in one["annotations"]:
            number += 1
            tracks.setdefault(annotation["track_id"], Counter())[annotation["category_id"]] += 1
            yield json.dumps({"id": number} | annotation)


def _regions(things: Instances, image: int) -> Iterator[dict[str, Json]]:
    for number, facts in coded(things.ids):
        track = things.tracks[number - 1] if things.tracks else 0
        if track:
            yield {
                "image_id": image,
                "video_id": 1,
                "category_id": things.classes[number - 1] + 1,
                "track_id": track,
                "instance_id": track,
                **facts,
                "score": round(things.scores[number - 1], 4),
            }


def _same(lines: Path, part: Path) -> None:
    if lines != part:
        shutil.copyfile(lines, part)


def _shares(mask: Mask, frame: Frame) -> dict[str, Json]:
    """Share of the pixels with data, of the classes that are there."""
    counts = np.bincount(mask.ids[mask.valid], minlength=256)
    seen = max(1, int(np.count_nonzero(frame.valid)))
    return {c.name: round(int(counts[c.id]) / seen, 6) for c in mask.table.classes if counts[c.id]}


def _things(things: Instances, table: ClassTable) -> Iterator[dict[str, Json]]:
    area = np.bincount(things.ids.ravel(), minlength=len(things) + 1)
    tracks = things.tracks or (0,) * len(things)
    for number, box in enumerate(_windows(things), start=1):
        yield {
            "track": tracks[number - 1] or None,
            "class": table.names[things.classes[number - 1]],
            "score": round(things.scores[number - 1], 4),
            "box": list(box),
            "pixels": int(area[number]),
        }


def _middle(depth: Depth, here: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Json:
    values = depth.values[here & depth.valid]
    return round(float(np.median(values)), 3) if values.size else None


def _boxes(things: Instances | None) -> Iterator[tuple[int, float, Box]]:
    """Track, score and box of those that have a number."""
    if things is not None:
        for track, score, box in zip(things.tracks, things.scores, _windows(things), strict=False):
            if track and box[2]:
                yield track, score, box


def _windows(things: Instances) -> list[Box]:
    """Left, top, width and height of each; zeros for one without a pixel."""
    rows, cols = np.nonzero(things.ids)
    numbers = things.ids[rows, cols]
    low = np.full((len(things) + 1, 2), np.iinfo(np.int64).max)
    high = np.full((len(things) + 1, 2), -1)
    for axis, values in enumerate((cols, rows)):
        np.minimum.at(low[:, axis], numbers, values)
        np.maximum.at(high[:, axis], numbers, values)
    size = np.where(high >= 0, high - low + 1, 0)
    low = np.where(high >= 0, low, 0)
    return [(int(x), int(y), int(w), int(h)) for (x, y), (w, h) in zip(low[1:], size[1:], strict=True)]


class RecordFormat(ClipFormat):
    """Masks of a clip, their things counted and followed, as lines that outlive a kill."""

    layers = frozenset({LayerKind.MASKS})
    things = True

    def __init__(
        self, name: str, ending: str, style: Callable[[SinkJob], _Style], *, live: bool, needs: str = ""
    ) -> None:
        """``needs``: a library that must be installed, of the extra that is named as the format begins."""
        self.name, self._ending, self._style, self.live, self._needs = name, ending, style, live, needs

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """The ending. UsageError if the input is no clip, its frames stand alone, or a library lacks."""
        followed(info, self.name)
        if self._needs and find_spec(self._needs) is None:
            extra = self.name.split("-")[0]
            raise UsageError(
                f"format {self.name} needs {self._needs}",
                subject=info.item.subject,
                remedy=f"pip install 'banana-vision[{extra}]'",
            )
        return self._ending

    @contextmanager
    def _open(
        self, part: Path, job: SinkJob, work: Path | None, state: Mapping[str, Json] | None
    ) -> Iterator[ResumableSink]:
        size = (state or {}).get("bytes")
        path = part if work is None else work / "lines"
        lines = Lines(path, size if isinstance(size, int) else None, live=job.live)
        try:
            yield _RecordSink(self._style(job), lines, part, state)
        finally:
            lines.close()


NDJSON = RecordFormat("ndjson", ".ndjson", _Ndjson, live=True)
MOT = RecordFormat("mot", ".mot.txt", _Mot, live=True)
COCO_VIDEO = RecordFormat("coco-video", ".coco-video.json", _Coco, live=False, needs="pycocotools")
