"""The results of a run read back from its folder, for whoever shows them: no recomputing, nothing heavy."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import Code, ModelRefused
from ..jsontext import parsed
from ..training.manifest import read_manifest
from .discrimination import MetricSummary
from .summary import CURVES_NAME, METRICS_NAME, STAMP, model_title

MetricValue: TypeAlias = MetricSummary
"""Mean, standard error, value a repeat and 95 % interval of one metric; NaN where a figure is undefined."""


@dataclass(frozen=True)
class Curve:
    """Points of a curve, all of one length, in the order in which they are joined.

    ROC: x is 1 - specificity, y sensitivity. Precision-recall: x is recall, y precision.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class ModelResult:
    """One row of the paper's Table 2 with its curves.

    Attributes
    ----------
    name, title : str
        Registry name, and the name for people.
    roc, pr : Curve
        Over the out-of-fold predictions of all folds and repeats pooled; empty where one outcome only was held out.
    """

    name: str
    title: str
    auroc: MetricValue
    auprc: MetricValue
    accuracy: MetricValue
    collapsed_folds: int
    roc: Curve
    pr: Curve


@dataclass(frozen=True)
class RunResults:
    """What a run has shown so far.

    Attributes
    ----------
    models : tuple of ModelResult
        With at least one finished fold, in the registry's order.
    prevalence_long : float
        The AUPRC of a model without skill.
    patients, folds, repeats : int
        Of the protocol.
    synthetic : bool
        The cohort holds made patients.
    """

    models: tuple[ModelResult, ...]
    prevalence_long: float
    patients: int
    folds: int
    repeats: int
    synthetic: bool


def read_results(run: Path) -> RunResults:
    """Read ``metrics.json`` and ``curves.json`` of a run folder.

    Raises
    ------
    ModelRefused
        ``PATH_MISSING``: no run there. ``RUN_INCOMPLETE``: not evaluated yet, or an evaluation was cut short.
        ``RUN_MISMATCH``: a file is damaged or of another version.
    """
    run = Path(run)
    manifest = read_manifest(run)
    metrics, curves = _read_pair(run)
    try:
        return RunResults(
            models=tuple(_result(name, entry, curves["models"][name]) for name, entry in metrics["models"].items()),
            prevalence_long=_number(metrics["prevalence_long"]),
            patients=manifest.n_patients,
            folds=manifest.folds,
            repeats=manifest.repeats,
            synthetic=manifest.synthetic,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise ModelRefused(
            Code.RUN_MISMATCH,
            "The run's results are damaged or were written by another version of PRRTPredictor.",
            where=run.name,
            remedy=_REMEDY,
        ) from problem


_REMEDY = "Write them again from the finished folds, with `prrt report` or by repeating the `prrt train` command."


_MOMENTS = 5
_MOMENT_S = 0.1
"""Between two looks at files that another process is putting in place."""


def _read_pair(run: Path) -> tuple[Any, Any]:
    """``metrics.json`` and ``curves.json`` of one evaluation; those of older versions say nothing of each other."""
    for _ in range(_MOMENTS):
        metrics, sha256 = _read(run / METRICS_NAME)
        curves, _curves_sha256 = _read(run / CURVES_NAME)
        if not isinstance(curves, dict) or curves.get(STAMP, sha256) == sha256:
            return metrics, curves
        time.sleep(_MOMENT_S)
    raise ModelRefused(
        Code.RUN_INCOMPLETE,
        f"{METRICS_NAME} and {CURVES_NAME} stem from two evaluations: the last one was cut short.",
        where=run.name,
        remedy=_REMEDY,
    )


def _read(path: Path) -> tuple[Any, str]:
    if not path.is_file():
        raise ModelRefused(
            Code.RUN_INCOMPLETE,
            f"{path.name} is missing: the run has not been evaluated yet.",
            where=path.parent.name,
            remedy=_REMEDY,
        )
    try:
        content = path.read_bytes()
        return parsed(content), hashlib.sha256(content).hexdigest()
    except (OSError, ValueError) as problem:
        raise ModelRefused(
            Code.RUN_MISMATCH, f"{path.name} cannot be read.", where=path.parent.name, remedy=_REMEDY
        ) from problem


def _result(name: str, entry: Mapping[str, Any], curves: Mapping[str, Any]) -> ModelResult:
    return ModelResult(
        name=name,
        title=model_title(name),
        auroc=_metric(entry["auroc"]),
        auprc=_metric(entry["auprc"]),
        accuracy=_metric(entry["accuracy"]),
        collapsed_folds=int(entry["collapsed_folds"]),
        roc=_curve(curves["roc"]),
        pr=_curve(curves["pr"]),
    )


def _metric(entry: Mapping[str, Any]) -> MetricValue:
    low, high = entry["ci95"]
    return MetricSummary(
        mean=_number(entry["mean"]),
        se=_number(entry["se"]),
        per_repeat=tuple(_number(value) for value in entry["per_repeat"]),
        ci95=(_number(low), _number(high)),
    )


def _curve(entry: Mapping[str, Any]) -> Curve:
    curve = Curve(tuple(float(value) for value in entry["x"]), tuple(float(value) for value in entry["y"]))
    if len(curve.x) != len(curve.y):
        raise ValueError("a curve of uneven length")
    return curve


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
