"""Scenes by their address, from a server on this machine: parts of them are fetched, and nothing else is."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio.shutil
from banana_adapters.satellite import SATELLITE
from banana_adapters.satellite.gdal import gdal_env
from scenery import frames_of, item_of, options, write_scene

from banana_cli.adapter import InputItem
from banana_cli.address import is_address, shown, stand_in
from banana_cli.cli.main import main
from banana_cli.errors import InputError
from banana_cli.types import Frame

PARTS = re.compile(r"bytes=(\d+)-(\d*)")


class Server(ThreadingHTTPServer):
    """Files of a folder, and a list of what was asked; ``parts`` False: as a whole only."""

    def __init__(self, folder: Path, *, parts: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.parts = folder, parts
        self.asked: list[str] = []
        self.sent = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        name = self.path.split("?")[0].lstrip("/")
        self.server.asked.append(name)
        path = self.server.folder / name
        if not path.is_file():
            return self.send_error(404)
        data, wanted = path.read_bytes(), PARTS.match(self.headers.get("Range", ""))
        size = len(data)
        if wanted and self.server.parts:
            first, last = int(wanted[1]), min(int(wanted[2] or size), size - 1)
            data = data[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        else:
            self.send_response(200)
        self.send_header("Last-Modified", "Sat, 01 Feb 2020 00:00:00 GMT")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.server.sent += len(data)
            self.wfile.write(data)
        return None

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def serving(folder: Path, *, parts: bool = True) -> Iterator[Server]:
    with Server(folder, parts=parts) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def cog(path: Path, side: int = 3000) -> Path:
    """A COG of noise, too large to be fetched whole by accident."""
    data = np.random.default_rng(2).integers(0, 255, (1, side, side), np.uint8)
    plain = write_scene(path.with_name("plain.tif"), data)
    with gdal_env():
        rasterio.shutil.copy(plain, path, driver="COG", BLOCKSIZE="256", COMPRESS="DEFLATE")
    plain.unlink()
    return path


def remote(server: Server, name: str, folder: Path) -> InputItem:
    folder.mkdir(exist_ok=True)
    url = server.url(name)
    path = stand_in(url, folder)
    return InputItem(paths=(path,), stem=path.stem, url=url)


def test_a_remote_scene_is_read_in_parts_and_gives_the_same_frames(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    local = cog(tmp_path / "web" / "s.tif")
    with serving(local.parent) as server:
        item = remote(server, "s.tif", tmp_path / "here")
        assert item.paths[0].stat().st_size == local.stat().st_size
        assert item.paths[0].stat().st_mtime == 1580515200
        with SATELLITE.open(item, options()) as source:
            assert server.sent < local.stat().st_size / 20
            frames = list(source)
        assert set(server.asked) == {"s.tif"}  # no side file was looked for
    for ours, theirs in zip(frames, frames_of(local), strict=True):
        assert isinstance(ours, Frame) and np.array_equal(ours.pixels, theirs.pixels)


def test_info_from_the_command_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "web").mkdir()
    cog(tmp_path / "web" / "s.tif", side=600)
    with serving(tmp_path / "web") as server:
        assert main(["info", server.url("s.tif?key=secret")]) == 0
        told = capfd.readouterr()
        assert "/s.tif\n" in told.out and "secret" not in told.out + told.err
        assert main(["info", server.url("no.tif")]) == 4
    assert "the server says 404" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("s.vrt", b'<VRTDataset rasterXSize="1" rasterYSize="1"/>', "is a VRT"),
        ("s.tif", b"II*\0" + b"\xff" * 200, "."),
        ("s.txt", b"hello", "no TIFF"),
    ],
)
def test_what_is_no_scene_is_refused(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / name).write_bytes(data)
    with (
        serving(tmp_path / "web") as server,
        pytest.raises(InputError, match=words),
        SATELLITE.open(remote(server, name, tmp_path / "here"), options()),
    ):
        pass


def test_films_are_not_read_from_addresses(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "s.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with serving(tmp_path / "web") as server:
        assert main(["info", server.url("s.png")]) == 4
    assert "only GeoTIFF is read from an address" in capfd.readouterr().err


def test_a_server_without_ranges_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.tif").write_bytes(b"II*\0")
    with (
        serving(tmp_path, parts=False) as server,
        pytest.raises(InputError, match="does not give parts"),
    ):
        remote(server, "s.tif", tmp_path / "here")


def test_a_file_that_looks_like_a_stand_in_asks_nobody(tmp_path: Path) -> None:
    """Only the address that a user named is asked: a local file is local, whatever stands in it."""
    (tmp_path / "web").mkdir()
    cog(tmp_path / "web" / "s.tif", side=300)
    with serving(tmp_path / "web") as server:
        item = remote(server, "s.tif", tmp_path / "here")
        asked = len(server.asked)
        found = list(frames_of(item.paths[0]))
        assert not all(isinstance(f, Frame) and f.valid.all() and f.pixels.any() for f in found)
        vrt = f'<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>/vsicurl/{server.url("s.tif")}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>'  # noqa: E501
        (tmp_path / "s.vrt").write_text(vrt)
        with pytest.raises(InputError), SATELLITE.open(item_of(tmp_path / "s.vrt"), options()):
            pass
        assert len(server.asked) == asked


@pytest.mark.parametrize("word", ["http://", "https://u:p@x/a.tif", "http://x/a b.tif", "http://[x/a.tif"])
def test_odd_addresses_are_refused_before_anything_is_asked(tmp_path: Path, word: str) -> None:
    assert is_address(word) and not is_address("scene.tif") and not is_address("ftp://x/a.tif")
    with pytest.raises(InputError, match="no address"):
        stand_in(word, tmp_path)


def test_keys_in_addresses_are_not_told() -> None:
    assert shown("https://h/a/b.tif?sig=1#x") == "https://h/a/b.tif"
