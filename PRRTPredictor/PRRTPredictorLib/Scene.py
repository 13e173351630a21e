"""Study + saliency -> a scene as a reader would arrange it -> one .mrb file; in Slicer and on slicer-core alike.

With a saliency map two rows of three planes stand one above the other, at the same place: PET over CT above, saliency
over CT below. Without one, Slicer's four-up layout shows PET over CT.
"""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from PRRTPredictorCore.disk import aside, remove
from PRRTPredictorCore.errors import Code, DicomRefused, InputRefused, RunFailed
from PRRTPredictorCore.files import replacing
from PRRTPredictorCore.records import Volume
from PRRTPredictorLib.Views import LOWER_ROW, UPPER_ROW, fitViews, layRow, nodesOf, placeRow, setLayout
from PRRTPredictorLib.Volumes import addVolumeNode, mrml, rasFromLps, volumeFromNode

CT_WINDOW_HU = (-160.0, 240.0)
PET_WINDOW_SUV = (0.0, 15.0)
PET_OPACITY = 0.5
SALIENCY_THRESHOLD = 0.3
SALIENCY_OPACITY = 0.6

GREY = "vtkMRMLColorTableNodeGrey"
PET_HEAT = "vtkMRMLPETProceduralColorNodePET-Heat"
INFERNO = "vtkMRMLColorTableNodeFileInferno.txt"
"""Identifiers of colour nodes that every Slicer brings along; they are referred to, never saved."""

FOLDER = "PRRTPredictor study"


@dataclass(frozen=True)
class SceneNodes:
    """The volume nodes of a study in a scene (vtkMRMLScalarVolumeNode); ``saliency`` is None where there is none."""

    pet: Any
    ct: Any
    saliency: Any | None


@dataclass(frozen=True, eq=False)
class SceneContent:
    """What a saved scene holds, for checks: the scene itself, its volume nodes and their values in LPS."""

    scene: Any
    nodes: SceneNodes
    pet: Volume
    ct: Volume
    saliency: Volume | None


def writeScene(
    path: Path,
    pet: Volume,
    ct: Volume,
    saliency: Volume | None = None,
    *,
    synthetic: bool = False,
    syntheticModel: bool = False,
) -> None:
    """Write a study as a Slicer scene bundle that opens as a fused view.

    Parameters
    ----------
    path : Path
        Must end in ``.mrb``. The file appears only when it is whole.
    pet, ct : Volume
        SUVbw and HU, in their own geometries.
    saliency : Volume, optional
        Values in [0, 1], on the PET's or any other geometry.
    synthetic : bool
        The patient is made: said in every node's name.
    syntheticModel : bool
        The saliency is of a model trained on made patients: said in its name.

    Raises
    ------
    InputRefused
        ``OUTPUT``: the name does not end in ``.mrb``.
    RunFailed
        ``DEPENDENCY_MISSING``: slicer-core is not installed. ``OUTPUT``: the file cannot be written there.
    """
    if path.suffix.lower() != ".mrb":
        raise InputRefused(
            Code.OUTPUT, "A scene is saved as .mrb.", where=path.name, remedy="Give a file name that ends in .mrb."
        )
    scene = mrml().vtkMRMLScene()
    fillScene(scene, pet, ct, saliency, synthetic=synthetic, syntheticModel=syntheticModel)
    _save(scene, path.absolute())  # Slicer refuses to save below a relative path


