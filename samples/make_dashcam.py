"""Writes dashcam.mp4: six seconds of a made-up street, with a soft made-up sound. Always the same bytes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from banana_cli.types import F32, U8
from banana_cli.worlds.street import StreetScene

SEED, SECONDS, FPS, HEIGHT, WIDTH, RATE = 1143, 6, 25, 360, 640, 22050


def picture(scene: StreetScene, time_s: float) -> U8:
    """(H, W, 3) frame of the scene."""
    views = scene.render(HEIGHT, WIDTH, time_s).views
    return np.ascontiguousarray((views.transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8))


def hum(seconds: float) -> F32:
    """(1, n) soft engine note with tyre noise, -1..1."""
    t = np.arange(round(seconds * RATE)) / RATE
    rng = np.random.default_rng(1)
    hiss = np.convolve(rng.standard_normal(t.size), np.ones(24) / 24, "same")
    note = sum(
        np.sin(2 * np.pi * f * t + 0.4 * np.sin(2 * np.pi * 0.5 * t)) / k
        for k, f in enumerate((55, 110, 165), 1)
    )
    swell = np.minimum(1, np.minimum(t, seconds - t) * 4)
    return (0.05 * swell * (note + 2 * hiss)).astype(np.float32)[None]


def _sound(container: av.container.OutputContainer, stream: av.AudioStream) -> None:
    samples, step = hum(SECONDS), 1024
    for start in range(0, samples.shape[1], step):
        part = np.ascontiguousarray(samples[:, start : start + step])
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def main(folder: Path) -> Path:
    """Write ``dashcam.mp4`` into ``folder`` and give its path."""
    path = folder / "dashcam.mp4"
    scene = StreetScene.make(SEED)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        container.flags |= av.container.Flags.bitexact.value
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"crf": "27", "preset": "slow", "threads": "1"}
        sound = container.add_stream("aac", rate=RATE, layout="mono")
        sound.bit_rate = 48000
        for k in range(SECONDS * FPS):
            frame = av.VideoFrame.from_ndarray(picture(scene, k / FPS), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        _sound(container, sound)
    return path


if __name__ == "__main__":
    print(main(Path(__file__).resolve().parent))
