"""The items of TRIPOD+AI, and what can be said of one: filled from the run, filled in part, open, not applicable."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

State = Literal["filled", "partly", "open", "does not apply"]
STATES: tuple[State, ...] = ("filled", "partly", "open", "does not apply")

_FILE = Path(__file__).with_name("tripod.json")


@dataclass(frozen=True)
class TripodItem:
    """One item of the statement, in words of our own.

    Attributes
    ----------
    item : str
        Its number, e.g. "12e".
    section, topic : str
    applies : {"both", "development", "evaluation"}
        To studies that develop a model, that evaluate one, or to both.
    asks : str
        What is to be reported.
    """

    item: str
    section: str
    topic: str
    applies: Literal["both", "development", "evaluation"]
    asks: str


@dataclass(frozen=True)
class TripodList:
    """The statement's list.

    Attributes
    ----------
    source, doi : str
        Where the statement is published; its own words decide.
    """

    name: str
    source: str
    doi: str
    items: tuple[TripodItem, ...]


@dataclass(frozen=True)
class ItemAnswer:
    """What the report has to say of an item.

    Attributes
    ----------
    says : str
        From the run; empty where it knows nothing.
    authors : str
        What only the authors can write; empty where nothing is left.
    """

    says: str = ""
    authors: str = ""
    applies: bool = True

    @property
    def state(self) -> State:
        """How far the item is filled."""
        if not self.applies:
            return "does not apply"
        if not self.authors:
            return "filled"
        return "partly" if self.says else "open"

    @property
    def text(self) -> str:
        """Both parts in one cell."""
        if not self.authors:
            return self.says
        return f"{self.says} Authors: {self.authors}".strip() if self.says else f"The authors write: {self.authors}"


@cache
def tripod_list() -> TripodList:
    """TRIPOD+AI, 27 items in 52 parts (Collins et al., BMJ 2024)."""
    content = json.loads(_FILE.read_text(encoding="utf-8"))
    items = tuple(TripodItem(**entry) for entry in content["items"])
    return TripodList(content["name"], content["source"], content["doi"], items)
