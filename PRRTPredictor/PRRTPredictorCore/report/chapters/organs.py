"""Saliency by organ over many held-out patients, as blocks for the chapter on saliency."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelRefused, PRRTError
from ...evaluation.summary import model_title
from ...explain.organs import (
    LEAST_FOR_AN_INTERVAL,
    UNLABELLED,
    OrganMean,
    OrganSaliency,
    gather_small,
    mean_over_patients,
    saliency_by_organ,
)
from ...imaging.cache import PreparedCohort
from ...imaging.segmentation import OrganShares
from ...models.registry import model_spec
from ...records import LABS, Image
from ..chapter import Block, Folded, Numbers, Plate, Table, Words
from ..content import RunContent
from ..figures.organs import MOST_MODELS, ROW_INCHES, OrganProfile, organ_shares_chart
from ..material.gallery import IMAGE_TITLES, prepared_images
from ..material.organs import OrganMaps, organ_maps
from ..style import new_figure
from ..wording import counted, defined, listed, printed, printed_interval

_IMAGES: tuple[Image, ...] = ("pet", "ct")

MOST_PATIENTS = 16
MOST_PATIENTS_FROZEN = 8
"""A gradient through the large pretrained encoder takes many times as long."""
MOST_ORGANS = 14
NOTABLE_FACTOR = 1.2
"""From here on an organ is said to draw more than its size explains."""
_BATCH = 8

HEADING = "Saliency by organ"
_HOW_TO_GET_LABELS = (
    "How much of the saliency falls on each organ can be told where organs are labelled: name a segmentation of each "
    "patient (.seg.nrrd, as Slicer saves it, by TotalSegmentator for example) in the column organs of cohort.csv and "
    "repeat prrt report with --cohort cohort.csv."
)
_CAUTION = (
    "The organ labels of the cohort table divide the saliency of held-out patients among the organs: the magnitude of "
    "the gradient, summed over the networks that had the patient held out. A model voxel is about a centimetre wide "
    "and shared by the organs in it in proportion to their volume, so that a small organ gets some of its neighbours' "
    "saliency. Saliency says where the answer would change if the image changed, not that the network understood the "
    "disease there."
)
_INDIFFERENT = "no organ draws more saliency than its size explains."
_INTERVAL = " (thin line: 95 % interval over patients)"


@dataclass(frozen=True)
class OrganFinding:
    """What one model's saliency in one image leaves to each organ.

    Attributes
    ----------
    by_patient : mapping of str to tuple of OrganSaliency
        By study code.
    """

    model: str
    image: Image
    by_patient: Mapping[str, tuple[OrganSaliency, ...]]


def organ_blocks(content: RunContent, models: Sequence[str]) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """Figures and tables of the saliency by organ.

    Parameters
    ----------
    content : RunContent
        ``content.request.cohort`` names the table whose column ``organs`` names the labels.
    models : sequence of str
        Networks to be held side by side.

    Returns
    -------
    tuple of Block
        How to get labels, in words, where the reader gave none.
    tuple of str
        What is missing, in sentences.
    """
    maps = organ_maps(content)
    if not maps:
        return (Words((_HOW_TO_GET_LABELS,), heading=HEADING),), ()
    codes = _patients(content, maps, models)
    images = prepared_images(content, codes)
    codes = [code for code in codes if code in images.codes]
    shares, missing = _shares(content, maps, codes)
    findings = organ_findings(content, images, shares, models)
    blocks: list[Block] = []
    for image in _IMAGES:
        found = [finding for finding in findings if finding.image == image]
        if found:
            profiles = [OrganProfile(one.model, mean_over_patients(_legible(found, one))) for one in found]
            whom = _whom(content, maps, found[0])
            plate = _plate(image, found, profiles[:MOST_MODELS], whom)
            blocks += [plate, Folded("As a table", (_table(image, found),))]
    if not blocks:
        reason = "Saliency by organ: no patient has both organ labels and prepared images."
        return (), (
            *missing,
            f"{reason} Repeat prrt report with the cohort.csv of the run and its DICOM files in place.",
        )
    return (Words((_CAUTION,), heading=HEADING), *blocks), missing


def _patients(content: RunContent, maps: Collection[str], models: Sequence[str]) -> list[str]:
    """Whom the reader named, else the first by study code, which has nothing to do with the outcome.

    Only patients whom every model has held out.
    """
    held_out = set(maps)
    for model in models:
        held_out &= {code for fold in content.predictions[model] for code in fold.codes}
    if content.request.patients:
        return sorted(held_out & set(content.request.patients))
    frozen = any(model_spec(model).ct_encoder == "pretrained" for model in models)
    return sorted(held_out)[: MOST_PATIENTS_FROZEN if frozen else MOST_PATIENTS]


def _whom(content: RunContent, maps: Collection[str], finding: OrganFinding) -> str:
    """Which patients a figure is about, in words: the reader must know whether these are all."""
    shown = counted(len(finding.by_patient), "held-out patient")
    if content.request.patients:
        return f"{shown} whom the reader named"
    if len(finding.by_patient) == len(maps):
        return f"{shown}, all who have organ labels"
    return f"{shown}, the first by study code of the {len(maps)} who have organ labels"


def _shares(
    content: RunContent, maps: OrganMaps, codes: Sequence[str]
) -> tuple[dict[str, OrganShares], tuple[str, ...]]:
    """The organs of the patients whose labels can be used, and in words why the others' cannot."""
    shares, missing = {}, []
    for number, code in enumerate(codes):
        content.progress("saliency", number, len(codes), "organ labels")
        try:
            shares[code] = maps[code]
        except PRRTError as refusal:
            missing.append(f"Organ labels of {code}: {refusal.message} {refusal.remedy}")
    return shares, tuple(missing)


