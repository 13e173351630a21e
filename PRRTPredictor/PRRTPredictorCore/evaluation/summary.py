"""All numbers of a run in one record, in ``metrics.json``, ``curves.json``, ``significance.json``, and as Table 2.

Works on whatever folds are finished. The same predictions give the same bytes, on every system: the bootstrap and the
permutations are seeded, and figures are rounded to six decimals before they are written.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Code, ModelRefused
from ..files import to_json_bytes, write_together
from ..models.registry import MODELS
from ..records import FoldPredictions
from .curves import curves_content
from .discrimination import METRICS, Discrimination, MetricSummary, discriminate
from .discrimination import prevalence_long as prevalence_of
from .families import PAPER, compare_families
from .resampling import RESAMPLES, patient_codes
from .significance import (
    PERMUTATIONS,
    PRIMARY,
    SECONDARY,
    Significance,
    compare_planned,
)

METRICS_NAME = "metrics.json"
CURVES_NAME = "curves.json"
SIGNIFICANCE_NAME = "significance.json"

STAMP = "metrics_sha256"
"""The SHA-256 of the ``metrics.json`` that ``curves.json`` and ``significance.json`` were written with: a kill can fall
between the files, and whoever reads them can tell."""


@dataclass(frozen=True)
class RunSummary:
    """The evaluation of a run, finished or not.

    Attributes
    ----------
    models : tuple of Discrimination
        Of every model with at least one finished fold, in the registry's order.
    asked : tuple of str
        The models that the run was asked to fit.
    folds, repeats : int
        The protocol's; ``folds * repeats`` fits a model make it complete.
    prevalence_long : float
        Share of patients with long PFS: the AUPRC of a model without any skill.
    patients : int
        Distinct patients with at least one out-of-fold prediction.
    """

    models: tuple[Discrimination, ...]
    asked: tuple[str, ...]
    folds: int
    repeats: int
    prevalence_long: float
    patients: int
    significance: Significance

    @property
    def missing_folds(self) -> Mapping[str, int]:
        """How many fits are still to be done, by model; empty when the run is complete."""
        finished = {model.model: len(model.folds) for model in self.models}
        whole = self.folds * self.repeats
        return {name: whole - finished.get(name, 0) for name in self.asked if finished.get(name, 0) < whole}


def summarise_run(run: Path) -> RunSummary:
    """Evaluate the finished folds of a run folder; write ``metrics.json``, ``curves.json`` and ``significance.json``.

    Raises
    ------
    ModelRefused
        When the folder is no run, or ``RUN_INCOMPLETE`` when no fold of it is finished.
    RunFailed
        ``RUN_MISMATCH`` when folds contradict each other, ``OUTPUT`` when the folder cannot be written, ``RUN_BUSY``
        when another process evaluates it for minutes.
    """
    from ..training.lock import results_lock
    from ..training.store import RunStore

    store = RunStore(run)
    manifest = store.manifest
    with results_lock(run):  # from reading to writing: what was read earlier never replaces what was read later
        predictions = {name: store.predictions(name) for name in manifest.models}
        summary = summarise(predictions, manifest.folds, manifest.repeats)
        metrics = to_json_bytes(metrics_content(summary))
        stamp = {STAMP: hashlib.sha256(metrics).hexdigest()}
        files = {
            METRICS_NAME: metrics,
            CURVES_NAME: to_json_bytes({**curves_content(predictions), **stamp}),
            SIGNIFICANCE_NAME: to_json_bytes({**significance_content(summary), **stamp}),
        }
        write_together(run, files)
    return summary


def summarise(
    predictions: Mapping[str, Sequence[FoldPredictions]],
    folds: int,
    repeats: int,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> RunSummary:
    """Evaluate out-of-fold predictions in memory.

    Parameters
    ----------
    predictions : mapping of str to sequence of FoldPredictions
        By model name; an empty sequence where nothing is finished yet.
    folds, repeats : int
        Of the protocol.
    resamples, permutations, seed : int
        Of the bootstrap and the permutation test.

    Raises
    ------
    ModelRefused, RunFailed
        As :func:`summarise_run`.
    """
    order = {name: place for place, name in enumerate(MODELS)}
    asked = tuple(sorted(predictions, key=lambda name: order.get(name, len(order))))
    everything = [fold for name in asked for fold in predictions[name]]
    if not everything:
        raise ModelRefused(
            Code.RUN_INCOMPLETE,
            "This run has no finished fold yet.",
            remedy="Run the `prrt train` command again; it resumes and keeps every finished fold.",
        )
    scores = {name: discriminate(predictions[name], resamples, seed) for name in asked if predictions[name]}
    return RunSummary(
        models=tuple(scores.values()),
        asked=asked,
        folds=folds,
        repeats=repeats,
        prevalence_long=prevalence_of(everything),
        patients=len(patient_codes(everything)),
        significance=Significance(
            paired=compare_planned(predictions, 1.0 / (folds - 1), permutations=permutations, seed=seed),
            families=compare_families(scores),
        ),
    )


# --- files ------------------------------------------------------------------------------------------------------------


def metrics_content(summary: RunSummary) -> dict[str, Any]:
    """The content of ``metrics.json``, as the architecture fixes it; null where a figure is undefined."""
    models = {
        model.model: {
            **{metric: _metric_content(model.metric(metric)) for metric in METRICS},
            "collapsed_folds": model.collapsed_folds,
        }
        for model in summary.models
    }
    return {"models": models, "prevalence_long": _rounded(summary.prevalence_long)}


def significance_content(summary: RunSummary) -> dict[str, Any]:
    """The content of ``significance.json``: the three tests, each under its label."""
    paired, families = summary.significance.paired, summary.significance.families
    return {
        "primary": {
            "label": PRIMARY,
            "statistic": "difference of the mean-over-folds AUROC",
            "correction": "Holm",
            "comparisons": [
                {
                    "model": test.model,
                    "reference": test.reference,
                    "folds": test.folds,
                    "auroc_difference": _rounded(test.difference),
                    "permutations": test.permutations,
                    "p": _rounded(test.p_permutation),
                    "p_holm": _rounded(test.p_holm),
                }
                for test in paired
            ],
        },
        "secondary": {
            "label": SECONDARY,
            "comparisons": [
                {
                    "model": test.model,
                    "reference": test.reference,
                    "folds": test.folds,
                    "t": _rounded(test.t_corrected),
                    "p": _rounded(test.p_corrected_t),
                }
                for test in paired
            ],
        },
        "paper_protocol": {
            "label": PAPER,
            "caution": "Takes repeated folds for independent; calls differences far too often on null data.",
            "correction": "Bonferroni, two comparisons a metric",
            "comparisons": [
                {
                    "metric": test.metric,
                    "family": test.family,
                    "reference": test.reference,
                    "models": list(test.models),
                    "reference_models": list(test.reference_models),
                    "u": _rounded(test.u),
                    "p": _significant(test.p),
                    "p_bonferroni": _significant(test.p_bonferroni),
                    "cliffs_delta": _rounded(test.cliffs_delta),
                    "effect": test.effect,
                }
                for test in families
            ],
        },
    }


def _metric_content(metric: MetricSummary) -> dict[str, Any]:
    return {
        "mean": _rounded(metric.mean),
        "se": _rounded(metric.se),
        "per_repeat": [_rounded(value) for value in metric.per_repeat],
        "ci95": [_rounded(value) for value in metric.ci95],
    }


def _rounded(value: float) -> float | None:
    # Six decimals: beyond them, sums differ between processors.
    return round(value, 6) + 0.0 if math.isfinite(value) else None


def _significant(p: float) -> float | None:
    return float(f"{p:.4g}") if math.isfinite(p) else None


# --- Table 2 ----------------------------------------------------------------------------------------------------------


def model_title(name: str) -> str:
    """The model's title in tables and figures; its name when the registry does not know it."""
    return MODELS[name].title if name in MODELS else name


