"""Regions of a picture in the compressed runs of COCO. pycocotools is loaded as the first one is coded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from banana_cli.types import Json


def coded(numbers: NDArray[np.integer]) -> Iterator[tuple[int, dict[str, Json]]]:
    """Each number > 0 of (H, W), and its box (left, top, width, height), area and runs as COCO has them."""
    from pycocotools import mask as coco

    rows, cols = numbers.shape
    for number, runs in counts_of(numbers):
        region = coco.frPyObjects({"size": [rows, cols], "counts": runs}, rows, cols)
        yield (
            number,
            {
                "bbox": [float(v) for v in coco.toBbox(region)],
                "area": int(coco.area(region)),
                "segmentation": {"size": [rows, cols], "counts": region["counts"].decode("ascii")},
                "iscrowd": 0,
            },
        )


def counts_of(numbers: NDArray[np.integer]) -> Iterator[tuple[int, list[int]]]:
    """Each number > 0 of (H, W) and its runs, as COCO counts them: down the columns, outside first."""
    flat = numbers.reshape(-1, order="F")
    start = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    length = np.diff(start, append=flat.size)
    value = flat[start]
    order = np.argsort(value, kind="stable")
    order = order[value[order] > 0]
    for group in np.split(order, np.flatnonzero(np.diff(value[order])) + 1):
        if group.size:
            ends = start[group] + length[group]
            gaps = start[group] - np.concatenate([[0], ends[:-1]])
            runs = np.stack([gaps, length[group]], 1).reshape(-1).tolist()
            rest = flat.size - int(ends[-1])
            yield int(value[group[0]]), [*runs, rest] if rest else runs
