"""How the process holds on to memory that it will need again: the settings of the allocator of glibc."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from typing import Final

_MB: Final = 1 << 20
# Numbers of mallopt(3). Maps of a frame come and go; a heap that returns them to the kernel pays a page fault
# for each 4 kB of the next ones: a quarter of a clip's time. Larger blocks are the kernel's own still.
_SETTINGS: Final = {-1: 128 * _MB, -2: 16 * _MB, -3: 32 * _MB}  # trim threshold, top pad, mmap threshold


def keep_memory(environ: Mapping[str, str]) -> bool:
    """Keep up to 128 MB of freed memory for what comes; whether that was done.

    Not done where the allocator is another, or where the user has told it how to behave.
    """
    told = any(name.startswith("MALLOC_") for name in environ) or "GLIBC_TUNABLES" in environ
    if told or sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all(mallopt(number, value) == 1 for number, value in _SETTINGS.items())
