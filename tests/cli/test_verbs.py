"""info, tile, decode and models in a world of fakes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from banana_cli import weights_index
from banana_cli.classes import STREET
from banana_cli.cli.decode import npy_bytes
from banana_cli.cli.main import main
from banana_cli.errors import InputError, WeightsError
from banana_cli.types import Depth, DepthKind, Domain, Json, Layer, LayerKind, Mask, Modality, Normals, Unit

from .fakes import FakeAdapter, FakeFormat, Fakes, banana


def test_info_shows_headers_and_loads_no_model(here: Path) -> None:
    (here / "a.clip").write_text("FAKE 4 6 3 notice=1")
    fakes = Fakes()
    assert banana(fakes, "info", "a.clip") == 0
    assert "6 x 4 px" in fakes.out.text and "rate" in fakes.out.text and not fakes.loaded
    assert "focal length unknown" in fakes.err.getvalue()
    as_json = Fakes()
    assert banana(as_json, "info", "a.clip", "--json") == 0
    (record,) = as_json.records
    assert record["rows"] == 4 and record["facts"] == {"rate": 25.0}
    assert record["layers"] == {"masks": "txt", "depth": "txt", "normals": "txt"}


@pytest.mark.parametrize(
    ("words", "status"), [(("--window", "lung"), 2), (("--fps", "0"), 2), (("--fps", "3"), 0), ((), 0)]
)
def test_info_refuses_what_cannot_act(here: Path, words: tuple[str, ...], status: int) -> None:
    (here / "a.clip").write_text("FAKE 4 6 3")
    assert banana(Fakes(), "info", "a.clip", *words) == status


def scene_world() -> Fakes:
    fakes = Fakes()
    fakes.adapters["scene"] = FakeAdapter(
        name="scene", domain=Domain.SATELLITE, modality=Modality.AERIAL, magic=b"FAKE 8"
    )
    fakes.adapters = {"scene": fakes.adapters["scene"], "fake": fakes.adapters["fake"]}
    fakes.formats["tif"] = FakeFormat(name="tif", ending=".tif")
    fakes.formats["tiles"] = FakeFormat(name="tiles", ending="")
    return fakes


def test_tile_writes_a_mosaic_and_tiles_of_every_layer(here: Path) -> None:
    (here / "s.tif").write_text("FAKE 8 8 2")
    assert banana(scene_world(), "tile", "s.tif", "-o", "out") == 0
    for kind in LayerKind:
        assert (here / f"out/s.{kind.value}.tif").is_file() and (here / f"out/s.{kind.value}").is_dir()
    fakes = scene_world()
    assert banana(fakes, "tile", "s.tif", "-o", "one", "--tasks", "depth", "--format", "tif") == 0
    assert {p.suffix for p in (here / "one").iterdir()} == {".tif", ".json", ".aux"}
    assert {kinds for _, kinds in fakes.engine.asked} == {frozenset({LayerKind.DEPTH})}


def test_tile_takes_scenes_alone(here: Path) -> None:
    (here / "s.tif").write_text("FAKE 8 8 2")
    (here / "a.clip").write_text("FAKE 4 6 3")
    fakes = scene_world()
    assert banana(fakes, "tile", "s.tif", "a.clip") == 2
    assert fakes.err.getvalue().startswith("banana: a.clip: is no scene")
    assert banana(scene_world(), "tile", "s.tif", "--tasks", "smell") == 2
    assert banana(scene_world(), "tile", "s.tif", "--window", "lung") == 2
    assert {p.name for p in here.iterdir()} == {"s.tif", "a.clip"}


VALID = np.array([[True, False], [True, True]])
LAYERS: tuple[Layer, ...] = (
    Mask(ids=np.array([[1, 255], [0, 2]], np.uint8), valid=VALID, table=STREET),
    Depth(
        values=np.array([[1, np.nan], [2, 3]], np.float32),
        valid=VALID,
        depth_kind=DepthKind.METRIC,
        unit=Unit.METRE,
    ),
    Normals(xyz=np.zeros((3, 2, 2), np.float32), valid=VALID),
)


@dataclass(frozen=True)
class Coded(FakeFormat):
    """A format whose files hold the number of a layer."""

    def decode(self, path: Path, facts: dict[str, Json]) -> Layer:
        text = path.read_text()
        if text not in "012":
            raise InputError("is no picture", subject=str(path), remedy="decode another")
        return LAYERS[int(text)]


def coded_world() -> Fakes:
    fakes = Fakes()
    fakes.formats["coded"] = Coded(name="coded", ending=".coded")
    return fakes


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.kind.value)
def test_decode_gives_the_arrays_of_the_contract(here: Path, layer: Layer) -> None:
    index = LAYERS.index(layer)
    (here / "x.coded").write_text(str(index))
    assert banana(coded_world(), "decode", "x.coded", "-o", "out") == 0
    array = np.load(here / "out/x.npy", allow_pickle=False)
    expected = (np.uint8, (2, 2)) if index == 0 else (np.float32, (2, 2) if index == 1 else (3, 2, 2))
    assert (array.dtype, array.shape) == expected
    assert array.tobytes() == np.load(_as_file(here, npy_bytes(layer))).tobytes()
    facts = json.loads((here / "out/x.npy.json").read_text())
    assert facts["layer"] == layer.kind.value and facts["decoded_from"] == "x.coded"
    streamed = coded_world()
    assert banana(streamed, "decode", "x.coded", "-o", "-") == 0
    assert streamed.out.kept.getvalue() == npy_bytes(layer)


def _as_file(folder: Path, data: bytes) -> Path:
    path = folder / "expected.npy"
    path.write_bytes(data)
    return path


def test_decode_follows_the_sidecar_and_folders_of_frames(here: Path) -> None:
    (here / "clip.masks").mkdir()
    for i in range(2):
        (here / f"clip.masks/{i}.dat").write_text("0")
    (here / "clip.masks.json").write_text(json.dumps({"schema": "banana-output-1", "format": "coded"}))
    assert banana(coded_world(), "decode", "clip.masks", "-o", "out") == 0
    assert {p.name for p in (here / "out/clip.masks").glob("*.npy")} == {"0.npy", "1.npy"}
    assert banana(coded_world(), "decode", "clip.masks/1.dat", "-o", "single.npy") == 0
    assert (here / "single.npy").is_file()


def test_decode_refuses_a_view(here: Path) -> None:
    (here / "x.coded").write_text("1")
    facts = {"schema": "banana-output-1", "format": "coded", "encoding": {"encoding": "view"}}
    (here / "x.coded.json").write_text(json.dumps(facts))
    fakes = coded_world()
    assert banana(fakes, "decode", "x.coded") == 4
    assert "is a view for people" in fakes.err.getvalue()


def test_decode_tells_of_what_it_cannot(here: Path) -> None:
    (here / "good.coded").write_text("1")
    (here / "bad.coded").write_text("7")
    (here / "view.mp4").write_text("1")
    fakes = coded_world()
    assert banana(fakes, "decode", "good.coded", "bad.coded", "view.mp4", "missing.coded") == 3
    assert fakes.err.getvalue().count("  try: ") == 3 and (here / "good.npy").is_file()
    assert banana(coded_world(), "decode", "bad.coded") == 4
    assert banana(coded_world(), "decode", "good.coded") == 5
    assert banana(coded_world(), "decode", "good.coded", "--overwrite") == 0
    assert banana(coded_world(), "decode") == 2
    assert banana(coded_world(), "decode", "good.coded", "view.mp4", "-o", "-") == 2


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "n.safetensors").write_bytes(b"numbers")
    digest = hashlib.sha256(b"numbers").hexdigest()
    entry = (
        f'[[weights]]\nname = "nano"\nfile = "n.safetensors"\nsha256 = "{digest}"\nbytes = 7\nlicence = "A"\n'
    )
    (folder / "index.toml").write_text(entry)
    monkeypatch.setattr(weights_index, "installed_folder", lambda: folder)
    return folder


def test_models_list_path_and_verify(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "nano"
    assert main(["models", "path"]) == 0
    assert capsys.readouterr().out.strip() == str(weights / "n.safetensors")
    assert main(["models", "verify"]) == 0
    (weights / "n.safetensors").write_bytes(b"altered")
    assert main(["models", "verify"]) == 6
    assert "was altered" in capsys.readouterr().err
    assert main(["models", "path", "huge"]) == 6


def test_weights_are_looked_for_in_order(weights: Path, tmp_path: Path) -> None:
    assert weights_index.resolve(None) == weights / "n.safetensors"
    (weights / "n.safetensors").write_bytes(b"altered")
    with pytest.raises(WeightsError, match="was altered"):
        weights_index.resolve(None)
    own = tmp_path / "own.safetensors"
    with pytest.raises(WeightsError):
        weights_index.resolve(own)
    own.write_bytes(b"")
    assert weights_index.resolve(own) == own


@pytest.mark.parametrize(
    "text", ["", "[[weights]]\nname = 'x'", "weights = 3", "nonsense", "[[weights]]\nfile='../x'"]
)
def test_an_index_that_is_none(weights: Path, text: str) -> None:
    (weights / "index.toml").write_text(text)
    with pytest.raises(WeightsError):
        weights_index.read_index(weights)
