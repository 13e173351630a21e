"""How a page is made of a template: escaped, strict about what it is given, with what both reports look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"


def fill(template: str, **values: Any) -> str:
    """Fill a template; everything but ``Markup`` is escaped, and a value that the template lacks is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        # A number and its per cent sign stay on one line; mark-up is left alone.
        finalize=lambda value: value.replace(" %", "\u00a0%") if type(value) is str else value,
    )
    return environment.get_template(template).render(**values).lstrip()
