"""What the network has to be asked for the layers that are wanted."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from banana_cli.model.net import Head
from banana_cli.types import Frame, Layer, LayerKind, Modality

_HEADS: Final = {
    LayerKind.MASKS: Head.LOGITS,
    LayerKind.DEPTH: Head.DEPTH,
    LayerKind.NORMALS: Head.NORMALS,
}
_WITH_GAPS: Final = (Modality.STREET, Modality.CT, Modality.MR)
"""Pictures in which some classes have no depth: the sky, and what surrounds a body."""


@runtime_checkable
class Counting(Protocol):
    """A network that may know countable things."""

    def counts(self, modality: Modality, heads: frozenset[Head]) -> bool:
        """Whether ``read`` gives them."""


def asked(frame: Frame, kinds: frozenset[LayerKind]) -> tuple[tuple[Layer, ...], frozenset[LayerKind]]:
    """The layers that the frame brings along, and the kinds that the network has to answer."""
    given = tuple(layer for layer in frame.measured if layer.kind in kinds)
    wanted = kinds - {layer.kind for layer in given}
    return given, wanted & {LayerKind.MASKS} if frame.modality is Modality.ULTRASOUND else wanted


def heads_of(modality: Modality, wanted: frozenset[LayerKind]) -> frozenset[Head]:
    """The heads of the wanted layers, and classes where they say what has no depth."""
    heads = {_HEADS[kind] for kind in wanted}
    if modality in _WITH_GAPS:
        heads.add(Head.LOGITS)
    return frozenset(heads)


def with_things(heads: frozenset[Head], modality: Modality, net: object) -> frozenset[Head]:
    """The same, and things where there are classes to count in and the network knows how."""
    things = frozenset({Head.THINGS})
    counts = Head.LOGITS in heads and isinstance(net, Counting) and net.counts(modality, things)
    return heads | things if counts else heads
