"""What a loaded study says of itself, in words and without identity."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from PRRTPredictorCore.errors import PRRTError
from PRRTPredictorCore.records import LoadedSeries
from PRRTPredictorLib.SeriesFacts import seriesFromNode


def describeStudy(petNode: Any | None, ctNode: Any | None) -> list[str]:
    """What is loaded, line by line: each volume with its facts, then its notices."""
    if petNode is None and ctNode is None:
        return [_("No study is loaded.")]
    lines: list[str] = []
    for title, volumeNode in ((_("PET"), petNode), (_("CT"), ctNode)):
        lines += [_("{title}: not chosen.").format(title=title)] if volumeNode is None else _facts(title, volumeNode)
    return lines


def _facts(title: str, volumeNode: Any) -> list[str]:
    """What a volume node says of itself; identity is in the subject hierarchy, not here."""
    try:
        series = seriesFromNode(volumeNode)
    except PRRTError:
        return [
            _("{title}: {name}, a volume of the scene; its unit is checked before a prediction.").format(
                title=title, name=volumeNode.GetName()
            )
        ]
    return [f"{title}: {_inWords(series)}", *(f"⚠ {notice.message}" for notice in series.notices)]


def _inWords(series: LoadedSeries) -> str:
    how = series.acquisition
    slices = _("{count} slices, {unit}").format(count=series.volume.shape[0], unit=series.volume.unit)
    facts = (_("SYNTHETIC") if how.synthetic else "", slices, how.tracer, f"{how.manufacturer} {how.model}".strip())
    return ", ".join(fact for fact in facts if fact)


def studyUidOf(volumeNode: Any) -> str:
    """Study instance UID of the series in a volume node; empty where it is not known."""
    try:
        return seriesFromNode(volumeNode).study_uid
    except PRRTError:
        return ""
