"""DICOM: single pictures, multi-frame files, and folders of series.

Nothing heavy is imported here: pydicom and highdicom come in when a file is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from banana_cli.types import Domain

from .archive import MAGIC, is_study, opened
from .sniff import is_dicom

if TYPE_CHECKING:
    from banana_cli.adapter import InputItem, Source, SourceInfo
    from banana_cli.options import ReadOptions


@dataclass(frozen=True, slots=True)
class MedicalAdapter:
    """The medical domain's reader (``banana_cli.adapter.Adapter``)."""

    name: str = "medical"
    domain: Domain = Domain.MEDICAL
    accepts: frozenset[str] = frozenset({"window", "view", "surface", "skip-localizers", "anonymize"})

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the first bytes are DICOM, with or without a preamble, or those of a zip of DICOM."""
        return is_dicom(head) or (head.startswith(MAGIC) and is_study(path))

    def group(self, paths: Sequence[Path], *, root: Path | None) -> Sequence[InputItem]:
        """Files by series; those of a DICOMDIR or of a zip of a study too."""
        from .group import group

        return group(paths, root=root)

    def inspect(self, item: InputItem, options: ReadOptions) -> SourceInfo:
        """What the headers say; reads no pixels. InputError if they cannot be read."""
        from .plan import plan

        with opened(item) as places:
            return plan(item, options, places).info

    def open(self, item: InputItem, options: ReadOptions) -> AbstractContextManager[Source]:
        """Open for reading frames. InputError if there is no picture in it."""
        from .source import open_source

        return open_source(item, options)


MEDICAL = MedicalAdapter()
