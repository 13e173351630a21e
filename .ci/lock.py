"""Writes ``requirements.lock`` anew: every package of constraints.txt with the hashes of its files.

``pip-compile`` resolves the project with all of its extras within constraints.txt, and takes the hashes from the index
that pip is set up with; neither an index nor a folder is named in the result. Where pip finds a build of its own (such
as torch's "+cpu"), its hash takes the place of the index's build for this system, under the version without the suffix:
were both permitted, pip would prefer the index's, whose CUDA libraries are not locked.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
EXTRAS = ("slicer", "test", "bench", "trust", "distributed")

HEADING = """\
# Written by `make lock`: what constraints.txt pins, with the SHA-256 of every file that may be installed.
#   pip install --require-hashes --no-deps -r requirements.lock
#   pip install --no-deps --no-build-isolation --editable .
# Resolved on Linux for Python 3.11. The files of all systems are listed, but packages that only another system or
# Python needs are not. On Linux torch is its build for CPUs: the CUDA libraries of the other one are not locked.
"""

_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?P<marker> ;[^\\\n]*)?", re.MULTILINE)
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")


def compiled(source: Path, out: Path, *options: str, environment: dict[str, str] | None = None) -> dict[str, Entry]:
    """What pip-compile finds for a list of requirements."""
    words = ("--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-emit-options", "--no-annotate", "--quiet")
    subprocess.run(
        [sys.executable, "-m", "piptools", "compile", *words, *options, "--output-file", str(out), str(source)],
        check=True,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )
    return read_lock(out.read_text(encoding="utf-8"))


class Entry:
    """One pinned package: its version, marker and the hashes of its files."""

    def __init__(self, version: str, marker: str, hashes: set[str]) -> None:
        self.version, self.marker, self.hashes = version, marker, hashes


def read_lock(text: str) -> dict[str, Entry]:
    """The entries of a lock file, by normalised name."""
    found = list(_PINNED.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)]
    return {
        normalised(match["name"]): Entry(
            match["version"], (match["marker"] or "").strip(), set(_HASH.findall(text[match.start() : end]))
        )
        for match, end in zip(found, ends, strict=True)
    }


def normalised(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def with_public_builds(entries: dict[str, Entry], folder: Path) -> None:
    """Give entries of a local build, such as 2.13.0+cpu, the public version and the hashes for other systems."""
    local = {name: entry for name, entry in entries.items() if "+" in entry.version}
    if not local:
        return
    for entry in local.values():
        entry.version = entry.version.partition("+")[0]
    wanted = folder / "public.in"
    wanted.write_text("".join(f"{name}=={entry.version}\n" for name, entry in local.items()), encoding="utf-8")
    # Neither pip's settings nor a folder of wheels: the index alone.
    alone = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    public = compiled(wanted, folder / "public.lock", environment=alone)
    for name, entry in local.items():
        entry.hashes |= public[name].hashes - {chosen_here(f"{name}=={entry.version}", alone)}


def chosen_here(requirement: str, environment: dict[str, str]) -> str:
    """The hash of the file that pip would install on this system."""
    words = ("install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", "-", requirement)
    report = subprocess.run(
        [sys.executable, "-m", "pip", *words],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    ).stdout
    (file,) = json.loads(report)["install"]
    return f"sha256:{file['download_info']['archive_info']['hashes']['sha256']}"


def written(entries: dict[str, Entry]) -> str:
    """The lock file's text."""
    lines = [HEADING.rstrip()]
    for name, entry in sorted(entries.items()):
        pin = f"{name}=={entry.version}" + (f" {entry.marker}" if entry.marker else "")
        lines.append(" \\\n".join([pin, *(f"    --hash={digest}" for digest in sorted(entry.hashes))]))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Resolve, and write the lock file."""
    with tempfile.TemporaryDirectory() as folder:
        extras = [option for extra in EXTRAS for option in ("--extra", extra)]
        constraint = ("--constraint", "constraints.txt")
        entries = compiled(ROOT / "pyproject.toml", Path(folder) / "all.lock", *constraint, *extras)
        with_public_builds(entries, Path(folder))
    LOCK.write_text(written(entries), encoding="utf-8")
    print(f"{LOCK.name}: {len(entries)} packages, {sum(len(entry.hashes) for entry in entries.values())} hashes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
