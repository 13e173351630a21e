"""``report.html``: one page that needs nothing but itself, with the same figures and numbers as files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from .. import __version__
from ..errors import Cancelled, Code, CohortRefused, PRRTError, RunFailed
from ..models.registry import MODELS
from ..progress import Progress, silent
from ..records import RESEARCH_USE_NOTICE
from .chapter import Chapter
from .chapters import CHAPTERS, ChapterEntry
from .chapters.provenance import provenance
from .content import RunContent, read_content
from .page import fill
from .publish import Placed, Publication
from .request import EVERYTHING, ReportRequest
from .style import Imprint, drawing

REPORT_NAME = "report.html"

_OWN_PACKAGE = __name__.partition(".")[0]

_NUMBERS_WEIGHT = 3
_PAGE_WEIGHT = 1
_LOOP_SHARE = 0.7
"""Of what is left of a chapter's step that a loop inside it may take: another loop may follow."""


@dataclass(frozen=True)
class PageChapter:
    """A chapter as the template places it."""

    key: str
    title: str
    nav: str
    blocks: tuple[Placed, ...]
    missing: tuple[str, ...]


def write_report(run: Path, request: ReportRequest = EVERYTHING, progress: Progress = silent) -> Path:
    """Evaluate a run folder and write its figures, tables, ``report.json`` and ``report.html`` into it.

    A chapter whose part of the run is damaged is named under what is missing; the others appear nevertheless.

    Parameters
    ----------
    run : Path
        A run folder, finished or not.
    request : ReportRequest
        What to show beyond the ordinary.
    progress : Progress

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputRefused
        ``NOT_IN_RUN`` for a request that the run cannot serve; nothing was computed then.
    ModelRefused
        When the folder is no run of this version.
    RunFailed
        ``RUN_INCOMPLETE`` when no fold is finished, ``OUTPUT`` when the folder cannot be written,
        ``DEPENDENCY_MISSING`` without a package that every report needs.
    """
    _require_packages()
    entries = tuple(entry for entry in CHAPTERS if entry.key not in request.without)
    steps = _Steps(progress, [_NUMBERS_WEIGHT, *(entry.weight for entry in entries), _PAGE_WEIGHT])
    steps.begin("numbers")
    content = read_content(run, request)
    publication = Publication(run, imprint(content))
    chapters: list[PageChapter] = []
    for entry in entries:
        steps.begin(entry.title)
        chapter = make_chapter(entry, replace(content, progress=steps.inside))
        if chapter is not None:
            blocks = publication.place(chapter)
            chapters.append(PageChapter(chapter.key, chapter.title, entry.title, blocks, chapter.missing))
    steps.begin("page")
    about = {
        "notice": RESEARCH_USE_NOTICE,
        "synthetic": content.manifest.synthetic,
        "patients": len(content.patients),
        "models": list(content.names),
        "compared": list(content.pair or ()),
        "provenance": provenance(content),
    }
    page = publication.write(REPORT_NAME, render(content, chapters), about)
    steps.end()
    return page


def make_chapter(entry: ChapterEntry, content: RunContent) -> Chapter | None:
    """Make one chapter; where the run does not give it, a chapter that says only what is missing.

    Damaged folds that it had to do without are named under what is missing, by the first chapter that meets them.

    Raises
    ------
    CohortRefused, Cancelled
        What the reader named or wished, as opposed to what the run lacks.
    """
    known = len(content.damage)
    chapter = _made_or_missing(entry, content)
    if damage := content.damage[known:]:
        chapter = chapter or Chapter(entry.key, entry.title)
        chapter = replace(chapter, missing=(*chapter.missing, *damage))
    return chapter


def _made_or_missing(entry: ChapterEntry, content: RunContent) -> Chapter | None:
    try:
        with drawing(entry.key):
            return entry.make(content)
    except (CohortRefused, Cancelled):
        raise
    except ModuleNotFoundError as problem:
        refusal = missing_package(problem)
        return Chapter(entry.key, entry.title, missing=(f"{entry.title}: {refusal.message} {refusal.remedy}",))
    except PRRTError as problem:
        where = f"[{problem.where}]" if problem.where not in {"", content.run.name} else ""
        said = " ".join(part for part in (problem.message, where, problem.remedy) if part)
        return Chapter(entry.key, entry.title, missing=(said,))


