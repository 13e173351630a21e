"""Installation on demand: what is asked, in which order, and how a refusal reaches the user."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import CalledProcessError
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from PRRTPredictorCore.errors import Code, RunFailed
from PRRTPredictorLib.Dependencies import TORCH, Dependencies

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "PRRTPredictor" / "Resources" / "requirements.txt"
BUNDLED = {"numpy", "scipy", "pydicom", "vtk"}
"""What Slicer brings along."""


class FakeSlicer:
    """slicer.packaging and PyTorchUtils that remember what they were asked."""

    def __init__(self, installed: set[str]) -> None:
        self.installed = installed
        self.asked: list[tuple[str, Any]] = []
        self.answer: Any = True

    def pip_check(self, requirement: str) -> bool:
        return Requirement(requirement).name in self.installed

    def pip_ensure(self, requirements: list[str], requester: str) -> None:
        self.asked.append((requester, requirements))
        self._answer()
        self.installed |= {Requirement(one).name for one in requirements}

    def installTorch(self, askConfirmation: bool = False, forceComputationBackend=None, torchVersionRequirement=None):
        self.asked.append(("torch", (askConfirmation, torchVersionRequirement)))
        if self.answer is None:
            return None
        self._answer()
        self.installed.add("torch")
        return SimpleNamespace(__version__="2.8.0")

    def _answer(self) -> None:
        if isinstance(self.answer, Exception):
            raise self.answer


def module(name: str, **contents: Any) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(contents)
    return made


@pytest.fixture
def inSlicer(monkeypatch: pytest.MonkeyPatch) -> FakeSlicer:
    """A Slicer in which nothing is installed."""
    fake = FakeSlicer(set())
    packaging = module("slicer.packaging", pip_check=fake.pip_check, pip_ensure=fake.pip_ensure)
    monkeypatch.setitem(sys.modules, "slicer", module("slicer", packaging=packaging, __path__=[]))
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module("PyTorchUtils", PyTorchUtilsLogic=lambda: fake))
    return fake


@pytest.fixture
def dependencies() -> Dependencies:
    return Dependencies(REQUIREMENTS)


def refusal(dependencies: Dependencies) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        dependencies.ensure()
    assert caught.value.code is Code.DEPENDENCY_MISSING
    assert caught.value.remedy
    return caught.value


def test_the_lists_are_those_of_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text.split("\ndependencies = [", 1)[1].split("]\n", 1)[0]
    declared = {
        one.name: one for one in map(Requirement, (line.strip(' ",') for line in block.split("\n") if '"' in line))
    }
    assert len(declared) > 15
    listed = [Requirement(line) for line in REQUIREMENTS.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert {one.name: one.specifier for one in listed} == {
        name: one.specifier for name, one in declared.items() if name not in BUNDLED | {"torch"}
    }
    assert declared["torch"].specifier == Requirement(f"torch{TORCH}").specifier
    assert [one.name for one in listed] == sorted(one.name for one in listed)


def test_torch_comes_first_and_both_ask(inSlicer: FakeSlicer, dependencies: Dependencies) -> None:
    missing = dependencies.missing()
    assert missing[0] == f"torch{TORCH}"
    assert "monai>=1.5" in missing
    dependencies.ensure()
    assert inSlicer.asked == [("torch", (True, TORCH)), ("PRRTPredictor", list(missing[1:]))]
    assert dependencies.missing() == ()


def test_where_nothing_is_missing_nothing_is_asked(inSlicer: FakeSlicer, dependencies: Dependencies) -> None:
    dependencies.ensure()
    inSlicer.asked.clear()
    dependencies.ensure()
    assert inSlicer.asked == []


def test_only_what_is_missing_is_asked_for(inSlicer: FakeSlicer, dependencies: Dependencies) -> None:
    inSlicer.installed |= {Requirement(one).name for one in dependencies.missing()} - {"jinja2"}
    dependencies.ensure()
    assert inSlicer.asked == [("PRRTPredictor", ["jinja2>=3.1"])]


def test_torch_declined_installs_nothing_else(inSlicer: FakeSlicer, dependencies: Dependencies) -> None:
    inSlicer.answer = None
    error = refusal(dependencies)
    assert "declined" in error.message
    assert [who for who, _ in inSlicer.asked] == ["torch"]


def test_the_rest_declined(inSlicer: FakeSlicer, dependencies: Dependencies) -> None:
    inSlicer.installed.add("torch")
    inSlicer.answer = RuntimeError("User declined package installation")
    error = refusal(dependencies)
    assert "declined" in error.message
    assert "monai" in error.message


@pytest.mark.parametrize("torchIsThere", [True, False])
def test_an_installation_that_fails(inSlicer: FakeSlicer, dependencies: Dependencies, torchIsThere: bool) -> None:
    inSlicer.installed |= {"torch"} if torchIsThere else set()
    inSlicer.answer = CalledProcessError(1, "pip")
    error = refusal(dependencies)
    assert "did not succeed" in error.message
    assert "network" in error.remedy


def test_without_the_pytorch_extension_its_name_is_said(inSlicer, dependencies, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    error = refusal(dependencies)
    assert "extension PyTorch" in error.message
    assert "Extensions Manager" in error.remedy
    assert inSlicer.asked == []


def test_slicer_under_testing_installs_nothing_and_that_is_said(inSlicer, dependencies, monkeypatch) -> None:
    testing = SimpleNamespace(testingEnabled=lambda: True)
    monkeypatch.setattr(sys.modules["slicer"], "app", testing, raising=False)
    monkeypatch.setattr(sys.modules["slicer.packaging"], "pip_ensure", lambda requirements, requester: None)
    message = refusal(dependencies).message
    assert "monai" in message
    assert "torch" in message
    assert inSlicer.asked == [], "PyTorch is not installed either"


def test_outside_of_slicer_the_remedy_is_pip(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "slicer", None)
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# a remark\n\nnumpy>=1.0\nno-such-package-prrt>=1.0\nnumpy>=999\n", encoding="utf-8")
    dependencies = Dependencies(requirements)
    missing = [one for one in dependencies.missing() if not one.startswith("torch")]
    assert missing == ["no-such-package-prrt>=1.0", "numpy>=999"]
    assert "pip install" in refusal(dependencies).remedy
