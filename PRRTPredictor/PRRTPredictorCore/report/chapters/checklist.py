"""TRIPOD+AI, item by item: what the run answers, and what is left to the authors."""

from __future__ import annotations

from ..chapter import Cards, Chapter, Numbers, Table, Words
from ..content import RunContent
from ..tripod.items import STATES, ItemAnswer, State, TripodItem, TripodList, tripod_list
from ..tripod.methods import ANSWERS as METHODS
from ..tripod.results import ANSWERS as RESULTS

TITLE = "TRIPOD+AI"

_NOTES: dict[State, str] = {
    "filled": "from the run",
    "partly": "the authors add to it",
    "open": "the authors write",
    "does not apply": "no evaluation on other patients",
}


def answers(content: RunContent) -> tuple[tuple[TripodItem, ItemAnswer], ...]:
    """Every item with what the run says of it, in the statement's order."""
    makers = {**METHODS, **RESULTS}
    return tuple((item, makers[item.item](content)) for item in tripod_list().items)


def chapter(content: RunContent) -> Chapter | None:
    """The list with its counts on top."""
    answered = answers(content)
    statement = tripod_list()
    states = [answer.state for _, answer in answered]
    cards = tuple((state.capitalize(), str(states.count(state)), _NOTES[state]) for state in STATES)
    words = (
        f"{statement.name} says what a report on a prediction model should tell ({statement.source}; doi "
        f"{statement.doi}). Its {_main_items(statement)} items have {len(answered)} parts, given here in short words "
        "of our own; the statement’s text decides. The list shows what is reported, not how good a study is. Check "
        "what is filled before you use it: the software knows the run, not the study.",
    )
    return Chapter("checklist", TITLE, (Cards(cards), Words(words), _table(statement, answered)))


def _main_items(statement: TripodList) -> int:
    return len({item.item.rstrip("abcdefg") for item in statement.items})


def _table(statement: TripodList, answered: tuple[tuple[TripodItem, ItemAnswer], ...]) -> Table:
    rows: list[tuple[str, ...]] = []
    section = ""
    for item, answer in answered:
        if item.section != section:
            section = item.section
            rows.append((section,))
        rows.append((f"{item.item}. {item.topic}: {item.asks}", answer.state, answer.text))
    return Table(
        key="tripod",
        title=f"{statement.name}, item by item",
        header=("Item", "State", "What this run says, and what the authors add"),
        rows=tuple(rows),
        note="Filled: the run answers all of it. Partly: the authors add what is named. Open: the authors write it. "
        "Does not apply: asked of evaluations on other patients only.",
        numbers=Numbers(
            ("item", "section", "topic", "applies_to", "asks", "state", "from_the_run", "for_the_authors"),
            tuple(
                (
                    item.item,
                    item.section,
                    item.topic,
                    item.applies,
                    item.asks,
                    answer.state,
                    answer.says,
                    answer.authors,
                )
                for item, answer in answered
            ),
        ),
    )
