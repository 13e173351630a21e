"""A study in the scene and its labs -> prediction, charts and saliency nodes; no widgets, for panel and scripts."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PRRTPredictorCore.errors import PRRTError
from PRRTPredictorCore.files import cannot_write
from PRRTPredictorCore.imaging.nrrd import read_nrrd, write_series
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.prediction.card import ModelCard, read_card
from PRRTPredictorCore.prediction.document import PredictionDocument, read_document
from PRRTPredictorCore.records import MODALITY_NAMES, Volume
from PRRTPredictorLib.Database import DicomDatabase
from PRRTPredictorLib.Hierarchy import placeBeside
from PRRTPredictorLib.LabSheet import LabSheet
from PRRTPredictorLib.Study import LoadedStudy, studyFromNodes
from PRRTPredictorLib.Volumes import addVolumeNode, removeVolumeNode
from PRRTPredictorLib.Worker import Job, OnFailed, OnProgress
from PRRTPredictorLib.WorkerLogic import Installer, StartJob, WorkerLogic

CHARTS = ("lab_contributions", "survival")

OnOutcome = Callable[["PredictionOutcome"], None]


@dataclass(frozen=True, eq=False)
class PredictionOutcome:
    """What a prediction leaves.

    Attributes
    ----------
    document : PredictionDocument
    petSaliency, ctSaliency : Volume or None
        In [0, 1]; None where the model does not see that image.
    charts : mapping of str to Path
        PNG files for a panel, by the names in :data:`CHARTS`, as far as the model has them; they vanish with the
        outcome.
    """

    document: PredictionDocument
    petSaliency: Volume | None
    ctSaliency: Volume | None
    charts: Mapping[str, Path]


@dataclass(frozen=True)
class SaliencyNodes:
    """Saliency in the scene (vtkMRMLScalarVolumeNode); None where the model does not see that image."""

    pet: Any | None
    ct: Any | None


class PredictionLogic(WorkerLogic):
    """Predicts one study.

    Parameters
    ----------
    startJob, dependencies
        As for :class:`WorkerLogic`.
    database : DicomDatabase, optional
        Gives the headers of volumes that Slicer loaded without SUV.

    Examples
    --------
    >>> logic = PredictionLogic(database=slicer.dicomDatabase)
    >>> outcome = logic.predict(petNode, ctNode, labSheet, Path("model"))
    >>> outcome.document.probability_long_pfs
    """

    def __init__(
        self,
        startJob: StartJob = Job.start,
        dependencies: Installer | None = None,
        database: DicomDatabase | None = None,
    ) -> None:
        super().__init__(startJob, dependencies)
        self._database = database

    def card(self, folder: Path) -> ModelCard:
        """What a model folder says of itself.

        Raises
        ------
        ModelRefused
            No model there, or one that must not be used.
        """
        return read_card(Path(folder))

    def start(
        self,
        petNode: Any,
        ctNode: Any,
        labSheet: LabSheet,
        model: Path,
        device: str = "auto",
        *,
        assumeUnits: bool = False,
        chartOptions: Sequence[str] = (),
        onProgress: OnProgress | None = None,
        onFinished: OnOutcome | None = None,
        onFailed: OnFailed | None = None,
    ) -> Job:
        """Check everything, hand the study to a child process and return at once.

        Parameters
        ----------
        petNode, ctNode : vtkMRMLScalarVolumeNode
        labSheet : LabSheet
        model : Path
            Model folder.
        device : {"auto", "cpu", "cuda"}
        assumeUnits : bool
            The user vouches that volumes without a unit hold SUVbw and HU.
        chartOptions : sequence of str
            How the charts are drawn, as options of ``prrt predict``: ``--charts-font=12``, ``--charts-dark``.
        onProgress, onFinished, onFailed : callable, optional
            As for :class:`Job`; ``onFinished`` receives the PredictionOutcome.

        Raises
        ------
        PRRTError
            What is wrong with labs, model or volumes; packages that are missing; no room for the study on the disk.
        """
        labWords = labSheet.words()
        card = self.card(model)
        study = studyFromNodes(petNode, ctNode, self._database, assumeUnits)
        self._install()  # a user who declines is not kept waiting for the study to be written
        exchange = _Exchange()

        def failed(error: PRRTError) -> None:
            exchange.remove()
            if onFailed is not None:
                onFailed(error)

        try:
            words = exchange.put(study, card)
            return self._launch(
                ["predict", f"--model={model}", f"--device={device}", *labWords, *words, *chartOptions],
                exchange.take,
                onProgress=onProgress,
                onFinished=onFinished,
                onFailed=failed,
            )
        except BaseException:
            exchange.remove()
            raise

    def predict(
        self,
        petNode: Any,
        ctNode: Any,
        labSheet: LabSheet,
        model: Path,
        device: str = "auto",
        *,
        assumeUnits: bool = False,
        onProgress: OnProgress | None = None,
    ) -> PredictionOutcome:
        """As :meth:`start`, but wait for the outcome; for scripts.

        Raises
        ------
        PRRTError
            As :meth:`start`, and what went wrong in the child process.
        """
        outcomes: list[PredictionOutcome] = []
        errors: list[PRRTError] = []
        job = self.start(
            petNode, ctNode, labSheet, model, device,
            assumeUnits=assumeUnits, onProgress=onProgress, onFinished=outcomes.append, onFailed=errors.append,
        )  # fmt: skip
        job.wait()
        if errors:  # the child was content, but its files cannot be read
            raise errors[0]
        return outcomes[0]

    def addResult(self, outcome: PredictionOutcome, petNode: Any) -> SaliencyNodes:
        """Add the saliency to the PET's scene, under its study in subject hierarchy."""
        scene = petNode.GetScene()
        document = outcome.document
        made = "SYNTHETIC " if document.synthetic_patient or document.model.synthetic else ""
        added: list[Any] = []
        try:
            for volume in (outcome.petSaliency, outcome.ctSaliency):
                if volume is None:
                    added.append(None)
                    continue
                name = f"{made}Saliency {MODALITY_NAMES[volume.modality]}"
                added.append(addVolumeNode(scene, volume, scene.GenerateUniqueName(name)))
                placeBeside(added[-1], petNode)
        except BaseException:
            for node in filter(None, added):
                removeVolumeNode(node)
            raise
        return SaliencyNodes(*added)


