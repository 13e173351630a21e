"""One patient: PET, CT and labs against a model folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import __version__
from ..cohort.labs import lab_notices, sampling_notices
from ..errors import Code, InputRefused, ModelRefused
from ..freetext import one_line
from ..imaging.mapping import to_pet_geometry
from ..imaging.preprocess import prepare_study
from ..models.bundle import LoadedBundle, load_bundle
from ..progress import Progress, silent
from ..records import LABS, LARGEST_INPUT, Labs, LoadedSeries, Modality, Notice, Prediction, PreparedStudy, Volume
from .ranges import range_notices
from .sources import ImageSource, ct_of, pet_of

if TYPE_CHECKING:
    from ..explain.importance import LabContributions
    from ..explain.saliency import SaliencyMaps

STAGES = ("model", "PET", "CT", "common grid", "ensemble", "saliency")


@dataclass(frozen=True, eq=False)
class PredictionResult:
    """A prediction with everything needed to show it on the patient.

    Attributes
    ----------
    pet, ct : LoadedSeries
        The study as read, in SUVbw and HU.
    pet_saliency, ct_saliency : Volume or None
        Saliency of each branch in the PET's geometry, [0, 1]; None for an image that the model does not see.
    """

    prediction: Prediction
    pet: LoadedSeries
    ct: LoadedSeries
    pet_saliency: Volume | None
    ct_saliency: Volume | None
    synthetic_patient: bool = False


@dataclass(frozen=True)
class Patient:
    """The values of one patient that are typed in, not read from images."""

    labs: Labs
    extras: Mapping[str, float] = field(default_factory=dict)

    def tabular(self, names: Sequence[str]) -> np.ndarray:
        """Values in the order of ``names`` (labs first, then the model's extras), shape (F,).

        Raises
        ------
        InputRefused
            ``LAB_MISSING`` for an input that is absent or no usable number, ``COHORT_VALUE`` for an extra that the
            model does not take.
        """
        unknown = [name for name in self.extras if name not in names or name in LABS]
        if unknown:
            raise InputRefused(
                Code.COHORT_VALUE,
                f"The model takes no extra input {', '.join(unknown)}.",
                where="--extra",
                remedy=f"Leave it out; the model's inputs are {', '.join(names) or 'images alone'}.",
            )
        labs = dict(zip(LABS, self.labs.values(), strict=True))
        given = {**self.extras, **labs}
        missing = [name for name in names if not abs(given.get(name, np.nan)) <= LARGEST_INPUT]  # NaN is not
        if missing:
            raise InputRefused(
                Code.LAB_MISSING,
                f"The model also needs {', '.join(missing)}.",
                remedy=f"Give {' '.join(f'{name}=NUMBER' for name in missing)} with --extra.",
            )
        return np.array([given[name] for name in names], dtype=np.float64)


def predict(
    model: Path | LoadedBundle,
    pet: ImageSource,
    ct: ImageSource,
    patient: Patient,
    *,
    device: str = "auto",
    saliency: bool = True,
    progress: Progress = silent,
) -> PredictionResult:
    """Predict progression-free survival for one study and say where the networks looked.

    Parameters
    ----------
    model : Path or LoadedBundle
        A model folder as ``prrt fit`` packs it.
    pet, ct : Path, sequence of Path or LoadedSeries
        DICOM files of one series each, the folders that hold them, ``.nrrd`` files of
        :func:`~PRRTPredictorCore.imaging.nrrd.write_series`, or the series themselves.
    patient : Patient
        Labs, and the extra inputs that the model asks for.
    device : {"auto", "cpu", "cuda"}
    saliency : bool
        Also map the gradient saliency back to the PET (a random forest has none).

    Raises
    ------
    DicomRefused, SuvRefused, GeometryRefused
        The study cannot be trusted.
    ModelRefused
        The model folder is missing, altered or made for something else.
        ``NOT_FINITE``: its answer is no number.
    InputRefused
        An input of the model is missing.
    """
    steps = iter(range(len(STAGES)))

    def step(stage: str) -> None:
        progress("predict", next(steps), len(STAGES), stage)

    step("model")
    bundle = model if isinstance(model, LoadedBundle) else load_bundle(model, device=device)
    tabular = patient.tabular(bundle.metadata.tabular_names)
    step("PET")
    loaded_pet = pet_of(pet)
    step("CT")
    loaded_ct = ct_of(ct)
    step("common grid")
    study = prepare_study(loaded_pet, loaded_ct, bundle.metadata.preprocess)
    step("ensemble")
    notices = (
        *study.notices,
        *lab_notices(patient.labs),
        *sampling_notices(patient.labs, loaded_pet.acquisition.date),
        *range_notices(
            bundle.metadata.training_ranges, study, dict(zip(bundle.metadata.tabular_names, tabular, strict=True))
        ),
        *model_notices(bundle),
    )
    answer = ask_ensemble(bundle, study, tabular, explain=True)
    low, high = np.quantile(answer.probabilities, (0.05, 0.95))
    prediction = Prediction(
        probability_long_pfs=float(answer.probabilities.mean()),
        interval=(float(low), float(high)),
        lab_contributions=answer.labs.values,
        lab_method=answer.labs.method,
        model=bundle.identity,
        notices=notices,
    )
    step("saliency")
    maps = answer.maps if saliency else None
    progress("predict", len(STAGES), len(STAGES), "done")

    def on_the_patient(values: np.ndarray | None, seen: Modality) -> Volume | None:
        if values is None:
            return None
        return replace(to_pet_geometry(values, study.grid, loaded_pet.volume), modality=seen)

    return PredictionResult(
        prediction=prediction,
        pet=loaded_pet,
        ct=loaded_ct,
        pet_saliency=on_the_patient(maps.pet, "PT") if maps else None,
        ct_saliency=on_the_patient(maps.ct, "CT") if maps else None,
        synthetic_patient=study.pet_acquisition.synthetic,
    )


@dataclass(frozen=True, eq=False)
class EnsembleAnswer:
    """What the members of a model say of one prepared study.

    Attributes
    ----------
    probabilities : ndarray, shape (members,)
        Of long PFS.
    maps : SaliencyMaps or None
        On the common grid; None where the saliency was not asked for, or the model has no gradient.
    """

    probabilities: np.ndarray
    labs: LabContributions
    maps: SaliencyMaps | None


def ask_ensemble(bundle: LoadedBundle, study: PreparedStudy, tabular: np.ndarray, *, explain: bool) -> EnsembleAnswer:
    """Ask every member about a prepared study; with ``explain``, also where it looked and what the labs contributed.

    Raises
    ------
    ModelRefused
        ``NOT_FINITE`` when a member's answer is no number.
    """
    from ..explain.importance import NO_LABS, forest_contributions, network_contributions
    from ..explain.saliency import ask_one, gradient_saliency
    from ..models.answers import side_by_side

    names = bundle.metadata.tabular_names
    if not bundle.networks or not explain:
        logits = np.array(
            [member.predict(study.pet[None], study.ct[None], tabular[None])[0] for member in bundle.members]
        )
        labs = forest_contributions(bundle.forests, names, tabular) if bundle.forests and explain else NO_LABS
        return EnsembleAnswer(_probabilities(logits), labs, None)
    answers = side_by_side(bundle.networks, lambda member: ask_one(member, study.pet, study.ct, tabular))
    logits = np.array([float(answer.logits[0]) for answer in answers])
    probabilities = _probabilities(logits)
    return EnsembleAnswer(probabilities, network_contributions(answers, names), gradient_saliency(answers))


def _probabilities(logits: np.ndarray) -> np.ndarray:
    undefined = np.count_nonzero(~np.isfinite(logits))
    if undefined:
        raise ModelRefused(
            Code.NOT_FINITE,
            f"The answer of {undefined} of the model's {len(logits)} members is no number.",
            remedy="Check the images and values; if they are right, pack the model again with `prrt fit`.",
        )
    with np.errstate(over="ignore"):  # of a very certain member: the limit is right
        return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def model_notices(bundle: LoadedBundle) -> tuple[Notice, ...]:
    """Say what the reader must know of the model itself."""
    made = Notice(
        "MODEL_SYNTHETIC",
        "The model was trained on SYNTHETIC (made) patients; its answer means nothing for a real one.",
    )
    return (*((made,) if bundle.identity.synthetic else ()), *version_notices(bundle))


def version_notices(bundle: LoadedBundle) -> tuple[Notice, ...]:
    """Say that another version packed the model: since then, rules of reading DICOM may have been corrected."""
    packed = one_line(bundle.metadata.version)
    if packed == __version__:
        return ()
    message = f"The model was packed by PRRTPredictor {packed}; this is {__version__}, which reads the images."
    return (Notice("MODEL_VERSION", message),)
