"""The adapter: one file, one scene; a frame is a block of it with its halo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from banana_cli.adapter import InputItem, Unreadable, read_head
from banana_cli.errors import InputError
from banana_cli.options import ReadOptions
from banana_cli.types import F32, Band, Domain, Frame, Layer, LayerKind, Modality, Provenance

from .bands import choose, read_pixels
from .blocks import WORK_PX, Block, Blocks
from .content import Container, container_of, owner_of, refuse_side_file
from .gdal import Dataset, address, open_raster, reading
from .heights import metres_of, normals_of
from .looks import looks_of
from .scaling import scale_scene
from .scene import Plan, SceneInfo, describe, reference_of
from .vrt import check_side_files, check_vrt
from .warp import Placing, upright

_GIVE_UP_AFTER: Final = 8


class SatelliteAdapter:
    """Reader of GeoTIFF, JPEG 2000 and local VRT files."""

    name = "satellite"
    domain = Domain.SATELLITE
    accepts = frozenset({"bidx", "nodata", "sensor"})
    reads_addresses = True

    def sniff(self, path: Path, head: bytes) -> bool:
        """By content: TIFF, BigTIFF, JPEG 2000 or a VRT document."""
        return container_of(head) is not None

    def group(self, paths: Sequence[Path], *, root: Path | None) -> Sequence[InputItem]:
        """One item a file; overviews and masks beside their raster are none, unless they were named."""
        return [
            InputItem(paths=(path,), stem=path.stem, folder=_folder(path, root))
            for path in paths
            if root is None or owner_of(path) is None
        ]

    def inspect(self, item: InputItem, options: ReadOptions) -> SceneInfo:
        """Facts of the scene. InputError if it cannot be read, UsageError for an impossible --bidx."""
        with self.open(item, options) as source:
            return source.info

    @contextmanager
    def open(self, item: InputItem, options: ReadOptions) -> Iterator[SceneSource]:
        """Open a scene and look at it once, for its scaling. Errors as ``inspect``."""
        with ExitStack() as stack:
            with reading(item.subject, item.url):
                dataset = stack.enter_context(closing(_open(item)))
                raster, placing = upright(dataset, item.subject, options.raster.nodata)
                stack.enter_context(closing(raster))
                plan = _plan(item, raster, options, placing)
            yield SceneSource(raster, plan, options)


SATELLITE = SatelliteAdapter()


class SceneSource:
    """An open scene: iterates its blocks in row-major order."""

    def __init__(self, dataset: Dataset, plan: Plan, options: ReadOptions) -> None:
        self._dataset = dataset
        self._plan = plan
        self._normals = LayerKind.NORMALS in options.layers

    @property
    def info(self) -> SceneInfo:
        """What is known of the scene."""
        return self._plan.info

    def __iter__(self) -> Iterator[Frame | Unreadable]:
        """Frames; a damaged block as a value. InputError after eight damaged blocks on end."""
        failed = 0
        for block in self._plan.blocks:
            frame = self._read(block)
            failed = failed + 1 if isinstance(frame, Unreadable) else 0
            if isinstance(frame, Unreadable) and failed >= _GIVE_UP_AFTER:
                raise frame.error
            yield frame

    def _read(self, block: Block) -> Frame | Unreadable:
        try:
            with reading(self.info.item.subject, self.info.item.url):
                return self._frame(block)
        except InputError as exc:
            return Unreadable(index=block.index, error=exc)

    def _frame(self, block: Block) -> Frame:
        plan = self._plan
        pixels, valid = read_pixels(self._dataset, plan.channels, block.window)
        if plan.metres is not None:
            pixels = pixels * np.float32(plan.metres.scale) + np.float32(plan.metres.offset)
        for view in plan.scaling.views:  # what the model sees under nodata: black, never a filler
            pixels[view.band][~valid] = view.low
        geometry = self.info.reference.crop(block.window)
        frame = Frame(
            pixels=pixels,
            valid=valid,
            bands=plan.bands,
            views=plan.scaling.views,
            modality=Modality.AERIAL,
            geometry=geometry,
            provenance=Provenance(
                source=self.info.item.stem,
                index=block.index,
                window=block.window,
                core=block.core,
                scene_shape=self.info.shape,
                looks=plan.blocks.looks,
            ),
        )
        return self._with_normals(frame) if plan.metres is not None and self._normals else frame

    def _with_normals(self, frame: Frame) -> Frame:
        pitch = frame.geometry.pitch()
        if pitch is None:
            return frame
        height_m: F32 = frame.pixels[0]
        measured: tuple[Layer, ...] = (normals_of(height_m, frame.valid, pitch),)
        return replace(frame, measured=measured)


def _folder(path: Path, root: Path | None) -> Path:
    return Path() if root is None else path.parent.relative_to(root)


def _open(item: InputItem) -> Dataset:
    path = item.paths[0]
    refuse_side_file(path)
    container = container_of(read_head(path))
    if container is None:
        raise InputError(
            "is no TIFF, JPEG 2000 or VRT file", subject=item.subject, remedy="name a raster of these kinds"
        )
    if item.url is not None and container is Container.VRT:
        raise InputError(
            "is a VRT, which names other files", subject=item.subject, remedy="name those files themselves"
        )
    if item.url is not None:
        return open_raster(address(item.url), container, item.subject)
    check_side_files(path, item.subject)
    if container is Container.VRT:
        check_vrt(path, item.subject)
    return open_raster(path, container, item.subject)


def _plan(item: InputItem, dataset: Dataset, options: ReadOptions, placing: Placing | None) -> Plan:
    """Choose bands, scale, and decide whether the numbers are heights."""
    channels = choose(dataset, options.raster, item.subject)
    scaling = scale_scene(dataset, channels)
    reference = reference_of(dataset)
    pitch_m = reference.pitch_m
    metres = metres_of(dataset, channels, scaling.ranges[0], pitch_m) if pitch_m else None
    if metres is not None:
        scaling = scaling.linear(metres.scale, metres.offset)
    unit = "m" if metres is not None else "1"
    blocks = Blocks(
        shape=(dataset.height, dataset.width),
        looks=looks_of(reference, options.raster.overlap),
        work=options.raster.tile or WORK_PX,
    )
    return Plan(
        info=describe(
            item,
            dataset,
            channels,
            scaling,
            reference,
            blocks,
            heights=metres is not None,
            layers=options.layers,
            placing=placing,
        ),
        channels=channels,
        bands=tuple(Band(name=name, unit=unit) for name in channels.names),
        scaling=scaling,
        metres=metres,
        blocks=blocks,
    )
