"""COCO annotations: a picture of class ids and one of instances for each image that they name."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from banana_cli.errors import InputError, UsageError, translate
from banana_cli.metrics.files import Item, Kind, Sheet, plain_key
from banana_cli.metrics.naming import MOST, OTHER, Numbering
from banana_cli.types import F64, Bool, Json

I32 = NDArray[np.int32]
MAX_BYTES: Final = 1 << 30
MAX_PIXELS: Final = 1 << 26
SUFFIX: Final = ".coco.json"
_BROKEN: Final = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)
_REMEDY: Final = "name a COCO file with images, annotations and categories"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """One image, its size, and its annotations."""

    rows: int
    cols: int
    annotations: Callable[[], Sequence[Mapping[str, Any]]]
    place: Mapping[int, int]
    subject: str

    def drawn(self) -> tuple[I32, I32]:
        """(H, W) places of categories, their count for none, and numbers of instances, 0 for none or a crowd.

        Crowds lie below all others, and the larger below the smaller. InputError for a broken annotation.
        """
        from pycocotools import mask as coco

        classes = np.full((self.rows, self.cols), len(self.place), np.int32)
        instances = np.zeros((self.rows, self.cols), np.int32)
        with translate(*_BROKEN, to=InputError, subject=self.subject, remedy=_REMEDY):
            runs = [(a, self._runs(a["segmentation"])) for a in self.annotations()]
            runs.sort(key=lambda pair: (not pair[0].get("iscrowd"), -int(coco.area(pair[1]))))
            for number, (annotation, run) in enumerate(runs, 1):
                mask = _decoded(run)
                classes[mask] = self.place[annotation["category_id"]]
                instances[mask] = 0 if annotation.get("iscrowd") else number
        return classes, instances

    def _runs(self, told: object) -> Mapping[str, Any]:
        """Runs of pycocotools, from polygons or runs. ValueError for what would not fit into the image."""
        from pycocotools import mask as coco

        if isinstance(told, dict):
            if list(told["size"]) != [self.rows, self.cols]:
                raise ValueError(f"runs are of size {told['size']}, not {[self.rows, self.cols]}")
            if isinstance(told["counts"], str):
                return told
            counts = np.asarray(told["counts"], np.int64)
            if counts.ndim != 1 or counts.min(initial=0) < 0 or counts.sum() != self.rows * self.cols:
                raise ValueError("runs do not fill the image")
        else:
            self._refuse_wild(np.concatenate([np.asarray(p, np.float64) for p in _listed(told)]))
        runs = coco.frPyObjects(told, self.rows, self.cols)
        return coco.merge(runs) if isinstance(runs, list) else runs  # type: ignore[no-any-return]

    def _refuse_wild(self, numbers: F64) -> None:
        """The library takes memory for every pixel of an outline, also of one far outside."""
        if not (np.abs(numbers) <= 2 * max(self.rows, self.cols)).all():
            raise ValueError("a polygon leaves the image")


def _decoded(run: Mapping[str, Any]) -> Bool:
    """(H, W). ValueError for runs that do not fill it."""
    from pycocotools import mask as coco

    with warnings.catch_warnings():  # pycocotools 2.0.11 is behind NumPy 2
        warnings.simplefilter("ignore", DeprecationWarning)
        mask: Bool = coco.decode(run) == 1
    if mask.sum() != coco.area(run):  # runs that end too early leave the rest to chance
        raise ValueError("runs do not fill the image")
    return mask


def _listed(told: object) -> list[list[float]]:
    """Polygons, each of three points at least."""
    if isinstance(told, list) and told and all(len(p) >= 6 and len(p) % 2 == 0 for p in told):
        return told
    raise ValueError("a polygon has less than three points")


def items(path: Path, folder: Path = Path()) -> list[Item]:
    """What a COCO file tells of every image, whose names are below ``folder``.

    InputError if it is none; UsageError without pycocotools.
    """
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError as exc:
        raise UsageError(
            "reading it needs pycocotools",
            subject=str(path),
            remedy="pip install 'banana-vision[coco]'",
        ) from exc
    with translate(*_BROKEN, to=InputError, subject=str(path), remedy=_REMEDY):
        facts = _load(path)
        numbering = _numbering(facts["categories"])
        place = {int(c["id"]): index for index, c in enumerate(facts["categories"])}
        by_image = _by_image(facts)
        found = []
        for row in facts["images"]:
            alone = len(facts["images"]) == 1  # one file a picture: thousands of them do not fit in memory
            image = _Image(
                rows=int(row["height"]),
                cols=int(row["width"]),
                annotations=partial(_read_again, path) if alone else partial(by_image.__getitem__, row["id"]),
                place=place,
                subject=f"{path} ({row['file_name']})",
            )
            if min(image.rows, image.cols) < 1 or image.rows * image.cols > MAX_PIXELS:
                raise ValueError(f"an image of {image.cols} x {image.rows} pixels cannot be drawn")
            key = plain_key(PurePath(folder, row["file_name"]))
            found += _drawn_items(path, key, image, numbering)
    return found


def below(root: Path) -> list[Item]:
    """What the COCO files below a folder tell (``x.masks.coco.json``, as banana writes them)."""
    paths = sorted(root.rglob(f"*{SUFFIX}")) if root.is_dir() else []
    return [item for path in paths for item in items(path, path.parent.relative_to(root))]


def _numbering(categories: Sequence[Mapping[str, Any]]) -> Numbering:
    """Places of the categories, and one more for what is none of them."""
    names = [str(c["name"]) for c in categories]
    if not 0 < len(names) <= MOST:
        raise ValueError(f"has {len(names)} categories, not 1 to {MOST}")
    return Numbering(
        names={**dict(enumerate(names)), len(names): OTHER},
        things=frozenset(str(c["name"]) for c in categories if c.get("isthing", 1)),
    )


def _by_image(facts: Mapping[str, Any]) -> dict[object, list[Mapping[str, Any]]]:
    found: dict[object, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in facts["annotations"]:
        found[annotation["image_id"]].append(annotation)
    return found


def _read_again(path: Path) -> Sequence[Mapping[str, Any]]:
    """The annotations of a file of one image."""
    facts = _load(path)
    return _by_image(facts)[facts["images"][0]["id"]]


def _drawn_items(path: Path, key: tuple[str, ...], image: _Image, numbering: Numbering) -> list[Item]:
    return [
        Item(path=path, key=key, kind=kind, draw=partial(_draw, image, kind, numbering))
        for kind in (Kind.MASKS, Kind.INSTANCES)
    ]


def _draw(image: _Image, kind: Kind, numbering: Numbering) -> Sheet:
    classes, instances = image.drawn()
    if kind is Kind.INSTANCES:
        return Sheet(kind=kind, values=instances)
    return Sheet(kind=kind, values=classes.astype(np.uint8), numbering=numbering)


def _load(path: Path) -> dict[str, Any]:
    with translate(OSError, ValueError, RecursionError, to=InputError, subject=str(path), remedy=_REMEDY):
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("is too large")
        facts: Json = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise ValueError("holds no annotations")
        return facts
