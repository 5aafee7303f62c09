"""Rendered worlds on disk: the same however they came there, and drawn the same however often."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from banana_cli import worlds
from banana_cli.errors import InputError, UsageError
from banana_cli.train import cache as cache_module
from banana_cli.train.augment import NETWORK_LONG, AugmentOptions
from banana_cli.train.cache import CachedWorld, Plan, SampleFacts, build, open_cache, plans
from banana_cli.train.example import Example
from banana_cli.train.mixture import DEFAULT_WEIGHTS, Mixture
from banana_cli.train.packs import Record
from banana_cli.train.splits import CLIPS, HELD_OUT, VALIDATION_SEED, LeakError, Pack
from banana_cli.train.worldset import RENDER_SHAPE, render, renderer_mark, to_record, world_example
from banana_cli.types import Modality, Pitch, Unit
from banana_cli.worlds.sample import Sample

SHAPE = (24, 40)
PLAN = Plan(modality=Modality.STREET, count=6, shape=SHAPE, first_seed=100)
SMALL = AugmentOptions(size=32)


def fake(modality: Modality, seed: int, shape: tuple[int, int]) -> Sample:
    """A tiny world: noise by seed, with a sky that has no depth."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(1, 80, shape).astype(np.float32)
    depth[:4] = np.nan
    normals = rng.normal(size=(3, *shape)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=0)
    normals[:, :4] = 0
    street = modality is Modality.STREET
    return Sample(
        views=rng.random((3, *shape), np.float32),
        ids=rng.integers(0, 6, shape).astype(np.uint8),
        instances=rng.integers(0, 4, shape).astype(np.uint16),
        depth=depth,
        normals=normals,
        modality=modality,
        focal_px=200.0 + seed if street else None,
        centre=(19.0, 11.0) if street else None,
        pitch=None if street else Pitch(row=0.5, col=0.5, unit=Unit.METRE),
    )


def contents(folder: Path) -> dict[str, bytes]:
    found = {p.name: p.read_bytes() for p in sorted((folder / "street").glob("*.npy"))}
    lines = (folder / "street" / "samples.jsonl").read_text().split("\n")
    return {**found, "facts": "\n".join(sorted(filter(None, lines))).encode()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cache")
    build(path, PLAN, renderer=fake)
    build(path, Plan(modality=Modality.AERIAL, count=3, shape=SHAPE), renderer=fake)
    return path


def test_records_are_the_samples(folder: Path) -> None:
    worlds = open_cache(folder)
    assert set(worlds) == {Modality.STREET, Modality.AERIAL}
    assert len(worlds[Modality.STREET]) == 6
    for index in range(6):
        record = worlds[Modality.STREET][index]
        sample = fake(Modality.STREET, 100 + index, SHAPE)
        assert record.name == str(100 + index)
        assert np.abs(record.image - sample.views).max() <= 0.5 / 255 + 1e-6
        assert np.array_equal(record.label, sample.ids)
        assert np.allclose(record.depth, sample.depth, rtol=1e-3, equal_nan=True)
        assert np.abs(record.normals.transpose(2, 0, 1) / 127 - sample.normals).max() < 0.005
        assert np.array_equal(record.instances, sample.instances)
        assert record.focal_px == sample.focal_px
        assert record.centre == sample.centre
        assert math.isnan(record.pitch)
    assert worlds[Modality.AERIAL][0].pitch == 0.5
    assert math.isnan(worlds[Modality.AERIAL][0].focal_px)


def test_the_facts_are_json_that_others_can_read(folder: Path) -> None:
    lines = (folder / "street" / "samples.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert first == {
        "index": 0,
        "seed": 100,
        "modality": "street",
        "focal_px": 300.0,
        "centre": [19.0, 11.0],
        "pitch": None,
    }


class Killed(Exception):
    """As if the process had been killed."""


def stop_after(count: int, samples: Iterable[SampleFacts], done: int, total: int) -> Iterable[SampleFacts]:
    for number, facts in enumerate(samples):
        if number == count:
            raise Killed
        yield facts


@pytest.mark.parametrize("torn", ["", '{"index": 3, "see'])
def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path, folder: Path, torn: str) -> None:
    with pytest.raises(Killed):
        build(tmp_path, PLAN, renderer=fake, progress=lambda s, d, t: stop_after(3, s, d, t))
    with (tmp_path / "street" / "samples.jsonl").open("a") as log:
        log.write(torn)
    assert len(CachedWorld(tmp_path / "street")) == 3
    rendered: list[int] = []

    def counting(modality: Modality, seed: int, shape: tuple[int, int]) -> Sample:
        rendered.append(seed)
        return fake(modality, seed, shape)

    build(tmp_path, PLAN, renderer=counting)
    assert rendered == [103, 104, 105]
    assert len(CachedWorld(tmp_path / "street")) == 6
    whole = contents(folder)
    again = contents(tmp_path)
    assert {k: v for k, v in again.items() if k != "facts"} == {
        k: v for k, v in whole.items() if k != "facts"
    }
    build(tmp_path, PLAN, renderer=counting)
    assert len(rendered) == 3  # nothing left to do


