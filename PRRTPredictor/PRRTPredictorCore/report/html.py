"""``report.html``: one page that needs nothing but itself, and the same figures as SVG and PNG beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..cohort.outcome import THRESHOLD_MONTHS
from ..files import write_bytes
from ..progress import Progress, silent
from ..records import RESEARCH_USE_NOTICE
from . import tables
from .content import (
    RunContent,
    collapsed_folds,
    in_brief,
    pretrained_in_words,
    read_content,
    what_is_missing,
)
from .page import fill
from .plates import PLATES, Plate
from .style import drawing, inline_svg, svg_text, write_png

REPORT_NAME = "report.html"
FIGURES_FOLDER = "figures"


@dataclass(frozen=True)
class PageFigure:
    """A figure as the template places it; ``svg`` is trusted mark-up made by this package."""

    key: str
    number: int
    title: str
    text: str
    svg: str


def write_report(run: Path, progress: Progress = silent) -> Path:
    """Evaluate a run folder and write its figures and ``report.html`` into it.

    Parameters
    ----------
    run : Path
        A run folder, finished or not.
    progress : Progress

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ModelRefused
        When the folder is no run of this version.
    RunFailed
        ``RUN_INCOMPLETE`` when no fold is finished, ``OUTPUT`` when the folder cannot be written.
    """
    steps = len(PLATES) + 2
    progress("report", 0, steps, "numbers")
    content = read_content(run)
    drawn: list[PageFigure] = []
    for step, draw in enumerate(PLATES, start=1):
        progress("report", step, steps, draw.__name__.replace("_", " "))
        with drawing(draw.__name__):
            plate = draw(content)
            if plate is not None:
                drawn.append(_publish(run / FIGURES_FOLDER, plate, len(drawn) + 1))
    progress("report", steps - 1, steps, "page")
    page = run / REPORT_NAME
    write_bytes(page, render(content, {figure.key: figure for figure in drawn}).encode("utf-8"))
    progress("report", steps, steps, "")
    return page


def render(content: RunContent, figures: dict[str, PageFigure]) -> str:
    """Fill the page's template; everything but the figures is escaped."""
    cohort, summary = content.cohort.cohort, content.summary
    n_long = sum(patient.outcome.long_pfs for patient in cohort.patients)
    return fill(
        "report.html",
        notice=RESEARCH_USE_NOTICE,
        version=__version__,
        manifest=content.manifest,
        synthetic=content.manifest.synthetic,
        summary=summary,
        done=sum(len(model.folds) for model in summary.models),
        patients=len(cohort.patients),
        n_long=n_long,
        n_short=len(cohort.patients) - n_long,
        flow=cohort.exclusions,
        pet_interval=cohort.pet_interval,
        cohort_notices=cohort.notices,
        threshold=f"{THRESHOLD_MONTHS:g}",
        brief=in_brief(content),
        missing=what_is_missing(content),
        collapsed=collapsed_folds(summary),
        stopped=content.stopped,
        pretrained=pretrained_in_words(content.manifest),
        figures=figures,
        patients_table=tables.patients_table(content),
        acquisition_table=tables.acquisition_table(content),
        results_table=tables.results_table(content),
        paired_table=tables.paired_table(content),
        families_table=tables.families_table(content),
        survival_table=tables.survival_table(content),
        calibration_table=tables.calibration_table(content),
        configuration_table=tables.configuration_table(content),
        preset_values=_flattened(content.manifest.preset_values),
    )


def _publish(folder: Path, plate: Plate, number: int) -> PageFigure:
    from markupsafe import Markup

    svg = svg_text(plate.figure)
    write_bytes(folder / f"{plate.key}.svg", svg.encode("utf-8"))
    write_png(plate.figure, folder / f"{plate.key}.png")
    marked = Markup(inline_svg(svg, plate.key, plate.alt))  # our own mark-up, its texts escaped
    return PageFigure(key=plate.key, number=number, title=plate.title, text=plate.text, svg=marked)


def _flattened(values: object, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, value) lines."""
    if isinstance(values, dict):
        return [
            line
            for key, value in values.items()
            for line in _flattened(value, f"{name}.{key}".lstrip(".").replace("_", " "))
        ]
    if isinstance(values, list | tuple):
        return [(name, " × ".join(str(value) for value in values))]
    return [(name, "–" if values is None else str(values))]
