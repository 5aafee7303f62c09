"""``banana decode``: a picture that banana wrote, back to labels, lengths or unit vectors in ``.npy``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import typer
from numpy.typing import NDArray

from banana_cli import sidecar
from banana_cli.adapter import SinkFormat
from banana_cli.atomic import Staged, refuse_existing, writing
from banana_cli.cli.console import Console
from banana_cli.cli.options_tools import DecodeArgs
from banana_cli.cli.run import STDOUT, talking
from banana_cli.cli.world import World
from banana_cli.errors import InputError, OutputError, UsageError
from banana_cli.pipeline import SOFTWARE, exit_status
from banana_cli.types import Depth, Json, Layer, Mask

VIEWS = ("view", "overlay")
_EPILOG = """Examples:

banana decode photo.depth.png                 # photo.depth.npy: float32 metres, NaN where invalid

banana decode clip.masks/ -o labels/          # a folder of frames: uint8 labels, 255 = no answer

banana decode photo.normals.png -o - > normals.npy"""


@runtime_checkable
class Decodes(Protocol):
    """A format whose files give back the layer they hold."""

    name: str

    def decode(self, path: Path, facts: dict[str, Json]) -> Layer:
        """The layer of one picture; ``facts`` is its code as its sink told it. InputError if it is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One file to decode, what its sidecar says, and the name of the result below the output folder."""

    path: Path
    facts: dict[str, Json]
    result: Path


def register(app: typer.Typer) -> None:
    """Add the verb."""
    text = "Turn pictures that banana wrote back into labels, lengths or unit vectors (.npy)."
    talking(app, "decode", DecodeArgs, decode, help=text, epilog=_EPILOG)


def decode(args: DecodeArgs, world: World, console: Console) -> int:
    """Decode every picture; the exit status tells of those that could not be."""
    errors: list[InputError | OutputError] = []
    done = 0
    for picture, final in _planned(args, errors, console):
        try:
            layer = _layer(picture, world.formats)
            if final is None:
                world.stdout.buffer.write(npy_bytes(layer))
                world.stdout.flush()
            else:
                _save(layer, picture, final, overwrite=args.overwrite)
                _tell(picture, final, args, console)
            done += 1
        except (InputError, OutputError) as exc:
            errors.append(exc)
            console.problem(exc)
    return exit_status(done, errors)


def _planned(
    args: DecodeArgs, errors: list[InputError | OutputError], console: Console
) -> list[tuple[Picture, Path | None]]:
    """All pictures with the files to write, checked before the first is read; None for stdout."""
    if not args.inputs:
        raise UsageError(
            "no picture is named", subject="PICTURE", remedy="name files; see banana decode --help"
        )
    pictures: list[Picture] = []
    for word in args.inputs:
        try:
            pictures += _pictures(Path(word))
        except InputError as exc:
            errors.append(exc)
            console.problem(exc)
    finals = _finals(args, pictures)
    for final in finals:
        if final is not None:
            refuse_existing(final, overwrite=args.overwrite)
    return list(zip(pictures, finals, strict=True))


def _finals(args: DecodeArgs, pictures: Sequence[Picture]) -> list[Path | None]:
    single = args.output == STDOUT or args.output.endswith(".npy")
    if single and len(pictures) > 1:
        raise UsageError(
            f"is one place for {len(pictures)} pictures", subject=f"-o {args.output}", remedy="name a folder"
        )
    if args.output == STDOUT:
        return [None for _ in pictures]
    if single:
        return [Path(args.output) for _ in pictures]
    finals = [Path(args.output) / picture.result for picture in pictures]
    for final in finals:
        if finals.count(final) > 1:
            raise UsageError("would be written twice", subject=str(final), remedy="decode them one by one")
    return list(finals)


def _pictures(path: Path) -> Iterator[Picture]:
    """One picture, or those of a folder of frames, each with the sidecar that speaks of it."""
    if path.is_dir():
        facts = sidecar.read(sidecar.sidecar_path(path)) or {}
        files = sorted(p for p in path.iterdir() if p.is_file() and _is_picture(p))
        if not files:
            raise InputError("holds no picture", subject=str(path), remedy="name a folder that banana wrote")
        yield from (Picture(path=p, facts=facts, result=Path(path.name, f"{p.stem}.npy")) for p in files)
        return
    if not path.is_file():
        raise InputError("No such file or directory", subject=str(path), remedy="check the path")
    beside = path.absolute()
    named = [sidecar.sidecar_path(p) for p in (beside, beside.parent) if p.name]
    facts = next((found for p in named if (found := sidecar.read(p)) is not None), {})
    yield Picture(path=path, facts=facts, result=Path(f"{path.stem}.npy"))


def _is_picture(path: Path) -> bool:
    """Not the index that some formats put into the folder, nor a hidden file."""
    return not path.name.startswith(".") and path.suffix.lower() != ".json"


def _layer(picture: Picture, formats: Mapping[str, SinkFormat]) -> Layer:
    """What the picture holds, by the format that its sidecar or its suffix names."""
    told = picture.facts.get("encoding")
    code: dict[str, Json] = told if isinstance(told, dict) else {}
    if code.get("encoding") in VIEWS:
        raise InputError(
            "is a view for people and holds no exact values",
            subject=str(picture.path),
            remedy="write the layer again with --format png, frames or npy",
        )
    able = {name: f for name, f in formats.items() if isinstance(f, Decodes)}
    for name in (str(picture.facts.get("format", "")), picture.path.suffix.lstrip(".").lower()):
        if name in able:
            return able[name].decode(picture.path, code)
    raise InputError(
        f"cannot be decoded ({picture.path.suffix or 'no suffix'})",
        subject=str(picture.path),
        remedy=f"decode one of: {', '.join(sorted(able)) or 'no format installed can'}",
    )


def array_of(layer: Layer) -> NDArray[np.generic]:
    """Labels uint8 (H, W); depth float32 (H, W), NaN invalid; normals float32 (3, H, W), 0 invalid."""
    if isinstance(layer, Mask):
        return layer.ids
    return layer.values if isinstance(layer, Depth) else layer.xyz


def npy_bytes(layer: Layer) -> bytes:
    """A ``.npy`` file of the layer's array."""
    file = BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array_of(layer)), allow_pickle=False)
    return file.getvalue()


