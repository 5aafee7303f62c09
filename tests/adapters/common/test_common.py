"""The common formats give back what was written, whole, in blocks and frame by frame."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from banana_adapters.common import canvas, npy, png
from banana_adapters.common.npy import NPY
from banana_adapters.common.overlay import OVERLAY
from banana_adapters.common.png import PNG
from banana_adapters.common.stats import CSV
from PIL import Image, PngImagePlugin

from banana_cli import adapter, codec
from banana_cli.adapter import SinkFormat, SourceInfo
from banana_cli.cli.main import main
from banana_cli.errors import InputError, OutputError
from banana_cli.types import Depth, Domain, Json, Layer, LayerKind, Mask, Normals

from .conftest import Case, Written

KINDS = list(LayerKind)
ONE = Case()
CLIP = Case(count=3)
ENDLESS = Case(count=None)
SLICE = Case(domain=Domain.MEDICAL)
SCENE = Case(domain=Domain.SATELLITE, shape=(29, 41))


def check(found: Layer, want: Layer, *, step: float) -> None:
    assert type(found) is type(want)
    assert np.array_equal(found.valid, want.valid)
    if isinstance(found, Mask) and isinstance(want, Mask):
        assert np.array_equal(found.ids, want.ids) and found.table == Mask_table(want)
    elif isinstance(found, Depth) and isinstance(want, Depth):
        assert (found.depth_kind, found.unit, found.note) == (want.depth_kind, want.unit, want.note)
        assert np.abs(found.values - want.values)[want.valid].max() <= step
    elif isinstance(found, Normals) and isinstance(want, Normals):
        cosine = (found.xyz * want.xyz).sum(axis=0)[want.valid]
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.5


def Mask_table(mask: Mask) -> object:
    """The table as a picture keeps it: without SNOMED codes."""
    return codec.table_from_facts(codec.mask_facts(mask.table))


def test_the_formats_are_found_by_their_names() -> None:
    found = adapter.formats()
    assert [found[name] for name in ("png", "npy", "overlay", "csv")] == [PNG, NPY, OVERLAY, CSV]
    for form in (PNG, NPY, OVERLAY, CSV):
        assert form.domains == frozenset(Domain) and form.layers == frozenset(LayerKind)


def test_no_two_common_formats_write_one_name() -> None:
    for case in (ONE, CLIP, SCENE):
        names = [f.suffix(LayerKind.MASKS, case.info) for f in (PNG, NPY, OVERLAY, CSV)]
        assert len(set(names)) == 4


# --- PNG ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", [ONE, SLICE, SCENE], ids=["picture", "slice", "scene"])
def test_a_png_decodes_from_itself_and_from_its_facts(written: Written, case: Case, kind: LayerKind) -> None:
    path, facts = written(PNG, case, kind)
    want = case.truth()[KINDS.index(kind)]
    check(png.decode(path), want, step=1 / 512 + 1e-5)
    check(png.decode(path, facts), want, step=1 / 512 + 1e-5)


@pytest.mark.parametrize("case", [CLIP, ENDLESS], ids=["clip", "endless"])
def test_frames_become_a_folder_numbered_as_in_the_source(written: Written, case: Case) -> None:
    folder, facts = written(PNG, case, LayerKind.DEPTH)
    assert sorted(p.name for p in folder.iterdir()) == ["000000.png", "000002.png", "000004.png"]
    assert facts["pictures"] == 3
    for index in range(3):
        check(png.decode(folder / f"{2 * index:06d}.png"), case.truth(index)[1], step=1 / 512 + 1e-5)


def test_masks_are_indexed_with_the_palette_and_depth_has_16_bits(written: Written) -> None:
    masks, _ = written(PNG, ONE, LayerKind.MASKS)
    with Image.open(masks) as picture:
        table = ONE.truth()[0].table
        assert picture.mode == "P" and picture.getpalette()[: 3 * len(table)] == [
            c for row in table.palette()[: len(table)].tolist() for c in row
        ]
    depth, _ = written(PNG, CLIP, LayerKind.DEPTH)
    with Image.open(depth / "000000.png") as picture:
        assert picture.mode == "I;16"
        metres = np.asarray(picture) / 256
    assert np.allclose(metres, np.nan_to_num(CLIP.truth()[1].values), atol=1 / 512 + 1e-5)


def test_depth_can_be_written_as_invertible_colours(written: Written) -> None:
    case = Case(options={"depth_encoding": "rgb"})
    path, facts = written(PNG, case, LayerKind.DEPTH)
    assert facts["encoding"] == codec.RGB_CODE
    check(png.decode(path), case.truth()[1], step=0.7)  # half a step at 90 m is 0.6 m


def test_a_single_picture_takes_one_frame(written: Written) -> None:
    class Liar(Case):
        def frames(self):  # type: ignore[no-untyped-def]
            yield from list(super().frames()) * 2

    for form in (PNG, OVERLAY, NPY):
        with pytest.raises(OutputError):
            written(form, Liar(), LayerKind.MASKS)


@pytest.mark.parametrize("form", [PNG, OVERLAY], ids=lambda f: f.name)
def test_a_scene_too_large_for_memory_is_refused(
    written: Written, monkeypatch: pytest.MonkeyPatch, form: SinkFormat
) -> None:
    monkeypatch.setattr(canvas, "MAX_PIXELS", 100)
    with pytest.raises(OutputError) as caught:
        written(form, SCENE, LayerKind.MASKS)
    assert "tif" in caught.value.remedy


def save_png(path: Path, facts: object) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text(png.TEXT_KEY, json.dumps(facts))
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(path, pnginfo=text)


IDS = {"encoding": "class-ids"}


BAD = [None, 3, {}, IDS, {**IDS, "classes": [{"id": 0}]}, {**IDS, "classes": [1] * 300}, {"encoding": 5}]


@pytest.mark.parametrize("facts", BAD)
def test_pictures_that_are_not_ours_are_refused(tmp_path: Path, facts: object) -> None:
    save_png(tmp_path / "x.png", facts)
    with pytest.raises(InputError):
        png.decode(tmp_path / "x.png")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(50)])
def test_files_that_are_no_pictures_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    for wrong in (path, tmp_path / "missing.png"):
        with pytest.raises(InputError):
            png.decode(wrong)


def test_facts_without_end_and_pictures_without_bound_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text(png.TEXT_KEY, "[" * 100_000)
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "deep.png", pnginfo=text)
    with pytest.raises(InputError):
        png.decode(tmp_path / "deep.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(np.zeros((12, 12), np.uint8)).save(tmp_path / "large.png")
    with pytest.raises(InputError):
        png.decode(tmp_path / "large.png", codec.normals_facts())


def test_a_truncated_picture_is_refused(written: Written) -> None:
    path, _ = written(PNG, ONE, LayerKind.DEPTH)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError):
        png.decode(path)


# --- NumPy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", [ONE, SCENE], ids=["picture", "scene"])
def test_an_array_is_exact(written: Written, case: Case, kind: LayerKind) -> None:
    path, facts = written(NPY, case, kind)
    found = np.load(path, allow_pickle=False)
    want = npy.numbers(case.truth()[KINDS.index(kind)])
    assert found.dtype == want.dtype and facts["shape"] == list(want.shape)
    assert np.array_equal(found, want, equal_nan=kind is LayerKind.DEPTH)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", [CLIP, ENDLESS], ids=["clip", "endless"])
def test_frames_are_stacked(written: Written, case: Case, kind: LayerKind) -> None:
    path, facts = written(NPY, case, kind)
    want = np.stack([npy.numbers(case.truth(i)[KINDS.index(kind)]) for i in range(3)])
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    assert np.array_equal(found, want, equal_nan=kind is LayerKind.DEPTH) and facts["shape"] == list(
        want.shape
    )


def test_a_missing_block_stays_without_an_answer(written: Written) -> None:
    class Torn(Case):
        def frames(self):  # type: ignore[no-untyped-def]
            yield from list(super().frames())[1:]

    case = Torn(domain=Domain.SATELLITE)
    masks, _ = written(NPY, case, LayerKind.MASKS)
    assert (np.load(masks)[:12, :12] == 255).all()
    picture, _ = written(PNG, case, LayerKind.MASKS)
    assert not png.decode(picture).valid[:12, :12].any()


# --- overlays -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_looks_the_same_in_blocks_and_whole(written: Written, kind: LayerKind) -> None:
    blocks, _ = written(OVERLAY, SCENE, kind)
    with Image.open(blocks) as picture:
        found = np.asarray(picture)
    whole = Case(domain=Domain.SATELLITE, shape=SCENE.shape, core=100)
    once, _ = written(OVERLAY, whole, kind)
    with Image.open(once) as picture:
        want = np.asarray(picture)
    assert found.shape == (29, 41 if kind is LayerKind.MASKS else 82, 3)
    same = (found == want).all(axis=-1)
    if kind is LayerKind.MASKS:  # the last row and column of a block do not know their neighbours' classes
        same[11::12] = same[:, 11::12] = True
    assert same.all()


def test_masks_tint_the_picture_and_nothing_else(written: Written) -> None:
    path, _ = written(OVERLAY, ONE, LayerKind.MASKS)
    mask = ONE.truth()[0]
    with Image.open(path) as picture:
        found = np.asarray(picture).astype(int)
    assert (found[~mask.valid] == 0).all()
    colours = mask.table.palette()[mask.ids].astype(float) * 0.45 + 128 * 0.55
    near = np.abs(found - colours).max(axis=-1) <= 1
    dark = np.abs(found - colours * 0.35).max(axis=-1) <= 1
    assert (near | dark)[mask.valid].all() and near.any() and dark.any()


def test_depth_stands_beside_the_picture(written: Written) -> None:
    folder, _ = written(OVERLAY, CLIP, LayerKind.DEPTH)
    with Image.open(folder / "000002.png") as picture:
        assert picture.size == (60, 20)


# --- statistics -----------------------------------------------------------------------------------


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("case", [ONE, SCENE], ids=["picture", "scene"])
def test_class_rows_count_pixels_and_area(written: Written, case: Case) -> None:
    path, _ = written(CSV, case, LayerKind.MASKS)
    mask = case.truth()[0]
    rows = rows_of(path)
    assert [r["class"] for r in rows] == list(mask.table.names)
    for row in rows:
        count = int((mask.ids == int(row["class_id"])).sum())
        assert int(row["pixels"]) == count
        assert float(row["share"]) == pytest.approx(count / mask.valid.sum(), rel=1e-6)
        assert (float(row["area"]), row["area_unit"]) == (pytest.approx(count / 4), "m2")


@pytest.mark.parametrize("case", [ONE, SCENE], ids=["picture", "scene"])
def test_depth_rows_hold_order_statistics(written: Written, case: Case) -> None:
    path, _ = written(CSV, case, LayerKind.DEPTH)
    values = case.truth()[1].values
    values = np.sort(values[np.isfinite(values)]).astype(float)
    (row,) = rows_of(path)
    assert int(row["pixels"]) == len(values) and (row["unit"], row["kind"]) == ("m", "metric")
    for name, want in (
        ("min", values[0]),
        ("p05", values[int(0.05 * len(values))]),
        ("median", values[len(values) // 2]),
        ("mean", values.mean()),
        ("p95", values[int(0.95 * len(values))]),
        ("max", values[-1]),
    ):
        assert float(row[name]) == pytest.approx(want, abs=1 / 512 + 1e-4), name


def test_normals_rows_hold_the_mean_direction(written: Written) -> None:
    path, _ = written(CSV, SCENE, LayerKind.NORMALS)
    normals = SCENE.truth()[2]
    (row,) = rows_of(path)
    mean = normals.xyz[:, normals.valid].mean(axis=1)
    assert [float(row[f"mean_{a}"]) for a in "xyz"] == pytest.approx(mean.tolist(), abs=1e-5)
    tilt = np.degrees(np.arccos(-normals.xyz[2][normals.valid]))
    assert float(row["median_tilt_deg"]) == pytest.approx(np.median(tilt), abs=0.6)


def test_each_frame_of_a_clip_has_its_rows_and_time(written: Written) -> None:
    path, _ = written(CSV, CLIP, LayerKind.DEPTH)
    assert [(r["frame"], r["time_s"]) for r in rows_of(path)] == [
        ("0", "0.000000"), ("2", "0.100000"), ("4", "0.200000"),
    ]  # fmt: skip


def test_an_empty_frame_gives_empty_cells_not_nonsense(written: Written) -> None:
    class Empty(Case):
        def truth(self, index: int = 0) -> tuple[Mask, Depth, Normals]:
            mask, depth, normals = super().truth(index)
            nothing = np.zeros(self.shape, bool)
            return (
                Mask(ids=np.full(self.shape, 255, np.uint8), valid=nothing, table=mask.table),
                Depth(
                    values=np.full(self.shape, np.nan, np.float32),
                    valid=nothing,
                    depth_kind=depth.depth_kind,
                    unit=depth.unit,
                ),
                Normals(xyz=normals.xyz * 0, valid=nothing),
            )

    path, _ = written(CSV, Empty(), LayerKind.DEPTH)
    (row,) = rows_of(path)
    assert (row["pixels"], row["median"], row["min"], row["mean"]) == ("0", "", "", "")
    path, _ = written(CSV, Empty(), LayerKind.NORMALS)
    assert rows_of(path)[0]["mean_x"] == ""


@dataclass
class Volume(Case):
    """A series whose depth and normals are one picture, whatever its slices."""

    @property
    def info(self) -> SourceInfo:
        frames: dict[str, Json] = {"masks": 3, "depth": 1, "normals": 1}
        return replace(super().info, facts={"layer_frames": frames})


@pytest.mark.parametrize("form", [PNG, OVERLAY], ids=lambda f: f.name)
def test_the_one_surface_of_a_series_is_one_file(tmp_path: Path, form: SinkFormat) -> None:
    case = Volume(domain=Domain.MEDICAL, count=4)
    assert form.suffix(LayerKind.DEPTH, case.info).endswith(".png")
    assert not form.suffix(LayerKind.MASKS, case.info).endswith(".png")
    frame, answer = next(iter(case.frames()))
    with form.open(tmp_path / "part", case.job(LayerKind.DEPTH)) as sink:
        sink.write(frame, answer)
        sink.finish()
    assert (tmp_path / "part").is_file()


@pytest.mark.parametrize("alone", [False, True], ids=["sidecar", "alone"])
@pytest.mark.parametrize("kind", KINDS)
def test_banana_decode_gives_back_what_png_wrote(
    tmp_path: Path, written: Written, kind: LayerKind, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, facts = written(PNG, ONE, kind)
    path = path.rename(tmp_path / "x.png")
    if not alone:
        side = {"schema": "banana-output-1", "format": "png", "encoding": facts}
        (tmp_path / "x.png.json").write_text(json.dumps(side))
    assert main(["decode", "x.png", "-o", "out"]) == 0
    found = np.load(tmp_path / "out/x.npy", allow_pickle=False)
    mask, depth, normals = ONE.truth()
    if kind is LayerKind.MASKS:
        assert np.array_equal(found, mask.ids)
    elif kind is LayerKind.DEPTH:
        assert np.array_equal(np.isnan(found), ~depth.valid)
        assert np.nanmax(np.abs(found - depth.values)) <= 1 / 512 + 1e-5
    else:
        assert np.array_equal(found.any(axis=0), normals.valid)
        cosine = (found * normals.xyz).sum(axis=0)[normals.valid]
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 1


def test_banana_decode_takes_a_folder_of_frames_with_its_index(
    tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, _ = written(PNG, CLIP, LayerKind.MASKS)
    folder = folder.rename(tmp_path / "clip.masks")
    (folder / "index.json").write_text("{}")
    assert main(["decode", "clip.masks", "-o", "out"]) == 0
    assert len(list((tmp_path / "out/clip.masks").glob("*.npy"))) == 3
