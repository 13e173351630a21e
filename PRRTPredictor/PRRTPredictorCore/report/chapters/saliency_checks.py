"""How large the gallery's gradients are, and whether its maps depend on what the networks learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...evaluation.summary import model_title
from ..chapter import Numbers, Plate
from ..figures.saliency import Histogram, gradient_histogram, randomisation_chart, share_limits, subfigure_axes
from ..material.gallery import IMAGE_TITLES, Chosen, GalleryPatient
from ..style import new_figure
from ..wording import counted, defined, printed

if TYPE_CHECKING:
    from ..content import RunContent

PANELS_A_ROW = 3
MUCH, LITTLE = 0.5, 0.2
"""Rank correlations from which on, and up to which, a resemblance is called much and little."""

# --- gradient histograms ----------------------------------------------------------------------------------------------


def histogram_plates(content: RunContent, chosen: Sequence[Chosen], models: Sequence[str]) -> tuple[Plate, ...]:
    """Gradient magnitudes of each patient by model, one plate an image, from what the folds stored."""
    plates = (histogram_plate(content, chosen, models, image) for image in IMAGE_TITLES)
    return tuple(plate for plate in plates if plate is not None)


def histogram_plate(content: RunContent, chosen: Sequence[Chosen], models: Sequence[str], image: str) -> Plate | None:
    """The same for one image; None where no model has gradients of it."""
    found = {
        one.code: [drawn for name in models if (drawn := patient_histogram(content, name, one.code, image))]
        for one in chosen
    }
    found = {code: histograms for code, histograms in found.items() if histograms}
    if not found:
        return None
    panels = list(found.items())
    rows = -(-len(panels) // PANELS_A_ROW)
    figure = new_figure(9.2, 2.9 * rows + 0.4)
    unit = "SUV" if image == "pet" else "HU"
    for ax, (code, histograms) in zip(subfigure_axes(figure, len(panels), PANELS_A_ROW), panels, strict=True):
        gradient_histogram(ax, histograms, unit).set_title(f"{code}, {'long' if content.long[code] else 'short'} PFS")
        ax.label_outer()
        ax.set_xlabel(f"log₁₀ |∂ probability / ∂ voxel|, per {unit}")
    share_limits(figure.axes)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(models))
    peaks = "; ".join(
        f"{code}: " + ", ".join(f"{one.label} most often around {_peak(one)}" for one in histograms)
        for code, histograms in panels
    )
    return Plate(
        key=f"saliency-gradients-{image}",
        title=f"How large the gradients on the {IMAGE_TITLES[image]} are",
        alt=f"Histograms of the magnitude of the probability’s gradient by patient and model. {peaks}.",
        text="Voxels by the magnitude of |∂ probability / ∂ voxel| before any scaling, all networks that had the "
        "patient held out taken together. A distribution further to the left belongs to a model whose answer hangs "
        "less on any single voxel; it says nothing of how good the answer is.",
        figure=figure,
        numbers=Numbers(
            ("patient", "model", "log10_gradient_from", "log10_gradient_to", "share_of_voxels"),
            tuple(
                (code, one.model, float(low), float(high), float(share))
                for code, histograms in panels
                for one in histograms
                for low, high, share in zip(one.edges[:-1], one.edges[1:], one.shares, strict=True)
                if share > 0
            ),
        ),
    )


def patient_histogram(content: RunContent, model: str, code: str, image: str) -> Histogram | None:
    """A model's gradient magnitudes in one patient over the folds that had him held out; None where none stored any."""
    from ...training.heldout import LOG10_EDGES

    counts, voxels = np.zeros(len(LOG10_EDGES) - 1), 0.0
    for fold in content.gradients(model):
        table = fold.pet if image == "pet" else fold.ct
        if table is None or code not in fold.codes:
            continue
        row = fold.codes.index(code)
        counts += table.log10_counts[row]
        voxels += float(table.log10_counts[row].sum() + table.zeros[row])
    if not counts.any():
        return None
    return Histogram(model_title(model), model, LOG10_EDGES, counts / voxels)


