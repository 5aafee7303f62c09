"""A known object stays where it is in the patient: every orientation, tilt and gap, read back by others."""

from __future__ import annotations

import tempfile
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
from banana_adapters.medical.geometry import Plane, stack_of
from banana_adapters.medical.lattice import lattice
from banana_adapters.medical.sinks import DCM, NII, SC
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from medical_back import nii_nibabel, nii_sitk, pm_points, pm_volume, sc_sitk, seg_frames, seg_volume
from medical_made import folder_items, options, save_series, write

from banana_cli.classes import MEDICAL as TABLE
from banana_cli.errors import UsageError
from banana_cli.options import ViewName
from banana_cli.types import LayerKind

MASKS = options(LayerKind.MASKS)
BONE = TABLE.id_of("bone")
ORIGIN, SPACING = np.array((12.5, -40.25, 7.0)), (0.8, 1.3)
ORIENTATIONS = [
    tuple(np.eye(3)[axis] * sign for axis, sign in zip(order, signs, strict=True))
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]
BLOCK = (slice(3, 5), slice(1, 3), slice(6, 10))


def block_volume(slices=6):
    """Air with a block of bone away from the middle."""
    voxels = np.full((slices, 9, 11), -500)
    voxels[BLOCK] = 500
    return voxels


def block_points(right, down, step, offsets):
    """(N, 3) mm of the block's voxels."""
    k, row, col = np.argwhere(block_volume(len(offsets)) > 0).T
    rows, cols = row[:, None] * SPACING[0] * down, col[:, None] * SPACING[1] * right
    return ORIGIN + np.array(offsets)[k][:, None] * step + rows + cols


def written_series(folder, right, down, step, offsets=range(6), opts=MASKS, **tags):
    where = {"right": right, "down": down, "step": step, "origin": ORIGIN, "offsets": offsets}
    save_series(folder / "s", block_volume(len(offsets)), PixelSpacing=list(SPACING), **where, **tags)
    (item,) = folder_items(folder)
    return write(item, folder / "out", opts)


@pytest.mark.parametrize("right, down, step", ORIENTATIONS)
def test_masks_stay_in_all_48_orientations(tmp_path, right, down, step):
    centre = block_points(right, down, 2.5 * step, range(6)).mean(axis=0)
    written = written_series(tmp_path, right, down, 2.5 * step)
    seg, nii = written["masks.dcm"][0], written["masks.nii"][0]
    for found in (
        seg_volume(seg, "bone"),
        seg_frames(seg, "bone"),
        nii_nibabel(nii, "bone"),
        nii_sitk(nii, BONE, BONE),
    ):
        assert len(found) == 2 * 2 * 4
        np.testing.assert_allclose(found.mean(axis=0), centre, atol=0.01)


@pytest.mark.parametrize("right, down, step", ORIENTATIONS)
def test_maps_stay_in_all_48_orientations(tmp_path, right, down, step):
    """Three slices are no volume: each has a map of its own, here HU / 10 of a block of 500."""
    voxels = block_volume()[2:5]
    where = {"right": right, "down": down, "step": 2.5 * step, "origin": ORIGIN + 5 * step}
    save_series(tmp_path / "s", voxels, PixelSpacing=list(SPACING), **where)
    (item,) = folder_items(tmp_path)
    written = write(item, tmp_path / "out", options(LayerKind.DEPTH), (DCM, NII, SC))
    centre = block_points(right, down, 2.5 * step, range(6)).mean(axis=0)
    pm, nii = written["depth.dcm"][0], written["depth.nii"][0]
    capture = sc_sitk(written["depth.sc.dcm"][0])
    for found in (pm_points(pm, 49, 51), pm_volume(pm, 49, 51), nii_sitk(nii, 49, 51), capture):
        assert len(found) == 2 * 2 * 4
        np.testing.assert_allclose(found.mean(axis=0), centre, atol=0.01)
    image = nibabel.load(written["depth.nii"][0])
    index = np.argwhere(np.abs(np.asarray(image.dataobj) - 50) < 1)
    ras = nibabel.affines.apply_affine(image.affine, index).mean(axis=0)
    np.testing.assert_allclose(ras * (-1, -1, 1), centre, atol=0.01)


