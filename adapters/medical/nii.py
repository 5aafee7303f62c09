"""Masks and depth as NIfTI: (x, y, z) arrays, equal sform and qform, RAS mm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from banana_cli.adapter import SinkJob
from banana_cli.errors import OutputError, UsageError
from banana_cli.types import F64, NO_CLASS, Depth, Frame, Json, LayerKind, Mask, Prediction

from .derived import medical_info, surface_facts, thickness_mm, writing
from .geometry import PatientGeometry, Plane, Stack, stack_of

_SCANNER = 1  # NIfTI's code for "coordinates of the scanner"
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SHEAR_DEG = 0.05


class NiiSink:
    """Collects the slices; writes one volume at the end (``banana_cli.adapter.Sink``)."""

    def __init__(self, part: Path, job: SinkJob) -> None:
        self.part, self.job = part, job
        self.info = medical_info(job)
        stack = self.info.stack
        if stack is None or stack.uneven:
            why = "its slices are unevenly spaced" if stack else "its pictures have no place in a patient"
            raise UsageError(
                f"cannot be written as NIfTI: {why}",
                subject=self.info.item.subject,
                remedy="choose --format dcm or npy",
            )
        self.slices: list[tuple[Plane, NDArray[np.generic]]] = []
        self.facts: dict[str, Json] = {}

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
        with writing(self.info.item.subject):
            self._save(stack)
        return {**self.facts, "slices": len(stack.planes), "axes": "RAS mm, sform and qform alike"}

    def _stack(self) -> Stack:
        """The planes of what came; the slices' own stack for masks, so that a lost slice leaves its place."""
        if self.job.layer is LayerKind.MASKS and self.info.stack is not None:
            return self.info.stack
        stack = stack_of([plane for plane, _ in self.slices]) if self.slices else None
        if stack is None or stack.uneven:
            raise OutputError(
                "what was answered is no volume", subject=self.info.item.subject, remedy="choose --format npy"
            )
        return stack

    def _save(self, stack: Stack) -> None:
        import nibabel

        places = {plane.position: k for k, plane in enumerate(stack.planes)}
        shape = self.slices[0][1].shape if self.slices else self.info.matrix
        masks = self.job.layer is LayerKind.MASKS
        voxels = np.full(
            (shape[1], shape[0], len(places)),
            NO_CLASS if masks else np.nan,
            np.uint8 if masks else np.float32,
        )
        for plane, values in self.slices:
            voxels[:, :, places[plane.position]] = values.T
        affine: F64 = _TO_RAS @ stack.affine()
        if len(self.info.planes) == 1:  # a lone slice is as thick as it says, not 1 mm
            affine[:3, 2] *= thickness_mm(self.info)
        image = nibabel.Nifti1Image(voxels, affine)
        image.header.set_xyzt_units("mm")
        image.set_sform(affine, code=_SCANNER)
        sheared = stack.tilt_deg > _SHEAR_DEG
        image.set_qform(None if sheared else affine, code=0 if sheared else _SCANNER)
        self.part.write_bytes(image.to_bytes())
