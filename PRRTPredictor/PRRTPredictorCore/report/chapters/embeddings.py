"""Where the networks put patients whom they had not seen, and whether outcomes lie apart there (paper, Fig. 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...evaluation.summary import model_title
from ...explain.embedding import LAYOUT_FROM, SEEDS, embedding_space
from ...explain.separation import PERMUTATIONS, PermutedScore, SeparationScores
from ...models.registry import MODELS
from ..chapter import Block, Chapter, Folded, Numbers, Plate, Table, Words
from ..content import RunContent
from ..figures.embedding import ScoreRow, embedding_map, outcome_legend, separation_scores
from ..material.embedding_maps import ModelMaps, map_networks
from ..style import new_figure
from ..wording import capitalised, counted, defined, evidence, listed, printed, printed_interval, printed_p

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEY, TITLE = "embeddings", "Embeddings"


def chapter(content: RunContent) -> Chapter | None:
    """Maps and scores of every network; None where the run has no network."""
    networks = [name for name in content.names if name not in MODELS or MODELS[name].kind == "network"]
    if not networks:
        return None
    spaces = {name: embedding_space(content.embeddings(name)) for name in networks}
    missing = tuple(_lacking(content, name) for name, space in spaces.items() if space is None)
    models = map_networks(content, {name: space for name, space in spaces.items() if space is not None}, KEY)
    if not models:
        return Chapter(KEY, TITLE, (), missing)
    drawn = [model for model in models if model.layouts]
    if len(drawn) < len(models):
        few = f"UMAP maps need at least {LAYOUT_FROM} patients held out together; the scores below do without."
        missing = (*missing, few)
    blocks: list[Block] = [Words(introduction(models))]
    if drawn:
        blocks.append(maps_plate(content, drawn))
    blocks += [Words(in_words(models)), scores_plate(models), scores_table(models)]
    seeds = [seeds_plate(content, model) for model in drawn if model.space.consensus]
    if seeds:
        blocks.append(Folded("The same maps from other random seeds", tuple(seeds)))
    return Chapter(KEY, TITLE, tuple(blocks), missing)


def _lacking(content: RunContent, name: str) -> str:
    if content.embeddings(name):
        return (
            f"Embeddings of {model_title(name)}: every finished fit gives all patients the same one, so there is "
            "nothing to map. Another preset or more patients may help."
        )
    return f"Embeddings of {model_title(name)}: the run kept none. Train into a new folder with this version."


# --- in words ---------------------------------------------------------------------------------------------------------


def introduction(models: Sequence[ModelMaps]) -> tuple[str, ...]:
    """What the maps are made of."""
    how = (
        "Patients are comparable only inside one network, so the distance of two patients is the mean over all folds "
        "that held out both, in units of that fold’s median distance. "
        f"{_shares_known(models)} of all pairs are known in this way; the others pull nobody together."
        if all(model.space.consensus for model in models)
        else "Patients are comparable only inside one network, and where there are too few repeats for one map of all "
        "patients, each fold of the first repeat has a map of its own; scores are averaged over all folds."
    )
    left_out = [
        f"{model_title(model.model)} {counted(model.space.without_spread, 'fold')}"
        for model in models
        if model.space.without_spread
    ]
    collapsed = f"Left out, because the network puts everyone in the same place: {listed(left_out)}."
    return (
        "An embedding is what a network makes of a patient right before its answer (the MLP’s second layer). Only "
        "patients whom the network had not seen are shown: embeddings of training patients lie apart in any network "
        "that has learnt its training patients by heart.",
        how,
        *((collapsed,) if left_out else ()),
    )


def _shares_known(models: Sequence[ModelMaps]) -> str:
    shares = sorted({f"{100 * model.space.share_known:.0f}" for model in models}, key=int)
    return f"{shares[0]} %" if len(shares) == 1 else f"Between {shares[0]} and {shares[-1]} %"


def in_words(models: Sequence[ModelMaps]) -> tuple[str, ...]:
    """For which networks there is evidence that outcomes lie apart."""
    groups = [
        (degree, [model_title(model.model) for model in models if evidence(model.p_holm) == degree])
        for degree in ("clear evidence", "some evidence", "no evidence")
    ]
    sentence = "; ".join(f"{degree} for {listed(names)}" for degree, names in groups if names)
    return (
        "Do patients with the same outcome lie together more than if outcomes had been shuffled? "
        f"{capitalised(sentence)} (share of like neighbours, p corrected for the number of networks).",
        "UMAP keeps near patients near; how far apart its clumps lie, and their shape, mean little and change with "
        "the seed. It finds clumps in noise as well. Judge by the scores, not by eye.",
    )


# --- maps -------------------------------------------------------------------------------------------------------------


_CAPTIONS = (
    " Below each map: the share of a patient’s nearest neighbours, in the full space and not on the map, who have the "
    "same outcome, averaged over both outcomes so that chance is about 0.5; and what shuffled outcomes give."
)


def maps_plate(content: RunContent, models: Sequence[ModelMaps]) -> Plate:
    """Every network's map from the first seed."""
    figure, axes = _grid(models)
    for model in models:
        for place, (ax, layout) in enumerate(zip(axes[model.model], model.layouts[0], strict=True)):
            whole = model.space.consensus
            title = model_title(model.model) if whole or place == 0 else ""
            caption = _caption(model.scores) if whole else f"one fold, {len(layout)} patients"
            embedding_map(ax, layout, _outcomes(content, model, place), title, caption)
    long = content.long.values()
    outcome_legend(figure, sum(long), len(long) - sum(long))
    told = "; ".join(f"{model_title(model.model)} {printed(model.scores.knn.value)}" for model in models)
    return Plate(
        key="embedding-maps",
        title="Held-out patients as the networks see them",
        alt=f"UMAP maps of held-out patients for {counted(len(models), 'network')}, long PFS as discs and short PFS as "
        f"triangles. Share of like neighbours, chance about 0.5: {told}.",
        text=f"Each mark is a patient. UMAP with random seed {SEEDS[0]}; directions and axes have no meaning."
        + (_CAPTIONS if any(model.space.consensus for model in models) else ""),
        figure=figure,
        numbers=_map_numbers(content, models, SEEDS[:1]),
    )