def test_a_line_torn_at_the_very_first_sample_is_written_again(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(Killed):
        build(tmp_path, PLAN, renderer=fake, progress=lambda s, d, t: stop_after(0, s, d, t))
    with (tmp_path / "street" / "samples.jsonl").open("a") as log:
        log.write('{"index": 0, "see')
    build(tmp_path, PLAN, renderer=fake)
    assert len(CachedWorld(tmp_path / "street")) == 6


def test_several_processes_write_the_same_bytes(tmp_path: Path, folder: Path) -> None:
    build(tmp_path, PLAN, renderer=fake, jobs=2)
    assert contents(tmp_path) == contents(folder)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cache_of_before_things_were_counted_gets_its_instances(
    tmp_path: Path, folder: Path, jobs: int
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "street" / "instances.npy").unlink()
    (tmp_path / "street" / ".instances.part.npy").write_bytes(b"of a killed attempt")
    record = CachedWorld(tmp_path / "street")[0]
    assert record.instances is None and np.array_equal(record.label, CachedWorld(folder / "street")[0].label)
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "street").glob("[!.]*")}
    build(tmp_path, PLAN, renderer=fake, jobs=jobs)
    assert contents(tmp_path) == contents(folder)
    assert {p: p.stat().st_mtime_ns for p in kept if p.suffix == ".npy"} == {
        p: t for p, t in kept.items() if p.suffix == ".npy"
    }


def other_look(modality: Modality, seed: int, shape: tuple[int, int]) -> Sample:
    return fake(modality, seed + 1, shape)


def test_instances_of_other_pictures_are_refused(tmp_path: Path, folder: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "street" / "instances.npy").unlink()
    with pytest.raises(UsageError, match="other code"):
        build(tmp_path, PLAN, renderer=other_look)
    assert CachedWorld(tmp_path / "street")[0].instances is None


def test_nobody_counts_in_a_scan(tmp_path: Path) -> None:
    build(tmp_path, Plan(modality=Modality.CT, count=1, shape=SHAPE), renderer=fake)
    assert not (tmp_path / "ct" / "instances.npy").exists()
    assert open_cache(tmp_path)[Modality.CT][0].instances is None


def test_another_plan_is_refused(tmp_path: Path) -> None:
    build(tmp_path, PLAN, renderer=fake)
    other = Plan(modality=Modality.STREET, count=7, shape=SHAPE, first_seed=100)
    with pytest.raises(UsageError, match="another plan"):
        build(tmp_path, other, renderer=fake)


def test_what_is_no_cache_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cache"):
        open_cache(tmp_path)
    (tmp_path / "street").mkdir()
    (tmp_path / "street" / "plan.json").write_text("{")
    with pytest.raises(InputError, match="not a cache"):
        CachedWorld(tmp_path / "street")


def test_a_world_just_begun_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        build(tmp_path, PLAN, renderer=fake, progress=lambda s, d, t: stop_after(0, s, d, t))
    with pytest.raises(InputError, match="finished"):
        CachedWorld(tmp_path / "street")
    build(tmp_path, Plan(modality=Modality.AERIAL, count=1, shape=SHAPE), renderer=fake)
    assert set(open_cache(tmp_path)) == {Modality.AERIAL}


def test_a_cache_travels_small_to_a_loader_process(folder: Path) -> None:
    world = CachedWorld(folder / "street")
    first = world[0]
    data = pickle.dumps(world)
    assert len(data) < 4000
    assert np.array_equal(pickle.loads(data)[0].pixels, first.pixels)


