"""One table of classes a domain, and which of them each modality can hold.

The street follows Cityscapes' train ids, names and palette, plus one class of road works.
Medical classes carry SNOMED CT codes (category, type) for DICOM SEG.
"""

from __future__ import annotations

from banana_cli.types import ClassInfo, ClassTable, Domain, Modality

_STREET = (
    ("road", (128, 64, 128)),
    ("sidewalk", (244, 35, 232)),
    ("building", (70, 70, 70)),
    ("wall", (102, 102, 156)),
    ("fence", (190, 153, 153)),
    ("pole", (153, 153, 153)),
    ("traffic light", (250, 170, 30)),
    ("traffic sign", (220, 220, 0)),
    ("vegetation", (107, 142, 35)),
    ("terrain", (152, 251, 152)),
    ("sky", (70, 130, 180)),
    ("person", (220, 20, 60)),
    ("rider", (255, 0, 0)),
    ("car", (0, 0, 142)),
    ("truck", (0, 0, 70)),
    ("bus", (0, 60, 100)),
    ("train", (0, 80, 100)),
    ("motorcycle", (0, 0, 230)),
    ("bicycle", (119, 11, 32)),
    ("cone or barrier", (255, 120, 0)),
)
STREET = ClassTable(
    name="street",
    classes=tuple(ClassInfo(id=i, name=n, rgb=c) for i, (n, c) in enumerate(_STREET)),
)

_TISSUE = ("85756007", "Tissue")
_ANATOMY = ("91723000", "Anatomical Structure")
_SUBSTANCE = ("91720002", "Body Substance")
_MORPHOLOGY = ("49755003", "Morphologically Abnormal Structure")
_MEDICAL = (
    ("background", (0, 0, 0), None),
    ("air", (120, 190, 230), (_SUBSTANCE, ("15158005", "Air"))),
    ("fat", (230, 200, 110), (_TISSUE, ("55603005", "Adipose tissue"))),
    ("soft tissue", (190, 110, 100), (_TISSUE, ("87784001", "Soft tissue"))),
    ("bone", (240, 240, 220), (_ANATOMY, ("272673000", "Bone"))),
    ("lung", (110, 160, 220), (_ANATOMY, ("39607008", "Lung"))),
    ("left ventricle", (220, 50, 50), (_ANATOMY, ("87878005", "Left ventricle"))),
    ("vessel", (200, 30, 90), (_ANATOMY, ("59820001", "Blood vessel"))),
    ("nerve", (250, 220, 60), (_ANATOMY, ("91728009", "Nerve"))),
    ("tumour", (160, 60, 200), (_MORPHOLOGY, ("108369006", "Neoplasm"))),
)
MEDICAL = ClassTable(
    name="medical",
    classes=tuple(ClassInfo(id=i, name=n, rgb=c, snomed=s) for i, (n, c, s) in enumerate(_MEDICAL)),
)

_AERIAL = (
    ("building", (200, 60, 60)),
    ("land", (210, 180, 120)),
    ("road", (110, 110, 120)),
    ("vegetation", (70, 150, 60)),
    ("water", (50, 110, 200)),
    ("vehicle", (250, 220, 50)),
)
AERIAL = ClassTable(
    name="aerial",
    classes=tuple(ClassInfo(id=i, name=n, rgb=c) for i, (n, c) in enumerate(_AERIAL)),
)

TABLES: dict[Domain, ClassTable] = {
    Domain.DRIVING: STREET,
    Domain.MEDICAL: MEDICAL,
    Domain.SATELLITE: AERIAL,
}

TABLE_OF: dict[Modality, ClassTable] = {
    Modality.STREET: STREET,
    Modality.AERIAL: AERIAL,
    **{m: MEDICAL for m in (Modality.CT, Modality.MR, Modality.XRAY, Modality.ULTRASOUND, Modality.VISIBLE)},
}

_POSSIBLE: dict[Modality, tuple[str, ...]] = {
    Modality.CT: ("air", "fat", "soft tissue", "bone", "lung", "tumour"),
    Modality.MR: ("background", "fat", "soft tissue", "bone", "left ventricle", "tumour"),
    Modality.XRAY: ("background", "lung"),
    Modality.ULTRASOUND: ("background", "vessel", "nerve"),
    Modality.VISIBLE: ("background", "vessel"),
}


def possible_ids(modality: Modality) -> tuple[int, ...]:
    """Ids that a picture of this modality can hold; all others are never answered there."""
    table = TABLE_OF[modality]
    return tuple(table.id_of(name) for name in _POSSIBLE.get(modality, table.names))


_THINGS: dict[Modality, tuple[str, ...]] = {
    Modality.STREET: ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
    Modality.AERIAL: ("building", "vehicle"),
}


def thing_ids(modality: Modality) -> tuple[int, ...]:
    """Ids of the classes whose members can be counted; empty where there are none."""
    table = TABLE_OF[modality]
    return tuple(table.id_of(name) for name in _THINGS.get(modality, ()))


_KIN = (("person", "rider"), ("car", "truck", "bus", "train"), ("motorcycle", "bicycle"))


def kin_of(modality: Modality) -> dict[int, int]:
    """Classes of things that masks take for each other -> the lowest id of their family."""
    if modality is not Modality.STREET:
        return {c: c for c in thing_ids(modality)}
    families = [sorted(STREET.id_of(name) for name in family) for family in _KIN]
    return {c: family[0] for family in families for c in family}
