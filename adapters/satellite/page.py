"""``--format html``: one page with the scene, its layers and a slider for each. It loads nothing else."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np

from banana_cli.adapter import SinkJob
from banana_cli.atomic import final_name
from banana_cli.codec import is_height
from banana_cli.errors import OutputError, translate
from banana_cli.paint import CALM, paint, paint_frame
from banana_cli.types import (
    NO_CLASS,
    U8,
    Depth,
    Frame,
    Json,
    Layer,
    LayerKind,
    Mask,
    Prediction,
    Window,
)

from .gdal import WRITE_REMEDY, gdal_env
from .georef import lonlat
from .mosaic import SceneFormat, core_of
from .outlines import reference_of

_PLACE: Final = re.compile("@(TITLE|GENERATOR|DATA|LIBRARY_JS|LIBRARY_CSS|MAP)@")
_URL: Final = re.compile(r"url\([^)]*\)")
LIBRARY: Final = "vendor/leaflet"
MAX_SIDE_PX: Final = 2048
_PLACES: Final = 9
_OPACITY: Final = 0.6
_NAMES: Final = {LayerKind.MASKS: "classes", LayerKind.DEPTH: "height", LayerKind.NORMALS: "normals"}


class HtmlFormat(SceneFormat):
    """The whole run's layers on one page, its own on top; pictures at 2048 px or less a side."""

    name = "html"
    ending = ".html"

    @contextmanager
    def open(self, part: Path, job: SinkJob) -> Iterator[HtmlSink]:
        """Collect small pictures in memory."""
        yield HtmlSink(part, job)


HTML = HtmlFormat()


@dataclass(slots=True)
class _Picture:
    """A layer at the page's size: its pixels, and what its legend needs."""

    pixels: U8
    like: Layer | None = None
    counts: np.ndarray[tuple[int], np.dtype[np.int64]] = field(
        default_factory=lambda: np.zeros(256, np.int64)
    )


