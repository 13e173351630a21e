"""The answer for one patient as a document: what ``prrt predict --json`` prints, and the way back to a record.

Without identity and without dates. Needs nothing heavy, so that whoever waits for the answer can read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from ..errors import Code, InputRefused
from ..models.decoding import decode
from ..records import LONG_PFS_FROM, LabMethod, ModelIdentity

if TYPE_CHECKING:
    from .predictor import PredictionResult


@dataclass(frozen=True)
class PredictionDocument:
    """One patient's prediction, as it travels between processes and into a saved scene.

    Attributes
    ----------
    probability_long_pfs : float
        Mean over the fold ensemble, 0 to 1.
    group : {"long", "short"}
    interval : tuple of float
        The ensemble's central 90 % range.
    lab_contributions : mapping of str to float
        Positive towards long PFS; empty for a model without labs.
    lab_contribution_method : {"gradient x input", "decision path", "none"}
        "gradient x input" is in logits, "decision path" in probability.
    warnings : tuple of str
        "CODE: sentence", in the order in which they arose.
    model : ModelIdentity
    synthetic_patient : bool
        The study is of a made patient.
    """

    probability_long_pfs: float
    group: Literal["long", "short"]
    interval: tuple[float, float]
    lab_contributions: Mapping[str, float]
    lab_contribution_method: LabMethod
    warnings: tuple[str, ...]
    model: ModelIdentity
    synthetic_patient: bool


def document_of(result: PredictionResult) -> PredictionDocument:
    """Take what may leave the process out of a prediction's result."""
    prediction = result.prediction
    return PredictionDocument(
        probability_long_pfs=prediction.probability_long_pfs,
        group=prediction.group,
        interval=prediction.interval,
        lab_contributions=dict(prediction.lab_contributions),
        lab_contribution_method=prediction.lab_method,
        warnings=tuple(str(notice) for notice in prediction.notices),
        model=prediction.model,
        synthetic_patient=result.synthetic_patient,
    )


def to_json(document: PredictionDocument) -> dict[str, Any]:
    """The document as ``prrt predict --json`` prints it; plain JSON values only."""
    return {
        "probability_long_pfs": document.probability_long_pfs,
        "group": document.group,
        "interval": list(document.interval),
        "lab_contributions": dict(document.lab_contributions),
        "lab_contribution_method": document.lab_contribution_method,
        "warnings": list(document.warnings),
        "model": {field.name: getattr(document.model, field.name) for field in fields(document.model)},
        "synthetic_patient": document.synthetic_patient,
        "research_use_only": True,
    }


def read_document(content: Mapping[str, Any]) -> PredictionDocument:
    """Read a document back; never taken on trust, since it may come from a saved scene.

    Raises
    ------
    InputRefused
        ``RESULT_UNREADABLE``: a field is absent, of another type or out of its range.
    """
    try:
        values = {name: value for name, value in dict(content).items() if name != "research_use_only"}
        document = decode(PredictionDocument, values)
        _check(document)
    except (TypeError, ValueError) as error:
        raise InputRefused(
            Code.RESULT_UNREADABLE,
            f"The stored prediction cannot be understood ({error}).",
            remedy="Predict again.",
        ) from error
    return document


def _check(document: PredictionDocument) -> None:
    low, high = document.interval
    if not 0.0 <= low <= high <= 1.0 or not 0.0 <= document.probability_long_pfs <= 1.0:
        raise ValueError("a probability outside of 0 to 1")
    if (document.group == "long") != (document.probability_long_pfs >= LONG_PFS_FROM):
        raise ValueError("the group contradicts the probability")
    if not all(math.isfinite(value) for value in document.lab_contributions.values()):
        raise ValueError("a contribution that is no number")
