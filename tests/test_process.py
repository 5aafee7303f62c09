"""The process as a shell starts it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest


def test_waiting_threads_spin_briefly_unless_the_user_says_so() -> None:
    """Long spinning made a frame 70 times slower on a busy machine, none twice as slow on an idle one."""
    script = (
        "import os, sys; sys.argv = ['banana', '--version']; import banana_cli.__main__ as m\n"
        "try: m.entry()\n"
        "except SystemExit: print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    cases: tuple[tuple[dict[str, str], str], ...] = (
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "5"}, "5"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
    )
    for given, expected in cases:
        env = {"PATH": ""} | given
        done = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == expected


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators know no mallopt")
def test_memory_that_was_freed_is_used_again_unless_the_user_says_so() -> None:
    """Maps that went back to the kernel cost a fault for each 4 kB of the next: a quarter of the time."""
    script = (
        "import os, resource; from banana_cli.heap import keep_memory; told = keep_memory(os.environ)\n"
        "def take(): return [bytearray(3 << 20) for _ in range(20)]\n"
        "take(); before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(10): take()\n"
        "print(told, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    for given, kept in (({}, True), ({"MALLOC_TRIM_THRESHOLD_": "131072"}, False)):
        done = subprocess.run(
            [sys.executable, "-c", script], env=given, capture_output=True, text=True, check=True
        )
        told, faults = done.stdout.split()
        assert told == str(kept)
        assert (int(faults) < 2000) == kept