class HtmlSink:
    """One page being made."""

    def __init__(self, part: Path, job: SinkJob) -> None:
        self._part = part
        self._job = job
        rows, cols = job.info.shape
        self._step = -(-max(rows, cols) // MAX_SIDE_PX)
        self._size = (-(-rows // self._step), -(-cols // self._step))
        self._scene = np.zeros((*self._size, 4), np.uint8)
        self._pictures: dict[LayerKind, _Picture] = {}

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Take every n-th pixel of a frame's core, of the scene and of all layers that it has."""
        core, part = core_of(frame)
        to, take = _sampled(core, part, self._step)
        colours = np.dstack([_calmed(paint_frame(frame), self._step), np.where(frame.valid, 255, 0)])
        self._scene[to] = colours[take]
        for layer in prediction.layers:
            channels = (1,) if isinstance(layer, Mask) else (4,)
            picture = self._pictures.setdefault(
                layer.kind, _Picture(np.full((*self._size, *channels), _blank(layer), np.uint8))
            )
            picture.like = picture.like or layer
            picture.pixels[to] = self._painted(layer)[take]
            if isinstance(layer, Mask):
                picture.counts += np.bincount(layer.ids[part][layer.valid[part]], minlength=256)

    def _painted(self, layer: Layer) -> U8:
        if isinstance(layer, Mask):
            return np.where(layer.valid, layer.ids, np.uint8(NO_CLASS))[..., None]
        return np.dstack([paint(layer, self._job.look), np.where(layer.valid, 255, 0).astype(np.uint8)])

    def finish(self) -> dict[str, Json]:
        """Write the page."""
        kinds = sorted(self._pictures, key=lambda kind: kind is self._job.layer)
        layers = [self._entry(kind) for kind in kinds]
        scene: Json = {"name": "scene", "src": _uri(self._scene, "WEBP"), "opacity": 1}
        rows, cols = self._job.info.shape
        facts: dict[str, Json] = {
            "title": self._job.info.item.stem,
            "size": [cols, rows],
            "step": self._step,
            "places": self._places(),
            "layers": [scene, *layers],
        }
        text = filled(facts, self._job.info.item.stem, self._job.software)
        subject = str(final_name(self._part))
        with translate(OSError, to=OutputError, subject=subject, remedy=WRITE_REMEDY):
            self._part.write_text(text, encoding="utf-8")
        return {
            "encoding": "html",
            "layers": [_NAMES[kind] for kind in kinds],
            "every_nth_pixel": self._step,
            "values": "a picture of them: write tif too for the values themselves",
        }

    def _entry(self, kind: LayerKind) -> Json:
        picture = self._pictures[kind]
        entry: dict[str, Json] = {
            "name": _NAMES[kind],
            "opacity": _OPACITY if kind is self._job.layer else 0,
        }
        if kind is LayerKind.MASKS:
            palette = self._job.table.palette()
            entry["src"] = _indexed_uri(picture.pixels[..., 0], palette)
            entry["classes"] = self._legend(picture)
        else:
            entry["src"] = _uri(picture.pixels, "PNG")
        if isinstance(picture.like, Depth):
            entry["note"] = picture.like.note
            if is_height(picture.like):
                entry["ramp"] = _ramp(self._job.look.depth_near, self._job.look.depth_far)
        return entry

    def _legend(self, picture: _Picture) -> list[Json]:
        total = max(int(picture.counts.sum()), 1)
        return [
            {"name": c.name, "rgb": list(c.rgb), "share": _percent(picture.counts[c.id] / total)}
            for c in self._job.table.classes
            if picture.counts[c.id]
        ]

    def _places(self) -> Json:
        """A grid of (longitude, latitude) over the scene, without jumps; None where it has no place."""
        reference = reference_of(self._job)
        if reference is None:
            return None
        rows, cols = (np.linspace(0, n, _PLACES) for n in self._job.info.shape)
        with gdal_env():
            found = lonlat(reference.crs or "", [reference.at(r, c) for r in rows for c in cols])
        if found is None:
            return None
        grid = np.array(found).reshape(_PLACES, _PLACES, 2)
        grid[..., 0] -= 360 * np.rint((grid[..., 0] - grid[0, 0, 0]) / 360)
        places: Json = np.round(grid, 7).tolist()
        return places


def _percent(share: float) -> str:
    """What is there is never none."""
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


def filled(facts: dict[str, Json], title: str, generator: str) -> str:
    """The page's text; nothing of what a file is called can break out of its place."""
    data = json.dumps(facts, allow_nan=False).replace("<", "\\u003c")
    known = {"TITLE": html.escape(title), "GENERATOR": html.escape(generator), "DATA": data, **_map()}
    return _PLACE.sub(lambda found: known[found[1]], _ours("page.html"))


def _map() -> dict[str, str]:
    """The map's script: Leaflet where the build fetched it (``make vendor``), else a plain one of our own."""
    try:
        script, style = (_ours(f"{LIBRARY}.{ending}") for ending in ("js", "css"))
    except OSError:
        return {"LIBRARY_JS": "", "LIBRARY_CSS": "", "MAP": _ours("map_own.js")}
    # pictures of markers and the like, which the page does not have and must not ask for
    return {
        "LIBRARY_JS": script,
        "LIBRARY_CSS": _URL.sub("none", style),
        "MAP": _ours("map_leaflet.js"),
    }


def _ours(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _sampled(
    core: Window, part: tuple[slice, slice], step: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where every n-th pixel of the scene lies in the small picture, and in the frame's arrays."""
    to, take = [], []
    for start, stop, inside in (
        (core.top, core.bottom, part[0]),
        (core.left, core.right, part[1]),
    ):
        first = -(-start // step)
        to.append(slice(first, -(-stop // step)))
        take.append(slice(inside.start + first * step - start, inside.stop, step))
    return (to[0], to[1]), (take[0], take[1])


def _calmed(picture: U8, step: int) -> U8:
    """Blurred as far as pixels are left out, so that fields do not shimmer."""
    import cv2

    return np.asarray(cv2.blur(picture, (step, step)), np.uint8) if step > 1 else picture


def _blank(layer: Layer) -> int:
    return NO_CLASS if isinstance(layer, Mask) else 0


def _ramp(near: float, far: float) -> Json:
    stops = CALM[np.linspace(0, len(CALM) - 1, 9).astype(np.int64)]
    colours = ", ".join(f"rgb({r} {g} {b})" for r, g, b in stops)
    return {"colours": colours, "ends": [f"{near:g} m", f"{far:g} m"]}


def _indexed_uri(ids: U8, palette: U8) -> str:
    from PIL import Image

    picture = Image.fromarray(ids)
    picture.putpalette(palette.tobytes())
    out = io.BytesIO()
    picture.save(out, "PNG", transparency=NO_CLASS, optimize=True)
    return _data("png", out.getvalue())


def _uri(rgba: U8, kind: str) -> str:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(rgba).save(out, kind, **({"quality": 85} if kind == "WEBP" else {}))
    return _data(kind.lower(), out.getvalue())


def _data(kind: str, raw: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode('ascii')}"
