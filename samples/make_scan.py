"""Makes samples/scan.dcm (one CT slice) and samples/series (24 slices of a made-up head or limb)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

from banana_cli.worlds import medical

_PREFIX = "1.2.826.0.1.3680043.8.498."
_SCAN_SEED, _SERIES_SEED = 5, 12
_SLICES = 24


def _uid(*names: object) -> str:
    return str(generate_uid(prefix=_PREFIX, entropy_srcs=["banana sample", *map(str, names)]))


def _patient(ds: Dataset) -> None:
    ds.PatientName, ds.PatientID = "Sample^Synthetic", "SYNTHETIC-0"
    ds.PatientBirthDate, ds.PatientSex = "", "O"
    ds.PatientIdentityRemoved, ds.DeidentificationMethod = "YES", "Made by a program: there is no patient"


def _study(ds: Dataset, series: str) -> None:
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid("study", series), _uid("series", series)
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = _uid("frame", series), ""
    ds.StudyID, ds.SeriesNumber, ds.AccessionNumber = "1", 1, ""
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20260101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.ReferringPhysicianName, ds.OperatorsName = "", ""
    ds.StudyDescription = ds.SeriesDescription = f"Synthetic {series}"
    ds.Manufacturer, ds.ManufacturerModelName = "banana", "made-up scanner"
    ds.SoftwareVersions, ds.DeviceSerialNumber, ds.InstitutionName = "1", "0", ""
    ds.Modality, ds.PatientPosition, ds.BodyPartExamined = "CT", "HFS", ""


def _plane(ds: Dataset, spacing: tuple[float, float, float], number: int, shape: tuple[int, int]) -> None:
    step, row, col = spacing
    left, top = -(shape[1] - 1) / 2 * col, -(shape[0] - 1) / 2 * row
    ds.InstanceNumber, ds.AcquisitionNumber = number + 1, 1
    ds.PixelSpacing = [f"{row:.6f}", f"{col:.6f}"]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [f"{left:.4f}", f"{top:.4f}", f"{number * step:.4f}"]
    ds.SliceLocation, ds.SliceThickness, ds.SpacingBetweenSlices = (
        f"{number * step:.4f}",
        f"{step:.4f}",
        f"{step:.4f}",
    )


def _pixels(ds: Dataset, hu: np.ndarray) -> None:
    """Signed 16 bit stored values; HU = stored - 1024."""
    stored = np.rint(np.asarray(hu, np.float64) + 1024).clip(0, 4095).astype("<i2")
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    ds.WindowCenterWidthExplanation = "SOFT TISSUE"
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"


def _dataset(hu: np.ndarray, spacing: tuple[float, float, float], series: str, number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = _uid("instance", series, number)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _PREFIX + "1"
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.KVP, ds.XRayTubeCurrent, ds.ConvolutionKernel, ds.GantryDetectorTilt = "120", "200", "B30", "0"
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    _patient(ds)
    _study(ds, series)
    _plane(ds, spacing, number, hu.shape)
    _pixels(ds, hu)
    return ds


def main(folder: Path) -> None:
    """Write scan.dcm and series/*.dcm into the folder; the same bytes every time."""
    hu, _, pitch = medical.ct_slice(_SCAN_SEED, 512, 512)
    scan = _dataset(hu, (5.0, pitch.row, pitch.col), "scan", 0)
    scan.save_as(folder / "scan.dcm", enforce_file_format=True)
    volume, _, spacing = medical.volume(_SERIES_SEED, _SLICES, 256, 256)
    (folder / "series").mkdir(exist_ok=True)
    for k, plane in enumerate(volume):
        ds = _dataset(plane, spacing, "series", k)
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.save_as(folder / "series" / f"slice_{k:02d}.dcm", enforce_file_format=True)


if __name__ == "__main__":
    main(Path(__file__).resolve().parent)
