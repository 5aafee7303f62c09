"""The second runtime says what torch says, builds a graph once, and is refused where it cannot serve."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from banana_cli.bench import Bench, BenchOptions
from banana_cli.classes import TABLE_OF, possible_ids
from banana_cli.errors import UsageError
from banana_cli.infer import Engine
from banana_cli.model import graph, graph_cache, runtime_onnx
from banana_cli.model.graph_cache import GraphCache
from banana_cli.model.net import Head
from banana_cli.model.weights import save_model
from banana_cli.options import Runtime
from banana_cli.specs import ModelSpec
from banana_cli.types import Depth, Mask, Modality, Normals
from banana_cli.weights_index import sha256_of
from tests.conftest import REPOSITORY
from tests.glass import ALL, frame_of
from tests.here import Here
from tests.model.test_net import HEADS, make_input, make_net

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")

SPEC = ModelSpec(
    name="tiny", width=64, depth=3, stem=(8, 16, 32), embed=16, registers=4, chunk=16, side_px=96
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_model(path, make_net(SPEC), {})
    return path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of all tests here, so that the graph is built once."""
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def net(weights: Path, kept: Path) -> Iterator[runtime_onnx.OnnxNet]:
    yield runtime_onnx.OnnxNet(make_net(SPEC), sha256_of(weights), GraphCache(kept))


@pytest.mark.parametrize("modality", [Modality.STREET, Modality.CT, Modality.AERIAL])
def test_features_and_answers_are_those_of_torch(net: runtime_onnx.OnnxNet, modality: Modality) -> None:
    inp = make_input(96, 96, 2, modality)
    with torch.inference_mode():
        ours, theirs = net.features(inp, 0.27), make_net(SPEC).features(inp, 0.27)
        said, truth = net.read(ours, modality, HEADS), make_net(SPEC).read(theirs, modality, HEADS)
    assert torch.allclose(ours.f4, theirs.f4, atol=1e-4) and torch.equal(ours.levels(), theirs.levels())
    assert torch.allclose(ours.score, theirs.score, atol=1e-4) and ours.kept == theirs.kept
    assert said.logits is not None and truth.logits is not None
    assert torch.allclose(said.logits, truth.logits, atol=1e-3)
    assert said.depth_code is not None and truth.depth_code is not None
    assert torch.allclose(said.depth_code, truth.depth_code, atol=1e-3)