def fillScene(
    scene: Any,
    pet: Volume,
    ct: Volume,
    saliency: Volume | None = None,
    *,
    synthetic: bool = False,
    syntheticModel: bool = False,
) -> SceneNodes:
    """Add a study to ``scene`` with colours, windows, slice views and a subject hierarchy folder."""
    addColours(scene)
    made = "SYNTHETIC " if synthetic else ""
    madeMap = "SYNTHETIC " if synthetic or syntheticModel else ""
    nodes = SceneNodes(
        pet=addVolumeNode(scene, pet, f"{made}PET SUVbw"),
        ct=addVolumeNode(scene, ct, f"{made}CT"),
        saliency=addVolumeNode(scene, saliency, f"{madeMap}Saliency {saliency.modality}") if saliency else None,
    )
    showWindow(nodes.ct, CT_WINDOW_HU, GREY)
    showWindow(nodes.pet, PET_WINDOW_SUV, PET_HEAT)
    if nodes.saliency is not None:
        colour = INFERNO if scene.GetNodeByID(INFERNO) else PET_HEAT
        showWindow(nodes.saliency, (0.0, 1.0), colour, threshold=SALIENCY_THRESHOLD)
    # A map without any signal has no hottest spot.
    spotRas = hottestSpot(saliency if saliency and saliency.array.max() > 0 else pet)
    _arrangeViews(scene, nodes, centreRas=_centre(ct), spotRas=spotRas, sizeMm=_size(ct))
    _addToHierarchy(scene, nodes, f"{made}{FOLDER}")
    return nodes


def readScene(path: Path) -> SceneContent:
    """Read a scene bundle that :func:`writeScene` wrote into a fresh scene.

    Raises
    ------
    DicomRefused
        ``PATH_MISSING``: no such file.
    InputRefused
        ``UNREADABLE_PIXELS``: not a scene bundle with a PET and a CT.
    RunFailed
        ``DEPENDENCY_MISSING``: slicer-core is not installed.
    """
    if not path.is_file():
        raise DicomRefused(Code.PATH_MISSING, "There is no such file.", where=path.name, remedy="Check the path.")
    scene = mrml().vtkMRMLScene()
    addColours(scene)
    found = {}
    if _load(scene, path):
        for node in nodesOf(scene, "vtkMRMLScalarVolumeNode"):
            volume = volumeFromNode(node)
            found["saliency" if volume.unit == "saliency" else volume.modality] = (node, volume)
    if "PT" not in found or "CT" not in found:
        raise InputRefused(
            Code.UNREADABLE_PIXELS,
            "The file is not a scene with a PET and a CT.",
            where=path.name,
            remedy="Use a .mrb file that PRRTPredictor wrote.",
        )
    saliencyNode, saliency = found.get("saliency", (None, None))
    nodes = SceneNodes(found["PT"][0], found["CT"][0], saliencyNode)
    return SceneContent(scene, nodes, found["PT"][1], found["CT"][1], saliency)


# --- colours and display ----------------------------------------------------------------------------------------------


def addColours(scene: Any) -> None:
    """Make sure that Slicer's own colour nodes are in ``scene``, under the identifiers that every Slicer uses.

    Inside Slicer they are there already. slicer-core brings the computed ones only; Inferno, which Slicer reads from a
    file, is added from matplotlib's table of the same name when that is installed.
    """
    slicer = mrml()
    if scene.GetNodeByID(PET_HEAT) is None:
        logic = slicer.vtkMRMLColorLogic()
        logic.SetMRMLScene(scene)
        # Let go of the scene: a logic that ends takes the colour nodes of its scene with it.
        logic.SetMRMLScene(None)
    if scene.GetNodeByID(INFERNO) is not None:
        return
    try:
        from matplotlib import colormaps
    except ImportError:
        return
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetName("Inferno")
    node.SetSingletonTag(INFERNO.removeprefix("vtkMRMLColorTableNode"))
    node.SetSaveWithScene(False)
    node.SetNumberOfColors(256)
    for index, (red, green, blue, alpha) in enumerate(colormaps["inferno"](np.arange(256))):
        node.SetColor(index, str(index), red, green, blue, alpha)
    scene.AddNode(node)


