"""What the saliency gallery shows: which patients, their prepared images, and where each network looked in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...cohort.table import read_cohort
from ...errors import Code, CohortRefused, ModelRefused
from ...evaluation.summary import model_title
from ...evaluation.survival import predicted_groups
from ...explain.methods import SaliencyMethod
from ...imaging.cache import PreparedCohort, prepare_cohort, reopen_cohort
from ...models.registry import MODELS
from ...records import LABS, PreparedStudy

if TYPE_CHECKING:
    from ...explain.saliency import Attributions, SaliencyMaps
    from ...explain.sanity import RandomisationCheck
    from ...models.fitted import FittedNetwork
    from ..content import RunContent

    _Given = tuple[FittedNetwork, NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]

IMAGE_TITLES: Mapping[str, str] = {"pet": "PET", "ct": "CT"}

CHECKED_NETWORKS: Mapping[str, int] = {"none": 2, "scratch": 2, "pretrained": 1}
"""Networks a patient whose layers are made random, by how the CT branch starts: the check costs as much as seven maps,
and a pretrained encoder ten times as much as a small one."""


@dataclass(frozen=True)
class Chosen:
    """A patient of the gallery, and by what rule he is in it."""

    code: str
    reason: str


@dataclass(frozen=True, eq=False)
class Looked:
    """Where one model's networks looked in one patient; all of them had that patient held out.

    Attributes
    ----------
    model : str
    probability : float
        Mean out-of-fold probability of long PFS.
    networks : int
        How many, one a finished repeat.
    silent : int
        Those of them without any gradient.
    magnitudes : mapping of method to Attributions
        Means over the networks, unscaled.
    maps : mapping of method to SaliencyMaps
        The same in [0, 1].
    checks : tuple of RandomisationCheck
    agreement : mapping of {"pet", "ct"} to float
        Mean rank correlation of every two networks' gradients over the patient's tissue.
    """

    model: str
    probability: float
    networks: int
    silent: int
    magnitudes: Mapping[SaliencyMethod, Attributions]
    maps: Mapping[SaliencyMethod, SaliencyMaps]
    checks: tuple[RandomisationCheck, ...]
    agreement: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class GalleryPatient:
    """One patient of the gallery.

    Attributes
    ----------
    looked : tuple of Looked
        One a model, in the gallery's order.
    """

    chosen: Chosen
    study: PreparedStudy
    looked: tuple[Looked, ...]


def gallery_models(content: RunContent) -> tuple[str, ...]:
    """The compared pair as far as it sees images; else the two networks with the most inputs; empty without any."""
    pair = [name for name in content.pair or () if name in content.names and MODELS[name].uses_images]
    networks = [name for name in content.names if MODELS[name].uses_images]
    return tuple(pair) or tuple(networks[-2:][::-1])


def choose_patients(content: RunContent, models: Sequence[str]) -> tuple[tuple[Chosen, ...], tuple[str, ...]]:
    """The patients whom the reader named, else three by a fixed rule: never the prettiest.

    Returns
    -------
    tuple of Chosen
        Only patients whom every model has held out.
    tuple of str
        Study codes that were named, and that some model has not held out yet.
    """
    first = predicted_groups(content.predictions[models[0]])
    held = set(first.codes)
    for name in models[1:]:
        held &= set(predicted_groups(content.predictions[name]).codes)
    if content.request.patients:
        named = tuple(dict.fromkeys(content.request.patients))
        return tuple(Chosen(code, "named by the reader") for code in named if code in held), tuple(
            code for code in named if code not in held
        )
    ranked = sorted(
        (probability, code)
        for probability, code in zip(first.mean_probability.tolist(), first.codes, strict=True)
        if code in held
    )
    rule = {len(ranked) - 1: "highest", len(ranked) // 2: "middle", 0: "lowest"} if ranked else {}
    return tuple(Chosen(ranked[place][1], f"{words} probability") for place, words in rule.items()), ()


def prepared_images(content: RunContent, codes: Sequence[str]) -> PreparedCohort:
    """The prepared studies of the named patients, from the cache or, with ``--cohort``, made once more.

    Returns
    -------
    PreparedCohort
        Without those who are neither in the cache nor in a cohort table that the reader gave.

    Raises
    ------
    CohortRefused
        ``RUN_MISMATCH``: the table lacks a patient of the run, or holds other images than the run was trained on.
    """
    facts = {image.code: image for image in content.cohort.images}
    keys = {code: facts[code].content_key for code in codes if code in facts}
    config = content.manifest.preprocess_record()
    found = reopen_cohort(keys, config)
    absent = [code for code in keys if code not in found.codes]
    if not absent or content.request.cohort is None:
        return found
    table = {patient.code: patient for patient in read_cohort(content.request.cohort).patients}
    if any(code not in table for code in absent):
        raise _other_cohort(content, "lacks patients of the run")
    made = prepare_cohort([table[code] for code in absent], config, progress=content.progress)
    if any(made.keys[code] != keys[code] for code in absent):
        raise _other_cohort(
            content, "holds other images than the run was trained on, or this version reads them otherwise"
        )
    return PreparedCohort(tuple(keys), config, made.folder, keys)


def _other_cohort(content: RunContent, what: str) -> CohortRefused:
    name = content.request.cohort.name if content.request.cohort else ""
    return CohortRefused(
        Code.RUN_MISMATCH,
        f"The cohort table {what}.",
        where=name,
        remedy="Name the cohort.csv that the run was trained on, with its images and the study key of that time.",
    )


@dataclass(frozen=True, eq=False)
class _Asked:
    """What a model's networks said of one patient, network by network."""

    parts: Mapping[SaliencyMethod, list[Attributions]]
    checks: list[RandomisationCheck]


