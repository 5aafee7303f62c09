"""A stack of CT or MR slices as one volume in memory, and the frame that shows its surface."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from banana_cli.errors import InputError
from banana_cli.types import (
    F32,
    Band,
    Depth,
    DepthKind,
    Frame,
    Json,
    LayerKind,
    Modality,
    Normals,
    Provenance,
    Unit,
    View,
)

from .elements import hashed
from .geometry import PatientGeometry, Stack
from .levels import otsu
from .pixels import Physical
from .plan import Cell, Plan
from .surface import Surface, ViewGrid, Volume, render
from .windows import sample

MAX_VOXELS = 2**31  # int16 and one blurred copy: 8 GiB at the very most
_REACH_HU = 700.0  # beyond this on either side of the level a voxel says nothing more of the surface
_MOSTLY_CUT = 0.5  # of a surface
_STEPS = 30_000  # an MR volume's range is spread over so many int16 steps

Read = Callable[[Cell], Physical]


def surface_frame(plan: Plan, read: Read, index: int) -> Frame:
    """The view of a volume's first surface; InputError if a slice cannot be read or there is no surface."""
    grid, stack = plan.surface, plan.info.stack
    if grid is None or stack is None:
        raise ValueError("the plan has no surface")
    volume, threshold = load(plan, read, stack, grid.level)
    surface = render(volume, grid, threshold)
    if not surface.hit.any():
        raise InputError(
            f"has no surface: no value reaches {threshold:.4g}",
            subject=plan.info.item.subject,
            remedy="segment its slices instead",
        )
    return Frame(
        pixels=_shaded(surface)[None],
        valid=surface.hit,
        bands=(Band(name="shade", unit="1"),),
        views=(View(band=0, low=0.0, high=1.0),),
        modality=plan.info.modality,
        geometry=PatientGeometry(
            plane=grid.plane, frame_of_reference=hashed(plan.info.references.for_uid), slice_index=index
        ),
        provenance=Provenance(
            source=plan.info.item.stem, index=index, extra=_facts(plan, grid, surface, threshold)
        ),
        measured=(_depth(surface, threshold, plan.unit), Normals(xyz=surface.normals, valid=surface.hit)),
    )


def _facts(plan: Plan, grid: ViewGrid, surface: Surface, threshold: float) -> dict[str, Json]:
    """How the surface was found; a notice where most of it is none of the patient's."""
    cut = float(surface.cut.sum() / surface.hit.sum())
    facts: dict[str, Json] = {
        "layers": [LayerKind.DEPTH.value, LayerKind.NORMALS.value],
        "view": str(plan.info.facts["surface_view"]),
        "surface": str(plan.info.facts["surface_of"]),
        "threshold": round(threshold, 4),
        "threshold_unit": plan.unit,
        "pitch_mm": grid.plane.spacing[0],
        "rows_resampled": grid.rows_resampled,
        "columns_resampled": grid.cols_resampled,
        "resampling": "linear",
        "cut_share": round(cut, 4),
    }
    if cut > _MOSTLY_CUT:
        facts["notice"] = (
            f"{cut:.0%} of what is seen is where the scan ends inside the body: another --view may show more"
        )
    return facts


def _depth(surface: Surface, threshold: float, unit: str) -> Depth:
    return Depth(
        values=surface.depth_mm,
        valid=surface.hit,
        depth_kind=DepthKind.METRIC,
        unit=Unit.MILLIMETRE,
        note=f"from the viewing plane to the first value of {threshold:.4g} {unit}, measured in the volume",
    )


def _shaded(surface: Surface) -> F32:
    """A picture of the surface under a lamp at the viewer, 0..1."""
    return np.where(surface.hit, np.clip(-surface.normals[2], 0.05, 1), 0).astype(np.float32)


def load(plan: Plan, read: Read, stack: Stack, level: float | None) -> tuple[Volume, float]:
    """The volume of a stack, read slice by slice, and the value of its surface: ``level``, else Otsu's."""
    rows, columns = plan.headers[0].rows, plan.headers[0].columns
    if rows * columns * len(stack.order) > MAX_VOXELS:
        raise InputError(
            f"is a volume of {rows} x {columns} x {len(stack.order)} voxels, too large for a surface",
            subject=plan.info.item.subject,
            remedy="segment its slices instead",
        )
    low, high, scale = _span(plan, read, stack, level)
    voxels = np.empty((len(stack.order), rows, columns), np.int16)
    for k, cell in enumerate(stack.order):
        picture = read(plan.cells[cell])
        values = np.where(picture.valid, picture.values[0], np.float32(low))
        voxels[k] = np.rint((np.clip(values, low, high) - low) / scale)
    threshold = otsu(voxels, 0.0) * scale + low if level is None else level
    return Volume(voxels=voxels, stack=stack, scale=scale, offset=low), threshold


def _span(plan: Plan, read: Read, stack: Stack, level: float | None) -> tuple[float, float, float]:
    """Lowest and highest value kept of a volume, and the value of one step between them."""
    if plan.info.modality is Modality.CT and level is not None:
        return level - _REACH_HU, level + _REACH_HU, 1.0
    low, high = _range(plan, read, stack)
    if level is not None:
        low, high = min(low, level), max(high, level)
    return low, high, (high - low) / _STEPS


def _range(plan: Plan, read: Read, stack: Stack) -> tuple[float, float]:
    """Where an MR volume's values lie: the extremes of a sample of all slices, the top robust."""
    chosen = stack.order[:: max(1, len(stack.order) // 32)]
    pictures = (read(plan.cells[k]) for k in chosen)
    values = np.concatenate([sample(p.values[0][p.valid]) for p in pictures])
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    return low, high if high > low else low + 1.0
