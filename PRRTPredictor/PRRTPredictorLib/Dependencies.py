"""Packages that Slicer does not bring along, installed when the user starts the work that needs them, after asking."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from PRRTPredictorCore.errors import Code, RunFailed

TORCH = ">=2.8,!=2.9.*"
"""3-D convolutions in mixed precision are four times slower in 2.9."""

_REQUESTER = "PRRTPredictor"


class Dependencies:
    """Everything that a worker process imports beyond Slicer's own packages.

    Parameters
    ----------
    requirements : Path
        ``requirements.txt``: minimums, one a line; PyTorch stands apart as :data:`TORCH`.

    Examples
    --------
    >>> Dependencies(Path(self.resourcePath("requirements.txt"))).ensure()
    """

    def __init__(self, requirements: Path) -> None:
        self._requirements = Path(requirements)

    def missing(self) -> tuple[str, ...]:
        """The requirements that are not installed, or too old; looks at metadata only and imports none of them."""
        importlib.invalidate_caches()
        return tuple(one for one in (f"torch{TORCH}", *self._listed()) if not _isInstalled(one))

    def ensure(self) -> None:
        """Install what is missing, after asking; does nothing where nothing is.

        PyTorch comes first, through the PyTorch extension, so that no other package brings a build along that does not
        fit the graphics card.

        Raises
        ------
        RunFailed
            ``DEPENDENCY_MISSING``: the user declined, the installation failed, the PyTorch extension is not there, or
            this is no Slicer.
        """
        missing = self.missing()
        if not missing:
            return
        try:
            import slicer.packaging
        except ImportError:
            raise _absent(missing, f"Install them: pip install {' '.join(f'{one!r}' for one in missing)}") from None
        if any(_isTorch(one) for one in missing):
            _installTorch(missing)
        rest = [one for one in missing if not _isTorch(one)]
        try:
            slicer.packaging.pip_ensure(rest, requester=_REQUESTER)
        except CalledProcessError as problem:
            raise _failed(missing) from problem
        except RuntimeError as problem:  # how Slicer says that the user declined
            raise _declined(missing) from problem
        # Under Slicer's --testing nothing is installed and nothing is said.
        left = self.missing()
        if left:
            raise _failed(left)

    def _listed(self) -> list[str]:
        lines = self._requirements.read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _isTorch(requirement: str) -> bool:
    return requirement == f"torch{TORCH}"


def _isInstalled(requirement: str) -> bool:
    try:
        from slicer.packaging import pip_check
    except ImportError:  # no Slicer
        return _isInstalledHere(requirement)
    return bool(pip_check(requirement))


def _isInstalledHere(requirement: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _installTorch(missing: Sequence[str]) -> None:
    try:
        import PyTorchUtils
    except ImportError:
        raise _absent(
            missing,
            "Install the extension PyTorch in Slicer's Extensions Manager, restart Slicer and try again.",
            because="The Slicer extension PyTorch, which installs PyTorch, is not there.",
        ) from None
    if _isTesting():  # PyTorchUtils would install without asking; slicer.packaging does not install at all
        return
    logic: Any = PyTorchUtils.PyTorchUtilsLogic()
    try:
        torch = logic.installTorch(askConfirmation=True, torchVersionRequirement=TORCH)
    except (CalledProcessError, RuntimeError, ImportError, OSError, ValueError) as problem:
        raise _failed(missing) from problem
    if torch is None:
        raise _declined(missing)


def _isTesting() -> bool:
    import slicer

    application = getattr(slicer, "app", None)
    return application is not None and bool(application.testingEnabled())


def _declined(missing: Sequence[str]) -> RunFailed:
    return _absent(
        missing,
        "Start again and agree to the installation. Loading studies and checking laboratory values work without it.",
        because="The installation was declined.",
    )


def _failed(missing: Sequence[str]) -> RunFailed:
    return _absent(
        missing,
        "Check the network and the free space, look at the reason in Slicer's Python console, and start again.",
        because="The installation did not succeed.",
    )


def _absent(missing: Sequence[str], remedy: str, because: str = "") -> RunFailed:
    return RunFailed(
        Code.DEPENDENCY_MISSING,
        f"{because} Python packages that this work needs are missing: {', '.join(missing)}.".strip(),
        remedy=remedy,
    )
