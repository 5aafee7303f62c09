"""The page as a browser shows it: Chromium loads it, moves its sliders and asks where the mouse is."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from banana_adapters.satellite import page
from banana_adapters.satellite.sinks import HTML
from PIL import Image
from scenery import convert, write_scene

from banana_cli.classes import AERIAL
from banana_cli.types import LayerKind

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTH, HEIGHT = 1000, 700
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]
PROBE = """<script>
addEventListener("load", () => setTimeout(() => {
  const pictures = [...document.querySelectorAll("#map img")], top = pictures.at(-1);
  const told = { errors: window.faults, images: pictures.map(i => i.naturalWidth) };
  const [on, slider] = [...document.querySelectorAll("#layers fieldset")].at(-1).querySelectorAll("input");
  told.before = top.style.opacity;
  slider.value = 25; slider.dispatchEvent(new Event("input"));
  told.after = top.style.opacity;
  on.checked = false; on.dispatchEvent(new Event("change"));
  told.off = top.style.opacity;
  const box = top.getBoundingClientRect(), at = { bubbles: true, view: window };
  at.clientX = box.left + box.width * 0.25; at.clientY = box.top + box.height * 0.75;
  top.dispatchEvent(new PointerEvent("pointermove", at));
  top.dispatchEvent(new MouseEvent("mousemove", at));
  told.where = document.getElementById("where").textContent;
  told.box = [box.left, box.top, box.width, box.height];
  on.checked = true; slider.value = 100; slider.dispatchEvent(new Event("input"));
  document.body.setAttribute("data-told", JSON.stringify(told));
}, 300));
</script></body>"""
FAULTS = "<head><script>window.faults = []; addEventListener('error', e => faults.push(e.message));</script>"


def browse(path: Path, *words: str) -> bytes:
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000"]
    command += [f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={path.parent / 'profile'}"]
    return subprocess.run(
        [*command, *words, path.as_uri()], capture_output=True, check=True, timeout=240
    ).stdout


@pytest.mark.parametrize("library", ["leaflet", "own"])
def test_sliders_and_places_work_in_a_browser(
    tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "own":
        monkeypatch.setattr(page, "LIBRARY", "nowhere/none")
    elif not page._map()["LIBRARY_JS"]:
        pytest.skip("the build did not fetch Leaflet (make vendor)")
    band = np.full((300, 400), 1, np.uint8)
    band[150:, :200] = 4
    scene = write_scene(tmp_path / "s.tif", np.stack([band] * 3))
    convert(scene, tmp_path, {"p.html": (HTML, LayerKind.MASKS)})
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert ("Leaflet" in text) == (library == "leaflet")
    probe = tmp_path / "probe.html"
    probe.write_text(text.replace("<head>", FAULTS, 1).replace("</body>", PROBE, 1), encoding="utf-8")
    dom = browse(probe, "--dump-dom").decode()
    found = re.search(r'data-told="([^"]*)"', dom)
    assert found, dom[-2000:]
    told = json.loads(found[1].replace("&quot;", '"'))
    assert told["errors"] == [] and told["images"] == [400] * 4
    assert (told["before"], told["after"], told["off"]) == ("0.6", "0.25", "0")
    assert re.match(r"column (99|100), row 22[45] .* N, .* E", told["where"])
    assert AERIAL.names[4] in told["where"]
    picture = tmp_path / "shot.png"
    browse(probe, f"--screenshot={picture}")
    left, top, width, height = told["box"]
    with Image.open(io.BytesIO(picture.read_bytes())) as shot:
        pixels = np.asarray(shot.convert("RGB"))
    for share, class_id in (((0.25, 0.75), 4), ((0.25, 0.25), 1)):
        x, y = left + width * share[0], top + height * share[1]
        np.testing.assert_allclose(pixels[int(y), int(x)], AERIAL.classes[class_id].rgb, atol=3)
