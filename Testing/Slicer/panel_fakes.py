"""One section of the panel on its own, over logics that do what the test says and nothing else."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from panel_driver import FakeJob

from PRRTPredictorCore.errors import PRRTError
from PRRTPredictorCore.prediction.card import ModelCard
from PRRTPredictorCore.prediction.document import PredictionDocument
from PRRTPredictorCore.records import LABS, ModelIdentity, Notice, TrainingRanges

UI = Path(__file__).parents[2] / "PRRTPredictor" / "Resources" / "UI" / "PRRTPredictor.ui"

CARD = ModelCard(
    name="pet_ct_labs",
    title="SR-PET + CT + labs",
    inputs=("SR-PET", "CT", "labs"),
    members=15,
    patients=116,
    long_pfs=60,
    auroc=0.721,
    auroc_ci95=(0.634, 0.805),
    preset="tuned",
    synthetic=False,
    sha256="0123456789abcdef" * 4,
    created_utc="2026-11-02T10:20:30+00:00",
    survival=(),
    tabular_names=LABS,
    training_ranges=TrainingRanges({}, (0.0, 1.0), ((1.0, 2.0), (1.0, 2.0), (1.0, 2.0))),
)
SYNTHETIC_CARD = replace(CARD, synthetic=True)

DOCUMENT = PredictionDocument(
    probability_long_pfs=0.724,
    group="long",
    interval=(0.553, 0.831),
    lab_contributions={"ast": 0.12, "alt": -0.03, "ggt": -0.4, "cga": 0.02},
    lab_contribution_method="gradient x input",
    warnings=("LAB_OUT_OF_TRAINING_RANGE: GGT 900 lies outside of the training cohort's 10 to 400.",),
    model=ModelIdentity("pet_ct_labs", "0123456789abcdef" * 4, False),
    synthetic_patient=False,
)

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@dataclass
class Call:
    """One call that a fake received."""

    name: str
    values: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """A prediction's outcome."""

    document: PredictionDocument
    charts: dict[str, Path]


@dataclass
class Nodes:
    """What ``addResult`` gives."""

    pet: Any | None
    ct: Any | None


class FakeLogic:
    """A PredictionLogic whose child process is the test."""

    def __init__(self, card: ModelCard | PRRTError = CARD) -> None:
        self.cardOrError = card
        self.refusal: PRRTError | None = None
        self.started: list[Call] = []
        self.seesPet, self.seesCt = True, True

    def card(self, folder: Path) -> ModelCard:
        if isinstance(self.cardOrError, PRRTError):
            raise self.cardOrError
        return self.cardOrError

    def start(self, *values: Any, **options: Any) -> FakeJob:
        if self.refusal is not None:
            raise self.refusal
        self.started.append(Call("start", values, options))
        return FakeJob()

    def addResult(self, _outcome: Any, petNode: Any) -> Nodes:
        return Nodes(
            addVolume("Saliency PET") if self.seesPet else None, addVolume("Saliency CT") if self.seesCt else None
        )

    @property
    def told(self) -> dict[str, Any]:
        """The callbacks of the latest start."""
        return self.started[-1].options