def test_validation_worlds_have_other_seeds(tmp_path: Path) -> None:
    (train,) = plans({Modality.STREET: 5, Modality.CT: 0})
    (validation,) = plans({Modality.STREET: 5}, validation=True)
    assert train.first_seed + train.count <= VALIDATION_SEED == validation.first_seed
    small = Plan(modality=Modality.STREET, count=1, shape=SHAPE, first_seed=VALIDATION_SEED)
    build(tmp_path, small, renderer=fake)
    with pytest.raises(UsageError, match="validation"):
        Mixture(open_cache(tmp_path), None)


def test_the_command_line_builds_what_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Plan, int]] = []
    monkeypatch.setattr(
        cache_module, "build", lambda folder, plan, jobs, progress: asked.append((plan, jobs))
    )
    cache_module.main([str(tmp_path), "--street", "3", "--mr", "2", "--jobs", "2"])
    assert asked == [
        (Plan(modality=m, count=n, shape=shape, renderer=renderer_mark(m)), 2)
        for m, n, shape in ((Modality.STREET, 3, (288, 512)), (Modality.MR, 2, (320, 320)))
    ]


def real(pack: Pack, group: str, modality: Modality = Modality.STREET, value: int = 1) -> Record:
    return Record(
        name=f"{group}_1",
        pack=pack.value,
        group=group,
        modality=modality,
        pixels=np.full((30, 30, 3), value, np.uint8),
        label=np.zeros((30, 30), np.uint8),
        sets=((0,),),
    )


@pytest.fixture
def mixture(folder: Path) -> Mixture:
    return mixed(folder, 5)


def mixed(folder: Path, seed: int) -> Mixture:
    packs = {Pack.STREET: [real(Pack.STREET, "boston"), real(Pack.STREET, "detroit")]}
    weights = {"world/street": 3.0, "world/aerial": 0.0, Pack.STREET.value: 1.0}
    return Mixture(open_cache(folder), packs, weights, seed, options=SMALL)


def same(a: Example, b: Example) -> bool:
    return (
        a.source == b.source
        and np.array_equal(a.image, b.image)
        and np.array_equal(a.label, b.label)
        and np.array_equal(a.depth, b.depth, equal_nan=True)
        and np.array_equal(a.rays, b.rays)
    )


def test_an_example_depends_on_seed_and_index_alone(folder: Path, mixture: Mixture) -> None:
    forward = [mixture.example(i) for i in range(12)]
    fresh = mixed(folder, 5)
    backward = [fresh.example(i) for i in reversed(range(12))][::-1]
    assert all(map(same, forward, backward))
    other = mixed(folder, 6)
    assert not all(same(a, other.example(i)) for i, a in enumerate(forward))
    assert len({e.source for e in forward}) > 3


def test_weights_are_shares(mixture: Mixture) -> None:
    drawn = Counter(mixture.pick(i)[0] for i in range(2000))
    assert set(drawn) == {"world/street", Pack.STREET.value}
    assert drawn["world/street"] / 2000 == pytest.approx(0.75, abs=0.04)
    assert {mixture.pick(i) for i in range(2000)} == {
        *(("world/street", i) for i in range(6)),
        *((Pack.STREET.value, i) for i in range(2)),
    }


def test_examples_name_their_source(mixture: Mixture) -> None:
    for index in range(10):
        example = mixture.example(index)
        assert example.source.startswith(mixture.pick(index)[0])
        assert example.image.shape == (3, 32, 32)


def test_large_examples_are_scans_and_scenes(folder: Path) -> None:
    packs = {Pack.STREET: [real(Pack.STREET, "boston")], Pack.BODY: [real(Pack.BODY, "STS_001", Modality.CT)]}
    mixture = Mixture(open_cache(folder), packs, options=SMALL)
    large = [mixture.example(i, large=True) for i in range(4)]
    assert {e.image.shape for e in large} == {(3, NETWORK_LONG, NETWORK_LONG)}
    assert not any(e.modality is Modality.STREET for e in large)


