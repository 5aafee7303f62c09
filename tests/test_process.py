"""The process as a shell starts it."""

from __future__ import annotations

import subprocess
import sys


def test_waiting_threads_do_not_spin_unless_the_user_says_so() -> None:
    """Spinning threads made a frame seventy times slower on a machine that was busy."""
    script = (
        "import os, sys; sys.argv = ['banana', '--version']; import banana_cli.__main__ as m\n"
        "try: m.entry()\n"
        "except SystemExit: print(os.environ['OMP_WAIT_POLICY'])"
    )
    for given, expected in ((None, "passive"), ("active", "active")):
        env = {"PATH": ""} | ({"OMP_WAIT_POLICY": given} if given else {})
        done = subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == expected
