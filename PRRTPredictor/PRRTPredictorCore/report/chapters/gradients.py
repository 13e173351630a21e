"""How two models' gradients are distributed over the voxels (paper, Fig. 8), and what the paper's form leaves out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ...evaluation.summary import model_title
from ...explain.distances import DISTANCES
from ...explain.gradients import GradientComparison, GradientDistributions, Scale, compare_gradients
from ...models.registry import MODELS
from ...records import Image
from ..chapter import Block, Cell, Chapter, Numbers, Plate, Table, Words
from ..content import PAPER_PAIR, RunContent
from ..figures.gradients import gradient_distributions
from ..style import new_figure
from ..wording import counted, defined, evidence, printed, printed_p

IMAGE_TITLES: Mapping[Image, str] = MappingProxyType({"pet": "SR-PET", "ct": "CT"})
UNITS: Mapping[Image, str] = MappingProxyType({"pet": "SUV", "ct": "HU"})
SCALE_TITLES: Mapping[Scale, str] = MappingProxyType(
    {"unit": "each map scaled to 0–1, as the paper", "log10": "not scaled, log₁₀"}
)
DISTANCE_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "wasserstein": "Wasserstein distance",
        "ks": "Kolmogorov–Smirnov statistic",
        "js_divergence": "Jensen–Shannon divergence (nats)",
        "js_distance": "Jensen–Shannon distance (its square root)",
        "energy": "Energy distance",
        "bhattacharyya": "Bhattacharyya distance",
        "overlap": "Histogram overlap (1 is equal)",
    }
)
PAPER_DISTANCES: Mapping[str, float] = MappingProxyType(
    {"wasserstein": 0.090, "ks": 0.241, "js_distance": 0.418, "energy": 0.183, "bhattacharyya": 0.207, "overlap": 0.518}
)
"""Paper, Fig. 8b: SR-PET against SR-PET + labs, each map scaled; its "divergence" can only be the distance."""

FEWEST_FITS = 6
"""With fewer pairs of fits than this, no swap of them is rarer than 1 in 20."""

_NO_PAIR = (
    "No two networks of this run share an image, so there are no two gradient distributions to compare. Train two, for "
    "instance with --models pet pet_labs."
)


def chapter(content: RunContent) -> Chapter | None:
    """Fig. 8 for the report's pair of models, for every image that both see."""
    if not any(MODELS[name].uses_images for name in content.names if name in MODELS):
        return None
    title, pair = "Gradient distributions", content.pair
    if pair is None:
        return Chapter("gradients", title, missing=(_NO_PAIR,))
    shared = shared_images(pair)
    if not shared:
        return Chapter("gradients", title, missing=(no_common_image(pair),))
    first, second = (content.gradients(name) for name in pair)
    found = [one for image in shared if (one := compare_gradients(first, second, image)) is not None]
    missing = tuple(no_common_maps(pair, image) for image in shared if image not in {one.image for one in found})
    blocks: list[Block] = []
    if found:
        blocks += [Words(in_words(pair, found)), *(gradient_plate(one, pair) for one in found)]
        blocks += [tests_table(found), distances_table(found, pair)]
    return Chapter("gradients", title, tuple(blocks), missing)


def shared_images(pair: tuple[str, str]) -> tuple[Image, ...]:
    """The images that both models see."""
    specs = [MODELS[name] for name in pair if name in MODELS]
    if len(specs) < 2:
        return ()
    pet, ct = all(spec.uses_pet for spec in specs), all(spec.uses_ct for spec in specs)
    return (*(("pet",) if pet else ()), *(("ct",) if ct else ()))


def no_common_image(pair: tuple[str, str]) -> str:
    """What to say of a pair that has no gradients in common."""
    return (
        f"{model_title(pair[0])} and {model_title(pair[1])} see no common image, so their gradient distributions "
        "cannot be compared. Choose two networks that do, for instance --compare pet_labs pet."
    )


def no_common_maps(pair: tuple[str, str], image: Image) -> str:
    """What to say where the folds of both models kept no gradients of the same patients."""
    return (
        f"The run holds no {IMAGE_TITLES[image]} gradients of {model_title(pair[0])} and {model_title(pair[1])} for "
        "the same patients in the same fold. Repeat the prrt train command until both have finished the same folds."
    )