# --- computing --------------------------------------------------------------------------------------------------------


def organ_findings(
    content: RunContent, images: PreparedCohort, shares: Mapping[str, OrganShares], models: Sequence[str]
) -> tuple[OrganFinding, ...]:
    """Divide every network's mean out-of-fold gradient magnitude among the organs, for each image that it sees.

    Parameters
    ----------
    images : PreparedCohort
        Of all patients in ``shares``.
    shares : mapping of str to OrganShares
        By study code; patients whom every model has held out.
    models : sequence of str
        Networks.
    """
    findings = []
    for model in models:
        by_image: dict[Image, dict[str, tuple[OrganSaliency, ...]]] = {}
        for code, maps in _gradients(content, images, model, tuple(shares)).items():
            for image, magnitude in maps.items():
                pet = images.study(code).pet if image == "pet" else None
                by_image.setdefault(image, {})[code] = saliency_by_organ(magnitude, shares[code], pet)
        findings += [OrganFinding(model, image, by_patient) for image, by_patient in by_image.items()]
    return tuple(findings)


def _gradients(
    content: RunContent, images: PreparedCohort, model: str, codes: Sequence[str]
) -> dict[str, dict[Image, NDArray[np.float32]]]:
    """Sum of |∂ probability / ∂ voxel| of each patient over the networks that held the patient out."""
    import torch

    from ...models.answers import ask
    from ...models.fitted import FittedNetwork

    sums: dict[str, dict[Image, NDArray[np.float32]]] = {code: {} for code in codes}
    folds = content.predictions[model]
    extras = tuple(name for name in content.manifest.feature_names if name not in LABS)
    for number, fold in enumerate(folds):
        content.progress("saliency", number, len(folds), f"organs, {model_title(model)}")
        try:
            member = content.store.load_fold(model, fold.repeat, fold.fold)
        except ModelRefused:  # the gallery names the damaged fold; the other repeats' networks answer for its patients
            continue
        assert isinstance(member, FittedNetwork), "only networks have gradients"
        here = [code for code in fold.codes if code in sums]
        for batch in (here[start : start + _BATCH] for start in range(0, len(here), _BATCH)):
            studies = [images.study(code) for code in batch]
            inputs = (
                np.stack([study.pet for study in studies])[:, None],
                np.stack([study.ct for study in studies])[:, None],
                np.array([content.patients[code].tabular(extras) for code in batch], dtype=np.float32),
            )
            answers = ask(member, *(torch.from_numpy(array) for array in inputs))
            given: dict[Image, torch.Tensor | None] = {"pet": answers.pet_gradients, "ct": answers.ct_gradients}
            for image, found in given.items():
                if found is not None:
                    for code, magnitude in zip(batch, found.abs().float().cpu().numpy(), strict=True):
                        sums[code][image] = magnitude + sums[code].get(image, 0.0)
    return sums


# --- blocks -----------------------------------------------------------------------------------------------------------


