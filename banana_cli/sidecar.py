"""What stands beside every output (``<output>.json``) and at the end of a run (``run.json``).

Keys come in a fixed order, numbers that JSON cannot say (NaN, infinities) become null, and no key
ever holds a folder of the user's disk or a person's identity: inputs are named by file name and size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path, PurePath

import numpy as np

from banana_cli import atomic
from banana_cli.adapter import InputItem, SourceInfo
from banana_cli.types import ClassTable, Geometry, Json, ModelFacts

OUTPUT_SCHEMA = "banana-output-1"
RUN_SCHEMA = "banana-run-1"
MAX_BYTES = 16 << 20  # a sidecar is small; anything larger is not ours and is not parsed


def sidecar_path(output: Path) -> Path:
    """Where the sidecar of an output stands."""
    return output.with_name(output.name + ".json")


def to_json(value: object) -> Json:
    """Any value of ours as JSON: enums by value, paths by name, NumPy scalars and arrays unpacked."""
    if isinstance(value, Enum):
        return to_json(value.value)
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (np.integer, np.bool_, np.ndarray)):
        return to_json(value.tolist())
    return _container_to_json(value)


def _container_to_json(value: object) -> Json:
    if isinstance(value, Mapping):
        return {str(to_json(k)): to_json(v) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return [to_json(v) for v in sorted(value, key=str)]
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    return value.name if isinstance(value, PurePath) else str(value)


def dumps(facts: Mapping[str, object], *, indent: int | None = 2) -> str:
    """JSON text of a sidecar or a line of ``--json``; one that every parser accepts."""
    return json.dumps(to_json(facts), indent=indent, ensure_ascii=False, allow_nan=False)


def read(path: Path) -> dict[str, Json] | None:
    """A JSON object of ours (any schema of banana), or None if the file is something else."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(facts, dict) and str(facts.get("schema", "")).startswith("banana-")
    return facts if ours else None


def write(path: Path, facts: Mapping[str, object], *, overwrite: bool) -> None:
    """Write a sidecar whole. OutputError if it cannot be written."""
    atomic.write_text(path, dumps(facts) + "\n", overwrite=overwrite)


def describe_input(item: InputItem) -> dict[str, Json]:
    """Name, number and bytes of the files of one job; never where they lie."""
    sizes = [p.stat().st_size for p in item.paths if p.is_file()]
    name = item.paths[0].name if len(item.paths) == 1 else item.stem
    return {"name": name, "files": len(item.paths), "bytes": sum(sizes)}


def describe_source(info: SourceInfo) -> dict[str, Json]:
    """The domain's facts as ``banana info`` shows them."""
    return {
        "domain": info.domain.value,
        "modality": info.modality.value,
        "kind": info.kind,
        "rows": info.shape[0],
        "columns": info.shape[1],
        "frames": info.frames,
        "facts": to_json(info.facts),
    }


def describe_geometry(geometry: Geometry | None) -> Json:
    """Geometry of the first frame that gave the layer."""
    return None if geometry is None else to_json(geometry.describe())


def describe_model(model: ModelFacts) -> dict[str, Json]:
    """Which weights answered and how they were run."""
    return {
        "name": model.name,
        "weights_sha256": model.weights_sha256,
        "budget": to_json(model.budget),
        "precision": model.precision,
        "device": model.device,
        "runtime": model.runtime,
        "peels": list(model.peels),
    }


def describe_classes(table: ClassTable, kept: Sequence[str] = ()) -> dict[str, Json]:
    """The class table: id, name, colour, and 255 for no answer; ``kept`` if only some were wanted."""
    rows: list[Json] = [{"id": c.id, "name": c.name, "rgb": list(c.rgb)} for c in table.classes]
    chosen: dict[str, Json] = {"kept": [name for name in table.names if name in kept]} if kept else {}
    return {"table": table.name, "no_class": 255, **chosen, "classes": rows}
