"""What may leave: saliency, scene, pictures and report, all without patient identity and without dates.

Nothing of the running scene is copied but voxels and their geometry: names, attributes and the subject hierarchy, which
may name the patient, stay behind.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from PRRTPredictorCore.errors import Code, RunFailed
from PRRTPredictorCore.files import replacing, require_file_target, require_folder_target
from PRRTPredictorCore.prediction.card import ModelCard
from PRRTPredictorCore.prediction.document import PredictionDocument
from PRRTPredictorCore.records import RESEARCH_USE_NOTICE, Labs, Volume
from PRRTPredictorLib.Database import DicomDatabase
from PRRTPredictorLib.Scene import writeScene
from PRRTPredictorLib.SeriesFacts import hasFacts, seriesFromNode
from PRRTPredictorLib.Study import studyFromNodes
from PRRTPredictorLib.Views import LOWER_ROW, PLANES, UPPER_ROW, layoutManager
from PRRTPredictorLib.Volumes import addVolumeNode, mrml, volumeFromNode

SYNTHETIC = "SYNTHETIC"
"""How the names of a made patient's nodes begin."""

_UPPER_LEFT = 2
_CORNERS = 8
"""Places of text in VTK's corner annotation."""


def exportSaliency(saliencyNode: Any, path: Path) -> Path:
    """Write a saliency map as NRRD in LPS, with modality and unit in its header.

    Raises
    ------
    InputRefused, RunFailed
        ``OUTPUT``: not a ``.nrrd`` name, or it cannot be written there.
    """
    path = Path(path)
    require_file_target(path, ".nrrd")
    volume = volumeFromNode(saliencyNode, "saliency")
    slicer = mrml()
    scene = slicer.vtkMRMLScene()
    node = addVolumeNode(scene, volume, "Saliency")
    # Slicer writes a node's attributes as the header's key/value pairs.
    for name in list(node.GetAttributeNames()):
        node.RemoveAttribute(name)
    node.SetAttribute("modality", volume.modality)
    node.SetAttribute("unit", volume.unit)
    storage = scene.AddNewNodeByClass("vtkMRMLNRRDStorageNode")
    with replacing(path) as temporary:
        storage.SetFileName(str(temporary.absolute()))
        if not storage.WriteData(node) or not temporary.is_file():
            raise RunFailed(
                Code.OUTPUT,
                "The saliency map cannot be written.",
                where=path.name,
                remedy="Choose a folder that you may write to and that has free space.",
            )
    return path


def exportScene(
    petNode: Any,
    ctNode: Any,
    saliencyNode: Any | None,
    path: Path,
    *,
    database: DicomDatabase | None = None,
    assumeUnits: bool = False,
) -> Path:
    """Write the study as a new scene bundle that opens as the fused view.

    Parameters
    ----------
    database, assumeUnits
        As for :func:`PRRTPredictorLib.Study.studyFromNodes`.

    Raises
    ------
    InputRefused, RunFailed
        ``OUTPUT``: not an ``.mrb`` name, or it cannot be written there. Else as ``studyFromNodes``.
    """
    path = Path(path)
    require_file_target(path, ".mrb")
    content = _content(petNode, ctNode, saliencyNode, database, assumeUnits)
    writeScene(
        path,
        content.pet,
        content.ct,
        content.saliency,
        synthetic=content.syntheticPatient,
        syntheticModel=content.syntheticModel,
    )
    return path


