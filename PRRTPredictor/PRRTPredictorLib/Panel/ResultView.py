"""A prediction as rich text for the panel."""

from __future__ import annotations

from html import escape

from slicer.i18n import tr as _

from PRRTPredictorCore.prediction.document import PredictionDocument
from PRRTPredictorLib.Panel.Words import badge, listHtml, paragraph

GROUP_GROUNDS = {"long": "#1f6fae", "short": "#b84e00"}
"""The groups' hues in the charts, dark enough under white letters."""

_SAID_BY_BADGES = ("MODEL_SYNTHETIC",)


def resultHtml(document: PredictionDocument) -> str:
    """Probability, interval and group."""
    low, high = document.interval
    group = _("long PFS") if document.group == "long" else _("short PFS")
    made = [
        text
        for text, holds in (
            (_("SYNTHETIC patient"), document.synthetic_patient),
            (_("SYNTHETIC model"), document.model.synthetic),
        )
        if holds
    ]
    interval = _("Central 90 % of the ensemble: {low} to {high} %").format(low=_percent(low), high=_percent(high))
    ground = f"background-color:{GROUP_GROUNDS[document.group]};color:#ffffff"
    chip = f'<span style="{ground}"><b>&nbsp;{escape(group).replace(" ", "&nbsp;")}&nbsp;</b></span>'
    lines = (
        " ".join(badge(text) for text in made),
        escape(_("Probability of progression-free survival (PFS) > 1 year")),
        f'<span style="font-size:xx-large"><b>{_percent(document.probability_long_pfs)}&nbsp;%</b></span>',
        escape(interval),
        f"{escape(_('Predicted group:'))} {chip}",
    )
    return "".join(paragraph(line) for line in lines if line)


def warningsHtml(document: PredictionDocument) -> str:
    """The warnings as a list; empty where there are none."""
    sentences = [
        sentence
        for code, _colon, sentence in (warning.partition(": ") for warning in document.warnings)
        if code not in _SAID_BY_BADGES
    ]
    title = escape(_("Warnings:"))
    return f"{paragraph(f'<b>{title}</b>')}{listHtml(sentences)}" if sentences else ""


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
