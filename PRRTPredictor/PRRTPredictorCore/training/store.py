"""The run folder: every finished fold whole or absent, and the way back from files to records.

Layout (ARCHITECTURE.md): ``manifest.json``, ``splits.json``, ``cohort.json``, ``ct_encoder.safetensors`` where a
pretrained branch needs one, and ``folds/<model>/<repeat>-<fold>/`` with ``predictions.csv``, ``weights.safetensors``,
``embeddings.npz``, ``gradients.npz`` and ``done.json``. A fold is finished exactly when its ``done.json`` exists.
"""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Code, ModelRefused
from ..files import published_folder, to_json_bytes
from ..records import FoldPredictions
from .cohortfile import RunCohort, read_run_cohort
from .files import read_json
from .heldout import HeldOutEmbeddings, HeldOutGradients
from .manifest import Manifest, read_manifest
from .records import FoldOutcome, FoldResult, FoldTask
from .splits import Split, read_splits

if TYPE_CHECKING:
    from ..models.encoders import PretrainedEncoder
    from ..models.fitted import FittedModel

DONE = "done.json"
PREDICTIONS = "predictions.csv"
WEIGHTS = "weights.safetensors"
EMBEDDINGS = "embeddings.npz"
GRADIENTS = "gradients.npz"
SPLITS = "splits.json"
CT_ENCODER = "ct_encoder.safetensors"
COLUMNS = ("patient", "repeat", "fold", "y", "probability", "logit")


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
        return read_splits(self.path / SPLITS)

    @cached_property
    def cohort(self) -> RunCohort:
        """The cohort as the run remembers it: Table 1, outcomes, flow chart; no identity."""
        return read_run_cohort(self.path)

    def tasks(self, model: str) -> tuple[FoldTask, ...]:
        """Every fold of a model, finished or not, by repeat, then fold."""
        return tuple(FoldTask(model, s.repeat, s.fold, s.train, s.test) for s in self.splits)

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
            (folder / PREDICTIONS).write_bytes(_predictions_csv(result.predictions).encode("utf-8"))
            (folder / WEIGHTS).write_bytes(pack_tensors(result.tensors, {"model": task.model}))
            (folder / GRADIENTS).write_bytes(_npz(result.gradients.to_arrays()))
            if result.embeddings is not None:
                (folder / EMBEDDINGS).write_bytes(_npz(result.embeddings.to_arrays()))
            (folder / DONE).write_bytes(to_json_bytes(asdict(result.outcome)))

    def outcome(self, model: str, repeat: int, fold: int) -> FoldOutcome:
        """How a finished fold went.

        Raises
        ------
        ModelRefused
            ``RUN_INCOMPLETE`` when it is not finished.
        """
        content = read_json(self._done_fold(model, repeat, fold) / DONE)
        return FoldOutcome(**{name: content[name] for name in FoldOutcome.__dataclass_fields__})

    def predictions(self, model: str) -> tuple[FoldPredictions, ...]:
        """The held-out predictions of every finished fold of a model, by repeat, then fold."""
        return tuple(self._fold_predictions(task) for task in self.finished(model))

    def embeddings(self, model: str, repeat: int, fold: int) -> HeldOutEmbeddings | None:
        """Fused embeddings of a fold's held-out patients; None for a forest."""
        arrays = _read_npz(self._done_fold(model, repeat, fold) / EMBEDDINGS)
        return None if arrays is None else HeldOutEmbeddings.from_arrays(arrays)

    def gradients(self, model: str, repeat: int, fold: int) -> HeldOutGradients | None:
        """Gradient statistics of a fold's held-out patients."""
        arrays = _read_npz(self._done_fold(model, repeat, fold) / GRADIENTS)
        return None if arrays is None else HeldOutGradients.from_arrays(arrays)

    def load_fold(self, model: str, repeat: int, fold: int) -> FittedModel:
        """The fitted model of a finished fold.

        Raises
        ------
        ModelRefused
            ``RUN_INCOMPLETE`` when it is not finished; ``WEIGHTS_MISMATCH`` when the file was altered.
        """
        from ..models.fitted import FittedNetwork
        from ..models.forest import FittedForest
        from ..models.registry import model_spec
        from ..models.weights import read_tensors

        spec = model_spec(model)
        tensors = read_tensors(self._done_fold(model, repeat, fold) / WEIGHTS)
        if spec.kind == "forest":
            return FittedForest.from_tensors(spec, tensors)
        encoder = self.ct_encoder() if spec.ct_encoder == "pretrained" else None
        return FittedNetwork.from_tensors(spec, self.manifest.preset_record(), tensors, encoder)

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

    def _fold_predictions(self, task: FoldTask) -> FoldPredictions:
        text = (self._done_fold(task.model, task.repeat, task.fold) / PREDICTIONS).read_text(encoding="utf-8")
        rows = list(csv.DictReader(io.StringIO(text)))
        if not rows or tuple(rows[0]) != COLUMNS:
            raise ModelRefused(
                Code.RUN_MISMATCH,
                f"{PREDICTIONS} of fold {task.repeat}-{task.fold} of “{task.model}” is not in this version's format.",
                where=self.path.name,
                remedy="Remove that fold's folder and repeat the `prrt train` command; the fold is fitted anew.",
            )
        return FoldPredictions(
            model=task.model,
            repeat=task.repeat,
            fold=task.fold,
            codes=tuple(row["patient"] for row in rows),
            y=np.array([int(row["y"]) for row in rows], dtype=np.int64),
            probability=np.array([float(row["probability"]) for row in rows]),
            logit=np.array([float(row["logit"]) for row in rows]),
            collapsed=self.outcome(task.model, task.repeat, task.fold).collapsed,
        )


def _predictions_csv(predictions: FoldPredictions) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = zip(predictions.codes, predictions.y, predictions.probability, predictions.logit, strict=True)
    for code, y, probability, logit in rows:
        # repr of a float is the shortest text that reads back as the same number
        writer.writerow(
            (code, predictions.repeat, predictions.fold, int(y), repr(float(probability)), repr(float(logit)))
        )
    return text.getvalue()


def _npz(arrays: dict[str, NDArray[Any]]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _read_npz(path: Path) -> dict[str, NDArray[Any]] | None:
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