@pytest.mark.parametrize("right, down, step", ORIENTATIONS)
def test_surfaces_stay_in_all_48_orientations(tmp_path, right, down, step):
    """The block's front as seen from the left: place of the map and its values, within half a voxel."""
    written = written_series(
        tmp_path, right, down, 2.5 * step, opts=options(LayerKind.DEPTH, view=ViewName.LEFT)
    )
    corners = block_points(right, down, 2.5 * step, range(6))
    half = (np.abs(right) * SPACING[1] + np.abs(down) * SPACING[0] + np.abs(step) * 2.5) / 2
    low, high = corners.min(axis=0) - half, corners.max(axis=0) + half
    found = pm_points(written["depth.dcm"][0], 0, 1000)
    middle = (low + high) / 2
    assert np.abs(found.mean(axis=0) - middle)[1:].max() < 0.5 * max(2.5, *SPACING)
    pitch = min(SPACING)
    area = float(np.prod((high - low)[1:]))
    assert len(found) * pitch**2 == pytest.approx(area, rel=0.5)


def turned(angles):
    """A rotation by three angles."""
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        one = np.eye(3)
        i, j = (k for k in range(3) if k != axis)
        one[i, i], one[j, j], one[i, j], one[j, i] = c, c, -s, s
        turn = turn @ one
    return turn


angle = st.floats(-3.1, 3.1)
gaps = st.lists(st.sampled_from([1.0, 1.0, 1.0, 2.0, 2.6, 5.0]), min_size=5, max_size=8)


@settings(max_examples=12, deadline=None, derandomize=True, phases=[Phase.generate], database=None)
@given(angles=st.tuples(angle, angle, angle), lean=st.tuples(*[st.floats(-0.7, 0.7)] * 2), gaps=gaps)
def test_tilted_and_uneven_stacks_stay_within_half_a_voxel(angles, lean, gaps):
    turn = turned(angles)
    right, down, normal = turn.T
    step = 1.5 * (normal + lean[0] * down + lean[1] * right)
    offsets = np.concatenate([[0], np.cumsum(gaps)])
    truth = block_points(right, down, step, offsets).mean(axis=0)
    with tempfile.TemporaryDirectory() as folder:
        written = written_series(Path(folder), right, down, step, offsets)
        seg, nii = written["masks.dcm"][0], written["masks.nii"][0]
        exact = seg_frames(seg, "bone")
        moved = nii_nibabel(nii, "bone")
        again = nii_sitk(nii, BONE, BONE)
    with tempfile.TemporaryDirectory() as folder:  # radiographs have no surface, so each its own map
        depth = options(LayerKind.DEPTH)
        maps = written_series(Path(folder), right, down, step, offsets, depth, Modality="DX")
        mapped = pm_points(maps["depth.dcm"][0], 49, 51)
    assert len(mapped) == 16
    np.testing.assert_allclose(mapped.mean(axis=0), truth, atol=0.01)
    np.testing.assert_allclose(again.mean(axis=0), moved.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(exact.mean(axis=0), truth, atol=0.01)
    off = np.abs((moved.mean(axis=0) - truth) @ turn)
    assert len(moved) == 16 and (off <= 0.5 * np.array((SPACING[1], SPACING[0], 1.5)) + 1e-3).all()


def test_a_lost_slice_leaves_its_place_and_a_tilt_its_margin_without_an_answer(tmp_path):
    offsets = [0, 1, 2, 3, 5, 6]
    path, facts = written_series(tmp_path, *np.eye(3)[:2], np.array((0, 0.8, 2.5)), offsets)["masks.nii"]
    voxels = np.asarray(nibabel.load(path).dataobj)
    assert voxels.shape == (11, 9 + 6, 7) and facts["grid"]["empty_places"] == 1
    assert (voxels[:, :, 4] == 255).all() and (voxels[:, :1, 1:4] == 255).all()
    assert (voxels != 255).sum() == 6 * 9 * 11 and facts["grid"]["slices_moved_mm"] < 1e-6


def test_slices_that_no_grid_fits_are_refused(tmp_path):
    with pytest.raises(UsageError, match="unevenly"):
        written_series(tmp_path, *np.eye(3)[:2], np.array((0, 0, 1.0)), [0, 0.002, 55, 211, 513, 917])


def test_slow_drift_of_the_step_is_uneven_too(tmp_path):
    """Steps of 1.00 and then 1.09 mm are alike, yet the middle lies a voxel off an even stack."""
    offsets = np.concatenate([np.arange(40), 40 + 1.09 * np.arange(40)])
    planes = [Plane(position=(0, 0, z), right=(1, 0, 0), down=(0, 1, 0), spacing=(1, 1)) for z in offsets]
    stack = stack_of(planes)
    assert stack.uneven
    grid = lattice(stack, (4, 4), 1)
    placed = grid.affine[2, 3] + grid.affine[2, 2] * np.array(grid.places)[:, 0]
    assert np.abs(placed - offsets).max() <= 0.5 * grid.affine[2, 2] + 1e-6 and grid.moved_mm < 0.51
    assert stack.extents().sum() == pytest.approx(offsets[-1] + (1 + 1.09) / 2)
