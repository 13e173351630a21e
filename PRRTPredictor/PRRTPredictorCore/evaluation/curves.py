"""One ROC and one precision–recall curve a model, for plots: the content of ``curves.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.registry import MODELS
from ..records import FoldPredictions
from .resampling import Floats


@dataclass(frozen=True, eq=False)
class CurvePoints:
    """Points of one curve in the order in which they are joined, each of shape (P,); empty where undefined."""

    x: Floats
    y: Floats


def curves_content(predictions: Mapping[str, Sequence[FoldPredictions]]) -> dict[str, Any]:
    """The content of ``curves.json``: both curves of every model with a finished fold, in the registry's order."""
    names = (*MODELS, *(name for name in sorted(predictions) if name not in MODELS))
    return {
        "pooled": "the out-of-fold predictions of all folds and repeats",
        "models": {
            name: {"roc": _content(pooled_roc(folds)), "pr": _content(pooled_precision_recall(folds))}
            for name in names
            if (folds := predictions.get(name, ()))
        },
    }


def _content(points: CurvePoints) -> dict[str, list[float]]:
    # Six decimals, as in metrics.json: beyond them, sums differ between processors.
    return {"x": [round(float(value), 6) for value in points.x], "y": [round(float(value), 6) for value in points.y]}


def pooled_roc(folds: Sequence[FoldPredictions]) -> CurvePoints:
    """One ROC curve over the held-out predictions of all folds and repeats: x = 1 - specificity, y = sensitivity.

    Each fold is another fit with a level of its own, so the area of this curve can differ from the mean AUROC.
    """
    from sklearn.metrics import roc_curve

    y, probability = _pooled(folds)
    if not 0 < y.sum() < y.size:
        return CurvePoints(np.empty(0), np.empty(0))
    false_positive, true_positive, _ = roc_curve(y, probability)
    return CurvePoints(false_positive, true_positive)


def pooled_precision_recall(folds: Sequence[FoldPredictions]) -> CurvePoints:
    """One precision–recall curve over the same predictions: x = recall ascending, y = precision, without made points.

    See :func:`pooled_roc`.
    """
    from sklearn.metrics import precision_recall_curve

    y, probability = _pooled(folds)
    if not 0 < y.sum() < y.size:
        return CurvePoints(np.empty(0), np.empty(0))
    precision, recall, _ = precision_recall_curve(y, probability)
    return CurvePoints(recall[-2::-1], precision[-2::-1])


def _pooled(folds: Sequence[FoldPredictions]) -> tuple[NDArray[np.int64], Floats]:
    ordered = sorted(folds, key=lambda fold: (fold.repeat, fold.fold))
    return np.concatenate([fold.y for fold in ordered]), np.concatenate([fold.probability for fold in ordered])
