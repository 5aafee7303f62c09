"""Studies in a zip and behind a DICOMDIR: read where they lie, within bounds, nothing outside of them."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from banana_adapters.medical import MEDICAL
from banana_adapters.medical.archive import is_study
from medical_made import SECRET_NAME, frames_of, options, save, save_series, single
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from banana_cli.adapter import InputItem, Unreadable, read_head
from banana_cli.errors import InputError
from banana_cli.inputs import Readers, find
from banana_cli.types import LayerKind

VOXELS = np.arange(5 * 4 * 6).reshape(5, 4, 6)
MASKS = options(LayerKind.MASKS)


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def study(tmp_path: Path) -> dict[str, bytes]:
    """Two series, a lone picture, a report and a viewer's text, as a portal sends them."""
    tags = {"SeriesInstanceUID": "1.2.3.9", "SeriesNumber": 9}
    first = save_series(tmp_path / "a", VOXELS)
    second = save_series(tmp_path / "b", VOXELS + 500, **tags)
    lone = save(tmp_path / "lone.dcm", VOXELS[0].astype(np.int16), SeriesInstanceUID="1.2.3.10")
    report = save(
        tmp_path / "sr.dcm",
        VOXELS[0].astype(np.int16),
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11",
        Rows=None,
        Columns=None,
    )
    files = {f"{SECRET_NAME}/ct/{p.name}": p.read_bytes() for p in reversed(first)}
    files |= {f"{SECRET_NAME}/mr/{p.name}": p.read_bytes() for p in second}
    return files | {
        "README.txt": b"a viewer",
        "../../evil.dcm": lone.read_bytes(),
        "sr.dcm": report.read_bytes(),
    }


def items_of(path: Path) -> list[InputItem]:
    return list(MEDICAL.group([path], root=None))


def test_a_study_in_a_zip_is_its_series(tmp_path):
    path = zipped(tmp_path / "study.zip", study(tmp_path))
    assert MEDICAL.sniff(path, read_head(path))
    items = items_of(path)
    assert {i.stem for i in items} == {"study_1", "study_2", "study_3"}
    assert all(i.paths == (path,) and i.folder == Path() for i in items)
    pictures = [np.stack([f.pixels[0] for f in frames_of(i, MASKS)]) for i in items]
    assert sorted(map(len, pictures)) == [1, 5, 5]
    for expected in (VOXELS, VOXELS + 500):
        assert any(np.array_equal(p, expected) for p in pictures)
    infos = [MEDICAL.inspect(i, MASKS) for i in items]
    assert sorted(i.frames for i in infos) == [1, 5, 5]
    assert not any("Geheim" in str(x) for i in infos for x in (i.item.subject, i.facts, i.notices))


def test_a_zip_with_one_series_bears_its_own_name_and_is_counted_once(tmp_path):
    files = {p.name: p.read_bytes() for p in save_series(tmp_path / "a", VOXELS)}
    folder = tmp_path / "in" / "sub"
    folder.mkdir(parents=True)
    zipped(folder / "chest.zip", files)
    zipped(folder / "two.zip", study(tmp_path / "more"))
    finding = find([str(tmp_path / "in")], Readers(adapters={"medical": MEDICAL}))
    assert not finding.failed and finding.passed_over == 0
    assert sorted(f.item.stem for f in finding.found) == ["chest", "two_1", "two_2", "two_3"]
    assert {f.item.folder for f in finding.found} == {Path("sub")}


def test_a_zip_of_something_else_is_none_of_ours(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.txt": b"text", "b/c.png": b"\x89PNG\r\n\x1a\n"})
    assert not is_study(path) and not MEDICAL.sniff(path, read_head(path))
    path.write_bytes(path.read_bytes()[:-30])
    assert not is_study(path)


@pytest.mark.parametrize("limit, value", [("MAX_MEMBERS", 3), ("MAX_BYTES", 2000), ("MAX_RATIO", 1)])
def test_a_zip_that_asks_for_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, limit, value):
    path = zipped(tmp_path / "study.zip", study(tmp_path))
    monkeypatch.setattr(f"banana_adapters.medical.archive.{limit}", value)
    (item,) = items_of(path)
    with pytest.raises(InputError, match="more than"):
        MEDICAL.inspect(item, MASKS)


def test_a_damaged_member_is_told_and_its_neighbours_are_read(tmp_path):
    files = {p.name: p.read_bytes() for p in save_series(tmp_path / "a", VOXELS)}
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    data[data.index(files["002.dcm"][-60:]) + 50] ^= 0xFF  # in the pixels of the third
    path.write_bytes(data)
    whole, damaged = items_of(path)
    assert len(whole.members) == 4 and not any(isinstance(f, Unreadable) for f in frames_of(whole, MASKS))
    with pytest.raises(InputError, match="CRC"):
        MEDICAL.inspect(damaged, MASKS)


def directory(path: Path, listed: list[list[str]]) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.DirectoryRecordSequence = []
    for parts in listed:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no medium has such names, but discs copied by hand do
            record.ReferencedFileID = parts
        ds.DirectoryRecordSequence.append(record)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.save_as(path, enforce_file_format=True)
    return path


def test_a_dicomdir_finds_its_files_in_either_case(tmp_path):
    save_series(tmp_path / "disc" / "pt0" / "ct", VOXELS)
    listed = [["PT0", "CT", f"{k:03d}.DCM"] for k in range(5)]
    (item,) = items_of(directory(tmp_path / "disc" / "DICOMDIR", listed))
    assert (item.stem, item.folder, len(item.paths)) == ("ct", Path("pt0/ct"), 5)
    assert len(frames_of(item, MASKS)) == 5


def test_a_dicomdir_reads_nothing_outside_of_its_folder_and_says_what_is_missing(tmp_path):
    secret = save(tmp_path / "secret.dcm", VOXELS[0].astype(np.int16))
    inside = save(tmp_path / "disc" / "a.dcm", VOXELS[0].astype(np.int16))
    (tmp_path / "disc" / "link.dcm").symlink_to(secret)
    listed = [["A.DCM"], ["..", "secret.dcm"], [str(secret)], ["LINK.DCM"], ["NONE"]]
    items = items_of(directory(tmp_path / "disc" / "DICOMDIR", listed))
    assert [i.paths for i in items] == [(inside,), (tmp_path / "disc" / "DICOMDIR",)]
    with pytest.raises(InputError, match="4 of the 5 files"):
        MEDICAL.inspect(items[1], MASKS)


def test_in_a_folder_the_dicomdir_is_passed_over(tmp_path):
    save_series(tmp_path / "ct", VOXELS)
    directory(tmp_path / "DICOMDIR", [["CT", "000.DCM"]])
    finding = find([str(tmp_path)], Readers(adapters={"medical": MEDICAL}))
    assert len(finding.found) == 1 and finding.passed_over == 1 and not finding.failed
    assert single(tmp_path / "ct" / "000.dcm").stem == "000"
