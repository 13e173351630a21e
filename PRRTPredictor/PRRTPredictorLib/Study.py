"""A PET/CT study: from files or from the scene into memory, in SUVbw and HU; and from memory into the scene.

Needs nothing but what Slicer bundles. Where the bundled pydicom has no decoder (JPEG-LS, JPEG 2000), Slicer's own
loader gives the pixels; unit, scale and place come from the header in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from PRRTPredictorCore.dicom.decoding import can_decode
from PRRTPredictorCore.dicom.examination import require_one_patient
from PRRTPredictorCore.dicom.flat import flat_headers
from PRRTPredictorCore.dicom.frames import FrameStack, decode
from PRRTPredictorCore.dicom.headers import open_file
from PRRTPredictorCore.dicom.scan import SeriesScan, scan_series, series_name
from PRRTPredictorCore.dicom.series import check_geometry, ct_of_stack, loaded_series, require_hounsfield
from PRRTPredictorCore.dicom.suv import pet_of_stack, suv_scale
from PRRTPredictorCore.dicom.values import text
from PRRTPredictorCore.errors import Code, InputRefused, PRRTError
from PRRTPredictorCore.progress import Progress, silent
from PRRTPredictorCore.records import MODALITY_NAMES, LoadedSeries, Modality, Notice, PetCtPair, Unit
from PRRTPredictorLib.Database import DicomDatabase
from PRRTPredictorLib.DemoPatient import DemoClinic, createDemoPatient, demoClinic
from PRRTPredictorLib.Hierarchy import INSTANCE_UIDS_ATTRIBUTE, itemsOf, placeNode, readPlace, removeItems
from PRRTPredictorLib.SeriesFacts import hasFacts, rememberFacts, seriesFromNode
from PRRTPredictorLib.SlicerPixels import loadedBySlicer, stackOfNode, transformAbove, unreadable
from PRRTPredictorLib.Volumes import addVolumeNode, linearTransformOfNode, removeVolumeNode, unitOfNode

__all__ = [
    "DemoClinic",
    "LoadedStudy",
    "StudyNodes",
    "addStudy",
    "createDemoPatient",
    "demoClinic",
    "loadPair",
    "seriesFromNode",
    "studyFromNodes",
    "suvPerUnitOf",
]

_UNITS: dict[Modality, Unit] = {"PT": "SUVbw", "CT": "HU"}
_OF_THE_PAIR = frozenset({"STUDY_DIFFERS", "DATE_DIFFERS", "FILES_REPEATED", "SEVERAL_PAIRS"})
"""Notices that only the pairing knows; the others are found again when the images are read and prepared."""
_LARGEST_SUV = 1000.0
"""Far above any uptake, far below Bq/ml; the border between a wrong assumption and a hot bladder."""


@dataclass(frozen=True, eq=False)
class LoadedStudy:
    """PET in SUVbw and CT in HU of one examination, in memory.

    Attributes
    ----------
    petInstances, ctInstances : tuple of str
        SOP instance UIDs in the order of the slices; empty where the study was not read from files.
    """

    pet: LoadedSeries
    ct: LoadedSeries
    petInstances: tuple[str, ...] = ()
    ctInstances: tuple[str, ...] = ()


@dataclass(frozen=True)
class StudyNodes:
    """A study's volume nodes in a scene (vtkMRMLScalarVolumeNode)."""

    pet: Any
    ct: Any


# --- from files -------------------------------------------------------------------------------------------------------


def loadPair(pair: PetCtPair, progress: Progress = silent) -> LoadedStudy:
    """Read a PET/CT pair from its files.

    Nothing is left in the scene, whether Slicer's loader had to help or not.

    Raises
    ------
    DicomRefused, GeometryRefused, SuvRefused
        As the core's :func:`load_pet` and :func:`load_ct`; ``UNREADABLE_PIXELS`` only where Slicer cannot read them
        either. ``PATIENT_DIFFERS``: PET and CT name different patients.
    """
    pet, petInstances = _load(pair.pet.files, "PT", progress)
    ct, ctInstances = _load(pair.ct.files, "CT", progress)
    extra = tuple(notice for notice in pair.notices if notice.code in _OF_THE_PAIR)
    return _ofOnePatient(LoadedStudy(replace(pet, notices=pet.notices + extra), ct, petInstances, ctInstances))