def in_words(pair: tuple[str, str], found: Sequence[GradientComparison]) -> tuple[str, ...]:
    """What is compared, and how far the numbers carry."""
    first, second = (model_title(name) for name in pair)
    flat = [
        f"{IMAGE_TITLES[one.image]}: {count} of {one.maps} maps of {name} have no gradient at all, as collapsed fits "
        "leave them. They count as zeros in the scaled variant and cannot enter the logarithms."
        for one in found
        for name, count in ((first, one.first_flat), (second, one.second_flat))
        if count
    ]
    return (
        "The gradient tells how much the probability of long PFS would change with the value of a voxel. Its "
        f"magnitudes are compared between {first} and {second} over all voxels of the held-out patients. Scaled map by "
        "map, as in the paper, only the shape is left, and one extreme voxel decides where all others lie. Not scaled, "
        "the logarithms show how strongly each model reacts at all.",
        *flat,
        "A difference tells that two models react differently to the same images, not which of them is right, nor that "
        "its patterns are physiological.",
    )


def tests_table(found: Sequence[GradientComparison]) -> Table:
    """Both permutation tests of the Kolmogorov–Smirnov statistic."""
    rows = [(one.image, of) for one in found for of in one.scales if of.patients]
    few = (
        " Fewer than six pairs of fits cannot give a p-value below 0.05."
        if any(of.folds < FEWEST_FITS for _, of in rows)
        else ""
    )
    return Table(
        key="gradient-tests",
        title="Is the Kolmogorov–Smirnov statistic more than chance?",
        header=("", "Swapped", "p", "In words"),
        rows=tuple(cells for image, of in rows for cells in _tests(image, of)),
        note="Permutation tests, not corrected for their number. The first swaps the two models patient by patient and "
        "takes the fitted networks as given. The second swaps whole fits, fold by fold: only a difference that it "
        "finds is more than the luck of fitting and may be put down to what the models see. The paper’s test counts "
        "voxels; neighbours are not independent, and so many of them make every difference, however small, "
        f"p < 0.001.{few}",
        numbers=Numbers(
            ("image", "scale", "ks", "patients", "p_patients", "pairs_of_fits", "p_fits"),
            tuple(
                (
                    image,
                    of.scale,
                    defined(of.distances[DISTANCES.index("ks")].value),
                    of.patients,
                    defined(of.p_patients),
                    of.folds,
                    defined(of.p_fits),
                )
                for image, of in rows
            ),
        ),
    )


def _tests(image: Image, of: GradientDistributions) -> tuple[tuple[str, ...], ...]:
    ks = printed(of.distances[DISTANCES.index("ks")].value, ".3f")
    patients, fits = counted(of.patients, "patient"), counted(of.folds, "pair of fits", "pairs of fits")
    return (
        (f"{IMAGE_TITLES[image]}, {SCALE_TITLES[of.scale]}: statistic {ks}",),
        ("These fits, other patients", patients, printed_p(of.p_patients), evidence(of.p_patients)),
        ("Other fits, these patients", fits, printed_p(of.p_fits), evidence(of.p_fits)),
    )


