"""Tell DICOM by its first bytes."""

from __future__ import annotations

import re
import struct

_PREAMBLE = 128
_FIRST_GROUPS = (0x0002, 0x0008)
_MAX_FIRST_LENGTH = 1024  # bytes; the first elements of groups 2 and 8 are short
_VR = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW "
    b"PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_PLAIN = re.compile(rb"[\x20-\x7e]*\x00*\Z")


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is a DICOM file, or a data set without a preamble."""
    if head[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return True
    return _bare_data_set(head, "<") or _bare_data_set(head, ">")


def _bare_data_set(head: bytes, order: str) -> bool:
    if len(head) < 16:
        return False
    group, element = struct.unpack(order + "HH", head[:4])
    if group not in _FIRST_GROUPS or element > 0x0100:
        return False
    if head[4:6] in _VR:
        return bool(struct.unpack(order + "H", head[6:8])[0] <= _MAX_FIRST_LENGTH)
    length = struct.unpack(order + "I", head[4:8])[0]
    if length % 2 or length > _MAX_FIRST_LENGTH:
        return False
    return length == 4 and element == 0 or _PLAIN.match(head[8 : 8 + length]) is not None
