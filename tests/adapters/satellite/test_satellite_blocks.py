"""Blocks: cores partition the scene, and their windows hold everything that their looks see."""

from __future__ import annotations

import numpy as np
import pytest
from banana_adapters.satellite.blocks import Blocks
from banana_adapters.satellite.georef import Georeference
from banana_adapters.satellite.looks import looks_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from banana_cli.errors import UsageError
from banana_cli.tiles import holds
from banana_cli.types import Looks

SIZES = st.one_of(
    st.integers(1, 600), st.integers(1, 12_000), st.sampled_from([1792, 1793, 2240, 2241, 4032, 4033])
)
LOOKS = st.sampled_from(
    [
        Looks(),
        Looks(overlap=256, phase=(17, 255)),
        Looks(phase=(447, 1)),
        Looks(tile=256, overlap=32, shrink=6, phase=(1343, 100)),
        Looks(shrink=2, phase=(3, 800)),
    ]
)
WORK = st.sampled_from([32, 256, 512, 1024, 1792, 9999])


@settings(max_examples=40, deadline=None)
@given(rows=SIZES, cols=SIZES, looks=LOOKS, work=WORK)
def test_cores_cover_each_pixel_once(rows: int, cols: int, looks: Looks, work: int) -> None:
    rows = min(rows, 4100)
    seen = np.zeros((rows, cols), np.uint8)
    found = Blocks(shape=(rows, cols), looks=looks, work=work)
    listed = list(found)
    for block in listed:
        seen[block.core.slices()] += 1
    assert (seen == 1).all()
    assert [b.index for b in listed] == list(range(len(found)))


@settings(max_examples=150, deadline=None)
@given(length=st.integers(1, 30_000), looks=LOOKS, work=WORK)
@example(length=2241, looks=Looks(), work=1792)
def test_windows_hold_every_look_of_their_core(length: int, looks: Looks, work: int) -> None:
    """Along one axis; the lattice is a product of two."""
    found = Blocks(shape=(1, length), looks=looks, work=work)
    for block in found:
        assert holds(block.window, block.core)
        assert block.window.width <= 2 * found.step + 3 * looks.tile * looks.shrink
        assert block.core.right == length or (block.core.right + looks.phase[1]) % found.step == 0
        for tile in found.lattice.grid.tiles(found.lattice.part(block.core)):
            assert holds(block.window, found.lattice.file(tile.seen)), (block, tile)


def placed(gsd: float, west: float = 0.0, north: float = 0.0) -> Georeference:
    found = Georeference(crs='LOCAL_CS["any"]', transform=(gsd, 0.0, west, 0.0, -gsd, north))
    return Georeference(crs=found.crs, transform=found.transform, pitch_m=(gsd, gsd))


@pytest.mark.parametrize(
    ("gsd", "shrink"), [(0.01, 6), (0.05, 6), (0.075, 4), (0.1, 3), (0.15, 2), (0.3, 1), (0.6, 1), (30, 1)]
)
def test_what_is_finer_than_the_model_knows_is_shrunk(gsd: float, shrink: int) -> None:
    looks = looks_of(placed(gsd), None)
    assert looks.shrink == shrink
    assert looks.tile == (256 if shrink >= 3 else 512)
    assert looks_of(Georeference(crs=None, transform=(gsd, 0, 0, 0, -gsd, 0)), None).shrink == 1


@given(gsd=st.sampled_from([0.05, 0.3, 1.0, 2.5]), cut=st.tuples(st.integers(0, 5000), st.integers(0, 5000)))
def test_the_lattice_is_fixed_to_the_ground(gsd: float, cut: tuple[int, int]) -> None:
    scene = looks_of(placed(gsd, 485_900.0, 5_209_247.0), None)
    part = looks_of(placed(gsd, 485_900.0 + cut[1] * gsd, 5_209_247.0 - cut[0] * gsd), None)
    period = (scene.tile - scene.overlap) * scene.shrink
    assert part.phase == tuple((p + c) % period for p, c in zip(scene.phase, cut, strict=True))


def test_an_overlap_of_more_than_half_a_look_is_refused() -> None:
    with pytest.raises(UsageError, match="300"):
        looks_of(placed(1.0), 300)