def exportScreenshots(
    folder: Path,
    petNode: Any,
    ctNode: Any,
    saliencyNode: Any | None = None,
    *,
    database: DicomDatabase | None = None,
    assumeUnits: bool = False,
) -> tuple[Path, ...]:
    """Write the views as PNG files: as they are on the screen, or, without a main window, as an overview.

    ``views.png`` shows all views together and comes first; each slice view and 3-D view in the layout has a picture of
    its own besides. The texts that Slicer prints into the corners (patient, study date) are left out; "Research use
    only" is put in. Without a main window there is one picture, ``overview.png``.

    Parameters
    ----------
    database, assumeUnits
        As for :func:`PRRTPredictorLib.Study.studyFromNodes`.

    Raises
    ------
    InputRefused, RunFailed
        ``OUTPUT``: the folder cannot be used. ``DEPENDENCY_MISSING``: without a main window, and without matplotlib.
        Else as ``studyFromNodes``.
    """
    folder = Path(folder)
    require_folder_target(folder)
    manager = layoutManager(petNode.GetScene())
    views = _shownViews(manager) if manager is not None else {}
    if not views:
        return (_overview(folder / "overview.png", _content(petNode, ctNode, saliencyNode, database, assumeUnits)),)
    heading = "\n".join([*_made(petNode, ctNode, saliencyNode), RESEARCH_USE_NOTICE])
    pictures = {name: _grab(view, heading) for name, view in views.items()}
    together = _stack([_side(pictures, row) for row in _rows(pictures)])
    return _writeAll(folder, {"views": together, **pictures})


def exportReport(
    path: Path,
    document: PredictionDocument,
    card: ModelCard | None,
    labs: Labs | None,
    *,
    petNode: Any | None = None,
    ctNode: Any | None = None,
    saliencyNode: Any | None = None,
    charts: Mapping[str, Path] | None = None,
    database: DicomDatabase | None = None,
    assumeUnits: bool = False,
) -> Path:
    """Write the patient's report as one self-contained HTML page; given the volumes, their views are in it.

    Raises
    ------
    InputRefused, RunFailed
        ``OUTPUT``: not an ``.html`` name, or it cannot be written there. ``DEPENDENCY_MISSING``: a package that the
        report needs is not installed. Else as ``studyFromNodes``.
    """
    path = Path(path)
    require_file_target(path, ".html")
    with tempfile.TemporaryDirectory(prefix="prrt-report-") as folder:
        pictures = dict(charts or {})
        if petNode is not None and ctNode is not None:
            shots = exportScreenshots(
                Path(folder), petNode, ctNode, saliencyNode, database=database, assumeUnits=assumeUnits
            )
            pictures["overlay"] = shots[0]
        try:
            from PRRTPredictorCore.report.patient import write_patient_report

            return write_patient_report(path, document, card, labs, pictures)
        except ModuleNotFoundError as error:
            raise _missing(error) from error


# --- parts ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Content:
    """Voxels and geometry of what leaves, and whether patient or model are made."""

    pet: Volume
    ct: Volume
    saliency: Volume | None
    syntheticPatient: bool
    syntheticModel: bool


def _content(
    petNode: Any, ctNode: Any, saliencyNode: Any | None, database: DicomDatabase | None, assumeUnits: bool
) -> _Content:
    study = studyFromNodes(petNode, ctNode, database, assumeUnits)
    return _Content(
        pet=study.pet.volume,
        ct=study.ct.volume,
        saliency=volumeFromNode(saliencyNode, "saliency") if saliencyNode is not None else None,
        syntheticPatient=_isMade(petNode) or _isMade(ctNode),
        syntheticModel=_isMade(saliencyNode),
    )


def _isMade(node: Any | None) -> bool:
    """Whether a volume node is of a made patient or model, by its name or by what its header said."""
    if node is None:
        return False
    if (node.GetName() or "").startswith(SYNTHETIC):
        return True
    return hasFacts(node) and seriesFromNode(node).acquisition.synthetic


def _made(petNode: Any, ctNode: Any, saliencyNode: Any | None) -> list[str]:
    """What a picture's heading has to say of made patients and models."""
    if _isMade(petNode) or _isMade(ctNode):
        return [SYNTHETIC]
    return [f"{SYNTHETIC} model"] if _isMade(saliencyNode) else []


def _overview(path: Path, content: _Content) -> Path:
    try:
        from PRRTPredictorCore.report.overlay import write_overlay

        title = f"{SYNTHETIC} model" if content.syntheticModel and not content.syntheticPatient else ""
        pet, ct, saliency = content.pet, content.ct, content.saliency
        write_overlay(path, pet, ct, saliency, title=title, synthetic=content.syntheticPatient)
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return path