def gradient_plate(found: GradientComparison, pair: tuple[str, str]) -> Plate:
    """Both variants of one image's distributions."""
    first, second = (model_title(name) for name in pair)
    figure = new_figure(9.4, 3.9)
    axes = figure.subplots(1, 2)
    for ax, of in zip(axes, found.scales, strict=True):
        gradient_distributions(ax, of, *pair, UNITS[found.image])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    maps = f"{counted(found.maps, 'map')} of {counted(found.unit.patients, 'patient')}"
    fits = " Thin lines: every patient’s first fit, second fit and so on." if len(found.unit.first_fits) > 1 else ""
    medians = "; ".join(
        f"{name} {printed(median(found.log10, side), '.1f')}" for name, side in ((first, 0), (second, 1))
    )
    told = f"Median log₁₀ gradient: {medians}." if found.log10.patients else "There is no gradient for a logarithm."
    overlap = " and ".join(printed(one.value) for of in found.scales for one in of.distances if one.name == "overlap")
    without = (
        f" Voxels without any gradient ({100 * found.first_zeros:.0f} % and {100 * found.second_zeros:.0f} %, most of "
        "them beyond the window of values that the models see) stand at 0 on the left and are left out on the right."
        if max(found.first_zeros, found.second_zeros) > 0.005
        else ""
    )
    return Plate(
        key=f"gradients-{found.image}",
        title=f"Gradients with respect to the {IMAGE_TITLES[found.image]}: {first} and {second}",
        alt=f"Histograms of gradient magnitudes of both models, left scaled map by map, right as logarithms. {told} "
        f"Histogram overlap (1 is equal): {overlap}.",
        text=f"Held-out patients only, {maps}, each patient with equal weight. Left, note the logarithmic ordinate: "
        f"most voxels lie near 0.{fits} {told}{without}",
        figure=figure,
        numbers=Numbers(
            ("scale", "bin_low", "bin_high", *pair),
            tuple(
                (of.scale, float(low), float(high), defined(a), defined(b))
                for of in found.scales
                for low, high, a, b in zip(of.edges[:-1], of.edges[1:], of.first, of.second, strict=True)
            ),
        ),
    )


def median(of: GradientDistributions, side: int) -> float:
    """The median of a histogram, to the upper edge of its bin."""
    shares = (of.first, of.second)[side]
    return float(of.edges[1:][min(int((shares.cumsum() < 0.5).sum()), len(shares) - 1)])


def distances_table(found: Sequence[GradientComparison], pair: tuple[str, str]) -> Table:
    """All distances of the paper's Fig. 8b, for every image and both scales."""
    beside_paper = set(pair) == set(PAPER_PAIR)
    rows: list[tuple[str, ...]] = []
    numbers: list[tuple[Cell, ...]] = []
    for one in found:
        for of in one.scales:
            rows.append((f"{IMAGE_TITLES[one.image]}, {SCALE_TITLES[of.scale]} ({counted(of.patients, 'patient')})",))
            for distance in of.distances:
                paper = PAPER_DISTANCES.get(distance.name, math.nan) if of.scale == "unit" else math.nan
                cells = (_figure(distance.value), _interval(distance.ci95), _figure(distance.refit))
                rows.append(
                    (DISTANCE_TITLES[distance.name], *cells, *((printed(paper, ".3f"),) if beside_paper else ()))
                )
                numbers.append(
                    (
                        one.image,
                        of.scale,
                        distance.name,
                        *(defined(value) for value in (distance.value, *distance.ci95, distance.refit)),
                        of.patients,
                    )
                )
    return Table(
        key="gradient-distances",
        title=f"Distances between the gradient distributions of {model_title(pair[0])} and {model_title(pair[1])}",
        header=("", "Distance", "95 % interval", "Two fits of\none model", *(("Paper",) if beside_paper else ())),
        rows=tuple(rows),
        faint_from=4 if beside_paper else None,
        note=_NOTE + (_PAPER_NOTE if beside_paper else ""),
        numbers=Numbers(
            ("image", "scale", "distance", "value", "ci95_low", "ci95_high", "two_fits_of_one_model", "patients"),
            tuple(numbers),
        ),
    )


_NOTE = (
    "The intervals resample patients. A distance is never below 0, so an interval above 0 is no evidence by itself. "
    "Beside it stands how far two single fits of one model on other splits lie apart over the same patients (mean over "
    "both models): a measure of what the luck of fitting moves. The distance itself is between means over all fits. "
    "Wasserstein and energy distance are in units of the abscissa: shares of the full range, or powers of ten. The "
    "Jensen–Shannon divergence lies between 0 and 0.693, its square root between 0 and 0.833."
)
_PAPER_NOTE = (
    " The paper’s figures (116 other patients) are for orientation. Its “Jensen–Shannon divergence” 0.418 stands "
    "beside the distance: over the same bins as its Bhattacharyya distance of 0.207, a divergence could be no more "
    "than 0.187 nats or 0.270 bits."
)


def _figure(value: float) -> str:
    return "∞" if value == math.inf else printed(value, ".3f")


def _interval(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return "–" if math.isnan(low) else f"[{_figure(low)}, {_figure(high)}]"
