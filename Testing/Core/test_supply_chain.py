"""The lock file, the list of licences and the audit: what they accept and what they do not."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def script(name: str) -> Any:
    """A script of .ci/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


lock, licences, audit = (script(name) for name in ("lock", "licences", "audit"))  # the first is used by the others
LOCKED = lock.read_lock(lock.LOCK.read_text(encoding="utf-8"))


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {lock.normalised(name): version for name, version in pairs}


# --- the lock file ----------------------------------------------------------------------------------------------------


def test_everything_that_is_pinned_is_locked_in_the_same_version() -> None:
    versions = {name: entry.version for name, entry in LOCKED.items()}
    assert pinned().items() <= versions.items()
    assert set(versions) - set(pinned()) <= {"pip", "setuptools", "wheel"}


def test_every_package_has_hashes_and_no_place_is_named() -> None:
    assert all(entry.hashes for entry in LOCKED.values())
    text = lock.LOCK.read_text(encoding="utf-8")
    assert re.search(r"https?:|file:|--index|--find-links|\.org|/opt/", text) is None
    assert "+" not in "".join(entry.version for entry in LOCKED.values()), "a local build is no version of the index"


def test_a_lock_file_is_read_back_as_it_was_written() -> None:
    again = lock.read_lock(lock.written(LOCKED))
    assert {name: (entry.version, entry.hashes) for name, entry in again.items()} == {
        name: (entry.version, entry.hashes) for name, entry in LOCKED.items()
    }


def test_a_local_build_takes_the_place_of_the_indexs_own_for_this_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {"torch": lock.Entry("2.13.0+cpu", "", {"sha256:" + "a" * 64}), "numpy": lock.Entry("1", "", {"x"})}
    asked = []

    def compiled(source: Path, out: Path, *options: str, environment: dict[str, str]) -> Any:
        asked.append((source.read_text(encoding="utf-8"), environment["PIP_FIND_LINKS"]))
        public = {"sha256:" + "b" * 64, "sha256:" + "c" * 64}
        return {"torch": lock.Entry("2.13.0", "", public), "else": lock.Entry("1", "", set())}

    monkeypatch.setattr(lock, "compiled", compiled)
    monkeypatch.setattr(lock, "chosen_here", lambda requirement, environment: "sha256:" + "c" * 64)
    lock.with_public_builds(entries, tmp_path)
    assert asked == [("torch==2.13.0\n", "")]
    assert entries["torch"].version == "2.13.0"
    assert entries["torch"].hashes == {"sha256:" + "a" * 64, "sha256:" + "b" * 64}
    assert set(entries) == {"torch", "numpy"}


# --- licences ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "fine"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("AGPL-3.0-or-later", False),
        ("MIT OR GPL-2.0-only", True),
        ("MIT AND GPL-2.0-only", False),
        ("MIT AND (GPL-2.0-only OR BSD-3-Clause)", True),
        ("(MIT AND GPL-2.0-only) OR Apache-2.0", True),
        ("MIT OR BSD-3-Clause AND GPL-2.0-only", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-only WITH GCC-exception-3.1", False),
        ("LGPL-3.0-only", False),
        ("LicenseRef-Proprietary", False),
        ("", False),
    ],
)
def test_what_may_be_part_of_the_product(expression: str, fine: bool) -> None:
    assert licences.is_permitted(expression, licences.PERMISSIVE) is fine


def test_tools_may_be_under_the_lgpl_and_the_product_may_not() -> None:
    qt = "LGPL-3.0-only OR GPL-2.0-only OR GPL-3.0-only"
    assert licences.Found("tool", "1", qt, needed=False).permitted
    assert not licences.Found("library", "1", qt, needed=True).permitted


def test_nvidias_libraries_come_with_torch_and_are_not_ours() -> None:
    assert licences.Found("nvidia-cublas-cu12", "1", "LicenseRef-NVIDIA-Proprietary", needed=True).permitted
    assert not licences.Found("other", "1", "LicenseRef-NVIDIA-Proprietary", needed=True).permitted


class Package:
    """As much of a distribution as is looked at."""

    def __init__(self, version: str = "1.0", **metadata: Any) -> None:
        from email.message import Message

        self.version, self.metadata = version, Message()
        for name, value in metadata.items():
            for one in value if isinstance(value, list) else [value]:
                self.metadata[name.replace("_", "-")] = one


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ({"License_Expression": "MIT", "License": "whatever"}, "MIT"),
        ({"License": "Apache 2.0"}, "Apache-2.0"),
        ({"License": "BSD 3-Clause License\n\nCopyright"}, "BSD-3-Clause"),
        ({"Classifier": ["Topic :: X", "License :: OSI Approved :: MIT License"]}, "MIT"),
        ({"License": "GPL-3.0-only"}, "GPL-3.0-only"),
        ({"Classifier": "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"}, ""),
        ({"License": "ask us"}, ""),
        ({}, ""),
    ],
)
def test_a_licence_is_found_wherever_packages_write_it(metadata: dict[str, Any], licence: str) -> None:
    assert licences.licence_of(Package(Name="some", **metadata)) == licence


def test_everything_that_is_installed_here_is_permitted() -> None:
    packages = licences.survey()
    assert {"torch", "numpy", "pydicom"} <= {one.name for one in packages if one.needed}
    assert "pytest" not in {one.name for one in packages if one.needed}
    assert [(one.name, one.licence) for one in packages if not one.permitted] == []


# --- audit ------------------------------------------------------------------------------------------------------------


def test_another_version_or_an_unknown_package_is_told() -> None:
    version = LOCKED["numpy"].version
    known = [Package(version, Name="NumPy"), Package("2.13.0+cpu", Name="torch"), Package("0", Name="pip")]
    assert LOCKED["torch"].version == "2.13.0"
    assert audit.unlike_the_lock(known) == []
    told = audit.unlike_the_lock([Package("0.1", Name="numpy"), Package("1", Name="left-pad")])
    assert told == [
        f"numpy 0.1 is installed, requirements.lock names {version}",
        "left-pad 1 is not in requirements.lock",
    ]


def test_a_file_altered_after_the_installation_is_found(tmp_path: Path) -> None:
    from importlib.metadata import PathDistribution

    info = tmp_path / "some-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: some\nVersion: 1.0\n", encoding="utf-8")
    (tmp_path / "some.py").write_bytes(b"harmless = True\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"harmless = True\n").digest()).rstrip(b"=").decode()
    (info / "RECORD").write_text(f"some.py,sha256={digest},16\nsome.pyc,,\ngone.py,sha256={digest},16\n")
    first = audit.altered_files(PathDistribution(info))
    assert len(first) == 1
    assert first[0].startswith("gone.py: ")
    (tmp_path / "some.py").write_bytes(b"harmful = True\n")
    assert "some.py was altered after some was installed" in audit.altered_files(PathDistribution(info))
