"""The engine: a Frame in, a Prediction out. The only bridge between NumPy and torch.

    frame -> unit RGB by its views -> fit or tiles -> one pass of the network -> maps -> Task.decode

A street or medical picture is seen whole, scaled down to the network's working side; a scene is seen
in tiles of a global grid at its own resolution, blended before anything is decided. Maps are brought to
the frame's size in bands of rows, so that memory does not grow with classes times pixels.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from banana_cli.adapter import Task
from banana_cli.classes import TABLE_OF, possible_ids
from banana_cli.codec import HEIGHT_NOTE
from banana_cli.errors import UsageError
from banana_cli.fit import MULTIPLE, Fit, plan_fit
from banana_cli.intake import log_pitch, placed, unit_rgb
from banana_cli.layers import crop_frame, join_bands, paste
from banana_cli.model.codes import GUESS_PX, depth_from_code
from banana_cli.model.device import Precision, choose_device, choose_dtype, precision_word
from banana_cli.model.maps import Maps, fill_rays, reached_from_border, shrink, stacked, widths, zoom
from banana_cli.model.net import MODALITIES, Features, Head, NetInput, NetOutput
from banana_cli.model.weights import load_model
from banana_cli.specs import ModelSpec
from banana_cli.tasks.depth import DEPTH
from banana_cli.tasks.normals import NORMALS
from banana_cli.tasks.segment import SEGMENT
from banana_cli.tiles import Grid, Mosaic, Tile, overlap_of
from banana_cli.types import (
    F32,
    DepthKind,
    Frame,
    Json,
    Layer,
    LayerKind,
    Modality,
    ModelFacts,
    Prediction,
    RawMaps,
    Unit,
    Window,
)
from banana_cli.weights_index import resolve, sha256_of

TILE_PX: Final = 512
OVERLAP_PX: Final = 64
RELATIVE_SPAN_MM: Final = 250.0
"""Depth without a known pixel size is the network's millimetres over this, clipped to [0, 1]."""

_BAND_BYTES: Final = 96 << 20
_TILES_AT_ONCE: Final = 4
_HEADS: Final = {
    LayerKind.MASKS: Head.LOGITS,
    LayerKind.DEPTH: Head.DEPTH,
    LayerKind.NORMALS: Head.NORMALS,
}
_TASKS: Final[dict[LayerKind, Task]] = {
    LayerKind.MASKS: SEGMENT,
    LayerKind.DEPTH: DEPTH,
    LayerKind.NORMALS: NORMALS,
}
_LEAST_SIDE: Final = dict.fromkeys(
    (Modality.CT, Modality.MR, Modality.XRAY, Modality.ULTRASOUND, Modality.VISIBLE), 256
)
"""Scans are often smaller than anything that the network was trained on: enlarged to this long side."""
_BODIES: Final = (Modality.CT, Modality.MR)
_WITH_GAPS: Final = (Modality.STREET, *_BODIES)
"""Pictures in which some classes have no depth: the sky, and what surrounds a body."""
_NOTES: Final[dict[Modality, str]] = {
    Modality.STREET: "distance along the optical axis",
    Modality.AERIAL: HEIGHT_NOTE,
    Modality.CT: "depth below the skin",
    Modality.MR: "depth below the skin",
    Modality.XRAY: "path length through the body",
    Modality.VISIBLE: "distance along the optical axis",
}