def _legible(found: Sequence[OrganFinding], one: OrganFinding) -> tuple[tuple[OrganSaliency, ...], ...]:
    """The patients of one model with the organs that the figure has room for, the same for every model."""
    first = mean_over_patients(tuple(found[0].by_patient.values()))
    organs = [organ.name for organ in first if organ.name != UNLABELLED]
    patients = tuple(one.by_patient.values())
    if len(organs) <= MOST_ORGANS:
        return patients
    return gather_small(patients, organs[:MOST_ORGANS], f"{len(organs) - MOST_ORGANS} other organs")


def _plate(image: Image, found: Sequence[OrganFinding], profiles: Sequence[OrganProfile], whom: str) -> Plate:
    rows = sum(organ.volume_share > 0 for organ in profiles[0].organs)
    figure = new_figure(7.4, 1.3 + ROW_INCHES * rows)
    organ_shares_chart(figure.subplots(), profiles)
    patients, title = len(found[0].by_patient), IMAGE_TITLES[image]
    return Plate(
        key=f"organs-{image}",
        title=f"Where the networks look in the {title}, by organ",
        alt=f"Share of the saliency in the {title} by organ beside the organ’s share of the volume. "
        + " ".join(_in_words(profile) for profile in profiles),
        text=f"Each organ’s share of the saliency, as the mean over {whom}"
        f"{_INTERVAL if patients >= LEAST_FOR_AN_INTERVAL else ''}. The grey stroke is the share that the organ has of "
        "the volume: saliency spread evenly would lie on it, and the factor at the right divides the one share "
        "by the other. " + " ".join(_in_words(profile) for profile in profiles),
        figure=figure,
        numbers=_numbers(found),
    )


def _in_words(profile: OrganProfile) -> str:
    outside = next((organ for organ in profile.organs if organ.name == UNLABELLED), None)
    ranked = sorted(
        (organ for organ in profile.organs if organ.name != UNLABELLED and organ.enrichment >= NOTABLE_FACTOR),
        key=lambda organ: -organ.enrichment,
    )
    named = listed([f"{organ.title} (× {organ.enrichment:.1f})" for organ in ranked[:3]])
    sentence = f"{model_title(profile.model)}: " + (f"most for their size {named}." if named else _INDIFFERENT)
    if outside is not None and np.isfinite(outside.saliency_share):
        sentence += (
            f" {100 * outside.saliency_share:.0f} % of the saliency lies outside of every label, which is "
            f"{100 * outside.volume_share:.0f} % of the field of view."
        )
    return sentence


def _numbers(found: Sequence[OrganFinding]) -> Numbers:
    rows = [
        (one.model, organ.name, organ.patients, *map(defined, _figures(organ)))
        for one in found
        for organ in mean_over_patients(tuple(one.by_patient.values()))
    ]
    columns = ("model", "organ", "patients", "saliency_share", "ci95_low", "ci95_high", "volume_share", "uptake_share")
    return Numbers((*columns, "saliency_by_volume"), tuple(rows))


def _figures(organ: OrganMean) -> tuple[float, ...]:
    return organ.saliency_share, *organ.ci95, organ.volume_share, organ.uptake_share, organ.enrichment


def _table(image: Image, found: Sequence[OrganFinding]) -> Table:
    rows: list[tuple[str, ...]] = []
    for one in found:
        rows.append((model_title(one.model),))
        rows += [
            (
                organ.title,
                printed(100 * organ.saliency_share),
                printed_interval((100 * organ.ci95[0], 100 * organ.ci95[1])),
                printed(100 * organ.volume_share),
                printed(100 * organ.uptake_share),
                printed(organ.enrichment),
            )
            for organ in mean_over_patients(_legible(found, one))
        ]
    return Table(
        key=f"organs-{image}",
        title=f"Saliency in the {IMAGE_TITLES[image]} by organ",
        header=("organ", "saliency, %", "95 % interval", "volume, %", "uptake, %", "saliency ÷ volume"),
        rows=tuple(rows),
        note="Shares of the whole field of view, air included. Each interval holds for one organ; no test was made. "
        "The table’s CSV file gives the shares patient by patient.",
        numbers=_by_patient(found),
    )


def _by_patient(found: Sequence[OrganFinding]) -> Numbers:
    return Numbers(
        ("model", "patient", "organ", "saliency_share", "volume_share", "uptake_share", "saliency_by_volume"),
        tuple(
            (
                one.model,
                code,
                organ.name,
                defined(organ.saliency_share),
                defined(organ.volume_share),
                defined(organ.uptake_share),
                defined(organ.enrichment),
            )
            for one in found
            for code, organs in one.by_patient.items()
            for organ in organs
        ),
    )
