"""What the network says of a picture, decoded into layers at the frame's own size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from banana_cli.adapter import Task
from banana_cli.classes import TABLE_OF, possible_ids, thing_ids
from banana_cli.codec import HEIGHT_NOTE
from banana_cli.instances import LEAST_PX, grouped, sampled
from banana_cli.layers import crop_frame, join_bands, paste
from banana_cli.model.codes import GUESS_PX, depth_from_code
from banana_cli.model.maps import Decided, Maps, reached_from_border, zoom
from banana_cli.model.net import THING_PX, Head
from banana_cli.tasks.depth import DEPTH
from banana_cli.tasks.normals import NORMALS
from banana_cli.tasks.segment import MEASURED_BY_AREA, SEGMENT
from banana_cli.types import (
    F32,
    U8,
    DepthKind,
    Frame,
    Instances,
    Json,
    Layer,
    LayerKind,
    Mask,
    Modality,
    RawMaps,
    Unit,
    Window,
)

RELATIVE_SPAN_MM: Final = 250.0
"""Depth without a known pixel size is the network's millimetres over this, clipped to [0, 1]."""


_LEAST: Final = -1e30  # of scores that are interpolated, which infinite ones cannot be
_BAND_BYTES: Final = 96 << 20
_TASKS: Final[dict[LayerKind, Task]] = {
    LayerKind.MASKS: SEGMENT,
    LayerKind.DEPTH: DEPTH,
    LayerKind.NORMALS: NORMALS,
}
_BODIES: Final = (Modality.CT, Modality.MR)
_FOCALS: Final = (0.5, 1.2)  # of a dashcam, in long sides of its picture: what the worlds were made with
_NOTES: Final[dict[Modality, str]] = {
    Modality.STREET: "distance along the optical axis",
    Modality.AERIAL: HEIGHT_NOTE,
    Modality.CT: "depth below the skin",
    Modality.MR: "depth below the skin",
    Modality.XRAY: "path length through the body",
    Modality.VISIBLE: "distance along the optical axis",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What depth numbers of a frame mean; ``network_focal`` in pixels of the maps, for cameras."""

    depth_kind: DepthKind
    unit: Unit
    network_focal: float | None = None
    notes: dict[str, Json] = field(default_factory=dict)


def meaning_of(frame: Frame, maps: Maps) -> Meaning:
    """Kind and unit of depth, and the focal length where a pinhole camera took the picture."""
    if frame.modality is Modality.STREET:
        return _street(frame, maps)
    if frame.modality is Modality.AERIAL:
        return Meaning(depth_kind=DepthKind.METRIC, unit=Unit.METRE)
    known = frame.geometry.pitch()
    free = frame.modality in (Modality.XRAY, Modality.VISIBLE)
    if free or known is None or known.unit is Unit.ONE:
        return Meaning(depth_kind=DepthKind.RELATIVE, unit=Unit.ONE)
    return Meaning(depth_kind=DepthKind.METRIC, unit=Unit.MILLIMETRE)


def _street(frame: Frame, maps: Maps) -> Meaning:
    known = frame.geometry.focal_px()
    focal = _guessed_focal(frame, maps) if known is None else known * maps.fit.scale
    notes: dict[str, Json] = {}
    if Head.DEPTH in maps.heads:
        notes = {
            "focal_px": focal / maps.fit.scale,
            "focal_source": "estimated" if known is None else "given",
        }
    return Meaning(depth_kind=DepthKind.METRIC, unit=Unit.METRE, network_focal=focal, notes=notes)


def _guessed_focal(frame: Frame, maps: Maps) -> float:
    """The network's guess, in pixels of the maps, within what cameras of streets have."""
    shortest, longest = (share * max(frame.shape) * maps.fit.scale for share in _FOCALS)
    guess = math.exp(min(max(maps.log_focal, -2.0), 3.0)) * GUESS_PX
    return min(max(guess, shortest), longest)


def decode(
    frame: Frame, maps: Maps, meaning: Meaning, wanted: frozenset[LayerKind], only: slice | None = None
) -> tuple[Layer, ...]:
    """The wanted layers at the frame's size, in the order of LayerKind.

    ``only``: these rows of the region, and the layers hold nothing else.
    """
    table = TABLE_OF[frame.modality]
    maps = maps.without_things()
    part = crop_frame(frame, maps.region)
    rows, cols = part.shape
    step = max(1, _BAND_BYTES // (4 * cols * len(maps.stack)))
    decided = _decided(frame.modality, maps)
    outside = _outside(part, maps, decided)
    bands: dict[LayerKind, list[Layer]] = {kind: [] for kind in LayerKind if kind in wanted}
    first, last = (0, rows) if only is None else (only.start, only.stop)
    for start in range(first, last, step):
        stop = min(last, start + step)
        raw = _raw(frame.modality, maps, meaning, outside, decided, slice(start, stop))
        piece = crop_frame(part, Window(top=start, left=0, height=stop - start, width=cols))
        for kind, layers in bands.items():
            layers.append(_TASKS[kind].decode(raw, piece, table))
    joined = tuple(join_bands(layers) for layers in bands.values())
    return joined if only is not None else tuple(paste(one, maps.region, frame.shape) for one in joined)


def instances_of(frame: Frame, maps: Maps, mask: Mask) -> Instances:
    """The things in a mask of the frame's size: by votes for middles where the maps tell, else connected."""
    things = maps.stack[maps.channels(Head.THINGS)]
    looks = frame.provenance.looks
    step = 1 if looks is None else looks.shrink  # pixels of the maps in one of the network
    least = round(LEAST_PX * max(1.0, step / maps.fit.scale) ** 2)
    ways = things[1:].numpy() * np.float32(THING_PX * step) if len(things) else None
    part, kinds = maps.region.slices(), thing_ids(frame.modality)
    sure = _sure(frame.modality, maps, mask.ids[part])
    found = grouped(mask.ids[part], ways, kinds, least, sure)
    ids = np.zeros(frame.shape, np.uint16)
    ids[part] = found.ids
    return replace(found, ids=ids)


def _sure(modality: Modality, maps: Maps, ids: U8) -> F32:
    """(h, w) of the maps: how probable the class in ``ids`` is, where it is that of a thing, else 0."""
    scores = maps.stack[maps.channels(Head.LOGITS)]
    told = sampled(ids, tuple(scores.shape[1:])).reshape(-1)
    inside = np.flatnonzero(np.isin(told, thing_ids(modality)))
    few = _only_possible(scores.reshape(len(scores), -1)[:, inside, None], modality)[..., 0]
    mine = few.gather(0, torch.from_numpy(told[inside].astype(np.int64))[None])[0]
    sure = np.zeros(told.shape, np.float32)
    sure[inside] = torch.exp(mine - torch.logsumexp(few, 0)).numpy()
    return sure.reshape(scores.shape[1:])


def _decided(modality: Modality, maps: Maps) -> Decided | None:
    """The classes at the size of the maps; None where scores are asked for at the frame's size, or none."""
    if modality in MEASURED_BY_AREA or Head.LOGITS not in maps.heads:
        return None
    scores = maps.stack[maps.channels(Head.LOGITS)]
    if maps.ids is not None:
        return Decided(maps.ids, scores.numpy())
    return Decided.of(_only_possible(scores, modality, _LEAST).numpy())


def _raw(
    modality: Modality,
    maps: Maps,
    meaning: Meaning,
    outside: Tensor | None,
    decided: Decided | None,
    rows: slice,
) -> RawMaps:
    """One band of maps at the frame's size, without answers that cannot be."""
    depth, normals = (maps.band(head, rows.start, rows.stop) for head in (Head.DEPTH, Head.NORMALS))
    ids = None if decided is None else decided.zoomed(maps.fit, rows.start, rows.stop)
    logits = maps.band(Head.LOGITS, rows.start, rows.stop) if ids is None else depth[:0]
    empty = _empty(modality, maps, ids, outside, rows)
    if len(depth):
        depth = _metric(depth, modality, meaning)
    if empty is not None:
        depth, normals = depth.masked_fill(empty, torch.nan), normals.masked_fill(empty, 0.0)
    return RawMaps(
        logits=_only_possible(logits, modality).numpy() if len(logits) else None,
        ids=ids,
        depth=depth[0].numpy() if len(depth) else None,
        normals=normals.numpy() if len(normals) else None,
        depth_kind=meaning.depth_kind,
        unit=meaning.unit,
        note=_NOTES.get(modality, ""),
    )


def _only_possible(logits: Tensor, modality: Modality, least: float = -torch.inf) -> Tensor:
    """The same logits with ``least`` for classes that the modality cannot hold."""
    never = torch.ones(len(logits), dtype=torch.bool)
    never[list(possible_ids(modality))] = False
    return logits.masked_fill(never[:, None, None], least) if never.any() else logits


def _metric(code: Tensor, modality: Modality, meaning: Meaning) -> Tensor:
    depth = depth_from_code(code, modality, meaning.network_focal)
    if meaning.unit is Unit.ONE and modality is not Modality.XRAY:
        return (depth / RELATIVE_SPAN_MM).clamp(0.0, 1.0)
    return depth


def _empty(
    modality: Modality, maps: Maps, ids: U8 | None, outside: Tensor | None, rows: slice
) -> Tensor | None:
    """(rows, columns) where nothing has a surface: the sky, the surroundings of a body."""
    if outside is not None:
        return zoom(outside, maps.fit, rows.start, rows.stop)[0] > 0.5
    if modality is Modality.STREET and ids is not None:
        return torch.from_numpy(ids == TABLE_OF[modality].id_of("sky"))
    return None


def _outside(part: Frame, maps: Maps, decided: Decided | None) -> Tensor | None:
    """(1, h, w) 1 outside the body of a scan, at the maps' size: emptiness that touches the border."""
    surfaces = maps.heads & {Head.DEPTH, Head.NORMALS}
    if part.modality not in _BODIES or not surfaces or decided is None:
        return None
    table = TABLE_OF[part.modality]
    ids = decided.ids
    empty = torch.from_numpy((ids == table.id_of("background")) | (ids == table.id_of("air")))
    valid = torch.from_numpy(part.valid)[None, None].float()
    known = F.interpolate(valid, size=maps.fit.inner, mode="nearest-exact")[0, 0] > 0
    return reached_from_border(empty | ~known).float()[None]
