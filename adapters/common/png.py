"""PNG: masks with their palette, depth in 16 bits, normals in colours; decodable from the picture alone.

Each picture holds one text chunk ``banana`` with the facts of its code (``banana_cli.codec``) as JSON.
One picture is one file; frames of a clip or a series are a folder of files numbered as in the source.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from banana_cli import codec
from banana_cli.adapter import Sink, SinkJob, SourceInfo, Stored
from banana_cli.errors import InputError
from banana_cli.types import NO_CLASS, U8, Depth, Domain, Frame, Json, Layer, LayerKind, Mask, Prediction

from .canvas import Canvas, is_many, is_scene, refuse_large, single_place

if TYPE_CHECKING:
    from PIL import Image

TEXT_KEY: Final = "banana"
_LEVEL: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """A picture's numbers (H, W) or (H, W, 3), its facts, and its palette if it has one."""

    pixels: NDArray[Any]
    facts: dict[str, Json]
    palette: U8 | None = None

    @property
    def nothing(self) -> int:
        """The number of a pixel without an answer."""
        return 0 if self.palette is None else NO_CLASS


def encode(layer: Layer, *, colours: bool = False) -> Encoded:
    """A layer as a picture; ``colours`` puts depth on the invertible colour path instead of 16 bits."""
    if isinstance(layer, Mask):
        ids, palette = codec.encode_mask_u8(layer)
        return Encoded(pixels=ids, facts=codec.mask_facts(layer.table), palette=palette)
    if not isinstance(layer, Depth):
        return Encoded(pixels=codec.encode_normals_u8(layer), facts=codec.normals_facts())
    if colours:
        rgb, path = codec.depth_to_rgb(layer)
        return Encoded(pixels=rgb, facts=codec.depth_facts(layer, path))
    stored, code = codec.encode_depth_u16(layer)
    return Encoded(pixels=stored, facts=codec.depth_facts(layer, code))


def save(path: Path, encoded: Encoded, about: Mapping[str, Json]) -> None:
    """Write one picture; OSError if that cannot be."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    picture = Image.fromarray(np.ascontiguousarray(encoded.pixels))
    if encoded.palette is not None:
        picture.putpalette(encoded.palette.tobytes(), "RGB")
    text = PngInfo()
    facts = {**about, **encoded.facts}
    text.add_text(TEXT_KEY, json.dumps(facts, ensure_ascii=True, allow_nan=False))
    picture.save(path, format="PNG", pnginfo=text, compress_level=_LEVEL)


def decode(path: Path, facts: Mapping[str, Json] | None = None) -> Layer:
    """The layer that a picture holds, by its own facts or by those of its sidecar.

    InputError if the file is no picture of ours, or does not fit the facts.
    """
    with _opened(path, "decode a PNG that banana wrote, or keep its sidecar beside it") as picture:
        own = facts or _own_facts(picture)
        if not own:
            raise ValueError("the picture says nothing of its code")
        return codec.decode_picture(_numbers(picture, ("P", "RGB", "I;16")), own)


def stored(path: Path) -> Stored:
    """The numbers of any PNG: one band of 8 or 16 bits, indices of a palette, or RGB; else an InputError."""
    with _opened(path, "store class ids in 8 bits, depth in 16, normals in RGB") as picture:
        numbers = _numbers(picture, ("1", "L", "P", "RGB", "I;16", "I"))
        wide = picture.mode == "I"  # what older versions of Pillow make of 16 bits
        return Stored(numbers=numbers.astype(np.uint16) if wide else numbers, facts=_own_facts(picture))


@contextmanager
def _opened(path: Path, remedy: str) -> Iterator[Image.Image]:
    """The picture; what goes wrong with it becomes an InputError."""
    from PIL import Image, UnidentifiedImageError

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG",)) as picture:
                yield picture
    except (OSError, UnidentifiedImageError, SyntaxError, RecursionError, *bombs) as exc:
        raise InputError(f"cannot be read ({exc})", subject=str(path), remedy=remedy) from exc
    except ValueError as exc:
        raise InputError(str(exc), subject=str(path), remedy=remedy) from exc


def _own_facts(picture: Image.Image) -> dict[str, Json]:
    """What the picture itself says of its code, {} for a stranger's."""
    text = picture.info.get(TEXT_KEY)
    facts = json.loads(text) if isinstance(text, str) else None
    return facts if isinstance(facts, dict) else {}


def _numbers(picture: Image.Image, modes: tuple[str, ...]) -> NDArray[Any]:
    if picture.mode not in modes:
        raise ValueError(f"a picture of mode {picture.mode} is none of ours")
    return np.asarray(picture)


class _PngSink:
    """Pictures, each written as it comes; blocks of a scene are gathered first."""

    def __init__(self, part: Path, job: SinkJob) -> None:
        self._part, self._job = part, job
        self._many = is_many(job.info, job.layer)
        self._colours = job.options.get("depth_encoding") == "rgb"
        self._about: dict[str, Json] = {"software": job.software, "layer": job.layer.value}
        self._facts: dict[str, Json] = {}
        self._canvas: Canvas | None = None
        self._scene: Encoded | None = None
        self._count = 0
        if self._many:
            part.mkdir()

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Take one frame; OutputError if there is only room for one."""
        layer = prediction.of(self._job.layer)
        if layer is None:
            return
        encoded = encode(layer, colours=self._colours)
        self._facts = self._facts or encoded.facts
        self._count += 1
        if is_scene(self._job.info):
            self._gather(frame, encoded)
            return
        place = single_place(self._part, frame, self._job.info, count=self._count, many=self._many)
        save(place, encoded, self._about)

    def _gather(self, frame: Frame, encoded: Encoded) -> None:
        if self._canvas is None:
            shape = (*self._job.info.shape, *encoded.pixels.shape[2:])
            self._canvas = Canvas(shape, encoded.pixels.dtype, encoded.nothing)
            self._scene = encoded
        self._canvas.paste(frame, encoded.pixels)

    def finish(self) -> dict[str, Json]:
        """Write what was gathered; the facts of the code."""
        if self._canvas is not None and self._scene is not None:
            whole = Encoded(pixels=self._canvas.pixels, facts=self._scene.facts, palette=self._scene.palette)
            save(self._part, whole, self._about)
        return {**self._facts, "pictures": self._count if self._many else 1}


class PngFormat:
    """The format "png"."""

    name: str = "png"
    domains: frozenset[Domain] = frozenset(Domain)
    layers: frozenset[LayerKind] = frozenset(LayerKind)
    obeys: frozenset[str] = frozenset({"depth-encoding"})

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        """ ".png", or "" for the folder of a clip or a series."""
        return "" if is_many(info, layer) else ".png"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[Sink]:
        """Write a file or a folder; OutputError for a scene that is too large."""
        refuse_large(job.info, part)
        yield _PngSink(part, job)

    def decode(self, path: Path, facts: Mapping[str, Json]) -> Layer:
        """The layer of one picture, by ``facts`` or, without any, by its own. InputError if it is none."""
        return decode(path, facts)

    def stored(self, path: Path) -> Stored:
        """As ``stored``."""
        return stored(path)


PNG = PngFormat()
