"""What each blood value contributed to an answer.

For networks: gradient x input of the standardised labs where they enter the fusion layer, in logits. A random forest
has no gradient; there the same question is answered along its decision paths, in probability. The two must not be drawn
on one axis without saying so, and :class:`LabContributions` names which of them it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..models.answers import NetworkAnswers
from ..models.forest import FittedForest
from ..records import LabMethod


@dataclass(frozen=True)
class LabContributions:
    """Contribution of every tabular input, positive towards long PFS.

    Attributes
    ----------
    values : mapping of str to float
        By input; empty for a model without labs.
    method : {"gradient x input", "decision path", "none"}
        In logits for the first, in probability for the second.
    """

    values: Mapping[str, float]
    method: LabMethod


NO_LABS = LabContributions({}, "none")


def network_contributions(answers: Sequence[NetworkAnswers], names: Sequence[str]) -> LabContributions:
    """Average gradient x input over an ensemble's answers for one patient."""
    found = [answer.lab_contributions for answer in answers if answer.lab_contributions is not None]
    if not found:
        return NO_LABS
    mean = np.mean([one[0].double().cpu().numpy() for one in found], axis=0)
    return LabContributions(dict(zip(names, map(float, mean), strict=True)), "gradient x input")


def forest_contributions(
    forests: Sequence[FittedForest], names: Sequence[str], tabular: NDArray[np.float64]
) -> LabContributions:
    """Average the decision-path contributions over an ensemble of forests; ``tabular`` has shape (F,)."""
    mean = np.mean([forest.contributions(tabular[None])[0] for forest in forests], axis=0)
    return LabContributions(dict(zip(names, map(float, mean), strict=True)), "decision path")
