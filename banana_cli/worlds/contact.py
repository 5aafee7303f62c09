"""Contact sheets of samples, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from banana_cli.classes import TABLE_OF
from banana_cli.types import F32, U8
from banana_cli.worlds.sample import Sample


def depth_colours(depth: F32) -> U8:
    """(H, W, 3) turbo colours, near is red, logarithmic between the picture's own limits; NaN is black."""
    known = np.isfinite(depth)
    out = np.zeros((*depth.shape, 3), np.uint8)
    if known.any():
        value = np.log(np.maximum(np.where(known, depth, 1), 1e-3))
        low, high = np.percentile(value[known], (1, 99))
        part = np.clip((high - value) / max(high - low, 1e-6), 0, 1)
        out = cv2.applyColorMap((part * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1].copy()
        out[~known] = 0
    return out


def panel(sample: Sample) -> U8:
    """(H, 4 W, 3): picture, class colours, depth and normals side by side."""
    picture = (sample.views.transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8)
    mask = TABLE_OF[sample.modality].palette()[sample.ids]
    n = sample.normals.transpose(1, 2, 0) * np.array([0.5, -0.5, -0.5], np.float32) + 0.5
    shown = (np.where((sample.normals != 0).any(0)[..., None], n, 0) * 255 + 0.5).astype(np.uint8)
    out: U8 = np.hstack([picture, mask, depth_colours(sample.depth), shown])
    return out


def sheet(samples: Sequence[Sample], columns: int = 1) -> U8:
    """RGB picture (rows * H, columns * 4 W, 3) of samples of one size; missing places are black."""
    panels = [panel(s) for s in samples]
    panels += [np.zeros_like(panels[0])] * (-len(panels) % columns)
    rows = [np.hstack(panels[k : k + columns]) for k in range(0, len(panels), columns)]
    out: U8 = np.vstack(rows)
    return out
