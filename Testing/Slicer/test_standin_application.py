"""The stand-in's application side does what a running Slicer did (lines read off it), and nothing pretends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

import slicer
import vtk

if TYPE_CHECKING:
    from slicer_standin.host import Host

HERE = Path(__file__).parent
DATA = HERE.parents[2] / "shared" / "data"
REAL_DATABASE = DATA / "slicer-dicom-database"

needsDatabase = pytest.mark.skipif(not REAL_DATABASE.is_dir(), reason="the database that Slicer wrote is not here")
needsPair = pytest.mark.skipif(not (DATA / "acrin-nsclc-042-petct").is_dir(), reason="the real PET/CT is not here")

LOADED = [
    # name, shape [k,j,i], dtype, min, max, [unit, quantity], IJKToRAS rows, study item: as Slicer 5.13 gave them
    (
        "1: PET SUV verification DRO_0_0",
        ((20, 256, 256), "int16", 0.0, 14400.0),
        [None, None],
        [-4.0, 0.0, 0.0, 0.0, 0.0, -4.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.0],
        "PET SUV verification DRO (20250101)",
    ),
    (
        "1: PET SUV verification DRO_5_0",
        ((20, 256, 256), "int16", 0.0, 11372.0),
        [None, None],
        [-4.0, 0.0, 0.0, 0.0, 0.0, -4.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.0],
        "PET SUV verification DRO (20250101)",
    ),
    (
        "4: IBSI_1_STS_002_PET_image",
        ((48, 27, 30), "float64", 0.0, 21.6757469174659),
        [None, None],
        [-5.469, 0.0, 0.0, -2.734, 0.0, -5.469, 0.0, -57.422, 0.0, 0.0, 3.27, -629.02],
        "IBSI_1_STS_002_PET (20060128)",
    ),
    (
        "3: IBSI_1_STS_002_CT_image",
        ((48, 143, 161), "int16", -1000.0, 1156.0),
        ["Hounsfield unit", "Attenuation Coefficient"],
        [-0.977, 0.0, 0.0, -1.953, 0.0, -0.977, 0.0, -59.57, 0.0, 0.0, 3.27, -629.04],
        "IBSI_1_STS_002_PET (20060128)",
    ),
    (
        "1: IBSI_1_STS_007_PET_image",
        ((70, 45, 53), "float64", 0.00014382875278, 25.198932647573933),
        [None, None],
        [-4.688, 0.0, 0.0, 199.219, 0.0, -4.688, 0.0, 7.031, 0.0, 0.0, 3.27, -779.01],
        "IBSI_1_STS_007_PET (20040529)",
    ),
    (
        "2: IBSI_1_STS_007_CT_image",
        ((70, 215, 249), "int16", -1000.0, 1310.0),
        ["Hounsfield unit", "Attenuation Coefficient"],
        [-0.977, 0.0, 0.0, 198.242, 0.0, -0.977, 0.0, 9.766, 0.0, 0.0, 3.27, -779.03],
        "IBSI_1_STS_007_PET (20040529)",
    ),
]


# --- the application --------------------------------------------------------------------------------------------------


def test_what_slicer_app_answers(host: Host) -> None:
    app = slicer.app
    assert app.testingEnabled() is False
    assert app.commandOptions().noMainWindow is False
    assert Path(app.temporaryPath).is_dir()
    assert Path(app.slicerHome).is_dir()
    assert app.applicationLogic().GetClassName() == "vtkSlicerApplicationLogic"
    assert app.processEvents() is None
    assert slicer.modules.colors.logic().GetClassName() == "vtkSlicerColorLogic"
    assert app.mrmlScene() is slicer.mrmlScene
    assert slicer.util.mainWindow().className() == "qSlicerMainWindow"
    for name in ("vtkMRMLPETProceduralColorNodePET-Heat", "vtkMRMLColorTableNodeFileInferno.txt"):
        assert slicer.mrmlScene.GetNodeByID(name) is not None


def test_settings_are_private(host: Host) -> None:
    import qt

    slicer.app.settings().setValue("PRRTPredictor/folder", "here")
    slicer.app.settings().sync()
    assert (host.settings / "Slicer.ini").is_file()
    assert slicer.util.settingsValue("PRRTPredictor/absent", "default") == "default"
    assert qt.QSettings().contains("PRRTPredictor/folder") is False


def test_what_the_host_does_not_have_is_said(host: Host) -> None:
    import DICOMLib

    for owner, name in (
        (slicer.app, "launchDesigner"),
        (slicer.modules, "dicom"),
        (slicer.dicomDatabase, "storeThumbnailFile"),
        (slicer.packaging, "pip_uninstall"),
        (slicer.app.layoutManager(), "registerViewFactory"),
        (slicer.app.layoutManager().sliceWidget("Red"), "setSliceViewColor"),
        (DICOMLib.DICOMUtils, "clearDatabase"),
    ):
        assert not hasattr(owner, name)
        with pytest.raises(NotImplementedError, match=name):
            getattr(owner, name)


def test_the_scene_is_fresh_for_each_test(host: Host) -> None:
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "left behind")
    assert slicer.dicomDatabase.patients() == ()


def test_the_scene_is_fresh_for_the_next_test_too(host: Host) -> None:
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0
    assert slicer.dicomDatabase.isOpen


def test_data_nodes_have_an_item_as_long_as_they_live(host: Host) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    before = hierarchy.GetNumberOfItems()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "PET")
    assert hierarchy.GetItemName(hierarchy.GetItemByDataNode(node)) == "PET"
    slicer.mrmlScene.RemoveNode(node)
    assert hierarchy.GetNumberOfItems() == before


def test_scene_and_volume_are_saved_and_read_back(host: Host) -> None:
    node = phantomVolume()
    slicer.util.exportNode(node, str(host.folder / "hot.nrrd"))
    assert slicer.util.saveScene(str(host.folder / "scene.mrb"))
    slicer.util.loadScene(str(host.folder / "scene.mrb"))
    read = slicer.util.getNode("Hot")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(read), hotArray())
    again = slicer.util.loadVolume(str(host.folder / "hot.nrrd"))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(again), hotArray())
    assert "Red" in slicer.app.layoutManager().sliceViewNames()


# --- dialogs, packages, processes -------------------------------------------------------------------------------------


def test_dialogs_are_kept_and_never_block(host: Host) -> None:
    slicer.util.errorDisplay("It failed.", windowTitle="Predict", detailedText="line 3")
    slicer.util.infoDisplay("Done.")
    assert slicer.util.confirmOkCancelDisplay("Install?") is True
    host.dialogs.answer(False, True)
    assert slicer.util.confirmYesNoDisplay("Install?") is False
    assert slicer.util.confirmYesNoDisplay("Install?") is True
    assert [(shown.kind, shown.text) for shown in host.dialogs.shown[:2]] == [
        ("error", "It failed."),
        ("info", "Done."),
    ]
    assert host.dialogs.errors[0].details == "line 3"
    assert len(host.dialogs.questions) == 3


def test_installing_asks_and_pretends(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from slicer_standin import bare

    packaging, asked = slicer.packaging, []
    requirements = host.folder / "requirements.txt"
    requirements.write_text("# comment\n--extra-index-url x\nnumpy>=1.26\nno-such-package-of-ours>=2\n")
    needed = packaging.load_requirements(requirements)
    assert [str(requirement) for requirement in needed] == ["numpy>=1.26", "no-such-package-of-ours>=2"]
    assert packaging.pip_check("numpy")
    assert not packaging.pip_check("numpy>=99")
    assert not packaging.pip_check(needed)
    host.dialogs.answer(False)
    with pytest.raises(RuntimeError, match="declined"):
        packaging.pip_ensure(needed, requester="PRRTPredictor")
    with pytest.raises(NotImplementedError):
        packaging.pip_ensure(needed)
    host.setInstaller(asked.extend)
    packaging.pip_ensure(needed)
    assert asked == ["no-such-package-of-ours>=2"]
    assert "no-such-package-of-ours" in host.dialogs.questions[0].details
    monkeypatch.setattr(bare, "blocked", lambda: True)
    assert not packaging.pip_check("scikit-learn")
    assert packaging.pip_check("pydicom")


def test_python_slicer_runs_this_python(host: Host) -> None:
    launcher = shutil.which("PythonSlicer")
    assert launcher is not None
    code = "import sys; print(sys.prefix); print(sys.stdin.read()); sys.exit(7)"
    done = subprocess.run([launcher, "-c", code], input="through", capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == [sys.prefix, "through"]
    assert done.returncode == 7
    assert "PythonSlicer" not in str(slicer.util.startupEnvironment()["PATH"])


# --- the DICOM database -----------------------------------------------------------------------------------------------


@needsDatabase
def test_the_database_as_slicer_wrote_it(host: Host) -> None:
    from DICOMLib import DICOMUtils

    assert DICOMUtils.openDatabase(str(REAL_DATABASE)) is True
    database = slicer.dicomDatabase
    assert database.isOpen is True
    assert database.databaseFilename == f"{REAL_DATABASE}/ctkDICOM.sql"
    assert database.schemaVersionLoaded() == "0.8.1"
    assert database.patients() == ("1", "2", "3")
    assert [database.nameForPatient(patient) for patient in database.patients()] == [
        "PETDRO PHANTOM",
        "STS_002",
        "STS_007",
    ]
    assert database.fieldForPatient("PatientID", "1") == "DRO"
    (study,) = database.studiesForPatient("2")
    assert database.patientForStudy(study) == "2"
    assert database.descriptionForStudy(study) == "IBSI_1_STS_002_PET, IBSI_1_STS_002_CT"
    modalities = {uid: database.fieldForSeries("Modality", uid) for uid in database.seriesForStudy(study)}
    assert sorted(modalities.values()) == ["CT", "PT", "RTSTRUCT", "RTSTRUCT"]
    pet = next(uid for uid, modality in modalities.items() if modality == "PT")
    files = database.filesForSeries(pet)
    assert len(files) == len(database.instancesForSeries(pet)) == 48
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in files)
    assert database.studyForSeries(pet) == study
    assert database.seriesForFile(files[0]) == pet
    assert database.fileForInstance(database.instanceForFile(files[0])) == files[0]
    assert database.fileValue(files[0], "0008,0060") == "PT"
    assert database.fileValue(files[0], "0018,9999") == ""
    assert database.instanceValue(database.instancesForSeries(pet)[0], "0020,0037").count("\\") == 5
    assert (database.patientsCount(), database.seriesCount(), database.imagesCount()) == (3, 10, 280)


@needsDatabase
def test_series_load_as_in_slicer(host: Host) -> None:
    from DICOMLib import DICOMUtils

    DICOMUtils.openDatabase(str(REAL_DATABASE))
    database, loaded = slicer.dicomDatabase, []
    for patient in database.patients():
        for study in database.studiesForPatient(patient):
            for uid in database.seriesForStudy(study):
                if database.fieldForSeries("Modality", uid) != "RTSTRUCT":
                    loaded.extend(DICOMUtils.loadSeriesByUID([uid]))
    assert len(loaded) == len(LOADED)
    for identifier, expected in zip(loaded, LOADED, strict=True):
        assert describe(slicer.mrmlScene.GetNodeByID(identifier)) == expected


@needsPair
def test_uneven_slices_hang_under_a_transform_and_imports_are_copies(host: Host) -> None:
    from DICOMLib import DICOMUtils

    heard: list[str] = []
    slicer.dicomDatabase.connect("databaseChanged()", lambda: heard.append("changed"))
    slicer.dicomDatabase.seriesAdded.connect(heard.append)
    source = DATA / "acrin-nsclc-042-petct" / "PET"
    assert DICOMUtils.importDicom(str(source), slicer.dicomDatabase, copyFiles=True) is True
    (uid,) = slicer.dicomDatabase.seriesForStudy(slicer.dicomDatabase.studiesForPatient("1")[0])
    assert heard == [uid, "changed"]
    files = slicer.dicomDatabase.filesForSeries(uid)
    assert len(files) == 135
    assert all(host.database in Path(path).parents for path in files)
    (identifier,) = DICOMUtils.loadSeriesByUID([uid])
    node = slicer.mrmlScene.GetNodeByID(identifier)
    assert node.GetParentTransformNode().GetName() == "1: PET AC acquisition transform"
    assert slicer.util.arrayFromVolume(node).max() == pytest.approx(121329.975)
    assert slicer.dicomDatabase.removePatient("1")
    assert slicer.dicomDatabase.patients() == ()
    assert not any(Path(path).exists() for path in files)


def test_a_database_that_is_none(host: Host) -> None:
    from DICOMLib import DICOMUtils

    assert DICOMUtils.openDatabase(str(host.folder / "absent")) is False
    broken = host.folder / "broken"
    broken.mkdir()
    (broken / "ctkDICOM.sql").write_text("no database " * 100)
    assert DICOMUtils.openDatabase(str(broken)) is False
    assert slicer.dicomDatabase.isOpen is False
    assert slicer.dicomDatabase.lastError
    assert slicer.dicomDatabase.patients() == ()
    with pytest.raises(OSError, match="cannot be accessed"):
        DICOMUtils.loadSeriesByUID(["1.2.3"])


def test_a_dicom_plugin_is_called_as_its_module_not_as_its_class(host: Host) -> None:
    from DICOMLib import DICOMUtils

    assert DICOMUtils.loadSeriesByUID(["1.2.3"], enabledPluginClassNames=["DICOMScalarVolumePlugin"]) == []
    with pytest.raises(KeyError):
        DICOMUtils.loadSeriesByUID(["1.2.3"], enabledPluginClassNames=["DICOMScalarVolumePluginClass"])


# --- views ------------------------------------------------------------------------------------------------------------


def test_a_hot_voxel_is_seen_where_it_lies(host: Host) -> None:
    node = phantomVolume()
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *hotRas(), slicer.vtkMRMLSliceNode.OffsetJumpSlice)
    for name in ("Red", "Green", "Yellow"):
        widget = slicer.app.layoutManager().sliceWidget(name)
        widget.sliceView().cornerAnnotation().SetVisibility(False)  # white letters
        pixels = picture(widget.sliceView())
        widget.sliceView().cornerAnnotation().SetVisibility(True)
        shown = pixels[..., :3].astype(int).sum(axis=-1)
        row, column = np.argwhere(shown > 0.9 * shown.max()).mean(axis=0)
        toRas = widget.mrmlSliceNode().GetXYToRAS()
        ras = toRas.MultiplyPoint((column, pixels.shape[0] - 1 - row, 0, 1))[:3]
        np.testing.assert_allclose(ras, hotRas(), atol=4.0, err_msg=name)
        assert widget.sliceLogic().GetSliceCompositeNode().GetBackgroundVolumeID() == node.GetID()
        width, height, _ = widget.mrmlSliceNode().GetDimensions()
        assert pixels.shape[:2] == (height, width) == (widget.sliceView().height, widget.sliceView().width)


@pytest.mark.parametrize(
    ("layout", "slices", "threeD", "plots", "tables"),
    [
        ("FourUpView", 3, 1, 0, 0),
        ("ThreeOverThreeView", 6, 0, 0, 0),
        ("FourOverFourView", 6, 2, 0, 0),
        ("ConventionalPlotView", 3, 1, 1, 0),
        ("FourUpPlotView", 3, 0, 1, 0),
        ("FourUpTableView", 3, 1, 0, 1),
        ("FourUpPlotTableView", 3, 0, 1, 1),
        ("ConventionalView", 3, 1, 0, 0),
        ("OneUp3DView", 0, 1, 0, 0),
    ],
)
def test_layouts(host: Host, layout: str, slices: int, threeD: int, plots: int, tables: int) -> None:
    manager = slicer.app.layoutManager()
    number = getattr(slicer.vtkMRMLLayoutNode, f"SlicerLayout{layout}")
    manager.setLayout(number)
    host.processEvents()
    assert manager.layout == number
    widgets = [manager.sliceWidget(name) for name in manager.sliceViewNames()]
    assert sum(widget.visible for widget in widgets) == slices
    for count, get, expected in (
        (manager.threeDViewCount, manager.threeDWidget, threeD),
        (manager.plotViewCount, manager.plotWidget, plots),
        (manager.tableViewCount, manager.tableWidget, tables),
    ):
        assert sum(get(index).visible for index in range(count)) == expected
    assert manager.threeDWidget(99) is None


def test_a_bar_follows_its_plane(host: Host) -> None:
    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourOverFourView)
    slicer.util.setSliceViewerLayers(background=phantomVolume(), fit=True)
    for name, letter in (("Red", "R"), ("Red+", "R+"), ("Yellow+", "Y+")):
        widget = manager.sliceWidget(name)
        widget.mrmlSliceNode().JumpSliceByCentering(*hotRas())
        offset = widget.sliceLogic().GetSliceOffset()
        texts = [label.text for label in widget.sliceController().findChildren("QLabel")]
        assert texts[0] == letter
        assert texts[1].endswith(f": {offset:.4f}mm"), name
        assert offset != 0
    letters = [manager.threeDWidget(index).threeDController().findChild("QLabel").text for index in range(2)]
    assert letters == ["1", "1+"]


def test_a_chart_is_drawn(host: Host) -> None:
    slicer.util.plot(np.array([[0.0, 0.0], [0.2, 0.7], [1.0, 1.0]]), xColumnIndex=0, title="ROC")
    host.processEvents()
    view = slicer.app.layoutManager().plotWidget(0).plotView()
    pixels = picture(view)
    assert view.chart().GetNumberOfPlots() == 1
    assert view.chart().GetTitle() == "ROC"
    assert pixels.min() == 0
    assert (pixels == 255).mean() > 0.5


def test_a_table_is_shown(host: Host) -> None:
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Table 2")
    slicer.util.updateTableFromArray(table, np.array([[0.81, 0.79]]), ["AUROC", "AUPRC"])
    slicer.app.applicationLogic().GetSelectionNode().SetActiveTableID(table.GetID())
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView)
    slicer.app.applicationLogic().PropagateTableSelection()
    host.processEvents()
    view = slicer.app.layoutManager().tableWidget(0).tableView()
    assert view.mrmlTableNode() is table


def test_the_window_can_be_seen(host: Host) -> None:
    import qt

    slicer.util.setSliceViewerLayers(background=phantomVolume(), fit=True)
    path = host.screenshot(host.folder / "window.png")
    image = qt.QImage(str(path))
    assert (image.width(), image.height()) == (1500, 950)
    colours = {image.pixel(x, y) for x in range(0, 1500, 5) for y in range(0, 950, 5)}
    assert len(colours) > 60
    red = slicer.app.layoutManager().sliceWidget("Red").grab().toImage()
    assert red.pixelColor(5, 5).red() > 200
    assert red.pixelColor(5, 5).green() < 120


# --- the launcher -----------------------------------------------------------------------------------------------------


def launch(folder: Path, script: str, *flags: str) -> subprocess.CompletedProcess[str]:
    path = folder / "prrt_script.py"
    path.write_text(script)
    environment = os.environ | {"PYTHONPATH": str(HERE), "QT_QPA_PLATFORM": "offscreen"}
    words = [sys.executable, "-m", "slicer_standin", *flags, "--python-script", str(path), "first", "--second"]
    return subprocess.run(words, capture_output=True, text=True, timeout=400, env=environment, check=False)


def test_the_exit_code_is_what_the_script_says(tmp_path: Path) -> None:
    script = (
        "import sys, slicer\n"
        "assert sys.argv[1:] == ['first', '--second']\n"
        "assert slicer.app.layoutManager() is None and slicer.util.mainWindow() is None\n"
        "slicer.util.exit(7)\nprint('still here')\n"
    )
    done = launch(tmp_path, script, "--no-main-window")
    assert done.returncode == 7, done.stderr
    assert "still here" in done.stdout


def test_a_script_that_raises_ends_with_1(tmp_path: Path) -> None:
    done = launch(tmp_path, "raise ValueError('as it happens')", "--no-main-window", "--testing")
    assert done.returncode == 1
    assert "as it happens" in done.stderr


def test_a_script_that_leaves_the_application_open_is_told(tmp_path: Path) -> None:
    done = launch(tmp_path, "pass", "--no-main-window")
    assert done.returncode == 125
    assert "slicer.util.exit()" in done.stderr
    assert launch(tmp_path, "pass", "--no-main-window", "--testing").returncode == 0


def test_bare_lets_through_only_what_slicer_bundles(tmp_path: Path) -> None:
    script = (
        "import importlib, slicer\n"
        "for name in 'numpy scipy pydicom vtk qt ctk packaging'.split(): importlib.import_module(name)\n"
        "for name in 'torch monai sklearn pandas matplotlib SimpleITK psutil jinja2 nrrd'.split():\n"
        "    try: importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error: assert error.name == name\n"
        "    else: raise AssertionError(name)\n"
        "slicer.util.exit(0)\n"
    )
    done = launch(tmp_path, script, "--no-main-window", "--bare")
    assert done.returncode == 0, done.stderr


def test_a_picture_of_the_panel(tmp_path: Path) -> None:
    import qt

    flags = ("--screenshot", str(tmp_path / "shot.png"), "--panel-width", "420", "--window-size", "1200x800")
    done = launch(tmp_path, "import slicer; print(slicer.util.mainWindow().width)", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no complaint of Qt or VTK on what is as it should be without a screen
    image = qt.QImage(str(tmp_path / "shot.png"))
    assert (image.width(), image.height()) == (1200, 800)


# --- helpers ----------------------------------------------------------------------------------------------------------

HOT = (12, 8, 15)
"""Index [k, j, i] of the hot voxel."""


def hotArray() -> np.ndarray:
    array = np.full((20, 24, 30), 10, dtype=np.int16)
    array[HOT] = 1000
    return array


def phantomVolume() -> Any:
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy((-6, 0, 0, 70, 0, -6, 0, 40, 0, 0, 6, -200, 0, 0, 0, 1))
    node = slicer.util.addVolumeFromArray(hotArray(), ijkToRAS=matrix, name="Hot")
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetInterpolate(False)
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevelMinMax(0, 1000)
    return node


def hotRas() -> tuple[float, ...]:
    k, j, i = HOT
    return (70 - 6 * i, 40 - 6 * j, -200 + 6 * k)


def picture(view: Any) -> np.ndarray:
    """What a view shows, through the widget as a user would see it; RGB, row 0 at the top."""
    import qt

    image = view.grab().toImage().convertToFormat(qt.QImage.Format_RGB32)
    raw = np.frombuffer(image.constBits(), dtype=np.uint8)
    return raw.reshape(image.height(), image.bytesPerLine() // 4, 4)[:, : image.width(), 2::-1]


def describe(node: Any) -> tuple[Any, ...]:
    """A loaded node in the words of LOADED."""
    array = slicer.util.arrayFromVolume(node)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    rows = [round(matrix.GetElement(row, column), 3) + 0.0 for row in range(3) for column in range(4)]
    coded = (node.GetVoxelValueUnits(), node.GetVoxelValueQuantity())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    assert node.GetClassName() == "vtkMRMLScalarVolumeNode"
    assert len(node.GetAttribute("DICOM.instanceUIDs").split()) == array.shape[0]
    return (
        node.GetName(),
        (array.shape, array.dtype.name, float(array.min()), float(array.max())),
        [entry.GetCodeMeaning() if entry is not None else None for entry in coded],
        rows,
        hierarchy.GetItemName(study),
    )