def _load(files: Sequence[Path], modality: Modality, progress: Progress) -> tuple[LoadedSeries, tuple[str, ...]]:
    """The series, and the SOP instance UIDs of its slices."""
    scan = scan_series(files, modality, progress)
    instances = tuple(dict.fromkeys(text(header, "SOPInstanceUID") for header in scan.headers))
    if modality == "PT":
        scale = suv_scale(scan.headers)
        check_geometry(scan)
        return pet_of_stack(_decoded(scan, progress, float(scale.factors.max())), scale), instances
    require_hounsfield(scan.headers)
    check_geometry(scan)
    return ct_of_stack(_decoded(scan, progress)), instances


def _decoded(scan: SeriesScan, progress: Progress, suvPerValue: float = 0.0) -> FrameStack:
    if all(can_decode(place.source) for place in scan.places):
        return decode(scan, progress)
    name = series_name(scan.modality)
    stage = f"{MODALITY_NAMES[scan.modality]} pixels"
    progress(stage, 0, len(scan.places), "by Slicer's loader")
    with loadedBySlicer(text(scan.headers[0], "SeriesInstanceUID"), name) as node:
        try:
            stack = stackOfNode(node, scan, name, suvPerValue)
        except InputRefused as error:
            raise unreadable(name) from error
    progress(stage, len(scan.places), len(scan.places), "by Slicer's loader")
    return stack


def _ofOnePatient(study: LoadedStudy) -> LoadedStudy:
    require_one_patient(study.pet, study.ct)
    return study


# --- into the scene ---------------------------------------------------------------------------------------------------


def addStudy(scene: Any, study: LoadedStudy, pair: PetCtPair | None = None) -> StudyNodes:
    """Put a study into the scene, under its patient and study in subject hierarchy.

    The nodes carry what the header said, so that :func:`seriesFromNode` gives the same series back, after saving and
    reopening the scene too. Their names are free of identity.

    Parameters
    ----------
    scene : vtkMRMLScene
    study : LoadedStudy
    pair : PetCtPair, optional
        Where the study was read from; names the patient in subject hierarchy.

    Raises
    ------
    DicomRefused
        ``PATH_MISSING``: the files are gone. The scene is then as it was.
    """
    itemsBefore = set(itemsOf(scene))
    nodes: list[Any] = []
    complete = False
    try:
        for series, name, record, instances in (
            (study.pet, "PET SUVbw", pair.pet if pair else None, study.petInstances),
            (study.ct, "CT", pair.ct if pair else None, study.ctInstances),
        ):
            place = readPlace(record.files[0]) if record else None
            made = "SYNTHETIC " if series.acquisition.synthetic else ""
            node = addVolumeNode(scene, series.volume, scene.GenerateUniqueName(f"{made}{name}"))
            nodes.append(node)
            rememberFacts(node, series)
            placeNode(node, series, place, instances)
        complete = True
    finally:
        if not complete:
            for node in nodes:
                removeVolumeNode(node)
            removeItems(scene, [item for item in itemsOf(scene) if item not in itemsBefore])
    return StudyNodes(*nodes)


# --- from the scene ---------------------------------------------------------------------------------------------------


def studyFromNodes(
    petNode: Any, ctNode: Any, database: DicomDatabase | None = None, assumeUnits: bool = False
) -> LoadedStudy:
    """Read a study from two volumes of the scene, whoever loaded them.

    A PET that states SUVbw is taken as it is. One without a unit, as Slicer's own DICOM loading leaves it (Bq/ml), is
    turned to SUV by its files' headers, after proof that its values and its place are still those of the files.

    Parameters
    ----------
    petNode, ctNode : vtkMRMLScalarVolumeNode
    database : DicomDatabase, optional
        Tells the files behind ``DICOM.instanceUIDs``.
    assumeUnits : bool
        The user vouches that volumes without unit and without files are in SUVbw and HU.

    Raises
    ------
    InputRefused
        ``NO_PET``, ``NO_CT``: a volume is not chosen. ``WRONG_MODALITY``: a volume states another unit than it should.
        ``UNITS_UNSUPPORTED``: the unit is not known.
    DicomRefused
        As :func:`loadPair`, and ``PATIENT_DIFFERS``.
    GeometryRefused
        ``BAD_GEOMETRY``: a warped volume, or one that was changed since it was loaded. ``EMPTY_IMAGE``.
    """
    for node, modality, code in ((petNode, "PT", Code.NO_PET), (ctNode, "CT", Code.NO_CT)):
        if node is None:
            name = MODALITY_NAMES[modality]
            raise InputRefused(code, f"No {name} is chosen.", remedy=f"Choose the {name} volume, or load a study.")
    if petNode.GetID() == ctNode.GetID():
        raise InputRefused(
            Code.WRONG_MODALITY, "PET and CT are the same volume.", remedy="Choose the CT volume beside the PET."
        )
    pet = _fromNode(petNode, "PT", database, assumeUnits)
    return _ofOnePatient(LoadedStudy(pet, _fromNode(ctNode, "CT", database, assumeUnits)))


