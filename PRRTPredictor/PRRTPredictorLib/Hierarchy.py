"""Volume nodes under their patient and study in subject hierarchy, as Slicer's own DICOM loading places them.

Items are found again by their DICOM UIDs, so that what Slicer loaded and what was loaded here stand side by side. No
other place in a scene names the patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from PRRTPredictorCore.dicom.headers import open_file
from PRRTPredictorCore.dicom.values import text
from PRRTPredictorCore.errors import Code, DicomRefused
from PRRTPredictorCore.records import LoadedSeries
from PRRTPredictorLib.Volumes import mrml

FOLDER = "PRRTPredictor study"
"""Holds studies of which no patient is known."""
INSTANCE_UIDS_ATTRIBUTE = "DICOM.instanceUIDs"
"""Slicer's attribute of volume nodes: SOP instance UIDs, one a slice, separated by blanks."""

_PATIENT_PREFIX = "Patient-"


@dataclass(frozen=True)
class PatientStudy:
    """Patient and study as a header names them; identity, for subject hierarchy alone."""

    patientId: str
    patientName: str
    patientSex: str
    patientBirthDate: str
    studyUid: str
    studyId: str
    studyDate: str
    studyTime: str
    studyDescription: str

    @property
    def patientUid(self) -> str:
        """What Slicer finds the patient's item by; a study without PatientID gets a patient of its own."""
        return self.patientId or f"{_PATIENT_PREFIX}{self.studyUid}"


@dataclass(frozen=True)
class SeriesPlace:
    """Where a series belongs in subject hierarchy, and what its item says."""

    study: PatientStudy
    number: str
    description: str


def readPlace(path: Path) -> SeriesPlace:
    """Read patient, study and series from the header of one file.

    Raises
    ------
    DicomRefused
        ``PATH_MISSING``, ``NOT_DICOM``: the file is gone, or is none of DICOM.
    """
    first = _header(path)
    study = PatientStudy(
        patientId=text(first, "PatientID"),
        patientName=text(first, "PatientName"),
        patientSex=text(first, "PatientSex"),
        patientBirthDate=text(first, "PatientBirthDate"),
        studyUid=text(first, "StudyInstanceUID"),
        studyId=text(first, "StudyID"),
        studyDate=text(first, "StudyDate"),
        studyTime=text(first, "StudyTime"),
        studyDescription=text(first, "StudyDescription"),
    )
    return SeriesPlace(study, text(first, "SeriesNumber"), text(first, "SeriesDescription"))


def placeNode(node: Any, series: LoadedSeries, place: SeriesPlace | None, instanceUids: Sequence[str] = ()) -> None:
    """Put a volume node under its patient and study; items that exist are used, others are made.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        In a scene. Gets Slicer's attribute with the SOP instance UIDs too.
    place : SeriesPlace or None
        None where the files are not at hand: then under the study's item if there is one, else in a folder.
    """
    hierarchy = hierarchyOf(node.GetScene())
    constants = mrml().vtkMRMLSubjectHierarchyConstants
    uidName = constants.GetDICOMUIDName()
    parent = _studyItem(hierarchy, place.study) if place else _knownStudyOrFolder(hierarchy, series.study_uid)
    item = hierarchy.CreateItem(parent, node)
    hierarchy.SetItemParent(item, parent)
    if series.series_uid:
        hierarchy.SetItemUID(item, uidName, series.series_uid)
    prefix = constants.GetDICOMAttributePrefix()
    attributes = {
        constants.GetDICOMSeriesModalityAttributeName(): series.volume.modality,
        constants.GetDICOMFrameOfReferenceUIDAttributeName(): series.frame_of_reference_uid,
        f"{prefix}Manufacturer": series.acquisition.manufacturer,
        f"{prefix}Model": series.acquisition.model,
    }
    if place:
        attributes[constants.GetDICOMSeriesNumberAttributeName()] = place.number
        attributes[f"{prefix}SeriesDescription"] = place.description
    if instanceUids:
        node.SetAttribute(INSTANCE_UIDS_ATTRIBUTE, " ".join(instanceUids))
        hierarchy.SetItemUID(item, constants.GetDICOMInstanceUIDName(), " ".join(instanceUids))
    for name, value in attributes.items():
        hierarchy.SetItemAttribute(item, name, value)


def placeBeside(node: Any, other: Any) -> None:
    """Put a node under the parent item of another node, e.g. a result under its study."""
    hierarchy = hierarchyOf(node.GetScene())
    parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(other)) or hierarchy.GetSceneItemID()
    hierarchy.SetItemParent(hierarchy.CreateItem(parent, node), parent)


