"""The process: ``banana``, which is also ``python -m banana_cli``."""

import os
import signal
import sys

from banana_cli.heap import keep_memory

INTERRUPTED = 130


def _wait_briefly() -> None:
    # Read when OpenMP loads. Threads that spin for long make a frame of 0.06 s take 4.4 s on a busy machine;
    # threads that sleep at once make it take twice as long on an idle one.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def entry() -> None:
    """Run the command line and end the process; Ctrl-C while it starts or ends is no traceback."""
    _wait_briefly()
    keep_memory(os.environ)
    try:
        from banana_cli.cli.main import main  # slow: most of the start is spent here

        status = main()
    except KeyboardInterrupt:
        sys.stderr.write("banana: interrupted\n")
        status = INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # from here on the interpreter only tidies up
    sys.exit(status)


if __name__ == "__main__":
    entry()
