"""Surfaces of volumes against analytic bodies: depth to half a voxel, normals to five degrees."""

from __future__ import annotations

import numpy as np
import pytest
from medical_made import folder_items, frames_of, options, save_series
from test_medical_identity import banana

from banana_cli.options import ViewName
from banana_cli.types import DepthKind, LayerKind, Unit

SURFACE = (LayerKind.DEPTH, LayerKind.NORMALS)
# from which side each view looks, in patient axes (x left, y posterior, z superior)
AWAY = {
    ViewName.ANTERIOR: (0, 1, 0),
    ViewName.POSTERIOR: (0, -1, 0),
    ViewName.LEFT: (-1, 0, 0),
    ViewName.RIGHT: (1, 0, 0),
    ViewName.SUPERIOR: (0, 0, -1),
    ViewName.INFERIOR: (0, 0, 1),
}
UP = {v: (0, 0, 1) for v in AWAY} | {ViewName.SUPERIOR: (0, -1, 0), ViewName.INFERIOR: (0, -1, 0)}


def grid_points(shape, spacing, right, down, step, origin):
    """(slices, rows, columns, 3) mm of voxel centres."""
    k, r, c = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    axes = [np.array(v, float) for v in (step, down, right)]
    return (
        np.array(origin, float)
        + k[..., None] * axes[0]
        + r[..., None] * axes[1] * spacing[0]
        + c[..., None] * axes[2] * spacing[1]
    )


def sphere(points, centre, radius, axes):
    """HU of a sphere with partial volume: its edge is as wide as a voxel looks from there."""
    offset = points - centre
    distance = np.linalg.norm(offset, axis=-1)
    outward = offset / np.maximum(distance, 1e-6)[..., None]
    width = sum(np.abs(outward @ np.array(axis, float)) for axis in axes)
    return -1000 + 1040 * np.clip((radius - distance) / width + 0.5, 0, 1)


def surface(tmp_path, voxels, view, **where):
    save_series(tmp_path / "s", voxels, **where)
    (item,) = folder_items(tmp_path)
    (frame,) = frames_of(item, options(*SURFACE, view=view))
    return frame, *frame.measured


def patient_points(frame, depth, view):
    """(H, W, 3) mm where each pixel's surface lies, from the frame's own geometry."""
    plane = frame.geometry.plane
    rows, cols = np.mgrid[: frame.shape[0], : frame.shape[1]]
    away = np.array(AWAY[view], float)
    return (
        np.array(plane.position)
        + cols[..., None] * np.array(plane.right) * plane.spacing[1]
        + rows[..., None] * np.array(plane.down) * plane.spacing[0]
        + depth[..., None] * away
    )


