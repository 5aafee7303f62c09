"""Made DICOM files with known content, and a run from reader to sink with a rule instead of a model."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from banana_adapters.medical import MEDICAL
from banana_adapters.medical.sinks import DCM, NII
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from banana_cli.adapter import InputItem, Look, SinkJob, Unreadable
from banana_cli.classes import MEDICAL as TABLE
from banana_cli.options import DicomOptions, ReadOptions
from banana_cli.tasks.depth import DEPTH
from banana_cli.tasks.segment import SEGMENT
from banana_cli.types import (
    NO_CLASS,
    Depth,
    DepthKind,
    LayerKind,
    Mask,
    ModelFacts,
    Normals,
    Prediction,
    Unit,
)

SECRET_NAME, SECRET_ID, SECRET_BIRTH = "Geheim^Gertrud", "ID-4711-GEHEIM", "19330102"
ALL = frozenset(LayerKind)


def dataset(pixels: np.ndarray, **tags: object) -> FileDataset:
    """A CT slice of stored ``pixels`` (H, W), (N, H, W) or (H, W, 3); ``tags`` override, None removes."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = tags.get("SOPClassUID", CTImageStorage)
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    base = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3.1",
        "SeriesInstanceUID": "1.2.3.2",
        "FrameOfReferenceUID": "1.2.3.3",
        "PatientName": SECRET_NAME,
        "PatientID": SECRET_ID,
        "PatientBirthDate": SECRET_BIRTH,
        "Modality": "CT",
        "SeriesNumber": 7,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Rows": pixels.shape[0 if pixels.ndim == 2 or colour else 1],
        "Columns": pixels.shape[1 if pixels.ndim == 2 or colour else 2],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": pixels.dtype.itemsize * 8,
        "BitsStored": pixels.dtype.itemsize * 8,
        "HighBit": pixels.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "ImagePositionPatient": [0, 0, 0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [1, 1],
    }
    if colour:
        base["PlanarConfiguration"] = 0
    if pixels.ndim == 3 and not colour:
        base["NumberOfFrames"] = pixels.shape[0]
    for keyword, value in {**base, **tags}.items():
        if value is not None:
            setattr(ds, keyword, value)
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    if pixels.dtype.kind == "f":
        setattr(ds, "FloatPixelData" if pixels.dtype.itemsize == 4 else "DoubleFloatPixelData", data)
    else:
        ds.PixelData = data + b"\0" * (len(data) % 2)
        ds["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    return ds


def save(path: Path, pixels: np.ndarray, **tags: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = dataset(pixels, **tags)
    ds.save_as(path, enforce_file_format=True)
    return path


def save_series(folder: Path, voxels: np.ndarray, **tags: object) -> list[Path]:
    """(slices, rows, columns) HU as signed slices; ``right``, ``down``, ``step``, ``origin`` place them."""
    right, down = (np.array(tags.pop(k, d), float) for k, d in (("right", (1, 0, 0)), ("down", (0, 1, 0))))
    step = np.array(tags.pop("step", (0, 0, 1)), float)
    origin = np.array(tags.pop("origin", (0, 0, 0)), float)
    offsets = tags.pop("offsets", range(len(voxels)))
    paths = []
    for k, (plane, place) in enumerate(zip(voxels, offsets, strict=True)):
        position = [round(float(v), 6) for v in origin + place * step]
        own = {
            "ImagePositionPatient": position,
            "ImageOrientationPatient": [round(float(v), 9) for v in (*right, *down)],
            "InstanceNumber": k + 1,
            "RescaleSlope": 1,
            "RescaleIntercept": 0,
        }
        paths.append(save(folder / f"{k:03d}.dcm", plane.astype(np.int16), **{**own, **tags}))
    return paths


def enhanced(path: Path, voxels: np.ndarray, positions: list[list[float]], slopes: list[float]) -> Path:
    """An enhanced multi-frame CT: places and rescale in functional groups."""
    ds = dataset(voxels, SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1", ImagePositionPatient=None)
    del ds.ImageOrientationPatient, ds.PixelSpacing
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing = [2, 2]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    ds.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for position, slope in zip(positions, slopes, strict=True):
        frame, place, values = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = position
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, -1000, "HU"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [values]
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.save_as(path, enforce_file_format=True)
    return path


def options(*layers: LayerKind, **dicom: object) -> ReadOptions:
    return ReadOptions(layers=frozenset(layers) or ALL, dicom=DicomOptions(**dicom))


def single(path: Path) -> InputItem:
    (item,) = MEDICAL.group([path], root=None)
    return item


def frames_of(item: InputItem, opts: ReadOptions | None = None) -> list:
    with MEDICAL.open(item, opts or options(LayerKind.MASKS)) as source:
        return list(source)


def folder_items(root: Path) -> list[InputItem]:
    return list(MEDICAL.group(sorted(p for p in root.rglob("*") if p.is_file()), root=root))


class PaintNormals:
    """The normals' colours as the contract states them."""

    name, layer = "normals", LayerKind.NORMALS

    def paint(self, layer: Normals, look: Look) -> np.ndarray:
        rgb = np.moveaxis(layer.xyz, 0, -1) * np.array([0.5, -0.5, -0.5]) + 0.5
        return np.where(layer.valid[..., None], np.rint(rgb * 255), 0).astype(np.uint8)


def answer(frame) -> Prediction:
    """Bone above 0 HU, air below; what the frame measured itself is passed on."""
    layers = list(frame.measured)
    wanted = frame.provenance.extra.get("layers", [k.value for k in ALL])
    if "masks" in wanted:
        ids = np.where(frame.pixels[0] > 0, TABLE.id_of("bone"), TABLE.id_of("air"))
        ids = np.where(frame.valid, ids, NO_CLASS).astype(np.uint8)
        layers.append(Mask(ids=ids, valid=frame.valid, table=TABLE))
    if "depth" in wanted and not frame.measured:
        values = np.where(frame.valid, frame.pixels[0] / 10, np.nan).astype(np.float32)
        layers.append(
            Depth(values=values, valid=frame.valid, depth_kind=DepthKind.METRIC, unit=Unit.MILLIMETRE)
        )
    if "normals" in wanted and not frame.measured:
        xyz = np.zeros((3, *frame.shape), np.float32)
        xyz[2, frame.valid] = -1
        layers.append(Normals(xyz=xyz, valid=frame.valid))
    return Prediction(layers=tuple(layers), tokens_kept=1.0, seconds={})


def job(info, layer: LayerKind) -> SinkJob:
    model = ModelFacts(name="nano", weights_sha256="ab" * 32, budget=0.27, precision="fp32", device="cpu")
    return SinkJob(
        info=info,
        layer=layer,
        table=TABLE,
        look=Look(depth_near=0, depth_far=300),
        model=model,
        software="banana 0.1.0",
        tasks={LayerKind.MASKS: SEGMENT, LayerKind.DEPTH: DEPTH, LayerKind.NORMALS: PaintNormals()},
    )


def write(
    item: InputItem, out: Path, opts: ReadOptions | None = None, formats: tuple = (DCM, NII)
) -> dict[str, tuple[Path, dict]]:
    """Read, answer and write every layer in every format that takes it: {"masks.dcm": (path, facts)}."""
    out.mkdir(exist_ok=True)
    opts = opts or options()
    with MEDICAL.open(item, opts) as source, ExitStack() as stack:
        sinks = {}
        for fmt in formats:
            for layer in sorted(opts.layers & fmt.layers & set(source.info.formats)):
                suffix = fmt.suffix(layer, source.info)
                path = out / f"{item.stem}.{layer}{suffix}"
                sinks[layer + suffix] = (path, stack.enter_context(fmt.open(path, job(source.info, layer))))
        for frame in source:
            if isinstance(frame, Unreadable):
                continue
            prediction = answer(frame)
            for _, sink in sinks.values():
                sink.write(frame, prediction)
        return {name: (path, sink.finish()) for name, (path, sink) in sinks.items()}
