"""The process: ``banana``, which is also ``python -m banana_cli``."""

import signal
import sys

INTERRUPTED = 130


def entry() -> None:
    """Run the command line and end the process; Ctrl-C while it starts or ends is no traceback."""
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
