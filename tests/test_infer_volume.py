"""Masks of a slice in the light of its neighbours: flicker goes, what the pixels show stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from banana_cli.classes import MEDICAL as TABLE
from banana_cli.infer import EngineOptions
from banana_cli.infer_volume import VolumeEngine
from banana_cli.model.net import Features, Head, NetInput, NetOutput
from banana_cli.types import (
    Band,
    Frame,
    Json,
    LayerKind,
    Mask,
    Modality,
    ModelFacts,
    Pitch,
    Provenance,
    Unit,
    View,
)

FACTS = ModelFacts(name="glass", weights_sha256="0" * 64, budget=1.0, precision="fp32", device="cpu")
MASKS = frozenset({LayerKind.MASKS})
SIDE = 256
FAT, SOFT = TABLE.id_of("fat"), TABLE.id_of("soft tissue")


class Millimetre:
    """One pixel is one millimetre."""

    def focal_px(self) -> float | None:
        return None

    def pitch(self) -> Pitch | None:
        return Pitch(row=1, col=1, unit=Unit.MILLIMETRE)

    def describe(self) -> dict[str, Json]:
        return {}


class Fickle:
    """Says soft tissue for values above a half, else fat, but errs in a spot of the pictures listed."""

    def __init__(self, errs: set[int]) -> None:
        self.errs, self.calls = errs, 0

    def features(self, inp: NetInput, budget: float) -> Features:
        self.calls += 1
        return Features(f4=inp.image, registers=torch.zeros(1, 1, 1), score=torch.zeros(1, 1), kept=1.0)

    def read(self, features: Features, modality: Modality, heads: frozenset[Head]) -> NetOutput:
        bright = features.f4[:, :1] > 0.5
        if self.calls - 1 in self.errs:
            bright[..., 100:110, 100:110] = ~bright[..., 100:110, 100:110]
        logits = torch.zeros(1, len(TABLE), SIDE, SIDE)
        logits[:, SOFT], logits[:, FAT] = 4.0 * bright[:, 0], 4.0 * ~bright[:, 0]
        return NetOutput(logits=logits, depth_code=None, normals=None, log_focal=torch.zeros(1), kept=1.0)


def volume(values: list[np.ndarray]) -> list[Frame]:
    frames = [
        Frame(
            pixels=v[None].astype(np.float32),
            valid=np.ones(v.shape, bool),
            bands=(Band(name="grey", unit="1"),),
            views=(View(band=0, low=0.0, high=1.0),),
            modality=Modality.MR,
            geometry=Millimetre(),
            provenance=Provenance(source="v", index=k),
        )
        for k, v in enumerate(values)
    ]
    return [
        replace(f, beside=tuple(frames[j] for j in (k - 1, k + 1) if 0 <= j < len(frames)))
        for k, f in enumerate(frames)
    ]


def answers(frames: list[Frame], net: Fickle) -> np.ndarray:
    engine = VolumeEngine(net, FACTS, EngineOptions(side=SIDE))
    return np.stack([engine.predict(f, MASKS).get(Mask).ids for f in frames])


def test_a_slip_in_one_slice_is_outvoted_and_each_slice_is_looked_at_once() -> None:
    net = Fickle({2})
    ids = answers(volume([np.full((SIDE, SIDE), 0.8)] * 5), net)
    assert (ids == SOFT).all() and net.calls == 5
    alone = answers([replace(f, beside=()) for f in volume([np.full((SIDE, SIDE), 0.8)] * 5)], Fickle({2}))
    assert (alone[2, 100:110, 100:110] == FAT).all()  # else the test could not fail


def test_what_one_slice_alone_shows_stays() -> None:
    values = [np.full((SIDE, SIDE), 0.8) for _ in range(5)]
    values[2][50:60, 50:60] = 0.2
    ids = answers(volume(values), Fickle(set()))
    expected = np.stack([np.where(v > 0.5, SOFT, FAT) for v in values])
    np.testing.assert_array_equal(ids, expected)


def test_answers_do_not_depend_on_what_came_before() -> None:
    frames = volume([np.full((SIDE, SIDE), 0.6 + 0.05 * k) for k in range(4)])
    in_order = answers(frames, Fickle(set()))
    engine = VolumeEngine(Fickle(set()), FACTS, EngineOptions(side=SIDE))
    for k in (3, 0, 2, 1):
        np.testing.assert_array_equal(engine.predict(frames[k], MASKS).get(Mask).ids, in_order[k])
