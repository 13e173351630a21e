"""The run folder: every finished fold whole or absent, and the way back from files to records.

Layout (ARCHITECTURE.md): ``manifest.json``, ``splits.json``, ``cohort.json``, ``ct_encoder.safetensors`` where a
pretrained branch needs one, and ``folds/<model>/<repeat>-<fold>/`` with ``predictions.csv``, ``weights.safetensors``,
``embeddings.npz``, ``gradients.npz``, ``permutations.npz`` and ``done.json``. A fold is finished exactly when its
``done.json`` exists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..errors import Code, ModelRefused
from ..files import published_folder, to_json_bytes
from ..models.bundle_files import overall
from ..models.decoding import decode
from ..records import LABS, FoldPredictions
from .cohortfile import COHORT_NAME, RunCohort, read_run_cohort
from .files import read_json
from .foldfiles import DAMAGE, npz_bytes, predictions_csv, read_npz, read_predictions
from .heldout import HeldOutEmbeddings, HeldOutGradients, HeldOutPermutations
from .manifest import MANIFEST_NAME, Manifest, read_manifest
from .permuting import ALL_LABS
from .records import FoldOutcome, FoldResult, FoldTask
from .splits import Split, check_splits, read_splits

if TYPE_CHECKING:
    from ..models.encoders import PretrainedEncoder
    from ..models.fitted import FittedModel

DONE = "done.json"
PREDICTIONS = "predictions.csv"
WEIGHTS = "weights.safetensors"
EMBEDDINGS = "embeddings.npz"
GRADIENTS = "gradients.npz"
PERMUTATIONS = "permutations.npz"
SPLITS = "splits.json"
CT_ENCODER = "ct_encoder.safetensors"

HeldOut = TypeVar("HeldOut", HeldOutEmbeddings, HeldOutGradients, HeldOutPermutations)


class RunStore:
    """A run folder, read and written.

    Parameters
    ----------
    path : Path
        What ``prrt train --out`` names.

    Raises
    ------
    ModelRefused
        On first use: ``PATH_MISSING`` without a run, ``RUN_MISMATCH`` for one of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @cached_property
    def manifest(self) -> Manifest:
        """What the run is."""
        return read_manifest(self.path)

    @cached_property
    def splits(self) -> tuple[Split, ...]:
        """Who trains and who is held out, by repeat, then fold."""
        splits = read_splits(self.path / SPLITS)
        folds = self.manifest.folds
        in_order = all((one.repeat, one.fold) == divmod(place, folds) for place, one in enumerate(splits))
        if len(splits) != folds * self.manifest.repeats or not in_order:
            raise self._contradiction(f"{SPLITS} does not hold the splits that {MANIFEST_NAME} announces.")
        return splits

    @cached_property
    def cohort(self) -> RunCohort:
        """The cohort as the run remembers it: Table 1, outcomes, flow chart; no identity."""
        remembered = read_run_cohort(self.path)
        patients = remembered.cohort.patients
        split = {code for one in self.splits for code in (*one.train, *one.test)}
        if split != {patient.code for patient in patients}:
            raise self._contradiction(f"{COHORT_NAME} and {SPLITS} do not name the same patients.")
        check_splits(self.splits, split)
        if any(not {*LABS, *patient.extras}.issuperset(self.manifest.feature_names) for patient in patients):
            raise self._contradiction(f"{COHORT_NAME} lacks inputs that {MANIFEST_NAME} names.")
        return remembered

    def tasks(self, model: str) -> tuple[FoldTask, ...]:
        """Every fold of a model, finished or not, by repeat, then fold."""
        return tuple(FoldTask(model, s.repeat, s.fold, s.train, s.test) for s in self.splits)

    @cached_property
    def _long(self) -> Mapping[str, int]:
        """1 for long PFS, by study code."""
        return {patient.code: int(patient.outcome.long_pfs) for patient in self.cohort.cohort.patients}

    # --- folds ---

    def fold_folder(self, model: str, repeat: int, fold: int) -> Path:
        """Where a fold lies."""
        return self.path / "folds" / model / f"{repeat}-{fold}"

    def is_done(self, model: str, repeat: int, fold: int) -> bool:
        """Whether a fold is finished."""
        return (self.fold_folder(model, repeat, fold) / DONE).is_file()

    def finished(self, model: str) -> tuple[FoldTask, ...]:
        """The finished folds of a model, by repeat, then fold."""
        return tuple(task for task in self.tasks(model) if self.is_done(model, task.repeat, task.fold))

    def missing(self) -> tuple[FoldTask, ...]:
        """Every fold of the manifest's models that is not finished yet."""
        return tuple(
            task
            for model in self.manifest.models
            for task in self.tasks(model)
            if not self.is_done(model, task.repeat, task.fold)
        )

    def save_fold(self, result: FoldResult) -> None:
        """Store a finished fold: all of its files under a temporary name, ``done.json`` last, then one rename.

        Raises
        ------
        RunFailed
            ``OUTPUT`` when the disk is full or the folder read-only; nothing of the fold is left behind then.
        """
        from ..models.weights import pack_tensors

        task = result.task
        with published_folder(self.fold_folder(task.model, task.repeat, task.fold)) as folder:
            (folder / PREDICTIONS).write_bytes(predictions_csv(result.predictions).encode("utf-8"))
            (folder / WEIGHTS).write_bytes(pack_tensors(result.tensors, {"model": task.model}))
            (folder / GRADIENTS).write_bytes(npz_bytes(result.gradients.to_arrays()))
            if result.embeddings is not None:
                (folder / EMBEDDINGS).write_bytes(npz_bytes(result.embeddings.to_arrays()))
            if result.permutations is not None:
                (folder / PERMUTATIONS).write_bytes(npz_bytes(result.permutations.to_arrays()))
            (folder / DONE).write_bytes(to_json_bytes(asdict(result.outcome)))

    def outcome(self, model: str, repeat: int, fold: int) -> FoldOutcome:
        """How a finished fold went.

        Raises
        ------
        ModelRefused
            ``RUN_INCOMPLETE`` when it is not finished, ``RUN_MISMATCH`` when ``done.json`` is damaged.
        """
        with self._fold_file(model, repeat, fold, DONE) as path:
            content = {"folds_together": 1, **read_json(path)}  # older runs fitted every fold by itself
            return decode(FoldOutcome, {name: content[name] for name in FoldOutcome.__dataclass_fields__})

    def predictions(self, model: str) -> tuple[FoldPredictions, ...]:
        """The held-out predictions of every finished fold of a model, by repeat, then fold."""
        return tuple(self._fold_predictions(task) for task in self.finished(model))

    def embeddings(self, model: str, repeat: int, fold: int) -> HeldOutEmbeddings | None:
        """Fused embeddings of a fold's held-out patients; None for a forest."""
        with self._fold_file(model, repeat, fold, EMBEDDINGS) as path:
            arrays = read_npz(path)
            return None if arrays is None else self._own(HeldOutEmbeddings.from_arrays(arrays), repeat, fold)

    def gradients(self, model: str, repeat: int, fold: int) -> HeldOutGradients | None:
        """Gradient statistics of a fold's held-out patients."""
        with self._fold_file(model, repeat, fold, GRADIENTS) as path:
            arrays = read_npz(path)
            if arrays is None:
                return None
            gradients = self._own(HeldOutGradients.from_arrays(arrays), repeat, fold)
            if gradients.feature_names not in ((), self.manifest.feature_names):
                raise ValueError("other inputs than the run's")
            return gradients

    def permutations(self, model: str, repeat: int, fold: int) -> HeldOutPermutations | None:
        """Answers about a fold's held-out patients with shuffled inputs; None where the run kept none."""
        with self._fold_file(model, repeat, fold, PERMUTATIONS) as path:
            arrays = read_npz(path)
            if arrays is None:
                return None
            permutations = self._own(HeldOutPermutations.from_arrays(arrays), repeat, fold)
            if not {*self.manifest.feature_names, ALL_LABS, "pet", "ct"}.issuperset(permutations.inputs):
                raise ValueError("other inputs than the run's")
            return permutations

    def load_fold(self, model: str, repeat: int, fold: int) -> FittedModel:
        """The fitted model of a finished fold.

        Raises
        ------
        ModelRefused
            ``RUN_INCOMPLETE`` when it is not finished; ``WEIGHTS_MISMATCH`` when the file was altered.
        """
        from ..models.fitted import FittedNetwork, undefined
        from ..models.forest import FittedForest
        from ..models.registry import model_spec
        from ..models.weights import read_tensors

        spec = model_spec(model)
        encoder = self.ct_encoder() if spec.ct_encoder == "pretrained" else None
        with self._fold_file(model, repeat, fold, WEIGHTS) as path:
            tensors = read_tensors(path)
            if spec.kind == "forest":
                return FittedForest.from_tensors(spec, tensors)
            if names := undefined(tensors):
                raise ValueError(f"undefined weights: {', '.join(names)}")
            return FittedNetwork.from_tensors(spec, self.manifest.preset_record(), tensors, encoder)

    def weights_sha256(self, model: str) -> str:
        """The SHA-256 over the weights of a model's finished folds: equal for the same fits, whoever made them.

        Raises
        ------
        ModelRefused
            ``RUN_MISMATCH`` when weights are missing.
        """
        from ..models.weights import read_whole

        hashes = {}
        for task in self.finished(model):
            with self._fold_file(model, task.repeat, task.fold, WEIGHTS) as path:
                hashes[f"{task.repeat}-{task.fold}"] = hashlib.sha256(read_whole(path)).hexdigest()
        return overall(hashes)

    def ct_encoder(self) -> PretrainedEncoder:
        """The pretrained CT encoder that this run's folds started from.

        Raises
        ------
        ModelRefused
            ``MODEL_MISSING`` when the run has none; ``MODEL_TAMPERED`` when it was altered.
        """
        from ..models.encoder_files import read_encoder

        return read_encoder(self.path / CT_ENCODER)

    def _done_fold(self, model: str, repeat: int, fold: int) -> Path:
        if not self.is_done(model, repeat, fold):
            raise ModelRefused(
                Code.RUN_INCOMPLETE,
                f"Fold {repeat}-{fold} of “{model}” is not finished.",
                where=self.path.name,
                remedy="Repeat the `prrt train` command that began the run; it resumes.",
            )
        return self.fold_folder(model, repeat, fold)

    def _own(self, held_out: HeldOut, repeat: int, fold: int) -> HeldOut:
        """What a fold left of its own held-out patients; a ValueError where it speaks of others."""
        (own,) = (split for split in self.splits if (split.repeat, split.fold) == (repeat, fold))
        if sorted(held_out.codes) != sorted(own.test):
            raise ValueError("not the held-out patients")
        return held_out

    def _fold_predictions(self, task: FoldTask) -> FoldPredictions:
        collapsed = self.outcome(task.model, task.repeat, task.fold).collapsed
        with self._fold_file(task.model, task.repeat, task.fold, PREDICTIONS) as path:
            predictions = read_predictions(path, task, collapsed)
            if any(self._long[code] != y for code, y in zip(predictions.codes, predictions.y, strict=True)):
                raise ValueError("other outcomes than the cohort's")
            return predictions

    @contextmanager
    def _fold_file(self, model: str, repeat: int, fold: int, name: str) -> Iterator[Path]:
        """Give the path of a finished fold's file; what goes wrong in reading it is told as damage to that fold."""
        path = self._done_fold(model, repeat, fold) / name
        try:
            yield path
        except (*DAMAGE, ModelRefused) as problem:
            raise ModelRefused(
                problem.code if isinstance(problem, ModelRefused) else Code.RUN_MISMATCH,
                f"{name} of fold {repeat}-{fold} of “{model}” is missing, damaged or of another version.",
                where=self.path.name,
                remedy="Remove that fold's folder and repeat the `prrt train` command; the fold is fitted anew.",
            ) from problem

    def _contradiction(self, message: str) -> ModelRefused:
        return ModelRefused(
            Code.RUN_MISMATCH,
            message,
            where=self.path.name,
            remedy="Restore the run folder from a copy, or train into a new folder.",
        )