class Net(Protocol):
    """The network as the engine uses it."""

    def features(self, inp: NetInput, budget: float) -> Features:
        """Everything before the heads."""

    def read(self, features: Features, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        """The heads that are wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How frames are run. ``tile`` None: scenes in tiles of TILE_PX, all else whole; else: all in tiles."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    autocast: torch.dtype | None = None
    budget: float = 1.0
    side: int = 512
    tile: int | None = None
    overlap: int = OVERLAP_PX

    def __post_init__(self) -> None:
        if not 0 < self.budget <= 1:
            raise UsageError(
                f"{self.budget:g} is no share", subject="--budget", remedy="choose a number above 0, up to 1"
            )
        if self.tile is not None and self.tile < 2 * MULTIPLE:
            raise UsageError(
                f"{self.tile} is too small", subject="--tile", remedy=f"use at least {2 * MULTIPLE}"
            )
        if not 0 <= 2 * self.overlap <= (self.tile or TILE_PX):
            raise UsageError(
                f"{self.overlap} does not fit tiles of {self.tile or TILE_PX}",
                subject="--overlap",
                remedy="use at most half of --tile",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meaning:
    """What depth numbers of a frame mean; ``network_focal`` in pixels of the maps, for cameras."""

    depth_kind: DepthKind
    unit: Unit
    network_focal: float | None = None
    notes: dict[str, Json] = field(default_factory=dict)


@dataclass(slots=True)
class _Clock:
    """Seconds per stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    last: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        """Count the time since the last lap as ``stage``."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.last
        self.last = now


class Engine:
    """One network, ready to answer frames of any domain."""

    def __init__(self, net: Net, facts: ModelFacts, options: EngineOptions) -> None:
        self._net = net
        self._facts = facts
        self._options = options

    @classmethod
    def load(
        cls,
        weights: Path | None = None,
        *,
        device: str = "auto",
        precision: str = Precision.AUTO,
        budget: float | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        threads: int | None = None,
        seed: int = 0,
    ) -> Self:
        """Read weights (None: the ones that are installed) and make ready.

        ``budget`` None is the one that the weights were made for. UsageError for a device, precision or
        size that cannot be; WeightsError for weights that are missing or foreign.
        """
        chosen = choose_device(device)
        dtype = choose_dtype(precision, chosen)
        path = resolve(weights)
        if threads is not None:
            torch.set_num_threads(threads)
        torch.manual_seed(seed)
        net, header = load_model(path)
        spec = ModelSpec.from_json(header["spec"])  # type: ignore[arg-type]
        options = EngineOptions(
            device=chosen,
            autocast=dtype,
            budget=spec.budget if budget is None else budget,
            side=spec.side_px,
            tile=tile,
            overlap=min(OVERLAP_PX, (tile or TILE_PX) // 8) if overlap is None else overlap,
        )
        facts = ModelFacts(
            name=f"banana-{spec.name}",
            weights_sha256=sha256_of(path),
            budget=options.budget,
            precision=precision_word(dtype),
            device=str(chosen),
        )
        # Channels last, as the network's own maps are. (The stubs of torch lack this overload.)
        net = net.to(chosen, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(net, facts, options)

    @property
    def facts(self) -> ModelFacts:
        """Which weights answer, and how."""
        return self._facts

    @torch.inference_mode()
    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        """All layers of ``kinds`` from one pass; measured ones are passed through as they are.

        A layer that has no meaning for the modality (depth of ultrasound) is left out.
        """
        given = tuple(layer for layer in frame.measured if layer.kind in kinds)
        wanted = kinds - {layer.kind for layer in given}
        if frame.modality is Modality.ULTRASOUND:
            wanted &= {LayerKind.MASKS}
        if not wanted:
            return Prediction(layers=given, tokens_kept=0.0, seconds={})
        clock = _Clock()
        maps = self._maps(frame, _heads(frame.modality, wanted), clock)
        meaning = _meaning(frame, maps)
        layers = _decode(frame, maps, meaning, wanted)
        clock.lap("decode")
        return Prediction(
            layers=given + layers, tokens_kept=maps.kept, seconds=clock.seconds, notes=meaning.notes
        )

    def _maps(self, frame: Frame, heads: frozenset[Head], clock: _Clock) -> Maps:
        if self._options.tile is None and frame.modality is not Modality.AERIAL:
            return self._whole(frame, heads, clock)
        return self._tiled(frame, heads, clock)

    def _whole(self, frame: Frame, heads: frozenset[Head], clock: _Clock) -> Maps:
        """The picture in one look, at the network's working side."""
        fit = plan_fit(frame.shape, side=self._options.side, least=_LEAST_SIDE.get(frame.modality, 1))
        pixels, known = unit_rgb(frame, None)
        image, valid = _fitted(torch.from_numpy(pixels), torch.from_numpy(known), fit)
        inp = self._input(frame, image[None], valid[None], [(0, 0)], fit)
        clock.lap("fit")
        out = self._run(inp, frame.modality, heads)
        stack = stacked(out)[0, :, : fit.inner[0], : fit.inner[1]]
        clock.lap("model")
        return Maps(
            stack=stack.cpu(),
            heads=heads,
            classes=len(TABLE_OF[frame.modality]),
            region=Window(top=0, left=0, height=frame.shape[0], width=frame.shape[1]),
            fit=fit,
            log_focal=float(out.log_focal[0]),
            kept=out.kept,
        )

    def _tiled(self, frame: Frame, heads: frozenset[Head], clock: _Clock) -> Maps:
        """The frame's core in blended tiles of the scene's grid, at the scene's own resolution."""
        window, core = placed(frame)
        grid = Grid(
            shape=frame.provenance.scene_shape or frame.shape,
            tile=self._options.tile or TILE_PX,
            overlap=self._options.overlap,
        )
        classes = len(TABLE_OF[frame.modality])
        mosaic = Mosaic(core, sum(width for _, width in widths(heads, classes)))
        focals: list[float] = []
        kept: list[float] = []
        todo = (t for t in grid.tiles(core) if _seen_valid(frame, t, window))
        while batch := list(islice(todo, _TILES_AT_ONCE)):
            inp = self._batch(frame, batch, window, grid)
            clock.lap("fit")
            out = self._run(inp, frame.modality, heads)
            clock.lap("model")
            for tile, values in zip(batch, stacked(out).cpu().numpy(), strict=True):
                _blend(mosaic, tile, window, values)
            focals += out.log_focal.tolist()
            kept += [out.kept] * len(batch)
            clock.lap("decode")
        size = (core.height, core.width)
        return Maps(
            stack=torch.from_numpy(mosaic.result()),
            heads=heads,
            classes=classes,
            region=core.within(window),
            fit=Fit(source=size, inner=size, padded=size),
            log_focal=float(np.mean(focals)) if focals else 0.0,
            kept=float(np.mean(kept)) if kept else 0.0,
        )

    def _batch(self, frame: Frame, tiles: list[Tile], window: Window, grid: Grid) -> NetInput:
        sides = [-(-min(grid.tile, n) // MULTIPLE) * MULTIPLE for n in grid.shape]
        images = torch.zeros(len(tiles), 3, *sides)
        valids = torch.zeros(len(tiles), 1, *sides)
        corners: list[tuple[int, int]] = []
        for i, tile in enumerate(tiles):
            seen = _inside(tile.seen, window)
            image, valid = unit_rgb(frame, seen)
            images[i, :, : seen.height, : seen.width] = torch.from_numpy(image)
            valids[i, :, : seen.height, : seen.width] = torch.from_numpy(valid)
            corners.append((seen.top - window.top, seen.left - window.left))
        fit = Fit(source=frame.shape, inner=frame.shape, padded=frame.shape)
        return self._input(frame, images, valids, corners, fit)

    def _input(
        self, frame: Frame, image: Tensor, valid: Tensor, corners: list[tuple[int, int]], fit: Fit
    ) -> NetInput:
        """Everything that the network is told; ``corners`` are each item's (row, column) in the frame."""
        to = self._options.device
        count = len(corners)
        focal = frame.geometry.focal_px()
        rays = torch.zeros(count, 2, *image.shape[-2:])
        if focal is not None:
            for item, corner in zip(rays, corners, strict=True):
                fill_rays(item, corner, fit, focal)
        modality = torch.full((count,), MODALITIES.index(frame.modality), dtype=torch.int64)
        pitch = torch.full((count,), log_pitch(frame, fit))
        return NetInput(
            image=image.to(to),
            valid=valid.to(to),
            rays=rays.to(to),
            modality=modality.to(to),
            log_pitch=pitch.to(to),
        )

    def _run(self, inp: NetInput, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        """One pass; the inside in the chosen precision, the answers in fp32 (8 bits band a log depth)."""
        with self._precision():
            features = self._net.features(inp, self._options.budget)
        wide = replace(features, f4=features.f4.float(), registers=features.registers.float())
        return self._net.read(wide, modality, heads)

    def _precision(self) -> AbstractContextManager[object]:
        if self._options.autocast is None:
            return nullcontext()
        return torch.autocast(self._options.device.type, dtype=self._options.autocast)


# --- in: frame -> network -----------------------------------------------------------------------


def _heads(modality: Modality, wanted: frozenset[LayerKind]) -> frozenset[Head]:
    """The heads of the wanted layers, and classes where they say what has no depth."""
    heads = {_HEADS[kind] for kind in wanted}
    if modality in _WITH_GAPS:
        heads.add(Head.LOGITS)
    return frozenset(heads)


def _fitted(image: Tensor, valid: Tensor, fit: Fit) -> tuple[Tensor, Tensor]:
    """Scaled down without bleeding from invalid pixels, and padded."""
    if fit.scaled:
        both = shrink(torch.cat([image, valid]), fit.inner)
        share = both[3:]
        valid = (share > 0.5).to(image.dtype)
        image = both[:3] / share.clamp_min(1e-6) * valid
    below, right = (p - i for p, i in zip(fit.padded, fit.inner, strict=True))
    return F.pad(image, (0, right, 0, below)), F.pad(valid, (0, right, 0, below))


# --- tiles --------------------------------------------------------------------------------------


def _inside(seen: Window, window: Window) -> Window:
    """What the frame holds of a tile: all of it, unless the reader's halo is too small for these tiles."""
    shared = overlap_of(seen, window)
    if shared is None:
        raise ValueError(f"tile {seen} lies outside the frame {window}")
    return shared


def _seen_valid(frame: Frame, tile: Tile, window: Window) -> bool:
    return bool(frame.valid[_inside(tile.seen, window).within(window).slices()].any())


def _blend(mosaic: Mosaic, tile: Tile, window: Window, values: F32) -> None:
    """Add one tile's (C, h, w) network output, which begins at the part of it that the frame holds."""
    seen = _inside(tile.seen, window)
    if seen == tile.seen:
        mosaic.add(tile, values)
        return
    room = np.zeros((len(values), tile.seen.height, tile.seen.width), np.float32)
    rows, cols = seen.within(tile.seen).slices()
    room[:, rows, cols] = values[:, : seen.height, : seen.width]
    mosaic.add(tile, room)


# --- out: maps -> layers ------------------------------------------------------------------------


def _meaning(frame: Frame, maps: Maps) -> _Meaning:
    """Kind and unit of depth, and the focal length where a pinhole camera took the picture."""
    if frame.modality is Modality.STREET:
        return _street(frame, maps)
    if frame.modality is Modality.AERIAL:
        return _Meaning(depth_kind=DepthKind.METRIC, unit=Unit.METRE)
    known = frame.geometry.pitch()
    free = frame.modality in (Modality.XRAY, Modality.VISIBLE)
    if free or known is None or known.unit is Unit.ONE:
        return _Meaning(depth_kind=DepthKind.RELATIVE, unit=Unit.ONE)
    return _Meaning(depth_kind=DepthKind.METRIC, unit=Unit.MILLIMETRE)


def _street(frame: Frame, maps: Maps) -> _Meaning:
    known = frame.geometry.focal_px()
    guess = float(np.exp(np.clip(maps.log_focal, -2, 3))) * GUESS_PX
    focal = guess if known is None else known * maps.fit.scale
    notes: dict[str, Json] = {}
    if Head.DEPTH in maps.heads:
        notes = {
            "focal_px": focal / maps.fit.scale,
            "focal_source": "estimated" if known is None else "given",
        }
    return _Meaning(depth_kind=DepthKind.METRIC, unit=Unit.METRE, network_focal=focal, notes=notes)


def _decode(frame: Frame, maps: Maps, meaning: _Meaning, wanted: frozenset[LayerKind]) -> tuple[Layer, ...]:
    """The wanted layers at the frame's size, in the order of LayerKind."""
    table = TABLE_OF[frame.modality]
    part = crop_frame(frame, maps.region)
    rows, cols = part.shape
    step = max(1, _BAND_BYTES // (4 * cols * len(maps.stack)))
    outside = _outside(part, maps)
    bands: dict[LayerKind, list[Layer]] = {kind: [] for kind in LayerKind if kind in wanted}
    for start in range(0, rows, step):
        stop = min(rows, start + step)
        raw = _raw(frame.modality, maps, meaning, outside, slice(start, stop))
        piece = crop_frame(part, Window(top=start, left=0, height=stop - start, width=cols))
        for kind, layers in bands.items():
            layers.append(_TASKS[kind].decode(raw, piece, table))
    return tuple(paste(join_bands(layers), maps.region, frame.shape) for layers in bands.values())


def _raw(modality: Modality, maps: Maps, meaning: _Meaning, outside: Tensor | None, rows: slice) -> RawMaps:
    """One band of maps at the frame's size, without answers that cannot be."""
    band = maps.band(rows.start, rows.stop)
    logits = band[maps.channels(Head.LOGITS)]
    empty = _empty(modality, maps, logits, outside, rows)
    depth, normals = band[maps.channels(Head.DEPTH)], band[maps.channels(Head.NORMALS)]
    if len(depth):
        depth = _metric(depth, modality, meaning)
    if empty is not None:
        depth, normals = depth.masked_fill(empty, torch.nan), normals.masked_fill(empty, 0.0)
    return RawMaps(
        logits=_only_possible(logits, modality).numpy() if len(logits) else None,
        depth=depth[0].numpy() if len(depth) else None,
        normals=normals.numpy() if len(normals) else None,
        depth_kind=meaning.depth_kind,
        unit=meaning.unit,
        note=_NOTES.get(modality, ""),
    )


def _only_possible(logits: Tensor, modality: Modality) -> Tensor:
    """The same logits with -inf for classes that the modality cannot hold."""
    never = torch.ones(len(logits), dtype=torch.bool)
    never[list(possible_ids(modality))] = False
    return logits.masked_fill(never[:, None, None], -torch.inf) if never.any() else logits


def _metric(code: Tensor, modality: Modality, meaning: _Meaning) -> Tensor:
    depth = depth_from_code(code, modality, meaning.network_focal)
    if meaning.unit is Unit.ONE and modality is not Modality.XRAY:
        return (depth / RELATIVE_SPAN_MM).clamp(0.0, 1.0)
    return depth


def _empty(
    modality: Modality, maps: Maps, logits: Tensor, outside: Tensor | None, rows: slice
) -> Tensor | None:
    """(rows, columns) where nothing has a surface: sky by its own logit, the surroundings of a body."""
    if outside is not None:
        return zoom(outside, maps.fit, rows.start, rows.stop)[0] > 0.5
    if modality is Modality.STREET and len(logits):
        sky = TABLE_OF[modality].id_of("sky")
        return logits[sky] >= logits.amax(0)
    return None


def _outside(part: Frame, maps: Maps) -> Tensor | None:
    """(1, h, w) 1 outside the body of a scan, at the maps' size: emptiness that touches the border."""
    if part.modality not in _BODIES or not maps.heads & {Head.DEPTH, Head.NORMALS}:
        return None
    table = TABLE_OF[part.modality]
    ids = _only_possible(maps.stack[maps.channels(Head.LOGITS)], part.modality).argmax(0)
    empty = (ids == table.id_of("background")) | (ids == table.id_of("air"))
    valid = torch.from_numpy(part.valid)[None, None].float()
    known = F.interpolate(valid, size=maps.fit.inner, mode="nearest-exact")[0, 0] > 0
    return reached_from_border(empty | ~known).float()[None]