def tilted(axis, degrees):
    a = np.deg2rad(degrees)
    c, s = np.cos(a), np.sin(a)
    turn = {"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]]}[axis]
    return np.array(turn)


PLACES = {
    "isotropic": {"right": (1, 0, 0), "down": (0, 1, 0), "step": (0, 0, 1)},
    "axial": {"right": (1, 0, 0), "down": (0, 1, 0), "step": (0, 0, 2)},
    "coronal, head first": {"right": (1, 0, 0), "down": (0, 0, -1), "step": (0, 1.5, 0)},
    "oblique": {
        "right": tuple(tilted("z", 25) @ (1, 0, 0)),
        "down": tuple(tilted("z", 25) @ (0, 1, 0)),
        "step": (0, 0, 2),
    },
    "gantry tilt": {
        "right": (1, 0, 0),
        "down": tuple(tilted("x", 15) @ (0, 1, 0)),
        "step": (0, 0, 2),
    },
}


CASES = [("axial", view) for view in ViewName] + [
    ("isotropic", ViewName.ANTERIOR),
    ("coronal, head first", ViewName.LEFT),
    ("coronal, head first", ViewName.POSTERIOR),
    ("oblique", ViewName.ANTERIOR),
    ("oblique", ViewName.RIGHT),
    ("gantry tilt", ViewName.ANTERIOR),
    ("gantry tilt", ViewName.LEFT),
    ("gantry tilt", ViewName.INFERIOR),
]


@pytest.mark.parametrize("place, view", CASES)
def test_a_sphere_from_every_side(tmp_path, view, place):
    where = PLACES[place]
    shape, spacing = (40 if place == "isotropic" else 30, 56, 52), (1.0, 1.0)
    corner = grid_points(shape, spacing, **where, origin=(0, 0, 0))[-1, -1, -1]
    centre, radius = corner / 2, 17.0
    points = grid_points(shape, spacing, **where, origin=(0, 0, 0))
    voxels = sphere(points, centre, radius, (where["right"], where["down"], where["step"]))
    frame, depth, normals = surface(tmp_path, voxels, view, **where)
    assert depth.depth_kind is DepthKind.METRIC and depth.unit is Unit.MILLIMETRE
    found = patient_points(frame, depth.values, view)
    out = (found - centre) / radius
    steep = (out @ np.array(AWAY[view], float)) > -0.5  # grazing rays see less than a voxel of depth
    core = depth.valid & ~steep
    assert core.sum() > 300
    radial = np.abs(np.linalg.norm(found[core] - centre, axis=-1) - radius)
    assert radial.max() < 0.5 * max(1.0, np.linalg.norm(where["step"]))
    plane = frame.geometry.plane
    axes = np.array([plane.right, plane.down, AWAY[view]], float)
    expected = out[core] @ axes.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    cosine = (normals.xyz[:, core].T * expected).sum(1)
    assert np.rad2deg(np.arccos(np.clip(cosine, -1, 1))).max() < 5
    np.testing.assert_allclose(np.linalg.norm(normals.xyz[:, core], axis=0), 1, atol=1e-5)
    assert (normals.xyz[:, ~normals.valid] == 0).all() and np.isnan(depth.values[~depth.valid]).all()


@pytest.mark.parametrize("view", ViewName)
def test_a_box_has_a_flat_front_at_its_distance(tmp_path, view):
    voxels = np.full((20, 44, 40), -1000.0)
    voxels[3:17, 6:38, 5:35] = 40  # faces half a voxel outside of these centres
    where = {"step": (0, 0, 3), "origin": (-30, 40, 7)}
    frame, depth, normals = surface(tmp_path, voxels, view, **where)
    low = np.array((-30 + 5 - 0.5, 40 + 6 - 0.5, 7 + 3 * (3 - 0.5)))
    high = np.array((-30 + 35 - 0.5, 40 + 38 - 0.5, 7 + 3 * (17 - 0.5)))
    away = np.array(AWAY[view])
    axis = int(np.abs(away).argmax())
    front = low[axis] if away[axis] > 0 else high[axis]
    found = patient_points(frame, depth.values, view)[depth.valid][:, axis]
    assert np.abs(found - front).max() < 0.5 * (3 if axis == 2 else 1)
    rows, cols = np.nonzero(depth.valid)
    middle = (rows.min() + rows.max()) // 2, (cols.min() + cols.max()) // 2
    np.testing.assert_allclose(normals.xyz[:, middle[0], middle[1]], (0, 0, -1), atol=0.02)
    assert depth.values[middle] > 0
    margin = 7  # mm: a little more than two voxels, as far as the smoothing rounds an edge off
    face = np.s_[rows.min() + margin : rows.max() - margin, cols.min() + margin : cols.max() - margin]
    lean = np.rad2deg(np.arccos(np.clip(-normals.xyz[2][face], -1, 1)))
    assert lean.size > 100 and lean.max() < 5


@pytest.mark.parametrize("view", ViewName)
def test_the_picture_is_upright(tmp_path, view):
    """A knob above a body appears towards the view's upper edge."""
    voxels = np.full((20, 20, 20), -1000.0)
    voxels[6:14, 6:14, 6:14] = 40
    up = np.array(UP[view])
    axis = int(np.abs(up).argmax())
    knob = [slice(8, 12)] * 3
    knob[2 - axis] = slice(14, 18) if up[axis] > 0 else slice(2, 6)
    voxels[tuple(knob)] = 40
    _, depth, _ = surface(tmp_path, voxels, view, step=(0, 0, 1))
    rows = np.nonzero(depth.valid.any(axis=1))[0]
    widths = depth.valid[rows].sum(axis=1)
    assert widths[0] < widths[-1]


def test_mr_surfaces_lie_between_air_and_tissue(tmp_path):
    shape, rng = (24, 40, 40), np.random.default_rng(0)
    points = grid_points(shape, (1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 2), (0, 0, 0))
    centre = np.array((19.5, 19.5, 23))
    inside = np.clip(15 - np.linalg.norm(points - centre, axis=-1) + 0.5, 0, 1)
    voxels = inside * 400 + np.abs(rng.normal(0, 12, shape))
    voxels[10:14, 18:22, 18:22] = 1500  # fat must not pull the threshold up
    frame, depth, _ = surface(tmp_path, voxels, ViewName.ANTERIOR, step=(0, 0, 2), Modality="MR")
    found = patient_points(frame, depth.values, ViewName.ANTERIOR)
    core = depth.valid & ((found - centre)[..., 1] < -8)
    assert np.abs(np.linalg.norm(found[core] - centre, axis=-1) - 15).max() < 0.5 * 2


def test_only_the_surface_is_read_where_only_depth_is_wanted(tmp_path):
    save_series(tmp_path / "s", np.pad(np.full((4, 6, 6), 40), 2, constant_values=-1000))
    (item,) = folder_items(tmp_path)
    (frame,) = frames_of(item, options(*SURFACE))
    assert {m.kind for m in frame.measured} == set(SURFACE)
    assert frame.provenance.extra["layers"] == ["depth", "normals"]
    both = frames_of(item, options())
    assert len(both) == 9
    assert [f.provenance.extra["layers"] for f in both[:8]] == [["masks"]] * 8
    assert both[8].provenance.index == 8 and both[8].measured


@pytest.mark.parametrize("view, told", [(ViewName.ANTERIOR, True), (ViewName.POSTERIOR, False)])
def test_a_view_of_the_scan_s_own_end_says_so(tmp_path, view, told):
    """Tissue that the scan's front cuts through; its back is in the air."""
    voxels = np.full((6, 12, 12), 40)
    voxels[:, 8:] = -1000
    frame, _, _ = surface(tmp_path, voxels, view, step=(0, 0, 2))
    assert ("100% of what is seen" in frame.provenance.extra.get("notice", "")) == told
    assert frame.provenance.extra["cut_share"] == (1.0 if told else 0.0)


def test_a_user_is_told_of_it(tmp_path):
    save_series(tmp_path / "s", np.full((6, 12, 12), 40), step=(0, 0, 2))
    status, said = banana("depth", tmp_path / "s", "-o", tmp_path / "out")
    assert status == 0 and "where the scan ends inside the body" in said


def test_three_slices_are_no_volume(tmp_path):
    save_series(tmp_path / "s", np.full((3, 6, 6), 40))
    (item,) = folder_items(tmp_path)
    frames = frames_of(item, options())
    assert len(frames) == 3 and not any(f.measured or "layers" in f.provenance.extra for f in frames)


def test_uneven_slices_keep_their_places_and_are_reported(tmp_path):
    from banana_adapters.medical import MEDICAL

    offsets = [0, 1, 2, 3, 4, 9, 10, 11, 12, 13]
    points = grid_points((14, 40, 40), (1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 2), (0, 0, 0))[offsets]
    flat = points * (1, 1, 0)  # of every slice alike: a cylinder
    voxels = sphere(flat, (19.5, 19.5, 0), 12, ((1, 0, 0), (0, 1, 0)))
    save_series(tmp_path / "s", voxels, step=(0, 0, 2), offsets=offsets)
    (item,) = folder_items(tmp_path)
    assert any("2 to 10 mm" in n for n in MEDICAL.inspect(item, options()).notices)
    (frame,) = frames_of(item, options(*SURFACE))
    depth = frame.measured[0]
    assert frame.shape[0] == 28
    expected = 20 - 12
    assert np.abs(np.nanmin(depth.values, axis=1) - expected).max() < 0.5


def test_a_volume_of_air_is_one_clear_error(tmp_path):
    save_series(tmp_path / "s", np.full((5, 6, 6), -1000))
    (item,) = folder_items(tmp_path)
    (bad,) = frames_of(item, options(*SURFACE))
    assert "no surface" in bad.error.message


def half_space(points, normal, offset, axes):
    """HU of tissue below a plane with partial volume; ``normal`` points out of it."""
    width = sum(np.abs(normal @ np.array(axis, float)) for axis in axes)
    return -1000 + 1040 * np.clip((offset - points @ normal) / width + 0.5, 0, 1)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("lean, turn", [(0, 0), (20, 40), (35, -70), (50, 170)])
def test_a_tilted_plane_is_flat_and_leans_as_it_should(tmp_path, place, lean, turn):
    view, where = ViewName.ANTERIOR, PLACES[place]
    away = np.array(AWAY[view], float)
    side = np.array((np.cos(np.deg2rad(turn)), 0, np.sin(np.deg2rad(turn))))
    normal = -np.cos(np.deg2rad(lean)) * away + np.sin(np.deg2rad(lean)) * side
    points = grid_points((30, 56, 52), (1, 1), **where, origin=(0, 0, 0))
    middle = points[15, 28, 26]
    axes = (where["right"], where["down"], where["step"])
    voxels = half_space(points, normal, middle @ normal, axes)
    frame, depth, normals = surface(tmp_path, voxels, view, **where)
    found = patient_points(frame, depth.values, view)
    near = depth.valid & (np.linalg.norm(found - middle, axis=-1) < 10)  # far from the volume's own ends
    assert near.sum() > 100
    voxel = max(1.0, np.linalg.norm(where["step"]))
    assert np.abs((found[near] - middle) @ normal).max() < 0.5 * voxel
    plane = frame.geometry.plane
    expected = np.array((plane.right, plane.down, away), float) @ normal
    cosine = (normals.xyz[:, near].T * expected).sum(1)
    assert np.rad2deg(np.arccos(np.clip(cosine, -1, 1))).max() < 5


@pytest.mark.parametrize("asked, level, radius", [("bone", 250, 10), ("520", 520, 10), ("skin", -300, 20)])
def test_bone_skin_or_a_number_choose_the_surface(tmp_path, asked, level, radius):
    """Bone of 1000 HU inside tissue of 40 HU inside air: each level has its own sphere."""
    points = grid_points((24, 48, 48), (1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 2), (0, 0, 0))
    centre = points[-1, -1, -1] / 2
    axes = ((1, 0, 0), (0, 1, 0), (0, 0, 2))
    skin, bone = (sphere(points, centre, r, axes) for r in (20, 10))
    voxels = skin + (bone + 1000) * 960 / 1040
    save_series(tmp_path / "s", voxels, step=(0, 0, 2))
    (item,) = folder_items(tmp_path)
    (frame,) = frames_of(item, options(*SURFACE, view=ViewName.RIGHT, surface=asked))
    depth, normals = frame.measured
    assert frame.provenance.extra["threshold"] == level and frame.provenance.extra["surface"] == asked
    assert f"{level} HU" in depth.note
    found = patient_points(frame, depth.values, ViewName.RIGHT)
    out = (found - centre) / radius
    core = depth.valid & (out @ np.array(AWAY[ViewName.RIGHT], float) < -0.5)
    assert core.sum() > 100
    assert np.abs(np.linalg.norm(found[core] - centre, axis=-1) - radius).max() < 0.5 * 2
    plane = frame.geometry.plane
    view_axes = np.array((plane.right, plane.down, AWAY[ViewName.RIGHT]), float)
    expected = out[core] @ view_axes.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    cosine = (normals.xyz[:, core].T * expected).sum(1)
    assert np.rad2deg(np.arccos(np.clip(cosine, -1, 1))).max() < 5


def test_a_number_is_in_the_values_of_an_mr(tmp_path):
    voxels = np.zeros((8, 20, 20))
    voxels[:, 4:, :] = 100
    voxels[:, 12:, :] = 900
    save_series(tmp_path / "s", voxels, step=(0, 0, 2), Modality="MR")
    (item,) = folder_items(tmp_path)
    fronts = {}
    for asked in ("50", "500", "1200"):
        (frame,) = frames_of(item, options(*SURFACE, surface=asked))
        fronts[asked] = getattr(frame, "measured", None) and float(np.nanmedian(frame.measured[0].values))
    assert fronts == {"50": pytest.approx(4, abs=0.5), "500": pytest.approx(12, abs=0.5), "1200": None}
