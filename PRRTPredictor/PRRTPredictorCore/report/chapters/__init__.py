"""The chapters of a run's report: each a function of the run's content, in a module of its own.

Modules that are no key of :data:`CHAPTERS` make blocks for a chapter that would be too long alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..chapter import Chapter
    from ..content import RunContent


@dataclass(frozen=True)
class ChapterEntry:
    """A chapter's place in the report.

    Attributes
    ----------
    key : str
        Name of its module here, its anchor in the page, and its name on the command line.
    title : str
        In words, for the progress bar and for what is missing.
    weight : int
        About how many seconds it takes for 116 patients and seven models; steps of the progress bar.
    """

    key: str
    title: str
    weight: int = 1

    def make(self, content: RunContent) -> Chapter | None:
        """Make the chapter; its module, and what that needs, is imported only now."""
        chapter: Chapter | None = import_module(f"{__name__}.{self.key}").chapter(content)
        return chapter


CHAPTERS = (
    ChapterEntry("brief", "In brief"),
    ChapterEntry("patients", "Patients"),
    ChapterEntry("pipeline", "The models", weight=4),
    ChapterEntry("results", "Results"),
    ChapterEntry("comparison", "Comparisons"),
    ChapterEntry("survival", "Survival", weight=2),
    ChapterEntry("probabilities", "Probabilities", weight=3),
    ChapterEntry("subgroups", "Subgroups", weight=3),
    ChapterEntry("blood", "Blood values", weight=2),
    ChapterEntry("embeddings", "Embeddings", weight=15),
    ChapterEntry("gradients", "Gradients"),
    ChapterEntry("saliency", "Saliency", weight=20),
    ChapterEntry("checklist", "TRIPOD+AI"),
    ChapterEntry("provenance", "How it was made"),
)
"""In page order."""
