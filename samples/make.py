"""Make every sample anew; nothing here comes from a real camera, patient or satellite."""

from __future__ import annotations

from pathlib import Path

import make_dashcam
import make_scan
import make_scene


def main(folder: Path) -> None:
    for sample in (make_dashcam, make_scan, make_scene):
        sample.main(folder)


if __name__ == "__main__":
    main(Path(__file__).parent)
