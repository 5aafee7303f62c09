"""Clips made on the spot, so that every number in them is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

IRREGULAR = (0, 1, 7, 8, 40, 41, 300, 301, 302, 1000)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a test clip is made of; ``pts`` in ticks of ``base``."""

    container: str = "mp4"
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    size: tuple[int, int] = (48, 64)
    base: Fraction = Fraction(1, 15360)
    pts: Sequence[int] = tuple(range(0, 20 * 512, 512))
    turn_degrees: float | None = None
    audio: str | None = None
    audio_rate: int = 48000
    full_range: bool | None = None
    matrix: int | None = None
    aspect: Fraction | None = None
    options: dict[str, str] = field(default_factory=dict)


def picture(index: int, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) with a bright corner at the top left and a number's worth of brightness."""
    rows, cols = size
    rgb = np.full((rows, cols, 3), 40 + index * 7 % 150, np.uint8)
    rgb[: rows // 2, : cols // 2] = (230, 30, 30)
    rgb[rows // 2 :, : cols // 2] = (30, 30, 230)
    return rgb


def make(path: Path, recipe: Recipe) -> Path:
    """Write the clip."""
    with av.open(str(path), "w", format=recipe.container) as out:
        video = _video(out, recipe)
        audio = out.add_stream(recipe.audio, rate=recipe.audio_rate) if recipe.audio else None
        if audio is not None:
            audio.layout = "mono"
        packets = _pictures(video, recipe)
        if audio is not None:
            seconds = float((recipe.pts[-1] + 512) * recipe.base)
            packets += _sound(audio, recipe.audio_rate, seconds)
        packets.sort(key=lambda p: p.dts * p.time_base)
        for packet in packets:
            out.mux(packet)
    return path


def _video(out: av.container.OutputContainer, recipe: Recipe) -> av.VideoStream:
    options = {"bf": "2", "g": "8", **recipe.options} if "264" in recipe.codec else dict(recipe.options)
    video = out.add_stream(recipe.codec, rate=30, options=options)
    video.height, video.width = recipe.size
    video.pix_fmt = recipe.pixel_format
    video.codec_context.time_base = recipe.base
    if recipe.turn_degrees is not None:
        video.set_display_rotation(recipe.turn_degrees)
    if recipe.full_range is not None:
        video.codec_context.color_range = 2 if recipe.full_range else 1
    if recipe.aspect is not None:
        video.codec_context.sample_aspect_ratio = recipe.aspect
    if recipe.matrix is not None:
        video.codec_context.colorspace = recipe.matrix
    return video


def _pictures(video: av.VideoStream, recipe: Recipe) -> list[av.Packet]:
    packets = []
    for index, pts in enumerate(recipe.pts):
        frame = av.VideoFrame.from_ndarray(picture(index, recipe.size), format="rgb24")
        frame.pts, frame.time_base = pts, recipe.base
        packets += video.encode(frame)
    return packets + video.encode(None)


def _sound(audio: av.AudioStream, rate: int, seconds: float) -> list[av.Packet]:
    time = np.arange(int(rate * seconds))
    wave = (np.sin(time * 440 * 2 * np.pi / rate) * 9000).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    resampler = av.AudioResampler(
        format=audio.codec_context.format, layout="mono", rate=rate, frame_size=audio.codec_context.frame_size
    )
    packets = []
    for part in resampler.resample(frame) + resampler.resample(None):
        packets += audio.encode(part)
    return packets + audio.encode(None)


def frames_of(path: Path) -> list[tuple[Fraction, tuple[int, int]]]:
    """(time in seconds, size) of every decoded frame."""
    with av.open(str(path)) as clip:
        stream = clip.streams.video[0]
        return [(f.pts * stream.time_base, (f.height, f.width)) for f in clip.decode(stream)]


def sound_of(path: Path) -> list[tuple[bytes, Fraction]]:
    """(bytes, time in seconds) of every sound packet."""
    with av.open(str(path)) as clip:
        streams = clip.streams.audio
        if not streams:
            return []
        return [(bytes(p), p.pts * p.time_base) for p in clip.demux(streams) if p.size]


def pictures_of(path: Path) -> list[np.ndarray]:
    """Every decoded frame as (H, W, 3)."""
    with av.open(str(path)) as clip:
        return [f.to_ndarray(format="rgb24") for f in clip.decode(clip.streams.video[0])]
