"""Sizes of the network: presets are values in one dict."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from banana_cli.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One size of the network.

    ``width`` channels a token, ``depth`` blocks, ``stem`` channels at strides 2, 4 and 8,
    ``embed`` channels of the pixel embedding, ``chunk`` tokens that attend to each other,
    ``routed`` chunks that a chunk may look up, ``side_px`` the picture's working long side,
    ``budget`` the shipped share of dense tokens.
    """

    name: str
    width: int
    depth: int
    head_width: int = 32
    kv_heads: int = 2
    mlp_ratio: int = 3
    stem: tuple[int, int, int] = (24, 48, 96)
    embed: int = 48
    registers: int = 8
    chunk: int = 64
    routed: int = 4
    side_px: int = 512
    budget: float = 0.27

    @property
    def heads(self) -> int:
        """Query heads."""
        return self.width // self.head_width

    def to_json(self) -> dict[str, Json]:
        """For a weights file's header."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, facts: dict[str, Json]) -> ModelSpec:
        """Inverse of ``to_json``; TypeError or KeyError if a field is missing or unknown."""
        known = {f.name for f in fields(cls)}
        if set(facts) != known:
            raise TypeError(f"spec fields {sorted(set(facts) ^ known)} do not match this version")
        values: dict[str, object] = dict(facts)
        values["stem"] = tuple(facts["stem"])  # type: ignore[arg-type]
        return cls(**values)  # type: ignore[arg-type]


SPECS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(name="pico", width=128, depth=6),
        ModelSpec(name="nano", width=192, depth=8),
        ModelSpec(name="small", width=256, depth=12),
        ModelSpec(name="base", width=320, depth=16, stem=(32, 64, 128)),
        ModelSpec(name="large", width=384, depth=22, stem=(32, 64, 128)),
        ModelSpec(name="giant", width=2048, depth=48, kv_heads=8, stem=(64, 128, 256)),
    )
}
DEFAULT_SPEC = "nano"
