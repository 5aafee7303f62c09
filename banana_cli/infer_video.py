"""The engine for clips: answers that hold still, and nothing looked at twice.

Frames of one ``Provenance.clip`` are answered in order: the focal length is guessed once, maps are filtered
along the optical flow (``model.steady``), and of a picture that looks as the last one did only what changed
goes through the network (``model.reuse``). Every other frame is answered as ``Engine`` does.

A frame is looked at (what the network says of it) and then answered (what that means after the frames before
it). A look needs nothing of the answers, so that it may be made in another thread while the frame before is
answered, see ``expect``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from banana_cli.ahead import Begun
from banana_cli.attention import CELL_PX, of_picture
from banana_cli.classes import TABLE_OF
from banana_cli.clock import Clock
from banana_cli.fit import Fit
from banana_cli.infer import Engine, EngineOptions, Net, attention_of, levels_of
from banana_cli.infer_asked import asked
from banana_cli.infer_decode import Meaning, decode, meaning_of
from banana_cli.layers import values_of, with_values
from banana_cli.model.maps import Maps, planes, stacked
from banana_cli.model.net import Head, NetInput
from banana_cli.model.reuse import Reuse, with_context
from banana_cli.model.steady import Held, Steady, grey_of
from banana_cli.types import F32, U8, Frame, Layer, LayerKind, Modality, ModelFacts, Prediction, Window

FOCAL_FRAMES: Final = 30
"""The focal length of a clip is the median of the guesses for so many first frames; then it is held."""
HYSTERESIS: Final = 0.5
"""A cell that was split is split again unless it is worth less than others by this log: the grid of tokens
would flicker else, and with it what they say."""
_HELD: Final = "held."
_NO_GREY: Final = np.zeros((0, 0), np.uint8)
_NOTHING: Final = torch.zeros(0, 0, 0)


@dataclass(slots=True, eq=False, kw_only=True)
class _Clip:
    """What is kept in mind of one clip. ``known``: what all its frames must share.

    Only looks change what comes before ``steady``, only answers what comes after.
    """

    name: str
    known: tuple[object, ...]
    focal_is_known: bool
    index: int = -1
    reuse: Reuse = field(default_factory=Reuse)
    focals: list[float] = field(default_factory=list)
    registers: Tensor | None = None
    levels: U8 | None = None  # (h/8, w/8) of its cells
    steady: Steady
    maps: F32 | None = None  # (C, h, w) steady, of the picture with its padding
    layers: tuple[Layer, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether metres mean the same in all frames from now on."""
        return self.focal_is_known or len(self.focals) >= FOCAL_FRAMES

    def log_focal(self, guess: float) -> float:
        """The clip's own focal length so far, in the units of ``guess``."""
        if len(self.focals) < FOCAL_FRAMES:
            self.focals.append(guess)
        return median(self.focals)

    def forget(self) -> None:
        """Keep in mind only what ``VideoEngine.memory`` tells: the next picture is looked at whole."""
        self.reuse, self.registers, self.levels, self.maps, self.layers = Reuse(), None, None, None, ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Look:
    """What a look at a frame told. ``part`` of the picture was looked at, in network pixels; None: nothing.

    ``maps`` of the frame alone: of that part only, where there is one that is not the whole; ``focals``: from
    how many frames its ``log_focal`` comes.
    """

    clip: _Clip
    clock: Clock
    grey: U8
    part: Window | None
    maps: Maps
    focals: int

    @property
    def whole(self) -> Window:
        """All of the picture, with its padding."""
        height, width = self.maps.fit.padded
        return Window(top=0, left=0, height=height, width=width)


