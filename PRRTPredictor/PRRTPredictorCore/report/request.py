"""What the reader of a report asks for beyond what every report shows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ..errors import Code, CohortRefused, InputRefused
from ..explain.methods import SaliencyMethod


@dataclass(frozen=True)
class ReportRequest:
    """The choices of ``prrt report``.

    Attributes
    ----------
    compare : (str, str) or None
        Two models to hold against each other; the paper's pair where left out.
    patients : tuple of str
        Study codes whose saliency is shown; three by a fixed rule where left out.
    saliency : tuple of str
        Methods of the saliency gallery; all but "gradient" take minutes on a CPU.
    cohort : Path or None
        ``cohort.csv``, for images that left the cache and for organ labels.
    without : frozenset of str
        Keys of chapters to leave out.
    """

    compare: tuple[str, str] | None = None
    patients: tuple[str, ...] = ()
    saliency: tuple[SaliencyMethod, ...] = ("gradient",)
    cohort: Path | None = None
    without: frozenset[str] = frozenset()

    def require(self, models: Collection[str], patients: Collection[str]) -> None:
        """Refuse what a run cannot serve, before any work is done for it.

        Parameters
        ----------
        models : collection of str
            Those with a finished fold.
        patients : collection of str
            Study codes of the run.

        Raises
        ------
        InputRefused
            ``NOT_IN_RUN`` for an unknown model, patient or chapter, or a model held against itself; ``RUN_MISMATCH``
            for a cohort table without any of the run's patients, and whatever else speaks against that table.
        """
        from .chapters import CHAPTERS

        compared = self.compare or ()
        _require(compared, models, "model", "Models with a finished fold")
        if len(set(compared)) < len(compared):
            raise InputRefused(
                Code.NOT_IN_RUN,
                "A model cannot be compared with itself.",
                where="--compare",
                remedy=f"Name two of: {', '.join(models)}.",
            )
        _require(self.patients, patients, "patient", "Study codes of this run, for instance", most=6)
        _require(sorted(self.without), [entry.key for entry in CHAPTERS], "chapter", "Chapters")
        if self.cohort is not None:
            _require_own_table(self.cohort, patients)


EVERYTHING = ReportRequest()
"""What every report shows."""


def _require(asked: Collection[str], known: Collection[str], what: str, heading: str, most: int = 99) -> None:
    for name in asked:
        if name not in known:
            raise InputRefused(
                Code.NOT_IN_RUN,
                f"This run holds no {what} named “{name}”.",
                where=f"--{_FLAGS[what]}",
                remedy=f"{heading}: {', '.join(list(known)[:most]) or 'none'}.",
            )


def _require_own_table(table: Path, patients: Collection[str]) -> None:
    from ..cohort.table import read_cohort

    if {patient.code for patient in read_cohort(table).patients}.isdisjoint(patients):
        raise CohortRefused(
            Code.RUN_MISMATCH,
            "None of the table's patients belongs to the run.",
            where=table.name,
            remedy="Name the cohort.csv that the run was trained on, with the study key that was used then.",
        )


_FLAGS = {"model": "compare", "patient": "patients", "chapter": "without"}
