"""Files that mean no good: one clear error each, bounded memory, nothing fetched, nothing followed."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import rasterio
from banana_adapters.satellite import SATELLITE
from banana_adapters.satellite.gdal import gdal_env, plain
from scenery import UTM, frames_of, item_of, options, write_scene

from banana_cli.adapter import Unreadable
from banana_cli.errors import InputError

VRT = """<VRTDataset rasterXSize="64" rasterYSize="64">
<VRTRasterBand dataType="Byte" band="1"{attributes}>{inside}</VRTRasterBand></VRTDataset>"""
SOURCE = '<SimpleSource><SourceFilename relativeToVRT="{relative}">{name}</SourceFilename></SimpleSource>'


def vrt(
    path: Path, name: str = "s.tif", *, relative: int = 1, inside: str = "", attributes: str = ""
) -> Path:
    path.write_text(
        VRT.format(attributes=attributes, inside=inside or SOURCE.format(relative=relative, name=name))
    )
    return path


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        frames_of(path)
    assert caught.value.remedy
    assert "\n" not in caught.value.message
    return caught.value


def tiff(width: int, height: int, *, strip_rows: int, compression: int = 8, data: bytes = b"") -> bytes:
    """A minimal TIFF of one strip that claims any size."""
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1),
        (273, 4, 1, 200), (277, 3, 1, 1), (278, 4, 1, strip_rows), (279, 4, 1, max(1, len(data))),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return head.ljust(200, b"\0") + data


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    assert "No such file" in str(refused(tmp_path / "none.tif"))
    (tmp_path / "e.tif").write_bytes(b"")
    assert "no TIFF" in str(refused(tmp_path / "e.tif"))
    (tmp_path / "h.tif").write_bytes(b"II*\0" + b"\xff" * 100)
    refused(tmp_path / "h.tif")
    (tmp_path / "j.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 300)
    refused(tmp_path / "j.jp2")


def test_truncated_files_are_values_not_crashes(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 255, (3, 512, 512), dtype=np.uint8)
    path = write_scene(tmp_path / "t.tif", data, compress="deflate")
    whole = path.read_bytes()
    for keep in (10, 300, len(whole) // 2):
        path.write_bytes(whole[:keep])
        try:
            found = frames_of(path)
        except InputError:
            continue
        assert [type(f) for f in found] == [Unreadable]


def test_a_long_damaged_scene_is_given_up(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 255, (1, 40_000, 16), dtype=np.uint8)
    path = write_scene(
        tmp_path / "t.tif", data, compress="deflate", tiled=False, blockxsize=16, blockysize=100
    )
    damaged = bytearray(path.read_bytes())
    damaged[20_000:-20_000] = b"\xaa" * (len(damaged) - 40_000)
    path.write_bytes(damaged)
    with SATELLITE.open(item_of(path), options()) as source:
        frames = iter(source)
        found = []
        with pytest.raises(InputError):
            found.extend(frames)
        assert sum(isinstance(f, Unreadable) for f in found) < 8 < source.info.frames


@pytest.mark.parametrize(
    ("width", "height", "strip_rows"),
    [(60_000, 60_000, 60_000), (2**31 - 1, 1, 1), (2**31 - 1, 2**31 - 1, 1), (2**20, 2**20, 1), (0, 5, 1)],
)
def test_absurd_sizes_are_refused_in_a_moment(
    tmp_path: Path, width: int, height: int, strip_rows: int
) -> None:
    path = tmp_path / "big.tif"
    path.write_bytes(tiff(width, height, strip_rows=strip_rows))
    before = psutil.Process().memory_info().rss
    refused(path)
    assert psutil.Process().memory_info().rss - before < 200 << 20


def test_a_vrt_of_its_own_folder_is_read(tmp_path: Path) -> None:
    data = np.full((1, 64, 64), 9, np.uint8)
    write_scene(tmp_path / "s.tif", data)
    [frame] = frames_of(vrt(tmp_path / "a.vrt"))
    assert (frame.pixels == 9).all()
    [nested] = frames_of(vrt(tmp_path / "b.vrt", "a.vrt"))
    assert (nested.pixels == 9).all()
    [absolute] = frames_of(vrt(tmp_path / "c.vrt", str(tmp_path / "s.tif"), relative=0))
    assert (absolute.pixels == 9).all()


@pytest.mark.parametrize(
    "name",
    [
        "/vsicurl/http://127.0.0.1:9/x.tif", "http://127.0.0.1:9/x.tif", "/vsizip/s.zip/s.tif", "a.vrt",
        "../outside.tif", "/etc/hostname", "GTIFF_DIR:1:s.tif", "missing.tif", "text.txt", "WMS:x", "",
        "&lt;VRTDataset rasterXSize='1' rasterYSize='1'/&gt;", "link.tif",
    ],
)  # fmt: skip
def test_a_vrt_does_not_lead_elsewhere(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    outside = write_scene(tmp_path / "outside.tif", np.ones((1, 64, 64), np.uint8))
    (folder / "link.tif").symlink_to(outside)
    (folder / "text.txt").write_text("secret")
    vrt(folder / "a.vrt", "text.txt")
    refused(vrt(folder / "v.vrt", name, relative=0 if name.startswith("/") else 1))


@pytest.mark.parametrize(
    ("inside", "attributes"),
    [
        ("<PixelFunctionLanguage>Python</PixelFunctionLanguage>", ' subClass="VRTDerivedRasterBand"'),
        ("<SourceFilename>t.txt</SourceFilename><ImageOffset/>", ' subClass="VRTRawRasterBand"'),
        ("<PixelFunctionCode>import os</PixelFunctionCode>", ""),
    ],
)  # fmt: skip
def test_a_vrt_runs_nothing_and_reads_no_raw_bytes(tmp_path: Path, inside: str, attributes: str) -> None:
    (tmp_path / "t.txt").write_text("secret" * 1000)
    refused(vrt(tmp_path / "v.vrt", inside=inside, attributes=attributes))


def test_xml_bombs_and_endless_nests(tmp_path: Path) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb">]><VRTDataset rasterXSize="1">&b;</VRTDataset>'
    (tmp_path / "b.vrt").write_text(bomb)
    assert "entities" in str(refused(tmp_path / "b.vrt"))
    for i in range(6):
        vrt(tmp_path / f"n{i}.vrt", f"n{i + 1}.vrt")
    vrt(tmp_path / "n6.vrt", "n6.vrt")
    assert "nests" in str(refused(tmp_path / "n0.vrt"))
    (tmp_path / "broken.vrt").write_text("<VRTDataset rasterXSize='3'")
    refused(tmp_path / "broken.vrt")


def test_side_files_that_are_something_else(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "s.tif", np.ones((1, 64, 64), np.uint8))
    (tmp_path / "s.tif.ovr").write_text('<VRTDataset rasterXSize="32" rasterYSize="32"/>')
    assert "s.tif.ovr" in str(refused(path))
    (tmp_path / "s.tif.ovr").unlink()
    evil = '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/x</MDI></Metadata>'
    (tmp_path / "s.tif.aux.xml").write_text(f"<PAMDataset>{evil}</PAMDataset>")
    assert "aux.xml" in str(refused(path))


def test_names_are_never_gdals_own_syntax(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is called like a GDAL connection string is a file."""
    monkeypatch.chdir(tmp_path)
    name = Path("GTIFF_RAW:s.tif")
    write_scene(tmp_path / "x.tif", np.full((1, 20, 20), 5, np.uint8)).rename(name)
    [frame] = frames_of(name)
    assert (frame.pixels == 5).all()


