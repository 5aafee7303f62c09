"""Weights files come back as they were, and foreign or broken ones are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from banana_cli.errors import ExitStatus, WeightsError
from banana_cli.model.net import BananaNet, Head
from banana_cli.model.weights import load_model, save_model
from banana_cli.weights_index import resolve, sha256_of
from tests.model.test_net import HEADS, TINY, make_input, make_net


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    net, path = make_net(), tmp_path / "w.safetensors"
    save_model(path, net, {"steps": 3})
    back, header = load_model(path, fuse=False)
    assert back.spec == net.spec and header["training"] == {"steps": 3}
    for name, value in net.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name
    assert len(sha256_of(path)) == 64


def _without_things(path: Path) -> None:
    """Write a file as they were before things were counted."""
    net = BananaNet(TINY, things=False)
    save_model(path, net, {})
    with safe_open(str(path), framework="pt") as file:
        header = json.loads(file.metadata()["banana"])
    del header["things"]
    save_file(net.state_dict(), str(path), metadata={"banana": json.dumps(header)})


@torch.inference_mode()
def test_older_weights_count_nothing_and_answer_the_same(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    _without_things(path)
    old, _ = load_model(path)
    new, _ = load_model(path)
    new.add_things()
    inp = make_input(64, 96)
    said, asked = old(inp, 0.27, HEADS), new(inp, 0.27, HEADS - {Head.THINGS})
    assert said.things is None and asked.things is None
    for name in ("logits", "depth_code", "normals", "log_focal"):
        assert torch.equal(getattr(said, name), getattr(asked, name)), name
    assert bool((new(inp, 0.27, HEADS).things == 0).all())  # untrained: nothing anywhere


def test_the_installed_weights_are_read_whole() -> None:
    net, header = load_model(resolve(None))
    assert bool(net.things) == bool(header.get("things"))
    assert net.training is False


def test_a_file_says_where_it_counts(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_model(path, make_net(), {})
    net, header = load_model(path)
    assert header["things"] == list(net.things) == ["street", "aerial"]


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


def _foreign(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, str(path))


def _altered_spec(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'\\"depth\\": 4', b'\\"depth\\": 5'))


@pytest.mark.parametrize("damage", [_truncated, _foreign, _altered_spec, Path.unlink])
def test_bad_weights_are_one_clear_error(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "w.safetensors"
    save_model(path, make_net(), {})
    damage(path)  # type: ignore[operator]
    with pytest.raises(WeightsError) as caught:
        load_model(path)
    assert caught.value.status is ExitStatus.WEIGHTS and caught.value.subject == str(path)
