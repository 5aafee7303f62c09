"""The engine: a Frame in, a Prediction out. The only bridge between NumPy and torch.

    frame -> unit RGB by its views -> fit or tiles -> one pass of the network -> maps -> Task.decode

A street or medical picture is seen whole, scaled down to the network's working side; a scene is seen
in tiles of a global grid at its own resolution, blended before anything is decided. Maps are brought to
the frame's size in bands of rows, so that memory does not grow with classes times pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from banana_cli.attention import SceneCells, of_picture, pasted
from banana_cli.classes import TABLE_OF, thing_ids
from banana_cli.clock import Clock
from banana_cli.errors import UsageError
from banana_cli.fit import MULTIPLE, Fit, look_fit
from banana_cli.infer_asked import asked, heads_of, with_things
from banana_cli.infer_decode import decode, instances_of, meaning_of
from banana_cli.intake import answers_valid, log_pitch, log_pitch_of, placed, unit_rgb, working_rgb
from banana_cli.model.device import choose_device, choose_dtype, precision_word
from banana_cli.model.graph import require_extra
from banana_cli.model.graph_cache import GraphCache, user_folder
from banana_cli.model.maps import (
    Maps,
    enlarged,
    fill_lens_rays,
    fill_rays,
    planes,
    shrink,
    stacked,
    widths,
)
from banana_cli.model.net import MODALITIES, Features, Head, NetInput, NetOutput
from banana_cli.model.weights import load_model
from banana_cli.options import Precision, Runtime
from banana_cli.specs import ModelSpec
from banana_cli.tiles import Carry, Lattice, Mosaic, Tile, overlap_of
from banana_cli.types import (
    F32,
    U8,
    Attention,
    Frame,
    Instances,
    Layer,
    LayerKind,
    Lens,
    Looks,
    Mask,
    Modality,
    ModelFacts,
    Prediction,
    Window,
)
from banana_cli.weights_index import resolve, sha256_of

TILE_PX: Final = 512
OVERLAP_PX: Final = 64
_TILES_AT_ONCE: Final = 4


class Net(Protocol):
    """The network as the engine uses it."""

    def features(self, inp: NetInput, budget: float) -> Features:
        """Everything before the heads."""

    def read(self, features: Features, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        """The heads that are wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How frames are run. ``tile`` None: scenes in tiles of TILE_PX, all else whole; else: all in tiles.

    Predictions tell where the tokens went (``attention``) and which things are in masks (``instances``).
    ``any_size``: a new size of picture costs nothing. ``autocast`` None: the network's own types.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    autocast: torch.dtype | None = None
    budget: float = 1.0
    side: int = 512
    tile: int | None = None
    overlap: int = OVERLAP_PX
    attention: bool = False
    instances: bool = False
    any_size: bool = True

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


_Known = tuple[Window, F32] | None
"""Where and what a look has said already."""


@dataclass(slots=True)
class _Heard:
    """What new looks said beside their maps."""

    focals: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
    lines: int = 0