class VideoEngine(Engine):
    """An engine that keeps the last frames of a clip in mind; one clip at a time."""

    _clip: _Clip | None = None
    _memory: Mapping[str, NDArray[np.generic]] | None = None

    def __init__(self, net: Net, facts: ModelFacts, options: EngineOptions) -> None:
        super().__init__(net, facts, options)
        self._begun = Begun[_Look]()
        self._threads = torch.get_num_threads()

    def expect(self, frame: Frame, kinds: frozenset[LayerKind]) -> None:
        """Begin to look at a frame for which ``predict`` is asked later, in the same order.

        ``memory`` may be asked for only when no frame is expected.
        """
        wanted = asked(frame, kinds)[1]
        if _goes_on(frame, wanted):
            self._begun.begin(frame, lambda: self._look_beside(frame, wanted))

    def _look_beside(self, frame: Frame, wanted: frozenset[LayerKind]) -> _Look:
        """``_look_at`` while another thread answers the frame before: that one has a core of its own."""
        torch.set_num_threads(max(1, self._threads - 1))
        return self._look_at(frame, wanted)

    @torch.inference_mode()
    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        """As ``Engine.predict``; frames of a clip in the light of those before."""
        given, wanted = asked(frame, kinds)
        if not _goes_on(frame, wanted):
            torch.set_num_threads(self._threads)
            return super().predict(frame, kinds)
        look = self._begun.take(frame, lambda: self._look_at(frame, wanted))
        clip, clock = look.clip, look.clock
        clock.go_on()
        maps = self._steadied(look)
        clock.lap("steady")
        meaning = meaning_of(frame, maps)
        layers = self._layers(frame, look, maps, meaning, wanted)
        instances = self._instances(frame, maps, layers)
        clock.lap("decode")
        clip.layers = layers
        notes = meaning.notes
        if look.focals and notes:
            notes["focal_frames"] = look.focals
        return Prediction(
            layers=given + layers,
            tokens_kept=maps.kept,
            seconds=clock.seconds,
            notes=notes,
            attention=attention_of(frame, maps),
            instances=instances,
            flow=_flow_of(clip.steady.way, look.part, maps.fit) if self._options.tile is None else None,
        )

    def memory(self) -> Mapping[str, NDArray[np.generic]] | None:
        """All that the next frame's answer depends on, for ``remember``; None outside a clip.

        What is not in it is forgotten here too, so that this engine and one that remembers go on alike.
        """
        clip = self._clip
        if len(self._begun):
            raise ValueError("a frame was begun that was not asked for yet")
        if clip is None:
            return None
        clip.forget()
        held = clip.steady.held.to_arrays() if clip.steady.held else {}
        return {
            "clip": np.array(clip.name),
            "index": np.array(clip.index),
            "focals": np.array(clip.focals, np.float64),
            **{f"{_HELD}{name}": array.copy() for name, array in held.items()},
        }

    def remember(self, memory: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on after the frame at which ``memory`` was called; what does not fit the next one is dropped."""
        self._clip, self._memory = None, memory

    def _clip_of(self, frame: Frame, heads: frozenset[Head]) -> _Clip:
        """The clip that the frame goes on, or a new one."""
        place, clip = frame.provenance, self._clip
        known = (frame.shape, heads, frame.geometry.focal_px())
        goes_on = clip is not None and (clip.name, clip.known) == (place.clip, known)
        if clip is None or not goes_on or place.index <= clip.index:
            clip = _Clip(
                name=str(place.clip),
                known=known,
                steady=Steady(len(TABLE_OF[frame.modality]), depth=Head.DEPTH in heads),
                focal_is_known=known[-1] is not None,
            )
            self._recall(clip, place.index)
        clip.index = place.index
        self._clip, self._memory = clip, None
        return clip

    def _recall(self, clip: _Clip, index: int) -> None:
        """Put what ``remember`` was given into a clip that it is of."""
        kept = self._memory
        if kept is None or str(kept["clip"]) != clip.name or int(kept["index"]) >= index:
            return
        clip.focals = [float(f) for f in kept["focals"]]
        held = {name.removeprefix(_HELD): array for name, array in kept.items() if name.startswith(_HELD)}
        if held:
            clip.steady.held = Held.from_arrays(held)

    @torch.inference_mode()
    def _look_at(self, frame: Frame, wanted: frozenset[LayerKind]) -> _Look:
        """What the network says of what changed in the frame."""
        clock = Clock()
        heads = self._heads(frame.modality, wanted)
        clip = self._clip_of(frame, heads)
        if self._options.tile is not None:
            maps = self._tiled(frame, heads, clock)
            maps = replace(maps, log_focal=clip.log_focal(maps.log_focal))
            return _Look(clip=clip, clock=clock, grey=_NO_GREY, part=None, maps=maps, focals=len(clip.focals))
        fit, inp = self._shown(frame)
        grey = grey_of(inp.image[0].cpu().numpy())
        clock.lap("fit")
        part = self._stale(clip, grey, fit)
        maps = Maps(
            stack=_NOTHING,
            heads=heads,
            classes=len(TABLE_OF[frame.modality]),
            region=Window(top=0, left=0, height=frame.shape[0], width=frame.shape[1]),
            fit=fit,
            log_focal=_middle(clip.focals),
            kept=0.0,
        )
        if part is not None:
            maps = self._told(inp, clip, maps, part)
        if self._options.attention and clip.levels is not None:
            maps = replace(maps, attention=of_picture(clip.levels, fit))
        clip.reuse.looked(grey, part)
        clock.lap("model")
        return _Look(clip=clip, clock=clock, grey=grey, part=part, maps=maps, focals=len(clip.focals))

    def _stale(self, clip: _Clip, grey: U8, fit: Fit) -> Window | None:
        """What must be looked at."""
        whole = Window(top=0, left=0, height=fit.padded[0], width=fit.padded[1])
        part = clip.reuse.stale(grey) if clip.settled else whole
        return part if part is None or self._options.any_size else whole

    def _told(self, inp: NetInput, clip: _Clip, maps: Maps, part: Window) -> Maps:
        """Maps of a part, seen with some context; what the registers say of the whole picture stays."""
        whole = Window(top=0, left=0, height=inp.image.shape[-2], width=inp.image.shape[-1])
        around = whole if part == whole else with_context(part, whole)
        rows, cols = around.slices()
        seen = replace(
            inp,
            image=inp.image[..., rows, cols],
            valid=inp.valid[..., rows, cols],
            rays=inp.rays[..., rows, cols],
            lean=None if clip.levels is None else _lean(clip.levels[_cells(around)]).to(inp.image.device),
        )
        features = self._features(seen)
        if part == whole:
            clip.registers = features.registers
        elif clip.registers is None:
            raise ValueError("a part needs the whole before it")
        out = self._net.read(replace(features, registers=clip.registers), Modality.STREET, maps.heads)
        inside = part.within(around)
        if self._options.attention or features.own_row is not None:
            levels = levels_of(features)[0]
            clip.levels = levels if clip.levels is None or part == whole else clip.levels
            clip.levels[_cells(part)] = levels[_cells(inside)]
        if part == whole and not clip.settled:
            maps = replace(maps, log_focal=clip.log_focal(float(out.log_focal[0])))
        share = around.height * around.width / (whole.height * whole.width)
        return replace(maps, stack=stacked(out)[0][:, *inside.slices()], kept=out.kept * share)

    def _steadied(self, look: _Look) -> Maps:
        """Maps of the whole picture, the new in the light of the old."""
        clip, maps, part = look.clip, look.maps, look.part
        if self._options.tile is not None:
            clip.layers = ()
            return maps
        if part == look.whole:
            clip.maps = planes(maps.stack)
        if clip.maps is None:
            raise ValueError("nothing was looked at yet")
        if part is not None:
            here = clip.maps[:, *part.slices()]
            if part != look.whole:
                here[:] = planes(maps.stack)
            rows, cols = (slice(s.start // 2, s.stop // 2) for s in part.slices())
            clip.steady.step(here, np.ascontiguousarray(look.grey[rows, cols]), part)
        rows, cols = slice(0, maps.fit.inner[0]), slice(0, maps.fit.inner[1])
        ids = None if clip.steady.held is None else clip.steady.held.ids[rows, cols]
        return replace(maps, stack=torch.from_numpy(clip.maps)[:, rows, cols], ids=ids)

    def _layers(
        self,
        frame: Frame,
        look: _Look,
        maps: Maps,
        meaning: Meaning,
        wanted: frozenset[LayerKind],
    ) -> tuple[Layer, ...]:
        """Decode what changed; the rest is as it was."""
        old, changed = look.clip.layers, look.part
        if {layer.kind for layer in old} != wanted:
            return decode(frame, maps, meaning, wanted)
        if changed is None:
            return old
        rows = _source_rows(changed, maps.fit)
        if rows == slice(0, frame.shape[0]):
            return decode(frame, maps, meaning, wanted)
        new = decode(frame, maps, meaning, wanted, rows)
        return tuple(_patched(was, now, rows) for was, now in zip(old, new, strict=True))


def _goes_on(frame: Frame, wanted: frozenset[LayerKind]) -> bool:
    """Whether a frame is one of a clip, and something is asked of it."""
    return frame.provenance.clip is not None and frame.modality is Modality.STREET and bool(wanted)


def _middle(focals: list[float]) -> float:
    return median(focals) if focals else 0.0


def _lean(levels: U8) -> Tensor:
    """(1, cells) what tokens of the frame before count for, by the levels (h, w) of its cells."""
    worth = np.exp(HYSTERESIS * np.arange(2, -1, -1)).astype(np.float32)
    return torch.from_numpy(worth[levels.ravel()])[None]


def _cells(part: Window) -> tuple[slice, slice]:
    """The 8-px cells of a window of whole ones."""
    rows, cols = (slice(s.start // CELL_PX, s.stop // CELL_PX) for s in part.slices())
    return rows, cols


def _flow_of(way: F32 | None, changed: Window | None, fit: Fit) -> F32 | None:
    """(h, w, 2) of the whole picture at half the network's size; what did not change did not move."""
    whole = np.zeros((fit.padded[0] // 2, fit.padded[1] // 2, 2), np.float32)
    if changed is not None:
        if way is None:
            return None
        rows, cols = (slice(s.start // 2, s.stop // 2) for s in changed.slices())
        whole[rows, cols] = way
    return whole[: max(1, fit.inner[0] // 2), : max(1, fit.inner[1] // 2)]


def _source_rows(part: Window, fit: Fit) -> slice:
    """Rows of the source whose values depend on a window of the network's picture."""
    first = int(np.floor((part.top - 1) / fit.scale_y)) - 1
    last = int(np.ceil((part.bottom + 1) / fit.scale_y)) + 1
    return slice(max(0, first), min(fit.source[0], last))


def _patched(was: Layer, now: Layer, rows: slice) -> Layer:
    values, valid = values_of(was).copy(), was.valid.copy()
    values[..., rows, :], valid[rows] = values_of(now), now.valid
    return with_values(was, values, valid)
