"""The stand-in's Qt side answers as a running Slicer did: one case a line that was read off it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

if TYPE_CHECKING:
    from slicer_standin.host import Host


@pytest.fixture
def names(host: Host) -> dict[str, Any]:
    """The widgets that the expressions below speak of."""
    import ctk
    import qt
    import slicer

    widget = qt.QWidget()
    layout = qt.QVBoxLayout(widget)
    layout.addWidget(qt.QLabel("inside"))
    combo = qt.QComboBox()
    for text, data in (("a", None), ("b", None), ("c", {"k": 1})):
        combo.addItem(text, data)
    date = qt.QDateEdit()
    date.date = qt.QDate(2026, 1, 2)
    table = qt.QTableWidget(2, 3)
    table.setItem(0, 0, qt.QTableWidgetItem("x"))
    plain = qt.QPlainTextEdit()
    plain.plainText = "hi"
    line = qt.QLineEdit()
    line.text = "9"
    timer = qt.QTimer()
    timer.interval = 50
    spin = qt.QDoubleSpinBox()
    spin.value = 3.5
    slider = ctk.ctkSliderWidget()
    slider.maximum, slider.singleStep, slider.decimals = 1.0, 0.01, 2
    slider.value = 0.3
    return {
        "qt": qt,
        "ctk": ctk,
        "slicer": slicer,
        "s": spin,
        "l": qt.QLabel("a"),
        "c": combo,
        "k": qt.QCheckBox("k"),
        "b": qt.QPushButton("b"),
        "d": date,
        "t": table,
        "te": plain,
        "le": line,
        "tm": timer,
        "w": widget,
        "n": slicer.qMRMLNodeComboBox(),
        "sw": slider,
        "progress": qt.QProgressBar(),
    }


GIVES = [
    ("s.value", 3.5),
    ("(s.setValue(2.0), s.value)", (None, 2.0)),
    ('s.property("value")', 3.5),
    ("l.text", "a"),
    ('(l.setText("b"), l.text)', (None, "b")),
    ("(l.visible, l.isVisible())", (False, False)),
    ("(l.enabled, l.isEnabled())", (True, True)),
    ('(setattr(l, "toolTip", "x"), l.toolTip)', (None, "<p>x</p>")),
    ('(l.setToolTip("x"), l.toolTip)', (None, "<p>x</p>")),
    ("l.objectName", ""),
    ("(c.currentText, c.currentIndex, c.count)", ("a", 0, 3)),
    ("c.currentData", None),
    ("c.itemData(2)", {"k": 1}),
    ('c.findText("b")', 1),
    ("k.checked", False),
    ("k.isChecked()", False),
    ('d.date.toString("yyyy-MM-dd")', "2026-01-02"),
    ("(t.rowCount, t.columnCount)", (2, 3)),
    ("t.item(0, 0).text()", "x"),
    ("callable(t.item(0, 0).text)", True),
    ('t.setHorizontalHeaderLabels(["a", "b", "c"])', None),
    ("t.selectedItems()", ()),
    ("callable(t.currentRow)", True),
    ("t.currentRow()", -1),
    ("qt.Qt.AlignLeft", 1),
    ("qt.Qt.AlignmentFlag.__name__", "AlignmentFlag"),
    ("qt.QMessageBox.Yes", 16384),
    ("qt.QProcess.NotRunning", 0),
    ("qt.QSizePolicy.Expanding", 7),
    ("qt.QHeaderView.Stretch", 1),
    ("qt.QAbstractItemView.SelectRows", 1),
    ("(progress.value, progress.maximum)", (-1, 100)),
    ("(progress.text, progress.minimumSizeHint.height() > 0)", ("", True)),
    ("type(d.date).__name__", "QDate"),
    ("te.plainText", "hi"),
    ("te.toPlainText()", "hi"),
    ("le.text", "9"),
    ("qt.QTimer.singleShot(0, lambda: None)", None),
    ("tm.interval", 50),
    ('(tm.timeout.connect(print), tm.connect("timeout()", print))', (True, True)),
    ("[child.className() for child in w.children()]", ["QVBoxLayout", "QLabel"]),
    ("w.layout().className()", "QVBoxLayout"),
    ("w.findChild(qt.QLabel).text", "inside"),
    ('len(w.findChildren("QLabel"))', 1),
    ('len(slicer.util.findChildren(w, className="QLabel"))', 1),
    ("type(w.grab()).__name__", "QPixmap"),
    ("(w.resize(19, 29), w.size.width(), w.width)", (None, 19, 19)),
    ("w.geometry == qt.QRect(w.x, w.y, w.width, w.height)", True),
    ('(setattr(n, "nodeTypes", ["vtkMRMLScalarVolumeNode"]), n.nodeTypes)', (None, ("vtkMRMLScalarVolumeNode",))),
    ('n.addAttribute("vtkMRMLScalarVolumeNode", "LabelMap")', None),
    ("n.noneEnabled", False),
    ("sw.value", 0.3),
    ('sw.connect("valueChanged(double)", print)', True),
    ("ctk.ctkPathLineEdit().currentPath", ""),
    ("ctk.ctkCollapsibleButton().collapsed", False),
    ("ctk.ctkDoubleSpinBox().value", 0.0),
    ("slicer.qMRMLTableView.__name__", "qMRMLTableView"),
    ("slicer.qMRMLColorTableComboBox.__name__", "qMRMLColorTableComboBox"),
    ("isinstance(t.horizontalHeader(), qt.QHeaderView)", True),
    ("isinstance(k, qt.QWidget)", True),
    ("(setattr(k, 'name', 'box'), k.name, k.objectName)", (None, "box", "box")),
]

RAISES = [
    ("s.value()", TypeError, "'float' object is not callable"),
    ("l.text()", TypeError, "'str' object is not callable"),
    ("l.objectName()", TypeError, "'str' object is not callable"),
    ("c.currentText()", TypeError, "'str' object is not callable"),
    ("d.date.toPyDate", AttributeError, "toPyDate"),
    # Beyond the table: what PySide6 offers and PythonQt does not.
    ("d.date.toPython()", AttributeError, "toPython"),
    ("setattr(l, 'txt', 1)", AttributeError, "does not exist"),
    ("setattr(l, 'sizeHint', 1)", AttributeError, "not writable"),
    ("qt.Signal", AttributeError, "Signal"),
    ("b.connect('pressed(bool)', print)", ValueError, "no signal"),
    ("ctk.ctkDoubleRangeSlider", NotImplementedError, "ctkDoubleRangeSlider"),
    ("slicer.qMRMLSubjectHierarchyTreeView", NotImplementedError, "qMRMLSubjectHierarchyTreeView"),
]


@pytest.mark.parametrize(("expression", "expected"), GIVES)
def test_an_expression_gives_what_slicer_gave(names: dict[str, Any], expression: str, expected: object) -> None:
    given = eval(expression, names)
    assert given == expected
    assert isinstance(given, (bool, int)) == isinstance(expected, (bool, int))


@pytest.mark.parametrize(("expression", "error", "text"), RAISES)
def test_an_expression_fails_as_in_slicer(
    names: dict[str, Any], expression: str, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text.replace("(", r"\(")):
        eval(expression, names)


def test_both_ways_to_connect_and_what_arrives(names: dict[str, Any]) -> None:
    button, arrived = names["b"], []
    assert button.connect("clicked(bool)", lambda on: arrived.append(("bool", on)))
    assert button.connect("clicked()", lambda: arrived.append("noarg"))
    assert button.clicked.connect(lambda *values: arrived.append(("sig", values)))

    button.click()

    assert arrived == [("bool", False), "noarg", ("sig", (False,))]
    assert button.disconnect("clicked(bool)")
    arrived.clear()
    button.click()
    assert arrived == ["noarg"]


def test_a_slot_is_disconnected_by_itself(names: dict[str, Any]) -> None:
    spin, arrived = names["s"], []
    other: list[float] = []
    spin.valueChanged.connect(arrived.append)
    spin.valueChanged.connect(other.append)
    spin.value = 4.0

    assert spin.valueChanged.disconnect(arrived.append)
    assert not spin.valueChanged.disconnect(print)
    spin.value = 5.0

    assert (arrived, other) == ([4.0], [4.0, 5.0])


def test_a_slot_gets_as_many_values_as_it_declares(names: dict[str, Any]) -> None:
    """As PythonQt counts: functions and methods by their own parameters, anything else gets all."""
    import functools

    button, arrived = names["b"], []

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def inner(*values: Any) -> None:
            arrived.append(values)

        return inner

    def takesNothing() -> None:
        arrived.append("nothing")

    button.clicked.connect(takesNothing)
    button.clicked.connect(decorate(takesNothing))
    button.clicked.connect(functools.partial(arrived.append))

    button.click()

    assert arrived == ["nothing", (False,), False]


@pytest.mark.parametrize(
    ("widget", "name", "value", "shown"),
    [
        ("l", "enabled", None, False),
        ("l", "enabled", [1], True),
        ("l", "text", 5, "5"),
        ("progress", "maximum", 7.9, 7),
        ("s", "value", 3, 3.0),
    ],
)
def test_what_is_assigned_is_converted_as_pythonqt_does(
    names: dict[str, Any], widget: str, name: str, value: object, shown: object
) -> None:
    setattr(names[widget], name, value)
    assert getattr(names[widget], name) == shown


@pytest.mark.parametrize(
    ("widget", "name", "value"), [("s", "value", "3"), ("progress", "maximum", None), ("d", "date", "2026-01-02")]
)
def test_what_does_not_fit_a_property_is_refused(names: dict[str, Any], widget: str, name: str, value: object) -> None:
    with pytest.raises(AttributeError, match="does not accept"):
        setattr(names[widget], name, value)


def test_an_error_in_a_slot_is_seen_by_tests(host: Host, names: dict[str, Any]) -> None:
    names["b"].clicked.connect(lambda: 1 / 0)

    names["b"].click()

    assert [type(error) for error in host.slotErrors] == [ZeroDivisionError]
    host.slotErrors.clear()


def test_objects_that_qt_made_have_the_manners_too(names: dict[str, Any]) -> None:
    table, log = names["t"], names["te"]
    header = table.horizontalHeader()

    header.setSectionResizeMode(names["qt"].QHeaderView.Stretch)
    header.stretchLastSection = True
    log.verticalScrollBar().value = log.verticalScrollBar().maximum

    assert table.horizontalHeader().stretchLastSection is True
    assert table.horizontalHeader() == header
    with pytest.raises(TypeError):
        header.stretchLastSection()
    with pytest.raises(AttributeError):
        header.unknown = 1


def test_a_process_gives_bytes(names: dict[str, Any]) -> None:
    qt = names["qt"]
    process = qt.QProcess()
    process.start(sys.executable, ["-c", "print('hello')"])
    assert process.waitForFinished(300_000)

    output = process.readAllStandardOutput()

    assert type(output).__name__ == "QByteArray"
    assert output.data().strip() == b"hello"
    assert (process.exitCode(), process.state()) == (0, 0)
    assert callable(process.exitCode)


def test_the_node_selector_follows_the_scene(host: Host, names: dict[str, Any]) -> None:
    selector, seen = names["n"], []
    volume = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "PET")
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    selector.setMRMLScene(host.scene)
    assert selector.nodeCount() == 1
    assert selector.currentNode() is None
    assert (selector.setCurrentNode(volume), selector.currentNodeID) == (None, "vtkMRMLScalarVolumeNode1")

    second = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    host.scene.AddNewNodeByClass("vtkMRMLModelNode")
    assert selector.nodeCount() == 2
    host.scene.RemoveNode(volume)

    assert seen == [volume, second]  # Qt chooses the entry that moves up
    host.scene.Clear(0)
    assert selector.currentNode() is None


@pytest.mark.parametrize(
    ("filters", "typed", "told"),
    [
        ((), "/a/b", [("path", "/a/b"), ("valid", True)]),
        (("*.csv *.tsv",), "/a/b.csv", [("path", "/a/b.csv"), ("valid", True)]),
        (("*.csv *.tsv",), "/a/b.tsv", []),
        (("Tables (*.csv *.tsv)",), "/a/b.tsv", [("path", "/a/b.tsv"), ("valid", True)]),
        (("Tables (*.csv *.tsv)", "All files (*)"), "/a/b.txt", []),
    ],
)
def test_a_path_line_tells_only_of_paths_that_fit_its_filters(
    names: dict[str, Any], filters: tuple[str, ...], typed: str, told: list[tuple[str, object]]
) -> None:
    line, seen = names["ctk"].ctkPathLineEdit(), []
    line.nameFilters = filters
    line.connect("currentPathChanged(QString)", lambda path: seen.append(("path", path)))
    line.connect("validInputChanged(bool)", lambda valid: seen.append(("valid", valid)))
    line.currentPath = typed
    assert (line.currentPath, seen) == (typed, told)


def test_an_emptied_path_line_tells_only_that_it_is_no_longer_valid(names: dict[str, Any]) -> None:
    line, seen = names["ctk"].ctkPathLineEdit(), []
    line.currentPath = "/a/b"
    line.connect("currentPathChanged(QString)", lambda path: seen.append(("path", path)))
    line.connect("validInputChanged(bool)", lambda valid: seen.append(("valid", valid)))
    line.currentPath = ""
    assert seen == [("valid", False)]


@pytest.mark.parametrize(("titled", "header", "firstRow"), [(False, "A", "Model"), (True, "Model", "PET")])
def test_a_table_view_shows_the_names_of_columns_in_a_row_unless_the_node_wants_them_above(
    host: Host, names: dict[str, Any], titled: bool, header: str, firstRow: str
) -> None:
    import vtk

    column = vtk.vtkStringArray()
    column.SetName("Model")
    column.InsertNextValue("PET")
    node = host.scene.AddNewNodeByClass("vtkMRMLTableNode")
    node.AddColumn(column)
    if titled:
        node.SetUseColumnTitleAsColumnHeader(True)
    view = names["slicer"].qMRMLTableView()
    view.setMRMLTableNode(node)
    model = view.model()
    shown = [model.index(row, 0).data() for row in range(model.rowCount())]
    assert (model.headerData(0, names["qt"].Qt.Horizontal), shown[0], len(shown)) == (header, firstRow, 2 - titled)


def test_a_section_button_hides_its_contents_and_keeps_what_was_hidden(host: Host, names: dict[str, Any]) -> None:
    qt, ctk = names["qt"], names["ctk"]
    window = qt.QWidget()
    outer = qt.QVBoxLayout(window)
    section = ctk.ctkCollapsibleButton("Study")
    form = qt.QFormLayout(section)
    shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden")
    form.addRow(shown)
    form.addRow(hidden)
    outer.addWidget(section)
    hidden.visible = False
    window.show()
    host.processEvents()
    opened = section.height

    section.collapsed = True
    host.processEvents()
    assert not shown.visible
    assert section.sizeHint().height() < opened
    hidden.visible = True  # takes effect when the section opens
    assert not hidden.visible
    section.collapsed = False

    assert shown.visible
    assert hidden.visible


def test_a_slider_without_tracking_waits_for_the_mouse(names: dict[str, Any]) -> None:
    slider, arrived = names["sw"], []
    slider.connect("valueChanged(double)", arrived.append)
    slider.tracking = False
    inner = slider.slider()

    inner.sliderPressed.emit()
    inner.value = 0.6
    assert arrived == []
    inner.sliderReleased.emit()

    assert arrived == [0.6]
    slider.value = 7.0
    assert slider.value == 1.0  # the maximum


def test_a_ui_file_is_read_with_its_own_widgets(host: Host, names: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "Panel.ui"
    path.write_text(UI, encoding="utf-8")

    root = names["slicer"].util.loadUI(str(path))
    ui = names["slicer"].util.childWidgetVariables(root)
    root.setMRMLScene(host.scene)

    assert ui.selector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert ui.selector.mrmlScene() is host.scene
    assert ui.section.collapsed is True
    assert ui.selector.property("SlicerParameterName") == "petVolume"
    assert ui.selector.toolTip == "<p>The PET</p>"
    assert ui.folder.filters == names["ctk"].ctkPathLineEdit.Dirs
    assert type(ui.check) is names["qt"].QCheckBox
    ui.check.checked = True
    assert ui.spin.enabled is True


def test_an_unknown_widget_in_a_ui_file_is_refused(names: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "Panel.ui"
    path.write_text(UI.replace("ctkPathLineEdit", "ctkMatrixWidget"), encoding="utf-8")

    with pytest.raises(NotImplementedError, match="ctkMatrixWidget"):
        names["slicer"].util.loadUI(str(path))


def test_a_file_dialog_gives_the_path_alone(names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from slicer_standin.qt_module import _withoutFilter

    assert _withoutFilter(lambda *values: ("/a/file.csv", "*.csv"))(None) == "/a/file.csv"
    assert _withoutFilter(lambda *values: (["/a", "/b"], ""))(None) == ("/a", "/b")


UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0">
 <class>Panel</class>
 <widget class="qMRMLWidget" name="Panel">
  <layout class="QVBoxLayout" name="verticalLayout">
   <item>
    <widget class="ctkCollapsibleButton" name="section">
     <property name="text"><string>Study</string></property>
     <property name="collapsed"><bool>true</bool></property>
     <layout class="QFormLayout" name="form">
      <item row="0" column="1">
       <widget class="qMRMLNodeComboBox" name="selector">
        <property name="toolTip"><string>The PET</string></property>
        <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
        <property name="noneEnabled"><bool>true</bool></property>
        <property name="SlicerParameterName" stdset="0"><string>petVolume</string></property>
       </widget>
      </item>
      <item row="1" column="1">
       <widget class="ctkPathLineEdit" name="folder">
        <property name="filters"><set>ctkPathLineEdit::Dirs</set></property>
       </widget>
      </item>
      <item row="2" column="1"><widget class="QCheckBox" name="check"/></item>
      <item row="3" column="1">
       <widget class="QSpinBox" name="spin"><property name="enabled"><bool>false</bool></property></widget>
      </item>
     </layout>
    </widget>
   </item>
  </layout>
 </widget>
 <customwidgets>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>qMRMLWidget.h</header></customwidget>
 </customwidgets>
 <connections>
  <connection>
   <sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>selector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot>
  </connection>
  <connection>
   <sender>check</sender><signal>toggled(bool)</signal><receiver>spin</receiver><slot>setEnabled(bool)</slot>
  </connection>
 </connections>
</ui>
"""