def patientIdOf(node: Any) -> str:
    """PatientID of the patient whose item stands above the node; empty where there is none."""
    scene = node.GetScene()
    if scene is None:
        return ""
    hierarchy = hierarchyOf(scene)
    item = hierarchy.GetItemByDataNode(node)
    if not item:
        return ""
    constants = mrml().vtkMRMLSubjectHierarchyConstants
    found = str(
        hierarchy.GetAttributeFromItemAncestor(
            item, constants.GetDICOMPatientIDAttributeName(), constants.GetDICOMLevelPatient()
        )
    )
    return "" if found.startswith(_PATIENT_PREFIX) else found


def hierarchyOf(scene: Any) -> Any:
    """The scene's subject hierarchy node."""
    return mrml().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def itemsOf(scene: Any) -> list[int]:
    """All items, parents before their children."""
    hierarchy = hierarchyOf(scene)
    found: list[int] = []
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), found, True)
    return found


def removeItems(scene: Any, items: Sequence[int]) -> None:
    """Remove items that hold nothing any more, children before their parents."""
    hierarchy = hierarchyOf(scene)
    for item in sorted(items, key=itemsOf(scene).index, reverse=True) if items else ():
        if hierarchy.GetNumberOfItemChildren(item) == 0:
            hierarchy.RemoveItem(item, False, False)


# --- items ------------------------------------------------------------------------------------------------------------


def _header(path: Path) -> Dataset:
    file = open_file(path) if path.is_file() else None
    if file is None:
        raise DicomRefused(
            Code.PATH_MISSING,
            "A file of the series is gone, or is no DICOM file.",
            where=path.name,
            remedy="Bring the files back, or import the study again in Slicer's DICOM module.",
        )
    return file.header


def _studyItem(hierarchy: Any, study: PatientStudy) -> int:
    constants = mrml().vtkMRMLSubjectHierarchyConstants
    uidName = constants.GetDICOMUIDName()
    existing = int(hierarchy.GetItemByUID(uidName, study.studyUid))
    if existing:
        return existing
    patient = _patientItem(hierarchy, study)
    description = study.studyDescription or "No study description"
    parts = [description]
    if _shown("displayStudyIDInSubjectHierarchyItemName", False) and study.studyId:
        parts.append(f"({study.studyId})")
    if _shown("displayStudyDateInSubjectHierarchyItemName", True) and study.studyDate:
        parts.append(f"({study.studyDate})")
    item = int(hierarchy.CreateStudyItem(patient, " ".join(parts)))
    attributes = {
        constants.GetDICOMStudyInstanceUIDAttributeName(): study.studyUid,
        constants.GetDICOMStudyDescriptionAttributeName(): description,
        constants.GetDICOMStudyIDAttributeName(): study.studyId,
        constants.GetDICOMStudyDateAttributeName(): study.studyDate,
        constants.GetDICOMStudyTimeAttributeName(): study.studyTime,
    }
    return _completed(hierarchy, item, study.studyUid, attributes)


def _patientItem(hierarchy: Any, study: PatientStudy) -> int:
    constants = mrml().vtkMRMLSubjectHierarchyConstants
    existing = int(hierarchy.GetItemByUID(constants.GetDICOMUIDName(), study.patientUid))
    if existing:
        return existing
    name = study.patientName or "No name"
    parts = [name]
    if _shown("displayPatientIDInSubjectHierarchyItemName", True):
        parts.append(f"({study.patientUid})")
    if _shown("displayPatientBirthDateInSubjectHierarchyItemName", False) and study.patientBirthDate:
        parts.append(f"({study.patientBirthDate})")
    item = int(hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), " ".join(parts)))
    attributes = {
        constants.GetDICOMPatientNameAttributeName(): name,
        constants.GetDICOMPatientIDAttributeName(): study.patientUid,
        constants.GetDICOMPatientSexAttributeName(): study.patientSex,
        constants.GetDICOMPatientBirthDateAttributeName(): study.patientBirthDate,
    }
    return _completed(hierarchy, item, study.patientUid, attributes)


def _completed(hierarchy: Any, item: int, uid: str, attributes: dict[str, str]) -> int:
    hierarchy.SetItemUID(item, mrml().vtkMRMLSubjectHierarchyConstants.GetDICOMUIDName(), uid)
    hierarchy.SetItemOwnerPluginName(item, "DICOM")
    for name, value in attributes.items():
        hierarchy.SetItemAttribute(item, name, value)
    return item


def _shown(setting: str, default: bool) -> bool:
    """The user's choice of what item names show; Slicer's default where there is no application."""
    handler = getattr(mrml(), "qSlicerSubjectHierarchyPluginHandler", None)
    return bool(getattr(handler.instance(), setting, default)) if handler is not None else default


def _knownStudyOrFolder(hierarchy: Any, studyUid: str) -> int:
    uidName = mrml().vtkMRMLSubjectHierarchyConstants.GetDICOMUIDName()
    known = int(hierarchy.GetItemByUID(uidName, studyUid)) if studyUid else 0
    root = hierarchy.GetSceneItemID()
    return known or int(hierarchy.GetItemChildWithName(root, FOLDER)) or int(hierarchy.CreateFolderItem(root, FOLDER))
