"""slicer.packaging: requirements are really checked; nothing is ever installed.

A test says what an installation would have done: ``slicer.packaging.standInInstaller = f`` (``f(requirements)`` may
make modules importable, or raise as pip does). Without one an installation raises :class:`NotProvided`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from . import bare
from .strict import NotProvided

Requirements = str | Requirement | list[str | Requirement]


def load_requirements(path: str | Path) -> list[Requirement]:
    """Requirements of a file; comments, empty lines and pip's options are passed over."""
    lines = (line.strip() for line in Path(path).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def pip_check(req: Requirements, _seen: Any = None) -> bool:
    """Whether the requirements are satisfied by what can be imported here."""
    return all(_isSatisfied(requirement) for requirement in _asList(req))


def pip_ensure(
    requirements: Requirements,
    constraints: str | Path | None = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """Ask the user, then install what is missing. RuntimeError when declined."""
    import slicer

    missing = [requirement for requirement in _asList(requirements) if not pip_check(requirement)]
    if not missing:
        return None
    if skip_in_testing and slicer.app.testingEnabled():
        logging.info("Testing mode is enabled: skipping pip_ensure for %s", missing)
        return None
    if prompt_install:
        names = "\n".join(f"- {requirement}" for requirement in missing)
        title = f"{requester} - Install Python Packages" if requester else "Install Python Packages"
        text = f"{len(missing)} Python packages need to be installed. Continue?"
        if not slicer.util.confirmOkCancelDisplay(text, title, detailedText=names):
            raise RuntimeError("User declined package installation")
    return pip_install([str(requirement) for requirement in missing], requester=requester)


def pip_install(
    requirements: str | list[str],
    constraints: str | Path | None = None,
    no_deps_requirements: str | list[str] | None = None,
    skip_packages: list[str] | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    logCallback: Callable[[str], None] | None = None,
    completedCallback: Callable[[int], None] | None = None,
) -> list[str] | None:
    """What the test's installer does."""
    import slicer

    installer = slicer.packaging.standInInstaller
    if installer is None:
        raise NotProvided(f"The stand-in host installs nothing (asked for {requirements}).")
    installer([requirements] if isinstance(requirements, str) else list(requirements))
    return None


def isPipInstallInProgress() -> bool:
    return False


def _asList(requirements: Requirements) -> list[Requirement]:
    if isinstance(requirements, str):
        requirements = list(requirements.split())
    elif isinstance(requirements, Requirement):
        requirements = [requirements]
    return [item if isinstance(item, Requirement) else Requirement(item) for item in requirements]


def _isSatisfied(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    if bare.blocked() and _importNames(canonicalize_name(requirement.name)) & bare.NOT_BUNDLED:
        return False
    return requirement.specifier.contains(version, prereleases=True)


@lru_cache(maxsize=1)
def _packages() -> dict[str, frozenset[str]]:
    """Distribution -> what it makes importable."""
    found: dict[str, set[str]] = {}
    for package, distributions in metadata.packages_distributions().items():
        for distribution in distributions:
            found.setdefault(canonicalize_name(distribution), set()).add(package)
    return {name: frozenset(packages) for name, packages in found.items()}


def _importNames(distribution: str) -> frozenset[str]:
    return _packages().get(distribution, frozenset())


class _Packaging(ModuleType):
    """``slicer.packaging``."""

    standInInstaller: Callable[[list[str]], None] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotProvided(f"The stand-in host has no slicer.packaging.{name}.")


def install() -> None:
    """Make ``slicer.packaging`` importable."""
    import slicer

    module = _Packaging("slicer.packaging")
    functions = (load_requirements, pip_check, pip_ensure, pip_install, isPipInstallInProgress)
    for function in functions:
        setattr(module, function.__name__, function)
    module.Requirement = Requirement  # type: ignore[attr-defined]
    slicer.packaging = module
    sys.modules["slicer.packaging"] = module
