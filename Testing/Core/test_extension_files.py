"""The extension's descriptions agree with each other and with the tree."""

import importlib.util
import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = ("PRRTPredictor/CMakeLists.txt", "PRRTPredictor.s4ext", "PRRTPredictor.json")


@pytest.fixture(scope="module")
def extension() -> ModuleType:
    spec = importlib.util.spec_from_file_location("extension", ROOT / ".ci" / "extension.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def s4ext() -> dict[str, str]:
    lines = (ROOT / "PRRTPredictor.s4ext").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def catalogue() -> dict[str, object]:
    entry: dict[str, object] = json.loads((ROOT / "PRRTPredictor.json").read_text(encoding="utf-8"))
    return entry


def test_the_written_files_are_up_to_date(extension: ModuleType) -> None:
    assert extension.outdated() == [], "run `make extension`"


def test_the_check_notices_a_file_that_is_not_listed(extension: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extension, "scripts", lambda: ["PRRTPredictor.py", "PRRTPredictorCore/forgotten.py"])
    assert extension.outdated() == ["PRRTPredictor/CMakeLists.txt"]


def test_the_module_list_names_every_tracked_file_and_nothing_else(extension: ModuleType) -> None:
    listed = {"PRRTPredictor/" + name for name in (*extension.scripts(), *extension.resources())}
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there is no list of tracked files to compare with")
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "PRRTPredictor"]
    tracked = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert listed == {name for name in tracked if (ROOT / name).exists()} - {"PRRTPredictor/CMakeLists.txt"}


def test_project_module_icon_and_catalogue_carry_one_name(extension: ModuleType) -> None:
    top = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "project(PRRTPredictor)" in top
    assert "add_subdirectory(PRRTPredictor)" in top
    assert (ROOT / "PRRTPredictor" / "PRRTPredictor.py").is_file()
    assert "Resources/Icons/PRRTPredictor.png" in extension.resources()
    assert "Resources/UI/PRRTPredictor.ui" in extension.resources()
    assert "Resources/requirements.txt" in extension.resources()


def test_s4ext_and_catalogue_say_what_cmake_says(extension: ModuleType) -> None:
    values, old, new = extension.metadata(), s4ext(), catalogue()
    for key in ("homepage", "contributors", "category", "iconurl", "status", "description", "screenshoturls"):
        assert old[key] == values[f"EXTENSION_{key.upper()}"]
    assert old["scmurl"] == new["scm_url"] == values["REPOSITORY"]
    assert old["depends"].split() == new["build_dependencies"] == ["PyTorch"]
    assert old["category"] == new["category"] == "Nuclear Medicine"
    assert "Research use only" in values["EXTENSION_DESCRIPTION"]


def test_the_catalogue_entry_has_only_keys_of_schema_1_0_2() -> None:
    # Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json in Slicer's source
    known = {
        *("$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies"),
        *("dicom_support_rule", "build_subdirectory", "enabled", "tier"),
    }
    entry = catalogue()
    assert set(entry) <= known
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert isinstance(entry["tier"], int)
    assert isinstance(entry["enabled"], bool)


def test_the_public_address_stands_in_one_place(extension: ModuleType) -> None:
    address = extension.metadata()["REPOSITORY"]
    files = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False)
    if files.returncode:
        pytest.skip("not a git checkout, so there is no list of tracked files to search")
    holders = [
        name
        for name in files.stdout.split("\n")
        if name and (ROOT / name).is_file() and address.encode() in (ROOT / name).read_bytes()
    ]
    assert sorted(holders) == ["CMakeLists.txt", "PRRTPredictor.json", "PRRTPredictor.s4ext"]
    assert (ROOT / "CMakeLists.txt").read_text(encoding="utf-8").count(address) == 1


def test_icon_and_screenshots_are_where_the_catalogue_looks(extension: ModuleType) -> None:
    values = extension.metadata()
    prefix = values["REPOSITORY"] + "/raw/main/"
    urls = [values["EXTENSION_ICONURL"], *values["EXTENSION_SCREENSHOTURLS"].split()]
    for url in urls:
        assert url.startswith(prefix)
        header = (ROOT / url.removeprefix(prefix)).read_bytes()[:24]
        assert header.startswith(b"\x89PNG")
    icon = (ROOT / urls[0].removeprefix(prefix)).read_bytes()
    assert struct.unpack(">II", icon[16:24]) == (128, 128)


def test_ctest_runs_the_scripts_that_are_there() -> None:
    folder = ROOT / "Testing" / "Python"
    registered = re.findall(r"SCRIPT (\w+\.py)", (folder / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert registered
    assert sorted(registered) == sorted(path.name for path in folder.glob("*.py"))


def test_public_ci_lets_no_step_fail_silently() -> None:
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert "continue-on-error" not in text
    assert "|| true" not in text
    for system in ("ubuntu", "macos", "windows"):
        assert system in text
    for script in (ROOT / "Testing" / "Python").glob("*.py"):
        assert script.name in text or "Testing/Python/*.py" in text


def test_the_command_checks_and_writes() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "extension.py"), "--check"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