def seeds_plate(content: RunContent, model: ModelMaps) -> Plate:
    """One network's maps from the other seeds."""
    figure = new_figure(9.2, 2.3)
    others = list(zip(SEEDS, model.layouts, model.on_maps, strict=True))[1:]
    for ax, (seed, layouts, scores) in zip(figure.subplots(1, len(others)), others, strict=True):
        caption = f"like neighbours here {printed(scores.knn.value)}"
        embedding_map(ax, layouts[0], _outcomes(content, model, 0), f"Seed {seed}", caption, size=4.2)
    told = ", ".join(printed(scores.knn.value) for _, _, scores in others)
    title = model_title(model.model)
    return Plate(
        key=f"embedding-seeds-{model.model}",
        title=f"Other seeds: {title}",
        alt=f"{len(others)} UMAP maps of {title} from other random seeds. Share of like neighbours on them: {told}.",
        text="Turned onto the map above. Colours and shapes as there.",
        figure=figure,
        numbers=_map_numbers(content, [model], SEEDS[1:]),
    )


def _grid(models: Sequence[ModelMaps]) -> tuple[Figure, dict[str, list[Axes]]]:
    """Axes by network: a column a family (an image alone, with labs, both images) or, fold by fold, a row a network."""
    if not all(model.space.consensus for model in models):
        columns = max(len(model.space.mapped) for model in models)
        figure = new_figure(3.0 * columns, 0.5 + 2.55 * len(models))
        rows = figure.subplots(len(models), columns, squeeze=False)
        placed = {model.model: list(row[: len(model.space.mapped)]) for model, row in zip(models, rows, strict=True)}
    else:
        families: dict[str, list[str]] = {}
        for model in models:
            families.setdefault(MODELS[model.model].family if model.model in MODELS else "", []).append(model.model)
        by_column = list(families.values()) if len(families) > 1 else [[model.model] for model in models]
        height = max(map(len, by_column))
        figure = new_figure(3.15 * len(by_column), 0.5 + 2.65 * height)
        rows = figure.subplots(height, len(by_column), squeeze=False)
        placed = {
            name: [rows[place, column]] for column, names in enumerate(by_column) for place, name in enumerate(names)
        }
    figure.set_layout_engine("constrained", h_pad=0.1, w_pad=0.07)
    used = {id(ax) for axes in placed.values() for ax in axes}
    for ax in rows.flat:
        if id(ax) not in used:
            ax.set_axis_off()
    return figure, placed


def _caption(scores: SeparationScores) -> str:
    if not math.isfinite(scores.knn.value):
        return "one outcome only"
    return f"like neighbours {printed(scores.knn.value)}, shuffled {printed(scores.knn.null_mean)}"


