"""Options and formats that can act on some inputs only; inputs that are empty by wish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from banana_cli.adapter import SourceInfo
from banana_cli.cli.options import InputArgs
from banana_cli.cli.reading import read_options
from banana_cli.errors import UsageError
from banana_cli.options import Bonnet
from banana_cli.types import LayerKind

from .fakes import FakeFormat, Fakes, banana, complaint, put, tree


class PickyFormat(FakeFormat):
    """As mp4: for some inputs of its domain only."""

    def suffix(self, layer: LayerKind, info: SourceInfo) -> str:
        if info.shape[0] == 5:
            raise UsageError("format picky is for clips", subject=info.item.subject, remedy="r")
        return self.ending


class ObedientFormat(FakeFormat):
    obeys = frozenset({"depth-encoding"})


class WebFormat(FakeFormat):
    obeys = frozenset({"min-zoom", "max-zoom"})


def fussy_world() -> Fakes:
    fakes = Fakes()
    fakes.formats["picky"] = PickyFormat(name="picky", ending=".picky")
    fakes.formats["png"] = ObedientFormat(name="png", ending=".png")
    return fakes


def test_a_format_that_cannot_serve_one_input_names_it_before_anything_is_read(here: Path) -> None:
    put(here / "clip.clip")
    put(here / "photo.clip", "FAKE 5 6 1")
    fakes = fussy_world()
    assert banana(fakes, "segment", "clip.clip", "photo.clip", "--format", "picky") == 2
    assert complaint(fakes)[0].startswith(
        "banana: photo.clip: its masks (driving, fake clip) cannot be picky"
    )
    assert "txt" in complaint(fakes)[1] and len(complaint(fakes)) == 2 and not fakes.engine.asked


def test_formats_that_serve_only_some_inputs_go_to_those(here: Path) -> None:
    put(here / "clip.clip")
    put(here / "photo.clip", "FAKE 5 6 1")
    assert banana(fussy_world(), "segment", ".", "--format", "picky,txt", "-o", "out") == 0
    names = {n for n in tree(here / "out") if n.endswith((".picky", ".txt"))}
    assert names == {"clip.masks.picky", "clip.masks.txt", "photo.masks.txt"}
    assert banana(fussy_world(), "segment", "photo.clip", "-o", "named.txt") == 0


def test_depth_encoding_reaches_the_sinks_and_is_refused_where_idle(here: Path) -> None:
    put(here / "a.clip")
    words = ("--depth-encoding", "rgb")
    assert banana(fussy_world(), "depth", "a.clip", *words, "--format", "png", "-o", "out") == 0
    assert json.loads((here / "out/a.depth.png.json").read_text())["options"]["depth_encoding"] == "rgb"
    none, idle, wrong = fussy_world(), fussy_world(), fussy_world()
    assert banana(none, "segment", "a.clip", *words, "--format", "png") == 2
    assert complaint(none)[0] == "banana: --depth-encoding: no depth is written"
    assert banana(idle, "segment", "a.clip", "--with", "depth", *words) == 2
    assert complaint(idle)[0] == "banana: --depth-encoding: cannot act on depth as txt"
    assert banana(wrong, "depth", "a.clip", "--depth-encoding", "exr") == 2
    assert tree(here) == {"a.clip", *(f"out/{n}" for n in tree(here / "out"))}


def test_zoom_levels_reach_the_sinks_and_are_refused_where_idle(here: Path) -> None:
    put(here / "a.clip")
    fakes, idle, wrong = Fakes(), Fakes(), Fakes()
    fakes.formats["web"] = WebFormat(name="web", ending=".web")
    words = ("--min-zoom", "3", "--max-zoom", "9")
    assert banana(fakes, "segment", "a.clip", *words, "--format", "web", "-o", "out") == 0
    options = json.loads((here / "out/a.masks.web.json").read_text())["options"]
    assert (options["min_zoom"], options["max_zoom"]) == (3, 9)
    assert banana(idle, "segment", "a.clip", *words) == 2
    assert complaint(idle)[0] == "banana: --min-zoom: cannot act on outputs as txt"
    assert banana(wrong, "segment", "a.clip", "--min-zoom", "9", "--max-zoom", "3") == 2


def test_tile_and_overlap_reach_the_readers_too(here: Path) -> None:
    put(here / "a.clip")
    assert banana(Fakes(), "segment", "a.clip", "--tile", "64", "--overlap", "8") == 0
    raster = json.loads((here / "a.masks.txt.json").read_text())["options"]["raster"]
    assert (raster["tile"], raster["overlap"]) == (64, 8)


def test_an_input_that_is_empty_by_wish_is_no_failure(here: Path) -> None:
    put(here / "scout.clip", "FAKE 4 6 0 empty=1 notice=1")
    put(here / "a.clip")
    fakes = Fakes()
    assert banana(fakes, "segment", "scout.clip", "a.clip", "-o", "out") == 0
    assert "note: scout.clip: focal length unknown" in complaint(fakes)
    alone = Fakes()
    assert banana(alone, "segment", "scout.clip", "-o", "other") == 4
    assert complaint(alone)[-2] == "banana: inputs: every one was left out as asked"
    assert not (here / "other").exists()


@pytest.mark.parametrize(
    ("word", "source", "sought"),
    [("auto", "a.mp4", True), ("auto", "-", False), ("find", "-", True), ("keep", "a.mp4", False)],
)
def test_a_pipe_is_searched_for_the_bonnet_only_when_asked(word: str, source: str, sought: bool) -> None:
    args = InputArgs(inputs=[source], bonnet=Bonnet(word))
    assert read_options(args, frozenset()).video.bonnet is sought
