"""The model as a file for others: an ONNX graph, or weights with fewer bits. What ``banana export`` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from banana_cli import __version__
from banana_cli.atomic import Staged, bytes_of, writing
from banana_cli.errors import UsageError
from banana_cli.model.graph import Size, export_answers, outputs_of, require_extra
from banana_cli.model.weights import load_model, save_quantised
from banana_cli.options import ExportFormat
from banana_cli.types import Json, Modality
from banana_cli.weights_index import sha256_of

_BITS = {ExportFormat.INT8: 8, ExportFormat.INT4: 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What is written where. ``size`` (rows, columns), ``budget`` (None: the weights' own) and ``modality``
    are those of an ONNX graph, which is made for one of each."""

    weights: Path
    target: Path
    format: ExportFormat
    size: tuple[int, int]
    budget: float | None = None
    modality: Modality = Modality.STREET
    overwrite: bool = False


def export(options: ExportOptions) -> dict[str, Json]:
    """Write the file, whole or not at all; its facts. UsageError, WeightsError or OutputError."""
    facts: dict[str, Json] = {"path": str(options.target), "format": options.format.value}
    with Staged(options.target, overwrite=options.overwrite) as staged:
        if options.format is ExportFormat.ONNX:
            facts |= _graph(options, staged.part)
        else:
            with writing(options.target):
                save_quantised(options.weights, staged.part, _BITS[options.format])
        staged.commit()
    return facts | {"bytes": bytes_of(options.target)}


def _graph(options: ExportOptions, part: Path) -> dict[str, Json]:
    require_extra("--format onnx")
    rows, cols = options.size
    if rows < 32 or cols < 32 or rows % 32 or cols % 32:
        raise UsageError(
            "is no multiple of 32", subject=f"--size {rows}x{cols}", remedy="try --size 288x512 or 512x512"
        )
    net, _ = load_model(options.weights)
    budget = net.spec.budget if options.budget is None else options.budget
    about: dict[str, Json] = {
        "software": f"banana {__version__}",
        "name": f"banana-{net.spec.name}",
        "weights_sha256": sha256_of(options.weights),
    }
    graph = export_answers(net, Size(rows, cols), budget, options.modality, about)
    with writing(options.target):
        part.write_bytes(graph)
    outputs: list[Json] = list(outputs_of(options.modality))
    return {"size": [rows, cols], "budget": budget, "modality": options.modality.value, "outputs": outputs}
