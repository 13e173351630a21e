"""What a series' header said, kept on its volume node: lost neither in the scene nor in the saved file.

The voxels and their place are the node's own; unit and modality are stated in Slicer's way. The rest of a
:class:`LoadedSeries` (acquisition, notices, UIDs, how SUV was found) lies in one attribute of the node, as JSON; the
patient's name and identifier lie in subject hierarchy alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from PRRTPredictorCore.imaging.entry import acquisition_from_json, acquisition_to_json
from PRRTPredictorCore.jsontext import parsed
from PRRTPredictorCore.records import Acquisition, LoadedSeries, Notice, Person, SuvReport, Unit
from PRRTPredictorLib.Hierarchy import patientIdOf
from PRRTPredictorLib.Volumes import volumeFromNode

SERIES_ATTRIBUTE = "PRRTPredictor.Series"
UNKNOWN_ACQUISITION = Acquisition(manufacturer="", model="", date=None)


def rememberFacts(node: Any, series: LoadedSeries) -> None:
    """Keep on ``node`` what ``series`` says beside its volume."""
    facts = {
        "acquisition": acquisition_to_json(series.acquisition),
        "frame_of_reference_uid": series.frame_of_reference_uid,
        "study_uid": series.study_uid,
        "series_uid": series.series_uid,
        "notices": [asdict(notice) for notice in series.notices],
        "suv": asdict(series.suv) if series.suv else None,
    }
    node.SetAttribute(SERIES_ATTRIBUTE, json.dumps(facts))


def hasFacts(node: Any) -> bool:
    """Whether the node was made by PRRTPredictor from a DICOM series."""
    return _stored(node) is not None


def seriesFromNode(node: Any, unit: Unit | None = None) -> LoadedSeries:
    """Read a volume node as the series that it was made from, or as a series of which nothing is known but its voxels.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
    unit : {"SUVbw", "HU"}, optional
        Used where the node states none.

    Raises
    ------
    InputRefused, GeometryRefused
        As :func:`PRRTPredictorLib.Volumes.volumeFromNode`.
    """
    volume = volumeFromNode(node, unit)
    person = Person(patientIdOf(node))
    stored = _stored(node)
    if stored is None:
        return LoadedSeries(volume, UNKNOWN_ACQUISITION, "", "", "", person=person)
    return LoadedSeries(
        volume=volume,
        acquisition=acquisition_from_json(stored["acquisition"]),
        frame_of_reference_uid=stored["frame_of_reference_uid"],
        study_uid=stored["study_uid"],
        series_uid=stored["series_uid"],
        notices=tuple(Notice(**notice) for notice in stored["notices"]),
        suv=SuvReport(**stored["suv"]) if stored["suv"] else None,
        person=person,
    )


def _stored(node: Any) -> Mapping[str, Any] | None:
    """The kept facts; None where there are none, or where another version or a hand wrote them."""
    try:
        stored = parsed(node.GetAttribute(SERIES_ATTRIBUTE) or "null")
        acquisition_from_json(stored["acquisition"])
        tuple(Notice(**notice) for notice in stored["notices"])
        suv = stored["suv"]
        SuvReport(**(suv or asdict(SuvReport("", "", None, "", "", ""))))
        known = all(isinstance(stored[key], str) for key in ("frame_of_reference_uid", "study_uid", "series_uid"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return stored if known else None
