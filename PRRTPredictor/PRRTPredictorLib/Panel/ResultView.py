"""A prediction as rich text for the panel."""

from __future__ import annotations

from html import escape

from slicer.i18n import tr as _

from PRRTPredictorCore.prediction.document import PredictionDocument
from PRRTPredictorLib.Panel.Words import badge, listHtml

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
    badges = f"<p>{' '.join(badge(text) for text in made)}</p>" if made else ""
    interval = _("Central 90 % of the ensemble: {low} to {high} %").format(low=_percent(low), high=_percent(high))
    return (
        f"{badges}<p>{escape(_('Probability of progression-free survival (PFS) > 1 year'))}</p>"
        f'<p style="font-size:xx-large"><b>{_percent(document.probability_long_pfs)}&nbsp;%</b></p>'
        f"<p>{escape(interval)}</p>"
        f"<p>{escape(_('Predicted group:'))} "
        f'<span style="background-color:{GROUP_GROUNDS[document.group]};color:#ffffff">'
        f"<b>&nbsp;{escape(group)}&nbsp;</b></span></p>"
    )


def warningsHtml(document: PredictionDocument) -> str:
    """The warnings as a list; empty where there are none."""
    sentences = [
        sentence
        for code, _colon, sentence in (warning.partition(": ") for warning in document.warnings)
        if code not in _SAID_BY_BADGES
    ]
    return f"<p><b>{escape(_('Mind:'))}</b></p>{listHtml(sentences)}" if sentences else ""


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
