"""``banana help TOPIC``: texts that belong to no single verb."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from banana_cli.errors import UsageError

TOPICS = {
    "exit-codes": """\
0    all done
1    a bug, with its traceback; please report it
2    usage, or outputs that would collide
3    some inputs failed, the others are done
4    no usable input
5    an output cannot be written, or exists already
6    weights missing, foreign or altered
130  Ctrl-C
141  the reader of stdout went away (quiet)
""",
    "settings": """\
Settings count in this order: the command line, BANANA_<OPTION> in the environment, ./banana.toml,
$XDG_CONFIG_HOME/banana/config.toml, the defaults. A settings file names options as they are spelled:

    budget = 0.2
    device = "cuda"
    [depth]
    fov = 90
""",
    "outputs": """\
<stem>.<masks|depth|normals>.<ext>   at the input's own size, below -o, with the tree of a folder mirrored
<output>.json                        its sidecar: what it is, unit and encoding, model, options, times
run.json                             closes a run

Outputs appear whole or not at all; nothing is replaced without --overwrite.
""",
    "formats": """\
videos     mp4 (a view, the default), mp4-overlay, mp4-beside (over the clip, beside it)
           mkv (exact), frames (a folder of pictures)
           of masks: mp4-tracks (vehicles and people in the colour of the number that they keep),
           ndjson (a line a frame: shares of classes, things, tracks), mot (MOTChallenge), coco-video
DICOM      dcm (the default: SEG, Parametric Map, Secondary Capture), nii (masks and depth)
           labelmap (masks as a label map SEG), sc (masks over the scan, painted depth, normals)
           read: lossy JPEG to the last bit as pydicom gives it needs banana-vision[dicom-exact] (GPL)
scenes     tif (the default: COG, with a STAC item), hillshade (of depth), html (a page to look at)
           geojson, gpkg (outlines of masks, with area, confidence and, --with depth, height)
           tiles (PNG with world files), geotiles (GeoTIFF): folders named by place, with an index
           xyz, mbtiles, pmtiles (web maps; --min-zoom, --max-zoom, --tiling-scheme)
pictures   png (the default)
attention  attention (pictures), attention-mp4 (clips): written by --attention and not by --format
any        png, npy, csv and json (statistics; of scans: ml, mm2, mean HU), overlay (beside or over the input)
           coco (masks as COCO JSON: things one by one, the rest by class; needs banana-vision[coco])

png and frames: banana decode gives the values back. mkv holds them too; its sidecar tells the encoding.
--format takes several: --format tif,geojson,csv
""",
}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("help", help=f"Texts on: {', '.join(TOPICS)}.")(topic)


def topic(name: Annotated[str, typer.Argument(metavar="TOPIC", help="Which text.")] = "") -> None:
    """Show one text, or which there are. UsageError for a topic that does not exist."""
    if not name:
        sys.stdout.write(f"Topics: {', '.join(TOPICS)}\nFor a verb: banana VERB --help\n")
        return
    if name not in TOPICS:
        raise UsageError(
            f"no topic {name!r}",
            subject="help",
            remedy=f"topics: {', '.join(TOPICS)}; for a verb: banana VERB --help",
        )
    sys.stdout.write(TOPICS[name])
