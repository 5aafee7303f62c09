"""The engine for clips: answers that hold still, and nothing looked at twice.

Frames of one ``Provenance.clip`` are answered in order: the focal length is guessed once, maps are filtered
along the optical flow (``model.steady``), and of a picture that looks as the last one did only what changed
goes through the network (``model.reuse``). Every other frame is answered as ``Engine`` does.
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

from banana_cli.attention import CELL_PX, of_picture
from banana_cli.classes import TABLE_OF
from banana_cli.fit import Fit
from banana_cli.infer import Clock, Engine, attention_of, levels_of
from banana_cli.infer_asked import asked
from banana_cli.infer_decode import Meaning, decode, meaning_of
from banana_cli.layers import values_of, with_values
from banana_cli.model.maps import Maps, stacked
from banana_cli.model.net import Head, NetInput
from banana_cli.model.reuse import Reuse, with_context
from banana_cli.model.steady import Held, Steady, grey_of
from banana_cli.types import F32, U8, Frame, Layer, LayerKind, Modality, Prediction, Window

FOCAL_FRAMES: Final = 30
"""The focal length of a clip is the median of the guesses for so many first frames; then it is held."""
_HELD: Final = "held."


@dataclass(slots=True, eq=False)
class _Clip:
    """What is kept in mind of one clip. ``known``: what all its frames must share."""

    name: str
    known: tuple[object, ...]
    steady: Steady
    focal_is_known: bool
    index: int = -1
    reuse: Reuse = field(default_factory=Reuse)
    focals: list[float] = field(default_factory=list)
    registers: Tensor | None = None
    maps: F32 | None = None  # (h, w, C) steady, of the picture with its padding
    levels: U8 | None = None  # (h/8, w/8) of its cells, where attention is asked for
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
        self.reuse, self.registers, self.maps, self.layers = Reuse(), None, None, ()


class VideoEngine(Engine):
    """An engine that keeps the last frames of a clip in mind; one clip at a time."""

    _clip: _Clip | None = None
    _memory: Mapping[str, NDArray[np.generic]] | None = None

    @torch.inference_mode()
    def predict(self, frame: Frame, kinds: frozenset[LayerKind]) -> Prediction:
        """As ``Engine.predict``; frames of a clip in the light of those before."""
        given, wanted = asked(frame, kinds)
        if frame.provenance.clip is None or frame.modality is not Modality.STREET or not wanted:
            return super().predict(frame, kinds)
        clock = Clock()
        heads = self._heads(frame.modality, wanted)
        clip = self._clip_of(frame, heads)
        if self._options.tile is not None:
            maps = self._tiled(frame, heads, clock)
            maps = replace(maps, log_focal=clip.log_focal(maps.log_focal))
            changed: Window | None = None
            flow: F32 | None = None
            clip.layers = ()
        else:
            maps, changed = self._looked(frame, clip, heads, clock)
            flow = _flow_of(clip.steady.way, changed, maps.fit)
        meaning = meaning_of(frame, maps)
        layers = self._layers(frame, clip, maps, meaning, changed, wanted)
        instances = self._instances(frame, maps, layers)
        clock.lap("decode")
        clip.layers = layers
        notes = meaning.notes
        if clip.focals and notes:
            notes["focal_frames"] = len(clip.focals)
        return Prediction(
            layers=given + layers,
            tokens_kept=maps.kept,
            seconds=clock.seconds,
            notes=notes,
            attention=attention_of(frame, maps),
            instances=instances,
            flow=flow,
        )

    def memory(self) -> Mapping[str, NDArray[np.generic]] | None:
        """All that the next frame's answer depends on, for ``remember``; None outside a clip.

        What is not in it is forgotten here too, so that this engine and one that remembers go on alike.
        """
        clip = self._clip
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

    def _looked(
        self, frame: Frame, clip: _Clip, heads: frozenset[Head], clock: Clock
    ) -> tuple[Maps, Window | None]:
        """Steady maps of the frame, and what changed in them (network pixels)."""
        fit, inp = self._shown(frame)
        grey = grey_of(inp.image[0].permute(1, 2, 0).cpu().numpy())
        clock.lap("fit")
        whole = Window(top=0, left=0, height=fit.padded[0], width=fit.padded[1])
        part = clip.reuse.stale(grey) if clip.settled else whole
        if part is not None and not self._options.any_size:
            part = whole
        kept, guess = 0.0, 0.0
        if part == whole:
            kept, guess = self._all(inp, clip, heads, clock)
        elif part is not None:
            kept = self._part(inp, clip, heads, part, clock)
        if part is not None:
            self._hold(clip, grey, part)
        clip.reuse.looked(grey, part)
        clock.lap("steady")
        if clip.maps is None:
            raise ValueError("nothing was looked at yet")
        maps = self._as_maps(frame, fit, heads, clip.maps, kept)
        if clip.levels is not None:
            maps = replace(maps, attention=of_picture(clip.levels, fit))
        focal = clip.log_focal(guess) if not clip.settled else _middle(clip.focals)
        return replace(maps, log_focal=focal), part

    def _all(self, inp: NetInput, clip: _Clip, heads: frozenset[Head], clock: Clock) -> tuple[float, float]:
        """Look at the whole picture; the share of tokens and the guess of the focal length."""
        features = self._features(inp)
        out = self._net.read(features, Modality.STREET, heads)
        clip.registers, clip.maps = features.registers, _rows_first(stacked(out)[0])
        if self._options.attention:
            clip.levels = levels_of(features)[0]
        clock.lap("model")
        return out.kept, float(out.log_focal[0])

    def _part(self, inp: NetInput, clip: _Clip, heads: frozenset[Head], part: Window, clock: Clock) -> float:
        """Look at a part with some context; what the registers say of the whole picture stays."""
        whole = Window(top=0, left=0, height=inp.image.shape[-2], width=inp.image.shape[-1])
        around = with_context(part, whole)
        rows, cols = around.slices()
        seen = replace(
            inp,
            image=inp.image[..., rows, cols],
            valid=inp.valid[..., rows, cols],
            rays=inp.rays[..., rows, cols],
        )
        features = self._features(seen)
        if clip.registers is None or clip.maps is None:
            raise ValueError("a part needs the whole before it")
        out = self._net.read(replace(features, registers=clip.registers), Modality.STREET, heads)
        rows, cols = part.within(around).slices()
        clip.maps[part.slices()] = _rows_first(stacked(out)[0])[rows, cols]
        if clip.levels is not None:
            seen_levels = levels_of(features)[0]
            clip.levels[_cells(part)] = seen_levels[_cells(part.within(around))]
        clock.lap("model")
        return out.kept * around.height * around.width / (whole.height * whole.width)

    def _hold(self, clip: _Clip, grey: U8, part: Window) -> None:
        if clip.maps is None:
            return
        mine = np.ascontiguousarray(clip.maps[part.slices()])
        rows, cols = (slice(s.start // 2, s.stop // 2) for s in part.slices())
        clip.steady.step(mine, np.ascontiguousarray(grey[rows, cols]), part)
        clip.maps[part.slices()] = mine

    def _as_maps(self, frame: Frame, fit: Fit, heads: frozenset[Head], maps: F32, kept: float) -> Maps:
        stack = torch.from_numpy(maps).permute(2, 0, 1)[:, : fit.inner[0], : fit.inner[1]]
        return Maps(
            stack=stack,
            heads=heads,
            classes=len(TABLE_OF[frame.modality]),
            region=Window(top=0, left=0, height=frame.shape[0], width=frame.shape[1]),
            fit=fit,
            log_focal=0.0,
            kept=kept,
        )

    def _layers(
        self,
        frame: Frame,
        clip: _Clip,
        maps: Maps,
        meaning: Meaning,
        changed: Window | None,
        wanted: frozenset[LayerKind],
    ) -> tuple[Layer, ...]:
        """Decode what changed; the rest is as it was."""
        old = clip.layers
        if {layer.kind for layer in old} != wanted:
            return decode(frame, maps, meaning, wanted)
        if changed is None:
            return old
        rows = _source_rows(changed, maps.fit)
        if rows == slice(0, frame.shape[0]):
            return decode(frame, maps, meaning, wanted)
        new = decode(frame, maps, meaning, wanted, rows)
        return tuple(_patched(was, now, rows) for was, now in zip(old, new, strict=True))


def _middle(focals: list[float]) -> float:
    return median(focals) if focals else 0.0


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


def _rows_first(stack: Tensor) -> F32:
    """(C, h, w) -> (h, w, C) on the CPU."""
    maps: F32 = stack.permute(1, 2, 0).cpu().contiguous().numpy()
    return maps


def _source_rows(part: Window, fit: Fit) -> slice:
    """Rows of the source whose values depend on a window of the network's picture."""
    first = int(np.floor((part.top - 1) / fit.scale_y)) - 1
    last = int(np.ceil((part.bottom + 1) / fit.scale_y)) + 1
    return slice(max(0, first), min(fit.source[0], last))


def _patched(was: Layer, now: Layer, rows: slice) -> Layer:
    values, valid = values_of(was).copy(), was.valid.copy()
    values[..., rows, :], valid[rows] = values_of(now), now.valid
    return with_values(was, values, valid)
