"""The formats ``dcm``, ``labelmap``, ``sc`` and ``nii``.

The libraries behind them are imported when a file is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from banana_cli.adapter import Sink, SinkJob, SourceInfo
from banana_cli.errors import UsageError
from banana_cli.types import Domain, LayerKind

_MEDICAL = frozenset({Domain.MEDICAL})


def placeless(info: SourceInfo) -> UsageError:
    """What to say of pictures that lie nowhere in a patient."""
    return UsageError(
        "the pictures have no place in a patient (position, orientation, spacing), which this format needs",
        subject=info.item.subject,
        remedy="choose --format png, sc or npy",
    )


def _refuse_placeless(info: SourceInfo) -> None:
    if getattr(info, "stack", None) is None:  # a MedicalInfo, whose module is too heavy to import here
        raise placeless(info)


@dataclass(frozen=True, slots=True)
class DicomFormat:
    """Segmentation, parametric map or secondary capture, as the layer needs (``SinkFormat``)."""

    name: str = "dcm"
    domains: frozenset[Domain] = _MEDICAL
    layers: frozenset[LayerKind] = frozenset(LayerKind)

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """One DICOM file a layer. UsageError where it needs a place in a patient that the input lacks."""
        if layer is not LayerKind.NORMALS:
            _refuse_placeless(info)
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
class LabelMapFormat:
    """Masks as one picture a slice instead of one a slice and segment: small, but newer (``SinkFormat``)."""

    name: str = "labelmap"
    domains: frozenset[Domain] = _MEDICAL
    layers: frozenset[LayerKind] = frozenset({LayerKind.MASKS})

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """Beside the binary one. UsageError where the input has no place in a patient."""
        _refuse_placeless(info)
        return ".labelmap.dcm"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """UsageError where the input has no place in a patient."""
        from .seg import SegSink

        yield SegSink(part, job, labelmap=True)


@dataclass(frozen=True, slots=True)
class CaptureFormat:
    """Pictures for any viewer: masks over the scan, painted depth, normals (``SinkFormat``)."""

    name: str = "sc"
    domains: frozenset[Domain] = _MEDICAL
    layers: frozenset[LayerKind] = frozenset(LayerKind)

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """Beside the one that holds values."""
        return ".sc.dcm"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """Any input can be captured."""
        from .sc import ScSink

        yield ScSink(part, job)


@dataclass(frozen=True, slots=True)
class NiftiFormat:
    """A volume for research tools (``SinkFormat``)."""

    name: str = "nii"
    domains: frozenset[Domain] = _MEDICAL
    layers: frozenset[LayerKind] = frozenset({LayerKind.MASKS, LayerKind.DEPTH})

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """One file a layer, uncompressed, so that it can be mapped into memory. UsageError as above."""
        _refuse_placeless(info)
        return ".nii"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """UsageError where the input is no evenly spaced stack."""
        from .nii import NiiSink

        yield NiiSink(part, job)


DCM = DicomFormat()
NII = NiftiFormat()
LABELMAP = LabelMapFormat()
SC = CaptureFormat()
