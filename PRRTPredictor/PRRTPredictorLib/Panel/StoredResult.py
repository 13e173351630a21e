"""The latest prediction as it is kept in the parameter node, charts included, so that it comes back with the scene.

The document stands in the parameter ``prediction``. What it was computed from is kept beside it: the volumes as node
references, which survive a renumbering of nodes, and a hash of everything else, so that a result is never shown for
other inputs than its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from PRRTPredictorCore.jsontext import parsed
from PRRTPredictorCore.prediction.document import PredictionDocument, read_document, to_json
from PRRTPredictorLib.PredictionLogic import CHARTS

_PET_ROLE, _CT_ROLE = "PRRTPredictor.predictedPet", "PRRTPredictor.predictedCt"
_INPUTS = "PRRTPredictor.predictedFrom"
_CHART = "PRRTPredictor.chart."


@dataclass(frozen=True)
class AskedFor:
    """What a prediction was asked for.

    Attributes
    ----------
    pet, ct : vtkMRMLScalarVolumeNode
    inputs : str
        Hash of laboratory values and model.
    """

    pet: Any
    ct: Any
    inputs: str


def askedFor(node: Any, labSheet: Any) -> AskedFor:
    """What a prediction started now would be asked for."""
    typed = f"{labSheet!r} {node.modelFolder} {node.assumeUnits}"
    return AskedFor(node.petVolume, node.ctVolume, hashlib.sha256(typed.encode()).hexdigest())


def store(node: Any, document: PredictionDocument, charts: Mapping[str, Path], asked: AskedFor) -> None:
    """Keep a prediction and its charts in the parameter node."""
    inner = node.parameterNode
    with slicer.util.NodeModify(inner):
        inner.SetNodeReferenceID(_PET_ROLE, asked.pet.GetID())
        inner.SetNodeReferenceID(_CT_ROLE, asked.ct.GetID())
        inner.SetAttribute(_INPUTS, asked.inputs)
        for name in CHARTS:
            png = charts[name].read_bytes() if name in charts else b""
            inner.SetAttribute(_CHART + name, base64.b64encode(png).decode("ascii"))
        node.prediction = json.dumps(to_json(document))


def forget(node: Any) -> None:
    """Remove a kept prediction."""
    inner = node.parameterNode
    with slicer.util.NodeModify(inner):
        node.prediction = ""
        for name in CHARTS:
            inner.RemoveAttribute(_CHART + name)


def stored(node: Any) -> PredictionDocument:
    """The kept prediction.

    Raises
    ------
    InputRefused
        ``RESULT_UNREADABLE``: the scene was damaged or altered.
    """
    try:
        content = parsed(node.prediction)
    except ValueError:
        content = {}
    return read_document(content)


def chart(node: Any, name: str) -> str:
    """A kept chart as PNG in base64; "" where there is none."""
    return node.parameterNode.GetAttribute(_CHART + name) or ""


def chartFiles(node: Any, folder: Path) -> dict[str, Path]:
    """Write the kept charts into ``folder``; their files by name."""
    files = {}
    for name in CHARTS:
        try:
            content = base64.b64decode(chart(node, name))
        except ValueError:  # the scene was altered
            continue
        if content:
            files[name] = folder / f"{name}.png"
            files[name].write_bytes(content)
    return files


def isOfTheseVolumes(node: Any) -> bool:
    """Whether there is a kept prediction and PET and CT are still those that it was made from."""
    inner = node.parameterNode
    return bool(node.prediction) and all(
        volume is not None and inner.GetNodeReference(role) is volume
        for role, volume in ((_PET_ROLE, node.petVolume), (_CT_ROLE, node.ctVolume))
    )


def isOfTheseInputs(node: Any, asked: AskedFor) -> bool:
    """Whether laboratory values and model, too, are still those that the kept prediction was made from."""
    return isOfTheseVolumes(node) and node.parameterNode.GetAttribute(_INPUTS) == asked.inputs
