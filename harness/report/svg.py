"""A matplotlib figure as SVG that belongs to its page: its colours, its font, its ids."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET

from markupsafe import Markup
from matplotlib.figure import Figure

from harness.report.plots.style import GRID, INK, MUTED, PAPER, SERIES

_COLORS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
} | {color: f"var(--series-{i})" for i, color in enumerate(SERIES) if color != INK}

_XLINK = "{http://www.w3.org/1999/xlink}href"
_HEX = re.compile("|".join(_COLORS), re.IGNORECASE)
_FONT = re.compile(r"font:\s*[^;]*?([\d.]+px)[^;]*|font-family:[^;]*;?")
_NUMBER = re.compile(r"-?\d+\.\d+")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline(figure: Figure, title: str, description: str, prefix: str) -> Markup:
    """The figure as an <svg> element to stand in an HTML page.

    Args:
        title, description: plain text, what it is and what it shows for who cannot see it.
        prefix: begins every id in it; unlike that of every other figure of the page.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    root = ET.fromstring(buffer.getvalue())  # matplotlib's own output, its text escaped
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-labelledby": f"{prefix}-title {prefix}-desc",
    }
    # the date in the metadata would make every file another
    root[:] = [child for child in root if not child.tag.endswith("}metadata")]
    for parent in root.iter():
        parent[:] = [child for child in parent if not child.tag.endswith("}style")]
    used = _references(root)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # in HTML the parser knows the namespace
        element.text, element.tail = _lean(element.text), None
        element.attrib = _attributes(element, used, prefix)
    _flatten(root)
    for i, (tag, text) in enumerate((("title", title), ("desc", description))):
        child = ET.Element(tag, {"id": f"{prefix}-{tag}"})
        child.text = text
        root.insert(i, child)
    return Markup(ET.tostring(root, encoding="unicode"))  # ElementTree escaped it


def _references(root: ET.Element) -> set[str]:
    used = set()
    for element in root.iter():
        if _XLINK in element.attrib:
            used.add(element.attrib[_XLINK].removeprefix("#"))
        used.update(_REFERENCE.findall(element.get("clip-path", "")))
    return used


def _attributes(element: ET.Element, used: set[str], prefix: str) -> dict[str, str]:
    kept = {}
    for name, value in element.attrib.items():
        if name == "id":
            if value in used:
                kept["id"] = f"{prefix}-{value}"
        elif name == _XLINK:
            kept["href"] = f"#{prefix}-{value.removeprefix('#')}"
        elif name == "clip-path":
            kept[name] = _REFERENCE.sub(rf"url(#{prefix}-\1)", value)
        elif name == "style":
            style = _FONT.sub(lambda m: f"font-size:{m[1]}" if m[1] else "", value)
            style = _HEX.sub(lambda m: _COLORS[m[0].lower()], style)
            kept[name] = re.sub(r"\s*([:;])\s*", r"\1", style).strip("; ")
        elif name == "transform" and value.startswith("rotate(-0 "):
            continue
        elif name in ("d", "x", "y", "transform", "width", "height", "points"):
            kept[name] = " ".join(_NUMBER.sub(lambda m: f"{float(m[0]):.2f}", value).split())
        else:
            kept[name] = value
    return kept


def _flatten(element: ET.Element) -> None:
    """Drop what is not seen, groups that say nothing, and a style that all children repeat."""
    children: list[ET.Element] = []
    for child in element:
        _flatten(child)
        if child.tag == "g" and not child.attrib:
            children.extend(child)
        elif child.get("style") != "fill:none" and (len(child) or child.tag not in ("g", "defs")):
            children.append(child)
    element[:] = children
    styles = {child.get("style", "") for child in children}
    if element.tag == "g" and len(children) > 1 and len(styles) == 1 and "" not in styles:
        element.set("style", styles.pop())
        for child in children:
            del child.attrib["style"]


def _lean(text: str | None) -> str | None:
    return text if text and text.strip() else None
