"""One patient's prediction as one self-contained page: the answer, what it rests on, and how far it can be believed.

Nothing on it says who the patient is or when anything took place.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..cohort.labs import accepted_units, input_title
from ..errors import Code, InputRefused
from ..files import require_file_target, write_bytes
from ..models.registry import MODELS
from ..prediction.card import ModelCard
from ..prediction.document import PredictionDocument
from ..progress import Progress, silent
from ..records import LABS, RESEARCH_USE_NOTICE, Labs
from .charts import LAB_CHART, SURVIVAL_CHART, ChartLook, chart_svg
from .page import fill
from .style import inline_svg

PAGE_LOOK = ChartLook(font_points=10.5, width_inches=6.4, notices=False)
OVERLAY = "overlay"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_TITLES = {OVERLAY: "Where the model looked"}
_TEXTS = {
    OVERLAY: "PET over CT, and the saliency: bright colours mark where a small change of the image would change the "
    "answer most. It shows where the model looked, not where disease is."
}


@dataclass(frozen=True)
class Picture:
    """A picture in the page; ``source`` is a data URI."""

    key: str
    title: str
    text: str
    source: str


@dataclass(frozen=True)
class LabRow:
    """One blood value; the texts are empty where there is nothing to say."""

    name: str
    value: str
    training: str
    outside: bool
    contribution: str


def write_patient_report(
    path: Path,
    document: PredictionDocument,
    card: ModelCard | None,
    labs: Labs | None,
    pictures: Mapping[str, Path],
    progress: Progress = silent,
) -> Path:
    """Write the report of one prediction as one HTML page that needs nothing but itself.

    Parameters
    ----------
    path : Path
        Ends in ``.html``.
    document : PredictionDocument
    card : ModelCard or None
        Of the model that answered; without it, the page says less of the model and draws no survival curves.
    labs : Labs or None
        The values; the sampling date does not enter the page.
    pictures : mapping of str to Path
        PNG files, by name; "overlay" is the study with the saliency. The two charts are drawn anew for the page, so
        those of ``prrt predict --charts`` need not be named and are passed over.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    InputRefused
        ``OUTPUT``: no such place to write to; ``PATH_MISSING``: a picture is missing or no PNG;
        ``MODEL_MISMATCH``: the card is of another model than the one that answered.
    RunFailed
        ``OUTPUT``: the page cannot be written after all.
    """
    path = Path(path)
    require_file_target(path, ".html")
    if card is not None and card.sha256 != document.model.sha256:
        raise InputRefused(
            Code.MODEL_MISMATCH,
            "The model folder holds another model than the one that made this prediction.",
            remedy="Choose the model that predicted, or predict again.",
        )
    progress("report", 0, 3, "pictures")
    shown = [_picture(name, file) for name, file in pictures.items() if name not in (LAB_CHART, SURVIVAL_CHART)]
    progress("report", 1, 3, "charts")
    charts = {name: _chart(name, document, card) for name in (LAB_CHART, SURVIVAL_CHART)}
    progress("report", 2, 3, "page")
    write_bytes(path, _render(document, card, labs, shown, charts).encode("utf-8"))
    progress("report", 3, 3, "")
    return path


def _render(
    document: PredictionDocument,
    card: ModelCard | None,
    labs: Labs | None,
    pictures: list[Picture],
    charts: Mapping[str, str],
) -> str:
    model = MODELS.get(document.model.name)
    return fill(
        "patient.html",
        notice=RESEARCH_USE_NOTICE,
        version=__version__,
        document=document,
        model_title=model.title if model else document.model.name,
        percent=f"{100 * document.probability_long_pfs:.0f} %",
        low=f"{100 * document.interval[0]:.0f}",
        high=f"{100 * document.interval[1]:.0f}",
        warnings=[_sentence(warning) for warning in document.warnings],
        pictures=pictures,
        lab_rows=_lab_rows(document, card, labs),
        de_ritis=f"{labs.de_ritis_ratio:.2f}" if labs else "",
        lab_chart=charts[LAB_CHART],
        survival_chart=charts[SURVIVAL_CHART],
        method=document.lab_contribution_method,
        card=card,
        facts=_model_facts(document, card),
    )


def _sentence(warning: str) -> str:
    """The words of a warning without its code."""
    code, _, words = warning.partition(": ")
    return words if words and code.isupper() else warning


def _lab_rows(document: PredictionDocument, card: ModelCard | None, labs: Labs | None) -> list[LabRow]:
    if labs is None:
        return []
    ranges = card.training_ranges.tabular if card else {}
    rows = []
    for name, value in zip(LABS, labs.values(), strict=True):
        low, high = ranges.get(name, (None, None))
        contribution = document.lab_contributions.get(name)
        rows.append(
            LabRow(
                name=input_title(name),
                value=f"{value:g} {accepted_units(name)[0]}",
                training="" if low is None else f"{low:g} to {high:g}",
                outside=low is not None and high is not None and not low <= value <= high,
                contribution="" if contribution is None else f"{contribution:+.3f}".replace("-", "\N{MINUS SIGN}"),
            )
        )
    return rows


def _model_facts(document: PredictionDocument, card: ModelCard | None) -> list[tuple[str, str]]:
    facts = []
    if card is not None:
        facts = [
            ("Sees", ", ".join(card.inputs)),
            ("Trained on", f"{card.patients} patients, {card.long_pfs} of them with long PFS"),
            ("AUROC in cross-validation", _auroc(card)),
            ("Ensemble", f"{card.members} members, preset “{card.preset}”"),
        ]
    facts.append(("SHA-256", document.model.sha256))
    return facts


def _auroc(card: ModelCard) -> str:
    if card.auroc is None:
        return "not evaluated"
    interval = "" if card.auroc_ci95 is None else " (95 % interval {:.2f} to {:.2f})".format(*card.auroc_ci95)
    return f"{card.auroc:.2f}{interval}; not validated on patients of another centre"


def _chart(name: str, document: PredictionDocument, card: ModelCard | None) -> str:
    """The chart as mark-up; empty where the model has none."""
    from markupsafe import Markup

    svg = chart_svg(name, document, card, PAGE_LOOK)
    return Markup(inline_svg(svg, name, _in_words(name, document))) if svg else ""  # our own mark-up, texts escaped


def _in_words(name: str, document: PredictionDocument) -> str:
    if name == SURVIVAL_CHART:
        return f"Progression-free survival of the training cohort; this patient is in the group {document.group}."
    values = ", ".join(f"{input_title(lab)} {value:+.3f}" for lab, value in document.lab_contributions.items())
    return f"Contributions to the answer, positive towards long PFS: {values}."


def _picture(name: str, file: Path) -> Picture:
    content = file.read_bytes() if file.is_file() else b""
    if not content.startswith(PNG_SIGNATURE):
        raise InputRefused(
            Code.PATH_MISSING, "A picture for the report is missing or no PNG.", where=file.name, remedy="Export again."
        )
    words = name.replace("_", " ").replace("-", " ").strip().capitalize()
    source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    return Picture(name, _TITLES.get(name, words), _TEXTS.get(name, ""), source)
