"""Depth as a DICOM parametric map: float32, real-world values in mm, placed in the patient."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from banana_cli.adapter import SinkJob
from banana_cli.errors import OutputError
from banana_cli.types import F32, Depth, DepthKind, Frame, Json, Prediction, Unit

from .derived import (
    Origin,
    made_by,
    medical_info,
    origin,
    pixel_measures,
    plane_orientation,
    plane_position,
    save,
    signed,
    surface_facts,
    thickness_mm,
    writing,
)
from .geometry import PatientGeometry, Plane

_SERIES = 901
_UNITS = {
    Unit.MILLIMETRE: Code("mm", "UCUM", "mm"),
    Unit.METRE: Code("m", "UCUM", "m"),
    Unit.ONE: Code("1", "UCUM", "no units"),
}


class PmSink:
    """Collects depth of all pictures, or of a volume's surface (``banana_cli.adapter.Sink``)."""

    def __init__(self, part: Path, job: SinkJob) -> None:
        self.part, self.job = part, job
        self.info = medical_info(job)
        self.origin: Origin = origin(self.info)
        self.maps: list[tuple[Plane, F32, Depth]] = []
        self.facts: dict[str, Json] = {}

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Keep one picture's depth."""
        depth = prediction.of(self.job.layer)
        if isinstance(depth, Depth) and isinstance(frame.geometry, PatientGeometry) and frame.geometry.plane:
            self.maps.append((frame.geometry.plane, depth.values, depth))
            self.facts |= surface_facts(frame)

    def finish(self) -> dict[str, Json]:
        """Write the object."""
        if not self.maps:
            raise OutputError(
                "there is no depth to write", subject=self.info.item.subject, remedy="see the messages above"
            )
        with writing(self.info.item.subject):
            save(self._object(), self.part, self.info)
        depth = self.maps[0][2]
        return {
            "encoding": "DICOM parametric map, float32, NaN = no value",
            "kind": depth.depth_kind.value,
            "unit": depth.unit.value,
            "definition": depth.note,
            "frames": len(self.maps),
            **self.facts,
        }

    def _object(self) -> hd.pm.ParametricMap:
        values = np.stack([v for _, v, _ in self.maps])
        first = self.maps[0][0]
        low, high = _range(values)
        pm = hd.pm.ParametricMap(
            source_images=self.origin.images,
            pixel_array=values,
            contains_recognizable_visual_features=bool(self.facts),  # of a surface: it may be a face
            real_world_value_mappings=[self._mapping(low, high)],
            window_center=(low + high) / 2,
            window_width=max(high - low, 1e-3),
            content_description="Depth by banana",
            content_label="DEPTH",
            pixel_measures=pixel_measures(first, thickness_mm(self.info)),
            plane_orientation=plane_orientation(first),
            plane_positions=[plane_position(p) for p, _, _ in self.maps],
            **signed(self.job, _SERIES),
        )
        pm.DerivationDescription = f"Depth by {made_by(self.job)}"
        return pm

    def _mapping(self, low: float, high: float) -> hd.pm.RealWorldValueMapping:
        depth = self.maps[0][2]
        metric = depth.depth_kind is DepthKind.METRIC
        return hd.pm.RealWorldValueMapping(
            lut_label="DEPTH",
            lut_explanation="Depth" if metric else "Relative depth",
            unit=_UNITS[depth.unit],
            value_range=(low, high),
            slope=1.0,
            intercept=0.0,
            quantity_definition=codes.SCT.Depth,
        )


def _range(values: F32) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
