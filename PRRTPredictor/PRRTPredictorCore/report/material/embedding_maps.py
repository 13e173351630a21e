"""The space, scores and maps of every network of a run, gathered for the chapter that shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ...evaluation.significance import holm
from ...evaluation.summary import model_title
from ...explain.embedding import LAYOUT_FROM, EmbeddingSpace, Floats, layout_distances, umap_layouts
from ...explain.separation import SeparationScores, separation
from ..content import RunContent


@dataclass(frozen=True, eq=False)
class ModelMaps:
    """One network's space with its scores and maps.

    Attributes
    ----------
    scores : SeparationScores
    p_holm : float
        Of the neighbours' score, corrected for the number of networks.
    layouts : tuple of tuple of ndarray
        By seed, then by map; empty where there are too few patients for a map.
    on_maps : tuple of SeparationScores
        By seed.
    """

    model: str
    space: EmbeddingSpace
    scores: SeparationScores
    p_holm: float
    layouts: tuple[tuple[Floats, ...], ...]
    on_maps: tuple[SeparationScores, ...]


def map_networks(content: RunContent, spaces: Mapping[str, EmbeddingSpace], stage: str) -> tuple[ModelMaps, ...]:
    """Score and lay out every network; the slow part of the chapter, with a step of progress each."""
    long = content.long
    scores = {name: separation(space.scored, long) for name, space in spaces.items()}
    tested = [name for name in spaces if math.isfinite(scores[name].knn.p)]
    corrected = dict(zip(tested, holm([scores[name].knn.p for name in tested]), strict=True))
    made = []
    for done, (name, space) in enumerate(spaces.items()):
        content.progress(stage, done, len(spaces), model_title(name))
        enough = all(len(each.codes) >= LAYOUT_FROM for each in space.mapped)
        by_map = [umap_layouts(each) for each in space.mapped] if enough else []
        layouts = tuple(zip(*by_map, strict=True))
        on_maps = tuple(
            separation(
                [layout_distances(each.codes, one) for each, one in zip(space.mapped, of_seed, strict=True)], long
            )
            for of_seed in layouts
        )
        p_holm = corrected.get(name, float("nan"))
        made.append(ModelMaps(name, space, scores[name], p_holm, layouts, on_maps))
    content.progress(stage, len(spaces), len(spaces))
    return tuple(made)
