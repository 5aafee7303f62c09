"""What the trainer eats: one crop at network resolution, whatever it came from."""

from __future__ import annotations

from dataclasses import dataclass

from banana_cli.types import F32, U8, U16, Bool, Modality

UNCOUNTED = 65_535  # an instance's number where it is not known whether there is one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """One crop with the labels that its source has.

    ``image`` (3, H, W) float32 in [0, 1]; ``valid`` (H, W) False on padding and nodata; ``rays``
    (2, H, W) float32 ((x-cx)/f, (y-cy)/f), zeros where the camera is unknown or there is none.
    ``focal_px`` at this resolution and ``pitch`` (m or mm per pixel) are NaN where unknown.
    ``label`` (H, W) uint8 indexes ``sets``, 255 = ignore; each set is the class ids that the label
    may mean (a pack's "other" is every class which that pack does not label), so one loss serves
    all packs: minus log of the probability of the set. ``depth`` (H, W) in physical units, NaN = no
    label; ``normals`` (3, H, W), 0 = no label. ``true_focal_px`` is the focal length even where it
    was hidden from the network (NaN where really unknown), since metric depth needs it. ``instances``
    (H, W) uint16 numbers the countable things, 0 elsewhere, UNCOUNTED where nobody knows; None: nowhere.
    """

    image: F32
    valid: Bool
    rays: F32
    label: U8
    sets: tuple[tuple[int, ...], ...]
    depth: F32
    normals: F32
    modality: Modality
    focal_px: float
    true_focal_px: float
    pitch: float
    source: str
    instances: U16 | None = None
