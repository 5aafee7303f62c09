"""What a world gives: a picture and its exact truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from banana_cli.types import F32, U8, U16, Modality, Pitch, ShapeError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """A rendered picture with exact truth; every array is (H, W, ...) of one size.

    ``views`` (3, H, W) float32 in [0, 1]: RGB, or three windows of a scan. ``ids`` (H, W) class ids of
    the modality's table, 255 = no label. ``instances`` (H, W) 0 = none. ``depth`` (H, W) float32, NaN
    where undefined (sky): street metres along the optical axis; aerial height above ground in metres;
    CT and MR depth below the skin in mm; X-ray path length scaled to [0, 1]; visible light relative or
    mm along the axis; ultrasound all NaN. ``normals`` (3, H, W) unit vectors, x right, y down, z away
    from the viewer, (0, 0, -1) faces the viewer, 0 where undefined. ``flow`` (2, H, W) pixels (x, y)
    from this frame to the next, NaN where the point is not seen next; None for single pictures.
    ``focal_px`` for pinhole cameras (principal point at ``centre`` (x, y) pixels), ``pitch`` for scans
    and orthographic scenes.
    """

    views: F32
    ids: U8
    instances: U16
    depth: F32
    normals: F32
    modality: Modality
    focal_px: float | None = None
    centre: tuple[float, float] | None = None
    pitch: Pitch | None = None
    flow: F32 | None = None

    def __post_init__(self) -> None:
        shape = self.ids.shape
        fits = (
            self.views.shape == (3, *shape)
            and self.instances.shape == shape
            and self.depth.shape == shape
            and self.normals.shape == (3, *shape)
            and (self.flow is None or self.flow.shape == (2, *shape))
        )
        if not fits or self.views.dtype != np.float32:
            raise ShapeError(f"Sample arrays do not fit ids of shape {shape}")
