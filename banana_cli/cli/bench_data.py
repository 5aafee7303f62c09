"""What ``banana bench`` reads: one picture for the walk from file to files, and labelled ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from banana_cli import inputs
from banana_cli.adapter import InputItem
from banana_cli.cli.world import World
from banana_cli.errors import InputError, NoInputError
from banana_cli.inputs import Readers
from banana_cli.options import ReadOptions
from banana_cli.types import Frame, LayerKind

if TYPE_CHECKING:
    from banana_cli.bench_scored import Labelled
    from banana_cli.metrics.files import Item

_IMAGES, _LABELS = "images", "labels"


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture, and the file of its truth."""

    picture: Path
    truth: Item


def frame_of(path: Path, world: World) -> Frame:
    """The first frame of a file. InputError if it holds none."""
    finding = inputs.find([str(path)], Readers(adapters=world.adapters, broken=world.broken))
    if finding.failed:
        raise finding.failed[0].error
    found = finding.found[0]
    item: InputItem = found.item
    with found.adapter.open(item, ReadOptions(layers=frozenset(LayerKind))) as source:
        for frame in source:
            if isinstance(frame, Frame):
                return frame
    raise InputError("holds no picture", subject=str(path), remedy="leave it out")


def pairs(folder: Path) -> list[Pair]:
    """Pictures of ``folder``/images whose truth is in ``folder``/labels. NoInputError if there are none."""
    from banana_cli.metrics import files

    images = folder / _IMAGES
    if not images.is_dir():
        raise _nothing(folder)
    pictures = {files.plain_key(Path(p.name)): p for p in sorted(images.iterdir()) if p.is_file()}
    truths = files.find(folder / _LABELS, files.Kind.MASKS)
    found = [Pair(pictures[t.key], t) for t in truths if t.key in pictures]
    if not found:
        raise _nothing(folder)
    return found


def _nothing(folder: Path) -> NoInputError:
    return NoInputError(
        f"holds no {_IMAGES}/ and {_LABELS}/ with files of the same names",
        subject=f"--data {folder}",
        remedy="put pictures into one and PNG of class ids into the other",
    )


def labelled(pair: Pair, world: World) -> Labelled:
    """Both of a pair in memory. InputError for what cannot be read."""
    from banana_cli.bench_scored import Labelled
    from banana_cli.metrics import files

    sheet = next(files.sheets(pair.truth, files.Kind.MASKS, world.formats), None)
    if sheet is None:
        raise InputError("holds no picture", subject=str(pair.truth.path), remedy="leave it out")
    return Labelled(
        name=pair.picture.name,
        frame=frame_of(pair.picture, world),
        truth=sheet.values.astype(np.uint8),
        numbering=sheet.numbering or pair.truth.numbering,
    )
