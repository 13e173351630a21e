"""How every figure looks: a colour-blind safe palette, quiet axes, and SVG that follows the page into dark mode.

Figures are matplotlib ``Figure`` objects without pyplot, so nothing global is kept and no window can open.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2328"
"""Text and axes. In the page, this very colour becomes the CSS variable ``--ink``; likewise the three below."""
MUTED = "#66707b"
GRID = "#dfe3e8"
PAPER = "#fefefe"
_PAGE_VARIABLES = MappingProxyType({INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper"})

MODEL_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "rf_labs": "#868d95",
        "pet": "#e69f00",
        "ct": "#56b4e9",
        "pet_labs": "#d55e00",
        "ct_labs": "#2980c4",
        "pet_ct_labs": "#009e73",
        "pet_ct_labs_pretrained": "#b5679b",
    }
)
"""After Okabe and Ito; every pair stays apart for the common colour vision deficiencies and on a dark page."""

LONG_COLOUR = "#2980c4"
SHORT_COLOUR = "#d55e00"
OTHER_COLOUR = "#868d95"

_SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "butt",
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with two dollar signs is a name, not a formula
    "savefig.facecolor": "white",
}


_MORE_DIGITS = re.compile(r"(\.\d\d)\d+")
"""Of coordinates in points: the page needs no finer ones, and is a quarter smaller without."""

_IMPRINT_SIZE, _IMPRINT_LINE, _IMPRINT_LEFT = 6.5, 10.0, 4.0
"""Height of letters, of lines, and the margin at the left, in points."""


@dataclass(frozen=True)
class Imprint:
    """What stands below a figure that leaves the page as a file: without it, nobody could tell where it came from.

    Attributes
    ----------
    notice : str
        That it is for research, and that patients are SYNTHETIC where they are.
    origin : str
        Version and data.
    """

    notice: str
    origin: str

    def lines(self, width_inches: float) -> tuple[str, ...]:
        """In one line where the figure is wide enough, else in two."""
        one = f"{self.notice} · {self.origin}"
        return (one,) if 0.62 * _IMPRINT_SIZE * len(one) <= 72 * width_inches else (self.notice, self.origin)


@contextmanager
def drawing(key: str = "prrt") -> Iterator[None]:
    """Apply the house style to everything drawn and saved inside; ``key`` makes the SVG's inner names repeatable."""
    from matplotlib import rc_context

    settings: Any = {**_SETTINGS, "svg.hashsalt": key}
    with rc_context(settings):
        yield


def new_figure(width: float = 7.4, height: float = 4.0) -> Figure:
    """Start a figure of ``width`` x ``height`` inches whose parts keep clear of each other."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def quiet(ax: Axes, grid: str = "both") -> Axes:
    """Draw faint grid lines ("x", "y" or "both") and no tick marks."""
    ax.grid(True, axis=grid)  # type: ignore[arg-type]  # matplotlib narrows this to a Literal
    ax.tick_params(length=0)
    return ax


def model_colour(name: str) -> str:
    """A model's colour, the same in every figure; grey for a model that the palette does not know."""
    return MODEL_COLOURS.get(name, OTHER_COLOUR)


def svg_text(figure: Figure, title: str = "", *, own_ground: bool = False) -> str:
    """The figure as an SVG document on nothing or on its own ground; the same figure gives the same bytes."""
    stream = io.StringIO()
    about = {"Date": None, "Creator": None} | ({"Title": title} if title else {})
    ground: Any = {"facecolor": figure.get_facecolor()} if own_ground else {"transparent": True}
    figure.savefig(stream, format="svg", metadata=about, **ground)
    return stream.getvalue()


def write_png(figure: Figure, path: Path, dpi: int = 200, *, transparent: bool = False) -> None:
    """Save the figure as PNG, on white or on nothing, whole or not at all."""
    from ..files import replacing

    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, transparent=transparent, metadata={"Software": None})