def _peak(histogram: Histogram) -> str:
    return f"10^{histogram.edges[int(np.argmax(histogram.shares))]:.0f}"


# --- the sanity check -------------------------------------------------------------------------------------------------


def randomisation_plate(content: RunContent, shown: Sequence[GalleryPatient], models: Sequence[str]) -> Plate | None:
    """Do the maps change when what was learnt is taken away? None where no network has a gradient."""
    panels = []
    for name in models:
        looked = [one for patient in shown for one in patient.looked if one.model == name]
        for image in ("pet", "ct"):
            checks = [check for one in looked for check in one.checks if image in check.correlation]
            curves = np.array([check.correlation[image] for check in checks])
            if curves.size and not np.isnan(curves).all():
                known = [one.agreement[image] for one in looked if np.isfinite(one.agreement[image])]
                agree = float(np.mean(known)) if known else float("nan")
                panels.append((name, image, checks[0].stages, curves, agree))
    if not panels:
        return None
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(4.6 * columns, 3.1 * rows)
    for ax, (name, image, stages, curves, agree) in zip(
        subfigure_axes(figure, len(panels), columns), panels, strict=True
    ):
        randomisation_chart(ax, stages, curves, agree, name, f"{model_title(name)}: {IMAGE_TITLES[image]} map")
    figure.axes[0].set_ylabel("rank correlation with\nthe trained network’s map")
    told = " ".join(randomised_in_words(name, image, curves, agree) for name, image, _, curves, agree in panels)
    return Plate(
        key="saliency-randomisation",
        title="Do the maps depend on what was learnt?",
        alt="Rank correlation of the gradient maps with those of the trained networks, by how many layers are random. "
        f"{told}",
        text="Model-randomisation check (Adebayo 2018): from the output towards the image, learnt weights are replaced "
        "by random ones, step by step, and the gradient map is compared with the trained network’s over the "
        "patient’s tissue. Thin lines: one network and patient each; thick: their median; dashed: how far networks "
        "of different repeats agree with each other. A map that keeps its order under random weights shows the image "
        f"and the architecture, not what was learnt. {histogram_in_words(content)}{told}",
        figure=figure,
        numbers=Numbers(
            ("model", "image", "curve", "random_down_to", "rank_correlation", "fold_agreement"),
            tuple(
                (name, image, number, stage, defined(value), defined(agree))
                for name, image, stages, curves, agree in panels
                for number, curve in enumerate(curves)
                for stage, value in zip(stages, curve.tolist(), strict=True)
            ),
        ),
    )


def randomised_in_words(model: str, image: str, curves: NDArray[np.float64], agree: float) -> str:
    """What the end of the curves says."""
    left = curves[:, -1][np.isfinite(curves[:, -1])]
    name = f"{model_title(model)} on the {IMAGE_TITLES[image]}"
    if not left.size:
        return f"{name}: with all layers random there is no gradient left to compare."
    median = float(np.median(left))
    judged = (
        "much of the map would look the same without any learning, so read it with reserve"
        if median >= MUCH
        else "a part of the map would look the same without any learning"
        if median > LITTLE
        else "little of the map is left without what was learnt"
    )
    known = f"; trained networks agree with each other at {printed(agree)}" if np.isfinite(agree) else ""
    return (
        f"{name}: with all layers random, the median correlation is {printed(median)} "
        f"({counted(len(left), 'curve')}), {judged}{known}."
    )


def histogram_in_words(content: RunContent) -> str:
    """Why random networks of this run keep some resemblance; empty for networks without an intensity histogram."""
    network = content.manifest.preset_record().network
    if not (network.pet_levels or network.ct_levels):
        return ""
    return (
        "These networks read an intensity histogram beside the CNN; it has no weights of its own, so that even random "
        "networks change their answer by intensity. "
    )