def test_a_pack_of_two_modalities_is_two_sources(folder: Path) -> None:
    body = [real(Pack.BODY, "STS_001", Modality.CT), real(Pack.BODY, "STS_001", Modality.MR)]
    mixture = Mixture(open_cache(folder), {Pack.BODY: body})
    assert {"medical/body_ct_mr:ct", "medical/body_ct_mr:mr", "world/street"} <= set(mixture.names)


def test_held_out_records_are_refused(folder: Path) -> None:
    leaking = [real(Pack.STREET, "boston"), real(Pack.STREET, sorted(HELD_OUT[Pack.STREET])[0])]
    with pytest.raises(LeakError):
        Mixture(open_cache(folder), {Pack.STREET: leaking})


@pytest.mark.parametrize("weights", [{"world/moon": 1.0}, {"world/street": 0.0}, {}])
def test_weights_that_cannot_be_are_refused(folder: Path, weights: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="source"):
        Mixture(open_cache(folder), None, weights)


def test_the_default_weights_are_shares_of_known_sources() -> None:
    packs = {p.value for p in Pack} - {Pack.BODY.value} | {f"{Pack.BODY.value}:{m}" for m in ("ct", "mr")}
    assert set(DEFAULT_WEIGHTS) == packs | {f"world/{m.value}" for m in Modality} | {CLIPS}
    assert sum(v for k, v in DEFAULT_WEIGHTS.items() if k != CLIPS) == pytest.approx(1)


def test_changes_act_on_the_defaults_and_must_be_known(folder: Path) -> None:
    plain = Mixture(open_cache(folder), None).describe()
    assert plain["world/street"]["share"] == pytest.approx(0.24 / 0.34, abs=1e-5)
    changed = Mixture(open_cache(folder), None, changes={"world/aerial": 0.24}).describe()
    assert [changed[n]["share"] for n in changed] == [0.5, 0.5]
    assert set(Mixture(open_cache(folder), None, changes={"world/aerial": 0}).describe()) == {"world/street"}
    with pytest.raises(UsageError, match=CLIPS):
        Mixture(open_cache(folder), None, changes={CLIPS: 0.1})


def test_a_mixture_tells_its_sources(folder: Path, mixture: Mixture) -> None:
    told = mixture.describe()
    assert told["world/street"] == {"share": 0.75, "count": 6, "mark": "1:100:"}
    assert told[Pack.STREET.value] == {"share": 0.25, "count": 2, "mark": ""}
    assert json.loads(json.dumps(told)) == mixed(folder, 6).describe()


def test_pictures_of_other_code_are_not_mixed_with_old_ones(tmp_path: Path) -> None:
    old = replace(PLAN, count=2)
    build(tmp_path, old, renderer=fake)
    path = tmp_path / "street" / "plan.json"
    text = json.loads(path.read_text())
    del text["renderer"]  # as written before there was a mark
    path.write_text(json.dumps(text))
    build(tmp_path, replace(old, renderer="a" * 16), renderer=fake)
    path.write_text(replace(old, renderer="b" * 16).to_json())
    with pytest.raises(UsageError, match="other code"):
        build(tmp_path, replace(old, renderer="a" * 16), renderer=fake)
    with pytest.raises(UsageError, match="another plan"):
        build(tmp_path, replace(old, count=3, renderer="b" * 16), renderer=fake)


def test_the_mark_follows_the_code_of_its_own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "worlds"
    shutil.copytree(Path(worlds.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(worlds, "__file__", str(package / "__init__.py"))
    before = {m: renderer_mark(m) for m in Modality}
    assert len(set(before.values())) == 3
    with (package / "street_plan.py").open("a") as file:
        file.write("\n# changed\n")
    after = {m: renderer_mark(m) for m in Modality}
    assert [m for m in Modality if after[m] != before[m]] == [Modality.STREET]
    (package / "raster.py").write_text("")
    assert all(renderer_mark(m) != after[m] for m in Modality)


@pytest.mark.parametrize("modality", list(Modality))
def test_every_world_gives_examples(modality: Modality) -> None:
    first, again = (world_example(modality, 3, 64) for _ in range(2))
    assert same(first, again)
    assert first.modality is modality
    assert first.label.shape == (64, 64)
    record = to_record(render(modality, 3, RENDER_SHAPE[modality]), 3)
    assert record.shape == RENDER_SHAPE[modality]
    assert set(np.unique(record.label)) <= {*range(len(record.sets)), 255}
