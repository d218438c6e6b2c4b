"""A report, written and taken apart: what the tests of the report ask of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from harness import report
from harness.report.runs import Run, name


class Page(HTMLParser):
    """What a test asks of an HTML page: its elements, and its visible text."""

    def __init__(self, html: str):
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] not in ("style", "script"):
            self._texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self._texts))

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def page(tmp_path: Path, rows, environment=None, problems=(), curves=(), findings=()) -> Page:
    environment = environment or {}
    run = Run(name(environment), rows, environment, curves, findings, problems)
    return Page(report.write_all([run], tmp_path / "report.html").read_text("utf-8"))
