"""TRIPOD+AI items 1 to 17 (title to ethics) as far as a run answers them."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from ...cohort.labs import MAX_SAMPLING_AGE_DAYS
from ...cohort.outcome import THRESHOLD_MONTHS
from ...evaluation.summary import model_title
from ...models.registry import MODELS
from ...records import LONG_PFS_FROM
from ..content import RunContent
from ..material.categories import acquisition_categories, person_categories
from ..wording import capitalised, counted, listed, minus, percent
from .facts import (
    CHARACTERISTICS,
    NO_EVALUATION,
    Answering,
    extra_inputs,
    inputs_in_words,
    left_out,
    left_to_authors,
    outcome_counts,
    pointing,
    sees,
    span,
    uses_images,
    within,
)
from .items import ItemAnswer

# --- title to objectives ----------------------------------------------------------------------------------------------


def _title(content: RunContent) -> ItemAnswer:
    models = counted(len(content.manifest.models), "model")
    return ItemAnswer(
        f"Development and internal validation of {models} that predict progression-free survival beyond one year after "
        "the first PRRT cycle.",
        "the target population and the title itself.",
    )


def _abstract(content: RunContent) -> ItemAnswer:
    where = pointing(content, "brief", "; the results in a few sentences stand under “In brief”")
    return ItemAnswer(authors=f"the abstract{where}.")


def _objectives(content: RunContent) -> ItemAnswer:
    return ItemAnswer(NO_EVALUATION, "the aims.")


# --- data and participants --------------------------------------------------------------------------------------------


def _data(content: RunContent) -> ItemAnswer:
    made = " Patients of this run were made by a computer." if content.manifest.synthetic else ""
    says = f"One cohort of {content.manifest.n_patients} patients for development and internal validation.{made}"
    return ItemAnswer(says, "the source, why it was chosen, and whom it represents.")


def _criteria(content: RunContent) -> ItemAnswer:
    reasons = [f"{one.reason} ({one.n})" for one in content.cohort.cohort.exclusions.excluded]
    return ItemAnswer(
        f"Patients were left out, each for the first reason that applied: {'; '.join(reasons)}. Where the "
        "table is silent on a reason, nobody was left out for it."
    )


def _treatments(content: RunContent) -> ItemAnswer:
    cycles = [p.characteristics.prrt_cycles for p in content.patients.values()]
    known = [number for number in cycles if number is not None]
    given = f", median {median(known):g} cycles ({min(known)} to {max(known)}, known for {len(known)})" if known else ""
    return ItemAnswer(
        f"PRRT{given}. The number of cycles is known only after treatment and is never an input.",
        "radiopharmaceutical and activity, other treatments before and beside PRRT.",
    )


def _preparation(content: RunContent) -> ItemAnswer:
    labs = "Blood values were brought to U/L and µg/L; implausible ones are refused."
    if not uses_images(content):
        return ItemAnswer(f"{labs} The same for every patient.")
    settings = content.manifest.preprocess
    low, high = (minus(f"{limit:g}") for limit in settings["hu_limits"])
    couch = "; the couch removed" if settings["remove_couch"] else ""
    shape = " × ".join(str(side) for side in settings["shape"])
    return ItemAnswer(
        "PET in SUVbw and CT in HU as the DICOM headers prove them, refused where they do not; CT clipped to "
        f"{low} to {high} HU{couch}; both averaged by area to one grid of {shape} voxels. {labs} The same steps for "
        "every patient; all means and deviations come from the training fold."
    )


# --- outcome and predictors -------------------------------------------------------------------------------------------


def _outcome(content: RunContent) -> ItemAnswer:
    return ItemAnswer(
        "Progression or death. Short PFS: within one calendar year of the first PRRT cycle, that day included (up to "
        f"{THRESHOLD_MONTHS:.1f} months where only months are known); long PFS: later. Horizon: one year.",
        "how and how often progression was assessed, and why this outcome.",
    )


def _choice_of_predictors(content: RunContent) -> ItemAnswer:
    extras = extra_inputs(content)
    further = f" Added for this run: {listed(extras)}." if extras else ""
    return ItemAnswer(
        f"Every input named beforehand enters; fitting selects none of them.{further}", "why these predictors."
    )


def _predictors(content: RunContent) -> ItemAnswer:
    pet = content.cohort.cohort.pet_interval
    when = []
    if uses_images(content) and pet.known and pet.median_days is not None:
        when.append(f"PET a median of {pet.median_days:g} days before the first cycle (known for {pet.known} patients)")
    if sees(content, "labs"):
        when.append(
            f"blood values from at most {MAX_SAMPLING_AGE_DAYS} days before the first cycle, checked where both dates "
            "are given"
        )
    told = f" {capitalised('; '.join(when))}." if when else ""
    return ItemAnswer(f"{inputs_in_words(content)}.{told}", "imaging protocols, assays, blinding.")


def _judged_predictors(content: RunContent) -> ItemAnswer:
    extras = extra_inputs(content)
    says = "Voxels and blood values enter as measured; no reader’s judgement is part of them."
    return ItemAnswer(says, f"whether that holds for {listed(extras)}." if extras else "")


def _sample_size(content: RunContent) -> ItemAnswer:
    short, long = outcome_counts(content)
    return ItemAnswer(
        f"{short + long} patients, {short} with short and {long} with long PFS. The software calculates no sample "
        "size.",
        "how the number came about, and whether it suffices.",
    )


def _missing_data(content: RunContent) -> ItemAnswer:
    patients = content.patients.values()
    counts = {name: sum(not known(one) for one in patients) for name, known in CHARACTERISTICS.items()}
    lacking = [f"{name} ({count})" for name, count in counts.items() if count]
    described = (
        f"Characteristics that only describe the cohort are unknown for some patients: {', '.join(lacking)}."
        if lacking
        else "No characteristic that describes the cohort is missing."
    )
    flow = content.cohort.cohort.exclusions
    excluded = sum(one.n for one in flow.excluded if one.criterion == "records_complete")
    incomplete = f" {counted(excluded, 'patient')} with incomplete records left out." if excluded else ""
    return ItemAnswer(
        "Every included patient has all inputs and the outcome; a row that lacks one is refused. Nothing was imputed."
        f"{incomplete} {described}"
    )


# --- analysis ---------------------------------------------------------------------------------------------------------


def _partitions(content: RunContent) -> ItemAnswer:
    manifest = content.manifest
    train = span([len(split.train) for split in content.store.splits])
    test = span([len(split.test) for split in content.store.splits])
    return ItemAnswer(
        f"{manifest.folds}-fold cross-validation in {counted(manifest.repeats, 'repeat')}, stratified by outcome, "
        f"drawn with seed {manifest.seed}: {train} patients for training, {test} held out. A patient is held out once "
        "a repeat and never on both sides. The partitions are kept in splits.json."
    )


def _handling(content: RunContent) -> ItemAnswer:
    preset = content.manifest.preset_record()
    parts = []
    for name, window, unit in (("SR-PET", preset.suv_window, "SUV"), ("CT", preset.hu_window, "HU")):
        if sees(content, name):
            limits = f"clamped to {minus(f'{window[0]:g} to {window[1]:g}')} {unit}" if window else "not clamped"
            parts.append(f"{name} {limits}, then standardised")
    if any(MODELS[name].ct_encoder == "pretrained" for name in content.manifest.models):
        parts.append("for a pretrained CT branch, CT scaled from a fixed window instead")
    if any(MODELS[name].uses_labs and MODELS[name].kind == "network" for name in content.manifest.models):
        parts.append(f"tabular inputs {'as log(1 + value), ' if preset.log_labs else ''}standardised for the networks")
    if any(MODELS[name].kind == "forest" for name in content.manifest.models):
        parts.append("tabular inputs as measured for the random forest")
    return ItemAnswer(f"{capitalised('; '.join(parts))}. Means and deviations come from a fold’s training patients.")


def _building(content: RunContent) -> ItemAnswer:
    manifest = content.manifest
    networks = any(MODELS[name].kind == "network" for name in manifest.models)
    early = networks and bool(manifest.preset_record().patience)
    aside = "Early stopping used patients set aside from the training fold. " if early else ""
    return ItemAnswer(
        f"{listed([model_title(name) for name in manifest.models])}"
        f"{pointing(content, 'pipeline', '; layers, sizes and weights under “The models”')}"
        f"{pointing(content, 'provenance', '; every setting under “How it was made”')}. All settings are those of the "
        f"preset “{manifest.preset}”; fitting searches for none. {aside}Internal validation: the cross-validation of "
        "item 12a.",
        "why these types of model, and whether other settings were tried.",
    )


def _clusters(content: RunContent) -> ItemAnswer:
    return ItemAnswer(within(content, acquisition_categories(content)), "centres, which are not in the data.")


def _measures(content: RunContent) -> ItemAnswer:
    return ItemAnswer(
        "AUROC, AUPRC and accuracy at a probability of "
        f"{LONG_PFS_FROM:g} (mean over folds, mean and standard error over repeats, 95 % interval from resampled "
        "patients); ROC and precision–recall curves; Brier score, calibration curve, intercept and slope; net benefit; "
        "Kaplan–Meier curves by predicted group with the log-rank test. Models were compared by a paired permutation "
        "test over patients with Holm’s correction, second by the corrected resampled t-test; words of evidence "
        "need both.",
        left_out(content, "results", "survival", "probabilities", "comparison"),
    )


def _updating(content: RunContent) -> ItemAnswer:
    return ItemAnswer(f"{NO_EVALUATION} No model was updated.", applies=False)


def _calculation(content: RunContent) -> ItemAnswer:
    return ItemAnswer(
        f"{NO_EVALUATION} All predictions in this report are out of fold: made by a fit that did not see the patient.",
        applies=False,
    )


# --- imbalance to ethics ----------------------------------------------------------------------------------------------


def _imbalance(content: RunContent) -> ItemAnswer:
    preset = content.manifest.preset_record()
    short, long = outcome_counts(content)
    treated = (
        "No class was weighted"
        if preset.class_weighting == "none"
        else "The networks’ loss was weighted to balance the classes"
    )
    after = "; logits were recalibrated on inner out-of-fold predictions" if preset.recalibrate else ""
    return ItemAnswer(f"Long PFS in {percent(long, short + long)}. {treated}, and no patient was resampled{after}.")


def _fairness(content: RunContent) -> ItemAnswer:
    says = f"Fitting treats no group differently. {within(content, person_categories(content))}".strip()
    return ItemAnswer(says, "whether this suffices, and further groups.")


def _output(content: RunContent) -> ItemAnswer:
    return ItemAnswer(
        f"The probability of long PFS; group “long” from {LONG_PFS_FROM:g} on. The threshold was fixed beforehand, not "
        "fitted."
    )


def _differences(content: RunContent) -> ItemAnswer:
    return ItemAnswer(
        "Training and held-out patients come from one cohort, with the same criteria, outcome and inputs; they differ "
        "by the random draw alone."
    )


ANSWERS: Mapping[str, Answering] = {
    "1": _title,
    "2": _abstract,
    "3a": left_to_authors("setting, rationale, existing models."),
    "3b": left_to_authors("target population, purpose, users."),
    "3c": left_to_authors("known health inequalities."),
    "4": _objectives,
    "5a": _data,
    "5b": left_to_authors("the dates; a run keeps none, so that it holds no identity."),
    "6a": left_to_authors("setting and centres, which are not in the data."),
    "6b": _criteria,
    "6c": _treatments,
    "7": _preparation,
    "8a": _outcome,
    "8b": left_to_authors("who judged progression."),
    "8c": left_to_authors("whether they were blinded to the predictors."),
    "9a": _choice_of_predictors,
    "9b": _predictors,
    "9c": _judged_predictors,
    "10": _sample_size,
    "11": _missing_data,
    "12a": _partitions,
    "12b": _handling,
    "12c": _building,
    "12d": _clusters,
    "12e": _measures,
    "12f": _updating,
    "12g": _calculation,
    "13": _imbalance,
    "14": _fairness,
    "15": _output,
    "16": _differences,
    "17": left_to_authors("committee, consent or its waiver."),
}
"""By item."""
