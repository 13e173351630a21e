"""How a page is made of a template: escaped, strict about what it is given, with what both reports look like."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"

_TORN_APART = re.compile(r" (?=%)|(?<=\b[pntκ]) (?=[=<>≤≥] [\d.])|(?<=\b[pntκ] [=<>≤≥]) (?=[\d.])")
"""The spaces inside "95 %", "p = 0.045" and "n = 12"."""


def fill(template: str, **values: Any) -> str:
    """Fill a template; everything but ``Markup`` is escaped, and a value that the template lacks is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: hold_together(value) if type(value) is str else value,  # mark-up is left alone
    )
    return environment.get_template(template).render(**values).lstrip()


def hold_together(text: str) -> str:
    """Keep a number on one line with its per cent sign, and with the letter that it is the value of."""
    return _TORN_APART.sub("\u00a0", text)
