"""What the report is made of: chapters of blocks, each block with the numbers behind it.

A chapter is a function of the run's content, in a module of its own in ``report/chapters``; the page, the figure files
and the CSV files follow from what it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .content import RunContent

Cell: TypeAlias = "str | int | float | bool | None"


@dataclass(frozen=True)
class Numbers:
    """The numbers behind a figure or a table, unrounded, for its CSV file.

    Attributes
    ----------
    columns : tuple of str
        In snake_case with units where they have one ("pfs_months").
    rows : tuple of tuple of Cell
        None where a value is undefined.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, eq=False)
class Plate:
    """A figure with everything that stands around it.

    Attributes
    ----------
    key : str
        File name without suffix, and anchor in the page.
    title : str
    alt : str
        What can be seen, for screen readers.
    text : str
        What it shows and how to read it.
    numbers : Numbers or None
        None for a picture of images, and only there.
    photograph : bool
        A picture of voxels: it goes into the page as PNG, since an SVG of it would be no smaller and no sharper.
    """

    kind: ClassVar[str] = "plate"
    key: str
    title: str
    alt: str
    text: str
    figure: Figure
    numbers: Numbers | None = None
    photograph: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes
    ----------
    key, title : str
    header : tuple of str
    rows : tuple of tuple of str
        The first cell names the row; a row of one cell is a section heading.
    note : str
        Printed below.
    faint_from : int or None
        Columns from here on are for orientation only.
    numbers : Numbers or None
        What its CSV file holds; the printed cells when left out.
    """

    kind: ClassVar[str] = "table"
    key: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    faint_from: int | None = None
    numbers: Numbers | None = None


@dataclass(frozen=True)
class Words:
    """Paragraphs, or a list.

    Attributes
    ----------
    heading : str
        Empty for none.
    lines : tuple of str
    listed : bool
        A list instead of paragraphs.
    """

    kind: ClassVar[str] = "words"
    lines: tuple[str, ...]
    heading: str = ""
    listed: bool = False


@dataclass(frozen=True)
class Cards:
    """A few figures in large letters: (name, value, small print) each."""

    kind: ClassVar[str] = "cards"
    cards: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, eq=False)
class Folded:
    """Blocks that open on a click, for those who want every detail."""

    kind: ClassVar[str] = "folded"
    summary: str
    blocks: tuple[Plate | Table | Words | Cards, ...]


Block: TypeAlias = Plate | Table | Words | Cards | Folded


@dataclass(frozen=True, eq=False)
class Chapter:
    """A chapter of the report.

    Attributes
    ----------
    key : str
        Anchor in the page, and its name on the command line.
    title : str
    blocks : tuple of Block
        In reading order.
    missing : tuple of str
        What the run lacks for this chapter, in sentences that say how to get it; gathered at the top of the page.
    """

    key: str
    title: str
    blocks: tuple[Block, ...] = ()
    missing: tuple[str, ...] = ()


ChapterMaker: TypeAlias = "Callable[[RunContent], Chapter | None]"
"""Makes a chapter, inside :func:`PRRTPredictorCore.report.style.drawing`; None where it does not apply to the run."""
