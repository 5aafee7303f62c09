"""What the model is shown of physical values: named windows, the file's own, or a robust range."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from banana_cli.errors import UsageError
from banana_cli.types import F32, Modality, View

# centre and width in HU; the model was trained on soft, lung and bone, in this order
WINDOWS = {
    "soft": (40.0, 400.0),
    "lung": (-600.0, 1500.0),
    "bone": (300.0, 1500.0),
    "brain": (40.0, 80.0),
    "mediastinum": (50.0, 350.0),
    "liver": (60.0, 160.0),
}
_CT_VIEWS = ("soft", "lung", "bone")
_SAMPLE = 2**16  # pixels of a picture that a robust range looks at
_PERCENTILES = (1.0, 99.5)


def view_of(centre: float, width: float) -> View:
    """The view of band 0 that a window cuts out."""
    return View(band=0, low=centre - width / 2, high=centre + width / 2)


def ct_views() -> tuple[View, ...]:
    """Soft tissue, lung and bone, in HU."""
    return tuple(view_of(*WINDOWS[name]) for name in _CT_VIEWS)


def colour_views() -> tuple[View, ...]:
    """Red, green and blue, 0..255."""
    return tuple(View(band=k, low=0.0, high=255.0) for k in range(3))


def named_window(window: str, modality: Modality, *, colour: bool, subject: str) -> View:
    """The view of ``--window``. UsageError where it is malformed or cannot act on this input."""
    if colour:
        raise UsageError(
            "--window cannot act on a colour picture", subject=subject, remedy="leave --window out for it"
        )
    if window.lower() in WINDOWS:
        if modality is not Modality.CT:
            raise UsageError(
                f"--window {window} is in HU and this is no CT",
                subject=subject,
                remedy="use --window CENTRE/WIDTH",
            )
        return view_of(*WINDOWS[window.lower()])
    try:
        centre, width = (float(v) for v in window.split("/"))
        if not np.isfinite([centre, width]).all() or width <= 0:
            raise ValueError
    except ValueError:
        names = ", ".join(WINDOWS)
        raise UsageError(
            f"--window {window} is no window", subject=subject, remedy=f"use CENTRE/WIDTH or one of {names}"
        ) from None
    return view_of(centre, width)


def sample(values: F32) -> F32:
    """An even sample of at most about 65,000 values."""
    flat = values.reshape(-1)
    return flat[:: max(1, flat.size // _SAMPLE)]


def robust_view(samples: Iterable[F32]) -> View:
    """From the 1st to the 99.5th percentile of all samples together; never empty."""
    parts = [s for s in samples if s.size]
    if not parts:
        return View(band=0, low=0.0, high=1.0)
    low, high = (float(v) for v in np.percentile(np.concatenate(parts), _PERCENTILES))
    return View(band=0, low=low, high=high if high > low else low + max(1.0, abs(low) * 1e-3))
