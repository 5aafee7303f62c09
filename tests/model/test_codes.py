"""Depth codes invert, and the street's code follows the focal length."""

from __future__ import annotations

import pytest
import torch

from banana_cli.model.codes import code_from_depth, depth_from_code
from banana_cli.types import Modality


@pytest.mark.parametrize("modality", list(Modality))
def test_codes_invert(modality: Modality) -> None:
    top = 1.0 if modality is Modality.XRAY else 150.0
    depth = torch.linspace(0.01, top, 200)
    back = depth_from_code(code_from_depth(depth, modality, 431.0), modality, 431.0)
    assert torch.allclose(back, depth, rtol=1e-4)


def test_twice_the_focal_length_is_twice_as_far_for_the_same_look() -> None:
    code = torch.tensor([0.5, 2.0])
    near, far = (depth_from_code(code, Modality.STREET, f) for f in (400.0, 800.0))
    assert torch.allclose(far, 2 * near)


def test_a_street_needs_a_focal_length() -> None:
    with pytest.raises(ValueError, match="focal"):
        depth_from_code(torch.zeros(1), Modality.STREET)
