"""What may leave: saliency, scene, pictures and report, all without patient identity and without dates.

Nothing of the running scene is copied but voxels and their geometry: names, attributes and the subject hierarchy, which
may name the patient, stay behind.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from PRRTPredictorCore.errors import Code, RunFailed
from PRRTPredictorCore.files import replacing, require_file_target, require_folder_target
from PRRTPredictorCore.prediction.card import ModelCard
from PRRTPredictorCore.prediction.document import PredictionDocument
from PRRTPredictorCore.records import RESEARCH_USE_NOTICE, Labs, Volume
from PRRTPredictorLib.Scene import writeScene
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


def exportScene(petNode: Any, ctNode: Any, saliencyNode: Any | None, path: Path, *, assumeUnits: bool = False) -> Path:
    """Write the study as a new scene bundle that opens as the fused view.

    Parameters
    ----------
    assumeUnits : bool
        The user vouches that volumes which do not state a unit hold SUVbw and HU.

    Raises
    ------
    InputRefused, RunFailed
        ``OUTPUT``: not an ``.mrb`` name, or it cannot be written there. ``UNITS_UNSUPPORTED``: a volume does not say
        what its values are.
    """
    path = Path(path)
    pet, ct, saliency = _volumes(petNode, ctNode, saliencyNode, assumeUnits)
    writeScene(path, pet, ct, saliency, synthetic=isSynthetic(petNode, ctNode))
    return path


def exportScreenshots(
    folder: Path, petNode: Any, ctNode: Any, saliencyNode: Any | None = None, *, assumeUnits: bool = False
) -> tuple[Path, ...]:
    """Write the views as PNG files: as they are on the screen, or, without a main window, as an overview.

    Each slice view and 3-D view that is shown gives one picture, and ``views.png`` shows them together. The texts that
    Slicer prints into the corners (patient, study date) are left out; "Research use only" is put in.

    Raises
    ------
    InputRefused, RunFailed
        ``OUTPUT``: the folder cannot be used. ``DEPENDENCY_MISSING``: without a main window, and without matplotlib.
    """
    folder = Path(folder)
    require_folder_target(folder)
    manager = layoutManager(petNode.GetScene())
    views = _shownViews(manager) if manager is not None else {}
    if not views:
        return (_overview(folder / "overview.png", petNode, ctNode, saliencyNode, assumeUnits),)
    heading = f"{SYNTHETIC}\n{RESEARCH_USE_NOTICE}" if isSynthetic(petNode, ctNode) else RESEARCH_USE_NOTICE
    pictures = {name: _grab(view, heading) for name, view in views.items()}
    written = [_writePng(folder / f"{name}.png", picture) for name, picture in pictures.items()]
    together = [_side(pictures, row) for row in _rows(pictures)]
    return (_writePng(folder / "views.png", _stack(together)), *written)


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
    assumeUnits: bool = False,
) -> Path:
    """Write the patient's report as one self-contained HTML page; with volumes, their views are in it.

    Raises
    ------
    InputRefused, RunFailed
        ``OUTPUT``: not an ``.html`` name, or it cannot be written there. ``DEPENDENCY_MISSING``: a package that the
        report needs is not installed.
    """
    path = Path(path)
    require_file_target(path, ".html")
    with tempfile.TemporaryDirectory(prefix="prrt-report-") as folder:
        pictures = dict(charts or {})
        if petNode is not None and ctNode is not None:
            shots = exportScreenshots(Path(folder), petNode, ctNode, saliencyNode, assumeUnits=assumeUnits)
            pictures["overlay"] = shots[0]
        try:
            from PRRTPredictorCore.report.patient import write_patient_report

            return write_patient_report(path, document, card, labs, pictures)
        except ModuleNotFoundError as error:
            raise _missing(error) from error


def isSynthetic(*nodes: Any | None) -> bool:
    """Whether one of the volume nodes is of a made patient."""
    return any(node is not None and (node.GetName() or "").startswith(SYNTHETIC) for node in nodes)


# --- parts ------------------------------------------------------------------------------------------------------------


def _volumes(
    petNode: Any, ctNode: Any, saliencyNode: Any | None, assumeUnits: bool
) -> tuple[Volume, Volume, Volume | None]:
    return (
        volumeFromNode(petNode, "SUVbw" if assumeUnits else None),
        volumeFromNode(ctNode, "HU"),
        volumeFromNode(saliencyNode, "saliency") if saliencyNode is not None else None,
    )


def _overview(path: Path, petNode: Any, ctNode: Any, saliencyNode: Any | None, assumeUnits: bool) -> Path:
    pet, ct, saliency = _volumes(petNode, ctNode, saliencyNode, assumeUnits)
    try:
        from PRRTPredictorCore.report.overlay import write_overlay

        write_overlay(path, pet, ct, saliency, synthetic=isSynthetic(petNode, ctNode))
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
    return path
