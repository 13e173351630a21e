"""House rules of the Slicer side that no run shows: what is never imported, and that every text can be translated."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "PRRTPredictor"
UI = MODULE / "Resources" / "UI" / "PRRTPredictor.ui"
PRODUCT = sorted([*MODULE.rglob("*.py"), *(ROOT / "Testing" / "Python").glob("*.py")])
SPOKEN = [
    MODULE / "PRRTPredictor.py",
    *(MODULE / "PRRTPredictorLib" / f"{name}.py" for name in ("LabSheet", "Messages", "Results")),
    *sorted((MODULE / "PRRTPredictorLib" / "Panel").glob("*.py")),
]
# Names, which stay as they are in every language.
UNTRANSLATED = ("The PRRTPredictor developers", "Baur S,")
SCAFFOLDING = {"slicer_standin", "conftest", "panel_driver", "panel_fakes", "failing_panel", "trained_run"}


def imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


def test_the_product_never_imports_its_test_scaffolding() -> None:
    assert len(PRODUCT) > 100
    bad = [path.name for path in PRODUCT if imported(ast.parse(path.read_text("utf-8"))) & SCAFFOLDING]
    assert bad == []
    named = [path.name for path in PRODUCT if "slicer_standin" in path.read_text("utf-8")]
    assert named == []


# --- translation ------------------------------------------------------------------------------------------------------


def translations(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            yield node


def untranslated(source: str) -> list[str]:
    """Sentences and titles of more than a word that a user may see and no translator: outside of ``_()``."""
    tree = ast.parse(source)
    excused: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # docstrings
            excused.add(node.value)
        elif isinstance(node, (ast.Assert, ast.Raise)) or (
            isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[0] in ("_", "translate", "logging")
        ):
            excused.update(ast.walk(node))
        elif isinstance(node, ast.arg) and node.annotation is not None:
            excused.update(ast.walk(node.annotation))
        elif isinstance(node, ast.Dict):
            excused.update(key for key in node.keys if key is not None)
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in excused
    ]
    words = [text for text in texts if " " in text.strip() and any(letter.isalpha() for letter in text)]
    return [text for text in words if "<" not in text and not text.startswith(UNTRANSLATED)]


def test_the_search_for_untranslated_texts_finds_them() -> None:
    source = (
        '"""Doc."""\nx = _("One two")\nlogging.info("three four")\nlabel.setText("five six")\ny = f"seven of {x}"\n'
    )
    assert untranslated(source) == ["five six", "seven of "]


@pytest.mark.parametrize("path", SPOKEN, ids=lambda path: path.stem)
def test_every_text_of_the_panel_can_be_translated(path: Path) -> None:
    source = path.read_text("utf-8")
    assert [text for text in untranslated(source) if text not in KEYS] == []
    for call in translations(ast.parse(source)):
        assert isinstance(call.args[0], ast.Constant), f"not a literal text, line {call.lineno}: nobody can collect it"


# Not for eyes: attributes and names by which the program finds something again, titles of chart parts.
KEYS = {"bars part", " part", "PRRTPredictor study", "SYNTHETIC · ", ", AUROC "}


def test_every_text_of_the_ui_file_can_be_translated() -> None:
    tree = ElementTree.parse(UI).getroot()
    shown = [
        (name, text.text)
        for widget in tree.iter("widget")
        for prop in widget.findall("property")
        for text in prop.findall("string")
        if (name := prop.get("name")) in ("text", "toolTip", "title", "placeholderText", "windowTitle", "suffix")
        and text.get("notr") == "true"
        and (text.text or "").strip()
    ]
    assert shown == []
    assert sum(1 for _ in tree.iter("string")) > 100
