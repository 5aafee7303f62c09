"""``python -m banana_cli`` is ``banana``."""

from banana_cli.cli.main import entry

entry()
