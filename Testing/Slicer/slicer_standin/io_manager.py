"""slicer.app.coreIOManager(): loading and saving of volumes, tables and scenes by slicer-core's own storage nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from .strict import NotProvided, Strict

_TYPES = {".nrrd": "VolumeFile", ".nii.gz": "VolumeFile", ".nii": "VolumeFile", ".mha": "VolumeFile"}
_TYPES |= {".mrb": "SceneFile", ".mrml": "SceneFile"}


class CoreIOManager(Strict):
    """As slicer.util calls it; node types that the module does not save raise :class:`NotProvided`."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def fileType(self, fileName: str) -> str:
        name = str(fileName).lower()
        return next((kind for suffix, kind in _TYPES.items() if name.endswith(suffix)), "NoFile")

    def loadNodes(self, fileType: str, properties: dict[str, Any], loaded: Any, messages: Any = None) -> bool:
        scene, path = self._application.mrmlScene(), str(properties["fileName"])
        if fileType == "SceneFile":
            clear = properties.get("clear", True)
            if path.lower().endswith(".mrb"):
                return bool(scene.ReadFromMRB(path, clear))
            scene.SetURL(path)
            return bool(scene.Connect() if clear else scene.Import())
        if fileType == "VolumeFile":
            name = properties.get("name") or Path(path).name.split(".")[0]
            node = slicer.modules.volumes.logic().AddArchetypeVolume(path, name)
            if node is not None:
                loaded.AddItem(node)
            return node is not None
        if fileType == "NoFile":
            return False
        raise NotProvided(f"The stand-in host loads no {fileType}.")

    def fileWriterFileType(self, node: Any) -> str:
        return "NodeFile"

    def saveNodes(self, fileType: str, properties: dict[str, Any], messages: Any = None) -> bool:
        scene, path = self._application.mrmlScene(), str(properties["fileName"])
        if fileType != "SceneFile":
            node = scene.GetNodeByID(properties["nodeID"])
            if node.GetStorageNode() is None:
                node.AddDefaultStorageNode()
            node.GetStorageNode().SetFileName(path)
            return bool(node.GetStorageNode().WriteData(node))
        if path.lower().endswith(".mrb"):
            return bool(scene.WriteToMRB(path))
        if path.lower().endswith(".mrml"):
            scene.SetURL(path)
            return bool(scene.Commit())
        return bool(scene.SaveSceneToSlicerDataBundleDirectory(path))

    def extractKnownExtension(self, fileName: str, node: Any) -> str:
        return str(self._storage(node).GetSupportedFileExtension(str(fileName), False, True))

    def fileWriterExtensions(self, node: Any) -> tuple[str, ...]:
        formats = self._storage(node).GetSupportedWriteFileTypes()
        return tuple(formats.GetValue(index) for index in range(formats.GetNumberOfValues()))

    def exportNodes(
        self, nodeIDs: list[str], fileNames: list[str], properties: dict[str, Any], harden: bool, messages: Any = None
    ) -> bool:
        """Write nodes without touching their own storage nodes."""
        scene = self._application.mrmlScene()
        for nodeID, path in zip(nodeIDs, fileNames, strict=True):
            node = scene.GetNodeByID(nodeID)
            if harden and node.GetParentTransformNode() is not None:
                raise NotProvided("The stand-in host exports no hardened nodes.")
            storage = self._storage(node)
            storage.SetFileName(str(path))
            if not storage.WriteData(node):
                return False
        return True

    def _storage(self, node: Any) -> Any:
        """A storage node for writing once, not in the scene but knowing it."""
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)  # Python holds it now
        storage.SetScene(self._application.mrmlScene())
        return storage