class _Exchange:
    """Two private folders between us and the child: the study, which never outlives the job, and the charts."""

    def __init__(self) -> None:
        self._folder = _newFolder()
        self._charts = _newFolder()
        # Also when nobody asks the job any more: it is garbage then, or the application ends.
        self._finalizers = tuple(weakref.finalize(self, _removeFolder, one) for one in (self._folder, self._charts))

    def put(self, study: LoadedStudy, card: ModelCard) -> list[str]:
        """Write the study; returns the options of ``prrt predict`` that name it and the results."""
        words = []
        for name, series in (("pet", study.pet), ("ct", study.ct)):
            path = self._folder / f"{name}.nrrd"
            write_series(path, series)
            words.append(f"--{name}={path}")
        spec = MODELS[card.name]
        if spec.uses_pet:
            words.append(f"--saliency={self._petSaliency}")
        if spec.uses_ct:
            words.append(f"--saliency-ct={self._ctSaliency}")
        return [*words, f"--charts={self._charts}"]

    def take(self, answer: Mapping[str, Any]) -> PredictionOutcome:
        """Read what the child has left, and keep nothing but what the outcome needs."""
        charts = {name: self._charts / f"{name}.png" for name in CHARTS}
        outcome = PredictionOutcome(
            document=read_document(answer),
            petSaliency=_readIfThere(self._petSaliency),
            ctSaliency=_readIfThere(self._ctSaliency),
            charts={name: path for name, path in charts.items() if path.is_file()},
        )
        self._finalizers[1].detach()
        weakref.finalize(outcome, _removeFolder, self._charts)
        self.remove()
        return outcome

    def remove(self) -> None:
        """Remove what is not part of an outcome."""
        for finalizer in self._finalizers:
            finalizer()

    @property
    def _petSaliency(self) -> Path:
        return self._folder / "saliency_pet.nrrd"

    @property
    def _ctSaliency(self) -> Path:
        return self._folder / "saliency_ct.nrrd"


def _readIfThere(path: Path) -> Volume | None:
    return read_nrrd(path) if path.is_file() else None


def _newFolder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="prrt-"))  # for this user alone
    except OSError as problem:
        raise cannot_write(Path(tempfile.gettempdir()) / "prrt", problem) from problem


def _removeFolder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
