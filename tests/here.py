"""The installed command line in this process, with real readers, formats and weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

from banana_cli.cli.main import main
from banana_cli.cli.world import EngineOptions, load_engine, real_world
from banana_cli.pipeline import Predictor


@dataclass
class Here:
    """The command line in this process; the model is loaded once."""

    loader: Callable[[EngineOptions], Predictor] = load_engine
    engines: dict[EngineOptions, Predictor] = field(default_factory=dict)

    def load(self, options: EngineOptions) -> Predictor:
        """As the loader, remembered."""
        if options not in self.engines:
            self.engines[options] = self.loader(options)
        return self.engines[options]

    def __call__(self, *words: object) -> list[dict[str, Any]]:
        """Run a command that must succeed; its lines of JSON."""
        out, err = TextIOWrapper(BytesIO(), encoding="utf-8"), StringIO()
        world = replace(real_world(), load_engine=self.load, stdout=out, stderr=err)
        assert main([str(word) for word in words], world) == 0, err.getvalue()
        out.flush()
        text = out.buffer.getvalue().decode()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
