"""A pinhole camera, and where its focal length is known from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from banana_cli.errors import UsageError
from banana_cli.options import CameraOptions
from banana_cli.types import F64, Json, Pitch

# CIPA: the 35 mm equivalent compares diagonals, and a film frame is 36 mm x 24 mm.
FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
CALIBRATION_LIMIT_BYTES = 1 << 20
_DISTORTIONS = (0, 4, 5, 8, 12, 14)  # how many numbers OpenCV's models have


class CameraSource(StrEnum):
    """Who says what the focal length is."""

    OPTION = "option"
    FILE = "file"
    EXIF = "exif"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinholeCamera:
    """A camera without skew; ``centre`` is (x, y) in pixels, ``focal`` in pixels or None."""

    focal: float | None
    centre: tuple[float, float]
    source: CameraSource
    distortion: tuple[float, ...] = ()

    def focal_px(self) -> float | None:
        """Focal length in pixels."""
        return self.focal

    def pitch(self) -> Pitch | None:
        """None: a pixel of a perspective picture has no size of its own."""
        return None

    def describe(self) -> dict[str, Json]:
        """Facts for the sidecar."""
        facts: dict[str, Json] = {
            "camera": "pinhole",
            "focal_px": self.focal,
            "centre_px": list(self.centre),
            "focal_from": self.source.value,
        }
        if self.distortion:
            facts["distortion"] = list(self.distortion)
        return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedCamera(PinholeCamera):
    """A camera whose every pixel's ray is known; ``focals`` are (x, y), ``distortion`` as in OpenCV."""

    focals: tuple[float, float]

    def rays(self, x: F64, y: F64) -> tuple[F64, F64]:
        """(X / Z, Y / Z) of the rays through pixel positions."""
        import cv2

        (fx, fy), (cx, cy) = self.focals, self.centre
        if not any(self.distortion):
            return (x - cx) / fx, (y - cy) / fy
        points = np.stack([x.ravel(), y.ravel()], axis=-1)[:, None]
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        found = cv2.undistortPoints(points, matrix, np.array(self.distortion))
        return found[:, 0, 0].reshape(x.shape), found[:, 0, 1].reshape(y.shape)


def find_camera(
    path: Path, shape: tuple[int, int], options: CameraOptions, *, exif_focal: float | None = None
) -> tuple[PinholeCamera, tuple[str, ...]]:
    """The camera of an upright picture of ``shape``, and notices.

    What the user says goes first, then a calibration file beside the input, then EXIF.
    UsageError if the options are no camera.
    """
    rows, cols = shape
    middle = ((cols - 1) / 2.0, (rows - 1) / 2.0)
    told = _focal_told(options, cols, str(path))
    if told is not None:
        return PinholeCamera(focal=told, centre=middle, source=CameraSource.OPTION), ()
    from_file, notices = _from_file(path.with_name(f"{path.stem}.calibration.json"), shape)
    if from_file is not None:
        return from_file, notices
    source = CameraSource.UNKNOWN if exif_focal is None else CameraSource.EXIF
    return PinholeCamera(focal=exif_focal, centre=middle, source=source), notices


def _focal_told(options: CameraOptions, cols: int, subject: str) -> float | None:
    if options.focal_px is not None:
        if not (math.isfinite(options.focal_px) and options.focal_px > 0):
            raise UsageError(
                f"a focal length of {options.focal_px} px cannot be",
                subject=subject,
                remedy="give --focal in pixels of the input, above 0",
            )
        return options.focal_px
    if options.fov_deg is None:
        return None
    if not 0 < options.fov_deg < 180:
        raise UsageError(
            f"a field of view of {options.fov_deg} degrees cannot be",
            subject=subject,
            remedy="give --fov as the horizontal angle, between 0 and 180 degrees",
        )
    return cols / 2.0 / math.tan(math.radians(options.fov_deg) / 2.0)


def _from_file(path: Path, shape: tuple[int, int]) -> tuple[PinholeCamera | None, tuple[str, ...]]:
    try:
        with path.open("rb") as file:
            data = file.read(CALIBRATION_LIMIT_BYTES)
    except FileNotFoundError:
        return None, ()
    except OSError as exc:
        return None, (f"{path.name} is not used: {exc.strerror or exc}",)
    try:
        camera = _parse(json.loads(data), shape)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as exc:
        return None, (f"{path.name} is not used, it is no camera calibration ({type(exc).__name__}: {exc})",)
    return camera, (f"the camera is taken from {path.name}",)


def _parse(facts: object, shape: tuple[int, int]) -> PinholeCamera:
    """The camera of {"K": 3x3, "size": [width, height], "dist": [...]}, scaled to the picture's size."""
    if not isinstance(facts, dict):
        raise TypeError("not an object")
    matrix = facts["K"]
    width, height = (float(v) for v in facts.get("size", (shape[1], shape[0])))
    fx, fy, cx, cy = float(matrix[0][0]), float(matrix[1][1]), float(matrix[0][2]), float(matrix[1][2])
    by_col, by_row = shape[1] / width, shape[0] / height
    focals = (fx * by_col, fy * by_row)
    focal = math.sqrt(focals[0] * focals[1])
    distortion = _distortion(facts.get("dist", ()))
    if not (math.isfinite(focal) and focal > 0 and math.isfinite(cx) and math.isfinite(cy)):
        raise ValueError("the focal length is not a positive number")
    if not 0.98 < by_col / by_row < 1.02:
        raise ValueError(f"made for {width:g}x{height:g}, the picture is {shape[1]}x{shape[0]}")
    return CalibratedCamera(
        focal=focal,
        focals=focals,
        centre=((cx + 0.5) * by_col - 0.5, (cy + 0.5) * by_row - 0.5),
        source=CameraSource.FILE,
        distortion=distortion,
    )


def _distortion(values: Iterable[object]) -> tuple[float, ...]:
    """Numbers in OpenCV's order, filled up with zeros. ValueError if they are none of its models."""
    given = tuple(float(str(value)) for value in values)
    length = next((n for n in _DISTORTIONS if n >= len(given)), None)
    if length is None or not all(math.isfinite(value) for value in given):
        raise ValueError("the distortion is none of OpenCV's models")
    return given + (0.0,) * (length - len(given))
