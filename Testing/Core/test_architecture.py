"""The house rules of the import graph: rooms import upwards only, the science knows no Slicer, the glue no torch."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "PRRTPredictor"
CORE = PACKAGES / "PRRTPredictorCore"
LIB = PACKAGES / "PRRTPredictorLib"

# In the order in which data flows: a room may import those before it, never those after it.
ROOMS = (
    "errors",
    "shortage",
    "disk",
    "locks",
    "files",
    "processes",
    "freetext",
    "jsontext",
    "labelmaps",
    "records",
    "progress",
    "dicom",
    "cohort",
    "imaging",
    "models",
    "training",
    "evaluation",
    "explain",
    "prediction",
    "report",
)
FRONT_DOOR = {"cli", "__main__", "commands", "console", "demo"}
CORE_FORBIDDEN = {"slicer", "qt", "ctk", "slicer_core"}
LIB_FORBIDDEN = {"torch", "monai", "sklearn"}

# The layers of PRRTPredictorLib, as its docstring tells them.
LIB_LAYERS = (
    {"Volumes", "Translation", "Streams", "ProcessTree", "Worker", "LabSheet", "Database", "Dependencies"},
    {"Study", "SeriesFacts", "SlicerPixels", "DemoPatient", "Hierarchy"}
    | {"Scene", "Views", "Surface", "Display", "Results", "Export"},
    {"WorkerLogic", "PredictionLogic", "TrainingLogic", "Messages", "Headless"},
    {"Panel"},
)
APPLICATION = {"qt", "ctk", "slicer"}
KNOW_THE_APPLICATION = {"Messages", "Headless"}


def imported_modules(source: str, package: tuple[str, ...]) -> set[str]:
    """Absolute dotted names that a module of ``package`` imports, at any depth of the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join((*base, *([node.module] if node.module else [])))
            found.add(stem)
            found.update(f"{stem}.{alias.name}" for alias in node.names)
    return found


def modules(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.py"))
    assert files, f"no Python files under {folder}: the test looks in the wrong place"
    return files


def room_of(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def violations(path: Path, source: str) -> list[str]:
    package = ("PRRTPredictorCore", *path.relative_to(CORE).parts[:-1])
    imports = imported_modules(source, package)
    room = room_of(path)
    bad = [name for name in imports if name.split(".")[0] in CORE_FORBIDDEN]
    if room in FRONT_DOOR:
        return bad
    bad += [name for name in imports if name.split(".")[0] == "PRRTPredictorLib"]
    for name in imports:
        parts = name.split(".")
        if parts[0] != "PRRTPredictorCore" or len(parts) == 1 or room == "__init__":
            continue
        target = parts[1]
        if target in FRONT_DOOR or (target in ROOMS and ROOMS.index(target) > ROOMS.index(room)):
            bad.append(name)
    return bad


@pytest.mark.parametrize("path", modules(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_core_imports_flow_up_the_list_only(path: Path) -> None:
    assert room_of(path) in {*ROOMS, *FRONT_DOOR, "__init__"}, "a room that the architecture does not name"
    assert not violations(path, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", modules(LIB), ids=lambda path: str(path.relative_to(LIB)))
def test_lib_never_imports_the_heavy_libraries(path: Path) -> None:
    package = ("PRRTPredictorLib", *path.relative_to(LIB).parts[:-1])
    imports = imported_modules(path.read_text(encoding="utf-8"), package)
    assert not [name for name in imports if name.split(".")[0] in LIB_FORBIDDEN]


def lib_layer(name: str) -> int:
    found = [number for number, names in enumerate(LIB_LAYERS) if name in names]
    assert found, f"{name}: a module that the layers do not name"
    return found[0]


def lib_violations(name: str, source: str) -> list[str]:
    """What a module of PRRTPredictorLib must not import: a later layer, or the application at file scope."""
    imports = imported_modules(source, ("PRRTPredictorLib",))
    parts = [one.split(".") for one in imports]
    targets = {one[1] for one in parts if one[0] == "PRRTPredictorLib" and len(one) > 1}
    bad = sorted(one for one in targets if lib_layer(one) > lib_layer(name))
    if name != "Panel" and name not in KNOW_THE_APPLICATION:
        at_file_scope = ast.Module([node for node in ast.parse(source).body if _is_import(node)], [])
        direct = imported_modules(ast.unparse(at_file_scope), ("PRRTPredictorLib",))
        bad += sorted({one.split(".")[0] for one in direct} & APPLICATION)
    return bad


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


LIB_MODULES = [path for path in modules(LIB) if path.parent.name != "Panel" and path.stem != "__init__"]


@pytest.mark.parametrize("path", [*LIB_MODULES, *modules(LIB / "Panel")], ids=lambda path: str(path.relative_to(LIB)))
def test_the_layers_of_lib_import_downwards_only(path: Path) -> None:
    name = path.relative_to(LIB).parts[0].removesuffix(".py")
    assert not lib_violations(name, path.read_text(encoding="utf-8"))


def test_only_volumes_turns_lps_into_ras() -> None:
    flip = re.compile(r"diag\(\[\s*-1(\.0)?,\s*-1(\.0)?,")
    assert [path.stem for path in modules(LIB) if flip.search(path.read_text(encoding="utf-8"))] == ["Volumes"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("PredictionLogic", "from PRRTPredictorLib.Panel.Words import badge"),
        ("Volumes", "from PRRTPredictorLib.Study import addStudy"),
        ("Study", "from PRRTPredictorLib import PredictionLogic"),
        ("TrainingLogic", "import qt"),
        ("Views", "from slicer.util import forceRenderAllViews"),
    ],
)
def test_the_scan_of_lib_catches_a_wrong_import(name: str, line: str) -> None:
    assert lib_violations(name, line)


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("dicom", "from PRRTPredictorCore.report import html"),
        ("dicom", "from ..training import store"),
        ("imaging", "import slicer"),
        ("models", "from PRRTPredictorLib import Volumes"),
        ("report", "from .. import cli"),
    ],
)
def test_the_scan_catches_a_wrong_direction(room: str, line: str) -> None:
    assert violations(CORE / room / "made_up.py", line)


@pytest.mark.parametrize("path", modules(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), "module docstring missing"
