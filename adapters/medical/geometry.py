"""Where a picture lies in the patient. DICOM's axes: x to the left, y to the back, z to the head; mm."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from banana_cli.types import F64, Json, Pitch, Unit

from .elements import first_item, numbers

Vector = tuple[float, float, float]
_UNIT_TOLERANCE = 1e-2  # direction cosines are rounded to few digits by some scanners
_AXES = (("L", "R"), ("P", "A"), ("H", "F"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A picture's plane: centre of pixel (0, 0), the directions of growing column and row, pixel size.

    ``right`` and ``down`` are unit vectors; ``spacing`` is (row, col), the distance of neighbouring
    rows and of neighbouring columns in mm.
    """

    position: Vector
    right: Vector
    down: Vector
    spacing: tuple[float, float]

    @property
    def normal(self) -> F64:
        """The unit vector right x down."""
        normal: F64 = np.cross(self.right, self.down)
        return normal

    @property
    def offset(self) -> float:
        """Position along the normal in mm."""
        return float(np.dot(self.normal, self.position))

    @property
    def orientation(self) -> tuple[float, ...]:
        """As ImageOrientationPatient."""
        return (*self.right, *self.down)

    def label(self) -> str:
        """Which sides of the patient the picture's right and lower edge point to, as "L\\\\P"."""
        return f"{_letters(self.right)}\\{_letters(self.down)}"

    def sides(self) -> tuple[str, str]:
        """The nearest side of the patient for each, one letter: for the tag PatientOrientation."""
        return (_letters(self.right)[0], _letters(self.down)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientGeometry:
    """A frame in the patient (``banana_cli.types.Geometry``); parts that the file lacks are None."""

    plane: Plane | None = None
    size_mm: tuple[float, float] | None = None
    frame_of_reference: str = ""
    slice_index: int = 0

    def focal_px(self) -> float | None:
        """Scans are orthographic and endoscopes say nothing of their lens."""
        return None

    def pitch(self) -> Pitch | None:
        """Size of a pixel in mm, where the file gives one."""
        size = self.plane.spacing if self.plane else self.size_mm
        return Pitch(row=size[0], col=size[1], unit=Unit.MILLIMETRE) if size else None

    def describe(self) -> dict[str, Json]:
        """Facts for the sidecar; the frame of reference is already hashed."""
        facts: dict[str, Json] = {"coordinates": "DICOM patient (x left, y posterior, z superior), mm"}
        if self.plane:
            facts["position_mm"] = list(self.plane.position)
            facts["orientation"] = list(self.plane.orientation)
        pitch = self.pitch()
        if pitch:
            facts["spacing_mm"] = [pitch.row, pitch.col]
        if self.frame_of_reference:
            facts["frame_of_reference_sha256"] = self.frame_of_reference
        return facts


def plane_of(ds: Dataset, frame: int | None = None) -> Plane | None:
    """The plane of a single-frame data set, or of one ``frame`` of an enhanced one; None if not given."""
    if frame is None:
        return _plane(
            numbers(ds, "ImagePositionPatient"),
            numbers(ds, "ImageOrientationPatient"),
            numbers(ds, "PixelSpacing"),
        )
    position = _functional(ds, frame, "PlanePositionSequence", "ImagePositionPatient")
    orientation = _functional(ds, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    return _plane(position, orientation, _functional(ds, frame, "PixelMeasuresSequence", "PixelSpacing"))


def functional_group(ds: Dataset, frame: int, sequence: str) -> Dataset | None:
    """A functional group's item for a frame: its own, or the one shared by all frames."""
    own = first_item(ds, "PerFrameFunctionalGroupsSequence", frame)
    shared = first_item(ds, "SharedFunctionalGroupsSequence")
    found = first_item(own, sequence) if own is not None else None
    return found if found is not None or shared is None else first_item(shared, sequence)


def _functional(ds: Dataset, frame: int, sequence: str, keyword: str) -> tuple[float, ...]:
    group = functional_group(ds, frame, sequence)
    return numbers(group, keyword) if group is not None else ()


def _plane(
    position: tuple[float, ...], orientation: tuple[float, ...], spacing: tuple[float, ...]
) -> Plane | None:
    if len(position) != 3 or len(orientation) != 6 or len(spacing) != 2 or min(spacing) <= 0:
        return None
    right, down = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(right), np.linalg.norm(down)
    if any(abs(n - 1) > _UNIT_TOLERANCE for n in lengths) or abs(right @ down) > _UNIT_TOLERANCE:
        return None
    u, _, vt = np.linalg.svd(np.stack([right, down]), full_matrices=False)  # the nearest right angle
    right, down = u @ vt
    return Plane(
        position=_vector(np.array(position)),
        right=_vector(right),
        down=_vector(down),
        spacing=(spacing[0], spacing[1]),
    )


def _vector(v: F64) -> Vector:
    return (float(v[0]), float(v[1]), float(v[2]))


def _letters(direction: Vector) -> str:
    order = sorted(range(3), key=lambda k: -abs(direction[k]))
    return "".join(_AXES[k][direction[k] < 0] for k in order if abs(direction[k]) > 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Parallel planes in order of their position along the normal.

    ``planes`` all have one orientation and spacing. ``order`` gives, for each place in the stack, the
    index of the picture there.
    """

    planes: tuple[Plane, ...]
    order: tuple[int, ...]

    @property
    def steps(self) -> F64:
        """(n-1,) distances along the normal in mm, all positive."""
        steps: F64 = np.diff([p.offset for p in self.planes])
        return steps

    @property
    def step(self) -> F64:
        """Mean vector from one plane to the next, in mm; oblique to the planes under gantry tilt."""
        first, last = np.array(self.planes[0].position), np.array(self.planes[-1].position)
        step: F64 = (last - first) / max(len(self.planes) - 1, 1)
        return step

    @property
    def tilt_deg(self) -> float:
        """Angle between the step and the normal: a gantry's tilt."""
        step, normal = self.step, self.planes[0].normal
        across = float(np.linalg.norm(np.cross(step, normal)))
        return math.degrees(math.atan2(across, abs(float(step @ normal))))

    @property
    def uneven(self) -> bool:
        """Whether a plane lies more than a tenth of a voxel off its place in an even stack."""
        places = np.array([p.position for p in self.planes])
        off = np.linalg.norm(places - places[0] - np.arange(len(places))[:, None] * self.step, axis=1)
        voxel = min(*self.planes[0].spacing, float(np.linalg.norm(self.step)))
        return bool(len(places) > 1 and off.max() > 0.1 * voxel)

    def extents(self) -> F64:
        """(n,) how far along the normal each plane stands for, in mm: half the way to its neighbours."""
        steps = self.steps
        if not len(steps):
            return np.ones(1)
        padded = np.concatenate([steps[:1], steps, steps[-1:]])
        extents: F64 = (padded[:-1] + padded[1:]) / 2
        return extents

    def affine(self) -> F64:
        """(4, 4): (column, row, place in the stack, 1) -> patient mm."""
        first = self.planes[0]
        matrix = np.eye(4)
        matrix[:3, 0] = np.array(first.right) * first.spacing[1]
        matrix[:3, 1] = np.array(first.down) * first.spacing[0]
        matrix[:3, 2] = self.step if len(self.planes) > 1 else first.normal
        matrix[:3, 3] = first.position
        return matrix


def stack_of(planes: list[Plane]) -> Stack | None:
    """Planes as a stack; None if two of them coincide or they are not parallel and alike."""
    first = planes[0]
    if any(not same_grid(first, p) for p in planes):
        return None
    order = sorted(range(len(planes)), key=lambda i: planes[i].offset)
    stack = Stack(planes=tuple(planes[i] for i in order), order=tuple(order))
    return None if len(planes) > 1 and stack.steps.min() < MIN_STEP_MM else stack


MIN_STEP_MM = 1e-3


def same_grid(a: Plane, b: Plane) -> bool:
    """Whether two planes have one orientation and one pixel size."""
    turned = np.abs(np.subtract(a.orientation, b.orientation)).max()
    return bool(turned < 1e-3 and np.allclose(a.spacing, b.spacing, rtol=1e-3))
