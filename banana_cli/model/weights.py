"""Weights files: safetensors with the spec and the training facts in the header. Never a pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from banana_cli.classes import TABLES
from banana_cli.errors import WeightsError
from banana_cli.model.blocks import ConvBN
from banana_cli.model.net import BananaNet
from banana_cli.model.quantise import dequantised, quantised
from banana_cli.specs import ModelSpec
from banana_cli.types import Json

FORMAT = "banana-weights-1"
QUANTISED = "banana-weights-q1"
"""Some tensors are integers with scales, see ``quantise``."""
_REMEDY = "run `banana models verify`, or name other weights with --weights"


def _bad(path: Path, message: str) -> WeightsError:
    return WeightsError(message, subject=str(path), remedy=_REMEDY)


def save_model(path: Path, net: BananaNet, training: dict[str, Json]) -> None:
    """Write the network with its spec, its class names, where it counts things and how it was trained."""
    header: dict[str, Json] = {
        "format": FORMAT,
        "spec": net.spec.to_json(),
        "classes": {t.name: list(t.names) for t in TABLES.values()},
        "things": list(net.things),
        "training": training,
    }
    tensors = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    save_file(tensors, str(path), metadata={"banana": json.dumps(header, sort_keys=True)})


def save_quantised(source: Path, target: Path, bits: int) -> None:
    """Write the weights of ``source`` with fewer bits. WeightsError if unreadable or so already."""
    header, tensors = _read(source)
    if header["format"] != FORMAT:
        raise WeightsError(
            "has few bits already", subject=str(source), remedy="name the weights it was made of"
        )
    few: dict[str, Json] = {**header, "format": QUANTISED, "bits": bits}
    metadata = {"banana": json.dumps(few, sort_keys=True)}
    save_file(quantised(tensors, bits), str(target), metadata=metadata)


def load_model(path: Path, *, fuse: bool = True) -> tuple[BananaNet, dict[str, Json]]:
    """Read a network for inference (eval mode, batch norm folded if ``fuse``) and its header.

    WeightsError if the file is missing, no weights of ours, or does not fit this version.
    """
    header, tensors = _read(path)
    net = _build(path, header, tensors)
    if fuse:
        fuse_batch_norm(net)
    return net, header


def _read(path: Path) -> tuple[dict[str, Json], dict[str, Tensor]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            header = _header(path, file.metadata())
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as exc:
        raise _bad(path, f"cannot read weights ({exc})") from exc


def _header(path: Path, metadata: dict[str, str] | None) -> dict[str, Json]:
    try:
        header: dict[str, Json] = json.loads((metadata or {})["banana"])
    except (KeyError, ValueError) as exc:
        raise _bad(path, "holds no banana weights") from exc
    if header.get("format") not in (FORMAT, QUANTISED):
        raise WeightsError(
            f"format {header.get('format')!r} is not {FORMAT}", subject=str(path), remedy=_REMEDY
        )
    if header.get("classes") != {t.name: list(t.names) for t in TABLES.values()}:
        raise _bad(path, "was trained for other classes")
    return header


def _build(path: Path, header: dict[str, Json], tensors: dict[str, Tensor]) -> BananaNet:
    try:
        spec = ModelSpec.from_json(header["spec"])  # type: ignore[arg-type]
        fine = any(name.startswith("fine.") for name in tensors)
        net = BananaNet(spec, things=bool(header.get("things")), fine=fine)  # older files have neither
        if header["format"] == QUANTISED:
            tensors = dequantised(tensors, {name: t.shape for name, t in net.state_dict().items()})
        net.load_state_dict(tensors, strict=True)
    except (LookupError, TypeError, ValueError, RuntimeError) as exc:
        first = str(exc).splitlines()[0]
        raise _bad(path, f"does not fit this version ({first})") from exc
    return net.eval()


def fuse_batch_norm(net: nn.Module) -> None:
    """Fold every ConvBN of a network in eval mode into its convolution, in place."""
    for module in net.modules():
        if isinstance(module, ConvBN) and isinstance(module[1], nn.BatchNorm2d):
            module[0] = fuse_conv_bn_eval(cast(nn.Conv2d, module[0]), module[1])
            module[1] = nn.Identity()
