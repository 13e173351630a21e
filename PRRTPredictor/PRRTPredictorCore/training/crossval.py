"""The protocol: every model in every fold of every repeat, stored as it finishes, resumed where it stopped."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import Cancelled, Code, ModelRefused
from ..files import require_folder_target
from ..models.device import resolve_device
from ..models.encoder_files import read_encoder, write_encoder
from ..models.presets import Preset, preset_named
from ..models.pretrained import ct_encoder_for
from ..models.registry import MODELS, model_spec, model_specs
from ..progress import Progress, expect, silent
from ..records import Cohort, input_units
from .cohortfile import COHORT_NAME, RunCohort, write_run_cohort
from .config import RunConfig
from .ctfeatures import remove_ct_features, with_ct_features
from .data import PreparedImages, TrainingData, gather_training_data
from .engine import FitSettings
from .files import remove_partials
from .groups import folds_together, group_tasks, with_halved
from .lock import run_lock
from .manifest import (
    MANIFEST_NAME,
    Manifest,
    PretrainedSource,
    check_same_run,
    read_manifest,
    write_manifest,
)
from .pace import Pace
from .records import FoldTask
from .splits import Split, make_splits, read_splits, write_splits
from .store import CT_ENCODER, SPLITS, RunStore
from .workers import FitWorkers, LocalWorkers

if TYPE_CHECKING:
    from ..models.encoders import PretrainedEncoder

PACKAGES = ("torch", "monai", "scikit-learn", "numpy", "scipy")


def run_crossval(
    cohort: Cohort,
    prepared: PreparedImages,
    config: RunConfig,
    out: Path,
    progress: Progress = silent,
    workers: FitWorkers | None = None,
) -> RunStore:
    """Fit every model in every fold, or what is still missing of it.

    Parameters
    ----------
    cohort : Cohort
        Patients that passed every check.
    prepared : PreparedImages
        Their images, prepared with ``config.preprocess``.
    config : RunConfig
    out : Path
        The run folder; a run that was begun there with the same cohort and settings is resumed.
    progress : Progress
        Stage "train", one step a fit, finished ones included; the message begins with the model in work.
    workers : FitWorkers, optional
        Who fits; ``config.jobs`` processes of this machine when left out. Does not change any result.

    Raises
    ------
    CohortRefused
        ``ONE_CLASS``, ``TOO_FEW_PATIENTS``, ``COHORT_DUPLICATE``.
    ModelRefused
        ``RUN_MISMATCH`` when the folder holds another run; ``MODEL_MISSING`` for an unknown model.
    InputRefused
        ``DEVICE_MISSING``; ``OUTPUT`` when ``out`` cannot be a run folder.
    RunFailed
        ``RUN_BUSY``, ``OUTPUT``, ``WORKER_DIED``, ``TRAINING_FAILED``.
    Cancelled
        The user stopped it; finished folds are kept.
    """
    out = Path(out)
    specs = model_specs(config.models)
    preset = config.preset if isinstance(config.preset, Preset) else preset_named(config.preset)
    settings = FitSettings(preset, config.seed, resolve_device(config.device))
    data, remembered = gather_training_data(cohort, prepared, config.extras)
    splits = make_splits(data.codes, data.y.tolist(), folds=config.folds, repeats=config.repeats, seed=config.seed)
    models = tuple(spec.name for spec in specs)
    require_run_folder(out)
    try:
        with run_lock(out):
            remove_partials(out)
            needs_encoder = any(spec.ct_encoder == "pretrained" for spec in specs)
            encoder = _ct_encoder(out, config, preset, progress) if needs_encoder else None
            together = folds_together(specs, settings, data, splits, encoder)
            asked = _manifest(config, preset, together, remembered, data, encoder)
            store = _open_run(out, asked, splits, remembered, encoder)
            settings = replace(settings, ct_encoder=out / CT_ENCODER if encoder else None)
            _fit_missing(store, models, data, settings, workers or LocalWorkers(config.jobs), progress)
            store = RunStore(out)  # its manifest may have changed
            if not store.missing():
                remove_ct_features(out)
    except KeyboardInterrupt:
        raise Cancelled(
            Code.CANCELLED,
            "Training was stopped; finished folds are kept.",
            remedy="The same command resumes.",
        ) from None
    return store


def _ct_encoder(out: Path, config: RunConfig, preset: Preset, progress: Progress) -> PretrainedEncoder:
    """The encoder that the run was begun with, or, at its beginning, the one asked for."""
    begun_with_one = (out / MANIFEST_NAME).is_file() and read_manifest(out).pretrained is not None
    if begun_with_one and config.pretrained_weights is None:
        return read_encoder(out / CT_ENCODER)
    return ct_encoder_for(preset, config.pretrained_weights, progress=progress)


def _manifest(
    config: RunConfig,
    preset: Preset,
    folds_together: dict[str, int],
    remembered: RunCohort,
    data: TrainingData,
    encoder: PretrainedEncoder | None,
) -> Manifest:
    return Manifest(
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        models=tuple(folds_together),
        preset=preset.name,
        preset_values=asdict(preset),
        folds=config.folds,
        repeats=config.repeats,
        seed=config.seed,
        feature_names=data.feature_names,
        preprocess=asdict(config.preprocess),
        preprocess_digest=config.preprocess.digest(),
        data_sha256=remembered.sha256(),
        synthetic=remembered.synthetic,
        n_patients=len(data.codes),
        n_long=int(data.y.sum()),
        folds_together=folds_together,
        tabular_units=input_units(data.feature_names),
        exclusions={entry.criterion: entry.n for entry in remembered.cohort.exclusions.excluded},
        versions=_versions(),
        pretrained=None if encoder is None else PretrainedSource(encoder.source, encoder.sha256),
    )


def _versions() -> dict[str, str]:
    found = {"prrtpredictor": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _open_run(
    out: Path,
    asked: Manifest,
    splits: tuple[Split, ...],
    remembered: RunCohort,
    encoder: PretrainedEncoder | None,
) -> RunStore:
    """Begin the run, or make sure that the one in the folder is the same and extend its list of models.

    The manifest is written last: a folder with a manifest has everything else.
    """
    manifest = asked
    new_encoder = encoder is not None
    if (out / MANIFEST_NAME).is_file():
        stored = read_manifest(out)
        check_same_run(stored, asked, out.name)
        if read_splits(out / SPLITS) != splits:
            raise ModelRefused(
                Code.RUN_MISMATCH,
                f"{SPLITS} is not what the run was begun with.",
                where=out.name,
                remedy="Restore the file, or train into a new folder.",
            )
        new_encoder = encoder is not None and stored.pretrained is None
        manifest = replace(
            stored,
            models=tuple(name for name in MODELS if name in {*stored.models, *asked.models}),
            folds_together={**asked.folds_together, **stored.folds_together},
            pretrained=stored.pretrained or asked.pretrained,
        )
    else:
        write_splits(out / SPLITS, splits)
        write_run_cohort(out, remembered)
    if encoder is not None and new_encoder:
        write_encoder(out / CT_ENCODER, encoder)
    write_manifest(out, manifest)
    return RunStore(out)


def require_run_folder(out: Path) -> None:
    """Refuse a folder in which no run can be begun or resumed, before any work is done for it.

    Raises
    ------
    InputRefused
        ``OUTPUT`` when it is a file or not writable; ``RUN_MISMATCH`` when it holds something else.
    """
    require_folder_target(out)
    if not out.exists() or (out / MANIFEST_NAME).is_file():
        return
    ours = {SPLITS, COHORT_NAME, CT_ENCODER}
    foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in ours and not entry.name.startswith("."))
    if foreign:
        raise ModelRefused(
            Code.RUN_MISMATCH,
            "The folder holds files of something else than a training run.",
            where=out.name,
            remedy="Choose a new or empty run folder.",
        )


def _fit_missing(
    store: RunStore,
    models: Sequence[str],
    data: TrainingData,
    settings: FitSettings,
    workers: FitWorkers,
    progress: Progress,
) -> None:
    """Fit what is missing of the named models and store each fold as soon as it is there."""
    total = len(models) * len(store.splits)
    missing = [task for task in store.missing() if task.model in models]
    pretrained = next((task.model for task in missing if model_spec(task.model).ct_encoder == "pretrained"), None)
    if pretrained:
        data = with_ct_features(data, model_spec(pretrained), settings, store.path, progress)
    groups = group_tasks(missing, store, settings.device)
    known = _timed(store, models, settings)
    wanted = set(missing)
    pace = Pace(
        [task for group in groups for task in group if task in wanted], known, workers.side_by_side(settings.device)
    )

    def report(done: int) -> None:
        pace.side_by_side = workers.side_by_side(settings.device)
        expect(progress, pace.seconds_left())
        progress("train", done, total, pace.in_work)

    done = total - len(missing)
    report(done)
    with closing(workers.fit(groups, data, settings)) as results:
        for result in results:
            if result.halved:  # noted before the fold is stored, so that a resumed run has the same groups
                store = _noted(store, result.halved)
            if result.task not in wanted:  # there already, and fitted again as company of one that is missing
                continue
            store.save_fold(result)
            pace.finished(result.task, result.outcome.seconds)
            done += 1
            report(done)


def _noted(store: RunStore, halved: Sequence[FoldTask]) -> RunStore:
    """The run, whose manifest now says which groups were halved for want of memory."""
    write_manifest(store.path, with_halved(store.manifest, halved))
    return RunStore(store.path)


def _timed(store: RunStore, models: Sequence[str], settings: FitSettings) -> dict[str, list[float]]:
    """Seconds of the fits that are there already and were made on a device of this kind."""
    seconds: dict[str, list[float]] = {}
    for model in models:
        for task in store.finished(model):
            with suppress(ModelRefused):  # a damaged fold is told of by whoever reads its predictions
                outcome = store.outcome(model, task.repeat, task.fold)
                if (outcome.device == "cpu") == (settings.device == "cpu"):
                    seconds.setdefault(model, []).append(outcome.seconds)
    return seconds