def _save(layer: Layer, picture: Picture, final: Path, *, overwrite: bool) -> None:
    side = sidecar.sidecar_path(final)
    with Staged(final, overwrite=overwrite) as staged:
        with writing(final), staged.part.open("wb") as file:
            shutil.copyfileobj(BytesIO(npy_bytes(layer)), file)
        staged.commit()
    sidecar.write(side, _facts(layer, picture, final), overwrite=overwrite or sidecar.read(side) is not None)


def _facts(layer: Layer, picture: Picture, final: Path) -> dict[str, object]:
    array = array_of(layer)
    facts: dict[str, object] = {
        "schema": sidecar.OUTPUT_SCHEMA,
        "software": SOFTWARE,
        "output": final.name,
        "layer": layer.kind,
        "format": "npy",
        "complete": True,
        "decoded_from": picture.path.name,
        "dtype": str(array.dtype),
        "shape": list(array.shape),
    }
    if isinstance(layer, Mask):
        facts["classes"] = sidecar.describe_classes(layer.table)
    if isinstance(layer, Depth):
        facts["encoding"] = {"kind": layer.depth_kind, "unit": layer.unit}
    return facts


def _tell(picture: Picture, final: Path, args: DecodeArgs, console: Console) -> None:
    if args.as_json:
        console.record(
            {"path": str(final), "input": picture.path.name, "sidecar": str(sidecar.sidecar_path(final))}
        )
    else:
        console.line(str(final))
