"""The stand-in's parameter nodes: Slicer's format in the node, its exceptions, and the widgets it can bind."""

from __future__ import annotations

import enum
import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

import slicer

if TYPE_CHECKING:
    from slicer_standin.host import Host


class Shade(enum.Enum):
    """A parameter of a few names."""

    LIGHT = 1
    DARK = 2


@pytest.fixture
def kind(host: Host) -> Any:
    """A wrapper class with every kind of parameter."""
    from slicer.parameterNodeWrapper import Choice, Default, Minimum, WithinRange, parameterNodeWrapper

    class Parameters:
        pass

    Parameters.__annotations__ = {
        "volume": slicer.vtkMRMLScalarVolumeNode,
        "assumeUnits": bool,
        "ast": float,
        "unit": str,
        "device": Annotated[str, Choice(["auto", "cpu"]), Default("auto")],
        "threshold": Annotated[float, WithinRange(0, 1), Default(0.3)],
        "folds": Annotated[int, Minimum(2), Default(3)],
        "models": list[str],
        "folder": pathlib.Path,
        "shade": Shade,
        "anyNode": slicer.vtkMRMLModelNode | slicer.vtkMRMLScalarVolumeNode | None,
        "pair": tuple[int, str],
    }
    Parameters.seed = 7
    Parameters.__annotations__["seed"] = int
    return parameterNodeWrapper(Parameters)


@pytest.fixture
def node(host: Host) -> Any:
    return host.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


def test_defaults_are_written_at_once(kind: Any, node: Any) -> None:
    parameters = kind(node)

    assert (parameters.volume, parameters.assumeUnits, parameters.ast, parameters.unit) == (None, False, 0.0, "")
    assert (parameters.device, parameters.threshold, parameters.folds, parameters.seed) == ("auto", 0.3, 3, 7)
    assert (parameters.models, parameters.folder, parameters.shade) == ([], pathlib.Path(), Shade.LIGHT)
    assert (parameters.anyNode, parameters.pair) == (None, (0, ""))
    assert node.GetParameter("threshold") == "0.3"
    assert node.GetParameter("assumeUnits") == "False"


def test_the_node_holds_slicers_format(host: Host, kind: Any, node: Any) -> None:
    parameters = kind(node)
    volume = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    parameters.volume = volume
    parameters.assumeUnits = True
    parameters.models = ["pet", "ct"]
    parameters.models.append("pet_ct")
    parameters.folder = pathlib.Path("/models/a")
    parameters.shade = Shade.DARK
    parameters.anyNode = volume
    parameters.pair = (4, "four")

    texts = {name: node.GetParameter(name) for name in node.GetParameterNames()}

    assert node.GetNodeReferenceID("volume") == volume.GetID()
    assert node.GetNodeReferenceID("anyNode.1") == volume.GetID()
    assert texts["assumeUnits"] == "True"
    assert [texts[f"models.{name}"] for name in ("len", 0, 1, 2)] == ["3", "pet", "ct", "pet_ct"]
    assert (texts["folder"], texts["shade"]) == (str(pathlib.Path("/models/a")), "DARK")
    assert (texts["pair.0"], texts["pair.1"]) == ("4", "four")
    parameters.models = ["pet"]
    assert not node.HasParameter("models.1")


def test_a_second_wrapper_and_a_change_from_outside_are_seen(kind: Any, node: Any) -> None:
    first, second = kind(node), kind(node)

    first.threshold = 0.5
    assert second.threshold == 0.5
    node.SetParameter("threshold", "0.75")

    assert (first.threshold, second.threshold) == (0.75, 0.75)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("threshold", 2.0, ValueError),
        ("device", "tpu", ValueError),
        ("folds", 1, ValueError),
        ("ast", "many", TypeError),
        ("ast", None, ValueError),
        ("seed", 1.5, TypeError),
        ("models", ["pet", 1], TypeError),
        ("folder", "/models/a", TypeError),
    ],
)
def test_a_refused_value_leaves_the_old_one(
    kind: Any, node: Any, name: str, value: object, error: type[Exception]
) -> None:
    parameters = kind(node)
    before = parameters.getValue(name)

    with pytest.raises(error):
        parameters.setValue(name, value)

    assert parameters.getValue(name) == before


def test_a_removed_node_reads_as_none(host: Host, kind: Any, node: Any) -> None:
    parameters = kind(node)
    parameters.volume = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")

    host.scene.RemoveNode(parameters.volume)

    assert parameters.volume is None


def test_a_name_of_its_own_methods_is_refused(host: Host) -> None:
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    class Parameters:
        connectGui: int  # type: ignore[annotation-unchecked]

    Parameters.connectGui = 1
    with pytest.raises(ValueError, match="reserved"):
        parameterNodeWrapper(Parameters)


