"""Where did the networks look? Saliency of chosen patients, and does it depend on what was learnt (paper, Fig. 9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...evaluation.summary import model_title
from ...explain.methods import METHOD_TITLES, METHOD_WORDS, SaliencyMethod
from ...records import LONG_PFS_FROM, RESEARCH_USE_NOTICE, CommonGrid
from ..chapter import Block, Cell, Chapter, Numbers, Plate, Table, Words
from ..content import RunContent
from ..figures.saliency import Layer, common_spot, patient_figure
from ..material.gallery import (
    IMAGE_TITLES,
    Chosen,
    GalleryPatient,
    Looked,
    choose_patients,
    gallery_models,
    gather_gallery,
    prepared_images,
)
from ..overlay import SALIENCY_THRESHOLD
from ..wording import capitalised, defined, listed, printed
from .organs import organ_blocks
from .saliency_checks import histogram_plates, randomisation_plate

KEY, TITLE = "saliency", "Where the networks looked"


def chapter(content: RunContent) -> Chapter | None:
    """Saliency, gradient histograms and the randomisation check of chosen patients; organ shares of many."""
    models = gallery_models(content)
    if not models:
        return None
    chosen, not_held_out = choose_patients(content, models)
    missing = [
        f"{code} was not held out by a finished fold of every model shown. Repeat the prrt train command to resume."
        for code in not_held_out
    ]
    histograms = histogram_plates(content, chosen, models)
    images = prepared_images(content, [one.code for one in chosen])
    absent = [one.code for one in chosen if one.code not in images.codes]
    if absent:
        missing.append(
            f"The prepared images of {listed(absent)} are no longer in the cache. "
            "Repeat prrt report with --cohort cohort.csv to prepare them again."
        )
    shown, damaged = gather_gallery(content, [one for one in chosen if one.code in images.codes], images, models)
    missing += damaged
    blocks: list[Block] = [Words(introduction(content, models, chosen))]
    if shown:
        blocks += [plate for patient in shown for plate in patient_plates(patient, content)]
        blocks.append(patient_table(shown, content))
    blocks += histograms
    if shown:
        blocks += [plate for plate in (randomisation_plate(content, shown, models),) if plate]
    by_organ, no_organs = organ_blocks(content, models)
    return Chapter(KEY, TITLE, (*blocks, *by_organ), (*missing, *no_organs))


# --- in words ---------------------------------------------------------------------------------------------------------


def introduction(content: RunContent, models: Sequence[str], chosen: Sequence[Chosen]) -> tuple[str, ...]:
    """What saliency is and is not, and whom the gallery shows."""
    methods = "; ".join(f"{METHOD_TITLES[method]}: {METHOD_WORDS[method]}" for method in content.request.saliency)
    rule = (
        "The patients are those whom the reader named."
        if content.request.patients
        else "The patients follow a fixed rule: the highest, the middle and the lowest mean out-of-fold probability of "
        f"{model_title(models[0])}, among those whom every model shown has held out."
    )
    return (
        "Saliency marks where a small change of the image would change the answer most. It does not mark disease, it "
        "does not say in which direction the answer would move, and it is no proof that a network looks at the right "
        "thing.",
        f"{methods}. Each map is the mean over the networks of all repeats that had the patient held out, so that no "
        "network is asked about a patient from whom it learnt, and is then scaled to run from 0 to 1; below "
        f"{SALIENCY_THRESHOLD} nothing is drawn, as in the paper. {rule if chosen else ''}".strip(),
        "All planes of a row pass through one spot (thin lines), where the mean of its maps is largest. R and L "
        "are the patient’s right and left, A and P front and back.",
    )


def group_word(long: bool) -> str:
    """The group in a word."""
    return "long" if long else "short"


def predicted_words(looked: Looked) -> str:
    """A model's answer about a patient: "0.71, long"."""
    return f"{looked.probability:.2f}, {group_word(looked.probability >= LONG_PFS_FROM)}"


# --- the patients -----------------------------------------------------------------------------------------------------


def patient_plates(patient: GalleryPatient, content: RunContent) -> tuple[Plate, ...]:
    """One picture a method, one row an image; all planes of a row pass through one spot."""
    code = patient.chosen.code
    truth = group_word(content.long[code])
    made = "SYNTHETIC · " if content.manifest.synthetic else ""
    heading = f"{made}{code} · observed PFS: {truth} · {RESEARCH_USE_NOTICE}"
    answers = "; ".join(f"{model_title(looked.model)}: {predicted_words(looked)}" for looked in patient.looked)
    plates = []
    for method in content.request.saliency:
        rows = layer_rows(patient, method)
        spots = spots_of(rows, patient.study.grid)
        plates.append(
            Plate(
                key=f"saliency-{code}" + ("" if method == "gradient" else f"-{method}"),
                title=f"{METHOD_TITLES[method]} saliency of {code}",
                alt=f"PET over CT and saliency over CT in coronal, sagittal and axial planes. Observed PFS: {truth}. "
                f"Mean out-of-fold probability of long PFS: {answers}. {salient_in_words(patient, method)}",
                text=f"{capitalised(patient.chosen.reason)}. Observed PFS: {truth}. Mean out-of-fold probability of "
                f"long PFS and group: {answers}. From {SALIENCY_THRESHOLD} on, "
                f"{salient_in_words(patient, method)}{gap_in_words(patient, method)}",
                figure=patient_figure(patient.study, rows, spots, heading),
                photograph=True,
            )
        )
    return tuple(plates)


