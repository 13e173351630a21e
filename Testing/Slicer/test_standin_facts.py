"""What a running Slicer 5.13 has by name, with which parameters: the stand-in has the same, or says what it lacks."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

pytestmark = pytest.mark.usefixtures("standInApplication")

# Name and parameters as Slicer's own inspection gave them.
PACKAGING = """
    canonicalize_name: name validate
    default_environment:
    isPipInstallInProgress:
    load_pyproject_dependencies: path
    load_requirements: path
    pip_check: req _seen
    pip_ensure: requirements constraints skip_packages prompt_install prompt_restart requester
        skip_in_testing show_progress
    pip_install: requirements constraints no_deps_requirements skip_packages blocking show_progress
        requester logCallback completedCallback
    pip_uninstall: requirements blocking logCallback completedCallback
"""
UTIL = """
    addParameterEditWidgetConnections: parameterEditWidgets updateParameterNodeFromGUI
    addVolumeFromArray: narray ijkToRAS name nodeClassName
    arrayFromVolume: volumeNode
    arrayFromVolumeModified: volumeNode
    childWidgetVariables: widget
    confirmOkCancelDisplay: text windowTitle parent **kwargs
    confirmYesNoDisplay: text windowTitle parent **kwargs
    createProgressDialog: parent value maximum labelText windowTitle **kwargs
    delayDisplay: message autoCloseMsec parent **kwargs
    errorDisplay: text windowTitle parent standardButtons **kwargs
    exit: status
    exportNode: node filename properties world
    findChild: widget name properties
    findChildren: widget name text title className
    forceRenderAllViews:
    getModule: moduleName
    getModuleGui: module
    getModuleLogic: module
    getModuleWidget: module
    getNode: pattern index scene
    getNodes: pattern scene useLists
    infoDisplay: text windowTitle parent standardButtons **kwargs
    loadScene: filename properties
    loadUI: path
    loadVolume: filename properties returnNode
    logProcessOutput: proc logCallback
    mainWindow:
    messageBox: text parent **kwargs
    modulePath: moduleName
    openAddDataDialog:
    pip_install: requirements **kwargs
    plot: narray xColumnIndex columnNames title show nodes plotBoolAsUchar
    quit:
    reloadScriptedModule: moduleName
    resetSliceViews:
    resetThreeDViews:
    saveNode: node filename properties
    saveScene: filename properties
    selectModule: module
    setSliceViewerLayers: background foreground label foregroundOpacity labelOpacity fit rotateToVolumePlane
    settingsValue: key default converter settings
    showStatusMessage: message duration
    startupEnvironment:
    tempDirectory: key tempDir includeDateTime
    toBool: value
    tryWithErrorDisplay: message show waitCursor
    updateTableFromArray: tableNode narrays columnNames setBoolAsUchar
    updateVolumeFromArray: volumeNode narray
    vtkMatrixFromArray: narray
    warningDisplay: text windowTitle parent standardButtons **kwargs
"""
SCRIPTED = """
    ScriptedLoadableModule.resourcePath: self filename
    ScriptedLoadableModule.getDefaultModuleDocumentationLink: self docPage
    ScriptedLoadableModule.runTest: self msec **kwargs
    ScriptedLoadableModuleWidget.resourcePath: self filename
    ScriptedLoadableModuleWidget.cleanup: self
    ScriptedLoadableModuleWidget.setup: self
    ScriptedLoadableModuleWidget.setupDeveloperSection: self
    ScriptedLoadableModuleWidget.onReload: self
    ScriptedLoadableModuleWidget.onTest: self **kwargs
    ScriptedLoadableModuleWidget.onReloadAndTest: self **kwargs
    ScriptedLoadableModuleWidget.onEditSource: self
    ScriptedLoadableModuleLogic.getParameterNode: self
    ScriptedLoadableModuleLogic.getAllParameterNodes: self
    ScriptedLoadableModuleLogic.createParameterNode: self
    ScriptedLoadableModuleTest.delayDisplay: self message requestedDelay msec
    ScriptedLoadableModuleTest.takeScreenshot: self name description type
    ScriptedLoadableModuleTest.setUp: self
    ScriptedLoadableModuleTest.tearDown: self
    ScriptedLoadableModuleTest.runTest: self