def png_bytes(
    figure: Figure, dpi: int = 200, *, own_ground: bool = False, title: str = "", imprint: Imprint | None = None
) -> bytes:
    """The figure as a PNG file, on white or, where asked for, on the ground that the figure itself has."""
    from matplotlib.transforms import Bbox

    stream = io.BytesIO()
    ground = figure.get_facecolor() if own_ground else "white"
    about = {"Software": None} | ({"Title": title} if title else {})
    width, height = figure.get_size_inches()
    lines = imprint.lines(width) if imprint else ()
    if imprint:
        about["Description"] = " ".join(imprint.lines(0))
    below = [
        figure.text(
            _IMPRINT_LEFT / 72 / width,
            -(number + 0.75) * _IMPRINT_LINE / 72 / height,
            line,
            fontsize=_IMPRINT_SIZE,
            color=OTHER_COLOUR if own_ground else MUTED,
            in_layout=False,
        )
        for number, line in enumerate(lines)
    ]
    page = Bbox([[0.0, -len(lines) * _IMPRINT_LINE / 72], [width, height]]) if lines else None
    figure.savefig(stream, format="png", dpi=dpi, facecolor=ground, metadata=about, bbox_inches=page)
    for text in below:
        text.remove()
    return stream.getvalue()


def with_imprint(svg: str, imprint: Imprint) -> str:
    """The SVG document with the imprint in a strip of its own below, for a file that leaves the page."""
    from markupsafe import escape

    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt" viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    if size is None:
        raise ValueError("an SVG document of another make than matplotlib's")
    width, height = float(size.group(1)), float(size.group(2))
    lines = imprint.lines(width / 72)
    whole = f"{height + _IMPRINT_LINE * len(lines):g}"
    head = f'width="{width:g}pt" height="{whole}pt" viewBox="0 0 {width:g} {whole}"'
    texts = "".join(
        f'<text x="{_IMPRINT_LEFT}" y="{height + (number + 0.75) * _IMPRINT_LINE:g}" style="font: {_IMPRINT_SIZE}px '
        f"'DejaVu Sans', sans-serif; fill: {MUTED}\">{escape(line)}</text>\n"
        for number, line in enumerate(lines)
    )
    return f"{svg[: size.start()]}{head}{svg[size.end() : svg.rindex('</svg>')]}{texts}</svg>\n"


def inline_picture(png: bytes, alt: str, width_inches: float) -> Markup:
    """Make a PNG file part of a page, no wider than it was drawn."""
    from markupsafe import Markup

    source = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    mark_up = '<img src="{}" alt="{}" style="--drawn:{}px">'
    return Markup(mark_up).format(source, alt, round(96 * width_inches))


def inline_svg(svg: str, key: str, alt: str) -> Markup:
    """Make an SVG document part of a page: themed, named for screen readers, its inner names its own.

    Parameters
    ----------
    svg : str
        From :func:`svg_text`.
    key : str
        Unique within the page; put before every inner name, since two SVGs on a page share one name space.
    alt : str
        What the figure shows, in words.
    """
    from markupsafe import Markup, escape

    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<title>.*?</title>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", body)
    body = re.sub(r'(xlink:)?href="#([^"]+)"', rf'href="#{key}-\2"', body)
    body = re.sub(r"'?DejaVu Sans'?(, sans-serif)?", "inherit", body)
    body = re.sub(r"<[^>]+>", lambda tag: _MORE_DIGITS.sub(r"\1", tag[0]), body)
    for colour, variable in _PAGE_VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    width = re.search(r'viewBox="0 0 ([\d.]+) ', body)
    # The page shows it no wider than drawn, and on a narrow screen not so small that its letters cannot be read.
    drawn = f"--drawn:{float(width.group(1)) * 4 / 3:.0f}px" if width else ""
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = body.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}" style="{drawn}"', 1).strip()
    return Markup(body)  # matplotlib's own mark-up, its texts escaped