class FakeTrainingLogic:
    """A TrainingLogic whose child process is the test."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.state: str | PRRTError = "new"
        self.runResults: Any = None
        self.runNotices: tuple[Notice, ...] = ()
        self.finished: tuple[str, ...] = ()
        self.check: Any = None
        self.refusal: PRRTError | None = None

    def checkCohort(self, path: Path) -> Any:
        if isinstance(self.check, PRRTError):
            raise self.check
        return self.check

    def runState(self, run: Path, plan: Any) -> str:
        if isinstance(self.state, PRRTError):
            raise self.state
        return self.state

    def finishedModels(self, run: Path) -> tuple[str, ...]:
        return self.finished

    def results(self, run: Path) -> Any:
        return self.runResults

    def notices(self, run: Path) -> tuple[Notice, ...]:
        return self.runNotices

    def _job(self, name: str, values: tuple[Any, ...], options: dict[str, Any]) -> FakeJob:
        if self.refusal is not None:
            raise self.refusal
        self.calls.append(Call(name, values, options))
        return FakeJob()

    def start(self, *values: Any, **options: Any) -> FakeJob:
        return self._job("start", values, options)

    def packModel(self, *values: Any, **options: Any) -> FakeJob:
        return self._job("packModel", values, options)

    def writeReport(self, *values: Any, **options: Any) -> FakeJob:
        return self._job("writeReport", values, options)

    @property
    def told(self) -> dict[str, Any]:
        """The callbacks of the latest start."""
        return self.calls[-1].options


class ErrorBoxes:
    """The error messages that the user had to read."""

    def __init__(self, host: Any) -> None:
        self._host = host

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self._host.dialogs.errors]

    def one(self) -> str:
        """The only message."""
        assert len(self.texts) == 1, self.texts
        return self.texts[0]


class Recorder:
    """Remembers every call of any method."""

    def __init__(self, fails: PRRTError | None = None) -> None:
        self.calls: list[Call] = []
        self.fails = fails

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*values: Any, **options: Any) -> None:
            self.calls.append(Call(name, values, options))
            if self.fails is not None:
                raise self.fails

        return call

    def names(self) -> list[str]:
        return [call.name for call in self.calls]

    def values(self, name: str) -> list[tuple[Any, ...]]:
        return [call.values for call in self.calls if call.name == name]


class Jobs:
    """A job timer without a timer."""

    def __init__(self) -> None:
        self.added: list[Any] = []

    def add(self, job: Any) -> Any:
        self.added.append(job)
        return job


class BarePanel:
    """What a section needs of the panel: the real .ui file and parameter node, no module around them."""

    def __init__(self, logic: Any = None, trainingLogic: Any = None) -> None:
        import slicer

        from PRRTPredictor import PRRTPredictorParameterNode

        self.scene = slicer.mrmlScene
        self.logic = logic or FakeLogic()
        self.trainingLogic = trainingLogic or FakeTrainingLogic()
        self.jobs = Jobs()
        self.database = None
        self.widget = slicer.util.loadUI(str(UI))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.widget.setMRMLScene(self.scene)
        self.parameterNode: Any = PRRTPredictorParameterNode(self.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
        self.section: Any = None
        self._tags: tuple[Any, ...] = ()

    def labSheet(self) -> Any:
        from PRRTPredictorLib.LabSheet import LabEntry, LabSheet

        node = self.parameterNode
        values = {name: getattr(node, name) for name in LABS}
        return LabSheet(
            **{name: LabEntry(value or None, getattr(node, f"{name}Unit")) for name, value in values.items()},
            sampledOn=date.fromisoformat(node.labsDate) if node.labsDate else None,
        )

    def open(self, section: Any) -> Any:
        """Connect a section, as the module does, and put it in view."""
        import vtk

        self.section = section
        section.connectWidgets()
        changed = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: section.refresh())
        self._tags = (self.parameterNode.connectGui(self.ui), changed)
        section.setParameterNode(self.parameterNode)
        self.widget.show()
        return section

    def close(self) -> None:
        """Leave nothing that would follow the scene of the next test."""
        gui, changed = self._tags
        self.parameterNode.disconnectGui(gui)
        self.parameterNode.RemoveObserver(changed)
        self.section.setParameterNode(None)
        self.section.close()
        self.widget.setMRMLScene(None)
        self.widget.close()
        self.widget.deleteLater()

    def fill(self, model: Path) -> None:
        """Give everything that a prediction needs."""
        node = self.parameterNode
        node.petVolume, node.ctVolume = addVolume("PET"), addVolume("CT")
        node.ast, node.alt, node.ggt, node.cga = 30.0, 25.0, 60.0, 120.0
        node.modelFolder = model


def addVolume(name: str) -> Any:
    """A small volume in the scene."""
    import slicer

    return slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.float32), name=name)


def charts(folder: Path) -> dict[str, Path]:
    """Charts as the child leaves them."""
    paths = {name: folder / f"{name}.png" for name in ("lab_contributions", "survival")}
    for path in paths.values():
        path.write_bytes(PNG)
    return paths


def words(widget: Any) -> str:
    """What is read in a label of rich text."""
    import qt

    page = qt.QTextDocument()
    page.setHtml(widget.text)
    return page.toPlainText().replace("\u00a0", " ")