def _outcomes(content: RunContent, model: ModelMaps, place: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([content.long[code] for code in model.space.mapped[place].codes], dtype=np.bool_)


def _map_numbers(content: RunContent, models: Sequence[ModelMaps], seeds: Sequence[int]) -> Numbers:
    rows = tuple(
        (model.model, seed, place, code, content.long[code], float(x), float(y))
        for model in models
        for seed, layouts in zip(SEEDS, model.layouts, strict=True)
        if seed in seeds
        for place, (each, layout) in enumerate(zip(model.space.mapped, layouts, strict=True))
        for code, (x, y) in zip(each.codes, layout, strict=True)
    )
    return Numbers(("model", "seed", "map", "patient", "long_pfs", "umap_1", "umap_2"), rows)


# --- scores -----------------------------------------------------------------------------------------------------------


def scores_plate(models: Sequence[ModelMaps]) -> Plate:
    """Scores beside their permutation null."""
    figure = new_figure(9.4, 1.7 + 0.42 * len(models))
    left, right = figure.subplots(1, 2, sharey=True)
    separation_scores(left, [_row(model, "knn") for model in models], "Nearest neighbours", "share with like outcome")
    separation_scores(right, [_row(model, "silhouette") for model in models], "Silhouette", "mean silhouette")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    told = "; ".join(
        f"{model_title(model.model)} {printed(model.scores.knn.value)} (shuffled "
        f"{printed_interval(model.scores.knn.null95)}) and {printed(model.scores.silhouette.value)} (shuffled "
        f"{printed_interval(model.scores.silhouette.null95)})"
        for model in models
    )
    return Plate(
        key="embedding-scores",
        title="How far outcomes lie apart, against shuffled outcomes",
        alt=f"Share of like neighbours and silhouette of each network beside their central 95 % under shuffled "
        f"outcomes. {told}.",
        text="Diamond: score among the embeddings. Grey: the central 95 % of the same score when outcomes are shuffled "
        f"among the patients ({PERMUTATIONS:,} times), with its mean. Thin lines: the score on the UMAP maps of "
        f"{len(SEEDS)} seeds; where these differ from the diamond, the picture misleads.",
        figure=figure,
        numbers=_score_numbers(models),
    )


def scores_table(models: Sequence[ModelMaps]) -> Table:
    """The same in numbers."""
    rows = tuple(
        (
            model_title(model.model),
            *_cells(model.scores.knn),
            printed_p(model.p_holm),
            evidence(model.p_holm),
            *_cells(model.scores.silhouette),
            _range([scores.knn.value for scores in model.on_maps]),
            f"{100 * model.space.share_known:.0f} %",
        )
        for model in models
    )
    return Table(
        key="embedding-scores-table",
        title="Separation of outcomes among held-out embeddings",
        header=(
            "Model",
            "Like neighbours\n[shuffled, 95 %]",
            "p",
            "p (Holm)",
            "In words",
            "Silhouette\n[shuffled, 95 %]",
            "p",
            "Like neighbours\non maps, by seed",
            "Pairs\nknown",
        ),
        rows=rows,
        note="One-sided p from shuffling outcomes over patients. The networks are not trained again under the shuffle: "
        "the test asks whether these embeddings lie by outcome, not whether networks fitted anew would give such ones. "
        f"Neighbours: the {models[0].scores.neighbours} nearest. Silhouette: −1 to 1, 0 without any separation.",
        numbers=_score_numbers(models),
    )


def _row(model: ModelMaps, measure: str) -> ScoreRow:
    return ScoreRow(
        model.model,
        getattr(model.scores, measure),
        tuple(getattr(scores, measure).value for scores in model.on_maps),
    )


def _cells(score: PermutedScore) -> tuple[str, str]:
    return f"{printed(score.value)}\n{printed_interval(score.null95)}", printed_p(score.p)


def _range(values: Sequence[float]) -> str:
    known = [value for value in values if math.isfinite(value)]
    return f"{printed(min(known))} to {printed(max(known))}" if known else "–"


def _score_numbers(models: Sequence[ModelMaps]) -> Numbers:
    columns = ("model", "measure", "space", "seed", "value", "shuffled_mean", "shuffled_low", "shuffled_high", "p")
    rows = []
    for model in models:
        found: list[tuple[str, int | None, SeparationScores]] = [("embeddings", None, model.scores)]
        found += [("map", seed, scores) for seed, scores in zip(SEEDS, model.on_maps, strict=False)]
        for space, seed, scores in found:
            for measure in ("knn", "silhouette"):
                score: PermutedScore = getattr(scores, measure)
                values = (score.value, score.null_mean, *score.null95, score.p)
                rows.append((model.model, measure, space, seed, *map(defined, values)))
    return Numbers(columns, tuple(rows))
