"""What a chapter holds, folded parts opened, and chapters that are no module: for tests of the report."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from PRRTPredictorCore.report import html
from PRRTPredictorCore.report.chapter import Cards, Chapter, ChapterMaker, Folded, Plate, Table, Words
from PRRTPredictorCore.report.content import RunContent, read_content
from PRRTPredictorCore.report.style import drawing

Leaf = Plate | Table | Words | Cards


def made_chapter(maker: ChapterMaker, run: RunContent | Path) -> Chapter:
    """Make a chapter that applies to the run, and check what holds for all of them."""
    with drawing():
        chapter = maker(run if isinstance(run, RunContent) else read_content(run))
    assert chapter is not None
    for plate in plates(chapter).values():
        assert plate.alt
        assert plate.photograph or plate.numbers is not None
    for table in tables(chapter).values():
        assert all(len(row) in (1, len(table.header)) for row in table.rows)
    for shown in (*plates(chapter).values(), *tables(chapter).values()):
        for row in shown.numbers.rows if shown.numbers else ():
            assert len(row) == len(shown.numbers.columns)
            assert not any(isinstance(cell, float) and math.isnan(cell) for cell in row), shown.key
    return chapter


def leaves(chapter: Chapter) -> list[Leaf]:
    """Every block in reading order."""
    return [leaf for block in chapter.blocks for leaf in (block.blocks if isinstance(block, Folded) else (block,))]


def plates(chapter: Chapter) -> dict[str, Plate]:
    """Figures by key."""
    return {leaf.key: leaf for leaf in leaves(chapter) if isinstance(leaf, Plate)}


def tables(chapter: Chapter) -> dict[str, Table]:
    """Tables by key."""
    return {leaf.key: leaf for leaf in leaves(chapter) if isinstance(leaf, Table)}


def words_of(chapter: Chapter) -> str:
    """The paragraphs and lists."""
    return " ".join(
        part for leaf in leaves(chapter) if isinstance(leaf, Words) for part in (leaf.heading, *leaf.lines) if part
    )


def all_said(chapter: Chapter) -> str:
    """Everything that can be read: also titles, descriptions, notes, cells, and what is missing."""
    told = list(chapter.missing)
    for leaf in leaves(chapter):
        match leaf:
            case Plate():
                told += [leaf.title, leaf.alt, leaf.text]
            case Table():
                told += [leaf.title, leaf.note, *leaf.header, *(cell for row in leaf.rows for cell in row)]
            case Words():
                told += [leaf.heading, *leaf.lines]
            case Cards():
                told += [text for card in leaf.cards for text in card]
    return " ".join(told)


class Entry:
    """A chapter that is no module, in place of a :class:`ChapterEntry`."""

    def __init__(self, key: str, make: ChapterMaker, weight: int = 1) -> None:
        self.key, self.title, self.weight, self.make = key, key.title(), weight, make


def give_chapters(monkeypatch: pytest.MonkeyPatch, *entries: Entry) -> None:
    """Let the report consist of these."""
    monkeypatch.setattr(html, "CHAPTERS", entries)