_QUIET = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from scenery import frames_of
from banana_cli.errors import InputError
try:
    frames_of(Path(sys.argv[2]))
except InputError:
    pass
"""


def test_gdal_prints_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.tif"
    path.write_bytes(tiff(3000, 3000, strip_rows=100, data=b"junk"))
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", _QUIET, here, str(path)], capture_output=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)


def test_importing_the_adapter_is_cheap() -> None:
    code = (
        "import sys, banana_adapters.satellite; sys.exit('rasterio' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
    code = "import sys, banana_adapters.satellite.sinks; sys.exit('rasterio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_memory_is_flat_over_a_huge_sparse_scene(tmp_path: Path) -> None:
    """20,000 x 20,000 x 3 with a few tiles of data: 1.2 GB if anything allocated it."""
    path = tmp_path / "huge.tif"
    profile = {
        "driver": "GTiff", "width": 20_000, "height": 20_000, "count": 3, "dtype": "uint16", "tiled": True,
        "blockxsize": 512, "blockysize": 512, "compress": "deflate", "sparse_ok": True, "crs": "EPSG:32633",
        "transform": UTM, "bigtiff": "yes",
    }  # fmt: skip
    with gdal_env(), rasterio.open(path, "w", **profile) as out:
        for k in range(3):
            window = rasterio.windows.Window(k * 5120, k * 2048, 512, 512)
            out.write(np.full((3, 512, 512), 1000 * (k + 1), np.uint16), window=window)
    process = psutil.Process(os.getpid())
    with SATELLITE.open(item_of(path), options()) as source:
        assert source.info.frames == 132  # blocks of the lattice on the ground: 12 rows, 11 columns
        start = process.memory_info().rss
        peak = answered = 0
        for _, frame in zip(range(24), source, strict=False):
            peak = max(peak, process.memory_info().rss)
            answered += int(frame.valid.any())
    assert answered > 2
    assert peak - start < 400 << 20


@pytest.mark.parametrize(
    ("told", "want"),
    [
        ("head.tif: head.tif: Read error at row 4294967295, got 0 bytes", "Read error, got 0 bytes"),
        ("/x y/head.tif: Cannot read TIFF header", "Cannot read TIFF header"),
        ("TIFFReadDirectory:Failed to read directory at offset 8", "Failed to read directory at offset 8"),
        ("Read error at row 3, col 0; got 2 bytes", "Read error at row 3, col 0; got 2 bytes"),
        ("'/x/head.tif' not recognized as a file format.", "not recognized as a file format."),
        ("head.tif", "head.tif"),
    ],
)
def test_what_gdal_says_is_said_once_and_without_its_placeholders(told: str, want: str) -> None:
    assert plain(told, "in/head.tif") == want


def test_a_headless_file_is_not_named_in_its_own_message(tmp_path: Path) -> None:
    for name, data in (("head.tif", b"II*\0\x08\0\0\0"), ("short.tif", b"II*\0")):
        (tmp_path / name).write_bytes(data)
        message = refused(tmp_path / name).message
        assert name not in message and str(tmp_path) not in message and "TIFFRead" not in message


@pytest.mark.parametrize(
    "item",
    [
        "<MDI key='OVERVIEW_FILE'>/elsewhere/x.tif</MDI>",
        '<MDI key="OVERVIEW_FILE">&#47;elsewhere&#47;x.tif</MDI>',
        '<MDI key="OVERVIEW_FILE" of="x">:::BASE:::../x.tif</MDI>',
        '<MDI key="OVERVIEW_FILE"><b/>/elsewhere/x.tif</MDI>',
        '<MDI key="OVERVIEW_FILE">/elsewhere/x.tif',
    ],
)
def test_quotes_and_entities_do_not_hide_a_name_in_a_side_file(tmp_path: Path, item: str) -> None:
    path = write_scene(tmp_path / "s.tif", np.ones((1, 64, 64), np.uint8))
    notes = tmp_path / "s.tif.aux.xml"
    notes.write_text('<PAMDataset><Metadata><MDI key="NOTE">a/b</MDI></Metadata></PAMDataset>')
    assert frames_of(path)
    notes.write_text(f'<PAMDataset><Metadata domain="OVERVIEWS">{item}</Metadata></PAMDataset>')
    assert "aux.xml" in str(refused(path))


def test_a_vrt_does_not_open_rasters_of_places(tmp_path: Path) -> None:
    place = "<Metadata><MDI key='X_DATASET'>/elsewhere/x.tif</MDI></Metadata>"
    inside = f"<GeoLocTransformer>{place}</GeoLocTransformer>"
    assert "GeoLoc" in str(refused(vrt(tmp_path / "v.vrt", inside=inside)))
