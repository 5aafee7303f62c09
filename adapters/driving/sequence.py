"""Numbered pictures (``frame_%06d.png``) as one clip."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from banana_cli.adapter import InputItem, Unreadable, numbered
from banana_cli.errors import InputError
from banana_cli.options import ReadOptions, VideoOptions
from banana_cli.types import Domain, Frame, Json, LayerKind, Modality

from .bonnet import Bonnet
from .choose import Chooser
from .frames import INDEX_NAME
from .geometry import find_camera
from .glance import bonnet_in
from .images import PictureSource, inspect_picture
from .info import Colour, Matrix, PictureInfo, VideoInfo, with_bonnet
from .probe import check_part

USUAL_RATE = Fraction(25)
LOOKS = 96
"""Pictures that are looked at to find the own car, spread over all of them."""
_INDEX_BYTES = 64 << 20
_REMEDY = "give pictures of one size, or convert them"


def sequence_item(pattern: Path, folder: Path) -> InputItem:
    """The job of a pattern; named after what stands before the number, else after the folder."""
    name, _, rest = pattern.name.partition("%")
    stem = name.rstrip("._- ") or rest.partition("d")[2].partition(".")[0].strip("._- ")
    paths = tuple(path for _, path in numbered(pattern))
    return InputItem(paths=paths, stem=stem or pattern.absolute().parent.name or "frames", folder=folder)


@dataclass(frozen=True, slots=True)
class _Times:
    """When each picture is shown: (pts, duration) in ticks of ``base``."""

    base: Fraction
    rate: Fraction
    ticks: tuple[tuple[int, int], ...]
    told: str


@dataclass(frozen=True, slots=True)
class SequenceSource:
    """Open numbered pictures; each is read when its turn comes."""

    info: VideoInfo
    times: _Times
    numbers: tuple[int, ...]
    options: ReadOptions
    bonnet: Bonnet | None = None

    def look(self) -> SequenceSource:
        """The same once the own car was looked for."""
        count = len(self.numbers)
        rows = zip(self.numbers, self.info.item.paths, self.times.ticks, strict=True)
        some = islice(rows, 0, None, max(1, count // LOOKS))
        bonnet = bonnet_in(self.info.shape, (self._frame(n, path, *ticks) for n, path, ticks in some))
        return replace(self, info=with_bonnet(self.info, bonnet), bonnet=bonnet)

    def __iter__(self) -> Iterator[Frame | Unreadable]:
        """The pictures in order of their numbers; a bad one as a value."""
        chooser = Chooser(self.info)
        done = self.options.done.index if self.options.done else -1
        rows = zip(self.numbers, self.info.item.paths, self.times.ticks, strict=True)
        for number, path, (pts, duration) in rows:
            if chooser.past(pts):
                return
            if chooser.wants(pts) and number > done:
                yield self._frame(number, path, pts, duration)

    def _frame(self, number: int, path: Path, pts: int, duration: int) -> Frame | Unreadable:
        base = self.info.time_base
        try:
            picture = _picture(path, self.options)
        except InputError as exc:
            return Unreadable(index=number, error=exc)
        if picture.shape != self.info.shape:
            return self._other_size(number, picture)
        (found,) = PictureSource(picture)
        if isinstance(found, Unreadable):
            return replace(found, index=number)
        extra: dict[str, Json] = {
            "pts": pts,
            "duration": duration,
            "time_base": [base.numerator, base.denominator],
        }
        told = replace(
            found.provenance,
            source=self.info.item.stem,
            index=number,
            clip=str(self.info.item.paths[0]) if self.info.part.steady else None,
            time_s=float(pts * base),
            extra=extra,
        )
        seen = replace(found, geometry=self.info.camera, provenance=told)
        if self.bonnet is None:
            return seen
        own = self.bonnet.cover
        return replace(seen, valid=seen.valid & ~own, shown=own & seen.valid)

    def _other_size(self, number: int, picture: PictureInfo) -> Unreadable:
        (rows, cols), (first_rows, first_cols) = picture.shape, self.info.shape
        message = f"picture {number} is {cols}x{rows}, the first is {first_cols}x{first_rows}"
        error = InputError(message, subject=self.info.item.subject, remedy=_REMEDY)
        return Unreadable(index=number, error=error)


@contextmanager
def open_sequence(item: InputItem, options: ReadOptions) -> Iterator[SequenceSource]:
    """Open numbered pictures as a clip. InputError if the first cannot be read; UsageError."""
    info, times, numbers = _inspect(item, options)
    source = SequenceSource(info, times, numbers, options)
    yield source.look() if options.video.bonnet else source


def inspect_sequence(item: InputItem, options: ReadOptions) -> VideoInfo:
    """What the clip is, by its first picture."""
    return _inspect(item, options)[0]


def _picture(path: Path, options: ReadOptions) -> PictureInfo:
    return inspect_picture(
        InputItem(paths=(path,), stem=path.stem), replace(options, video=VideoOptions(), done=None)
    )


def _inspect(item: InputItem, options: ReadOptions) -> tuple[VideoInfo, _Times, tuple[int, ...]]:
    check_part(options.video, item.subject)
    first = _picture(item.paths[0], options)
    numbers = _numbers(item.paths)
    times = _times(item, numbers, options.video.fps)
    named = item.paths[0].with_name(f"{item.stem}{item.paths[0].suffix}")
    camera, notices = find_camera(named, first.shape, options.camera)
    info = VideoInfo(
        item=item,
        domain=Domain.DRIVING,
        modality=Modality.STREET,
        kind="image sequence",
        shape=first.shape,
        frames=_expected(len(numbers), options.video),
        formats=dict.fromkeys(LayerKind, "frames"),
        facts={**first.facts, "pictures": len(numbers), "rate": str(times.rate), "camera": camera.describe()},
        notices=(*notices, times.told) if times.told else notices,
        path=item.paths[0],
        stream_index=0,
        time_base=times.base,
        start_pts=times.ticks[0][0],
        average_rate=times.rate,
        header_frames=len(numbers),
        stored_shape=first.shape,
        turn=first.turn,
        sample_aspect=Fraction(1),
        colour=Colour(matrix=Matrix.RGB, full_range=True, bits=first.bits, pixel_format="rgb", assumed=False),
        audio=(),
        camera=camera,
        part=replace(options.video, fps=None),
    )
    return info, times, numbers


def _expected(count: int, part: VideoOptions) -> int | None:
    cut = part.start_s is not None or part.end_s is not None
    return None if cut else -(-count // part.vid_stride)


def _numbers(paths: tuple[Path, ...]) -> tuple[int, ...]:
    """The number in each name: the one run of digits that differs between the first and the last."""
    first, last = paths[0].name, paths[-1].name
    start = next(i for i in range(len(first)) if first[i] != last[i : i + 1])
    while start and first[start - 1].isdecimal():
        start -= 1
    return tuple(_leading_number(path.name[start:]) for path in paths)


def _leading_number(text: str) -> int:
    digits = 0
    while text[digits : digits + 1].isdecimal():
        digits += 1
    return int(text[:digits])


def _times(item: InputItem, numbers: tuple[int, ...], fps: float | None) -> _Times:
    """As ``--fps`` says, else as the index that banana writes beside frames, else 25 a second."""
    if fps is None and (found := _from_index(item)) is not None:
        return found
    rate = USUAL_RATE if fps is None else Fraction(fps).limit_denominator(1_000_000)
    told = f"taken as {USUAL_RATE} pictures a second; say --fps if it is another" if fps is None else ""
    ticks = tuple((number - numbers[0], 1) for number in numbers)
    return _Times(base=1 / rate, rate=rate, ticks=ticks, told=told)


def _from_index(item: InputItem) -> _Times | None:
    with suppress(OSError, ValueError, KeyError, TypeError, ZeroDivisionError, RecursionError):
        path = item.paths[0].with_name(INDEX_NAME)
        if path.stat().st_size > _INDEX_BYTES:
            return None
        rows = {str(row["file"]): row for row in json.loads(path.read_bytes())["frames"]}
        return _from_rows([rows[p.name] for p in item.paths])
    return None


def _from_rows(rows: list[Mapping[str, Any]]) -> _Times | None:
    base = Fraction(*rows[0]["time_base"])
    ticks = tuple((int(row["pts"]), int(row["duration"])) for row in rows)
    rising = all(a < b for (a, _), (b, _) in zip(ticks, ticks[1:], strict=False))
    same = all(Fraction(*row["time_base"]) == base for row in rows)
    if base <= 0 or not rising or not same:
        return None
    rate = (len(ticks) - 1) / ((ticks[-1][0] - ticks[0][0]) * base) if len(ticks) > 1 else USUAL_RATE
    return _Times(base=base, rate=rate, ticks=ticks, told="")