"""
DATABASE = """
    Failed InsertResult Inserted NotInserted allFiles blockSignals cacheTag cacheTags cachedTag childEvent
    children className cleanup closeDatabase closed compositePatientID connect connectionNameAdded
    connectionsInformationForPatient customEvent databaseChanged databaseDirectory databaseFilename delete
    deleteLater descriptionForSeries descriptionForStudy descriptionsForFile destroyed disconnect
    displayedFieldsUpdateProgress displayedFieldsUpdateStarted displayedFieldsUpdated displayedNameForField
    displayedNameForPatient dumpObjectInfo dumpObjectTree dynamicPropertyNames event eventFilter fieldForPatient
    fieldForSeries fieldForStudy fileExistsAndUpToDate fileForInstance fileValue fileValueExists filesForSeries
    findChild findChildren formatForField getCachedTags groupElementToTag headerKeys headerValue help
    imagesCount inherits initializeDatabase initializeTagCache insert insertDateTimeForInstance
    insertDateTimeForPatient insertDateTimeForSeries insertDateTimeForStudy installEventFilter instanceAdded
    instanceForFile instanceForURL instanceValue instanceValueExists instanceValues instancesForSeries
    isDisplayedFieldsTableAvailable isInMemory isOpen isSignalConnected isWidgetType isWindowType killTimer
    lastError loadFileHeader loadInstanceHeader loadedSeriesInstanceUIDs loadedSeriesInstanceUIDsChanged
    metaObject moveToThread nameForPatient objectName objectNameChanged openDatabase opened parent patientAdded
    patientFieldNames patientForStudy patientRemoved patients patientsCount prepareInsert property
    removeCachedTags removeEventFilter removePatient removeSeries removeStudy schemaUpdateProgress
    schemaUpdateStarted schemaUpdated schemaVersion schemaVersionLoaded sender senderSignalIndex seriesAdded
    seriesCount seriesFieldNames seriesForFile seriesForStudy seriesRemoved setDisplayedNameForField
    setFormatForField setObjectName setParent setProperty setSchemaVersion setThumbnailGenerator
    setVisibilityForField setWeightForField signalsBlocked startTimer storeThumbnailFile studiesCount
    studiesForPatient studyAdded studyFieldNames studyForSeries studyRemoved tagCacheExists tagToGroupElement
    tagsToExcludeFromStorage tagsToExcludeFromStorageChanged tagsToPrecache tagsToPrecacheChanged thread
    thumbnailGenerator thumbnailPathForInstance timerEvent tr updateConnectionsForPatient updateDisplayedFields
    updateSchema updateSchemaIfNeeded urlForInstance urlsForSeries useShortStoragePath useSystemFileCopy
    visibilityForField weightForField
"""
PARAMETER_NODES = """
    AnySerializer BoolSerializer Choice Decimals Default DictSerializer Exclude FloatRange GuiConnector
    GuiCreator IsInstance Label ListSerializer Maximum Minimum NodeSerializer NotNone NumberSerializer
    PathSerializer QColorSerializer RangeBounds Serializer SingleStep SlicerPackParameterNamePropertyName
    SlicerParameterNamePropertyName StringSerializer TupleSerializer UnionSerializer ValidatedSerializer
    Validator WithinRange createGui createGuiConnector default findChildWidgetForParameter findFirstAnnotation
    getNodeTypes guiConnectors guiCreation isNodeOrUnionOfNodes isParameterNodeWrapper isParameterPack
    nestedParameterNames parameterInfo parameterNodeGuiConnector parameterNodeGuiCreator parameterNodeSerializer
    parameterNodeWrapper parameterPack serializers splitAnnotations types unannotatedType util validators
    wrapper
"""
LAYOUTS = [
    ("SlicerLayout3DTableView", 35),
    ("SlicerLayoutConventionalPlotView", 36),
    ("SlicerLayoutConventionalView", 2),
]
PROCESS = """
    canReadLine exitCode kill processId readAllStandardError readAllStandardOutput readLine setProcessChannelMode
