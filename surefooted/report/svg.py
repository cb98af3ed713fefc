"""Render figures: SVG elements in the colours of the page, and one SVG and one PNG file per figure for papers."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple
from xml.etree import ElementTree

from PIL import Image

from surefooted.report.panel import Panel
from surefooted.report.style import INK, PAPER, RC_PARAMS, dark_variant

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_GAP = 14  # points between the panels of a file
_DPI = 200
_COLOUR = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")


class _RenderedPanel(NamedTuple):
    """A panel: its SVG tree in the colours of white paper, its size in points, its pixels."""

    tree: ElementTree.Element
    width: float
    height: float
    pixels: Image.Image


@dataclass(frozen=True)
class RenderedFigure:
    """A rendered figure.

    Attributes:
        inline: one SVG element per panel, for the page.
        widths: the width of each panel in points.
        svg, png: the files, with all panels on one white sheet.
    """

    inline: tuple[str, ...]
    widths: tuple[float, ...]
    svg: bytes
    png: bytes


def render_figure(name: str, panels: Sequence[Panel], labels: Sequence[str], shades: dict[str, str]) -> RenderedFigure:
    """Draw the panels of a figure.

    Args:
        name: prefix of all ids, so that several figures fit in one document.
        panels: the plots.
        labels: for each panel the text for readers who do not see it.
        shades: gains, for every colour that is used, its variant for a dark page.

    Example:
        >>> drawn = render_figure("f", [Panel(lambda ax: ax.plot([0, 1], [1, 0]))], ["A falling line"], {})
        >>> drawn.png[:4], drawn.svg[:4]
        (b'\\x89PNG', b'<svg')
    """
    rendered = [_render_panel(panel, f"svg-{name}-{number}") for number, panel in enumerate(panels, 1)]
    svg, png = _compose_sheet(rendered)
    inline = tuple(_inline_svg(panel, label, shades) for panel, label in zip(rendered, labels))
    return RenderedFigure(inline, tuple(panel.width for panel in rendered), svg, png)


def _render_panel(panel: Panel, name: str) -> _RenderedPanel:
    # Without pyplot there is no backend to choose, no list of open figures, and no state left behind.
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Canvas

    rc: Any = {**RC_PARAMS, "svg.hashsalt": name}
    with rc_context(rc), warnings.catch_warnings():
        # The figures' font may lack the script of a name. The SVG holds it as text, which the reader's fonts show.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        canvas = Canvas(figsize=panel.size, layout="constrained")
        axes = canvas.subplots()
        if panel.title:
            axes.set_title(panel.title)
        panel.draw(axes)
        svg, png = io.BytesIO(), io.BytesIO()
        canvas.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        canvas.savefig(png, format="png", dpi=_DPI, facecolor=PAPER, metadata={"Software": None})
    width, height = (72 * inches for inches in panel.size)
    return _RenderedPanel(_clean_svg(svg.getvalue().decode(), name), width, height, Image.open(png).convert("RGB"))


def _clean_svg(svg: str, name: str) -> ElementTree.Element:
    """The drawing without metadata, with unique ids, so that one document can hold several."""
    svg = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\ufffd", svg)  # characters that XML does not allow
    root = ElementTree.fromstring(svg.encode())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    for parent in root.iter():
        for child in list(parent):
            # matplotlib's style element would apply to the whole page; its two rules move to the root element.
            if child.tag in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == f"{{{_XLINK}}}href":
                del element.attrib[key]
                element.set("href", f"#{name}-{value[1:]}" if value.startswith("#") else value)
            elif "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{name}-"))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("style", "stroke-linejoin: round; stroke-linecap: butt")
    return root


def _inline_svg(panel: _RenderedPanel, label: str, shades: dict[str, str]) -> str:
    """The panel as an element of the page: ink in the colour of the text, other colours as CSS variables."""
    tree = deepcopy(panel.tree)
    tree.set("role", "img")
    tree.set("aria-label", label)
    tree.set("fill", "currentColor")

    def css_colour(match: re.Match[str]) -> str:
        key, colour = match.groups()
        if colour in (INK, "#000000"):
            return f"{key}: currentColor"
        if colour == PAPER:
            return f"{key}: var(--paper)"
        shades.setdefault(colour[1:], dark_variant(colour))
        return f"{key}: var(--c-{colour[1:]}, {colour})"

    for element in tree.iter():
        if style := element.get("style"):
            element.set("style", _COLOUR.sub(css_colour, style))
    return ElementTree.tostring(tree, "unicode")


def _compose_sheet(panels: Sequence[_RenderedPanel]) -> tuple[bytes, bytes]:
    """All panels of a figure on one white sheet, up to three per row; eight make two rows."""
    per_row = {1: 1, 2: 2, 4: 2, 8: 4}.get(len(panels), 3)
    rows = [panels[i : i + per_row] for i in range(0, len(panels), per_row)]
    width = max(sum(p.width for p in row) + _GAP * (len(row) - 1) for row in rows)
    height = sum(max(p.height for p in row) for row in rows) + _GAP * (len(rows) - 1)
    pixels = _DPI / 72
    sheet = Image.new("RGB", (round(width * pixels), round(height * pixels)), PAPER)
    root = ElementTree.Element("svg", {"xmlns": _SVG, "width": f"{width:g}pt", "height": f"{height:g}pt"})
    root.set("viewBox", f"0 0 {width:g} {height:g}")
    ElementTree.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": PAPER})
    y = 0.0
    for row in rows:
        x = 0.0
        for panel in row:
            sheet.paste(panel.pixels, (round(x * pixels), round(y * pixels)))
            part = deepcopy(panel.tree)
            for key, value in zip(("x", "y", "width", "height"), (x, y, panel.width, panel.height)):
                part.set(key, f"{value:g}")
            root.append(part)
            x += panel.width + _GAP
        y += max(panel.height for panel in row) + _GAP
    png = io.BytesIO()
    sheet.save(png, "PNG", dpi=(_DPI, _DPI))
    return ElementTree.tostring(root) + b"\n", png.getvalue()
