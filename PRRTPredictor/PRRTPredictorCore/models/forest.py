"""scikit-learn's random forest, fitted on the labs and flattened to arrays: the same probabilities without pickle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import Code, ModelRefused, RunFailed
from .fitted import check_inputs
from .presets import ForestSettings
from .registry import MOST_INPUTS, ModelSpec

PROBABILITY_FLOOR = 1e-6
"""A forest may be certain; its log odds are cut here."""

LARGEST_DEPTH = 1000
MOST_TREES = 100_000

LEAF = -1
_TYPES = {
    "tree_start": torch.int64,
    "left": torch.int64,
    "right": torch.int64,
    "feature": torch.int64,
    "threshold": torch.float64,
    "probability": torch.float64,
    "n_features": torch.int64,
}


@dataclass(frozen=True, eq=False)
class FittedForest:
    """A random forest as arrays over the nodes of all its trees, one tree after the other.

    Attributes
    ----------
    tree_start : ndarray of int, shape (trees,)
        Each tree's root.
    left, right : ndarray of int, shape (nodes,)
        Children, as positions in these arrays; -1 in a leaf.
    feature : ndarray of int, shape (nodes,)
        The tabular input that a node compares; -1 in a leaf.
    threshold : ndarray of float, shape (nodes,)
        Go left when the input, in float32 as in scikit-learn, is at most this.
    probability : ndarray of float, shape (nodes,)
        Share of long PFS among a leaf's training patients.
    n_tabular : int
    """

    spec: ModelSpec
    tree_start: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    probability: NDArray[np.float64]
    n_tabular: int

    def predict_probability(self, tabular: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of long PFS, shape (n,), for raw tabular inputs [n, F]: the mean over the trees."""
        *_, leaves = (at for at, _ in self._walk(tabular))
        return np.asarray(self.probability[leaves].mean(axis=1))

    def _walk(self, tabular: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Go down all trees at once, a level at a time; the last level holds leaves only.

        Yields
        ------
        at : ndarray of int, shape (n, trees)
            Where each patient stands in each tree.
        compared : ndarray of int, shape (n, trees)
            The input that the step to here compared; -1 where there was none.
        """
        values = np.asarray(tabular, dtype=np.float32)
        rows = np.arange(len(values))[:, None]
        at = np.broadcast_to(self.tree_start, (len(values), len(self.tree_start))).copy()
        yield at, np.full_like(at, LEAF)
        while (inner := self.left[at] != LEAF).any():
            compared = np.where(inner, self.feature[at], LEAF)
            goes_left = values[rows, np.where(inner, compared, 0)] <= self.threshold[at]
            at = np.where(inner, np.where(goes_left, self.left[at], self.right[at]), at)
            yield at, compared

    def predict(
        self,
        pet: NDArray[np.float32] | None,
        ct: NDArray[np.float32] | None,
        tabular: NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        """Log odds of long PFS, shape (n,); images are ignored."""
        check_inputs(self.spec, self.n_tabular, pet, ct, tabular)
        labs = np.empty((0, self.n_tabular)) if tabular is None else tabular
        return _log_odds(self.predict_probability(labs))

    def contributions(self, tabular: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far each tabular input moved the probability, shape (n, F).

        Along a decision path every comparison changes the share of long PFS; the change is credited to the input that
        was compared, and averaged over the trees. The contributions add up to the probability minus the forest's mean
        probability at its roots (Saabas' decomposition).
        """
        credit = np.zeros((len(tabular), self.n_tabular))
        rows = np.arange(len(tabular))[:, None]
        for (before, _), (at, compared) in pairwise(self._walk(tabular)):
            # Who stands in a leaf already gains nothing, so that any column may take the zero.
            np.add.at(credit, (rows, np.maximum(compared, 0)), self.probability[at] - self.probability[before])
        return credit / len(self.tree_start)

    def to_tensors(self) -> dict[str, Tensor]:
        """The arrays, for a safetensors file."""
        arrays = {name: getattr(self, name) for name in _TYPES if name != "n_features"}
        arrays["n_features"] = np.array([self.n_tabular])
        return {name: torch.from_numpy(np.ascontiguousarray(array)).to(_TYPES[name]) for name, array in arrays.items()}

    @classmethod
    def from_tensors(cls, spec: ModelSpec, tensors: Mapping[str, Tensor]) -> FittedForest:
        """Rebuild a forest from :meth:`to_tensors`.

        Raises
        ------
        ModelRefused
            ``WEIGHTS_MISMATCH`` when the arrays make no forest.
        """
        if set(tensors) != set(_TYPES) or any(tensors[name].dtype != kind for name, kind in _TYPES.items()):
            raise _no_forest(spec)
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        if not _is_forest(arrays):
            raise _no_forest(spec)
        n_tabular = int(arrays.pop("n_features")[0])
        return cls(spec=spec, n_tabular=n_tabular, **arrays)


def fit_forest(
    spec: ModelSpec, settings: ForestSettings, tabular: NDArray[np.float64], y: NDArray[np.int64], seed: int
) -> FittedForest:
    """Fit scikit-learn's random forest on the labs (paper, section 2.5).

    Parameters
    ----------
    tabular : ndarray, shape (n, F)
        Raw values; trees need no normalisation.
    y : ndarray of int, shape (n,)
        1 = long PFS.

    Raises
    ------
    RunFailed
        ``ONE_CLASS`` when all training patients have the same outcome.
    """
    from sklearn.ensemble import RandomForestClassifier

    if len(np.unique(y)) < 2:
        raise RunFailed(
            Code.ONE_CLASS,
            "All training patients have the same outcome.",
            where=spec.name,
            remedy="Use a cohort with both outcomes, or fewer folds.",
        )
    forest = RandomForestClassifier(
        n_estimators=settings.trees,
        max_depth=settings.max_depth,
        min_samples_leaf=settings.min_samples_leaf,
        random_state=seed,
        n_jobs=1,
    ).fit(tabular, y)
    return flatten_forest(spec, forest.estimators_, tabular.shape[1])


def flatten_forest(spec: ModelSpec, trees: list[object], n_tabular: int) -> FittedForest:
    """scikit-learn's fitted decision trees, whose classes are 0 and 1, as one set of arrays."""
    structures = [tree.tree_ for tree in trees]  # type: ignore[attr-defined]
    starts = np.cumsum([0, *(structure.node_count for structure in structures)])[:-1]

    def joined(name: str) -> NDArray[np.int64]:
        return np.concatenate([np.asarray(getattr(structure, name), dtype=np.int64) for structure in structures])

    offsets = np.repeat(starts, [structure.node_count for structure in structures])
    left, right = joined("children_left"), joined("children_right")
    leaf = left == LEAF
    weights = np.concatenate([structure.value[:, 0, :] for structure in structures]).astype(np.float64)
    return FittedForest(
        spec=spec,
        tree_start=starts.astype(np.int64),
        left=np.where(leaf, LEAF, left + offsets),
        right=np.where(leaf, LEAF, right + offsets),
        feature=np.where(leaf, LEAF, joined("feature")),
        threshold=np.concatenate([np.asarray(structure.threshold, dtype=np.float64) for structure in structures]),
        probability=weights[:, 1] / weights.sum(axis=1),
        n_tabular=n_tabular,
    )


def _is_forest(arrays: Mapping[str, NDArray[np.generic]]) -> bool:
    """Whether every walk ends in a leaf and every comparison has its input."""
    if any(array.ndim != 1 for array in arrays.values()) or arrays["n_features"].size != 1:
        return False
    nodes = len(arrays["left"])
    if not 0 < len(arrays["tree_start"]) <= MOST_TREES or any(
        len(arrays[name]) != nodes for name in ("right", "feature", "threshold", "probability")
    ):
        return False
    left, right, feature = (np.asarray(arrays[name], dtype=np.int64) for name in ("left", "right", "feature"))
    start = np.asarray(arrays["tree_start"], dtype=np.int64)
    probability = np.asarray(arrays["probability"], dtype=np.float64)
    n_features = int(np.asarray(arrays["n_features"])[0])
    inner = left != LEAF
    own = np.arange(nodes)[inner]
    # Children always stand after their parent, so that a walk cannot go in circles.
    sound = bool(
        ((start >= 0) & (start < nodes)).all()
        and ((left[inner] > own) & (left[inner] < nodes)).all()
        and ((right[inner] > own) & (right[inner] < nodes)).all()
        and ((feature[inner] >= 0) & (feature[inner] < n_features)).all()
        and 0 < n_features <= MOST_INPUTS
        and np.isfinite(np.asarray(arrays["threshold"], dtype=np.float64)).all()
        and ((probability >= 0) & (probability <= 1)).all()
    )
    return sound and _ends_soon(left, right, start)


def _ends_soon(left: NDArray[np.int64], right: NDArray[np.int64], start: NDArray[np.int64]) -> bool:
    """Whether every walk from a root reaches a leaf within :data:`LARGEST_DEPTH` steps."""
    level = np.unique(start)
    for _ in range(LARGEST_DEPTH):
        level = level[left[level] != LEAF]
        if not len(level):
            return True
        level = np.unique(np.concatenate([left[level], right[level]]))
    return False


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    cut = np.clip(probability, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return np.asarray(np.log(cut) - np.log1p(-cut))


def _no_forest(spec: ModelSpec) -> ModelRefused:
    return ModelRefused(
        Code.WEIGHTS_MISMATCH,
        "The arrays make no random forest.",
        where=spec.name,
        remedy="Use the weights as they were written, or train again.",
    )