"""


def facts(table: str) -> list[tuple[str, list[str]]]:
    named = re.split(r"^    (\S+):", table, flags=re.MULTILINE)[1:]
    return [(name, parameters.split()) for name, parameters in zip(named[::2], named[1::2], strict=True)]


def parametersOf(function: Any) -> list[str]:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [f"{stars.get(one.kind, '')}{one.name}" for one in inspect.signature(function).parameters.values()]


def reached(owner: Any, path: str) -> Any:
    for name in path.split("."):
        owner = getattr(owner, name)
    return owner


def imitated(owner: Any, name: str) -> bool:
    """Whether the host has it; what it has not must say so by its name."""
    try:
        getattr(owner, name)
    except NotImplementedError as error:
        said = str(error)
    else:
        return True
    assert name in said
    return False


@pytest.mark.parametrize(("name", "parameters"), facts(PACKAGING), ids=str)
def test_packaging(name: str, parameters: list[str]) -> None:
    if imitated(slicer.packaging, name):
        assert parametersOf(getattr(slicer.packaging, name)) == parameters


@pytest.mark.parametrize(("name", "parameters"), facts(UTIL), ids=str)
def test_util(name: str, parameters: list[str]) -> None:
    assert parametersOf(getattr(slicer.util, name)) == parameters


@pytest.mark.parametrize(("name", "parameters"), facts(SCRIPTED), ids=str)
def test_scripted_module(name: str, parameters: list[str]) -> None:
    from slicer import ScriptedLoadableModule as scripted

    owner = reached(scripted, name.rpartition(".")[0])
    if callable(getattr(owner, name.rpartition(".")[2])):
        assert parametersOf(reached(scripted, name)) == parameters


@pytest.mark.parametrize("name", DATABASE.split())
def test_database(name: str) -> None:
    imitated(slicer.dicomDatabase, name)


@pytest.mark.parametrize("name", PARAMETER_NODES.split())
def test_parameter_nodes(name: str) -> None:
    from slicer import parameterNodeWrapper as wrapper

    imitated(wrapper, name)


def test_the_host_has_what_the_module_uses() -> None:
    """Else the tests above would pass on a host that imitates nothing."""
    from slicer import parameterNodeWrapper as wrapper

    assert sum(imitated(slicer.packaging, name) for name, _ in facts(PACKAGING)) >= 4
    used = ("patients", "studiesForPatient", "seriesForStudy", "filesForSeries", "fieldForSeries", "fileForInstance")
    assert all(imitated(slicer.dicomDatabase, name) for name in used)
    assert all(imitated(wrapper, name) for name in ("parameterNodeWrapper", "WithinRange", "Choice", "Default"))


@pytest.mark.parametrize(("name", "number"), LAYOUTS)
def test_layout_numbers(name: str, number: int) -> None:
    assert getattr(slicer.vtkMRMLLayoutNode, name) == number


@pytest.mark.parametrize("name", PROCESS.split())
def test_process(name: str) -> None:
    import qt

    assert callable(getattr(qt.QProcess(), name))


@pytest.mark.parametrize("name", ["ctkDoubleRangeSlider", "ctkRangeWidget", "ctkDICOMBrowser"])
def test_widgets_that_the_module_does_not_need(name: str) -> None:
    import ctk

    assert not imitated(ctk, name)


@pytest.mark.parametrize("name", ["qMRMLPlotWidget", "qMRMLPlotView", "qMRMLSubjectHierarchyTreeView"])
def test_views_that_the_module_does_not_need(name: str) -> None:
    assert not imitated(slicer, name)


@pytest.mark.parametrize("name", ["PET-Heat", "PET-DICOM"])
def test_pet_colours(name: str) -> None:
    assert slicer.mrmlScene.GetNodeByID(f"vtkMRMLPETProceduralColorNode{name}") is not None


@pytest.mark.parametrize("name", ["Inferno", "Viridis"])
def test_file_colours(name: str) -> None:
    assert slicer.mrmlScene.GetNodeByID(f"vtkMRMLColorTableNodeFile{name}.txt") is not None