@pytest.fixture
def panel(host: Host) -> dict[str, Any]:
    """One widget a parameter, as a panel would have it."""
    import ctk
    import qt

    root = qt.QWidget()
    layout = qt.QFormLayout(root)
    widgets = {
        "volume": slicer.qMRMLNodeComboBox(),
        "assumeUnits": qt.QCheckBox(),
        "ast": qt.QDoubleSpinBox(),
        "unit": qt.QLineEdit(),
        "device": qt.QComboBox(),
        "threshold": ctk.ctkSliderWidget(),
        "folds": qt.QSpinBox(),
        "folder": ctk.ctkPathLineEdit(),
        "shade": qt.QComboBox(),
    }
    widgets["threshold"].singleStep = 0.01
    widgets["threshold"].decimals = 2
    for name, widget in widgets.items():
        widget.setProperty("SlicerParameterName", name)
        widget.name = f"{name}Widget"
        layout.addRow(name, widget)
    widgets["volume"].noneEnabled = True
    widgets["volume"].setMRMLScene(host.scene)
    return {"root": root, **widgets}


@pytest.mark.parametrize("way", ["widget", "variables"])
def test_widgets_and_node_follow_each_other(host: Host, kind: Any, node: Any, panel: dict[str, Any], way: str) -> None:
    parameters = kind(node)
    volume = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    gui = panel["root"] if way == "widget" else slicer.util.childWidgetVariables(panel["root"])
    tag = parameters.connectGui(gui)
    assert panel["volume"].nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert (panel["ast"].minimum, panel["ast"].maximum) == (float("-inf"), float("inf"))
    assert (panel["folds"].minimum, panel["threshold"].maximum, panel["folder"].currentPath) == (2, 1.0, ".")
    assert [panel["shade"].itemText(index) for index in range(2)] == ["LIGHT", "DARK"]

    panel["volume"].setCurrentNode(volume)
    panel["assumeUnits"].checked = True
    panel["ast"].value = 31.5
    panel["unit"].text = "U/L"
    panel["device"].currentIndex = 1
    panel["threshold"].value = 0.5
    panel["folds"].value = 5
    panel["folder"].currentPath = "/models/a"
    panel["shade"].currentIndex = 1

    assert parameters.volume is volume
    assert (parameters.assumeUnits, parameters.ast, parameters.unit) == (True, 31.5, "U/L")
    assert (parameters.device, parameters.threshold, parameters.folds) == ("cpu", 0.5, 5)
    assert (parameters.folder, parameters.shade) == (pathlib.Path("/models/a"), Shade.DARK)

    parameters.threshold, parameters.device, parameters.volume = 0.25, "auto", None
    assert (panel["threshold"].value, panel["device"].currentText) == (0.25, "auto")
    assert panel["volume"].currentNode() is None

    parameters.disconnectGui(tag)
    panel["threshold"].value = 0.9
    parameters.unit = "ukat/L"
    assert (parameters.threshold, panel["unit"].text) == (0.25, "U/L")


def test_pairs_that_slicer_does_not_bind_are_refused(kind: Any, node: Any) -> None:
    import ctk
    import qt

    parameters = kind(node)
    pairs = [
        ("volume", slicer.qMRMLColorTableComboBox()),
        ("unit", qt.QPlainTextEdit()),
        ("unit", ctk.ctkSearchBox()),
        ("unit", qt.QComboBox()),
        ("models", qt.QListWidget()),
        ("assumeUnits", qt.QRadioButton()),
        ("assumeUnits", ctk.ctkCollapsibleButton()),
        ("folder", qt.QLineEdit()),
        ("ast", ctk.ctkSliderWidget()),
        ("seed", qt.QSlider()),
    ]
    for name, widget in pairs:
        with pytest.raises(RuntimeError):
            parameters.connectParametersToGui({name: widget})


def test_parameters_come_back_with_the_scene(host: Host, kind: Any, node: Any, tmp_path: pathlib.Path) -> None:
    parameters = kind(node)
    parameters.models, parameters.threshold = ["pet", "ct"], 0.6
    node.SetName("Saved")
    path = tmp_path / "scene.mrml"
    host.scene.SetURL(str(path))
    assert host.scene.Commit()
    host.scene.Clear(0)

    host.scene.SetURL(str(path))
    host.scene.Connect()

    again = kind(slicer.util.getNode("Saved"))
    assert (again.models, again.threshold) == (["pet", "ct"], 0.6)


def test_the_modules_parameter_node_is_one_a_scene(host: Host) -> None:
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class SampleLogic(ScriptedLoadableModuleLogic):
        pass

    logic = SampleLogic()

    node = logic.getParameterNode()

    assert node is logic.getParameterNode()
    assert node.GetAttribute("ModuleName") == "Sample"
    assert node.GetSingletonTag() == "Sample"
    assert logic.getAllParameterNodes() == [node]
    host.scene.RemoveNode(node)  # a singleton outlives the closing of its scene