def gather_gallery(
    content: RunContent, chosen: Sequence[Chosen], images: PreparedCohort, models: Sequence[str]
) -> tuple[tuple[GalleryPatient, ...], tuple[str, ...]]:
    """Ask every network that had a chosen patient held out where it looked; each is loaded once.

    Returns
    -------
    tuple of GalleryPatient
    tuple of str
        What could not be read, in sentences.
    """
    studies = {one.code: images.study(one.code) for one in chosen}
    answers, damaged = _ask_networks(content, studies, models)
    probability = {name: _probabilities(content, name) for name in models}
    patients = tuple(
        GalleryPatient(
            one,
            studies[one.code],
            tuple(
                _looked(name, probability[name][one.code], studies[one.code], answers[name, one.code])
                for name in models
                if (name, one.code) in answers
            ),
        )
        for one in chosen
    )
    return tuple(patient for patient in patients if patient.looked), damaged


def _ask_networks(
    content: RunContent, studies: Mapping[str, PreparedStudy], models: Sequence[str]
) -> tuple[dict[tuple[str, str], _Asked], tuple[str, ...]]:
    from ...models.fitted import FittedNetwork

    tabular = _tabular(content, tuple(studies))
    answers: dict[tuple[str, str], _Asked] = {}
    damaged: list[str] = []
    folds = [fold for name in models for fold in content.predictions[name] if set(fold.codes) & set(studies)]
    done, total = 0, sum(len(set(fold.codes) & set(studies)) for fold in folds)
    for fold in folds:
        codes = [code for code in fold.codes if code in studies]
        try:
            member = content.store.load_fold(fold.model, fold.repeat, fold.fold)
        except ModelRefused as refusal:
            damaged.append(f"{refusal.message} {refusal.remedy}".strip())
            member = None
        for code in codes:
            content.progress("saliency", done, total, model_title(fold.model))
            done += 1
            if isinstance(member, FittedNetwork):
                given = (member, studies[code].pet, studies[code].ct, tabular[code])
                own = answers.setdefault(
                    (fold.model, code), _Asked({name: [] for name in content.request.saliency}, [])
                )
                _ask(own, given, fold.repeat)
    content.progress("saliency", total, total)
    return answers, tuple(dict.fromkeys(damaged))


def _ask(own: _Asked, given: _Given, seed: int) -> None:
    """Add what one network says of one patient."""
    from ...explain.saliency import attribute
    from ...explain.sanity import randomisation_check

    for method, parts in own.parts.items():
        parts.append(attribute(*given, method=method, seed=seed))
    if len(own.checks) < CHECKED_NETWORKS[given[0].spec.ct_encoder]:
        own.checks.append(randomisation_check(*given, seed=seed))


def _looked(model: str, probability: float, study: PreparedStudy, asked: _Asked) -> Looked:
    from ...explain.saliency import ensemble_saliency, mean_magnitudes
    from ...explain.sanity import TISSUE_HU, agreement

    tissue = study.ct > TISSUE_HU
    first = next(iter(asked.parts.values()))
    maps = {
        "pet": [part.pet for part in first if part.pet is not None],
        "ct": [part.ct for part in first if part.ct is not None],
    }
    return Looked(
        model=model,
        probability=probability,
        networks=len(first),
        silent=sum(not _any(part) for part in first),
        magnitudes={method: mean_magnitudes(parts) for method, parts in asked.parts.items()},
        maps={method: ensemble_saliency(parts) for method, parts in asked.parts.items()},
        checks=tuple(asked.checks),
        agreement={image: agreement(found, tissue) for image, found in maps.items()},
    )


def _tabular(content: RunContent, codes: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    extras = tuple(name for name in content.manifest.feature_names if name not in LABS)
    return {code: np.array(content.patients[code].tabular(extras), dtype=np.float64) for code in codes}


def _probabilities(content: RunContent, model: str) -> dict[str, float]:
    groups = predicted_groups(content.predictions[model])
    return dict(zip(groups.codes, groups.mean_probability.tolist(), strict=True))


def _any(part: Attributions) -> bool:
    return any(one is not None and bool(np.any(one)) for one in (part.pet, part.ct))
