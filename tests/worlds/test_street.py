"""The street world's truth: checked against geometry, not against itself."""

from __future__ import annotations

import numpy as np
import pytest

from banana_cli.classes import STREET
from banana_cli.types import NO_CLASS
from banana_cli.worlds import noise
from banana_cli.worlds.contact import panel, sheet
from banana_cli.worlds.sample import Sample
from banana_cli.worlds.street import StreetScene, sample
from banana_cli.worlds.street_cars import hull
from banana_cli.worlds.street_ground import KERB, make_road, meet
from banana_cli.worlds.street_parts import Builder, Look
from banana_cli.worlds.street_shapes import SHAPES

SIZE = (144, 256)
SEEDS = range(8)


@pytest.fixture(scope="module")
def scenes() -> list[StreetScene]:
    return [StreetScene.make(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def samples(scenes: list[StreetScene]) -> list[Sample]:
    return [scene.render(*SIZE) for scene in scenes]


def unproject(s: Sample) -> np.ndarray:
    """(3, H, W) points in camera axes."""
    h, w = s.ids.shape
    x, y = np.meshgrid(np.arange(w), np.arange(h))
    assert s.focal_px is not None and s.centre is not None
    return (
        np.stack([(x - s.centre[0]) / s.focal_px, (y - s.centre[1]) / s.focal_px, np.ones((h, w))]) * s.depth
    )


def up_in_camera(scene: StreetScene) -> np.ndarray:
    c = scene.camera
    # Built from the meaning of pitch (looks up) and roll (clockwise), not from the renderer's matrices.
    up = np.array([0.0, -np.cos(c.pitch), np.sin(c.pitch)])
    return np.array(
        [
            up[0] * np.cos(c.roll) + up[1] * np.sin(c.roll),
            -up[0] * np.sin(c.roll) + up[1] * np.cos(c.roll),
            up[2],
        ]
    )


def test_same_seed_same_bits() -> None:
    a, b, c = sample(5, *SIZE), sample(5, *SIZE), sample(6, *SIZE)
    for name in ("views", "ids", "instances", "depth", "normals"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name
    assert a.views.tobytes() != c.views.tobytes()


def test_ground_lies_under_the_camera(scenes: list[StreetScene], samples: list[Sample]) -> None:
    checked = 0
    for scene, s in zip(scenes, samples, strict=True):
        road = (s.ids == STREET.id_of("road")) & (s.depth < 30)
        if scene.road.hill != 0 or road.sum() < 500:
            continue
        up = up_in_camera(scene)
        assert np.abs(s.normals[:, road] - up[:, None]).max() < 1e-5
        height = -(up[:, None] * unproject(s)[:, road]).sum(0)
        assert abs(float(np.median(height)) - scene.camera.height) < 1e-3
        assert np.quantile(np.abs(height - scene.camera.height), 0.99) < 1e-3
        checked += 1
    assert checked >= 2


def test_planes_obey_their_normals(samples: list[Sample]) -> None:
    """On a flat surface a step to the next pixel is at right angles to the normal."""
    for s in samples:
        flat = np.isin(s.ids, [STREET.id_of(n) for n in ("road", "building", "bus", "truck")])
        p, n = unproject(s), s.normals
        same = flat[:, 1:] & flat[:, :-1] & (np.abs(n[:, :, 1:] - n[:, :, :-1]).max(0) < 1e-6)
        step = p[:, :, 1:] - p[:, :, :-1]
        length = np.linalg.norm(step, axis=0)
        same &= length < 0.05 * s.depth[:, 1:]
        off = np.abs((step * n[:, :, 1:]).sum(0))[same] / np.maximum(length[same], 1e-6)
        assert np.quantile(off, 0.9) < 0.02


def test_ids_depth_and_normals_agree(samples: list[Sample]) -> None:
    for s in samples:
        assert set(np.unique(s.ids)) <= {*range(len(STREET)), NO_CLASS}
        nothing = (s.ids == STREET.id_of("sky")) | (s.ids == NO_CLASS)
        assert np.isnan(s.depth[nothing]).all()
        assert (s.normals[:, nothing] == 0).all()
        there = ~nothing
        assert np.isfinite(s.depth[there]).all() and s.depth[there].min() > 0 and s.depth[there].max() <= 400
        length = np.linalg.norm(s.normals[:, there], axis=0)
        assert np.abs(length - 1).max() < 1e-4
        facing = (s.normals * unproject(s))[:, there].sum(0) / np.linalg.norm(unproject(s)[:, there], axis=0)
        assert (
            np.quantile(facing, 0.999) < 1e-3 and facing.max() < 0.02
        )  # borders are drawn half a pixel wide
        assert s.views.min() >= 0 and s.views.max() <= 1 and s.views.dtype == np.float32


def test_instances_are_of_countable_things(samples: list[Sample]) -> None:
    countable = [STREET.id_of(n) for n in ("person", "rider", "car", "truck", "bus", "motorcycle", "bicycle")]
    for s in samples:
        assert ((s.instances > 0) == np.isin(s.ids, countable)).all()
        for inst in np.unique(s.instances[s.instances > 0]):
            assert len(np.unique(s.ids[s.instances == inst])) == 1


def test_bonnet_has_no_truth(scenes: list[StreetScene], samples: list[Sample]) -> None:
    shown = [(sc, s) for sc, s in zip(scenes, samples, strict=True) if sc.camera.bonnet > 0]
    assert shown
    for _, s in shown:
        assert (s.ids[-1, SIZE[1] // 2] == NO_CLASS) and np.isnan(s.depth[-1, SIZE[1] // 2])


@pytest.mark.parametrize("seed", [1, 3, 4, 9])
def test_flow_carries_points_to_their_next_place(seed: int) -> None:
    """A point's next depth, read where flow says, is the depth of the same surface there."""
    scene = StreetScene.make(seed)
    now, then = scene.render(*SIZE, 0.2, 0.28), scene.render(*SIZE, 0.28)
    assert now.flow is not None and then.flow is None
    known = np.isfinite(now.flow[0])
    assert known.mean() > 0.3
    y, x = np.nonzero(known)
    u, v = x + now.flow[0, y, x], y + now.flow[1, y, x]
    column, row = np.rint(u).astype(int), np.rint(v).astype(int)
    assert (column >= 0).all() and (row >= 0).all() and (column < SIZE[1]).all() and (row < SIZE[0]).all()
    same = then.ids[row, column] == now.ids[y, x]
    assert same.mean() > 0.97
    inst = (now.instances[y, x] > 0) & same
    if inst.any():
        assert (then.instances[row, column] == now.instances[y, x])[inst].mean() > 0.97


def test_flow_of_the_ground_is_the_ego_motion() -> None:
    """Straight level road: every ground point comes nearer by exactly the distance driven."""
    seed = next(
        k
        for k in range(200)
        if (s := StreetScene.make(k)).road.hill == 0 == s.road.bend == s.camera.shake and s.camera.speed > 5
    )
    scene = StreetScene.make(seed)
    now = scene.render(*SIZE, 0.0, 0.1)
    c = scene.camera
    assert now.flow is not None and now.focal_px is not None and now.centre is not None
    ground = (now.ids == STREET.id_of("road")) & np.isfinite(now.flow[0])
    ahead = np.array([-np.sin(c.yaw), 0, np.cos(c.yaw)])
    a, r = c.pitch, c.roll
    tilt = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])
    roll = np.array([[np.cos(r), np.sin(r), 0], [-np.sin(r), np.cos(r), 0], [0, 0, 1]])
    p = unproject(now)[:, ground] - (roll @ tilt @ ahead * c.speed * 0.1)[:, None]
    y, x = np.nonzero(ground)
    expected = p[:2] / p[2] * now.focal_px + np.array(now.centre)[:, None] - np.stack([x, y])
    assert np.abs(expected - now.flow[:, ground]).max() < 0.02


def test_standing_still_has_no_flow_on_static_things() -> None:
    seed = next(k for k in range(200) if StreetScene.make(k).camera.speed == 0)
    s = StreetScene.make(seed).render(*SIZE, 0.0, 0.1)
    assert s.flow is not None
    static = np.isin(s.ids, [STREET.id_of(n) for n in ("road", "building", "vegetation", "pole", "terrain")])
    static &= np.isfinite(s.flow[0])
    assert static.sum() > 1000
    assert np.abs(s.flow[:, static]).max() < 1e-3


def test_scene_is_the_same_at_other_sizes() -> None:
    scene = StreetScene.make(2)
    small, large = scene.render(108, 192), scene.render(216, 384)
    assert large.focal_px == pytest.approx(2 * (small.focal_px or 0))
    same = small.ids == large.ids[::2, ::2]
    assert same.mean() > 0.85


def test_variety() -> None:
    """Over a few dozen scenes nearly every class turns up."""
    seen: set[int] = set()
    for seed in range(40):
        seen |= set(sample(seed, 96, 160).ids.ravel().tolist())
    missing = set(range(len(STREET))) - seen
    assert missing <= {STREET.id_of("train")}


def test_a_road_that_ends_has_something_across_it() -> None:
    """Where the road runs into a cross street, no ground of its own lies beyond the far kerb."""
    checked = 0
    for seed in range(60):
        scene = StreetScene.make(seed)
        if checked == 3 or scene.road.end > 500 or abs(scene.camera.yaw) > 0.2:
            continue
        s = scene.render(72, 128)
        road = (s.ids == STREET.id_of("road")) & np.isfinite(s.depth)
        ahead = np.array([np.sin(-scene.camera.yaw), 0, np.cos(scene.camera.yaw)])
        level = unproject(s)[:, road].T @ ahead
        assert level.max() < (scene.road.end + 12) / np.cos(scene.road.heading(scene.road.end)) + 4
        checked += 1
    assert checked == 3


def test_a_kerb_across_our_way_looks_back_at_us() -> None:
    road = next(r for k in range(400) if (r := make_road(np.random.default_rng(k))).end < 40 and r.hill == 0)
    columns, rows = np.meshgrid(np.linspace(-0.4, 0.4, 90), np.linspace(1.1, 1.6, 120) / road.end)
    eye = np.array([road.ego, -1.4, 0.0], np.float32)
    rays = (columns.astype(np.float32), rows.astype(np.float32), np.ones_like(columns, np.float32))
    hit = meet(road, eye, rays)
    back = hit.kerb & (hit.kerb_sign == 0)
    if road.strips.raised[-1]:
        assert back.any()
    assert np.abs(hit.depth[back] - road.end).max(initial=0) < 1e-3
    height = hit.depth[back] * rows[back] - 1.4
    assert (np.abs(height + KERB / 2) <= KERB / 2 + 0.02).all()


def test_no_face_is_degenerate() -> None:
    """Every flat face of many vehicles, signs and trees has a normal: one without is never drawn."""
    for seed in range(12):
        scene = StreetScene.make(seed)
        length = np.linalg.norm(scene.faces["normal"], axis=1)
        assert np.abs(length - 1).max() < 1e-5


@pytest.mark.parametrize("index", range(len(SHAPES)))
def test_cars_are_closed(index: int) -> None:
    """Seen from all round, a level line through a car's body meets a face that looks at the viewer."""
    b, rng = Builder(), np.random.default_rng(index)
    shape = SHAPES[index]
    size = (shape.width, shape.height, shape.length)
    b.place(0, 0, size=size)
    hull(b, rng, 0, index, size, Look(cls=13), brake=False)
    faces = b.tables()[1]
    for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False):
        way = np.array([np.sin(angle), 0.0, np.cos(angle)])
        start = np.array([0.0, -0.5 * shape.height, 0.0]) - 9 * way
        assert _first_hit(faces, start, way) < 9


def _first_hit(faces: np.ndarray, start: np.ndarray, way: np.ndarray) -> float:
    """Distance to the nearest face whose front the ray meets."""
    best = np.inf
    for face in faces:
        n, corners = face["normal"].astype(float), face["corners"].astype(float)
        if n @ way >= -1e-6:
            continue
        t = n @ (corners[0] - start) / (n @ way)
        p = start + t * way
        edge = np.roll(corners, -1, axis=0) - corners
        turn = np.cross(edge, p - corners) @ n
        if (turn >= -1e-6).all() or (turn <= 1e-6).all():
            best = min(best, t)
    return float(best)


def test_noise_tiles() -> None:
    field = noise.tile(1, 8)
    assert abs(float(field.mean())) < 1e-5 and float(field.std()) == pytest.approx(1, abs=1e-4)
    u, v = np.meshgrid(np.linspace(0, 1, 50, dtype=np.float32), np.linspace(0, 1, 40, dtype=np.float32))
    assert np.abs(noise.lookup(field, u, v) - noise.lookup(field, u + 3, v - 2)).max() < 0.05
    seam = np.abs(field[0] - field[-1]).mean()
    assert seam < 2 * np.abs(field[100] - field[101]).mean()


def test_contact_sheet(samples: list[Sample]) -> None:
    assert panel(samples[0]).shape == (SIZE[0], 4 * SIZE[1], 3)
    picture = sheet(samples[:3], 2)
    assert picture.shape == (2 * SIZE[0], 8 * SIZE[1], 3) and picture.dtype == np.uint8
    assert (picture[SIZE[0] :, 4 * SIZE[1] :] == 0).all()
