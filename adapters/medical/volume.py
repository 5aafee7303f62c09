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
from .pixels import Physical
from .plan import Cell, Plan
from .surface import I16, Surface, Volume, render
from .windows import sample

MAX_VOXELS = 2**31  # int16 and one blurred copy: 8 GiB at the very most
SKIN_HU = -300.0
_AIR_HU, _TOP_HU = -1000.0, 400.0  # beyond these a voxel says nothing more of the skin
_STEPS = 30_000  # an MR volume's range is spread over so many int16 steps
_BINS = 256

Read = Callable[[Cell], Physical]


def surface_frame(plan: Plan, read: Read, index: int) -> Frame:
    """The view of a volume's first surface; InputError if a slice cannot be read or there is no surface."""
    grid, stack = plan.surface, plan.info.stack
    if grid is None or stack is None:
        raise ValueError("the plan has no surface")
    volume, threshold = load(plan, read, stack)
    surface = render(volume, grid, threshold)
    if not surface.hit.any():
        raise InputError(
            f"has no surface: no value reaches {threshold:.4g}",
            subject=plan.info.item.subject,
            remedy="segment its slices instead",
        )
    unit = plan.unit
    facts: dict[str, Json] = {
        "layers": [LayerKind.DEPTH.value, LayerKind.NORMALS.value],
        "view": str(plan.info.facts["surface_view"]),
        "threshold": round(threshold, 4),
        "threshold_unit": unit,
        "pitch_mm": grid.plane.spacing[0],
        "rows_resampled": grid.rows_resampled,
        "columns_resampled": grid.cols_resampled,
        "resampling": "linear",
        "cut_share": round(float(surface.cut.sum() / surface.hit.sum()), 4),
    }
    return Frame(
        pixels=_shaded(surface)[None],
        valid=surface.hit,
        bands=(Band(name="shade", unit="1"),),
        views=(View(band=0, low=0.0, high=1.0),),
        modality=plan.info.modality,
        geometry=PatientGeometry(
            plane=grid.plane, frame_of_reference=hashed(plan.info.references.for_uid), slice_index=index
        ),
        provenance=Provenance(source=plan.info.item.stem, index=index, extra=facts),
        measured=(_depth(surface, threshold, unit), Normals(xyz=surface.normals, valid=surface.hit)),
    )


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


def load(plan: Plan, read: Read, stack: Stack) -> tuple[Volume, float]:
    """The volume of a stack, read slice by slice, and the value at which its surface lies."""
    rows, columns = plan.headers[0].rows, plan.headers[0].columns
    if rows * columns * len(stack.order) > MAX_VOXELS:
        raise InputError(
            f"is a volume of {rows} x {columns} x {len(stack.order)} voxels, too large for a surface",
            subject=plan.info.item.subject,
            remedy="segment its slices instead",
        )
    ct = plan.info.modality is Modality.CT
    low, high = (_AIR_HU, _TOP_HU) if ct else _range(plan, read, stack)
    scale = 1.0 if ct else (high - low) / _STEPS
    voxels = np.empty((len(stack.order), rows, columns), np.int16)
    for k, cell in enumerate(stack.order):
        picture = read(plan.cells[cell])
        values = np.where(picture.valid, picture.values[0], np.float32(low))
        voxels[k] = np.rint((np.clip(values, low, high) - (0 if ct else low)) / scale)
    offset = 0.0 if ct else low
    threshold = SKIN_HU if ct else otsu(voxels, 0.0) * scale + offset
    return Volume(voxels=voxels, stack=stack, scale=scale, offset=offset), threshold


def _range(plan: Plan, read: Read, stack: Stack) -> tuple[float, float]:
    """Where an MR volume's values lie: the extremes of a sample of all slices, the top robust."""
    chosen = stack.order[:: max(1, len(stack.order) // 32)]
    pictures = (read(plan.cells[k]) for k in chosen)
    values = np.concatenate([sample(p.values[0][p.valid]) for p in pictures])
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    return low, high if high > low else low + 1.0


def otsu(voxels: I16, zero: float) -> float:
    """The value that parts air from tissue: Otsu's threshold of the square root above ``zero``.

    The root keeps bright fat from pulling the threshold up into the muscles.
    """
    top = float(np.sqrt(max(float(voxels.max()) - zero, 1.0)))
    counts = np.zeros(_BINS)
    for plane in voxels:
        roots = np.sqrt(np.maximum(plane - np.float32(zero), 0))
        counts += np.histogram(roots, bins=_BINS, range=(0.0, top))[0]
    centres = (np.arange(_BINS) + 0.5) * top / _BINS
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    mass = np.cumsum(counts * centres)
    parted = (below > 0) & (above > 0)
    if not parted.any():
        return zero + top**2
    b, a, m = below[parted], above[parted], mass[:-1][parted]
    between = b * a * (m / b - (mass[-1] - m) / a) ** 2
    edges = (centres[1:] + centres[:-1])[parted] / 2
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))  # an empty gap is a plateau: its middle
    return zero + float(edges[best].mean()) ** 2
