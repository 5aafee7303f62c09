"""Rays of a calibrated camera as the network is told them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from banana_cli.fit import plan_fit
from banana_cli.model.maps import fill_lens_rays, fill_rays
from banana_cli.types import F64


@dataclass(frozen=True)
class Plain:
    """No distortion; the axis through ``centre`` (x, y)."""

    focal: float
    centre: tuple[float, float]

    def rays(self, x: F64, y: F64) -> tuple[F64, F64]:
        return (x - self.centre[0]) / self.focal, (y - self.centre[1]) / self.focal


def test_a_plain_lens_is_the_pinhole_and_a_moved_axis_moves_all_rays() -> None:
    fit = plan_fit((406, 722), side=512)
    pinhole, lens, moved = (torch.zeros(2, *fit.padded) for _ in range(3))
    fill_rays(pinhole, (0, 0), fit, 600.0)
    fill_lens_rays(lens, (0, 0), fit, Plain(600.0, (360.5, 202.5)))
    fill_lens_rays(moved, (0, 0), fit, Plain(600.0, (390.5, 187.5)))
    assert torch.allclose(pinhole, lens, atol=1e-6)
    assert torch.allclose(lens[0] - moved[0], torch.tensor(30 / 600.0), atol=1e-6)
    assert torch.allclose(lens[1] - moved[1], torch.tensor(-15 / 600.0), atol=1e-6)
