"""A check of written DICOM against the standard's own tables (as highdicom brings them), without a network.

In the manner of dciodvfy: every attribute that the object's modules demand is there and has a value, also of
those modules that it need not have but has; none is there, at whatever depth, that no module knows at that
place; functional groups are complete; and every value fits its VR.
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
_GROUPS = (["SharedFunctionalGroupsSequence"], ["PerFrameFunctionalGroupsSequence"])
_PLACE = ("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence")
_PARAMETRIC = (
    "PixelValueTransformationSequence",
    "ParametricMapFrameTypeSequence",
    "RealWorldValueMappingSequence",
)
_MACROS = {
    "1.2.840.10008.5.1.4.1.1.66.4": (*_PLACE, "FrameContentSequence", "SegmentIdentificationSequence"),
    "1.2.840.10008.5.1.4.1.1.66.7": (*_PLACE, "FrameContentSequence"),
    "1.2.840.10008.5.1.4.1.1.30": (*_PLACE, "FrameContentSequence", *_PARAMETRIC),
    "1.2.840.10008.5.1.4.1.1.7.4": _PLACE,
}


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
        return [*_missing(ds, modules), *_groups(ds), *_unknown(ds, modules)]
    finally:
        config.settings.reading_validation_mode = config.WARN


def _attributes(modules):
    for module in modules:
        for attribute in _table("module_attribute_map")[module["key"]]:
            yield module["key"], attribute


def _used(ds: Dataset, modules):
    """Modules that must be there, and those that some attribute of no other module shows to be there."""
    tops = {m["key"]: {a["keyword"] for _, a in _attributes([m]) if not a["path"]} for m in modules}
    for module in modules:
        own = tops[module["key"]].difference(*(v for k, v in tops.items() if k != module["key"]))
        if module["usage"] == "M" or own & {element.keyword for element in ds}:
            yield module


def _missing(ds: Dataset, modules):
    """Attributes of type 1 or 2 that are absent, and of type 1 that are empty."""
    for module, attribute in _attributes(_used(ds, modules)):
        path, name = attribute["path"], attribute["keyword"]
        if attribute["type"] not in ("1", "2") or path[-1:] in _GROUPS:
            continue
        for place in _at(ds, path):
            where = "/".join([*path, name])
            if name not in place:
                yield f"{module}: lacks {where}"
            elif attribute["type"] == "1" and place[name].is_empty:
                yield f"{module}: {where} is empty"


def _groups(ds: Dataset):
    """Functional groups that a frame of this class must have, its own or shared, and of neither twice."""
    shared = ds.get("SharedFunctionalGroupsSequence", [Dataset()])[0]
    for k, own in enumerate(ds.get("PerFrameFunctionalGroupsSequence", ())):
        for name in _MACROS.get(ds.SOPClassUID, ()):
            if (name in own) + (name in shared) != 1:
                yield f"frame {k}: {name} is not there once"


def _at(ds: Dataset, path):
    """The items that a path leads to."""
    if not path:
        yield ds
        return
    for item in ds.get(path[0]) or ():
        yield from _at(item, path[1:])


def _unknown(ds: Dataset, modules):
    known = {(*a["path"], a["keyword"]) for _, a in _attributes(modules)}
    yield from _strangers(ds, (), known)


def _strangers(ds: Dataset, path, known):
    for element in ds:
        here = (*path, element.keyword)
        if here not in known and element.keyword not in _NEWER:
            yield f"knows no {'/'.join(here)} {element.tag}"
        elif element.VR == "SQ":
            for item in element.value:
                yield from _strangers(item, here, known)


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