def test_the_engine_answers_alike_in_both(
    weights: Path, kept: Path, net: runtime_onnx.OnnxNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banana_cli.infer.user_folder", lambda: kept)
    frame = frame_of(make_input(192, 180).image[0].numpy())
    engines = [Engine.load(weights, precision="fp32", runtime=runtime) for runtime in Runtime]
    torch_said, onnx_said = (engine.predict(frame, ALL) for engine in engines)
    assert [engine.facts.runtime for engine in engines] == ["torch", "onnx"]
    assert (torch_said.get(Mask).ids == onnx_said.get(Mask).ids).mean() >= 0.999
    ours, theirs = torch_said.get(Depth), onnx_said.get(Depth)
    both = ours.valid & theirs.valid
    assert np.allclose(ours.values[both], theirs.values[both], rtol=1e-3)
    assert np.allclose(torch_said.get(Normals).xyz[:, both], onnx_said.get(Normals).xyz[:, both], atol=1e-3)


def test_the_bench_shows_it_beside_torch(
    weights: Path, kept: Path, net: runtime_onnx.OnnxNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banana_cli.bench.user_folder", lambda: kept)
    options = BenchOptions(
        weights=weights, sizes=(96,), runs=1, threads=1, device="cpu", runtime=Runtime.ONNX
    )
    rows = {row.name: row for row in Bench(options).rows()}
    second, first = rows["sparse 0.27, onnx fp32"], rows["sparse 0.27"]
    assert (second.tokens, second.peak_mb) == (first.tokens, None) and second.median_ms > 0
    assert "sparse 0.27, onnx fp32" not in {
        w.name for w in Bench(replace(options, runtime=Runtime.TORCH))._ways(96)
    }


def test_a_graph_is_built_once_and_again_when_its_file_is_damaged(
    net: runtime_onnx.OnnxNet, kept: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inp = make_input(96, 96)
    with torch.inference_mode():
        first = net.features(inp, 0.27)
    (file,) = kept.glob("*.graph")
    whole, built = file.read_bytes(), []

    def build(*_: object) -> bytes:
        built.append(1)
        return whole[32:]

    monkeypatch.setattr(runtime_onnx, "export_inside", build)
    for damage, times in ((whole, 0), (whole[:-5], 1), (whole[:99] + b"x" + whole[100:], 2), (b"", 3)):
        file.write_bytes(damage)
        fresh = runtime_onnx.OnnxNet(make_net(SPEC), sha256_of(weights), GraphCache(kept))
        assert torch.allclose(fresh.features(inp, 0.27).f4, first.f4, atol=1e-3)  # sums in another order
        assert len(built) == times and file.read_bytes() == whole


def test_other_weights_sizes_and_budgets_have_other_graphs(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path)
    words = [("a", "64x96", "0.27"), ("b", "64x96", "0.27"), ("a", "96x64", "0.27"), ("a", "64x96", "0.3")]
    assert len({cache.path(*w) for w in words}) == 4


def test_the_cache_drops_the_oldest_and_survives_a_folder_that_is_none(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path / "graphs")
    paths = [cache.path(str(i)) for i in range(graph_cache.MOST + 2)]
    for path in paths:
        cache.put(path, b"graph")
    assert len(list((tmp_path / "graphs").iterdir())) == graph_cache.MOST
    assert cache.get(paths[-1]) == b"graph"
    (tmp_path / "file").write_bytes(b"")
    none = GraphCache(tmp_path / "file" / "graphs")
    none.put(none.path("a"), b"graph")
    assert none.get(none.path("a")) is None


def test_an_exported_graph_tells_what_it_says() -> None:
    modality = Modality.CT
    data = graph.export_answers(make_net(SPEC), graph.Size(64, 64), 0.4, modality, {"name": "banana-tiny"})
    model = onnx.load_from_string(data)
    about = json.loads({p.key: p.value for p in model.metadata_props}["banana"])
    assert about["modality"] == "ct" and about["budget"] == 0.4 and about["name"] == "banana-tiny"
    assert about["classes"] == list(TABLE_OF[modality].names)
    inp = make_input(64, 64, 1, modality)
    feed = {n: getattr(inp, n).numpy() for n in ("image", "valid", "rays", "log_pitch")}
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    said = dict(zip(graph.outputs_of(modality), session.run(None, feed), strict=True))
    with torch.inference_mode():
        truth = make_net(SPEC)(inp, 0.4, frozenset({Head.LOGITS}))
    possible = list(possible_ids(modality))
    assert np.allclose(said["logits"][:, possible], truth.logits[:, possible], atol=1e-3)
    never = [k for k in range(len(TABLE_OF[modality])) if k not in possible]
    assert np.isneginf(said["logits"][:, never]).all()
    assert np.allclose(np.linalg.norm(said["normals"], axis=1), 1, atol=1e-4)
    assert said["depth"].shape == (1, 1, 64, 64) and (said["depth"] >= 0).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [({"device": "cuda"}, "does not run on cuda"), ({"precision": "bf16"}, "does not compute in bf16")],
)
def test_what_the_runtime_cannot_do_is_refused(weights: Path, options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Engine.load(weights, runtime=Runtime.ONNX, **options)  # type: ignore[arg-type]


def test_without_the_extra_it_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="onnxruntime") as caught:
        Engine.load(weights, runtime=Runtime.ONNX)
    assert "[onnx]" in caught.value.remedy


@pytest.mark.slow
def test_the_installed_weights_answer_alike_on_the_samples(tmp_path: Path) -> None:
    samples = [REPOSITORY / "samples" / name for name in ("scan.dcm", "scene.tif")]
    words = ("--with", "depth,normals", "--format", "npy")
    for runtime in Runtime:
        Here()(
            "segment", *samples, *words, "--precision", "fp32", "--runtime", runtime, "-o", tmp_path / runtime
        )
    for name in ("scan", "scene"):
        masks, depth, normals = (
            [np.load(tmp_path / runtime / f"{name}.{kind}.npy") for runtime in Runtime]
            for kind in ("masks", "depth", "normals")
        )
        assert (masks[0] == masks[1]).mean() >= 0.999
        assert np.array_equal(*(np.isfinite(d) for d in depth))
        assert np.allclose(*depth, rtol=1e-3, atol=1e-3, equal_nan=True)
        assert np.allclose(*normals, atol=1e-3)
