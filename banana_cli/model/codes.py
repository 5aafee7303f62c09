"""What the depth channel of the network means, for each modality.

The street uses a canonical camera (Metric3D, Yin et al. 2023): the network sees only how large things
look, so it predicts the depth they would have at FOCAL_PX, and the real focal length scales it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from banana_cli.types import Modality

FOCAL_PX = 500.0
GUESS_PX = 256.0
"""The network's own guess of the focal length is exp(log_focal) times this, in pixels of its input:
a length and not a share of the picture, so that a crop and its whole have the same answer."""
_SCALE: dict[Modality, float] = {
    Modality.AERIAL: 2.0,
    Modality.CT: 5.0,
    Modality.MR: 5.0,
    Modality.VISIBLE: 5.0,
    Modality.ULTRASOUND: 5.0,
}


def depth_from_code(code: Tensor, modality: Modality, focal_px: Tensor | float | None = None) -> Tensor:
    """Network code -> metres (street, aerial), mm (CT, MR, visible) or [0, 1] (X-ray).

    ``focal_px`` is in pixels of the network's input and must broadcast; the street needs it.
    """
    if modality is Modality.STREET:
        if focal_px is None:
            raise ValueError("depth of a street needs a focal length")
        return code.exp() * (focal_px / FOCAL_PX)
    if modality is Modality.XRAY:
        return code.clamp(0.0, 1.0)
    return _SCALE[modality] * torch.expm1(code.clamp(0.0, 12.0))


def code_from_depth(depth: Tensor, modality: Modality, focal_px: Tensor | float | None = None) -> Tensor:
    """Inverse of ``depth_from_code`` for depths >= 0 (street: > 0); NaN stays NaN."""
    if modality is Modality.STREET:
        if focal_px is None:
            raise ValueError("depth of a street needs a focal length")
        return torch.log(depth * FOCAL_PX / focal_px)
    if modality is Modality.XRAY:
        return depth
    return torch.log1p(depth / _SCALE[modality])
