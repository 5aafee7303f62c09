"""The formats ``dcm`` and ``nii``. The libraries behind them are imported when a file is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from banana_cli.adapter import Sink, SinkJob, SourceInfo
from banana_cli.types import Domain, LayerKind

_MEDICAL = frozenset({Domain.MEDICAL})


@dataclass(frozen=True, slots=True)
class DicomFormat:
    """Segmentation, parametric map or secondary capture, as the layer needs (``SinkFormat``)."""

    name: str = "dcm"
    domains: frozenset[Domain] = _MEDICAL
    layers: frozenset[LayerKind] = frozenset(LayerKind)

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """One DICOM file a layer."""
        return ".dcm"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """UsageError where the input has no place in a patient and the object needs one."""
        if job.layer is LayerKind.MASKS:
            from .seg import SegSink

            yield SegSink(part, job)
        elif job.layer is LayerKind.DEPTH:
            from .pm import PmSink

            yield PmSink(part, job)
        else:
            from .sc import ScSink

            yield ScSink(part, job)


@dataclass(frozen=True, slots=True)
class NiftiFormat:
    """A volume for research tools (``SinkFormat``)."""

    name: str = "nii"
    domains: frozenset[Domain] = _MEDICAL
    layers: frozenset[LayerKind] = frozenset({LayerKind.MASKS, LayerKind.DEPTH})

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """One file a layer, uncompressed, so that it can be mapped into memory."""
        return ".nii"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """UsageError where the input is no evenly spaced stack."""
        from .nii import NiiSink

        yield NiiSink(part, job)


DCM = DicomFormat()
NII = NiftiFormat()
