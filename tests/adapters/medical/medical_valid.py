"""A check of written DICOM against the standard's own tables (as highdicom brings them), without a network.

In the manner of dciodvfy: every attribute that the object's modules demand is there and has a value, none
is there that no module of it knows, and every value fits its VR.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import pydicom
from pydicom import config
from pydicom.dataset import Dataset

# the standard's table of 2021 lacks this newer object; it is that of a segmentation but for its pixels
_SAME = {"1.2.840.10008.5.1.4.1.1.66.7": "1.2.840.10008.5.1.4.1.1.66.4"}
# attributes newer than highdicom's tables
_NEWER = {"SegmentLabel", "PixelPaddingValue"}


@cache
def _table(name: str):
    return json.loads((files("highdicom") / "_standard" / f"{name}.json").read_text())


def complaints(path) -> list[str]:
    """What is wrong with a file; [] if nothing."""
    config.settings.reading_validation_mode = config.RAISE
    try:
        ds = pydicom.dcmread(path)
        wrong = list(_values(ds, ""))
        if wrong:
            return wrong
        uid = ds.SOPClassUID
        modules = _table("iod_module_map")[_table("sop_class_iod_map")[_SAME.get(uid, uid)]]
        return [*_missing(ds, modules), *_unknown(ds, modules)]
    finally:
        config.settings.reading_validation_mode = config.WARN


def _attributes(modules, usages: str):
    for module in modules:
        if module["usage"] in usages:
            for attribute in _table("module_attribute_map")[module["key"]]:
                yield module["key"], attribute


def _missing(ds: Dataset, modules):
    """Attributes of type 1 or 2 that are absent, and of type 1 that are empty."""
    for module, attribute in _attributes(modules, "M"):
        if attribute["type"] not in ("1", "2") or _of_a_macro(attribute["path"]):
            continue
        for place in _at(ds, attribute["path"]):
            name = attribute["keyword"]
            where = "/".join([*attribute["path"], name])
            if name not in place:
                yield f"{module}: lacks {where}"
            elif attribute["type"] == "1" and place[name].is_empty:
                yield f"{module}: {where} is empty"


def _of_a_macro(path) -> bool:
    """Functional groups: which of them an object needs, the table does not say."""
    return bool(path) and path[0] in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def _at(ds: Dataset, path):
    """The items that a path leads to."""
    if not path:
        yield ds
        return
    for item in ds.get(path[0]) or ():
        yield from _at(item, path[1:])


def _unknown(ds: Dataset, modules):
    known = {(*a["path"], a["keyword"]) for _, a in _attributes(modules, "MCU")}
    tops = {path[0] for path in known}
    for element in ds:
        if element.keyword not in tops | _NEWER:
            yield f"knows no {element.keyword or element.tag}"


def _values(ds: Dataset, where: str):
    """Values that do not fit their VR: pydicom checks them as it takes them out of the bytes."""
    for tag in list(ds.keys()):
        try:
            element = ds[tag]
        except ValueError as exc:
            yield f"{where}/{tag}: {exc}"
            continue
        if element.VR == "SQ":
            for item in element.value:
                yield from _values(item, f"{where}/{element.keyword}")
