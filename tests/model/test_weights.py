"""Weights files come back as they were, and foreign or broken ones are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from banana_cli.errors import ExitStatus, WeightsError
from banana_cli.model.weights import load_model, save_model
from banana_cli.weights_index import sha256_of
from tests.model.test_net import make_net


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    net, path = make_net(), tmp_path / "w.safetensors"
    save_model(path, net, {"steps": 3})
    back, header = load_model(path, fuse=False)
    assert back.spec == net.spec and header["training"] == {"steps": 3}
    for name, value in net.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name
    assert len(sha256_of(path)) == 64


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
