"""A model's card as rich text for the panel: on whom it was trained, how well it did, and whether it is made."""

from __future__ import annotations

from html import escape

from slicer.i18n import tr as _

from PRRTPredictorCore.prediction.card import ModelCard
from PRRTPredictorLib.Panel.Words import badge, paragraph

_SHORT_HASH = 12


def cardHtml(card: ModelCard) -> str:
    """The card; a SYNTHETIC model says so in red before everything else."""
    warning = ""
    if card.synthetic:
        said = escape(_("Trained on made patients. Its answers mean nothing for a real patient."))
        warning = paragraph(f"{badge('SYNTHETIC')} {said}")
    rows = "".join(
        f'<tr><td style="padding-right:8px">{escape(name)}</td><td>{escape(value)}</td></tr>'
        for name, value in _facts(card)
    )
    return f"{paragraph(f'<b>{escape(card.title)}</b>')}{warning}<table>{rows}</table>"


def _facts(card: ModelCard) -> tuple[tuple[str, str], ...]:
    trained = _("{n} patients, {m} with PFS > 1 year").format(n=card.patients, m=card.long_pfs)
    return (
        (_("Sees"), ", ".join(card.inputs)),
        (_("Trained on"), trained),
        (_("AUROC"), _auroc(card)),
        (_("Ensemble"), _("{n} members, preset “{preset}”").format(n=card.members, preset=card.preset)),
        (_("Packed"), f"{card.created_utc[:10]}, {card.sha256[:_SHORT_HASH]}"),
    )


def _auroc(card: ModelCard) -> str:
    if card.auroc is None:
        return _("not evaluated")
    if card.auroc_ci95 is None:
        return f"{card.auroc:.2f}"
    low, high = card.auroc_ci95
    return _("{auroc} (95 % interval {low} to {high}), cross-validated").format(
        auroc=f"{card.auroc:.2f}", low=f"{low:.2f}", high=f"{high:.2f}"
    )
