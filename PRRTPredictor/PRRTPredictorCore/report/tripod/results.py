"""TRIPOD+AI items 18 to 27 (open science to usability) as far as a run answers them."""

from __future__ import annotations

from collections.abc import Mapping

from ... import __version__
from ...evaluation.summary import model_title
from ...evaluation.survival import survival_of
from ...models.registry import MODELS
from ..content import RunContent
from ..material.categories import acquisition_categories
from ..wording import counted, listed, printed, printed_interval, printed_months
from .facts import NO_EVALUATION, Answering, left_out, left_to_authors, outcome_counts, pointing, span, within
from .items import ItemAnswer


def _data_sharing(content: RunContent) -> ItemAnswer:
    return ItemAnswer(
        f"The data have the SHA-256 {content.manifest.data_sha256}. The run folder holds study codes, no names, no "
        "patient’s dates and no images.",
        "whether and how the data can be had.",
    )


def _code_sharing(content: RunContent) -> ItemAnswer:
    versions = ", ".join(f"{name} {version}" for name, version in content.manifest.versions.items())
    return ItemAnswer(
        f"Fitted with {versions}; reported with PRRTPredictor {__version__}.", "where this version can be had."
    )


def _flow(content: RunContent) -> ItemAnswer:
    flow = content.cohort.cohort.exclusions
    short, long = outcome_counts(content)
    excluded = sum(one.n for one in flow.excluded)
    curve = survival_of([patient.outcome for patient in content.patients.values()])
    quartiles = [printed_months(each) for each in (curve.lower_quartile_months, curve.upper_quartile_months)]
    return ItemAnswer(
        f"{flow.screened} screened, {excluded} left out, {flow.included} included: {short} with short and {long} with "
        f"long PFS; median PFS {printed_months(curve.median_months)} (quartiles {listed(quartiles)}). Flow chart "
        "under “Patients”.",
        left_out(content, "patients"),
    )


def _characteristics(content: RunContent) -> ItemAnswer:
    return ItemAnswer(
        "Table 1 under “Patients”: overall and by outcome, with missing values, scanners and contrast.",
        left_out(content, "patients"),
    )


def _no_comparison(content: RunContent) -> ItemAnswer:
    return ItemAnswer(NO_EVALUATION, applies=False)


def _development(content: RunContent) -> ItemAnswer:
    manifest, summary = content.manifest, content.summary
    done = sum(len(model.folds) for model in summary.models)
    held_out = [(fold.patients, fold.long_patients) for model in summary.models for fold in model.folds]
    patients, long = zip(*held_out, strict=True)
    aside = manifest.preset_record().inner_validation
    networks = any(MODELS[name].kind == "network" for name in manifest.models)
    tuning = f", {100 * aside:.0f} % of them set aside for early stopping of the networks" if aside and networks else ""
    train = span([len(split.train) for split in content.store.splits])
    return ItemAnswer(
        f"{done} of {counted(manifest.fits, 'fit')} finished. A fit saw {train} patients{tuning}, and was evaluated on "
        f"{span(patients)} others, {span(long)} of them with long PFS."
    )


def _specification(content: RunContent) -> ItemAnswer:
    return ItemAnswer(
        "The run folder holds the weights and the normalisation of every fit. `prrt fit` packs the fits of one model "
        "as a MONAI bundle with a model card and SHA-256, which `prrt predict` and `prrt evaluate` apply.",
        "where it can be had, and under which terms.",
    )


def _performance(content: RunContent) -> ItemAnswer:
    told = [
        f"{model_title(model.model)} AUROC {printed(model.auroc.mean)} {printed_interval(model.auroc.ci95)}, "
        f"AUPRC {printed(model.auprc.mean)} {printed_interval(model.auprc.ci95)}"
        for model in content.summary.models
    ]
    missing = content.summary.missing_folds
    unfinished = f"the rest of the run, {counted(sum(missing.values()), 'fit')} not finished yet." if missing else ""
    return ItemAnswer(
        f"With 95 % intervals: {'; '.join(told)}. Curves, calibration and subgroups stand in chapters of their own.",
        unfinished or left_out(content, "results", "probabilities", "subgroups"),
    )


def _heterogeneity(content: RunContent) -> ItemAnswer:
    says = within(content, acquisition_categories(content))
    return ItemAnswer(
        f"{says} Differences with intervals stand beside." if says else "", "differences between centres."
    )


def _interpretation(content: RunContent) -> ItemAnswer:
    where = pointing(content, "brief", "; what the tests support stands in words under “In brief”")
    return ItemAnswer(authors=f"the interpretation{where}.")


def _limitations(content: RunContent) -> ItemAnswer:
    flow = content.cohort.cohort.exclusions
    censored = sum(one.n for one in flow.excluded if one.criterion == "event")
    known = [f"one cohort of {flow.included} patients, validated internally only"]
    if censored:
        known.append(f"{counted(censored, 'censored patient')} left out, which can bias the outcome")
    collapsed = sum(model.collapsed_folds for model in content.summary.models)
    if collapsed:
        known.append(f"{counted(collapsed, 'fit')} collapsed")
    if content.stopped:
        known.append(f"{counted(len(content.stopped), 'fit')} stopped early")
    if content.manifest.synthetic:
        known.append("patients made by a computer, who say nothing about people")
    return ItemAnswer(f"Known to the software: {'; '.join(known)}.", "all other limitations and what they do.")


def _poor_input(content: RunContent) -> ItemAnswer:
    return ItemAnswer(
        "Input whose units or geometry the files do not prove, and missing or implausible blood values, are refused "
        "with a remedy; values, uptake or fields of view outside of the training patients’ range carry a warning."
    )


def _users(content: RunContent) -> ItemAnswer:
    return ItemAnswer(
        "Users choose the PET and CT series and enter the blood values with their units. Research use only.",
        "who may use it, with what training.",
    )


ANSWERS: Mapping[str, Answering] = {
    "18a": left_to_authors("funding."),
    "18b": left_to_authors("conflicts of interest."),
    "18c": left_to_authors("the protocol, or that there was none."),
    "18d": left_to_authors("the registration, or that there was none."),
    "18e": _data_sharing,
    "18f": _code_sharing,
    "19": left_to_authors("involvement of patients and the public, or that there was none."),
    "20a": _flow,
    "20b": _characteristics,
    "20c": _no_comparison,
    "21": _development,
    "22": _specification,
    "23a": _performance,
    "23b": _heterogeneity,
    "24": _no_comparison,
    "25": _interpretation,
    "26": _limitations,
    "27a": _poor_input,
    "27b": _users,
    "27c": left_to_authors("next steps; `prrt evaluate` scores a packed model on another cohort."),
}
"""By item."""