def format_table_two(summary: RunSummary) -> str:
    """Lay the results out for a terminal, in the manner of the paper's Table 2.

    Returns
    -------
    str
        Several lines, at most 100 characters wide, without a final newline.
    """
    header = ("Model", "AUROC ± SE", "[95 % interval]", "AUPRC ± SE", "Accuracy ± SE", "Collapsed")
    rows = [
        (
            model_title(model.model),
            mean_and_error(model.auroc),
            interval(model.auroc.ci95),
            mean_and_error(model.auprc),
            mean_and_error(model.accuracy),
            f"{model.collapsed_folds}/{len(model.folds)}",
        )
        for model in summary.models
    ]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    lines.insert(1, "─" * max(len(line) for line in lines))
    done = sum(len(model.folds) for model in summary.models)
    lines += [
        lines[1],
        f"{summary.patients} patients, {summary.folds} folds × {summary.repeats} "
        f"{'repeat' if summary.repeats == 1 else 'repeats'}; "
        f"long PFS in {100 * summary.prevalence_long:.0f} %, the AUPRC of a model without skill.",
        "± standard error over repeats (as in the paper); the interval resamples patients.",
    ]
    if summary.missing_folds:
        whole = len(summary.asked) * summary.folds * summary.repeats
        lines.append(f"Not finished: {done} of {whole} fits are done; the same `prrt train` command resumes.")
    return "\n".join(lines)


def mean_and_error(metric: MetricSummary) -> str:
    """Print a mean with its standard error: "0.68 ± 0.01"; without the error when there is only one repeat."""
    if not math.isfinite(metric.mean):
        return "–"
    return f"{metric.mean:.2f} ± {metric.se:.2f}" if math.isfinite(metric.se) else f"{metric.mean:.2f}"


def interval(bounds: tuple[float, float]) -> str:
    """Print an interval: "[0.58, 0.77]"; a dash when it could not be estimated."""
    return f"[{bounds[0]:.2f}, {bounds[1]:.2f}]" if math.isfinite(bounds[0]) else "–"