def spots_of(rows: Sequence[Sequence[Layer]], grid: CommonGrid) -> tuple[NDArray[np.float64], ...]:
    """The spot of each row that its maps together make most of; that of all maps for a row without any."""
    maps = [[layer.values for layer in row if layer.kind == "saliency"] for row in rows]
    every = [one for row in maps for one in row]
    return tuple(common_spot(own or every, grid) for own in maps)


def maps_of(looked: Looked, method: SaliencyMethod) -> Mapping[str, NDArray[np.float32]]:
    """The scaled maps of a model that exist, by image."""
    maps = looked.maps[method]
    return {image: values for image, values in (("pet", maps.pet), ("ct", maps.ct)) if values is not None}


def layer_rows(patient: GalleryPatient, method: SaliencyMethod) -> tuple[tuple[Layer, ...], ...]:
    """Row by row: the PET and the models' PET saliency; below, where a model sees the CT, the same for the CT."""
    rows = []
    for image, alone in (("pet", Layer("PET over CT\n", patient.study.pet, "pet")),
                         ("ct", Layer("CT\n", np.zeros_like(patient.study.ct), "ct"))):  # fmt: skip
        layers = [
            Layer(
                f"{model_title(looked.model)}\n{IMAGE_TITLES[image]} saliency\nprobability {predicted_words(looked)}",
                maps[image],
                "saliency",
            )
            for looked in patient.looked
            if image in (maps := maps_of(looked, method))
        ]
        if layers or image == "pet":
            rows.append((alone, *layers))
    return tuple(rows)


def salient_in_words(patient: GalleryPatient, method: SaliencyMethod) -> str:
    """How much of the body each map marks."""
    sentences = []
    for looked in patient.looked:
        for image, values in maps_of(looked, method).items():
            marked = values >= SALIENCY_THRESHOLD
            sentences.append(
                f"{model_title(looked.model)} marks {_millilitres(patient, marked):,.0f} mL on the "
                f"{IMAGE_TITLES[image]}"
                if marked.any()
                else f"{model_title(looked.model)} has no gradient on the {IMAGE_TITLES[image]}"
            )
    return "; ".join(sentences) + "."


def gap_in_words(patient: GalleryPatient, method: SaliencyMethod) -> str:
    """How far integrated gradients are from adding up."""
    if method != "integrated":
        return ""
    gaps = [looked.magnitudes[method].gap for looked in patient.looked]
    return (
        f" The parts miss the change of the probability that they should add up to by "
        f"{listed([printed(gap) for gap in gaps])} on average."
    )


def _millilitres(patient: GalleryPatient, marked: NDArray[np.bool_]) -> float:
    return int(marked.sum()) * abs(float(np.linalg.det(patient.study.grid.ijk_to_lps[:3, :3]))) / 1e3


def every_map(looked: Looked) -> Iterator[tuple[SaliencyMethod, str, NDArray[np.float32]]]:
    """A model's maps of one patient, by method and image."""
    for method in looked.maps:
        for image, values in maps_of(looked, method).items():
            yield method, image, values


def patient_table(shown: Sequence[GalleryPatient], content: RunContent) -> Table:
    """The numbers behind the pictures."""
    rows: list[tuple[str, ...]] = []
    numbers: list[tuple[Cell, ...]] = []
    for patient in shown:
        code, truth = patient.chosen.code, group_word(content.long[patient.chosen.code])
        rows.append((f"{code}, {patient.chosen.reason}; observed PFS: {truth}",))
        for looked in patient.looked:
            for method, image, values in every_map(looked):
                marked = values >= SALIENCY_THRESHOLD
                volume = _millilitres(patient, marked)
                suv = float(patient.study.pet[marked].mean()) if marked.any() else float("nan")
                agree = looked.agreement[image]
                name = f"{IMAGE_TITLES[image]}, {METHOD_TITLES[method]}"
                silent = f"{looked.networks} ({looked.silent})" if looked.silent else f"{looked.networks}"
                rows.append(
                    (model_title(looked.model), name, predicted_words(looked), f"{volume:,.0f}", printed(suv, ".1f"),
                     printed(agree), silent)
                )  # fmt: skip
                numbers.append(
                    (code, patient.chosen.reason, looked.model, image, method, truth, looked.probability,
                     looked.networks, looked.silent, volume, defined(suv), defined(agree))
                )  # fmt: skip
    return Table(
        key="saliency-patients",
        title="The patients of the gallery in numbers",
        header=("Model", "Map", "Probability, group", f"mL from {SALIENCY_THRESHOLD}", "Mean SUV there", "Fits agree",
                "Networks"),
        rows=tuple(rows),
        note="Networks: those that had the patient held out, one a repeat; in brackets, where there are any, those "
        "that answer the same to everyone and so have no gradient. Fits agree: mean rank correlation of every two "
        "networks’ maps over the patient’s tissue; 1 would be the same map, 0 none in common.",
        numbers=Numbers(
            ("patient", "reason", "model", "image", "method", "observed", "probability_long_pfs", "networks",
             "networks_without_gradient", "millilitres_marked", "mean_suv_marked", "fold_agreement"),
            tuple(numbers),
        ),
    )  # fmt: skip