def suvPerUnitOf(petNode: Any, database: DicomDatabase | None) -> float | None:
    """What one unit of a PET that Slicer loaded is worth in SUVbw, by the headers of its files.

    Where the slices differ, their median: for a window, not for values. None where the node states its unit itself,
    where it was changed since it was loaded, or where its files do not tell.
    """
    files = _filesOf(petNode, database)
    if not files or unitOfNode(petNode) is not None:
        return None
    try:
        scan = scan_series(files, "PT")
        factors = suv_scale(scan.headers).factors
        stackOfNode(petNode, scan, series_name("PT"), float(factors.max()))
    except PRRTError:
        return None
    return float(np.median(factors))


def _fromNode(node: Any, modality: Modality, database: DicomDatabase | None, assumeUnits: bool) -> LoadedSeries:
    unit, wanted = unitOfNode(node), _UNITS[modality]
    if unit not in (None, wanted):
        raise InputRefused(
            Code.WRONG_MODALITY,
            f"The volume chosen as {MODALITY_NAMES[modality]} is in {unit}.",
            remedy=f"Choose a volume in {wanted}.",
        )
    if unit and hasFacts(node):
        return seriesFromNode(node)
    files = _filesOf(node, database)
    if files and (unit is None or linearTransformOfNode(node) is None):
        series = _fromFilesBehind(node, files, modality, assumeUnits)
        if series is not None:
            return series
    series = seriesFromNode(node, unit or (wanted if assumeUnits else None))
    if files:
        series = _withHeader(series, files[0], modality)
    return series if unit else _assumed(series)


def _filesOf(node: Any, database: DicomDatabase | None) -> tuple[Path, ...]:
    """The files that a node was loaded from; none where one of them is not at hand."""
    uids = (node.GetAttribute(INSTANCE_UIDS_ATTRIBUTE) or "").split()
    if database is None or not database.isOpen or not uids:
        return ()
    paths = [database.fileForInstance(uid) for uid in dict.fromkeys(uids)]
    files = tuple(Path(path) for path in paths if path)
    return files if len(files) == len(paths) and all(file.is_file() for file in files) else ()


def _fromFilesBehind(node: Any, files: Sequence[Path], modality: Modality, assumeUnits: bool) -> LoadedSeries | None:
    """Voxels of the node, unit and place from the headers; an acquisition transform above it is thereby undone.

    None where the node is no longer what was loaded, and the user vouches for its unit.
    """
    scan = scan_series(files, modality)
    name = series_name(modality)
    scale = suv_scale(scan.headers) if modality == "PT" else None
    try:
        stack = stackOfNode(node, scan, name, float(scale.factors.max()) if scale else 0.0)
    except InputRefused:
        if assumeUnits:
            return None
        raise
    series = pet_of_stack(stack, scale) if scale else ct_of_stack(stack)
    moved = transformAbove(node, scan, name) @ series.volume.ijk_to_lps
    return replace(series, volume=replace(series.volume, ijk_to_lps=moved))


def _withHeader(series: LoadedSeries, path: Path, modality: Modality) -> LoadedSeries:
    """What the header of a file says, for a volume that states its unit itself."""
    file = open_file(path)
    header = flat_headers(file.header)[0] if file else None
    if header is None or text(header, "Modality") != modality:
        raise InputRefused(
            Code.WRONG_MODALITY,
            f"The volume chosen as {MODALITY_NAMES[modality]} was not loaded from such a series.",
            remedy=f"Choose a {MODALITY_NAMES[modality]} volume.",
        )
    return loaded_series(series.volume, header, series.notices)


def _assumed(series: LoadedSeries) -> LoadedSeries:
    volume = series.volume
    name = MODALITY_NAMES[volume.modality]
    if volume.unit == "SUVbw" and float(np.nanmax(volume.array)) > _LARGEST_SUV:
        raise InputRefused(
            Code.UNITS_UNSUPPORTED,
            f"The {name} volume holds values over {_LARGEST_SUV:.0f}: it is not in SUV, but in Bq/ml or counts.",
            remedy="Load the study through PRRTPredictor's study table, so that the SUV is computed from the header.",
        )
    message = f"The {name} volume states no unit; it was taken to be in {volume.unit}."
    return replace(series, notices=(*series.notices, Notice("UNIT_ASSUMED", message)))