def _missing(error: ModuleNotFoundError) -> RunFailed:
    return RunFailed(
        Code.DEPENDENCY_MISSING,
        f"The package {error.name} is needed for this and is not installed.",
        remedy="Press Predict once: it offers to install everything that is missing.",
    )


def _shownViews(manager: Any) -> dict[str, Any]:
    """The widgets of the views in the layout that are ours, by the name of the picture."""
    views = {}
    names = manager.sliceViewNames()
    for row, what in ((UPPER_ROW, "pet"), (LOWER_ROW, "saliency")):
        for plane in PLANES:
            name = plane.layoutName + row
            if name in names and manager.sliceWidget(name).mrmlSliceNode().IsMappedInLayout():
                views[f"{what}-{plane.orientation.lower()}"] = manager.sliceWidget(name).sliceView()
    for index in range(manager.threeDViewCount):
        widget = manager.threeDWidget(index)
        if widget.mrmlViewNode().IsMappedInLayout():
            views[f"surface-{index + 1}"] = widget.threeDView()
    return views


def _grab(view: Any, heading: str) -> NDArray[np.uint8]:
    """A view as it is rendered, RGB [row, column, channel] from the top, with ``heading`` as its only corner text."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    corner = view.cornerAnnotation()
    texts = [corner.GetText(place) or "" for place in range(_CORNERS)]
    try:
        for place in range(_CORNERS):
            corner.SetText(place, heading if place == _UPPER_LEFT else "")
        view.forceRender()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(view.renderWindow())
        grabber.SetInputBufferTypeToRGB()
        grabber.ReadFrontBufferOff()
        grabber.Update()
        image = grabber.GetOutput()
        width, height, _ = image.GetDimensions()
        pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)
        return np.ascontiguousarray(pixels[::-1])
    finally:
        for place, text in enumerate(texts):
            corner.SetText(place, text)
        view.forceRender()


def _rows(pictures: Mapping[str, Any]) -> list[list[str]]:
    """The names of the pictures as they lie in the overview: one row for each kind."""
    kinds = dict.fromkeys(name.split("-")[0] for name in pictures)
    return [[name for name in pictures if name.startswith(f"{kind}-")] for kind in kinds]


def _side(pictures: Mapping[str, NDArray[np.uint8]], names: list[str]) -> NDArray[np.uint8]:
    """Pictures side by side, black below the lower ones."""
    height = max(pictures[name].shape[0] for name in names)
    padded = [np.pad(pictures[name], ((0, height - pictures[name].shape[0]), (0, 0), (0, 0))) for name in names]
    return np.concatenate(padded, axis=1)


def _stack(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows below each other, black beside the shorter ones."""
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def _writeAll(folder: Path, pictures: Mapping[str, NDArray[np.uint8]]) -> tuple[Path, ...]:
    """Write the pictures, all of them or, where the disk is full, none."""
    written: list[Path] = []
    complete = False
    try:
        for name, picture in pictures.items():
            written.append(_writePng(folder / f"{name}.png", picture))
        complete = True
    finally:
        if not complete:
            for path in written:
                path.unlink(missing_ok=True)
    return tuple(written)


def _writePng(path: Path, picture: NDArray[np.uint8]) -> Path:
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    height, width, channels = picture.shape
    image = vtk.vtkImageData()
    image.SetDimensions(width, height, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(picture[::-1]).reshape(-1, channels), deep=True))
    writer = vtk.vtkPNGWriter()
    writer.SetInputData(image)
    with replacing(path) as temporary:
        writer.SetFileName(str(temporary))
        writer.Write()
        if writer.GetErrorCode() or not temporary.stat().st_size:  # VTK raises nothing
            raise RunFailed(
                Code.OUTPUT,
                f"{path.name} could not be written.",
                where=path.parent.name,
                remedy="Make room on the disk, or choose a folder that you may write to.",
            )
    return path
