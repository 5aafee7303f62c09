"""Settings files: ./banana.toml, then the user's banana/config.toml; the command line and BANANA_* win.

Keys are option names. At the top they hold for every verb, in a table ``[segment]`` for that one:

    budget = 0.2
    [depth]
    fov = 90
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from banana_cli.errors import UsageError

LOCAL = "banana.toml"
NEVER = frozenset({"inputs", "dry_run", "output"})
ALIASES = {"json": "as_json", "with": "with_"}


def settings_files(environ: Mapping[str, str], here: Path) -> list[Path]:
    """The files that count, the weaker first."""
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".config")
    return [path for path in (Path(home) / "banana" / "config.toml", here / LOCAL) if path.is_file()]


def load(files: list[Path], verbs: Mapping[str, frozenset[str]]) -> dict[str, dict[str, Any]]:
    """Defaults by verb from all files, for verbs with these parameter names.

    UsageError for a file that is no TOML, and for a key that no verb (or not that verb) knows.
    """
    merged: dict[str, dict[str, Any]] = {verb: {} for verb in verbs}
    for path in files:
        _merge(path, _parse(path), verbs, merged)
    return merged


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"cannot be read ({exc.strerror})", subject=str(path), remedy="check it") from exc
    except ValueError as exc:
        raise UsageError(f"is no TOML ({exc})", subject=str(path), remedy="mend that line") from exc


def _merge(
    path: Path,
    table: Mapping[str, Any],
    verbs: Mapping[str, frozenset[str]],
    merged: dict[str, dict[str, Any]],
) -> None:
    for key, value in table.items():
        if isinstance(value, dict) and key in verbs:
            continue
        name = _parameter(key)
        takers = [verb for verb, names in verbs.items() if name in names and name not in NEVER]
        if not takers:
            raise UsageError(f"no verb has the option {key!r}", subject=str(path), remedy="see banana --help")
        for verb in takers:
            merged[verb][name] = value
    for verb, names in verbs.items():
        for key, value in (table.get(verb) or {}).items():
            if _parameter(key) not in names - NEVER:
                raise UsageError(
                    f"{verb} has no option {key!r}", subject=str(path), remedy=f"see banana {verb} --help"
                )
            merged[verb][_parameter(key)] = value


def _parameter(key: str) -> str:
    name = key.replace("-", "_")
    return ALIASES.get(name, name)
