"""Keep the extension's files equal: module lists and catalogue entries are written from the tree and CMakeLists.txt.

``python .ci/extension.py`` writes PRRTPredictor/CMakeLists.txt, PRRTPredictor.s4ext and PRRTPredictor.json;
``--check`` writes nothing and fails, saying which file is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE = "PRRTPredictor"
PACKAGES = ("PRRTPredictorCore", "PRRTPredictorLib")
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json#"
)
_SET = re.compile(r'^set\((\w+) "?([^"\n]*)"?\)$', re.MULTILINE)

MODULE_LISTS = """set(MODULE_NAME {module})

#-----------------------------------------------------------------------------
# Both lists are written by `make extension`.
set(MODULE_PYTHON_SCRIPTS
{scripts}
  )

set(MODULE_PYTHON_RESOURCES
{resources}
  )

#-----------------------------------------------------------------------------
slicerMacroBuildScriptedModule(
  NAME ${{MODULE_NAME}}
  SCRIPTS ${{MODULE_PYTHON_SCRIPTS}}
  RESOURCES ${{MODULE_PYTHON_RESOURCES}}
  WITH_GENERIC_TESTS
  )

#-----------------------------------------------------------------------------
if(BUILD_TESTING)
  # The test class in the module's main script.
  slicer_add_python_unittest(SCRIPT ${{MODULE_NAME}}.py)
endif()
"""

S4EXT = """#
# First token of each non-comment line is the keyword and the rest of the line is the value.
# Written from CMakeLists.txt by `make extension`.
#

scm git
scmurl {REPOSITORY}
scmrevision main
depends {EXTENSION_DEPENDS}
build_subdirectory {EXTENSION_BUILD_SUBDIRECTORY}
homepage {EXTENSION_HOMEPAGE}
contributors {EXTENSION_CONTRIBUTORS}
category {EXTENSION_CATEGORY}
iconurl {EXTENSION_ICONURL}
status {EXTENSION_STATUS}
tier {EXTENSION_TIER}
description {EXTENSION_DESCRIPTION}
screenshoturls {EXTENSION_SCREENSHOTURLS}
enabled {EXTENSION_ENABLED}
"""


def metadata() -> dict[str, str]:
    """The values that the top-level CMakeLists.txt sets, with references to earlier ones resolved."""
    values: dict[str, str] = {}
    for name, value in _SET.findall((ROOT / "CMakeLists.txt").read_text(encoding="utf-8")):
        values[name] = re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], value)
    return values


def scripts() -> list[str]:
    """Every Python file of the module: the main script first, then both packages."""
    folder = ROOT / MODULE
    found = [path for package in PACKAGES for path in (folder / package).rglob("*.py")]
    return [f"{MODULE}.py", *_names(folder, found)]


def resources() -> list[str]:
    """Every other file that the module needs at run time."""
    folder = ROOT / MODULE
    found = [
        path
        for package in (*PACKAGES, "Resources")
        for path in (folder / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
    ]
    return _names(folder, found)


def catalogue_entry(values: dict[str, str]) -> dict[str, object]:
    """The entry for Slicer's ExtensionsIndex."""
    return {
        "$schema": SCHEMA,
        "build_dependencies": values["EXTENSION_DEPENDS"].split(),
        "build_subdirectory": values["EXTENSION_BUILD_SUBDIRECTORY"],
        "category": values["EXTENSION_CATEGORY"],
        "enabled": values["EXTENSION_ENABLED"] == "1",
        "scm_revision": "main",
        "scm_type": "git",
        "scm_url": values["REPOSITORY"],
        "tier": int(values["EXTENSION_TIER"]),
    }


def contents() -> dict[Path, str]:
    """What each written file must contain."""
    values = metadata()
    lists = MODULE_LISTS.format(module=MODULE, scripts=_indented(scripts()), resources=_indented(resources()))
    return {
        ROOT / MODULE / "CMakeLists.txt": lists,
        ROOT / f"{MODULE}.s4ext": S4EXT.format(**values),
        ROOT / f"{MODULE}.json": json.dumps(catalogue_entry(values), indent=2) + "\n",
    }


def outdated() -> list[str]:
    """Names of the files that differ from what they must contain."""
    return [
        str(path.relative_to(ROOT))
        for path, text in contents().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` only say which are out of date."""
    if arguments == ["--check"]:
        stale = outdated()
        for name in stale:
            sys.stderr.write(f"{name} is out of date: run `make extension`\n")
        return 1 if stale else 0
    for path, text in contents().items():
        path.write_text(text, encoding="utf-8")
    return 0


def _names(folder: Path, paths: list[Path]) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def _indented(names: list[str]) -> str:
    return "\n".join(f"  {name}" for name in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
