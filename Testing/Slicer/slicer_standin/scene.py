"""The application's scene with Slicer's real logics on it, and items of the subject hierarchy kept in step."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

_SLICE_MANAGERS = ("VolumeGlyphSlice", "ModelSlice", "Crosshair", "OrientationMarker", "Ruler", "ScalarBar")
_SLICE_MANAGERS += ("ColorLegend", "Segmentations*2D", "Markups", "Transforms*2D")
_THREE_D_MANAGERS = ("Camera", "View", "Model", "ThreeDReformat", "Crosshair*3D", "OrientationMarker", "Ruler")
_THREE_D_MANAGERS += ("ColorLegend", "VolumeRendering", "Segmentations*3D", "Markups", "Transforms*3D")
"""Displayable managers as Slicer registers them; "*" stands where ``DisplayableManager`` goes when not at the end."""


class SceneLogics:
    """Scene, application logic and the modules' logics, all slicer-core's own classes."""

    def __init__(self, home: str) -> None:
        self.scene = slicer.vtkMRMLScene()
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetHomeDirectory(home)
        self.application.SetShareDirectory("share")
        self.application.SetTemporaryPath(f"{home}/tmp")
        self.application.SetMRMLScene(self.scene)
        self._remote, self._dataIo = slicer.vtkMRMLRemoteIOLogic(), slicer.vtkDataIOManagerLogic()
        for logic in (self._remote, self._dataIo):
            logic.SetMRMLApplicationLogic(self.application)
        # Storage nodes ask the scene's manager which file formats there are.
        self.application.SetMRMLSceneDataIO(self.scene, self._remote, self._dataIo)
        self._modules: dict[str, Any] = {}
        for name, logic in _moduleLogics():
            self.add(name, logic)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene)
        self.application.SetColorLogic(self._modules["Colors"])
        # Crosshair, and whatever else each Slicer has from the start.
        if self.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode") is None:
            self.scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
        self._registerManagers()
        self._hierarchy = HierarchyKeeper(self.scene)

    def add(self, name: str, logic: Any) -> None:
        logic.SetMRMLApplicationLogic(self.application)
        logic.SetMRMLScene(self.scene)
        self.application.SetModuleLogic(name, logic)
        self._modules[name] = logic

    def module(self, name: str) -> Any:
        """The logic of a module by its name ("Colors"), None where the host has none."""
        return self._modules.get(name)

    def clear(self) -> None:
        """A fresh scene, as after File > Close scene, with the layout of the start."""
        self.scene.Clear(0)
        for layout in slicer.util.getNodesByClass("vtkMRMLLayoutNode", self.scene):
            layout.SetViewArrangement(layout.SlicerLayoutFourUpView)

    def _registerManagers(self) -> None:
        for factory, names in (
            (slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), _SLICE_MANAGERS),
            (slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), _THREE_D_MANAGERS),
        ):
            factory.SetMRMLApplicationLogic(self.application)
            for name in names:
                begin, _, end = name.partition("*")
                full = f"vtkMRML{begin}DisplayableManager{end}"
                if not factory.IsDisplayableManagerRegistered(full):
                    factory.RegisterDisplayableManager(full)


def _moduleLogics() -> tuple[tuple[str, Any], ...]:
    """Name and fresh logic of the loadable modules that the host has."""
    return (
        ("Colors", slicer.vtkSlicerColorLogic()),
        ("Volumes", slicer.vtkSlicerVolumesLogic()),
        ("SubjectHierarchy", slicer.vtkSlicerSubjectHierarchyModuleLogic()),
        ("Models", slicer.vtkSlicerModelsLogic()),
        ("Segmentations", slicer.vtkSlicerSegmentationsModuleLogic()),
        ("Transforms", slicer.vtkSlicerTransformLogic()),
        ("Tables", slicer.vtkSlicerTablesLogic()),
        ("Plots", slicer.vtkSlicerPlotsLogic()),
        ("Units", slicer.vtkSlicerUnitsLogic()),
        ("VolumeRendering", slicer.vtkSlicerVolumeRenderingLogic()),
        ("Markups", slicer.vtkSlicerMarkupsLogic()),
        ("CropVolume", slicer.vtkSlicerCropVolumeLogic()),
    )


class HierarchyKeeper:
    """Every data node has an item in the subject hierarchy, and loses it with the node (as Slicer's plugins see to)."""

    _KINDS = ("vtkMRMLDisplayableNode", "vtkMRMLTableNode", "vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode")
    _KINDS += ("vtkMRMLTextNode", "vtkMRMLSequenceNode")
    _NEVER = ("vtkMRMLAbstractViewNode", "vtkMRMLCameraNode")

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, self._added)
        scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._removed)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _added(self, caller: Any, event: str, node: Any) -> None:
        if self._scene.IsBatchProcessing() or not self._wants(node):
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        if not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _removed(self, caller: Any, event: str, node: Any) -> None:
        if self._scene.IsBatchProcessing() or not self._wants(node):
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)

    def _wants(self, node: Any) -> bool:
        return (
            any(node.IsA(kind) for kind in self._KINDS)
            and not any(node.IsA(kind) for kind in self._NEVER)
            and not node.GetHideFromEditors()
        )
