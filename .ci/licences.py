"""Lists the licence of every package that is installed, and fails on one that is not permitted or not known.

What the product needs at run time must be permissive or copyleft by file (MPL). Tools that only test it may also be
under the LGPL: they are not handed on.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions

from lock import normalised

PRODUCT, PRODUCT_EXTRAS = "prrtpredictor", ("slicer",)

PERMISSIVE = frozenset(
    {
        *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0"),
        *("CC0-1.0", "MIT", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib"),
    }
)
FOR_TOOLS = PERMISSIVE | {"LGPL-2.1-or-later", "LGPL-3.0-only"}

SPELLINGS = {
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "gnu library or lesser general public license (lgpl)": "LGPL-2.1-or-later",
}
"""How packages wrote it before SPDX; "BSD" is taken for the stricter of its two usual forms."""

READ = {
    "atheris": ("Apache-2.0", "its LICENSE file; the metadata name none"),
    "dcm2niix": ("BSD-3-Clause", "its license.txt: BSD, with parts in the public domain and under MIT"),
}
"""Licences that stand in no field of the metadata, read by a person, and where."""


BROUGHT_BY_TORCH = re.compile(r"(nvidia|cuda)-")
"""NVIDIA's own libraries, under NVIDIA's terms: torch's build for graphics cards installs them on Linux.

The product does without them, and does not hand them on.
"""


@dataclass(frozen=True)
class Found:
    """The licence of one package, as an SPDX expression; empty where it is not known."""

    name: str
    version: str
    licence: str
    needed: bool

    @property
    def permitted(self) -> bool:
        """Whether some choice of the expression is permitted for what the package is needed for."""
        if BROUGHT_BY_TORCH.match(normalised(self.name)):
            return True
        return is_permitted(self.licence, PERMISSIVE if self.needed else FOR_TOOLS)


def is_permitted(expression: str, permitted: frozenset[str]) -> bool:
    """Whether an SPDX expression can be fulfilled with permitted licences alone.

    Examples
    --------
    >>> is_permitted("MIT OR GPL-3.0-only", frozenset({"MIT"}))
    True
    >>> is_permitted("MIT AND (GPL-3.0-only OR LGPL-3.0-only)", frozenset({"MIT"}))
    False
    """
    words = iter([*re.findall(r"\(|\)|AND|OR|[^\s()]+(?: WITH [^\s()]+)?", expression), ""])
    return bool(expression) and _either(words, permitted)[0]


def _either(words: Iterator[str], permitted: frozenset[str]) -> tuple[bool, str]:
    holds, word = _all(words, permitted)
    while word == "OR":
        other, word = _all(words, permitted)
        holds = holds or other
    return holds, word


def _all(words: Iterator[str], permitted: frozenset[str]) -> tuple[bool, str]:
    holds = True
    while True:
        word = next(words)
        one = _either(words, permitted)[0] if word == "(" else word in permitted
        holds = holds and one
        word = next(words)
        if word != "AND":
            return holds, word


def licence_of(package: Distribution) -> str:
    """The SPDX expression of a package: its own, else from its classifiers, its licence field, or what was read."""
    metadata = package.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = [
        line.rsplit("::", 1)[1].strip() for line in metadata.get_all("Classifier") or () if "License" in line
    ]
    written = [str(metadata.get("License") or "").strip(), *classifiers]
    for text in written:
        if text.lower() in SPELLINGS:
            return SPELLINGS[text.lower()]
        if re.fullmatch(r"[A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]+)*", text):
            return text
    for line in written[0].splitlines()[:3]:
        match = re.search(r"(Apache|MIT|BSD)[- ](?:3-Clause )?Licen[cs]e", line.strip())
        if match:
            return {"Apache": "Apache-2.0", "MIT": "MIT", "BSD": "BSD-3-Clause"}[match[1]]
    return READ.get(str(metadata["Name"]), ("", ""))[0]


def needed_packages() -> set[str]:
    """The packages that the product needs at run time, through all their own needs, by normalised name."""
    from packaging.requirements import Requirement

    needed: set[str] = set()
    open_ends = [(PRODUCT, extra) for extra in ("", *PRODUCT_EXTRAS)]
    seen: set[tuple[str, str]] = set()
    while open_ends:
        name, extra = end = open_ends.pop()
        if end in seen:
            continue
        seen.add(end)
        try:
            requirements = distribution(name).requires or ()
        except PackageNotFoundError:  # for another system, or of an extra that is not installed
            continue
        needed.add(normalised(name))
        for line in requirements:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                open_ends += [(requirement.name, further) for further in ("", *requirement.extras)]
    return needed


def survey() -> list[Found]:
    """Every package that is installed, by name."""
    needed = needed_packages()
    found = {}
    for package in distributions():
        name = str(package.metadata["Name"])
        found[normalised(name)] = Found(name, package.version, licence_of(package), normalised(name) in needed)
    return [found[name] for name in sorted(found)]


def main() -> int:
    """Print the table; 1 where a licence is not permitted."""
    packages = survey()
    for one in packages:
        verdict = "" if one.permitted else "  NOT PERMITTED" if one.licence else "  NOT KNOWN"
        used = "product" if one.needed else "tests"
        print(f"{one.name:<24} {one.version:<20} {used:<8} {one.licence or '?'}{verdict}")
    wrong = [one.name for one in packages if not one.permitted]
    if wrong:
        print(f"{len(wrong)} of {len(packages)} need a look: {', '.join(wrong)}", file=sys.stderr)
        return 1
    print(
        f"{len(packages)} packages, {sum(one.needed for one in packages)} of them part of the product: all permitted."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
