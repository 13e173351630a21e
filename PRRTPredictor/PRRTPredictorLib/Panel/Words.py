"""What several sections say in the same words: progress, time left, a refusal in place, SYNTHETIC."""

from __future__ import annotations

from html import escape
from typing import Protocol

from slicer.i18n import tr as _

from PRRTPredictorCore.errors import PRRTError

ALERT = "#c62828"
"""Ground of white letters, so that it reads on a light and on a dark panel alike."""


class HasProgress(Protocol):
    """What :class:`PRRTPredictorLib.Worker.Progressed` tells."""

    stage: str
    done: int
    total: int
    etaSeconds: float | None
    message: str


def stageTitle(stage: str) -> str:
    """A stage of a child process in words; an unknown one as it is called there."""
    return {
        "index": _("Reading DICOM headers"),
        "prepare": _("Preparing images"),
        "pretrain": _("Pretraining the CT encoder on made phantoms"),
        "download": _("Fetching the pretrained CT encoder"),
        "frozen CT features": _("Computing CT features"),
        "predict": _("Predicting"),
        "fit": _("Packing the model"),
        "report": _("Writing the report"),
        "PET pixels": _("Reading the PET"),
        "CT pixels": _("Reading the CT"),
    }.get(stage, stage)


def stepTitle(step: str) -> str:
    """A step of the prediction in words."""
    return {
        "model": _("Reading the model"),
        "PET": _("Reading the PET"),
        "CT": _("Reading the CT"),
        "common grid": _("Bringing PET and CT onto a common grid"),
        "ensemble": _("Asking the ensemble"),
        "saliency": _("Finding where the model looked"),
        "done": _("Done"),
    }.get(step, step)


def timeLeft(seconds: float | None) -> str:
    """The time left, as exact as it can be known; empty where it is not known."""
    if seconds is None:
        return ""
    if seconds < 60:
        return _("less than a minute left")
    minutes = round(seconds / 60)
    if minutes < 90:
        return _("{n} min left").format(n=minutes)
    return _("{n} h left").format(n=f"{seconds / 3600:.1f}".removesuffix(".0"))


def progressWords(progressed: HasProgress) -> str:
    """One line on how far the work is: "Preparing images, 12 of 116, 3 min left"."""
    parts = [stageTitle(progressed.stage)]
    if progressed.total > 1:
        parts.append(_("{done} of {total}").format(done=progressed.done, total=progressed.total))
    return ", ".join(part for part in (*parts, timeLeft(progressed.etaSeconds)) if part)


def refusalHtml(error: PRRTError) -> str:
    """Why something cannot be used and what to do about it, for a label."""
    place = f" [{escape(error.where)}]" if error.where else ""
    remedy = f"<br>{escape(error.remedy)}" if error.remedy else ""
    return f"<b>{escape(error.message)}</b>{place}{remedy}"


def badge(text: str) -> str:
    """White bold letters on red."""
    return f'<span style="background-color:{ALERT};color:#ffffff"><b>&nbsp;{escape(text)}&nbsp;</b></span>'


def paragraph(html: str) -> str:
    """A paragraph without the wide margins that Qt gives it; no "%" stands alone at the begin of a line."""
    return f'<p style="margin-top:2px;margin-bottom:2px">{html.replace(" %", "&nbsp;%")}</p>'


def listHtml(items: list[str]) -> str:
    """A bullet list that does not waste the panel's width."""
    rows = "".join(f"<tr><td>•&nbsp;</td><td>{escape(item)}</td></tr>" for item in items)
    return f"<table>{rows}</table>"
