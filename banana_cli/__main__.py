"""The process: ``banana``, which is also ``python -m banana_cli``."""

import os
import signal
import sys

INTERRUPTED = 130


def entry() -> None:
    """Run the command line and end the process; Ctrl-C while it starts or ends is no traceback."""
    # Read when OpenMP loads. Its threads else spin while they wait: on a busy machine a frame that takes
    # 0.06 s took 4.4 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
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
