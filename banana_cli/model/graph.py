"""The network as an ONNX graph: one static graph a size and budget. Needs the extra ``onnx``.

Counts of tokens follow from size and budget, so a graph holds no data-dependent shape; batches are of one.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

import torch
from torch import Tensor, nn

from banana_cli.classes import TABLE_OF, possible_ids
from banana_cli.errors import UsageError
from banana_cli.model.codes import GUESS_PX, depth_from_code
from banana_cli.model.net import MODALITIES, BananaNet, Head, NetInput
from banana_cli.types import Json, Modality

NEEDS: Final = ("onnx", "onnxscript", "onnxruntime")
INPUTS: Final = ("image", "valid", "rays", "modality", "log_pitch")
FEATURES: Final = ("f4", "registers", "score", "own_row")


@dataclass(frozen=True, slots=True)
class Size:
    """Rows and columns of a network picture, multiples of 32."""

    rows: int
    cols: int


def require_extra(subject: str) -> None:
    """UsageError if a library of the extra ``onnx`` is missing."""
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"needs {' and '.join(missing)}", subject=subject, remedy="pip install 'banana-vision[onnx]'"
        )


class Inside(nn.Module):
    """Everything before the queries, for any modality: what a second runtime computes."""

    def __init__(self, net: BananaNet, budget: float) -> None:
        super().__init__()
        self.net, self.budget = net, budget

    def forward(
        self, image: Tensor, valid: Tensor, rays: Tensor, modality: Tensor, log_pitch: Tensor
    ) -> tuple[Tensor, ...]:
        """The tensors of ``Features`` in the order of FEATURES."""
        inp = NetInput(image=image, valid=valid, rays=rays, modality=modality, log_pitch=log_pitch)
        features = self.net.features(inp, self.budget)
        if features.own_row is None:
            raise ValueError("the network does not tell where its tokens are")
        return features.f4, features.registers, features.score, features.own_row


class Answers(nn.Module):
    """Pictures of one modality in, what they show out: what is handed to other programs."""

    never: Tensor

    def __init__(self, net: BananaNet, budget: float, modality: Modality) -> None:
        super().__init__()
        self.net, self.budget, self.modality = net, budget, modality
        never = torch.ones(len(TABLE_OF[modality]), dtype=torch.bool)
        never[list(possible_ids(modality))] = False
        self.register_buffer("never", never[:, None, None])

    def forward(self, image: Tensor, valid: Tensor, rays: Tensor, log_pitch: Tensor) -> tuple[Tensor, ...]:
        """(logits,), or with depth and unit normals, and for streets the focal length that depth is for."""
        which = torch.full((1,), MODALITIES.index(self.modality), dtype=torch.int64)
        inp = NetInput(image=image, valid=valid, rays=rays, modality=which, log_pitch=log_pitch)
        wanted = {Head.LOGITS, Head.DEPTH, Head.NORMALS} if _has_depth(self.modality) else {Head.LOGITS}
        out = self.net.read(self.net.features(inp, self.budget), self.modality, frozenset(wanted))
        if out.logits is None:
            raise ValueError("logits were asked for")
        logits = out.logits.masked_fill(self.never, -torch.inf)
        if out.depth_code is None or out.normals is None:
            return (logits,)
        normals = nn.functional.normalize(out.normals, dim=1)
        if self.modality is not Modality.STREET:
            return logits, depth_from_code(out.depth_code, self.modality), normals
        focal = out.log_focal.clamp(-2, 3).exp() * GUESS_PX
        return logits, depth_from_code(out.depth_code, self.modality, focal), normals, focal


def _has_depth(modality: Modality) -> bool:
    return modality is not Modality.ULTRASOUND


def outputs_of(modality: Modality) -> tuple[str, ...]:
    """Names of what ``Answers`` gives."""
    if not _has_depth(modality):
        return ("logits",)
    more = ("focal_px",) if modality is Modality.STREET else ()
    return ("logits", "depth", "normals", *more)


def export_inside(net: BananaNet, size: Size, budget: float) -> bytes:
    """The graph of ``Inside``, serialised."""
    return _export(Inside(net, budget), _blank(size), INPUTS, FEATURES, {})


def export_answers(
    net: BananaNet, size: Size, budget: float, modality: Modality, facts: Mapping[str, Json]
) -> bytes:
    """The graph of ``Answers``, serialised, with what its numbers mean in its metadata."""
    image, valid, rays, _, log_pitch = _blank(size)
    names = tuple(name for name in INPUTS if name != "modality")
    about = {**facts, "modality": modality.value, "budget": budget, "meaning": dict(_MEANING)}
    about["classes"] = list(TABLE_OF[modality].names)
    graph = Answers(net, budget, modality)
    return _export(graph, (image, valid, rays, log_pitch), names, outputs_of(modality), about)


_MEANING: Final[dict[str, Json]] = {
    "image": "RGB in [0, 1] of the picture scaled down and padded with 0 below and to the right",
    "valid": "1 where there are data, 0 on padding",
    "rays": "((x - cx) / f, (y - cy) / f) of a known pinhole camera, else 0",
    "log_pitch": "log of m (streets, scenes) or mm (scans) a pixel, NaN if unknown",
    "logits": "one plane a class; the largest wins",
    "depth": "m (streets, scenes) or mm (scans), [0, 1] for X-rays; none where the class is sky",
    "focal_px": "depth is for this focal length: times f / focal_px for a known f in pixels of the input",
    "normals": "unit vectors: x right, y down, z away from the viewer",
    "use": "for research; not a medical device",
}


def _blank(size: Size) -> tuple[Tensor, ...]:
    """Inputs of the right shapes, in the order of INPUTS."""
    rows, cols = size.rows, size.cols
    return (
        torch.rand(1, 3, rows, cols, generator=torch.Generator().manual_seed(0)),
        torch.ones(1, 1, rows, cols),
        torch.zeros(1, 2, rows, cols),
        torch.zeros(1, dtype=torch.int64),
        torch.full((1,), torch.nan),
    )


def _export(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    names: tuple[str, ...],
    outputs: tuple[str, ...],
    about: Mapping[str, Json],
) -> bytes:
    module = module.eval().requires_grad_(False)
    # In a mode for gradients attention is one plain product, as a graph needs it.
    with _quiet(), torch.inference_mode(False), torch.enable_grad():
        module(*inputs)  # orders of cells are made and kept outside the trace
        traced = torch.export.export(module, inputs, strict=False)
        program = torch.onnx.export(
            traced,
            (),
            input_names=names,
            output_names=outputs,
            dynamo=True,
            optimize=False,  # the runtime does the same when it loads the graph, in a tenth of the time
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ValueError("the exporter gave nothing")
    program.model.metadata_props["banana"] = json.dumps(dict(about), sort_keys=True)
    graph: bytes = program.model_proto.SerializeToString()
    return graph


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of torchvision, of its own age and of each of its steps."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
