"""The process as a shell starts it."""

from __future__ import annotations

import subprocess
import sys


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
