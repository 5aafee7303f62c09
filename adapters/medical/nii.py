"""Masks and depth as NIfTI: (x, y, z) arrays, equal sform and qform, RAS mm.

Neither a tilted gantry nor uneven gaps fit a quaternion: such slices are set into an even, right-angled
grid, each moved by less than half a voxel and none interpolated; places between them have no answer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from banana_cli.adapter import SinkJob
from banana_cli.errors import OutputError, UsageError
from banana_cli.types import F64, NO_CLASS, Depth, Frame, Json, LayerKind, Mask, Prediction

from .derived import made_by, medical_info, surface_facts, thickness_mm, writing
from .geometry import PatientGeometry, Plane, Stack, stack_of
from .lattice import Lattice, lattice
from .sinks import placeless

_SCANNER = 1  # NIfTI's code for "coordinates of the scanner"
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_DESCRIPTION = 79  # bytes of the header's field, less its end


class NiiSink:
    """Collects the slices; writes one volume at the end (``banana_cli.adapter.Sink``)."""

    def __init__(self, part: Path, job: SinkJob) -> None:
        self.part, self.job = part, job
        self.info = medical_info(job)
        if self.info.stack is None:
            raise placeless(self.info)
        if self._lattice(self.info.stack, self.info.matrix).spacious(self.info.matrix):
            message = "cannot be written as NIfTI: its slices are spaced too unevenly"
            raise UsageError(message, subject=self.info.item.subject, remedy="choose --format dcm or npy")
        self.slices: list[tuple[Plane, NDArray[np.generic]]] = []
        self.facts: dict[str, Json] = {}

    def _lattice(self, stack: Stack, matrix: tuple[int, int]) -> Lattice:
        return lattice(stack, matrix, thickness_mm(self.info))

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Keep one slice's layer."""
        layer = prediction.of(self.job.layer)
        if not isinstance(frame.geometry, PatientGeometry) or frame.geometry.plane is None:
            return
        if isinstance(layer, Mask):
            self.slices.append((frame.geometry.plane, layer.ids))
            self.facts = {"encoding": "NIfTI, uint8 class ids", "kind": "classes", "no_answer": NO_CLASS}
        elif isinstance(layer, Depth):
            self.slices.append((frame.geometry.plane, layer.values))
            self.facts = {
                "encoding": "NIfTI, float32, NaN = no value",
                "kind": layer.depth_kind.value,
                "unit": layer.unit.value,
                "definition": layer.note,
                **surface_facts(frame),
            }

    def finish(self) -> dict[str, Json]:
        """Write the volume."""
        stack = self._stack()
        matrix = self.slices[0][1].shape if self.slices else self.info.matrix
        grid = self._lattice(stack, (matrix[0], matrix[1]))
        with writing(self.info.item.subject):
            self._save(stack, grid)
        return {
            **self.facts,
            "slices": len(stack.planes),
            "axes": "RAS mm, sform and qform alike",
            "grid": {
                "shape": list(grid.shape[::-1]),
                "slices_moved_mm": round(grid.moved_mm, 4),
                "empty_places": grid.shape[0] - len(stack.planes),
            },
        }

    def _stack(self) -> Stack:
        """The planes of what came; the slices' own stack for masks, so that a lost slice leaves its place."""
        if self.job.layer is LayerKind.MASKS and self.info.stack is not None:
            return self.info.stack
        stack = stack_of([plane for plane, _ in self.slices]) if self.slices else None
        if stack is None:
            raise OutputError(
                "what was answered is no volume", subject=self.info.item.subject, remedy="choose --format npy"
            )
        return stack

    def _save(self, stack: Stack, grid: Lattice) -> None:
        import nibabel

        places = {plane.position: place for plane, place in zip(stack.planes, grid.places, strict=True)}
        masks = self.job.layer is LayerKind.MASKS
        fill, kind = (NO_CLASS, np.uint8) if masks else (np.nan, np.float32)
        voxels = np.full(grid.shape, fill, kind)
        for plane, values in self.slices:
            k, row, col = places[plane.position]
            voxels[k, row : row + values.shape[0], col : col + values.shape[1]] = values
        affine: F64 = _TO_RAS @ grid.affine
        image = nibabel.Nifti1Image(voxels.T, affine)
        image.header.set_xyzt_units("mm")
        image.set_sform(affine, code=_SCANNER)
        image.set_qform(affine, code=_SCANNER)
        image.header["descrip"] = made_by(self.job).encode("ascii", "replace")[:_DESCRIPTION]
        self.part.write_bytes(image.to_bytes())
