"""The package ``DICOMLib`` with ``DICOMUtils``: the few functions that the module uses."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer

from .dicom_database import FILE_NAME
from .dicom_import import importFolder
from .dicom_volume import addAcquisitionTransform, loadVolume
from .strict import NotProvided

_PATIENT = (("PatientName", "0010,0010"), ("PatientID", "0010,0020"), ("PatientSex", "0010,0040"))
_STUDY = (("StudyInstanceUID", "0020,000D"), ("StudyID", "0020,0010"), ("StudyTime", "0008,0030"))
_SERIES = (("Modality", "0008,0060"), ("SeriesNumber", "0020,0011"), ("FrameOfReferenceUID", "0020,0052"))
_SERIES += (("SeriesDescription", "0008,103E"), ("SeriesDate", "0008,0021"), ("SeriesTime", "0008,0031"))


def openDatabase(databaseDir: str) -> bool:
    """Open the DICOM database in an existing folder."""
    if not Path(databaseDir).exists():
        return False
    slicer.dicomDatabase.openDatabase(f"{databaseDir}/{FILE_NAME}")
    return bool(slicer.dicomDatabase.isOpen)


class TemporaryDICOMDatabase:
    """The application's database lies in another folder for a while."""

    def __init__(self, directory: str) -> None:
        self._directory, self._before = directory, ""

    def __enter__(self) -> Any:
        self._before = slicer.dicomDatabase.databaseDirectory if slicer.dicomDatabase.isOpen else ""
        Path(self._directory).mkdir(parents=True, exist_ok=True)
        openDatabase(self._directory)
        return slicer.dicomDatabase

    def __exit__(self, *_: object) -> None:
        slicer.dicomDatabase.closeDatabase()
        if self._before:
            openDatabase(self._before)


def importDicom(dicomDataDir: str, dicomDatabase: Any = None, copyFiles: bool = False) -> bool:
    """Import a folder into the database; waits until it is done."""
    importFolder(dicomDatabase or slicer.dicomDatabase, Path(dicomDataDir), copyFiles)
    return True


_PLUGINS = frozenset({"DICOMScalarVolumePlugin"})
"""What stands in ``slicer.modules.dicomPlugins`` of Slicer, as far as the stand-in has it."""


def loadSeriesByUID(
    seriesUIDs: list[str], messages: Any = None, progressCallback: Any = None, enabledPluginClassNames: Any = None
) -> list[str]:
    """Load series of the database into the scene; the identifiers of the loaded nodes."""
    if not isinstance(seriesUIDs, list):
        raise ValueError("SeriesUIDs must contain a list")  # noqa: TRY004 - as Slicer does
    if not seriesUIDs:
        raise ValueError("No series UIDs given")
    database = slicer.dicomDatabase
    if not database.isOpen:
        raise OSError("DICOM module or database cannot be accessed")
    for name in enabledPluginClassNames or ():
        if name not in _PLUGINS:  # they are known by the names of their modules, not of their classes
            raise KeyError(name)
    loaded = []
    for uid in seriesUIDs:
        files = [path for path in database.filesForSeries(uid) if database.fileValueExists(path, "7FE0,0010")]
        node = loadVolume(database, files) if files else None
        if node is not None:
            addToHierarchy(database, node, files[0])
            selection = slicer.app.applicationLogic().GetSelectionNode()
            selection.SetActiveVolumeID(node.GetID())
            slicer.app.applicationLogic().PropagateVolumeSelection()
            transform = addAcquisitionTransform(database, node)
            if transform is not None:
                _putBeside(node, transform)
            loaded.append(node.GetID())
    return loaded


def addToHierarchy(database: Any, node: Any, path: str) -> None:
    """Put the node under its study under its patient in the subject hierarchy, making both where they are not there."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    uidName = constants.GetDICOMUIDName()

    def value(tag: str) -> str:
        return str(database.fileValue(path, tag))

    def describe(item: int, attributes: tuple[tuple[str, str], ...]) -> None:
        for name, tag in attributes:
            hierarchy.SetItemAttribute(item, constants.GetDICOMAttributePrefix() + name, value(tag))

    item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    series, study = value("0020,000E"), value("0020,000D")
    patient = value("0010,0020") or f"Patient-{study}"
    hierarchy.SetItemUID(item, uidName, series)
    hierarchy.SetItemUID(item, constants.GetDICOMInstanceUIDName(), node.GetAttribute("DICOM.instanceUIDs"))
    describe(item, _SERIES)
    isNew = not hierarchy.GetItemByUID(uidName, study)
    slicer.vtkSlicerSubjectHierarchyModuleLogic.InsertDicomSeriesInHierarchy(hierarchy, patient, study, series)
    if isNew:
        patientItem, studyItem = (hierarchy.GetItemByUID(uidName, uid) for uid in (patient, study))
        describe(patientItem, _PATIENT)
        describe(studyItem, _STUDY)
        date, description = value("0008,0020"), value("0008,1030") or "No study description"
        hierarchy.SetItemAttribute(studyItem, constants.GetDICOMStudyDescriptionAttributeName(), description)
        hierarchy.SetItemAttribute(studyItem, constants.GetDICOMStudyDateAttributeName(), date)
        hierarchy.SetItemName(patientItem, f"{value('0010,0010') or 'No name'} ({patient})")
        hierarchy.SetItemName(studyItem, f"{description} ({date})" if date else description)


def _putBeside(node: Any, transform: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    hierarchy.CreateItem(parent, transform)


class _Part(ModuleType):
    """A module that says so when asked for what it does not have."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotProvided(f"The stand-in host has no {self.__name__}.{name}.")


def install() -> None:
    """Make ``from DICOMLib import DICOMUtils`` work."""
    package, utilities = _Part("DICOMLib"), _Part("DICOMLib.DICOMUtils")
    package.__path__ = []  # type: ignore[attr-defined]
    for part in (openDatabase, importDicom, loadSeriesByUID, TemporaryDICOMDatabase):
        setattr(utilities, part.__name__, part)
    package.DICOMUtils = utilities  # type: ignore[attr-defined]
    sys.modules |= {"DICOMLib": package, "DICOMLib.DICOMUtils": utilities}
