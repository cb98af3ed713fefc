"""Panels drawn once each: for the page as SVG in the page's own colours, for papers as one SVG and one PNG a figure."""

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

from surefooted.report.page import Figure, Panel
from surefooted.report.style import INK, PAPER, RC_PARAMS, dark_variant

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_GAP = 14  # points between the panels of a file
_DPI = 200
_COLOUR = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")


class _RenderedPanel(NamedTuple):
    """A panel: its SVG tree in the colours of paper, its size in points, its pixels."""

    tree: ElementTree.Element
    width: float
    height: float
    pixels: Image.Image


@dataclass(frozen=True)
class RenderedFigure:
    """A figure: an SVG element a panel for the page, and the two files."""

    inline: tuple[str, ...]
    widths: tuple[float, ...]
    svg: bytes
    png: bytes


def render_figure(figure: Figure, shades: dict[str, str]) -> RenderedFigure:
    """Draw a figure; every colour that the page must know in its dark form is added to ``shades``."""
    assert isinstance(figure.panels, tuple)
    panels = [_render_panel(panel, f"svg-{figure.name}-{number}") for number, panel in enumerate(figure.panels, 1)]
    labels = [panel.title if len(panels) > 1 and panel.title else figure.alt or figure.title for panel in figure.panels]
    svg, png = _compose_sheet(panels)
    inline = tuple(_inline_svg(panel, label, shades) for panel, label in zip(panels, labels))
    return RenderedFigure(inline, tuple(panel.width for panel in panels), svg, png)


def _render_panel(panel: Panel, name: str) -> _RenderedPanel:
    # Without pyplot: no backend to choose, no list of open figures, no state left behind.
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Canvas

    rc: Any = {**RC_PARAMS, "svg.hashsalt": name}
    with rc_context(rc), warnings.catch_warnings():
        # A name in a script that the figures' type lacks is whole in the SVG, where the reader's own type shows it.
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
    """The drawing alone, with ids of its own, so that several stand in one document."""
    svg = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\ufffd", svg)  # a label may hold what XML may not
    root = ElementTree.fromstring(svg.encode())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    for parent in root.iter():
        for child in list(parent):
            # matplotlib's style element would speak to every element of the page; its two rules move to the root.
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
    """The panel as an element of the page: ink in the colour of the text, other colours by name with a dark form."""
    tree = deepcopy(panel.tree)
    tree.set("role", "img")
    tree.set("aria-label", label)
    tree.set("fill", "currentColor")

    def named(match: re.Match[str]) -> str:
        key, colour = match.groups()
        if colour in (INK, "#000000"):
            return f"{key}: currentColor"
        if colour == PAPER:
            return f"{key}: var(--paper)"
        shades.setdefault(colour[1:], dark_variant(colour))
        return f"{key}: var(--c-{colour[1:]}, {colour})"

    for element in tree.iter():
        if style := element.get("style"):
            element.set("style", _COLOUR.sub(named, style))
    return ElementTree.tostring(tree, "unicode")


def _compose_sheet(panels: Sequence[_RenderedPanel]) -> tuple[bytes, bytes]:
    """All panels of a figure on one white sheet, up to three a row; eight are two rows."""
    across = {1: 1, 2: 2, 4: 2, 8: 4}.get(len(panels), 3)
    rows = [panels[i : i + across] for i in range(0, len(panels), across)]
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