def missing_package(problem: ModuleNotFoundError) -> RunFailed:
    """The refusal for a package that is not installed; a module of our own that is not there is a fault.

    Raises
    ------
    ModuleNotFoundError
        The problem itself, for a module of this package.
    """
    package = (problem.name or "").partition(".")[0]
    if package in {"", _OWN_PACKAGE}:
        raise problem
    return RunFailed(
        Code.DEPENDENCY_MISSING,
        f"The Python package {package} is not installed.",
        where="prrt report",
        remedy="Install PRRTPredictor with all that it needs, as its README says, and repeat prrt report.",
    )


def imprint(content: RunContent) -> Imprint:
    """What stands below every figure that leaves the page as a file."""
    made = "SYNTHETIC patients · " if content.manifest.synthetic else ""
    data = content.manifest.data_sha256[:12]
    return Imprint(f"{made}{RESEARCH_USE_NOTICE}", f"PRRTPredictor {__version__} · data {data}")


def render(content: RunContent, chapters: Sequence[PageChapter]) -> str:
    """Fill the page's template; everything but the figures is escaped."""
    return fill(
        "report.html",
        notice=RESEARCH_USE_NOTICE,
        version=__version__,
        synthetic=content.manifest.synthetic,
        data_hash=content.manifest.data_sha256[:12],
        models=len(content.names),
        sources=_sources(content.names),
        chapters=[chapter for chapter in chapters if chapter.blocks],
        missing=[chapter for chapter in chapters if chapter.missing],
    )


def _sources(names: Sequence[str]) -> str:
    """What the models of a run saw: "SR-PET/CT and blood values"."""
    seen = [MODELS[name] for name in names]
    images = "/".join(
        title
        for title, used in (("SR-PET", any(one.uses_pet for one in seen)), ("CT", any(one.uses_ct for one in seen)))
        if used
    )
    labs = "blood values" if any(one.uses_labs for one in seen) else ""
    return " and ".join(part for part in (images, labs) if part)


def _require_packages() -> None:
    """Refuse to begin without what every figure or page needs; other packages cost their chapter alone."""
    for name in ("matplotlib", "jinja2", "scipy", "sklearn"):
        try:
            import_module(name)
        except ModuleNotFoundError as problem:
            raise missing_package(problem) from problem


class _Steps:
    """Tells one stage, "report", in steps weighted by how long they take, with the steps inside a chapter."""

    def __init__(self, progress: Progress, weights: Sequence[int]) -> None:
        self._progress = progress
        self._weights = list(weights)
        self._place = -1
        self._title = ""
        self._loop = 0.0
        self._before_loop = self._reached = 0.0

    def begin(self, title: str) -> None:
        """The next step begins."""
        self._place += 1
        self._title = title
        self._loop = self._before_loop = self._reached = 0.0
        self._tell(sum(self._weights[: self._place]), title)

    def inside(self, stage: str, done: int, total: int, message: str = "") -> None:
        """A :class:`Progress` for the steps inside of the current one; it never goes back, however many loops run."""
        share = min(done / total, 1.0) if total else 1.0
        if share < self._loop:  # the next loop has begun
            self._before_loop = self._reached
        self._loop = share
        self._reached = self._before_loop + (1.0 - self._before_loop) * _LOOP_SHARE * share
        before = sum(self._weights[: self._place])
        words = f"{self._title} {done}/{total}" + (f": {message}" if message else "")
        self._tell(before + int(self._reached * self._weights[self._place]), words)

    def end(self) -> None:
        """Everything is done."""
        self._tell(sum(self._weights), "")

    def _tell(self, done: int, message: str) -> None:
        self._progress("report", done, sum(self._weights), message)