def showWindow(node: Any, window: tuple[float, float], colourId: str, threshold: float | None = None) -> Any:
    """Give a volume node's display a fixed window, a colour node and, if asked for, a lower threshold.

    Returns
    -------
    vtkMRMLScalarVolumeDisplayNode
        The node's own, made where it had none.
    """
    display = node.GetScalarVolumeDisplayNode()
    if display is None:
        display = node.GetScene().AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode", f"{node.GetName()} display")
        node.SetAndObserveDisplayNodeID(display.GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(*window)
    display.SetAndObserveColorNodeID(colourId)
    display.SetInterpolate(True)
    if threshold is not None:
        display.SetAutoThreshold(False)
        display.SetThreshold(threshold, window[1])
        display.SetApplyThreshold(True)
    return display


# --- slice views ------------------------------------------------------------------------------------------------------


def hottestSpot(volume: Volume) -> NDArray[np.float64]:
    """RAS position in mm, shape (3,), of the voxel with the highest value."""
    k, j, i = np.unravel_index(int(np.nanargmax(volume.array)), volume.shape)
    return rasFromLps((volume.ijk_to_lps @ np.array((i, j, k, 1.0)))[:3])


def _arrangeViews(
    scene: Any, nodes: SceneNodes, centreRas: NDArray[np.float64], spotRas: NDArray[np.float64], sizeMm: float
) -> None:
    """Three planes through the hottest spot, with PET over CT; and, given saliency, the same with it over CT."""
    layoutNode = mrml().vtkMRMLLayoutNode
    both = nodes.saliency is not None
    setLayout(scene, layoutNode.SlicerLayoutThreeOverThreeView if both else layoutNode.SlicerLayoutFourUpView)
    rows = [(UPPER_ROW, nodes.pet, PET_OPACITY)]
    if both:
        rows.append((LOWER_ROW, nodes.saliency, SALIENCY_OPACITY))
    for row, foreground, opacity in rows:
        placeRow(scene, row, centreRas, spotRas)
        layRow(scene, row, nodes.ct, foreground, opacity)
    # The bundle is opened in windows of any shape, and Slicer keeps the height then: the longest edge fits in all.
    cube = np.array([centreRas - sizeMm / 2, centreRas + sizeMm / 2])
    fitViews(scene, cube, rows=tuple(row for row, _, _ in rows))


def _centre(volume: Volume) -> NDArray[np.float64]:
    k, j, i = ((n - 1) / 2 for n in volume.shape)
    return rasFromLps((volume.ijk_to_lps @ np.array((i, j, k, 1.0)))[:3])


def _size(volume: Volume) -> float:
    """The longest edge in mm."""
    return max(n * spacing for n, spacing in zip(volume.shape, volume.spacing_mm, strict=True))


# --- hierarchy and file -----------------------------------------------------------------------------------------------


def _addToHierarchy(scene: Any, nodes: SceneNodes, name: str) -> None:
    hierarchy = mrml().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name)
    for node in (nodes.pet, nodes.ct, nodes.saliency):
        if node is not None:
            hierarchy.CreateItem(folder, node)


def _save(scene: Any, path: Path) -> None:
    """Write the bundle in a folder of its own beside the target, then rename.

    Slicer names everything within a bundle after the file: what the user calls it, perhaps after the patient, would
    stay inside when he renames it before he gives it away.
    """
    folder = aside(path)
    try:
        with replacing(path) as temporary:
            folder.mkdir(mode=0o700)
            bundle = folder / "study.mrb"
            if not scene.WriteToMRB(str(bundle)) or not bundle.is_file():
                raise RunFailed(
                    Code.OUTPUT,
                    "The scene cannot be written.",
                    where=path.name,
                    remedy="Choose a folder that you may write to and that has free space.",
                )
            bundle.replace(temporary)
    finally:
        remove(folder)


def _load(scene: Any, path: Path) -> bool:
    """Unpack a bundle and read its one scene; False when it is none."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as bundle:
                bundle.extractall(folder)
        except zipfile.BadZipFile:
            return False
        scenes = sorted(Path(folder).glob("*/*.mrml"))
        if len(scenes) != 1:
            return False
        scene.SetURL(str(scenes[0]))
        # Not Connect(): that would clear the scene first, and with it the colour nodes that the file refers to.
        return bool(scene.Import())
