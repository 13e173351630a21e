"""Says whether what is installed is whole, fits together, and is what the lock file names.

Three checks: ``pip check``; every package against ``requirements.lock`` by version; and every installed file against
the hash that its package's RECORD gives, so that a file altered after the installation is found. Whether a package is
the one that its authors published is decided earlier, by ``pip install --require-hashes``.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

from lock import LOCK, normalised, read_lock

OWN = "prrtpredictor"
INSTALLERS = frozenset({"pip", "setuptools", "wheel"})
"""What came with the virtual environment."""


def unlike_the_lock(installed: list[Distribution]) -> list[str]:
    """Packages that the lock file does not name, or names in another version."""
    entries = read_lock(LOCK.read_text(encoding="utf-8"))
    problems = []
    for package in installed:
        name, version = normalised(str(package.metadata["Name"])), package.version.partition("+")[0]
        if name == OWN or name in INSTALLERS:
            continue
        if name not in entries:
            problems.append(f"{name} {version} is not in {LOCK.name}")
        elif entries[name].version != version:
            problems.append(f"{name} {version} is installed, {LOCK.name} names {entries[name].version}")
    return problems


def altered_files(package: Distribution) -> list[str]:
    """Files of a package whose bytes are not those of its RECORD; compiled Python has no hash there."""
    problems = []
    for file in package.files or ():
        if file.hash is None:
            continue
        path = Path(str(package.locate_file(file)))
        try:
            with path.open("rb") as content:
                digest = hashlib.new(file.hash.mode, content.read()).digest()
        except OSError as error:
            problems.append(f"{file}: {error.strerror}")
            continue
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            problems.append(f"{file} was altered after {package.metadata['Name']} was installed")
    return problems


def main() -> int:
    """Print every problem; 1 where there is one."""
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    problems = [] if checked.returncode == 0 else checked.stdout.splitlines() + checked.stderr.splitlines()
    installed = list({normalised(str(one.metadata["Name"])): one for one in distributions()}.values())
    problems += unlike_the_lock(installed)
    others = [package for package in installed if normalised(str(package.metadata["Name"])) != OWN]
    problems += [problem for package in others for problem in altered_files(package)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(others)} packages: pip check is clean, all are in {LOCK.name}, no file was altered.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
