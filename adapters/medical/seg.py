"""Masks as a DICOM segmentation, binary or a label map: coded segments in the source's own space."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.sr.coding import Code

from banana_cli.adapter import SinkJob
from banana_cli.classes import possible_ids
from banana_cli.types import U8, ClassInfo, Frame, Json, Mask, Prediction

from .derived import Origin, algorithm, medical_info, origin, save, signed, writing

_SERIES = 900  # above what scanners number their series
_Kind = hd.seg.SegmentationTypeValues


class SegSink:
    """Collects the masks of all pictures; writes one object at the end (``banana_cli.adapter.Sink``)."""

    def __init__(self, part: Path, job: SinkJob, *, labelmap: bool = False) -> None:
        self.part, self.job = part, job
        self.kind = _Kind.LABELMAP if labelmap else _Kind.BINARY
        self.info = medical_info(job)
        self.origin: Origin = origin(self.info)
        wanted = set(possible_ids(self.info.modality))
        self.classes = [c for c in job.table.classes if c.snomed is not None and c.id in wanted]
        self.numbers = np.zeros(256, np.uint8)
        for number, info in enumerate(self.classes, start=1):
            self.numbers[info.id] = number
        self.labels: U8 = np.zeros((len(self.info.planes), *self.info.matrix), np.uint8)

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Keep one picture's mask."""
        mask = prediction.of(self.job.layer)
        if isinstance(mask, Mask):
            self.labels[frame.provenance.index] = self.numbers[mask.ids]

    def finish(self) -> dict[str, Json]:
        """Write the object."""
        with writing(self.info.item.subject):
            segmentation = hd.seg.Segmentation(
                source_images=self.origin.images,
                pixel_array=self.labels,
                segmentation_type=self.kind,
                segment_descriptions=[self._segment(k, c) for k, c in enumerate(self.classes, start=1)],
                content_description="Masks by banana",
                content_label="MASKS",
                omit_empty_frames=bool(self.labels.any()),
                **signed(self.job, _SERIES),
            )
            save(segmentation, self.part, self.info)
        return {
            "encoding": f"DICOM SEG, {self.kind.value.lower()}",
            "kind": "classes",
            "segments": {str(k): c.name for k, c in enumerate(self.classes, start=1)},
            "frames": int(segmentation.NumberOfFrames),
        }

    def _segment(self, number: int, info: ClassInfo) -> hd.seg.SegmentDescription:
        category, kind = info.snomed or (("", ""), ("", ""))
        return hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=info.name,
            segmented_property_category=Code(category[0], "SCT", category[1]),
            segmented_property_type=Code(kind[0], "SCT", kind[1]),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm(self.job),
            display_color=hd.color.CIELabColor.from_rgb(*info.rgb),
        )
