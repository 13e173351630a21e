"""Which organs the saliency of the gallery's patients lies in, where the cohort table names their segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import PRRTError
from ..evaluation.summary import model_title
from ..explain.organs import OrganMean, OrganSaliency, mean_over_patients, saliency_by_organ
from ..imaging.cache import PreparedCohort
from .chapter import Numbers, Plate, Words
from .figures.organs import ROW_INCHES, OrganProfile, organ_shares_chart
from .gallery import IMAGE_TITLES, GalleryPatient, Looked
from .organs import organ_maps
from .style import new_figure
from .wording import counted, defined, listed, printed

if TYPE_CHECKING:
    from .content import RunContent


def organ_blocks(
    content: RunContent, images: PreparedCohort, shown: Sequence[GalleryPatient], models: Sequence[str]
) -> tuple[tuple[Plate | Words, ...], tuple[str, ...]]:
    """A figure for each image that a model sees, or how to get one; and in sentences what could not be read."""
    if content.request.cohort is None:
        return (
            Words(
                (
                    "Saliency by organ is shown here when the column organs of cohort.csv names segmentations of these "
                    "patients and the report is made with --cohort cohort.csv.",
                )
            ),
        ), ()
    maps, missing = organ_maps(content, images), []
    labelled = [patient for patient in shown if patient.chosen.code in maps]
    if not labelled:
        return (), ("No patient of the gallery has a segmentation in the column organs of cohort.csv.",)
    divided: dict[tuple[str, str], list[tuple[OrganSaliency, ...]]] = {}
    for patient in labelled:
        try:
            shares = maps[patient.chosen.code]
        except PRRTError as problem:
            missing.append(f"The organs of {patient.chosen.code}: {problem.message} {problem.remedy}".strip())
            continue
        for looked in patient.looked:
            for image, values in _magnitudes(looked).items():
                divided.setdefault((image, looked.model), []).append(
                    saliency_by_organ(values, shares, patient.study.pet)
                )
    plates = []
    for image in IMAGE_TITLES:
        profiles = [
            OrganProfile(name, mean_over_patients(divided[image, name])) for name in models if (image, name) in divided
        ]
        if profiles:
            plates.append(_plate(image, profiles, len(divided[image, profiles[0].model])))
    return tuple(plates), tuple(missing)


def _magnitudes(looked: Looked) -> dict[str, NDArray[np.float32]]:
    first = next(iter(looked.magnitudes.values()))
    found = {"pet": first.pet, "ct": first.ct}
    return {image: values for image, values in found.items() if values is not None and values.any()}


def _plate(image: str, profiles: Sequence[OrganProfile], patients: int) -> Plate:
    organs = [organ for organ in profiles[0].organs if organ.volume_share > 0]
    figure = new_figure(8.2, 1.5 + ROW_INCHES * len(organs))
    organ_shares_chart(figure.subplots(), profiles)
    told = " ".join(_in_words(profile) for profile in profiles)
    who = f"the {counted(patients, 'patient')} of the gallery who have a segmentation"
    return Plate(
        key=f"saliency-organs-{image}",
        title=f"Saliency by organ: {IMAGE_TITLES[image]}",
        alt=f"Share of the gradient magnitude on the {IMAGE_TITLES[image]} by organ, beside the organ's share of the "
        f"volume and of the tracer uptake. {told}",
        text=f"Share of the summed gradient magnitude by organ, mean over {who}. An organ that lies right of its "
        "volume draws more than its size explains; the factor is printed beside it. So few patients describe "
        f"themselves and not the cohort. {told}",
        figure=figure,
        numbers=Numbers(
            ("model", "organ", "patients", "saliency_share", "volume_share", "uptake_share", "enrichment"),
            tuple(
                (profile.model, organ.name, organ.patients, defined(organ.saliency_share),
                 defined(organ.volume_share), defined(organ.uptake_share), defined(organ.enrichment))
                for profile in profiles
                for organ in profile.organs
            ),
        ),
    )  # fmt: skip


def _in_words(profile: OrganProfile) -> str:
    first: Sequence[OrganMean] = profile.organs[:3]
    most = listed([f"{organ.name} ({printed(100 * organ.saliency_share, '.0f')} %)" for organ in first])
    return f"{model_title(profile.model)} looks most at {most}."