class Engine:
    """One network, ready to answer frames of any domain."""

    def __init__(self, net: Net, facts: ModelFacts, options: EngineOptions) -> None:
        self._net = net
        self._facts = facts
        self._options = options
        self._carry = Carry()
        self._cells = SceneCells()
        self._last_kept = 0.0

    @classmethod
    def load(
        cls,
        weights: Path | None = None,
        *,
        device: str = "auto",
        precision: str = Precision.AUTO,
        budget: float | None = None,
        side: int | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        threads: int | None = None,
        seed: int = 0,
        attention: bool = False,
        instances: bool = False,
        runtime: Runtime = Runtime.TORCH,
    ) -> Self:
        """Read weights (None: the ones that are installed) and make ready.

        ``budget`` and ``side`` None are those that the weights were made for. UsageError for a device,
        precision or size that cannot be, and for a ``runtime`` that is not installed; WeightsError for
        weights that are missing or foreign.
        """
        chosen, dtype = _chosen(device, precision, runtime)
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
            side=spec.side_px if side is None else side,
            tile=tile,
            overlap=min(OVERLAP_PX, (tile or TILE_PX) // 8) if overlap is None else overlap,
            attention=attention,
            instances=instances,
            any_size=runtime is Runtime.TORCH,
        )
        facts = ModelFacts(
            name=f"banana-{spec.name}",
            weights_sha256=sha256_of(path),
            budget=options.budget,
            precision=precision_word(dtype),
            device=str(chosen),
            runtime=runtime.value,
        )
        if runtime is Runtime.ONNX:
            from banana_cli.model.runtime_onnx import OnnxNet

            return cls(OnnxNet(net, facts.weights_sha256, GraphCache(user_folder())), facts, options)
        # Channels last, as the network's own maps are. (The stubs of torch lack this overload.)
        net = net.to(chosen, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if chosen.type == "cpu":
            net.fold(dtype or torch.float32)
            options = replace(options, autocast=None)
        return cls(net, facts, options)

    @property
    def facts(self) -> ModelFacts:
        """Which weights answer, and how."""
        return self._facts

    def through(self, wrap: Callable[[Net], Net], budget: float) -> Self:
        """The same at another budget, its network seen through ``wrap``."""
        options, facts = replace(self._options, budget=budget), replace(self._facts, budget=budget)
        return type(self)(wrap(self._net), facts, options)

    @torch.inference_mode()
    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        """All layers of ``kinds`` from one pass; measured ones are passed through as they are.

        A layer that has no meaning for the modality (depth of ultrasound) is left out.
        """
        given, wanted = asked(frame, kinds)
        if not wanted:
            return Prediction(layers=given, tokens_kept=0.0, seconds={})
        clock = Clock()
        maps = self._maps(frame, self._heads(frame.modality, wanted), clock)
        meaning = meaning_of(frame, maps)
        layers = decode(frame, maps, meaning, wanted)
        instances = self._instances(frame, maps, layers)
        clock.lap("decode")
        return Prediction(
            layers=given + layers,
            tokens_kept=maps.kept,
            seconds=clock.seconds,
            notes=meaning.notes,
            attention=attention_of(frame, maps),
            instances=instances,
        )

    def _heads(self, modality: Modality, wanted: frozenset[LayerKind]) -> frozenset[Head]:
        """As ``heads_of``, and things where they are counted."""
        heads = heads_of(modality, wanted)
        return with_things(heads, modality, self._net) if self._options.instances else heads

    def _instances(self, frame: Frame, maps: Maps, layers: tuple[Layer, ...]) -> Instances | None:
        """The things in the mask among the layers; None where nobody asked or nothing can be counted."""
        mask = next((layer for layer in layers if isinstance(layer, Mask)), None)
        if not self._options.instances or mask is None or not thing_ids(frame.modality):
            return None
        return instances_of(frame, maps, mask)

    def _maps(self, frame: Frame, heads: frozenset[Head], clock: Clock) -> Maps:
        if self._options.tile is None and frame.modality is not Modality.AERIAL:
            return self._whole(frame, heads, clock)
        return self._tiled(frame, heads, clock)

    def _whole(self, frame: Frame, heads: frozenset[Head], clock: Clock) -> Maps:
        """The picture in one look, at the network's working side."""
        fit, inp = self._shown(frame)
        clock.lap("fit")
        features = self._features(inp)
        out = self._net.read(features, frame.modality, heads)
        stack = torch.from_numpy(planes(stacked(out)[0]))[:, : fit.inner[0], : fit.inner[1]]
        clock.lap("model")
        return Maps(
            stack=stack,
            heads=heads,
            classes=len(TABLE_OF[frame.modality]),
            region=Window(top=0, left=0, height=frame.shape[0], width=frame.shape[1]),
            fit=fit,
            log_focal=float(out.log_focal[0]),
            kept=out.kept,
            attention=of_picture(levels_of(features)[0], fit) if self._options.attention else None,
        )

    def _shown(self, frame: Frame) -> tuple[Fit, NetInput]:
        """The whole picture as the network sees it, at its working side."""
        fit = look_fit(frame.shape, frame.modality, self._options.side)
        pixels, known = unit_rgb(frame, None)
        image, valid = _fitted(torch.from_numpy(pixels), torch.from_numpy(known), fit)
        return fit, self._input(frame, image[None], valid[None], [(0, 0)], fit, [log_pitch(frame, fit)])

    def _tiled(self, frame: Frame, heads: frozenset[Head], clock: Clock) -> Maps:
        """The frame's core in blended looks of the scene's lattice, at the working resolution."""
        window, core = placed(frame)
        lattice = self._lattice(frame)
        part, held = lattice.part(core), lattice.under(window)
        classes = len(TABLE_OF[frame.modality])
        mosaic = Mosaic(part, sum(width for _, width in widths(heads, classes)))
        self._carry.enter(frame.provenance.looks, (heads, self._options.budget), part)
        self._cells.enter(frame.provenance.looks)
        heard = _Heard()
        todo = (t for t in lattice.grid.tiles(part) if self._wanted(frame, lattice, t, part))
        for line in _lines(todo, lambda tile: self._carry.find(tile, part)):
            heard.lines += 1
            new = [tile for tile, known in line if known is None]
            said = iter(self._look(frame, lattice, new, heads, heard, clock))
            for tile, known in line:  # always in the order of the lattice, so that sums come out alike
                if known is not None:
                    mosaic.add(tile, known[1], known[0])
                    continue
                values = next(said)
                seen = _inside(tile.seen, held)
                mosaic.add(tile, values[:, : seen.height, : seen.width], seen)
                if seen == tile.seen:
                    self._carry.put(tile, part, values)
            clock.lap("decode")
        size = (core.height, core.width)
        return Maps(
            stack=enlarged(torch.from_numpy(mosaic.result()), lattice.place(core), lattice.looks.shrink),
            heads=heads,
            classes=classes,
            region=core.within(window),
            fit=Fit(source=size, inner=size, padded=size),
            log_focal=float(np.mean(heard.focals)) if heard.focals else 0.0,
            kept=self._kept(heard),
            attention=self._cells.of_part(lattice, core) if self._options.attention else None,
        )

    def _kept(self, heard: _Heard) -> float:
        """The mean share of tokens; that of looks made before where nothing new was looked at."""
        if heard.kept:
            self._last_kept = float(np.mean(heard.kept))
        return self._last_kept if heard.lines else 0.0

    @staticmethod
    def _wanted(frame: Frame, lattice: Lattice, tile: Tile, part: Window) -> bool:
        """Whether a look has to answer for any valid pixel of a part."""
        shared = overlap_of(tile.answers, part)
        return shared is not None and answers_valid(frame, lattice, shared)

    def _lattice(self, frame: Frame) -> Lattice:
        own = Looks(tile=self._options.tile or TILE_PX, overlap=self._options.overlap)
        shape = frame.provenance.scene_shape or frame.shape
        return Lattice(shape=shape, looks=frame.provenance.looks or own)

    def _look(
        self,
        frame: Frame,
        lattice: Lattice,
        tiles: list[Tile],
        heads: frozenset[Head],
        heard: _Heard,
        clock: Clock,
    ) -> F32:
        """(B, C, h, w) of looks that begin where the frame does, or where they begin themselves."""
        if not tiles:
            return np.zeros((0, 0, 0, 0), np.float32)
        inp = self._batch(frame, tiles, lattice)
        clock.lap("fit")
        features = self._features(inp)
        out = self._net.read(features, frame.modality, heads)
        clock.lap("model")
        if self._options.attention:
            for tile, levels in zip(tiles, levels_of(features), strict=True):
                self._cells.put(tile, levels)
        heard.focals += out.log_focal.tolist()
        heard.kept += [out.kept] * len(tiles)
        values: F32 = stacked(out).cpu().numpy()
        return values

    def _batch(self, frame: Frame, tiles: list[Tile], lattice: Lattice) -> NetInput:
        window = placed(frame)[0]
        sides = [-(-min(lattice.grid.tile, n) // MULTIPLE) * MULTIPLE for n in lattice.grid.shape]
        images = torch.zeros(len(tiles), 3, *sides)
        valids = torch.zeros(len(tiles), 1, *sides)
        corners: list[tuple[int, int]] = []
        pitches: list[float] = []
        for i, tile in enumerate(tiles):
            seen = _inside(tile.seen, lattice.under(window))
            image, valid = working_rgb(frame, lattice, seen)
            images[i, :, : seen.height, : seen.width] = torch.from_numpy(image)
            valids[i, :, : seen.height, : seen.width] = torch.from_numpy(valid)
            corners.append((seen.top - window.top, seen.left - window.left))
            pitches.append(log_pitch_of(frame, lattice, seen))
        fit = Fit(source=frame.shape, inner=frame.shape, padded=frame.shape)
        return self._input(frame, images, valids, corners, fit, pitches)

    def _input(
        self,
        frame: Frame,
        image: Tensor,
        valid: Tensor,
        corners: list[tuple[int, int]],
        fit: Fit,
        pitches: list[float],
    ) -> NetInput:
        """Everything that the network is told; ``corners`` are each item's (row, column) in the frame."""
        to = self._options.device
        count = len(corners)
        focal = frame.geometry.focal_px()
        rays = torch.zeros(count, 2, *image.shape[-2:])
        if focal is not None:
            for item, corner in zip(rays, corners, strict=True):
                if isinstance(frame.geometry, Lens):
                    fill_lens_rays(item, corner, fit, frame.geometry)
                else:
                    fill_rays(item, corner, fit, focal)
        modality = torch.full((count,), MODALITIES.index(frame.modality), dtype=torch.int64)
        return NetInput(
            image=image.to(to),
            valid=valid.to(to),
            rays=rays.to(to),
            modality=modality.to(to),
            log_pitch=torch.tensor(pitches, dtype=torch.float32).to(to),
        )

    def _features(self, inp: NetInput) -> Features:
        """The inside in the chosen precision; answers are read in fp32."""
        with self._precision():
            features = self._net.features(inp, self._options.budget)
        return replace(features, registers=features.registers.float())

    def _precision(self) -> AbstractContextManager[object]:
        if self._options.autocast is None:
            return nullcontext()
        return torch.autocast(self._options.device.type, dtype=self._options.autocast)


def _chosen(device: str, precision: str, runtime: Runtime) -> tuple[torch.device, torch.dtype | None]:
    """Device and autocast type. UsageError for what this machine or the runtime cannot do."""
    if runtime is Runtime.TORCH:
        chosen = choose_device(device)
        return chosen, choose_dtype(precision, chosen)
    subject = f"--runtime {runtime}"
    require_extra(subject)
    if device not in ("auto", "cpu"):
        raise UsageError(f"does not run on {device}", subject=subject, remedy="leave --device out")
    if precision not in (Precision.AUTO, Precision.FP32):
        raise UsageError(f"does not compute in {precision}", subject=subject, remedy="leave --precision out")
    return torch.device("cpu"), None


# --- in: frame -> network -----------------------------------------------------------------------


def levels_of(features: Features) -> U8:
    """(B, H/8, W/8) levels of the 8-px cells of each picture."""
    levels: U8 = features.levels().cpu().numpy()
    return levels


def attention_of(frame: Frame, maps: Maps) -> Attention | None:
    """Where the tokens went, at the frame's size; None where nobody asked."""
    return None if maps.attention is None else pasted(maps.attention, maps.region, frame.shape)


def _fitted(image: Tensor, valid: Tensor, fit: Fit) -> tuple[Tensor, Tensor]:
    """Scaled down without bleeding from invalid pixels, and padded."""
    if fit.scaled and bool(valid.all()):
        image, valid = shrink(image, fit.inner).clamp_(0.0, 1.0), valid.new_ones(1, *fit.inner)
    elif fit.scaled:
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


def _lines(tiles: Iterator[Tile], find: Callable[[Tile], _Known]) -> Iterator[list[tuple[Tile, _Known]]]:
    """The looks in order, cut so that each piece has at most ``_TILES_AT_ONCE`` that are not known yet."""
    line: list[tuple[Tile, _Known]] = []
    new = 0
    for tile in tiles:
        known = find(tile)
        line.append((tile, known))
        new += known is None
        if new == _TILES_AT_ONCE:
            yield line
            line, new = [], 0
    if line:
        yield line
